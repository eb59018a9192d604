//! What is wrong about a request: its host, its path, its method, its end.

use serde_json::json;

use super::is_intact;
use crate::support::{Payload, Reply, Shop, exchange, get_with_hosts};

#[tokio::test]
async fn hosts_are_read_as_they_are_meant_and_no_further() {
    let shop = Shop::shared().await;
    let server = shop.server();
    let code = shop.code.as_str();
    let get = |hosts: &[&str]| {
        let hosts: Vec<_> = hosts.iter().map(|host| host.as_bytes()).collect();
        get_with_hosts(server, b"/api/shop", &hosts)
    };
    for host in [
        format!("{code}.localhost"),
        format!("{code}.localhost."),
        format!("{code}.localhost:80"),
        format!("{code}.localhost.:65535"),
        format!("{code}.localhost:"),
        format!("{}.LOCALHOST", code.to_uppercase()),
    ] {
        assert_eq!(get(&[&host]).status(), Some(200), "{host}");
    }
    for central in [
        "localhost",
        "LocalHost.",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:8000",
    ] {
        get(&[central]).problem(404, "tenant-required");
    }
    let huge_label = format!("{}.localhost", "a".repeat(64));
    let huge_name = format!("{}localhost", "a.".repeat(500));
    let foreign = format!("{code}.localhost.example.com");
    let nested = format!("www.{code}.localhost");
    let glued = format!("{code}localhost");
    let bad_port = format!("{code}.localhost:99999");
    let bad_port_2 = format!("{code}.localhost:80:80");
    let bad_port_3 = format!("{code}.localhost:x");
    let two_dots = format!("{code}.localhost..");
    let list = format!("{code}.localhost, other.localhost");
    let user = format!("user@{code}.localhost");
    let path = format!("{code}.localhost/path");
    let percent = format!("%61.{code}.localhost");
    for host in [
        "",
        ".",
        "..",
        " ",
        ":",
        ":80",
        "[",
        "[]",
        "[::1",
        "[x]:1",
        "1.2.3.4.5",
        "0x7f.1",
        "*",
        "*.localhost",
        "_.localhost",
        "-.localhost",
        ".localhost",
        "www.localhost",
        "a b",
        &huge_label,
        &huge_name,
        &foreign,
        &nested,
        &glued,
        &bad_port,
        &bad_port_2,
        &bad_port_3,
        &two_dots,
        &list,
        &user,
        &path,
        &percent,
    ] {
        let reply = get(&[host]);
        if reply.status() == Some(404) {
            reply.problem(404, "tenant-not-found");
        } else {
            reply.is_client_error(); // some never get past the HTTP parser
        }
    }
    let here = format!("{code}.localhost");
    for twice in [
        &[][..],
        &[here.as_str(), &here],
        &[&here, "localhost"],
        &["localhost", &here],
    ] {
        let reply = get(twice);
        reply.is_client_error();
        assert!(!reply.0.contains(&shop.id), "{twice:?}");
    }
    is_intact(&shop, 0).await;
}

#[tokio::test]
async fn garbage_bytes_and_huge_headers_are_the_clients_mistake() {
    let shop = Shop::shared().await;
    let server = shop.server();
    let host = format!("{}.localhost", shop.code);
    let host = host.as_bytes();
    get_with_hosts(server, b"/api/shop", &[b"\xff\xfe\x80.localhost"]).is_client_error();
    get_with_hosts(server, b"/api/shop", &[&[b'a'; 1_000_000]]).is_client_error();
    get_with_hosts(server, b"/api/\xff\xfe", &[host]).is_client_error();
    get_with_hosts(server, b"api/shop", &[host]).is_client_error();
    get_with_hosts(server, b"*", &[host]).is_client_error();
    get_with_hosts(server, b"", &[host]).is_client_error();
    let line = |text: String| exchange(server, text);
    line("GET\r\n\r\n".into()).is_client_error();
    line("\0\0\0\0\r\n\r\n".into()).is_client_error();
    line(format!(
        "GET /{} HTTP/1.1\r\nHost: x\r\n\r\n",
        "x".repeat(100_000)
    ))
    .is_client_error();
    line("GET / HTTP/9.9\r\nHost: x\r\n\r\n".into()).is_client_error();
    line("POST /shops HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".into()).is_client_error();
    let both = "Content-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: close";
    line(format!(
        "POST /shops HTTP/1.1\r\nHost: x\r\n{both}\r\n\r\n0\r\n\r\n"
    ))
    .is_client_error();
    let many: String = (0..2000)
        .map(|number| format!("X-{number}: 1\r\n"))
        .collect();
    line(format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n")).is_client_error();
    let codes = format!("Tenant-Code: {}\r\n", shop.code).repeat(60);
    let request =
        format!("GET /api/shop HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{codes}\r\n");
    assert_eq!(line(request).status(), Some(200));
    is_intact(&shop, 0).await;
}

#[tokio::test]
async fn a_tenant_header_that_is_no_code_is_nobodys() {
    let shop = Shop::shared().await;
    let get = |code: &[u8]| {
        let request = [
            &b"GET /api/shop HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTenant-Code: "[..],
            code,
            b"\r\n\r\n",
        ];
        exchange(shop.server(), request.concat())
    };
    let there: Reply = get(shop.code.as_bytes());
    assert_eq!(there.status(), Some(200));
    for bad in [
        &b""[..],
        b"\xff\xfe",
        b"x'; DROP",
        b"a,b",
        b"../x",
        b"x\tx",
        &[b'a'; 64],
        b"%61",
    ] {
        get(bad).problem(404, "tenant-not-found");
    }
    let other = format!("{}\r\nTenant-Code: other", shop.code);
    get(other.as_bytes()).problem(400, "tenant-conflict");
    // whose host is whose is not for a client to say
    let spoofed = shop
        .server()
        .central()
        .with("x-forwarded-host", &format!("{}.localhost", shop.code));
    spoofed
        .get("/api/shop")
        .await
        .problem(404, "tenant-required");
}

#[tokio::test]
async fn methods_that_are_not_there_are_405() {
    let shop = Shop::shared().await;
    for (method, path) in [
        ("DELETE", "/api/products"),
        ("PATCH", "/api/products"),
        ("POST", "/api/shop"),
        ("GET", "/api/auth/login"),
        ("PUT", "/api/users"),
        ("OPTIONS", "/api/products"),
        ("TRACE", "/api/products"),
        ("BREW", "/api/products"),
        ("DELETE", "/"),
        ("POST", "/healthz"),
    ] {
        let answer = shop.as_owner().send(method, path, Payload::Nothing).await;
        answer.problem(405, "method-not-allowed");
        assert!(answer.header("allow").is_some(), "{method} {path}");
    }
    let nowhere = shop
        .as_owner()
        .send("BREW", "/nowhere", Payload::Nothing)
        .await;
    nowhere.problem(404, "not-found");
    let browser = shop.by_host().browser();
    browser
        .send("PUT", "/sign-in", Payload::Nothing)
        .await
        .page(405);
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let shop = Shop::shared().await;
    for path in ["/", "/api/shop", "/api/products", "/healthz", "/nowhere"] {
        let get = shop.visitor().get(path).await;
        let head = shop.visitor().send("HEAD", path, Payload::Nothing).await;
        assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
        assert_eq!(
            head.header("content-type"),
            get.header("content-type"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn odd_paths_and_queries_lead_nowhere() {
    let shop = Shop::shared().await;
    let host = format!("{}.localhost", shop.code);
    let get = |path: &str| get_with_hosts(shop.server(), path.as_bytes(), &[host.as_bytes()]);
    for path in [
        "/api/products/%00",
        "/api/products/%ff%fe",
        "/api/products/%",
        "/api/products/%zz",
        "/api/products/../shop",
        "/api/products/..%2f..%2f",
        "/api/products/%2e%2e/",
        "/api//shop",
        "/api/shop/",
        "//api/shop",
        "/%61pi/shop%00",
        "/API/SHOP",
        "/assets/../Cargo.toml",
        "/assets/%2e%2e/Cargo.toml",
        "/.env",
    ] {
        get(path).problem(404, "not-found");
    }
    for query in [
        "q=%ff%fe",
        "q=%f0%28%8c%bc",
        "q=%",
        "q=%zz",
        "&&&",
        "=",
        "q",
    ] {
        assert_eq!(
            get(&format!("/api/products?{query}")).status(),
            Some(200),
            "{query}"
        );
        assert_eq!(get(&format!("/?{query}")).status(), Some(200), "{query}");
    }
    // what is meant to narrow a list and is misspelled must not show all of it
    for query in [
        "limit=1&limit=2",
        "q=a&q=b",
        "limit=%ff",
        "cursor=%ff",
        "unknown=1",
        "%00=%00",
    ] {
        get(&format!("/api/products?{query}")).problem(422, "invalid");
    }
    is_intact(&shop, 0).await;
}

#[tokio::test]
async fn a_connection_that_breaks_off_changes_nothing() {
    use std::{io::Write, net::TcpStream};
    let shop = Shop::shared().await;
    let body = json!({ "name": "Half", "code": "half" }).to_string();
    let head = |length: usize| {
        format!(
            "POST /api/products HTTP/1.1\r\nHost: {}.localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n",
            shop.code, shop.owner.token,
        )
    };
    let whole = format!("{}{body}", head(body.len()));
    for cut in [1, 20, whole.len() - body.len(), whole.len() - 1] {
        let mut stream = TcpStream::connect(shop.server().addr()).unwrap();
        stream.write_all(&whole.as_bytes()[..cut]).unwrap();
    }
    is_intact(&shop, 0).await;
    let list = shop.visitor().get("/api/products").await.json();
    assert_eq!(list["items"], json!([]));
}
