//! The shop in a real browser.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tempfile::TempDir;

use crate::support::{PASSWORD, Server, Shop, png, session_in, shared, text, unique, until};

const PATIENCE: Duration = Duration::from_secs(20);

/// Chromium without a screen, and its driver. They end with this.
struct Browser {
    client: Client,
    session: String,
    driver: Child,
    port: u16,
    _profile: TempDir,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // the driver closes its Chromium when the session ends, and not when it is killed
        if let Ok(mut driver) = TcpStream::connect(("127.0.0.1", self.port)) {
            let (port, session) = (self.port, &self.session);
            let end = format!(
                "DELETE /session/{session} HTTP/1.1\r\nHost: localhost:{port}\r\n\
                 Connection: close\r\n\r\n"
            );
            drop(driver.write_all(end.as_bytes()));
            drop(driver.set_read_timeout(Some(PATIENCE)));
            drop(driver.read(&mut [0; 1024])); // it answers once that is done
        }
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}

impl Browser {
    async fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", profile.path()) // what they leave goes with the profile
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver: {error}\nhint: run `make setup`"));
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port: u16 = lines
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, port) = line.split_once("started successfully on port ")?;
                port.trim_end_matches('.').parse().ok()
            })
            .expect("chromedriver tells its port");
        let flags = [
            "--headless=new".into(),
            "--no-sandbox".into(),
            "--disable-gpu".into(),
            "--disable-quic".into(),
            "--no-first-run".into(),
            "--disable-background-networking".into(),
            "--disable-component-update".into(),
            "--disable-sync".into(),
            format!("--user-data-dir={}", profile.path().display()),
        ];
        let mut capabilities = serde_json::Map::new();
        capabilities.insert("goog:chromeOptions".into(), json!({ "args": flags }));
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("a browser");
        let session = client.session_id().await.unwrap().expect("a session");
        Self {
            client,
            session,
            driver,
            port,
            _profile: profile,
        }
    }

    async fn open(&self, url: &str) {
        self.client.goto(url).await.unwrap();
    }

    async fn fill(&self, fields: &[(&str, &str)]) {
        for (name, value) in fields {
            let css = format!("main input[name='{name}']");
            let input = self.client.find(Locator::Css(&css)).await.unwrap();
            input.clear().await.unwrap();
            input.send_keys(value).await.unwrap();
        }
    }

    /// Presses the button that says so, and waits for the page after.
    async fn press(&self, words: &str) {
        self.leave_by(&format!("//button[normalize-space()='{words}']"))
            .await;
    }

    /// Follows the link that begins so, and waits for the page after.
    async fn follow(&self, words: &str) {
        self.leave_by(&format!("//a[starts-with(normalize-space(), '{words}')]"))
            .await;
    }

    async fn leave_by(&self, xpath: &str) {
        // a mark that the next page does not have
        self.client
            .execute("window.left = true", Vec::new())
            .await
            .unwrap();
        let element = self.client.find(Locator::XPath(xpath)).await;
        element
            .unwrap_or_else(|error| panic!("{xpath}: {error}"))
            .click()
            .await
            .unwrap();
        let arrived = "return !window.left && document.readyState === 'complete'";
        for _ in 0..PATIENCE.as_millis() / 20 {
            let there = self.client.execute(arrived, Vec::new()).await;
            if there.is_ok_and(|there| there == true) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{xpath} leads nowhere");
    }

    async fn url(&self) -> String {
        self.client.current_url().await.unwrap().into()
    }

    /// What people see.
    async fn text(&self) -> String {
        self.client
            .find(Locator::Css("body"))
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }

    async fn shows(&self, words: &str) {
        let text = self.text().await;
        assert!(
            text.contains(words),
            "no {words:?} on {}:\n{text}",
            self.url().await
        );
    }

    /// As [`shows`](Self::shows), without the page being loaded again.
    async fn comes_to_show(&self, words: &str) {
        until(PATIENCE, words, async || self.text().await.contains(words)).await;
    }

    async fn does_not_show(&self, words: &str) {
        let text = self.text().await;
        assert!(
            !text.contains(words),
            "{words:?} on {}:\n{text}",
            self.url().await
        );
    }

    /// The message beside a field.
    async fn error_of(&self, field: &str) -> String {
        let css = format!("#{field}-error");
        self.client
            .find(Locator::Css(&css))
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }

    async fn sign_in(&self, password: &str) {
        self.fill(&[("email", "owner@example.com"), ("password", password)])
            .await;
        self.press("Sign in").await;
    }

    async fn new_window(&self) {
        let window = self.client.new_window(false).await.unwrap();
        self.client.switch_to_window(window.handle).await.unwrap();
    }
}

fn url(server: &Arc<Server>, code: &str) -> String {
    format!("http://{code}.localhost:{}", server.port())
}

async fn open_shop(browser: &Browser, server: &Arc<Server>, code: &str, password: &str) {
    browser
        .open(&format!("http://localhost:{}/", server.port()))
        .await;
    let name = format!("The {code} shop");
    browser
        .fill(&[
            ("name", &name),
            ("code", code),
            ("first_name", "Olive"),
            ("email", "owner@example.com"),
            ("password", password),
        ])
        .await;
    browser.press("Open the shop").await;
    browser.shows(&format!("{name} is open")).await;
    browser.shows(&url(server, code)).await;
}

async fn add_product(browser: &Browser, name: &str, price: &str) {
    browser.follow("Add product").await;
    browser
        .fill(&[("name", name), ("code", name), ("price", price)])
        .await;
    browser.press("Add product").await;
}

#[tokio::test]
async fn two_shops_are_opened_and_kept_in_two_windows() {
    let server = shared();
    let browser = Browser::start().await;
    let (acme, globex) = (unique("acme"), unique("globex"));

    open_shop(&browser, &server, &acme, "acme's password").await;
    browser.follow("Sign in to your shop").await;
    assert_eq!(
        browser.url().await,
        format!("{}/sign-in", url(&server, &acme))
    );
    browser.sign_in("acme's password").await;
    browser.shows("The shelves are empty.").await;
    add_product(&browser, "Anvil", "12,50").await;
    browser.shows("Anvil").await;
    browser.shows("12.50 EUR").await;
    browser.shows("by Olive").await;

    // the other shop, in another window of the same browser
    browser.new_window().await;
    open_shop(&browser, &server, &globex, "globex's password").await;
    browser.follow("Visit the storefront").await;
    browser.shows(&format!("The {globex} shop")).await;
    browser.shows("Sign in").await;
    browser.does_not_show("Anvil").await;
    browser.does_not_show("Add product").await;
    browser
        .open(&format!("{}/products/new", url(&server, &globex)))
        .await;
    assert_eq!(
        browser.url().await,
        format!("{}/sign-in", url(&server, &globex))
    );
    browser.sign_in("acme's password").await;
    browser
        .shows("The e-mail address or the password is wrong.")
        .await;
    browser.sign_in("globex's password").await;
    add_product(&browser, "Begonia", "3").await;
    browser.shows("Begonia").await;
    browser.does_not_show("Anvil").await;

    // and the first as it was left
    browser.open(&url(&server, &acme)).await;
    browser.shows("Anvil").await;
    browser.does_not_show("Begonia").await;
    browser.follow("Edit").await;
    browser
        .fill(&[("name", "Heavy anvil"), ("price", "99.90")])
        .await;
    browser.press("Save changes").await;
    browser.shows("Heavy anvil").await;
    browser.shows("99.90 EUR").await;
    browser
        .open(&format!("{}/?q=begonia", url(&server, &acme)))
        .await;
    browser.shows("Nothing matches").await;
    browser.open(&url(&server, &acme)).await;
    browser.follow("Edit").await;
    let summary = browser
        .client
        .find(Locator::Css("details.delete summary"))
        .await
        .unwrap();
    summary.click().await.unwrap();
    browser.press("Delete it").await;
    browser.does_not_show("Heavy anvil").await;
    browser.shows("The shelves are empty.").await;

    // who leaves one shop stays in the other
    browser.press("Sign out").await;
    browser.shows("Sign in").await;
    browser.does_not_show("Add product").await;
    browser.open(&url(&server, &globex)).await;
    browser.shows("Begonia").await;
    browser.shows("Sign out").await;
}

#[tokio::test]
async fn what_is_wrong_with_a_form_stands_beside_its_fields() {
    let shop = Shop::shared().await;
    let server = shop.server();
    let browser = Browser::start().await;
    browser
        .open(&format!("http://localhost:{}/", server.port()))
        .await;
    let fields = [
        ("name", "Another"),
        ("code", shop.code.as_str()),
        ("first_name", "Ann"),
        ("email", "ann@example.com"),
        ("password", "long enough"),
    ];
    browser.fill(&fields).await;
    browser.press("Open the shop").await;
    assert_eq!(browser.error_of("code").await, "is taken by another shop");
    browser
        .fill(&[("code", "www"), ("password", "long enough")])
        .await;
    browser.press("Open the shop").await;
    assert_eq!(browser.error_of("code").await, "is reserved");
    let name = browser
        .client
        .find(Locator::Css("main input[name='name']"))
        .await
        .unwrap();
    assert_eq!(
        name.prop("value").await.unwrap().as_deref(),
        Some("Another")
    );

    browser
        .open(&format!("{}/sign-in", url(server, &shop.code)))
        .await;
    browser.sign_in(PASSWORD).await;
    add_product(&browser, "Spade", "much").await;
    assert_eq!(
        browser.error_of("price").await,
        "must be a number, like 9.90"
    );
    browser.fill(&[("price", "-1")]).await;
    browser.press("Add product").await;
    assert_eq!(browser.error_of("price").await, "must not be negative");
    browser.fill(&[("price", "1")]).await;
    browser.press("Add product").await;
    add_product(&browser, "Spade", "1").await;
    assert_eq!(
        browser.error_of("code").await,
        "is the code of another product"
    );

    // where there is no shop there is a page that says so
    browser.open(&url(server, "no-such-shop")).await;
    browser.shows("404").await;
    browser.shows("There is no such tenant.").await;
    browser
        .open(&format!("{}/nowhere", url(server, &shop.code)))
        .await;
    browser.shows("There is nothing here.").await;
    browser.follow("Back to the front page").await;
    browser.shows("Spade").await;
}

#[tokio::test]
async fn a_form_on_another_shops_page_cannot_post_to_this_one() {
    let server = shared();
    let (ours, theirs) = (Shop::open(&server).await, Shop::open(&server).await);
    let signed_in = ours.owners_browser().await;
    let spade = [("name", "Spade"), ("code", "S"), ("price", "1")];
    for (origin, site) in [
        (Some(url(&server, &theirs.code)), None),
        (Some(url(&server, &theirs.code)), Some("same-site")),
        (
            Some(format!("http://localhost:{}", server.port())),
            Some("same-site"),
        ),
        (Some("http://example.com".into()), Some("cross-site")),
        (Some("null".into()), None),
        (None, Some("cross-site")),
        (None, Some("same-site")),
    ] {
        let mut client = signed_in.clone();
        if let Some(origin) = &origin {
            client = client.with("origin", origin);
        }
        if let Some(site) = site {
            client = client.with("sec-fetch-site", site);
        }
        let answer = client.form("/products", &spade).await;
        assert_eq!(answer.status, 403, "{origin:?} {site:?}");
        client.form("/sign-out", &[]).await.is(403);
        client.get("/").await.is(200); // to look is no harm
    }
    assert_eq!(ours.visitor().get("/api/products").await.ids().len(), 0);
    // its own pages may
    let own = signed_in.with("origin", &url(&server, &ours.code));
    own.with("sec-fetch-site", "same-origin")
        .form("/products", &spade)
        .await
        .redirects_to("/");
    assert_eq!(ours.visitor().get("/api/products").await.ids().len(), 1);
}

#[tokio::test]
async fn a_session_is_its_hosts_alone() {
    let shop = Shop::shared().await;
    let login = [("email", "owner@example.com"), ("password", PASSWORD)];
    let answer = shop.by_host().browser().form("/sign-in", &login).await;
    answer.redirects_to("/");
    let cookie = answer.header("set-cookie").unwrap();
    assert!(
        cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Lax"),
        "{cookie}"
    );
    assert!(!cookie.to_lowercase().contains("domain"), "{cookie}");
    let browser = shop.by_host().browser().cookie(&session_in(&answer));
    browser.get("/products/new").await.page(200);
    let left = browser.form("/sign-out", &[]).await;
    left.redirects_to("/");
    assert!(left.header("set-cookie").unwrap().contains("Max-Age=0"));
    browser.get("/products/new").await.redirects_to("/sign-in");
    shop.as_owner().get("/api/auth/me").await.is(200);
}

#[tokio::test]
async fn a_page_shows_what_others_change_without_being_loaded_again() {
    let (shop, other) = (Shop::shared().await, Shop::shared().await);
    let browser = Browser::start().await;
    let run = |script: &'static str| {
        let client = browser.client.clone();
        async move { client.execute(script, Vec::new()).await.unwrap() }
    };
    browser.open(&url(shop.server(), &shop.code)).await;
    browser.shows("The shelves are empty").await;
    run("window.mark = 'not loaded again'").await;
    let spade = text(&shop.stock("Spade", "S", "12.5").await["id"]);
    browser.comes_to_show("Spade").await;
    let dearer = json!({ "price": "13.75" });
    let path = format!("/api/products/{spade}");
    shop.as_owner().patch(&path, dearer).await.is(200);
    browser.comes_to_show("13.75").await;
    other.stock("Stranger", "X", "1").await;
    shop.as_owner().delete(&path).await.is(204);
    browser.comes_to_show("The shelves are empty").await;
    assert_eq!(run("return window.mark").await, "not loaded again");
    // whoever types is left alone, and the search is not what is replaced
    let search = browser.client.find(Locator::Css("#q")).await.unwrap();
    search.send_keys("ho").await.unwrap();
    shop.stock("Hoe", "H", "1").await;
    browser.comes_to_show("Hoe").await;
    let typed = run("return document.querySelector('#q').value").await;
    assert_eq!(typed, "ho");
    let page = run("return document.body.textContent").await;
    assert!(!page.as_str().unwrap().contains("Stranger"));
}

#[tokio::test]
async fn a_theme_is_seen_and_runs_no_script() {
    let (shop, other) = (Shop::shared().await, Shop::shared().await);
    let (server, owner) = (shop.server(), shop.as_owner());
    let theme = json!({
        "accent": "#a33", "ground": "#fffaf0", "ink": "#222",
        "style": "h1 { letter-spacing: 3px }",
        "layout": "<h1>{{ shop.name }}, dressed up</h1>{{ search }}{{ content }}",
        "front": "ours{% if query == 'boom' %}<script>document.title = 'ran'</script>{% endif %}",
    });
    owner.put("/api/theme", theme).await.is(200);
    for shop in [&shop, &other] {
        let owner = shop.as_owner();
        let logo = owner.raw("PUT", "/api/theme/logo", "image/png", png(40, 20));
        logo.await.is(200);
    }
    let browser = Browser::start().await;
    let run = |script: &'static str| {
        let client = browser.client.clone();
        async move { client.execute(script, Vec::new()).await.unwrap() }
    };
    browser.open(&url(server, &shop.code)).await;
    browser.shows(", dressed up").await;
    let seen = run(
        "const of = (css, what) => getComputedStyle(document.querySelector(css))[what];
         return [of('.search .button', 'backgroundColor'), of('body', 'backgroundColor'),
            of('body', 'color'), of('h1', 'letterSpacing')]",
    );
    assert_eq!(
        seen.await,
        json!([
            "rgb(170, 51, 51)",
            "rgb(255, 250, 240)",
            "rgb(34, 34, 34)",
            "3px"
        ])
    );
    // in the application's own layout there is the logo
    let front = json!({ "accent": "#a33", "front": "ours" });
    owner.put("/api/theme", front).await.is(200);
    browser.open(&url(server, &shop.code)).await;
    browser.shows("ours").await;
    let logo = run("return document.querySelector('img.logo').naturalWidth");
    assert_eq!(logo.await, json!(40));

    // a theme that has a script in it the one time is not shown, and one that were would not run
    let broken = json!({
        "front": "ours{% if query == 'boom' %}<script>document.title = 'ran'</script>{% endif %}",
    });
    owner.put("/api/theme", broken).await.is(200);
    browser
        .open(&format!("{}/?q=boom", url(server, &shop.code)))
        .await;
    browser.does_not_show("ours").await;
    browser.shows("Nothing matches").await;
    assert_ne!(run("return document.title").await, json!("ran"));

    let script = "const add = (name, fields) => {
            const one = Object.assign(document.createElement(name), fields);
            document.documentElement.append(one);
        };
        window.refused = [];
        document.addEventListener('securitypolicyviolation',
            event => window.refused.push(event.effectiveDirective));
        const [elsewhere] = arguments;
        add('script', { textContent: \"document.title = 'ran'\" });
        add('style', { textContent: 'body { color: red }' });
        add('img', { src: elsewhere + '/theme/logo' });
        add('link', { rel: 'stylesheet', href: elsewhere + '/theme/colours.css' });
        return document.title";
    let elsewhere = vec![json!(url(server, &other.code))];
    let title = browser.client.execute(script, elsewhere.clone()).await;
    assert_ne!(title.unwrap(), json!("ran"));
    for _ in 0..PATIENCE.as_millis() / 20 {
        let refused = run("return window.refused.toSorted()").await;
        if refused.as_array().is_some_and(|all| all.len() == 4) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        run("return window.refused.toSorted()").await,
        json!([
            "img-src",
            "script-src-elem",
            "style-src-elem",
            "style-src-elem"
        ])
    );
    // where no policy forbids it, all of it happens
    browser
        .open(&format!("{}/assets/style.css", url(server, &shop.code)))
        .await;
    let title = browser.client.execute(script, elsewhere).await;
    assert_eq!(title.unwrap(), json!("ran"));
    assert_eq!(run("return window.refused").await, json!([]));
}

#[tokio::test]
async fn a_shop_is_dressed_in_a_browser() {
    let shop = Shop::shared().await;
    shop.stock("Spade", "S", "1").await;
    let browser = Browser::start().await;
    let home = url(shop.server(), &shop.code);
    browser.open(&format!("{home}/sign-in")).await;
    browser.sign_in(PASSWORD).await;
    browser.follow("Settings").await;
    browser.fill(&[("accent", "#a3")]).await;
    browser.press("Save the theme").await;
    assert!(
        browser
            .error_of("accent")
            .await
            .contains("must be a colour")
    );
    browser.fill(&[("accent", "#a33")]).await;
    let layout = browser.client.find(Locator::Css("textarea[name='layout']"));
    let words = "<p>Dressed up</p>{{ account }}{{ content }}";
    layout.await.unwrap().send_keys(words).await.unwrap();
    let colour =
        "return getComputedStyle(document.querySelector('.tools .button')).backgroundColor";
    browser.press("Preview").await;
    browser.shows("This is a preview").await;
    browser.shows("Dressed up").await;
    let seen = browser.client.execute(colour, Vec::new()).await.unwrap();
    assert_eq!(seen, json!("rgb(170, 51, 51)"));
    browser.press("Go on changing it").await;
    let typed = browser.client.find(Locator::Css("textarea[name='layout']"));
    let typed = typed.await.unwrap().prop("value").await.unwrap();
    assert_eq!(typed.as_deref(), Some(words));
    browser.press("Preview").await;
    browser.press("Save the theme").await;
    browser.shows("It is saved.").await;
    browser.open(&home).await;
    browser.shows("Dressed up").await;
    browser.does_not_show("This is a preview").await;
    browser.shows("Sign out").await;
    browser.follow("Spade").await;
    browser.shows("Dressed up").await;
    browser.shows("1.00 EUR").await;
}
