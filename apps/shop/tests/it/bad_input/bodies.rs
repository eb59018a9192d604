//! What is wrong inside a request.

use serde_json::json;

use super::is_intact;
use crate::support::{PASSWORD, Shop, exchange, opening, unique};

const JSON: &str = "application/json";

#[tokio::test]
async fn malformed_json_is_400() {
    let shop = Shop::shared().await;
    for body in [
        &b""[..],
        b"{",
        b"not json",
        br#"{"name": "x", "code": "x",}"#,
        br#"{"name": "x", "code": "x"} {}"#,
        br#"{"name": "x", "code": 'x'}"#,
        br#"{"name": "\ud800", "code": "x"}"#,
        br#"{"name": "\udc00\ud800", "code": "x"}"#,
        b"{\"name\": \"\xff\xfe\", \"code\": \"x\"}",
        b"{\"name\": \"a\nb\", \"code\": \"x\"}",
        b"\xef\xbb\xbf{\"name\": \"x\", \"code\": \"x\"}",
        br#"{"name": "x", "code": "x", "price": 1e999}"#,
        br#"{"name": "x", "code": "x", "price": NaN}"#,
    ] {
        let answer = shop
            .as_owner()
            .raw("POST", "/api/products", JSON, body)
            .await;
        answer.problem(400, "malformed");
    }
    is_intact(&shop, 0).await;
}

#[tokio::test]
async fn however_deep_json_is_nested_nothing_breaks() {
    let shop = Shop::shared().await;
    let arrays = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let objects = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    for deep in [&arrays, &objects] {
        let code = unique("deep");
        // where nobody looks it may be
        let ignored = format!(r#"{{"name": "x", "code": "{code}", "extra": {deep}}}"#);
        shop.as_owner()
            .raw("POST", "/api/products", JSON, ignored)
            .await
            .is(201);
        let read = format!(r#"{{"name": {deep}, "code": "x"}}"#);
        shop.as_owner()
            .raw("POST", "/api/products", JSON, read)
            .await
            .invalid(&["name"]);
        let price = format!(r#"{{"name": "x", "code": "x", "price": {deep}}}"#);
        shop.as_owner()
            .raw("POST", "/api/products", JSON, price)
            .await
            .invalid(&["price"]);
        let unclosed = format!(r#"{{"name": "x", "extra": {}"#, &deep[..50_000]);
        let answer = shop
            .as_owner()
            .raw("POST", "/api/products", JSON, unclosed)
            .await;
        answer.problem(400, "malformed");
    }
    is_intact(&shop, 2).await;
}

#[tokio::test]
async fn json_of_another_shape_is_422_and_names_the_field() {
    let shop = Shop::shared().await;
    for (body, field) in [
        ("[]", "name"),
        ("null", "body"),
        ("\"text\"", "body"),
        ("42", "body"),
        (r#"{"name": null, "code": "x"}"#, "name"),
        (r#"{"name": ["x"], "code": "x"}"#, "name"),
        (r#"{"name": "x", "code": {"a": 1}}"#, "code"),
        (r#"{"name": "x", "code": "x", "price": [1]}"#, "price"),
        (r#"{"name": "x", "name": "y", "code": "x"}"#, "body"),
    ] {
        let answer = shop
            .as_owner()
            .raw("POST", "/api/products", JSON, body)
            .await;
        let problem = answer.problem(422, "invalid");
        let fields: Vec<_> = problem["errors"].as_object().unwrap().keys().collect();
        assert!(
            fields == [field] || body == "[]",
            "{body}: {}",
            answer.text()
        );
    }
    let wrong = json!({ "email": 1, "password": "x" });
    shop.visitor()
        .post("/api/auth/login", wrong)
        .await
        .invalid(&["email"]);
    let wrong = json!({ "profile": { "currency": 3 } });
    shop.as_owner()
        .patch("/api/shop", wrong)
        .await
        .invalid(&["profile.currency"]);
    let mut wrong = opening(&unique("wrong"), PASSWORD);
    wrong["owner"]["first_name"] = json!(false);
    shop.server()
        .central()
        .post("/api/shops", wrong)
        .await
        .invalid(&["owner.first_name"]);
    is_intact(&shop, 0).await;
}

#[tokio::test]
async fn a_wrong_or_missing_content_type_is_415() {
    let shop = Shop::shared().await;
    let body = r#"{"name": "x", "code": "x"}"#;
    for kind in [
        "",
        "text/plain",
        "text/json",
        "application/jsonx",
        "application/xml",
        "json",
        ";",
    ] {
        let answer = shop
            .as_owner()
            .raw("POST", "/api/products", kind, body)
            .await;
        answer.problem(415, "unsupported-media-type");
    }
    let form = "application/x-www-form-urlencoded";
    shop.as_owner()
        .raw("POST", "/api/products", form, "name=x&code=x")
        .await
        .problem(415, "unsupported-media-type");
    let page = shop
        .by_host()
        .browser()
        .raw("POST", "/sign-in", JSON, "{}")
        .await;
    page.page(415);
    for (kind, code) in [
        ("application/json; charset=utf-8", "x-1"),
        ("Application/JSON", "x-2"),
        ("application/merge-patch+json", "x-3"),
    ] {
        let body = json!({ "name": "x", "code": code }).to_string();
        shop.as_owner()
            .raw("POST", "/api/products", kind, body)
            .await
            .is(201);
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_and_the_client_gets_to_know() {
    let shop = Shop::shared().await;
    let spaces = |length: usize| {
        let body = json!({ "name": "Spade", "code": unique("large") }).to_string();
        format!("{body}{}", " ".repeat(length - body.len()))
    };
    const MIB: usize = 1 << 20;
    let owner = shop.as_owner();
    owner
        .raw("POST", "/api/products", JSON, spaces(MIB))
        .await
        .is(201);
    for length in [MIB + 1, 10_000_000] {
        let answer = owner
            .raw("POST", "/api/products", JSON, spaces(length))
            .await;
        answer.problem(413, "payload-too-large");
        let answer = shop
            .visitor()
            .raw("POST", "/api/auth/login", JSON, spaces(length))
            .await;
        answer.problem(413, "payload-too-large");
        let central = shop.server().central();
        let answer = central
            .raw("POST", "/api/shops", JSON, spaces(length))
            .await;
        answer.problem(413, "payload-too-large");
        let form = format!("email=x&password={}", "x".repeat(length));
        let kind = "application/x-www-form-urlencoded";
        let page = shop
            .by_host()
            .browser()
            .raw("POST", "/sign-in", kind, form)
            .await;
        page.page(413);
    }
    is_intact(&shop, 1).await;
}

#[tokio::test]
async fn a_body_without_a_length_is_limited_too() {
    let shop = Shop::shared().await;
    let mut request = format!(
        "POST /api/products HTTP/1.1\r\nHost: {}.localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        shop.code, shop.owner.token,
    );
    for _ in 0..40 {
        request.push_str(&format!("10000\r\n{}\r\n", " ".repeat(0x10000)));
    }
    request.push_str("0\r\n\r\n");
    exchange(shop.server(), request).problem(413, "payload-too-large");
    is_intact(&shop, 0).await;
}

#[tokio::test]
async fn characters_that_no_text_should_have_are_refused() {
    let shop = Shop::shared().await;
    let owner = shop.as_owner();
    for bad in [
        "a\0b",
        "\0",
        "a\u{1}b",
        "a\u{1b}[31m",
        "a\u{7f}",
        "a\u{85}b",
        "a\nb",
    ] {
        let product = json!({ "name": bad, "code": bad });
        owner
            .post("/api/products", product)
            .await
            .invalid(&["code", "name"]);
        let user = json!({
            "email": format!("{bad}@example.com"), "password": PASSWORD, "first_name": bad,
            "last_name": format!("x{bad}x"),
        });
        owner
            .post("/api/users", user)
            .await
            .invalid(&["email", "first_name", "last_name"]);
        let change = json!({ "name": bad, "profile": { "tagline": format!("x{bad}x") } });
        owner
            .patch("/api/shop", change)
            .await
            .invalid(&["name", "profile.tagline"]);
        let fields = [("name", bad), ("code", bad), ("price", "1")];
        let editor = shop.owners_browser().await;
        editor.form("/products", &fields).await.page(422);
    }
    // while these are text, and come back as they went
    for fine in [
        "a\u{202e}b",
        "👩‍👩‍👧",
        "\u{feff}x",
        "<script>alert(1)</script>",
        "'; DROP TABLE products; --",
    ] {
        let product = json!({ "name": fine, "code": fine });
        let made = owner.post("/api/products", product).await.is(201).json();
        assert_eq!((&made["name"], &made["code"]), (&json!(fine), &json!(fine)));
    }
    let page = shop.by_host().browser().get("/").await.page(200);
    assert!(!page.contains("<script>"), "markup is not escaped");
    is_intact(&shop, 5).await;
}

#[tokio::test]
async fn a_nul_in_a_password_is_part_of_it_or_refused() {
    let shop = Shop::shared().await;
    let new = json!({ "email": "n@example.com", "password": "before\0after", "first_name": "N" });
    if shop.as_owner().post("/api/users", new).await.status == 201 {
        for cut in ["before", "before\0", "before\0other"] {
            let login = json!({ "email": "n@example.com", "password": cut });
            shop.visitor()
                .post("/api/auth/login", login)
                .await
                .problem(401, "invalid-credentials");
        }
    }
}

#[tokio::test]
async fn codes_that_are_no_host_label_are_refused_everywhere() {
    let shop = Shop::shared().await;
    let server = shop.server();
    let too_long = "a".repeat(64);
    let bad = [
        "",
        " ",
        "x'; DROP TABLE tenantry_tenants; --",
        "PG_x",
        "pg_x",
        "a_b",
        "a.b",
        "a/b",
        "../etc",
        "-a",
        "a-",
        "-",
        "xn--80ak6aa92e",
        "ab--cd",
        "www",
        "admin",
        "postgres",
        "аcme",
        "ａｃｍｅ",
        "acmé",
        "acme\u{200b}",
        "ac me",
        "a\0b",
        &too_long,
    ];
    for code in bad {
        let mut body = opening(code, PASSWORD);
        body["name"] = json!("A name that is fine");
        server
            .central()
            .post("/api/shops", body)
            .await
            .invalid(&["code"]);
        if code.is_ascii() && !code.contains('\0') {
            server
                .tenant(code)
                .get("/api/shop")
                .await
                .problem(404, "tenant-not-found");
        }
        if code.contains('\0') {
            continue; // no command line can say it
        }
        // after `--`, so that a hyphen is no flag
        let arguments = ["--name", "X", "--", code];
        let mut command = server.place().command(&["tenant", "create"]);
        let done = command.args(arguments).output().unwrap().status.code();
        assert_eq!(done, Some(2), "{code:?}");
    }
    let mut shops = server
        .place()
        .run(&["tenant", "list", "--json"])
        .ok()
        .json();
    shops
        .as_array_mut()
        .unwrap()
        .retain(|shop| bad.contains(&shop["code"].as_str().unwrap()));
    assert_eq!(shops, json!([]));
}

#[tokio::test]
async fn a_code_has_one_spelling() {
    let shop = Shop::shared().await;
    let server = shop.server();
    let twin = shop.code.to_uppercase();
    // made is only what is written right; asked for it may be as hosts are, without case
    server
        .central()
        .post("/api/shops", opening(&twin, PASSWORD))
        .await
        .invalid(&["code"]);
    for client in [
        server.tenant(&twin),
        server.host(&twin),
        server.tenant(&format!(" {twin} ")),
    ] {
        let found = client.get("/api/shop").await.is(200).json();
        assert_eq!(found["code"], shop.code);
    }
    let longest = format!("{}{}", unique("longest"), "x".repeat(40));
    let longest = &longest[..longest.len().min(63)];
    server
        .central()
        .post("/api/shops", opening(longest, PASSWORD))
        .await
        .is(201);
    server.host(longest).get("/api/shop").await.is(200);
    let digit = unique("").replace('-', "");
    server
        .central()
        .post("/api/shops", opening(&digit, PASSWORD))
        .await
        .is(201);
    server.host(&digit).get("/api/shop").await.is(200);
}

#[tokio::test]
async fn forms_that_lack_fields_are_refused_like_json() {
    let shop = Shop::shared().await;
    let editor = shop.owners_browser().await;
    let visitor = shop.by_host().browser();
    visitor.form("/sign-in", &[("email", "x")]).await.page(422);
    editor.form("/products", &[]).await.page(422);
    shop.server()
        .central()
        .browser()
        .form("/shops", &[("name", "x")])
        .await
        .page(422);
    let kind = "application/x-www-form-urlencoded";
    for body in [
        &b"%ff=%fe"[..],
        b"name=%ff&code=%00&price=1",
        b"&&&=",
        b"name=a&name=b&code=c&price=1",
    ] {
        editor.raw("POST", "/products", kind, body).await.page(422);
    }
    is_intact(&shop, 0).await;
}
