// Brings what is marked with data-live up to date when the shop's products change. Without it, or
// without a connection, the page is as it was served.
(() => {
  const parts = (page) => [...page.querySelectorAll('[data-live]')];
  if (!parts(document).length) return;

  const isTyping = (part) =>
    part.contains(document.activeElement) && document.activeElement.matches('input, textarea, select');

  let timer;
  const soon = (time) => {
    clearTimeout(timer);
    timer = setTimeout(refresh, time);
  };
  const refresh = async () => {
    try {
      const answer = await fetch(location.href, { headers: { accept: 'text/html' } });
      if (!answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      const fresh = parts(page);
      const here = parts(document);
      // it is another page by now, as when it has been given another look
      const isSame = fresh.length === here.length &&
        fresh.every((part, at) => part.dataset.live === here[at].dataset.live);
      if (!isSame) return location.reload();
      if (here.some(isTyping)) return soon(5000);
      here.forEach((part, at) => part.replaceChildren(...fresh[at].childNodes));
    } catch {
      soon(5000);
    }
  };

  const events = new EventSource('/api/products/events');
  // many changes at once are looked at once, and not by everybody at the same moment
  const changed = () => soon(100 + Math.random() * 400);
  events.addEventListener('products', changed);
  events.addEventListener('missed', changed);
  // what happened while there was no connection
  let connected = false;
  events.addEventListener('ready', () => {
    if (connected) changed();
    connected = true;
  });
  // a browser that keeps the page for going back keeps no connection
  addEventListener('pagehide', () => events.close());
  addEventListener('pageshow', (event) => event.persisted && location.reload());
})();
