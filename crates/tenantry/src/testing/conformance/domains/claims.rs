//! Whose a host is.

use futures_util::future::join_all;

use super::{
    super::{Place, at_once, list, soon, users::add_user},
    SHOP, World, get, host, routes, send, send_to, serve, site, whose,
};
use crate::{
    accounts::NewAccount,
    domains::{DomainError, MOST_DOMAINS},
    tenant::TenantCode,
    testing::NameServer,
    users::Tokens,
};

list! { "domains":
    claimed_is_nobodys, shown_by_its_record_alone, claimed_by_many_and_shown_by_one, shown_by_many_at_once, nobodys_is_taken_over, removed, others_learn_of_it, the_deployments_own_are_nobodys, no_more_than_so_many, name_servers_that_fail, with_a_header_of_another, not_let_in_by_another, no_place_for_an_accounts_cookie,
}

async fn claimed_is_nobodys(place: Place) {
    let world = World::of(place).await;
    let claim = world.claim("acme", SHOP).await;
    assert!(claim.verified_at.is_none() && !claim.is_primary);
    assert!(claim.record.name.ends_with(&format!(".{SHOP}")));
    assert_eq!(
        world.claim("acme", SHOP).await,
        claim,
        "said again it is the same"
    );
    assert_eq!(whose(world.tenancy(), SHOP).await, None);
    assert_eq!(
        world
            .tenancy()
            .tenant_by_domain(&host(SHOP))
            .await
            .unwrap()
            .map(drop),
        None
    );
    let tenant = world.place.tenant("acme").await;
    let early = world
        .tenancy()
        .domains(&tenant)
        .set_primary(&host(SHOP))
        .await;
    assert!(matches!(early, Err(DomainError::NotVerified)), "{early:?}");
    // the control
    world.publish(&[&claim]);
    world.verify("acme", SHOP).await.unwrap();
    assert_eq!(whose(world.tenancy(), SHOP).await.as_deref(), Some("acme"));
    assert_eq!(
        whose(world.tenancy(), "Shop.Example.:8000")
            .await
            .as_deref(),
        Some("acme")
    );
    assert_eq!(whose(world.tenancy(), "www.shop.example").await, None);
    assert_eq!(whose(world.tenancy(), "example").await, None);
}

async fn shown_by_its_record_alone(place: Place) {
    let world = World::of(place).await;
    let claim = world.claim("acme", SHOP).await;
    let theirs = world.claim("globex", SHOP).await;
    let elsewhere = world.claim("acme", "other.example").await;
    assert_ne!(claim.record.value, theirs.record.value);
    assert_ne!(claim.record.value, elsewhere.record.value);
    let (name, value) = (&claim.record.name, &claim.record.value);
    let refused = async |why: &str| {
        let answer = world.verify("acme", SHOP).await;
        assert!(
            matches!(answer, Err(DomainError::NoRecord(_))),
            "{why}: {answer:?}"
        );
        assert_eq!(whose(world.tenancy(), SHOP).await, None, "{why}");
    };
    refused("nothing there").await;
    world.names.set::<String>(name, []);
    refused("no text there").await;
    for wrong in [
        theirs.record.value.clone(),
        elsewhere.record.value.clone(),
        format!("{value} "),
        format!(" {value}"),
        format!("{value}x"),
        value[..value.len() - 1].to_owned(),
        value.to_uppercase(),
        value.split_once('=').unwrap().1.to_owned(),
        String::new(),
    ] {
        world.names.set(name, [wrong.clone()]);
        refused(&wrong).await;
    }
    world.names.set(name, ["v=spf1 -all"]);
    world.names.set(SHOP, [value.clone()]);
    refused("at another name").await;
    // among others, and at once when it is there
    world.names.set(name, ["v=spf1 -all", value, "x"]);
    let shown = world.verify("acme", SHOP).await.unwrap();
    assert!(shown.verified_at.is_some());
    assert_eq!(whose(world.tenancy(), SHOP).await.as_deref(), Some("acme"));
    // and from then on without asking
    world.names.set::<String>(name, []);
    let asked = world.names.asked();
    assert_eq!(world.verify("acme", SHOP).await.unwrap(), shown);
    assert_eq!(world.names.asked(), asked);
}

async fn claimed_by_many_and_shown_by_one(place: Place) {
    let world = World::of(place).await;
    // whoever comes first and shows nothing is in nobody's way
    let squatter = world.claim("acme", SHOP).await;
    let theirs = world.claim("globex", SHOP).await;
    world.publish(&[&theirs]);
    world.verify("globex", SHOP).await.unwrap();
    assert_eq!(
        whose(world.tenancy(), SHOP).await.as_deref(),
        Some("globex")
    );
    // and cannot have it any more, even with the record
    world.publish(&[&squatter]);
    let late = world.verify("acme", SHOP).await;
    assert!(matches!(late, Err(DomainError::Taken)), "{late:?}");
    let third = world.place.tenant("initech").await;
    let claim = world.tenancy().domains(&third).claim(&host(SHOP)).await;
    assert!(matches!(claim, Err(DomainError::Taken)), "{claim:?}");
    let acme = world.place.tenant("acme").await;
    let domains = world.tenancy().domains(&acme);
    let primary = domains.set_primary(&host(SHOP)).await;
    assert!(
        matches!(primary, Err(DomainError::NotVerified)),
        "{primary:?}"
    );
    // letting go of a claim takes nothing from whom it is
    domains.remove(&host(SHOP)).await.unwrap();
    assert_eq!(
        whose(world.tenancy(), SHOP).await.as_deref(),
        Some("globex")
    );
    for refused in [
        domains.remove(&host(SHOP)).await.map(drop),
        domains.verify(&host(SHOP)).await.map(drop),
        domains.set_primary(&host(SHOP)).await.map(drop),
        domains.get(&host(SHOP)).await.map(drop),
    ] {
        assert!(matches!(refused, Err(DomainError::NotFound)), "{refused:?}");
    }
}

async fn shown_by_many_at_once(place: Place) {
    let world = World::of(place).await;
    let other = world.beside().await;
    let codes: Vec<String> = (0..6).map(|n| format!("tenant-{n}")).collect();
    let mut claims = Vec::new();
    for code in &codes {
        claims.push(world.claim(code, SHOP).await);
    }
    world.publish(&claims.iter().collect::<Vec<_>>());
    let attempts = codes.iter().enumerate().map(|(n, code)| {
        let tenancy = if n % 2 == 0 { world.tenancy() } else { &other };
        let (tenancy, code) = (tenancy.clone(), code.parse::<TenantCode>().unwrap());
        async move {
            let tenant = tenancy.tenant(&code).await.unwrap().unwrap();
            (code, tenancy.domains(&tenant).verify(&host(SHOP)).await)
        }
    });
    let mut winners = Vec::new();
    for (code, outcome) in join_all(attempts).await {
        match outcome {
            Ok(_) => winners.push(code.to_string()),
            Err(DomainError::Taken) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(whose(world.tenancy(), SHOP).await, winners.pop());
    other.close();
}

async fn nobodys_is_taken_over(place: Place) {
    let world = World::of(place).await;
    let other = world.beside().await;
    // both processes remember that it is nobody's
    assert_eq!(whose(world.tenancy(), SHOP).await, None);
    assert_eq!(whose(&other, SHOP).await, None);
    let acme = world.own("acme", SHOP).await;
    assert_eq!(whose(world.tenancy(), SHOP).await.as_deref(), Some("acme"));
    soon("others know whose it is", async || {
        whose(&other, SHOP).await.as_deref() == Some("acme")
    })
    .await;
    // from one to the other: who has it lets go of it
    world
        .tenancy()
        .domains(&acme)
        .remove(&host(SHOP))
        .await
        .unwrap();
    world.own("globex", SHOP).await;
    assert_eq!(
        whose(world.tenancy(), SHOP).await.as_deref(),
        Some("globex")
    );
    soon("others know whose it is now", async || {
        whose(&other, SHOP).await.as_deref() == Some("globex")
    })
    .await;
    other.close();
}

async fn removed(place: Place) {
    let world = World::of(place).await;
    let acme = world.own_primary("acme", SHOP).await;
    world.own("acme", "second.example").await;
    let domains = world.tenancy().domains(&acme);
    domains.remove(&host(SHOP)).await.unwrap();
    assert_eq!(whose(world.tenancy(), SHOP).await, None);
    // what is left is still there, and sends nobody to what is gone
    let at = get(world.tenancy(), "second.example", "/who").await;
    assert_eq!((at.status, at.body.as_str()), (200, "acme"));
    let at = get(world.tenancy(), "acme.localhost", "/who").await;
    assert_eq!((at.status, at.body.as_str()), (200, "acme"));
    let acme = world.place.tenant("acme").await;
    assert_eq!(acme.primary_domain(), None);
    // to have it again it has to be shown again, by another record
    let again = world.claim("acme", SHOP).await;
    let asked = world.verify("acme", SHOP).await;
    assert!(matches!(asked, Err(DomainError::NoRecord(_))), "{asked:?}");
    world.publish(&[&again]);
    world.verify("acme", SHOP).await.unwrap();
}

async fn others_learn_of_it(place: Place) {
    let world = World::of(place).await;
    let other = world.beside().await;
    let acme = world.own("acme", SHOP).await;
    world.own("acme", "second.example").await;
    let from = async |at: &str| get(&other, at, "/who").await;
    soon("it is known", async || from(SHOP).await.status == 200).await;
    assert_eq!(from("acme.localhost").await.status, 200);
    let domains = world.tenancy().domains(&acme);
    domains.set_primary(&host(SHOP)).await.unwrap();
    for at in ["acme.localhost", "second.example"] {
        soon("it is the primary one", async || {
            from(at).await.location.as_deref() == Some("http://shop.example:8000/who")
        })
        .await;
    }
    domains.clear_primary().await.unwrap();
    for at in ["acme.localhost", "second.example", SHOP] {
        soon("none is", async || from(at).await.status == 200).await;
    }
    domains.remove(&host(SHOP)).await.unwrap();
    soon("it is gone", async || whose(&other, SHOP).await.is_none()).await;
    assert_eq!(
        from("second.example").await.body,
        "acme",
        "and nothing else"
    );
    other.close();
}

async fn the_deployments_own_are_nobodys(place: Place) {
    let mut world = World::of(place).await;
    let config = world.place.config().base_host("Shops.Example");
    world.place.reopen_as(config).await;
    let acme = world.place.tenant("acme").await;
    let domains = world.tenancy().domains(&acme);
    for own in ["shops.example", "globex.shops.example", "a.b.shops.example"] {
        let claim = domains.claim(&host(own)).await;
        assert!(
            matches!(claim, Err(DomainError::Reserved)),
            "{own}: {claim:?}"
        );
    }
    for other in ["myshops.example", "shops.example.test"] {
        domains.claim(&host(other)).await.unwrap();
    }
}

async fn no_more_than_so_many(place: Place) {
    let world = World::of(place).await;
    for n in 0..MOST_DOMAINS {
        world.claim("acme", &format!("n{n}.example")).await;
    }
    let acme = world.place.tenant("acme").await;
    let domains = world.tenancy().domains(&acme);
    let more = domains.claim(&host(SHOP)).await;
    assert!(matches!(more, Err(DomainError::TooMany)), "{more:?}");
    domains.claim(&host("n0.example")).await.unwrap();
    domains.remove(&host("n1.example")).await.unwrap();
    domains.claim(&host(SHOP)).await.unwrap();
    assert_eq!(domains.list().await.unwrap().len(), MOST_DOMAINS);
}

async fn name_servers_that_fail(place: Place) {
    let mut world = World::of(place).await;
    let claim = world.claim("acme", SHOP).await;
    world.publish(&[&claim]);
    world.names.break_down(true);
    let asked = at_once(world.verify("acme", SHOP)).await;
    assert!(
        matches!(asked, Err(DomainError::NameServers(_))),
        "{asked:?}"
    );
    assert_eq!(whose(world.tenancy(), SHOP).await, None);
    world.names.break_down(false);
    world.verify("acme", SHOP).await.unwrap();
    // and one that is not there at all
    let gone = NameServer::start().addr();
    let config = world.place.config().name_servers([gone]);
    world.place.reopen_as(config).await;
    world.claim("acme", "second.example").await;
    let asked = at_once(world.verify("acme", "second.example")).await;
    assert!(
        matches!(asked, Err(DomainError::NameServers(_))),
        "{asked:?}"
    );
    assert_eq!(whose(world.tenancy(), "second.example").await, None);
    assert_eq!(whose(world.tenancy(), SHOP).await.as_deref(), Some("acme"));
}

async fn with_a_header_of_another(place: Place) {
    let world = World::of(place).await;
    world.own("acme", SHOP).await;
    world.place.tenant("globex").await;
    let named = async |code: &str| {
        let header = [("tenant-code", code)];
        send(world.tenancy(), "GET", SHOP, "/who", &header).await
    };
    for other in ["globex", "nobody"] {
        let answer = named(other).await;
        assert_eq!(answer.status, 400, "{other}: {answer:?}");
        assert!(answer.body.contains("tenant-conflict"), "{answer:?}");
    }
    assert_eq!(named("x'; DROP").await.status, 404);
    // the same tenant twice is no conflict
    assert_eq!(named("acme").await.body, "acme");
    // and a host that is nobody's is that, whatever the header says
    let header = [("tenant-code", "acme")];
    let nobodys = send(world.tenancy(), "GET", "other.example", "/who", &header).await;
    assert_eq!(nobodys.status, 404, "{nobodys:?}");
}

async fn not_let_in_by_another(place: Place) {
    let world = World::of(place).await;
    for (code, at) in [("acme", SHOP), ("globex", "other.example")] {
        world.own(code, at).await;
    }
    let mut tokens = Vec::new();
    for code in ["acme", "globex"] {
        let db = world.place.db(code).await;
        let ann = add_user(&world.place, &db, "ann@example.com").await;
        tokens.push(Tokens::on(&db).issue(ann.id).await.unwrap().secret);
    }
    let ask = async |at: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        let header = [("authorization", bearer.as_str())];
        send(world.tenancy(), "GET", at, "/me", &header).await
    };
    for (at, own, other) in [(SHOP, 0, 1), ("other.example", 1, 0)] {
        let refused = ask(at, &tokens[other]).await;
        assert_eq!(refused.status, 401, "{at}: {refused:?}");
        let known = ask(at, &tokens[own]).await;
        assert_eq!(
            (known.status, known.body.as_str()),
            (200, "ann@example.com")
        );
    }
    // a domain that changes hands does not bring along who was let in
    let acme = world.place.tenant("acme").await;
    world
        .tenancy()
        .domains(&acme)
        .remove(&host(SHOP))
        .await
        .unwrap();
    world.own("globex", SHOP).await;
    assert_eq!(ask(SHOP, &tokens[0]).await.status, 401);
    assert_eq!(ask(SHOP, &tokens[1]).await.status, 200);
}

/// The cookie is good in all tenants of its account, and who owns a domain can have it lead elsewhere.
async fn no_place_for_an_accounts_cookie(place: Place) {
    let world = World::of(place).await;
    world.own_primary("acme", SHOP).await;
    let accounts = world.tenancy().accounts();
    let new = NewAccount {
        email: "ann@example.com".into(),
        password: "correct horse battery".into(),
        first_name: "Ann".into(),
        last_name: String::new(),
    };
    let ann = accounts.create(new).await.unwrap().id;
    let token = accounts.issue(ann).await.unwrap().secret;
    let (id, cookie, bearer) = (
        ann.to_string(),
        format!("account={token}"),
        format!("Bearer {token}"),
    );
    let kept = serve(routes().account_sessions(&site()), world.tenancy());
    let ask = async |at: &str, method: &str, path: &str, header: (&str, &str)| {
        let answer = send_to(kept.clone(), method, at, path, &[header]).await;
        (answer.status, answer.body)
    };
    for (at, is_own) in [("localhost", true), ("acme.localhost", true), (SHOP, false)] {
        let (status, body) = ask(at, "POST", "/api/sign-in", ("account", &id)).await;
        assert_eq!(status, if is_own { 200 } else { 403 }, "{at}: {body}");
        assert!(is_own || body.contains("not-on-this-host"), "{at}: {body}");
        let (status, body) = ask(at, "GET", "/api/account", ("cookie", &cookie)).await;
        assert_eq!(status, if is_own { 200 } else { 401 }, "{at}: {body}");
        // who sends a token means to
        let (status, body) = ask(at, "GET", "/api/account", ("authorization", &bearer)).await;
        assert_eq!((status, body.as_str()), (200, "ann@example.com"), "{at}");
    }
    // nor is anybody sent there from where they are known
    let page = ask("acme.localhost", "GET", "/who", ("cookie", &cookie)).await;
    assert_eq!(page, (200, "acme".into()));
    let unknown = get(world.tenancy(), "acme.localhost", "/who").await;
    assert_eq!(unknown.status, 301);
}
