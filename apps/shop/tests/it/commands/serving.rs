//! What a place is set up with, and how it is served.

use super::*;

#[tokio::test]
async fn the_demo_fills_an_empty_place_once() {
    let place = Place::new();
    let told = place.run(&["demo"]).ok().stdout;
    for word in [
        "acme.localhost",
        "globex.localhost",
        "owner@example.com",
        PASSWORD,
    ] {
        assert!(told.contains(word), "{told}");
    }
    assert_eq!(codes(&place), ["acme", "globex"]);
    place.run(&["demo"]).refuses(4);
    let server = place.serve();
    for code in ["acme", "globex"] {
        let token = log_in(&server.tenant(code), "owner@example.com", PASSWORD).await;
        let owner = server.tenant(code).bearer(&token);
        assert_eq!(owner.get("/api/products").await.ids().len(), 20);
        let roles = owner.get("/api/users").await.each("role");
        assert!(
            roles.contains(&"owner".into()) && roles.contains(&"staff".into()),
            "{roles:?}"
        );
        log_in(&server.tenant(code), "staff@example.com", PASSWORD).await;
    }
}

#[test]
fn in_production_nothing_is_set_up_unasked() {
    let place = Place::of(Setup {
        profile: Some("production"),
        ..Setup::default()
    });
    for command in [
        &["serve", "--addr", "127.0.0.1:0"][..],
        &["tenant", "list"],
        &["demo"],
    ] {
        let refused = place.run(command).refuses(4);
        assert!(refused.stderr.contains("hint:"), "{refused:?}");
    }
    place.run(&["check"]).exits(4);
    assert_eq!(place.files_in("").len(), 0);
    place.run(&["migrate", "--all"]).ok();
    let create = [
        "tenant",
        "create",
        "acme",
        "--name",
        "Acme",
        "--host",
        "shops.example.com",
    ];
    assert_eq!(
        place.run(&create).ok().stdout.trim(),
        "https://acme.shops.example.com"
    );
    place.run(&["check"]).ok();
    place.run(&["demo"]).refuses(4);
}

#[tokio::test]
async fn behind_tls_cookies_are_secure_and_hosts_are_the_deployments() {
    let place = Place::of(Setup {
        profile: Some("production"),
        ..Setup::default()
    });
    place.run(&["migrate", "--all"]).ok();
    let server = place.serve();
    let shop = Shop::open(&server).await;
    let login = [("email", "owner@example.com"), ("password", PASSWORD)];
    let answer = shop.by_host().browser().form("/sign-in", &login).await;
    answer.redirects_to("/");
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["; HttpOnly", "; SameSite=Lax", "; Secure", "; Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.to_lowercase().contains("domain"), "{cookie}");
}

#[test]
fn settings_come_from_the_flag_then_the_environment_then_the_file() {
    let place = Place::new();
    let url = |command: &mut std::process::Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let create = |code| place.command(&["tenant", "create", code, "--name", "X"]);
    assert_eq!(url(&mut create("one")), "http://one.localhost:8000");
    std::fs::write(place.path("shop.toml"), "host = \"file.example.com\"\n").unwrap();
    assert_eq!(url(&mut create("two")), "http://two.file.example.com:8000");
    let by_environment = url(create("three").env("SHOP_HOST", "env.example.com"));
    assert_eq!(by_environment, "http://three.env.example.com:8000");
    let by_flag = url(create("four")
        .env("SHOP_HOST", "env.example.com")
        .args(["--host", "flag.example.com"]));
    assert_eq!(by_flag, "http://four.flag.example.com:8000");
    std::fs::write(place.path("shop.toml"), "hots = \"typo.example.com\"\n").unwrap();
    place.run(&["tenant", "list"]).refuses(2);
}

#[tokio::test]
async fn without_a_command_it_serves() {
    let place = Place::new();
    let mut child = place
        .command(&[])
        .env("SHOP_ADDR", "127.0.0.1:0")
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    let url = line.trim().strip_prefix("listening on ").map(str::to_owned);
    let http = tenantry_trial::http().build().unwrap();
    let health = http.get(format!("{}/healthz", url.unwrap_or_default()));
    let health = health.send().await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(health.unwrap().status(), 200);
}

#[cfg(not(feature = "otlp"))]
#[test]
fn a_collector_is_refused_where_opentelemetry_is_not_built_in() {
    let place = Place::new();
    for command in ["check", "serve", "worker"] {
        let flags = [command, "--otlp-endpoint", "http://localhost:4318"];
        let refused = place.run(&flags).refuses(2);
        let told = &refused.stderr;
        assert!(told.contains("built without OpenTelemetry"), "{refused:?}");
        assert!(told.contains("--features otlp"), "{refused:?}");
    }
}

#[cfg(not(feature = "redis"))]
#[test]
fn redis_is_refused_where_it_is_not_built_in() {
    let place = Place::new();
    for command in ["check", "serve", "migrate"] {
        let url = "redis://:hunter2@localhost";
        let refused = place.run(&[command, "--redis-url", url]).refuses(2);
        let told = &refused.stderr;
        assert!(told.contains("built without Redis"), "{refused:?}");
        assert!(told.contains("--features redis"), "{refused:?}");
        assert!(!told.contains("hunter2"), "{refused:?}");
    }
}
