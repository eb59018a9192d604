//! Shops' own themes, and the page on which they are changed.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    A_SECOND, Place, Server, Shop, form_with_picture, log_in, png, shared, text, unique, until,
};

const LAYOUT: &str = "<header class=\"top\">{% if logo %}<img src=\"{{ logo }}\" alt=\"\">{% endif %}\
    <a href=\"{{ shop.url }}\">{{ shop.name }}</a> of ours {{ account }}</header>\n{{ content }}";
const FRONT: &str = "{{ search }}<ol>{% for product in products %}\
    <li><a href=\"{{ product.url }}\">{{ product.name|upper }}</a> {{ product.price }}</li>\
    {% endfor %}</ol>";
const PRODUCT: &str = "<h1>Just {{ product.name }}</h1>";

fn theme() -> Value {
    json!({
        "accent": "#A3c", "ground": "#fff", "ink": "#222",
        "style": ".top { letter-spacing: 1px }",
        "layout": LAYOUT, "front": FRONT, "product": PRODUCT,
    })
}

async fn dress(shop: &Shop, theme: Value) {
    shop.as_owner().put("/api/theme", theme).await.is(200);
}

async fn set_logo(shop: &Shop, picture: Vec<u8>) -> Value {
    let owner = shop.as_owner();
    let set = owner
        .raw("PUT", "/api/theme/logo", "image/png", picture)
        .await;
    set.is(200).json()["fields"]["logo"].clone()
}

async fn front(shop: &Shop) -> String {
    shop.by_host().browser().get("/").await.page(200)
}

#[tokio::test]
async fn a_storefront_is_as_its_shop_would_have_it() {
    let shop = Shop::shared().await;
    let other = Shop::shared().await;
    let product = text(&shop.stock("<Spade>", "S", "12.34").await["id"]);
    let plain = front(&shop).await;
    assert!(
        plain.contains("class=\"awning\"") && !plain.contains("/theme/"),
        "{plain}"
    );
    let path = format!("/products/{product}");
    let page = shop.by_host().browser().get(&path).await.page(200);
    assert!(
        page.contains("&#60;Spade&#62;") && page.contains("12.34"),
        "{page}"
    );

    dress(&shop, theme()).await;
    let version = text(&set_logo(&shop, png(900, 300)).await);
    let shown = shop.as_owner().get("/api/theme").await.is(200).json();
    assert_eq!(shown["fields"]["accent"], "#aa33cc");
    let page = front(&shop).await;
    for part in [
        "<header class=\"top\">",
        &format!("<img src=\"/theme/logo?v={version}\" alt=\"\">"),
        "of ours",
        "href=\"/sign-in\"",
        "<form class=\"search\"",
        &format!("<a href=\"{path}\">&lt;SPADE&gt;</a> 12.34"),
        "href=\"/theme/colours.css?v=",
        "href=\"/theme/style.css?v=",
    ] {
        assert!(page.contains(part), "no {part}: {page}");
    }
    assert!(!page.contains("awning"), "{page}");
    let page = shop.by_host().browser().get(&path).await.page(200);
    assert!(page.contains("<h1>Just &lt;Spade&gt;</h1>"), "{page}");

    let colours = shop.visitor().get("/theme/colours.css").await.is(200);
    assert_eq!(
        colours.header("content-type"),
        Some("text/css; charset=utf-8")
    );
    assert_eq!(
        colours.header("cache-control"),
        Some("private, max-age=300")
    );
    assert!(
        colours.text().contains("--accent: #aa33cc;"),
        "{}",
        colours.text()
    );
    let style = shop.visitor().get("/theme/style.css").await.is(200).text();
    assert_eq!(style, ".top { letter-spacing: 1px }");
    let logo = shop.visitor().get("/theme/logo").await.is(200);
    let logo = image::load_from_memory(&logo.body).unwrap();
    assert_eq!((logo.width(), logo.height()), (512, 171));

    // where people sign in or work it is not
    for path in ["/sign-in", "/forgot-password"] {
        let page = shop.by_host().browser().get(path).await.page(200);
        assert!(
            !page.contains("/theme/") && !page.contains("of ours"),
            "{page}"
        );
    }
    let browser = shop.owners_browser().await;
    for path in ["/settings", "/products/new"] {
        let page = browser.get(path).await.page(200);
        assert!(
            !page.contains("rel=\"stylesheet\" href=\"/theme/"),
            "{page}"
        );
        assert!(!page.contains("class=\"top\""), "{page}");
    }
    // nor in another shop
    let theirs = front(&other).await;
    assert!(
        !theirs.contains("/theme/") && !theirs.contains("of ours"),
        "{theirs}"
    );
    other
        .visitor()
        .get("/theme/logo")
        .await
        .problem(404, "not-found");
    assert_eq!(
        other.visitor().get("/theme/style.css").await.is(200).text(),
        ""
    );

    shop.as_owner().delete("/api/theme").await.is(204);
    let page = front(&shop).await;
    assert!(
        page.contains("awning") && !page.contains("/theme/"),
        "{page}"
    );
    shop.visitor()
        .get("/theme/logo")
        .await
        .problem(404, "not-found");
    let files = shop
        .server()
        .place()
        .files_in(&format!("files/{}", shop.id));
    assert_eq!(files, [""; 0]);
}

#[tokio::test]
async fn who_may_change_it_and_what_it_may_be() {
    let shop = Shop::shared().await;
    let staff = shop.as_user(&shop.hire("staff").await);
    for (client, status, slug) in [
        (shop.visitor(), 401, "authentication-required"),
        (staff, 403, "forbidden"),
    ] {
        client.get("/api/theme").await.problem(status, slug);
        client
            .put("/api/theme", theme())
            .await
            .problem(status, slug);
        client.delete("/api/theme").await.problem(status, slug);
        client.delete("/api/theme/logo").await.problem(status, slug);
        let logo = client
            .raw("PUT", "/api/theme/logo", "image/png", png(2, 2))
            .await;
        logo.problem(status, slug);
    }
    let admin = shop.as_user(&shop.hire("admin").await);
    admin.put("/api/theme", theme()).await.is(200);
    let before = front(&shop).await;

    let owner = shop.as_owner();
    let in_front = |source: &str| json!({ "front": source });
    for (bad, field, why) in [
        (
            in_front("a\n<script>x</script>"),
            "front",
            "line 2: may not have <script>",
        ),
        (in_front("<p onclick=\"x\">"), "front", "onclick"),
        (in_front("<a href=\"javascript:x\">y</a>"), "front", "href"),
        (
            in_front("<form action=\"/sign-in\"></form>"),
            "front",
            "<form>",
        ),
        (in_front("<input name=\"password\">"), "front", "<input>"),
        (
            in_front("<iframe src=\"/sign-in\"></iframe>"),
            "front",
            "<iframe>",
        ),
        (
            in_front("<img src=\"//evil.example/x\">"),
            "front",
            "same host",
        ),
        (in_front("<p>\n\n</div>"), "front", "line 3"),
        (
            in_front("{% include '/etc/passwd' %}"),
            "front",
            "statement",
        ),
        (in_front("{% include 'layout' %}"), "front", "statement"),
        (in_front("{{ env('PATH') }}"), "front", "calls"),
        (in_front("{{ tenant.id }}"), "front", "undefined"),
        (in_front("\n{{ products[0].secret }}"), "front", "line 2"),
        (
            in_front("{% for a in range(1000000000) %}x{% endfor %}"),
            "front",
            "calls",
        ),
        (in_front("{{ 'x' * 1000000000 }}"), "front", "operators"),
        (in_front(&"x".repeat(70_000)), "front", "at most"),
        (
            json!({ "layout": "<p>no content</p>" }),
            "layout",
            "{{ content }}",
        ),
        (
            json!({ "product": "{{ products }}" }),
            "product",
            "undefined",
        ),
        (
            json!({ "style": "a { background: url(//evil.example/x) }" }),
            "style",
            "url()",
        ),
        (json!({ "style": "@import '/x';" }), "style", "@import"),
        (
            json!({ "style": "</style><script>x</script>" }),
            "style",
            "HTML",
        ),
        (
            json!({ "accent": "red;} a{background:url(//x)" }),
            "accent",
            "colour",
        ),
        (
            json!({ "ground": "#fff", "ink": "#eee" }),
            "ink",
            "contrast",
        ),
        (json!({ "grounds": "#fff" }), "grounds", "unknown"),
    ] {
        let refused = owner.put("/api/theme", bad.clone()).await;
        refused.invalid(&[field]);
        assert!(refused.text().contains(why), "{bad}: {}", refused.text());
    }
    assert_eq!(
        front(&shop).await,
        before,
        "what was refused changed something"
    );

    for (what, bytes) in [
        ("words", b"words".to_vec()),
        (
            "a drawing",
            b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>".to_vec(),
        ),
        ("too wide", png(12_001, 1)),
    ] {
        let refused = owner
            .raw("PUT", "/api/theme/logo", "image/png", bytes)
            .await;
        assert_eq!(refused.status, 422, "{what}: {}", refused.text());
    }
    let large = owner
        .raw(
            "PUT",
            "/api/theme/logo",
            "image/png",
            vec![0; (2 << 20) + 1],
        )
        .await;
    large.problem(413, "payload-too-large");
    let files = shop
        .server()
        .place()
        .files_in(&format!("files/{}", shop.id));
    assert_eq!(files, [""; 0]);
}

/// A logo is of a shop's files, by a name that says nothing of whose it is.
#[tokio::test]
async fn a_logo_of_another_shop_is_none() {
    let (ours, theirs) = (Shop::shared().await, Shop::shared().await);
    let mut logos = Vec::new();
    for shop in [&ours, &theirs] {
        logos.push(set_logo(shop, png(4, 4)).await);
    }
    let take = |logo: &Value| json!({ "logo": logo });
    let owner = theirs.as_owner();
    for foreign in [&logos[0], &json!(Uuid::now_v7())] {
        let refused = owner.patch("/api/settings/theme", take(foreign)).await;
        refused.invalid(&["logo"]);
    }
    // and their own is
    owner
        .patch("/api/settings/theme", take(&logos[1]))
        .await
        .is(200);
    theirs.visitor().get("/theme/logo").await.is(200);
    let none = owner
        .patch("/api/settings/theme", json!({ "logo": null }))
        .await;
    none.is(200);
    theirs
        .visitor()
        .get("/theme/logo")
        .await
        .problem(404, "not-found");
    ours.visitor().get("/theme/logo").await.is(200);
}

#[tokio::test]
async fn a_theme_that_breaks_falls_back_and_its_owner_is_told() {
    let server = Server::start(&Place::new(), &[]);
    let shop = Shop::open(&server).await;
    for number in 0..24 {
        shop.stock("Spade", &format!("S{number}"), "1").await;
    }
    let show = || {
        let shown = server
            .place()
            .run(&["tenant", "show", &shop.code, "--json"]);
        shown.ok().json()["real"]["notes"].clone()
    };
    let loops = "{% for a in products %}{% for b in products %}{% for c in products %}\
                 {{ a.name }}{{ b.name }}{{ c.name }}{% endfor %}{% endfor %}{% endfor %}";
    for (source, path, why) in [
        (loops, "/", "out of fuel"),
        (
            "ours{% if query == 'boom' %}{{ nobody }}{% endif %}",
            "/?q=boom",
            "undefined",
        ),
        (
            "ours{% if query == 'boom' %}<form>{% endif %}",
            "/?q=boom",
            "may not have <form>",
        ),
    ] {
        let style = json!({ "front": source, "style": ".x { color: red }" });
        dress(&shop, style).await;
        assert_eq!(show(), json!([]), "{source}");
        let owner = shop.as_owner();
        assert_eq!(
            owner.get("/api/theme").await.is(200).json()["fault"],
            Value::Null
        );
        let page = shop.by_host().browser().get(path).await.page(200);
        assert!(
            page.contains("awning") && !page.contains("ours"),
            "{source}: {page}"
        );
        assert!(!page.contains("/theme/style.css"), "{page}");
        let fault = &owner.get("/api/theme").await.is(200).json()["fault"];
        assert_eq!(fault["part"], "front");
        assert!(text(&fault["error"]).contains(why), "{fault}");
        let noted = text(&show()[0]);
        assert!(noted.contains("front") && noted.contains(why), "{noted}");
        let page = shop.owners_browser().await.get("/settings").await.page(200);
        assert!(page.contains("could not be used on"), "{page}");
        assert!(server.stderr().contains("the shop's theme cannot be used"));
    }
    // with the next it is over
    dress(&shop, json!({ "front": "ours" })).await;
    assert!(front(&shop).await.contains("ours"));
    assert_eq!(show(), json!([]));
}

#[tokio::test]
async fn a_change_is_known_to_every_process_within_a_second() {
    let place = Place::new();
    let servers = [place.serve(), place.serve()];
    let shop = Shop::open(&servers[0]).await;
    for (number, server) in servers.iter().cycle().take(4).enumerate() {
        let words = format!("version {number} of it");
        let owner = server.tenant(&shop.code).bearer(&shop.owner.token);
        let theme = json!({ "front": words, "style": format!("/* {words} */") });
        owner.put("/api/theme", theme).await.is(200);
        for server in &servers {
            until(A_SECOND, "the theme is known", || async {
                let page = server.host(&shop.code).browser().get("/").await.page(200);
                let style = server.tenant(&shop.code).get("/theme/style.css").await;
                page.contains(&words) && style.text().contains(&words)
            })
            .await;
        }
    }
    let set = [
        "tenant",
        "settings",
        &shop.code,
        "set",
        "theme.front",
        "from the command line",
    ];
    place.run(&set).ok();
    until(A_SECOND, "that is known, too", || async {
        front(&shop).await.contains("from the command line")
    })
    .await;
    let bad = [
        "tenant",
        "settings",
        &shop.code,
        "set",
        "theme.front",
        "<script>",
    ];
    let refused = place.run(&bad).refuses(2);
    assert!(
        refused.stderr.contains("may not have <script>"),
        "{}",
        refused.stderr
    );
}

async fn looks_like_ours(server: &std::sync::Arc<Server>, code: &str) {
    let page = server.host(code).browser().get("/").await.page(200);
    assert!(
        page.contains("of ours") && page.contains("/theme/logo?v="),
        "{code}: {page}"
    );
    server.tenant(code).get("/theme/logo").await.is(200);
    let style = server.tenant(code).get("/theme/style.css").await.is(200);
    assert!(style.text().contains("letter-spacing"), "{}", style.text());
}

#[tokio::test]
async fn a_theme_goes_where_its_shop_goes() {
    let server = shared();
    let (shop, place) = (Shop::open(&server).await, server.place());
    dress(&shop, theme()).await;
    set_logo(&shop, png(30, 20)).await;
    looks_like_ours(&server, &shop.code).await;

    let (renamed, clone, copy) = (unique("renamed"), unique("clone"), unique("copy"));
    place.run(&["tenant", "rename", &shop.code, &renamed]).ok();
    looks_like_ours(&server, &renamed).await;
    place.run(&["tenant", "clone", &renamed, &clone]).ok();
    looks_like_ours(&server, &clone).await;
    let archive = place.path(&unique("archive"));
    let archive = archive.to_str().unwrap();
    place
        .run(&["tenant", "export", &renamed, "--out", archive])
        .ok();
    place
        .run(&["tenant", "import", archive, "--code", &copy])
        .ok();
    looks_like_ours(&server, &copy).await;

    // each has its own from there on
    let token = log_in(
        &server.tenant(&clone),
        "owner@example.com",
        &shop.owner.password,
    )
    .await;
    let theirs = server.tenant(&clone).bearer(&token);
    theirs.delete("/api/theme").await.is(204);
    let page = server.host(&clone).browser().get("/").await.page(200);
    assert!(!page.contains("of ours"), "{page}");
    looks_like_ours(&server, &renamed).await;
    looks_like_ours(&server, &copy).await;

    place.run(&["tenant", "delete", &renamed, "--yes"]).ok();
    until(A_SECOND, "it is gone", || async {
        server.tenant(&renamed).get("/theme/logo").await.status == 404
    })
    .await;
    place.run(&["tenant", "restore", &renamed]).ok();
    until(A_SECOND, "it is back", || async {
        server.tenant(&renamed).get("/theme/logo").await.status == 200
    })
    .await;
    looks_like_ours(&server, &renamed).await;
    place.run(&["tenant", "erase", &copy, "--yes"]).ok();
    server
        .tenant(&copy)
        .get("/theme/logo")
        .await
        .problem(404, "tenant-not-found");
}

#[tokio::test]
async fn a_shop_is_changed_in_forms() {
    let shop = Shop::shared().await;
    let browser = shop.owners_browser().await;
    browser.get("/settings").await.page(200);
    assert!(
        browser
            .get("/")
            .await
            .page(200)
            .contains("href=\"/settings\"")
    );

    let profile = [
        ("name", "Bob & Co"),
        ("tagline", "Cheap <things>"),
        ("currency", "chf"),
    ];
    let saved = browser.form("/settings/profile", &profile).await;
    saved.redirects_to("/settings?saved=profile#profile");
    let page = browser.get("/settings?saved=profile").await.page(200);
    assert!(
        page.contains("It is saved.") && page.contains("Cheap &#60;things&#62;"),
        "{page}"
    );
    let shown = shop.visitor().get("/api/shop").await.is(200).json();
    assert_eq!(shown["profile"]["currency"], "CHF");

    // what is wrong stands beside its field, and what was typed is kept
    let bad = [
        ("name", ""),
        ("tagline", "kept as typed"),
        ("currency", "money"),
    ];
    let page = browser.form("/settings/profile", &bad).await.page(422);
    for words in [
        "must not be empty",
        "kept as typed",
        "three capital letters",
        "name-error",
    ] {
        assert!(page.contains(words), "no {words}: {page}");
    }
    browser
        .form("/settings/storefront", &[("announcement", "Closed")])
        .await
        .redirects_to("/settings?saved=storefront#storefront");
    let all = shop.as_owner().get("/api/settings").await.is(200).json();
    assert_eq!(all["storefront"]["fields"]["show_prices"], false);
    let long = "x".repeat(201);
    let bad = [("announcement", long.as_str()), ("show_prices", "yes")];
    let page = browser.form("/settings/storefront", &bad).await.page(422);
    assert!(
        page.contains("at most 200") && page.contains(&long),
        "{page}"
    );
    assert!(page.contains("value=\"yes\" checked"), "{page}");

    let mail = [
        ("reply_to", "ask@acme.example"),
        ("smtp_url", "smtps://u:hunter2@mail.example:465"),
    ];
    browser
        .form("/settings/mail", &mail)
        .await
        .redirects_to("/settings?saved=mail#mail");
    let page = browser.get("/settings").await.page(200);
    assert!(
        page.contains("One is set") && !page.contains("hunter2"),
        "{page}"
    );
    let bad = [("reply_to", "nobody"), ("smtp_url", "smtps://u:hunter3@")];
    let page = browser.form("/settings/mail", &bad).await.page(422);
    assert!(
        page.contains("must be an address") && !page.contains("hunter3"),
        "{page}"
    );
    // left empty it stays, and it can be forgotten
    for (forget, is_left) in [(None, true), (Some(("forget_server", "yes")), false)] {
        let form: Vec<_> = [("reply_to", "")].into_iter().chain(forget).collect();
        browser.form("/settings/mail", &form).await.is(303);
        let all = shop.as_owner().get("/api/settings").await.is(200).json();
        assert_eq!(all["mail"]["fields"]["smtp_url"].is_object(), is_left);
    }

    let theme = [
        ("accent", "#a33"),
        ("layout", "ours\r\n\r\n{{ content }}"),
        ("style", "a{}"),
    ];
    browser
        .form("/settings/theme", &theme)
        .await
        .redirects_to("/settings?saved=theme#theme");
    let all = shop.as_owner().get("/api/theme").await.is(200).json();
    assert_eq!(all["fields"]["layout"], "ours\n\n{{ content }}");
    let bad = [("accent", "red"), ("layout", "{{ content }}")];
    let page = browser.form("/settings/theme", &bad).await.page(422);
    assert!(
        page.contains("must be a colour") && page.contains("value=\"red\""),
        "{page}"
    );
    let bad = [("accent", "#a33"), ("layout", "\r\n<script>")];
    let page = browser.form("/settings/theme", &bad).await.page(422);
    assert!(
        page.contains("line 2: may not have &#60;script&#62;"),
        "{page}"
    );
    assert!(front(&shop).await.contains("ours"));

    let sent = browser.send("POST", "/settings/logo", form_with_picture(&png(9, 9)));
    sent.await.redirects_to("/settings?saved=logo#logo");
    shop.visitor().get("/theme/logo").await.is(200);
    let wrong = browser.send("POST", "/settings/logo", form_with_picture(b"words"));
    assert!(wrong.await.page(422).contains("must be a picture"));
    browser
        .form("/settings/logo/remove", &[])
        .await
        .redirects_to("/settings?saved=logo#logo");
    browser
        .form("/settings/theme/remove", &[])
        .await
        .redirects_to("/settings?saved=theme#theme");
    assert!(front(&shop).await.contains("awning"));

    // whoever does not manage the shop does not
    let staff = shop.hire("staff").await;
    let staff = shop
        .by_host()
        .browser()
        .cookie(&shop.session_of(&staff).await);
    staff.get("/settings").await.page(403);
    staff.form("/settings/profile", &profile).await.page(403);
    assert!(
        !staff
            .get("/")
            .await
            .page(200)
            .contains("href=\"/settings\"")
    );
    // nor does a page of another site
    let elsewhere = browser.with("origin", "http://evil.example");
    elsewhere.form("/settings/theme/remove", &[]).await.is(403);
}

#[tokio::test]
async fn a_theme_is_looked_at_before_it_is_saved() {
    let shop = Shop::shared().await;
    shop.stock("Spade", "S", "1").await;
    let browser = shop.owners_browser().await;
    let before = front(&shop).await;
    let theme = [
        ("accent", "#a33"),
        ("style", "a > b { color: red }"),
        ("front", "<h2>Tried {{ products[0].name }}</h2>"),
    ];
    let refused = browser.form("/settings/theme/preview", &theme).await;
    // there may be no product
    assert!(refused.page(422).contains("line 1"));
    let front_source = "{% for product in products %}<h2>Tried {{ product.name }}</h2>{% endfor %}";
    let theme = [theme[0], theme[1], ("front", front_source)];
    let seen = browser.form("/settings/theme/preview", &theme).await;
    let policy = seen.header("content-security-policy").unwrap().to_owned();
    let page = seen.page(200);
    for words in [
        "Tried Spade",
        "--accent: #aa3333",
        "a > b { color: red }",
        "This is a preview",
    ] {
        assert!(page.contains(words), "no {words}: {page}");
    }
    let (_, nonce) = policy.split_once("'nonce-").expect(&policy);
    let nonce = nonce.split('\'').next().unwrap();
    assert!(
        page.contains(&format!("<style nonce=\"{nonce}\">")),
        "{page}"
    );
    assert_eq!(front(&shop).await, before);
    let page = browser
        .form("/settings/theme/preview", &[("accent", "red")])
        .await;
    assert!(page.page(422).contains("must be a colour"));
    let visitor = shop
        .by_host()
        .browser()
        .form("/settings/theme/preview", &theme)
        .await;
    visitor.redirects_to("/sign-in");
}
