//! A shop's settings and plan, over HTTP and on the command line.

use serde_json::json;

use crate::support::{A_SECOND, Place, Shop, unique, until};

#[tokio::test]
async fn those_who_manage_a_shop_change_its_settings() {
    let shop = Shop::shared().await;
    let owner = shop.as_owner();
    let all = owner.get("/api/settings").await.is(200).json();
    let front = &all["storefront"];
    assert_eq!(front["fields"]["show_prices"], true);
    assert_eq!(front["told"], json!([]));
    shop.stock("Spade", "S", "12.34").await;
    let front = || async { shop.by_host().browser().get("/").await.page(200) };
    let before = front().await;
    assert!(before.contains("12.34") && !before.contains("Closed on Monday"));

    let change = json!({ "announcement": "Closed on Monday", "show_prices": false });
    let changed = owner.patch("/api/settings/storefront", change).await;
    let changed = changed.is(200).json();
    assert_eq!(changed["fields"]["announcement"], "Closed on Monday");
    assert_eq!(changed["told"], json!(["announcement", "show_prices"]));
    let after = front().await;
    assert!(!after.contains("12.34") && after.contains("Closed on Monday"));
    // another shop has its own
    let other = Shop::shared().await;
    let theirs = other.as_owner().get("/api/settings").await.is(200).json();
    assert_eq!(theirs["storefront"]["told"], json!([]));

    for (bad, field) in [
        (json!({ "announcement": "" }), "announcement"),
        (json!({ "announcement": "x".repeat(201) }), "announcement"),
        (json!({ "show_prices": "maybe" }), "show_prices"),
        (json!({ "shows_prices": true }), "shows_prices"),
    ] {
        let refused = owner.patch("/api/settings/storefront", bad).await;
        refused.invalid(&[field]);
    }
    for path in ["/api/settings/none", "/api/settings/Storefront"] {
        let refused = owner.patch(path, json!({})).await;
        refused.problem(404, "not-found");
    }
    let staff = shop.hire("staff").await;
    let staff = shop.as_user(&staff);
    staff.get("/api/settings").await.problem(403, "forbidden");
    let change = json!({ "announcement": "Free beer" });
    let refused = staff.patch("/api/settings/storefront", change).await;
    refused.problem(403, "forbidden");
    let nobody = shop.visitor().get("/api/settings").await;
    nobody.problem(401, "authentication-required");

    owner.delete("/api/settings/storefront").await.is(204);
    assert!(front().await.contains("12.34"));
    let log = owner.get("/api/audit").await.is(200).text();
    assert!(
        log.contains("storefront: announcement, show_prices"),
        "{log}"
    );
}

#[tokio::test]
async fn the_command_line_changes_them_for_a_server_that_runs() {
    let place = Place::new();
    let servers = [place.serve(), place.serve()];
    let shop = Shop::open_as(&servers[0], &unique("shop"), "the password").await;
    let code = shop.code.as_str();
    let announced = async |text: &str| {
        for server in &servers {
            until(A_SECOND, text, || async {
                let page = server.host(code).browser().get("/").await.page(200);
                page.contains(text)
            })
            .await;
        }
    };
    for text in ["First", "Second"] {
        let set = [
            "tenant",
            "settings",
            code,
            "set",
            "storefront.announcement",
            text,
        ];
        place.run(&set).ok();
        announced(text).await;
    }
    let told = place.run(&["tenant", "settings", code]).ok().stdout;
    assert!(
        told.contains("storefront.announcement") && told.contains("Second"),
        "{told}"
    );
    let json = place
        .run(&["tenant", "settings", code, "--json"])
        .ok()
        .json();
    assert_eq!(json["storefront"]["told"], json!(["announcement"]));
    let shown = place.run(&["tenant", "show", code, "--json"]).ok().json();
    assert_eq!(shown["real"]["settings"], json!(["storefront"]));

    // a setting that is no text is said as JSON
    let set = [
        "tenant",
        "settings",
        code,
        "set",
        "storefront.show_prices",
        "false",
    ];
    place.run(&set).ok();
    let json = place
        .run(&["tenant", "settings", code, "--json"])
        .ok()
        .json();
    assert_eq!(json["storefront"]["fields"]["show_prices"], false);
    let reset = [
        "tenant",
        "settings",
        code,
        "reset",
        "storefront.show_prices",
    ];
    place.run(&reset).ok();
    place
        .run(&["tenant", "settings", code, "reset", "storefront"])
        .ok();
    let json = place
        .run(&["tenant", "settings", code, "--json"])
        .ok()
        .json();
    assert_eq!(json["storefront"]["told"], json!([]));

    for (arguments, exit) in [
        (&["set", "storefront.none", "x"][..], 2),
        (&["set", "none.x", "x"], 2),
        (&["set", "storefront.announcement", ""], 2),
        (&["set", "storefront", "x"], 2),
        (&["set", "storefront.announcement"], 2),
        (&["reset", "none"], 2),
    ] {
        let line = [&["tenant", "settings", code][..], arguments].concat();
        place.run(&line).refuses(exit);
    }
    place.run(&["tenant", "settings", "nobody"]).refuses(3);
}

#[tokio::test]
async fn a_plan_limits_products_and_people() {
    let place = Place::new();
    let server = place.serve();
    let shop = Shop::open(&server).await;
    let refused = place.run(&["tenant", "plan", &shop.code, "fre"]).refuses(2);
    assert!(
        refused.stderr.contains("free, standard"),
        "{}",
        refused.stderr
    );
    // on none there is no limit
    for number in 0..9 {
        shop.stock("Spade", &format!("S{number}"), "1").await;
    }
    shop.hire("staff").await;
    place.run(&["tenant", "plan", &shop.code, "free"]).ok();
    // which one that is started now knows from the start
    let late = place.serve();
    let owner = late.tenant(&shop.code).bearer(&shop.owner.token);
    // whoever adds at once: one more fits, whatever they do
    let add = async |number: u32| {
        let new = json!({ "name": "Rake", "code": format!("R{number}"), "price": "1" });
        owner.post("/api/products", new).await
    };
    let answers = futures_util::future::join_all((0..6).map(add)).await;
    let made = answers.iter().filter(|one| one.status == 201).count();
    assert_eq!(made, 1, "of six who add the tenth one does");
    for refused in answers.iter().filter(|one| one.status != 201) {
        refused.problem(403, "plan-limit");
    }
    let listed = owner.get("/api/products?limit=200").await.is(200);
    assert_eq!(listed.ids().len(), 10);

    let third = json!({
        "email": "third@example.com", "password": "the password of three", "first_name": "Pat",
    });
    owner.post("/api/users", third).await.is(201);
    let person = json!({
        "email": "one-too-many@example.com", "password": "the password of one", "first_name": "Pat",
    });
    let refused = owner.post("/api/users", person.clone()).await;
    refused.problem(403, "plan-limit");
    // another shop is none the worse for it
    let other = Shop::open(&server).await;
    for number in 0..11 {
        other.stock("Spade", &format!("S{number}"), "1").await;
    }
    place.run(&["tenant", "plan", &shop.code, "standard"]).ok();
    until(A_SECOND, "the other plan is known", || async {
        add(99).await.status == 201
    })
    .await;
    owner.post("/api/users", person).await.is(201);
}

#[tokio::test]
async fn a_rotation_that_is_killed_is_ended_by_the_next() {
    for point in ["keys.added", "keys.sealed"] {
        let place = Place::new();
        for code in ["acme", "globex"] {
            place.run(&["tenant", "create", code, "--name", "X"]).ok();
            let set = [
                "tenant",
                "settings",
                code,
                "set",
                "mail.smtp_url",
                "--stdin",
            ];
            place
                .run_with_input(&set, "smtps://mail.example.com\n")
                .ok();
        }
        let keys = || place.run(&["keys", "list", "--json"]).ok().json();
        assert_eq!(keys().as_array().unwrap().len(), 1);
        place
            .run_until_killed(&["keys", "rotate"], "", point)
            .killed();
        // an older key still seals something
        place.run(&["keys", "drop"]).refuses(4);
        place.run(&["keys", "rotate"]).ok();
        let after = keys();
        assert_eq!(after.as_array().unwrap().len(), 2, "{point}: {after}");
        assert_eq!(
            (&after[0]["secrets"], &after[1]["secrets"]),
            (&json!(2), &json!(0))
        );
        place.run(&["keys", "drop"]).ok();
        assert_eq!(keys().as_array().unwrap().len(), 1);
        // without the key a secret is named, and nothing is made up for it
        std::fs::rename(place.data().join("keys"), place.path("keys")).unwrap();
        let checked = place.run(&["check", "--json"]).exits(4);
        assert!(
            checked.stdout.contains("which is not here"),
            "{}",
            checked.stdout
        );
        place.run(&["keys", "rotate"]).exits(5);
    }
}
