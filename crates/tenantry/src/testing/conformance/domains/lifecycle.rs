//! What becomes of domains when something happens to the tenant.

use super::{
    super::{Place, list, place as new_place, soon},
    SHOP, World, get, host, site, whose,
};
use crate::{
    Tenant,
    domains::DomainError,
    lifecycle::{Exporting, GRACE},
    tenant::{Isolation, Placement, TenantCode},
};

list! { "domains":
    renamed, suspended, deleted_and_restored, erased, copies_have_none, moved, backed_up,
}

async fn renamed(place: Place) {
    let world = World::of(place).await;
    let acme = world.own_primary("acme", SHOP).await;
    let before = site().url(&acme, "/a");
    assert_eq!(get(world.tenancy(), SHOP, "/who").await.body, "acme");
    let new: TenantCode = "acme-eu".parse().unwrap();
    world.tenancy().rename(&acme, &new).await.unwrap();
    assert_eq!(get(world.tenancy(), SHOP, "/who").await.body, "acme-eu");
    let acme = world.tenancy().tenant(&new).await.unwrap().unwrap();
    assert_eq!(site().url(&acme, "/a"), before);
    // whoever has the old code now has nothing of it
    world.place.tenant("acme").await;
    assert_eq!(get(world.tenancy(), SHOP, "/who").await.body, "acme-eu");
    let other = get(world.tenancy(), "acme.localhost", "/who").await;
    assert_eq!((other.status, other.body.as_str()), (200, "acme"));
}

async fn suspended(place: Place) {
    let world = World::of(place).await;
    let acme = world.own_primary("acme", SHOP).await;
    world.own("acme", "second.example").await;
    assert_eq!(get(world.tenancy(), SHOP, "/who").await.status, 200);
    world.tenancy().suspend(&acme).await.unwrap();
    for at in [SHOP, "second.example", "acme.localhost"] {
        let answer = get(world.tenancy(), at, "/who").await;
        assert_eq!(answer.status, 503, "{at}: {answer:?}");
        assert!(answer.body.contains("tenant-suspended"), "{answer:?}");
    }
    // an operator can still see to its domains
    let domains = world.tenancy().domains(&acme);
    domains.set_primary(&host("second.example")).await.unwrap();
    world.tenancy().resume(&acme).await.unwrap();
    assert_eq!(
        get(world.tenancy(), "second.example", "/who").await.status,
        200
    );
}

async fn deleted_and_restored(place: Place) {
    let world = World::of(place).await;
    let other = world.beside().await;
    let acme = world.own_primary("acme", SHOP).await;
    soon("it is known", async || whose(&other, SHOP).await.is_some()).await;
    let gone = world.tenancy().delete(&acme, GRACE).await.unwrap();
    assert_eq!(whose(world.tenancy(), SHOP).await, None);
    soon("it is gone", async || whose(&other, SHOP).await.is_none()).await;
    // it is not free yet, and nothing can be done with it
    let globex = world.place.tenant("globex").await;
    let claim = world.tenancy().domains(&globex).claim(&host(SHOP)).await;
    assert!(matches!(claim, Err(DomainError::Taken)), "{claim:?}");
    let domains = world.tenancy().domains(&acme);
    for refused in [
        domains.claim(&host("second.example")).await.map(drop),
        domains.set_primary(&host(SHOP)).await.map(drop),
        domains.clear_primary().await,
        domains.remove(&host(SHOP)).await,
    ] {
        assert!(
            matches!(refused, Err(DomainError::NotPossible)),
            "{refused:?}"
        );
    }
    let back = world.tenancy().restore(&gone, None).await.unwrap();
    assert_eq!(back.primary_domain(), Some(&host(SHOP)));
    assert_eq!(whose(world.tenancy(), SHOP).await.as_deref(), Some("acme"));
    soon("it is back", async || whose(&other, SHOP).await.is_some()).await;
    other.close();
}

async fn erased(place: Place) {
    let world = World::of(place).await;
    let other = world.beside().await;
    let acme = world.own_primary("acme", SHOP).await;
    world.claim("acme", "second.example").await;
    soon("it is known", async || whose(&other, SHOP).await.is_some()).await;
    let certificate = world.tenancy().erase(&acme).await.unwrap();
    assert_eq!(certificate.removed.domains, 2);
    assert_eq!(whose(world.tenancy(), SHOP).await, None);
    soon("it is gone", async || whose(&other, SHOP).await.is_none()).await;
    assert!(
        world
            .tenancy()
            .domains(&acme)
            .list()
            .await
            .unwrap()
            .is_empty()
    );
    // and anybody's again
    world.own("globex", SHOP).await;
    assert_eq!(
        whose(world.tenancy(), SHOP).await.as_deref(),
        Some("globex")
    );
    other.close();
}

async fn copies_have_none(place: Place) {
    let world = World::of(place).await;
    let tenancy = world.tenancy();
    let acme = world.own_primary("acme", SHOP).await;
    let copy = tenancy
        .clone_tenant(&acme, world.place.new_tenant("copy"))
        .await
        .unwrap();
    let file = world.place.folder().join("acme.tenant");
    tenancy
        .export(&acme, &file, Exporting::default())
        .await
        .unwrap();
    let new = Some("imported".parse::<TenantCode>().unwrap());
    let imported = tenancy.import(&file, new, |new| new).await.unwrap();
    for tenant in [&copy, &imported] {
        assert_eq!(tenant.primary_domain(), None);
        assert!(tenancy.domains(tenant).list().await.unwrap().is_empty());
    }
    assert_eq!(whose(tenancy, SHOP).await.as_deref(), Some("acme"));
}

async fn moved(place: Place) {
    let world = World::of(place).await;
    let acme = world.own_primary("acme", SHOP).await;
    let to = match world.place.isolation() {
        Isolation::File => return moved_nowhere(&world, &acme).await,
        _ => Placement::new(Isolation::File, "local"),
    };
    let there = world.tenancy().move_tenant(&acme, to).await.unwrap();
    assert_eq!(there.primary_domain(), Some(&host(SHOP)));
    assert_eq!(whose(world.tenancy(), SHOP).await.as_deref(), Some("acme"));
}

/// On files alone there is nowhere to go: what fails changes nothing.
async fn moved_nowhere(world: &World, acme: &Tenant) {
    let to = Placement::new(Isolation::Schema, "local");
    assert!(world.tenancy().move_tenant(acme, to).await.is_err());
    assert_eq!(whose(world.tenancy(), SHOP).await.as_deref(), Some("acme"));
}

async fn backed_up(place: Place) {
    let world = World::of(place).await;
    let tenancy = world.tenancy();
    let claim = world.claim("globex", SHOP).await;
    let acme = world.own_primary("acme", SHOP).await;
    let folder = world.place.folder().join("backup");
    tenancy.backup(&folder, None, |_| {}).await.unwrap();
    // one beside itself has none
    let beside: TenantCode = "beside".parse().unwrap();
    let restored = tenancy
        .restore_tenant(&folder, acme.code(), Some(&beside), None)
        .await;
    let restored = restored.unwrap();
    assert!(tenancy.domains(&restored).list().await.unwrap().is_empty());
    // and the whole is as it was, wherever that goes
    for isolation in [Isolation::File, Isolation::Schema] {
        let there = new_place(isolation).await;
        assert_eq!(whose(there.tenancy(), SHOP).await, None);
        there
            .tenancy()
            .restore_backup(&folder, |_| {})
            .await
            .unwrap();
        assert_eq!(whose(there.tenancy(), SHOP).await.as_deref(), Some("acme"));
        let acme = there.tenant("acme").await;
        assert_eq!(acme.primary_domain(), Some(&host(SHOP)));
        let globex = there.tenant("globex").await;
        let theirs = there.tenancy().domains(&globex).list().await.unwrap();
        let secret = |value: &str| value.split_once('=').unwrap().1.to_owned();
        assert_eq!(secret(&theirs[0].record.value), secret(&claim.record.value));
        assert!(theirs[0].verified_at.is_none());
    }
}
