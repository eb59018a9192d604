//! Which of a tenant's hosts its URLs have, and where requests to the others go.

use futures_util::future::join_all;

use super::{
    super::{Place, list},
    SHOP, World, get, host, send,
};
use crate::{domains::DomainError, tenant::DomainName};

list! { "domains":
    one_is_primary, one_is_primary_of_many_at_once, sent_to_the_primary_one, urls_while_tenants_alternate,
}

async fn primaries(world: &World, code: &str) -> Vec<String> {
    let tenant = world.place.tenant(code).await;
    let all = world.tenancy().domains(&tenant).list().await.unwrap();
    let primary = all.into_iter().filter(|one| one.is_primary);
    primary.map(|one| one.host.to_string()).collect()
}

async fn one_is_primary(place: Place) {
    let world = World::of(place).await;
    let acme = world.own("acme", SHOP).await;
    world.own("acme", "second.example").await;
    world.own_primary("globex", "globex.example").await;
    assert!(primaries(&world, "acme").await.is_empty());
    let domains = world.tenancy().domains(&acme);
    for primary in [SHOP, "second.example", "second.example", SHOP] {
        assert!(
            domains
                .set_primary(&host(primary))
                .await
                .unwrap()
                .is_primary
        );
        assert_eq!(primaries(&world, "acme").await, [primary]);
        let tenant = world.place.tenant("acme").await;
        assert_eq!(
            tenant.primary_domain().map(DomainName::as_str),
            Some(primary)
        );
    }
    // what cannot be leaves it as it was
    world.claim("acme", "third.example").await;
    for (other, unknown) in [("third.example", false), ("globex.example", true)] {
        match domains.set_primary(&host(other)).await {
            Err(DomainError::NotVerified) if !unknown => {}
            Err(DomainError::NotFound) if unknown => {}
            outcome => panic!("{other}: {outcome:?}"),
        }
        assert_eq!(primaries(&world, "acme").await, [SHOP]);
    }
    domains.clear_primary().await.unwrap();
    assert!(primaries(&world, "acme").await.is_empty());
    assert_eq!(primaries(&world, "globex").await, ["globex.example"]);
}

async fn one_is_primary_of_many_at_once(place: Place) {
    let world = World::of(place).await;
    let other = world.beside().await;
    let hosts: Vec<String> = (0..4).map(|n| format!("n{n}.example")).collect();
    for name in &hosts {
        world.own("acme", name).await;
    }
    let acme = world.place.tenant("acme").await;
    for _ in 0..3 {
        let attempts = hosts.iter().enumerate().map(|(n, name)| {
            let tenancy = if n % 2 == 0 { world.tenancy() } else { &other };
            let (tenancy, acme) = (tenancy.clone(), acme.clone());
            async move {
                tenancy
                    .domains(&acme)
                    .set_primary(&host(name))
                    .await
                    .map(drop)
            }
        });
        for outcome in join_all(attempts).await {
            outcome.unwrap();
        }
        assert_eq!(primaries(&world, "acme").await.len(), 1);
    }
    other.close();
}

async fn sent_to_the_primary_one(place: Place) {
    let world = World::of(place).await;
    world.own("acme", "second.example").await;
    let acme = world.own_primary("acme", SHOP).await;
    world.own("globex", "globex.example").await;
    let tenancy = world.tenancy();
    let to = |path: &str| Some(format!("http://shop.example:8000{path}"));
    for at in ["acme.localhost:8000", "second.example"] {
        for path in [
            "/who",
            "/who?a=b&c=%2Fd",
            "/nothing/here?x",
            "//globex.example/",
        ] {
            let answer = get(tenancy, at, path).await;
            assert_eq!(
                (answer.status, answer.location),
                (301, to(path)),
                "{at} {path}"
            );
            let answer = send(tenancy, "HEAD", at, path, &[]).await;
            assert_eq!(
                (answer.status, answer.location),
                (301, to(path)),
                "{at} {path}"
            );
        }
        // whoever names the tenant in a header is where they want to be
        let header = [("tenant-code", "acme")];
        assert_eq!(send(tenancy, "GET", at, "/who", &header).await.body, "acme");
        let challenge = get(tenancy, at, "/.well-known/acme-challenge/x").await;
        assert_eq!(challenge.body, "acme");
    }
    // a form is sent again as it is; programs stay at the address that they know
    let form = send(tenancy, "POST", "second.example", "/who", &[]).await;
    assert_eq!((form.status, form.location), (308, to("/who")));
    let form = send(tenancy, "POST", "acme.localhost", "/who", &[]).await;
    assert_eq!(form.body, "acme");
    assert_eq!(
        get(tenancy, "acme.localhost", "/api/who").await.body,
        "acme"
    );
    let api = get(tenancy, "second.example", "/api/who").await;
    assert_eq!((api.status, api.location), (301, to("/api/who")));
    // nobody is sent on from there, and no other tenant anywhere
    for (at, code) in [
        (SHOP, "acme"),
        ("shop.example.:8000", "acme"),
        ("globex.example", "globex"),
        ("globex.localhost", "globex"),
    ] {
        let answer = get(tenancy, at, "/who").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, code), "{at}");
    }
    // where the other becomes the primary one, it is the other way round
    let second = host("second.example");
    tenancy.domains(&acme).set_primary(&second).await.unwrap();
    assert_eq!(get(tenancy, "second.example", "/who").await.body, "acme");
    let back = get(tenancy, SHOP, "/who").await;
    assert_eq!(
        back.location.as_deref(),
        Some("http://second.example:8000/who")
    );
}

async fn urls_while_tenants_alternate(place: Place) {
    let world = World::of(place).await;
    world.own_primary("acme", SHOP).await;
    world.own("globex", "globex.example").await;
    world.place.tenant("initech").await;
    let expected = [
        (SHOP, "http://shop.example:8000/a?b=c"),
        ("globex.example", "http://globex.localhost:8000/a?b=c"),
        ("globex.localhost", "http://globex.localhost:8000/a?b=c"),
        ("initech.localhost", "http://initech.localhost:8000/a?b=c"),
    ];
    let requests = (0..200).map(|n| {
        let ((at, url), tenancy) = (expected[n % expected.len()], world.tenancy().clone());
        tokio::spawn(async move {
            let answer = get(&tenancy, at, "/url").await;
            assert_eq!((answer.status, answer.body.as_str()), (200, url), "{at}");
        })
    });
    for request in join_all(requests).await {
        request.unwrap();
    }
}
