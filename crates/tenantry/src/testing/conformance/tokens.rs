//! Tokens: whom they speak for, and for how long.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use uuid::Uuid;

use super::{Place, list, soon, users::add_user};
use crate::{
    db::{DbError, TenantDb},
    users::{IssuedToken, TokenPolicy, Tokens, User},
};

list! { "tokens":
    issued_and_known, of_nobody, only_a_digest_is_kept, of_another_tenant, expired,
    used_and_prolonged, prolonged_no_further_than_the_cap, not_written_at_every_use,
    no_more_than_so_many, no_more_than_so_many_at_once, the_least_used_goes_first,
    revoked, all_revoked, malformed, not_of_the_inactive,
}

async fn user(place: &Place) -> (TenantDb, User) {
    let db = place.db("acme").await;
    let user = add_user(place, &db, "ann@example.com").await;
    (db, user)
}

async fn is_known(tokens: &Tokens<'_>, token: &IssuedToken) -> bool {
    let found = tokens.authenticate(&token.secret).await.unwrap();
    found.is_some_and(|found| found.token_id == token.id)
}

async fn count(db: &TenantDb) -> i64 {
    db.query("SELECT count(*) FROM tokens")
        .scalar()
        .await
        .unwrap()
}

async fn issued_and_known(place: Place) {
    let (db, ann) = user(&place).await;
    let tokens = Tokens::on(&db);
    let (first, second) = (
        tokens.issue(ann.id).await.unwrap(),
        tokens.issue(ann.id).await.unwrap(),
    );
    assert_ne!(first.secret, second.secret);
    assert!(first.secret.len() >= 43, "32 bytes at least");
    for token in [&first, &second] {
        let found = tokens.authenticate(&token.secret).await.unwrap().unwrap();
        assert_eq!(found.user, ann);
        assert_eq!(found.token_id, token.id);
    }
}

async fn of_nobody(place: Place) {
    let db = place.db("acme").await;
    let issued = Tokens::on(&db).issue(Uuid::now_v7()).await;
    assert!(matches!(issued.map(drop), Err(DbError::NotFound)));
}

async fn only_a_digest_is_kept(place: Place) {
    let (db, ann) = user(&place).await;
    let token = Tokens::on(&db).issue(ann.id).await.unwrap();
    let (prefix, digest): (String, Vec<u8>) = db
        .query("SELECT prefix, digest FROM tokens")
        .one()
        .await
        .unwrap();
    assert!(token.secret.contains(&prefix));
    assert!(prefix.len() <= 8);
    assert_eq!(digest.len(), 32);
    let secret = token.secret.as_bytes();
    assert!(!secret.windows(32).any(|part| part == digest));
}

async fn of_another_tenant(place: Place) {
    let (acme, ann) = user(&place).await;
    let globex = place.db("globex").await;
    // even when that tenant has a user of the same id and address
    for sql in [
        "INSERT INTO users (id, email, password_hash, role, created_at)
         VALUES ($1, 'ann@example.com', '', 'owner', now())",
    ] {
        globex.query(sql).bind(ann.id).execute().await.unwrap();
    }
    let ours = Tokens::on(&acme).issue(ann.id).await.unwrap();
    let theirs = Tokens::on(&globex).issue(ann.id).await.unwrap();
    assert!(is_known(&Tokens::on(&acme), &ours).await);
    assert!(is_known(&Tokens::on(&globex), &theirs).await);
    assert!(!is_known(&Tokens::on(&acme), &theirs).await);
    assert!(!is_known(&Tokens::on(&globex), &ours).await);
    // nor can it be revoked from there
    Tokens::on(&globex).revoke(ours.id).await.unwrap();
    Tokens::on(&globex).revoke_all(ann.id).await.unwrap();
    assert!(is_known(&Tokens::on(&acme), &ours).await);
}

fn policy(life: TimeDelta, longest_life: TimeDelta, refresh_interval: TimeDelta) -> TokenPolicy {
    TokenPolicy {
        life,
        longest_life,
        refresh_interval,
        ..TokenPolicy::default()
    }
}

async fn expired(place: Place) {
    let (db, ann) = user(&place).await;
    let short = TimeDelta::milliseconds(100);
    let tokens = Tokens::with(&db, policy(short, TimeDelta::days(1), TimeDelta::days(1)));
    let token = tokens.issue(ann.id).await.unwrap();
    soon("its end", || async { !is_known(&tokens, &token).await }).await;
    assert!(Utc::now() >= token.expires_at);
    // and it does not come back
    assert!(!is_known(&Tokens::on(&db), &token).await);
    // the next one clears it away
    let next = tokens.issue(ann.id).await.unwrap();
    assert_eq!(count(&db).await, 1);
    drop(next);
    let dead = Tokens::with(
        &db,
        policy(TimeDelta::zero(), TimeDelta::days(1), TimeDelta::days(1)),
    );
    let token = dead.issue(ann.id).await.unwrap();
    assert!(!is_known(&dead, &token).await);
}

async fn end(db: &TenantDb, token: &IssuedToken) -> DateTime<Utc> {
    let ask = db.query("SELECT expires_at FROM tokens WHERE id = $1");
    ask.bind(token.id).scalar().await.unwrap()
}

async fn used_and_prolonged(place: Place) {
    let (db, ann) = user(&place).await;
    let each = policy(TimeDelta::days(1), TimeDelta::days(9), TimeDelta::zero());
    let tokens = Tokens::with(&db, each);
    let token = tokens.issue(ann.id).await.unwrap();
    assert_eq!(end(&db, &token).await, token.expires_at);
    assert!(is_known(&tokens, &token).await);
    let first = end(&db, &token).await;
    assert!(first > token.expires_at);
    assert!(is_known(&tokens, &token).await);
    assert!(end(&db, &token).await > first);
}

async fn prolonged_no_further_than_the_cap(place: Place) {
    let (db, ann) = user(&place).await;
    let cap = TimeDelta::milliseconds(300);
    let tokens = Tokens::with(&db, policy(TimeDelta::days(1), cap, TimeDelta::zero()));
    let token = tokens.issue(ann.id).await.unwrap();
    let (issued,): (DateTime<Utc>,) = db
        .query("SELECT created_at FROM tokens")
        .one()
        .await
        .unwrap();
    assert_eq!(token.expires_at, issued + cap, "from the beginning");
    soon("its end, however much it is used", || async {
        !is_known(&tokens, &token).await
    })
    .await;
    assert!(end(&db, &token).await <= issued + cap);
    assert!(Utc::now() >= issued + cap);
}

async fn not_written_at_every_use(place: Place) {
    let (db, ann) = user(&place).await;
    let tokens = Tokens::with(
        &db,
        policy(TimeDelta::days(1), TimeDelta::days(9), TimeDelta::hours(1)),
    );
    let token = tokens.issue(ann.id).await.unwrap();
    for _ in 0..5 {
        assert!(is_known(&tokens, &token).await);
    }
    assert_eq!(end(&db, &token).await, token.expires_at);
    // an hour later it is
    db.query("UPDATE tokens SET used_at = $1")
        .bind(Utc::now() - TimeDelta::hours(2))
        .execute()
        .await
        .unwrap();
    assert!(is_known(&tokens, &token).await);
    assert!(end(&db, &token).await > token.expires_at);
}

fn at_most(most_per_user: i64) -> TokenPolicy {
    TokenPolicy {
        most_per_user,
        ..TokenPolicy::default()
    }
}

async fn no_more_than_so_many(place: Place) {
    let (db, ann) = user(&place).await;
    let bob = add_user(&place, &db, "bob@example.com").await;
    let of_bob = Tokens::on(&db).issue(bob.id).await.unwrap();
    for most in [3, 1, 0] {
        let tokens = Tokens::with(&db, at_most(most));
        let mut last = None;
        for _ in 0..5 {
            last = Some(tokens.issue(ann.id).await.unwrap());
        }
        assert_eq!(count(&db).await, most.max(1) + 1);
        assert!(is_known(&tokens, &last.unwrap()).await);
    }
    assert!(is_known(&Tokens::on(&db), &of_bob).await);
}

async fn no_more_than_so_many_at_once(place: Place) {
    let (db, ann) = user(&place).await;
    let attempts = (0..50).map(|_| {
        let (db, id) = (db.clone(), ann.id);
        tokio::spawn(async move { Tokens::with(&db, at_most(5)).issue(id).await })
    });
    for attempt in join_all(attempts).await {
        attempt.unwrap().unwrap();
    }
    assert_eq!(count(&db).await, 5);
}

async fn the_least_used_goes_first(place: Place) {
    let (db, ann) = user(&place).await;
    let used_at_once = TokenPolicy {
        refresh_interval: TimeDelta::zero(),
        ..at_most(2)
    };
    let tokens = Tokens::with(&db, used_at_once);
    let first = tokens.issue(ann.id).await.unwrap();
    let second = tokens.issue(ann.id).await.unwrap();
    assert!(is_known(&tokens, &first).await);
    let third = tokens.issue(ann.id).await.unwrap();
    assert!(is_known(&tokens, &first).await);
    assert!(!is_known(&tokens, &second).await);
    assert!(is_known(&tokens, &third).await);
}

async fn revoked(place: Place) {
    let (db, ann) = user(&place).await;
    let tokens = Tokens::on(&db);
    let first = tokens.issue(ann.id).await.unwrap();
    let second = tokens.issue(ann.id).await.unwrap();
    for _ in 0..2 {
        tokens.revoke(first.id).await.unwrap();
    }
    assert!(!is_known(&tokens, &first).await);
    assert!(is_known(&tokens, &second).await);
}

async fn all_revoked(place: Place) {
    let (db, ann) = user(&place).await;
    let bob = add_user(&place, &db, "bob@example.com").await;
    let tokens = Tokens::on(&db);
    let ours = [
        tokens.issue(ann.id).await.unwrap(),
        tokens.issue(ann.id).await.unwrap(),
    ];
    let theirs = tokens.issue(bob.id).await.unwrap();
    tokens.revoke_all(ann.id).await.unwrap();
    for token in &ours {
        assert!(!is_known(&tokens, token).await);
    }
    assert!(is_known(&tokens, &theirs).await);
}

async fn malformed(place: Place) {
    let (db, ann) = user(&place).await;
    let tokens = Tokens::on(&db);
    let token = tokens.issue(ann.id).await.unwrap();
    let (mark, rest) = token.secret.split_at(4);
    let prefix = &rest[..8];
    for secret in [
        String::new(),
        " ".into(),
        mark.into(),
        format!("{mark}abc"),
        format!("{mark}1234567é"),
        format!("{mark}ééééééééé"),
        format!("{mark}👩‍👩‍👧‍👦👩‍👩‍👧‍👦"),
        format!("{mark}1234567\0"),
        format!("{mark}\0\0\0\0\0\0\0\0\0"),
        format!("\0{}", token.secret),
        format!("{}\0", token.secret),
        format!("{} ", token.secret),
        format!(" {}", token.secret),
        rest.into(),
        format!("{mark}{prefix}"),
        format!("{mark}{prefix}{}", "x".repeat(35)),
        format!("{mark}{}", "x".repeat(1 << 20)),
        format!("{mark}{prefix}{}", "é".repeat(1 << 20)),
        format!("{mark}%%%%%%%%"),
        format!("{mark}' OR 1=1"),
        token.secret.to_uppercase(),
        token.secret[..token.secret.len() - 1].into(),
    ] {
        let shown = format!("{secret:.40}");
        let found = tokens.authenticate(&secret).await;
        assert!(found.expect(&shown).is_none(), "{shown}");
    }
    assert!(is_known(&tokens, &token).await);
}

async fn not_of_the_inactive(place: Place) {
    let (db, ann) = user(&place).await;
    let tokens = Tokens::on(&db);
    let token = tokens.issue(ann.id).await.unwrap();
    for (active, known) in [(false, false), (true, true)] {
        db.query("UPDATE users SET active = $1")
            .bind(active)
            .execute()
            .await
            .unwrap();
        assert_eq!(is_known(&tokens, &token).await, known);
    }
}
