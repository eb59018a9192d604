//! How much of the deployment a shop may take, by its plan: over HTTP, with servers that run.

use std::time::Duration;

use serde_json::json;

use crate::support::{A_SECOND, Answer, Client, Place, Shop, link_in_mail, until};

/// Asks until it is told that this was too much, and how often it was answered before.
async fn exhaust(client: &Client) -> (u32, Answer) {
    for answered in 0..1_000 {
        let answer = client.get("/api/products").await;
        if answer.status != 200 {
            answer.problem(429, "too-many-requests");
            return (answered, answer);
        }
        let left = answer.header("ratelimit").unwrap();
        assert!(left.starts_with("\"requests\";r="), "{left}");
    }
    panic!("nobody is limited");
}

#[tokio::test]
async fn a_noisy_shop_is_limited_and_another_does_not_notice() {
    let place = Place::new();
    let server = place.serve();
    let noisy = Shop::open(&server).await;
    let quiet = Shop::open(&server).await;
    place.run(&["tenant", "plan", &noisy.code, "free"]).ok();
    let policy = r#""requests";q=100;w=10"#;
    until(A_SECOND, "the plan is known", || async {
        let answer = noisy.visitor().get("/api/products").await;
        answer.header("ratelimit-policy") == Some(policy)
    })
    .await;

    let (answered, refused) = exhaust(&noisy.visitor()).await;
    assert!(answered >= 50, "{answered} of a burst of 100");
    assert_eq!(refused.header("ratelimit-policy"), Some(policy));
    let left = refused.header("ratelimit").unwrap();
    assert!(left.starts_with("\"requests\";r=0;t="), "{left}");
    // whoever is signed in is no exception, nor is a browser, which is shown a page
    let owner = noisy.as_owner();
    let page = noisy.by_host().browser();
    let mut shown = 0;
    for _ in 0..20 {
        owner.get("/api/auth/me").await;
        let answer = page.get("/").await;
        if answer.status == 429 {
            answer.page(429);
            assert!(answer.header("retry-after").is_some());
            assert!(answer.header("ratelimit").is_some());
            shown += 1;
        }
    }
    assert!(shown > 0);
    // nobody else hears of it
    for _ in 0..20 {
        let answer = quiet.visitor().get("/api/products").await.is(200);
        assert_eq!(answer.header("ratelimit"), None);
        assert_eq!(answer.header("ratelimit-policy"), None);
    }
    server.central().get("/").await.is(200);
    server.tenant(&noisy.code).get("/healthz").await.is(200);

    // what is told is true
    let (_, refused) = exhaust(&noisy.visitor()).await;
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=10).contains(&wait), "{wait}");
    tokio::time::sleep(Duration::from_secs(wait)).await;
    noisy.visitor().get("/api/products").await.is(200);
}

#[tokio::test]
async fn another_plan_holds_within_a_second_in_every_server() {
    let place = Place::new();
    let servers = [place.serve(), place.serve()];
    let shop = Shop::open(&servers[0]).await;
    let clients = servers.each_ref().map(|server| server.tenant(&shop.code));
    let holds = async |plan: &str, policy: Option<&str>| {
        place.run(&["tenant", "plan", &shop.code, plan]).ok();
        for client in &clients {
            until(A_SECOND, plan, || async {
                let answer = client.get("/api/products").await;
                answer.status == 200 && answer.header("ratelimit-policy") == policy
            })
            .await;
        }
    };
    holds("free", Some(r#""requests";q=100;w=10"#)).await;
    for client in &clients {
        exhaust(client).await;
    }
    holds("standard", Some(r#""requests";q=1000;w=10"#)).await;
    holds("", None).await;

    place.run(&["tenant", "plan", &shop.code, "free"]).ok();
    let told = place.run(&["tenant", "limits", &shop.code, "--json"]).ok();
    let told = told.json();
    assert_eq!(told["plan"], "free");
    assert_eq!(
        told["requests"],
        json!({ "per_second": 10.0, "burst": 100 })
    );
    assert_eq!(told["statement_timeout_ms"], 5_000);
    assert_eq!(told["jobs_waiting"], json!({ "used": 0, "most": 20 }));
    let people = place.run(&["tenant", "limits", &shop.code]).ok().stdout;
    assert!(people.contains("10 a second, 100 at once"), "{people}");
    place.run(&["tenant", "limits", "nobody"]).refuses(3);
}

#[tokio::test]
async fn of_those_who_are_invited_no_more_join_at_once_than_may() {
    let place = Place::new();
    let server = place.serve();
    let shop = Shop::open(&server).await;
    shop.hire("staff").await;
    let mut links = Vec::new();
    for number in 0..4 {
        let email = format!("invited-{number}@example.com");
        let invited = json!({ "email": email, "role": "staff" });
        shop.as_owner()
            .post("/api/invitations", invited)
            .await
            .is(201);
        links.push(link_in_mail(&shop, &email).await);
    }
    place.run(&["tenant", "plan", &shop.code, "free"]).ok();
    let visitor = shop.visitor();
    until(A_SECOND, "the plan is known", || async {
        let answer = visitor.get("/api/products").await;
        answer.header("ratelimit").is_some()
    })
    .await;
    let accept = |link: &String| {
        let body = json!({
            "link": link, "password": "the password of many", "first_name": "Pat",
        });
        let visitor = &visitor;
        async move { visitor.post("/api/invitations/accept", body).await }
    };
    let answers = futures_util::future::join_all(links.iter().map(accept)).await;
    let joined = answers.iter().filter(|one| one.status == 201).count();
    assert_eq!(joined, 1, "the plan has three, and there were two");
    for refused in answers.iter().filter(|one| one.status != 201) {
        refused.problem(403, "plan-limit");
    }
    let users = shop.as_owner().get("/api/users").await;
    assert_eq!(users.ids().len(), 3);
    // the link of whoever was refused stays good
    let left = answers.iter().position(|one| one.status != 201).unwrap();
    place.run(&["tenant", "plan", &shop.code, "standard"]).ok();
    until(A_SECOND, "the other plan is known", || async {
        accept(&links[left]).await.status == 201
    })
    .await;
}
