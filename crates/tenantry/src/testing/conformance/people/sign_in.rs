//! The way in: passwords, second factors, and how often somebody may try.

use futures_util::future::join_all;

use super::{
    super::{
        Place, list,
        users::{PASSWORD, add_user},
    },
    HOME, ann, sign_in, twin,
};
use crate::{
    db::{DbError, TenantDb},
    users::{
        Attempt, Audit, Jwts, KeptSession, SecondFactors, Sessions, SignInError, Tokens, User,
        UserChange, Users, totp::Codes,
    },
};

list! { "sign_in":
    a_second_factor_is_asked_for,
    codes_are_good_once,
    recovery_codes_are_good_once,
    attempts_are_limited,
    outdated_hashes_are_replaced,
    a_password_that_was_changed_lets_nobody_in,
    confirming_is_no_sign_in,
    a_further_session_ends_the_oldest,
}

/// Codes of a second factor, one for each step of time from now on.
async fn add_factor(db: &TenantDb, user: &User) -> (Codes, Vec<String>) {
    let factors = SecondFactors::on(db);
    let new = factors.begin(user, "Acme").await.unwrap().unwrap();
    assert!(
        !factors.is_on(user.id).await.unwrap(),
        "not before a code was shown"
    );
    let secret: Vec<u8> = db
        .query("SELECT secret FROM second_factors WHERE user_id = $1")
        .bind(user.id)
        .scalar()
        .await
        .unwrap();
    let codes = Codes::of(secret, "", "").unwrap();
    assert!(new.uri.contains(&new.secret));
    assert!(factors.confirm(user.id, "000000").await.unwrap().is_none());
    let recovery = factors.confirm(user.id, &codes.code_in(-30)).await.unwrap();
    assert!(factors.is_on(user.id).await.unwrap());
    assert!(
        factors.begin(user, "Acme").await.unwrap().is_none(),
        "there is one"
    );
    (codes, recovery.unwrap())
}

async fn a_second_factor_is_asked_for(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let (codes, _) = add_factor(&db, &user).await;
    let without = sign_in(&place, PASSWORD, None, None).await;
    assert!(matches!(without, Err(SignInError::SecondFactor)));
    let wrong = sign_in(&place, PASSWORD, Some("000000"), None).await;
    assert!(matches!(wrong, Err(SignInError::SecondFactor)));
    let code = codes.code_in(0);
    let wrong = sign_in(&place, "wrong", Some(&code), None).await;
    assert!(matches!(wrong, Err(SignInError::InvalidCredentials)));
    sign_in(&place, PASSWORD, Some(&code), None).await.unwrap();
    SecondFactors::on(&db).remove(user.id).await.unwrap();
    sign_in(&place, PASSWORD, None, None).await.unwrap();
}

async fn codes_are_good_once(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let (codes, _) = add_factor(&db, &user).await;
    let factors = SecondFactors::on(&db);
    let code = codes.code_in(30);
    let tries = join_all((0..4).map(|_| factors.check(user.id, &code))).await;
    let good = tries
        .into_iter()
        .filter(|good| matches!(good, Ok(true)))
        .count();
    assert_eq!(good, 1);
    let earlier = codes.code_in(0);
    assert!(
        !factors.check(user.id, &earlier).await.unwrap(),
        "used up with the later"
    );
}

async fn recovery_codes_are_good_once(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let (_, recovery) = add_factor(&db, &user).await;
    let factors = SecondFactors::on(&db);
    assert_eq!(factors.recovery_codes_left(user.id).await.unwrap(), 10);
    assert!(factors.check(user.id, &recovery[3]).await.unwrap());
    assert!(!factors.check(user.id, &recovery[3]).await.unwrap());
    assert_eq!(factors.recovery_codes_left(user.id).await.unwrap(), 9);
    let renewed = factors.renew_recovery_codes(user.id).await.unwrap();
    assert!(!factors.check(user.id, &recovery[4]).await.unwrap());
    assert!(factors.check(user.id, &renewed[4]).await.unwrap());
    let other = twin(&place, &user).await;
    assert!(
        !SecondFactors::on(&other)
            .check(user.id, &renewed[5])
            .await
            .unwrap()
    );
}

async fn attempts_are_limited(place: Place) {
    let (db, _) = ann(&place, "acme").await;
    let home = Some("192.0.2.1");
    sign_in(&place, PASSWORD, None, home).await.unwrap();
    // each stranger waits until another attempt is to be had, which the next one may find
    let mut strangers = (0..250).map(|n| format!("198.51.100.{n}"));
    let mut is_refused = false;
    while !is_refused {
        let from = strangers.next().expect("strangers are slowed down");
        let tried = sign_in(&place, "wrong", None, Some(&from)).await;
        if matches!(tried, Err(SignInError::TooMany(_))) {
            let stranger = sign_in(&place, PASSWORD, None, Some("203.0.113.1")).await;
            is_refused = matches!(stranger, Err(SignInError::TooMany(_)));
        }
    }
    sign_in(&place, PASSWORD, None, home).await.unwrap();
    let other = place.tenant("globex").await;
    add_user(&place, &place.db("globex").await, "ann@example.com").await;
    let attempt = Attempt {
        email: "ann@example.com",
        password: PASSWORD,
        code: None,
        address: "203.0.113.1".parse().ok(),
    };
    let elsewhere = place.tenancy().sign_in(&other, attempt).await;
    elsewhere.expect("another tenant's account is another account");
    drop(db);
}

async fn outdated_hashes_are_replaced(place: Place) {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
    let (db, user) = ann(&place, "acme").await;
    let params = Params::new(8, 1, 1, None).unwrap();
    let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let weak = weak.hash_password(PASSWORD.as_bytes()).unwrap().to_string();
    db.query("UPDATE users SET password_hash = $1")
        .bind(&weak)
        .execute()
        .await
        .unwrap();
    assert!(sign_in(&place, "wrong", None, None).await.is_err());
    let hash = async || -> String {
        let hash = db
            .query("SELECT password_hash FROM users WHERE id = $1")
            .bind(user.id);
        hash.scalar().await.unwrap()
    };
    assert_eq!(hash().await, weak);
    sign_in(&place, PASSWORD, None, None).await.unwrap();
    let strong = hash().await;
    assert!(
        !place.tenancy().passwords().is_outdated(&strong),
        "{strong}"
    );
    sign_in(&place, PASSWORD, None, None).await.unwrap();
    assert_eq!(hash().await, strong);
}

async fn a_password_that_was_changed_lets_nobody_in(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let acme = place.tenant("acme").await;
    let jwts = Jwts::on(&db, &acme);
    let known = sign_in(&place, PASSWORD, None, None).await.unwrap();
    Tokens::on(&db).issue_to(&known, "").await.unwrap();
    jwts.issue_to(&known).await.unwrap();
    let other_password = UserChange {
        password: Some("another one".into()),
        ..UserChange::default()
    };
    let inactive = UserChange {
        active: Some(false),
        ..UserChange::default()
    };
    for (change, password) in [(other_password, PASSWORD), (inactive, "another one")] {
        let late = sign_in(&place, password, None, None).await.unwrap();
        let passwords = place.tenancy().passwords();
        Users::on(&mut db.clone())
            .change(passwords, user.id, change)
            .await
            .unwrap();
        let token = Tokens::on(&db).issue_to(&late, "").await;
        assert!(matches!(
            token.map(drop),
            Err(SignInError::InvalidCredentials)
        ));
        let pair = jwts.issue_to(&late).await;
        assert!(matches!(
            pair.map(drop),
            Err(SignInError::InvalidCredentials)
        ));
        let session = Sessions::on(&db)
            .create("late", &session_of(&user), Some(&late.hash))
            .await;
        assert!(matches!(session, Err(DbError::NotFound)));
    }
    assert!(Sessions::on(&db).list(user.id).await.unwrap().is_empty());
}

fn session_of(user: &User) -> KeptSession {
    KeptSession {
        id: uuid::Uuid::now_v7(),
        user_id: Some(user.id),
        data: serde_json::json!({}),
        agent: "browser".into(),
        expires_at: chrono::Utc::now() + chrono::TimeDelta::hours(1),
    }
}

async fn a_further_session_ends_the_oldest(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let sessions = Sessions::on(&db);
    let mut ids = Vec::new();
    for n in 0..52 {
        let session = session_of(&user);
        ids.push(session.id);
        let secret = format!("session {n}");
        sessions.create(&secret, &session, None).await.unwrap();
    }
    let left = sessions.list(user.id).await.unwrap();
    let left: Vec<_> = left.into_iter().map(|session| session.id).collect();
    ids.reverse();
    assert_eq!(left, ids[..50]);
}

async fn confirming_is_no_sign_in(place: Place) {
    let (mut db, user) = ann(&place, "acme").await;
    let acme = place.tenant("acme").await;
    let confirm = async |password, address: &str| {
        let attempt = Attempt {
            email: "",
            password,
            code: None,
            address: address.parse().ok(),
        };
        place.tenancy().confirm(&acme, &user, attempt).await
    };
    confirm(PASSWORD, HOME).await.unwrap();
    assert!(Audit::on(&mut db).list(None, 10).await.unwrap().is_empty());
    let wrong = confirm("wrong", HOME).await;
    assert!(matches!(
        wrong.map(drop),
        Err(SignInError::InvalidCredentials)
    ));
    let [failed] = Audit::on(&mut db)
        .list(None, 10)
        .await
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(failed.action, "confirmation-failed");
    assert_eq!(failed.actor.name(), user.email);
    let mut refused = 0;
    for _ in 0..12 {
        let tried = confirm("wrong", "198.51.100.7").await;
        refused += usize::from(matches!(tried, Err(SignInError::TooMany(_))));
    }
    assert!(refused > 0, "attempts are limited here, too");
}
