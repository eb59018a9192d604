//! JSON Web Tokens.

use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;
use uuid::Uuid;

use super::{
    super::{Place, list, users::add_user},
    ann, is_invalid, twin,
};
use crate::{
    db::{DbError, TenantDb},
    users::{JwtPair, JwtPolicy, Jwts, Links, UserChange, Users},
};

list! { "jwts":
    a_jwt_speaks_for_its_user,
    jwts_of_another_tenant,
    jwts_are_not_mixed_up,
    forged_jwts_are_nobody,
    a_refresh_is_good_once,
    of_many_refreshes_one_is_good,
    keys_are_rotated,
    the_inactive_lose_access_at_once,
    a_further_sign_in_ends_the_oldest,
}

async fn jwts<'d>(place: &Place, db: &'d TenantDb, code: &str) -> Jwts<'d> {
    Jwts::on(db, &place.tenant(code).await)
}

async fn a_jwt_speaks_for_its_user(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let jwts = jwts(&place, &db, "acme").await;
    let pair = jwts.issue(user.id).await.unwrap();
    assert!(Jwts::is_one(&pair.access) && Jwts::is_one(&pair.refresh));
    let known = jwts.authenticate(&pair.access).await.unwrap().unwrap();
    assert_eq!(known.user, user);
    jwts.end(known.family).await.unwrap();
    assert!(jwts.authenticate(&pair.access).await.unwrap().is_none());
    assert!(jwts.refresh(&pair.refresh).await.unwrap().is_none());
    let nobody = jwts.issue(Uuid::now_v7()).await;
    assert!(matches!(nobody.map(drop), Err(DbError::NotFound)));
}

async fn jwts_of_another_tenant(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let other = twin(&place, &user).await;
    let pair = jwts(&place, &db, "acme")
        .await
        .issue(user.id)
        .await
        .unwrap();
    let theirs = jwts(&place, &other, "globex").await;
    theirs.issue(user.id).await.unwrap();
    assert!(theirs.authenticate(&pair.access).await.unwrap().is_none());
    assert!(theirs.refresh(&pair.refresh).await.unwrap().is_none());
    // not even with the same key and the same family: it was made for another audience
    let key: (Uuid, Vec<u8>) = db
        .query("SELECT id, secret FROM jwt_keys")
        .one()
        .await
        .unwrap();
    let family: (Uuid, Uuid) = db
        .query("SELECT id, current FROM jwt_families")
        .one()
        .await
        .unwrap();
    let now = Utc::now();
    other
        .query("INSERT INTO jwt_keys (id, secret, created_at) VALUES ($1, $2, $3)")
        .bind(key.0)
        .bind(key.1)
        .bind(now)
        .execute()
        .await
        .unwrap();
    other
        .query(
            "INSERT INTO jwt_families (id, user_id, current, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(family.0)
        .bind(user.id)
        .bind(family.1)
        .bind(now)
        .bind(now + TimeDelta::days(1))
        .execute()
        .await
        .unwrap();
    assert!(theirs.authenticate(&pair.access).await.unwrap().is_none());
    let ours = jwts(&place, &db, "acme").await;
    assert!(ours.authenticate(&pair.access).await.unwrap().is_some());
}

async fn jwts_are_not_mixed_up(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let jwts = jwts(&place, &db, "acme").await;
    let pair = jwts.issue(user.id).await.unwrap();
    assert!(jwts.authenticate(&pair.refresh).await.unwrap().is_none());
    assert!(jwts.refresh(&pair.access).await.unwrap().is_none());
    assert!(jwts.authenticate(&pair.access).await.unwrap().is_some());
}

async fn forged_jwts_are_nobody(place: Place) {
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
    let (db, user) = ann(&place, "acme").await;
    let bob = add_user(&place, &db, "bob@example.com").await;
    let jwts = jwts(&place, &db, "acme").await;
    let JwtPair { access, .. } = jwts.issue(user.id).await.unwrap();
    let other = jwts.issue(bob.id).await.unwrap().access;
    let part = |token: &str, n: usize| token.split('.').nth(n).unwrap().to_owned();
    let [header, claims, signature] = [0, 1, 2].map(|n| part(&access, n));
    let decode = |part: &str| String::from_utf8(BASE64.decode(part).unwrap()).unwrap();
    let none = BASE64.encode(decode(&header).replace("HS256", "none"));
    let other_algorithm = BASE64.encode(decode(&header).replace("HS256", "HS512"));
    let later = decode(&claims).replace(&user.id.to_string(), &bob.id.to_string());
    for forged in [
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{signature}"),
        format!("{other_algorithm}.{claims}.{signature}"),
        format!("{header}.{}.{signature}", part(&other, 1)),
        format!("{header}.{claims}.{}", part(&other, 2)),
        format!("{header}.{}.{signature}", BASE64.encode(later)),
        format!("{header}.{claims}."),
        format!("{header}.{claims}"),
        format!("{header}..{signature}"),
        format!("..{signature}"),
        "eyJ.eyJ.eyJ".into(),
        "eyJhbGciOiJIUzI1NiJ9.e30.x".into(),
        "\0".into(),
        String::new(),
    ] {
        let known = jwts.authenticate(&forged).await.unwrap();
        assert!(known.is_none(), "{forged}");
    }
    assert!(jwts.authenticate(&access).await.unwrap().is_some());
}

async fn a_refresh_is_good_once(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let jwts = jwts(&place, &db, "acme").await;
    let apart = jwts.issue(user.id).await.unwrap();
    let first = jwts.issue(user.id).await.unwrap();
    let second = jwts.refresh(&first.refresh).await.unwrap().unwrap();
    assert!(jwts.authenticate(&second.access).await.unwrap().is_some());
    // shown again: somebody has a copy, and the family ends
    assert!(jwts.refresh(&first.refresh).await.unwrap().is_none());
    assert!(jwts.authenticate(&second.access).await.unwrap().is_none());
    assert!(jwts.refresh(&second.refresh).await.unwrap().is_none());
    let other = jwts.authenticate(&apart.access).await.unwrap();
    assert!(other.is_some(), "another sign-in goes on");
}

async fn of_many_refreshes_one_is_good(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let jwts = jwts(&place, &db, "acme").await;
    let pair = jwts.issue(user.id).await.unwrap();
    let all = join_all((0..8).map(|_| jwts.refresh(&pair.refresh))).await;
    let good = all
        .into_iter()
        .filter(|one| matches!(one, Ok(Some(_))))
        .count();
    assert!(good <= 1, "{good}");
}

async fn keys_are_rotated(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let jwts = jwts(&place, &db, "acme").await;
    let before = jwts.issue(user.id).await.unwrap();
    jwts.rotate_key().await.unwrap();
    let after = jwts.issue(user.id).await.unwrap();
    let header = |token: &str| token.split('.').next().unwrap().to_owned();
    assert_ne!(header(&before.access), header(&after.access), "another key");
    for pair in [&before, &after] {
        assert!(jwts.authenticate(&pair.access).await.unwrap().is_some());
    }
    jwts.forget_keys().await.unwrap();
    for pair in [&before, &after] {
        assert!(jwts.authenticate(&pair.access).await.unwrap().is_none());
        assert!(jwts.refresh(&pair.refresh).await.unwrap().is_none());
    }
}

async fn the_inactive_lose_access_at_once(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let jwts = jwts(&place, &db, "acme").await;
    let pair = jwts.issue(user.id).await.unwrap();
    let reset = Links::on(&db)
        .reset_password(&user.email)
        .await
        .unwrap()
        .unwrap();
    let change = UserChange {
        active: Some(false),
        ..UserChange::default()
    };
    Users::on(&mut db.clone())
        .change_hashed(user.id, change, None)
        .await
        .unwrap();
    assert!(jwts.authenticate(&pair.access).await.unwrap().is_none());
    assert!(jwts.refresh(&pair.refresh).await.unwrap().is_none());
    let passwords = place.tenancy().passwords();
    let set = Links::on(&db)
        .set_password(passwords, &reset.secret, "a new one")
        .await;
    assert!(is_invalid(set));
}

async fn a_further_sign_in_ends_the_oldest(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let bob = add_user(&place, &db, "bob@example.com").await;
    let policy = JwtPolicy {
        most_per_user: 2,
        ..JwtPolicy::default()
    };
    let jwts = Jwts::with(&db, &place.tenant("acme").await, policy);
    let others = jwts.issue(bob.id).await.unwrap();
    let mut pairs = Vec::new();
    for _ in 0..3 {
        pairs.push(jwts.issue(user.id).await.unwrap());
    }
    let good = async |pair: &JwtPair| jwts.authenticate(&pair.access).await.unwrap().is_some();
    assert!(!good(&pairs[0]).await);
    assert!(good(&pairs[1]).await && good(&pairs[2]).await && good(&others).await);
}
