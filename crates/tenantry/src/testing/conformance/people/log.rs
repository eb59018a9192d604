//! What was done, in a tenant.

use uuid::Uuid;

use super::{
    super::{Place, list, users::PASSWORD},
    HOME, ann, sign_in,
};
use crate::{
    db::DbError,
    users::{Actor, ApiKeys, Audit, By, Event, Links, NewApiKey, SecondFactors},
};

list! { "log":
    the_log_is_written_once,
    the_log_tells_of_sign_ins,
    the_log_tells_of_links_and_keys,
}

async fn the_log_is_written_once(place: Place) {
    let (mut db, user) = ann(&place, "acme").await;
    let event = Event::new("price-raised", &user)
        .about("mug\0")
        .detail("x".repeat(5000));
    Audit::on(&mut db).record(event).await.unwrap();
    for sql in [
        "UPDATE audit_log SET actor = 'eve@example.com'",
        "DELETE FROM audit_log",
        "DELETE FROM audit_log WHERE 1 = 0",
    ] {
        let denied = db.query(sql).execute().await;
        assert!(
            matches!(denied, Err(DbError::Denied(_))),
            "{sql}: {denied:?}"
        );
    }
    let id: Uuid = db.query("SELECT id FROM audit_log").scalar().await.unwrap();
    for sql in [
        "INSERT OR REPLACE INTO audit_log (id, at, action, actor_kind, actor, subject, detail, address)
            SELECT id, at, 'forged', actor_kind, actor, subject, detail, address FROM audit_log WHERE id = $1",
        "INSERT INTO audit_log (id, at, action, actor_kind, actor, subject, detail, address)
            SELECT id, at, 'forged', actor_kind, actor, subject, detail, address FROM audit_log WHERE id = $1
            ON CONFLICT (id) DO UPDATE SET action = excluded.action",
    ] {
        let refused = db.query(sql).bind(id).execute().await;
        assert!(refused.is_err(), "{sql}: {refused:?}");
    }
    let [entry] = Audit::on(&mut db)
        .list(None, 10)
        .await
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(entry.actor, Actor::from(&user));
    assert_eq!(
        (entry.action.as_str(), entry.subject.as_str()),
        ("price-raised", "mug")
    );
    assert!(entry.detail.len() < 1000);
    let mut tx = db.begin();
    Audit::on(&mut tx)
        .record(Event::new("undone", Actor::System))
        .await
        .unwrap();
    tx.rollback().await.unwrap();
    let read = Audit::on(&mut db).list(None, 10).await.unwrap();
    assert_eq!(read, std::slice::from_ref(&entry));
    assert!(
        Audit::on(&mut db)
            .list(Some(entry.id), 10)
            .await
            .unwrap()
            .is_empty()
    );
    let mut other = place.db("globex").await;
    assert!(
        Audit::on(&mut other)
            .list(None, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

async fn the_log_tells_of_sign_ins(place: Place) {
    let (mut db, user) = ann(&place, "acme").await;
    sign_in(&place, PASSWORD, None, Some("192.0.2.1"))
        .await
        .unwrap();
    let wrong = sign_in(&place, "wrong", None, Some("192.0.2.2")).await;
    assert!(wrong.is_err());
    let [failed, well] = Audit::on(&mut db)
        .list(None, 10)
        .await
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(
        (well.action.as_str(), well.address.as_str()),
        ("signed-in", "192.0.2.1")
    );
    assert_eq!(well.actor, Actor::from(&user));
    assert_eq!(
        (failed.action.as_str(), failed.address.as_str()),
        ("sign-in-failed", "192.0.2.2")
    );
    assert_eq!(failed.actor, Actor::Stranger("ann@example.com".into()));
}

async fn the_log_tells_of_links_and_keys(place: Place) {
    let (mut db, user) = ann(&place, "acme").await;
    let by = By::new(&user)
        .from(HOME.parse().ok())
        .operator(Some("kim@example.com".into()));
    let links = Links::on(&db).by(by.clone());
    let asked = links
        .invite("bob@example.com", "staff", Some(user.id))
        .await;
    links.withdraw(asked.unwrap().id).await.unwrap();
    let keys = ApiKeys::on(&db).by(by.clone());
    let new = NewApiKey {
        name: "till".into(),
        scopes: vec!["products:write".into()],
        expires_at: None,
        made_by: None,
    };
    let (key, _) = keys.create(new).await.unwrap();
    keys.revoke(key.id).await.unwrap();
    SecondFactors::on(&db).by(by).remove(user.id).await.unwrap();
    let verify = links.verify_email(user.id).await.unwrap();
    links.confirm_email(&verify.secret).await.unwrap();
    let reset = links.reset_password(&user.email).await.unwrap().unwrap();
    let passwords = place.tenancy().passwords();
    links
        .set_password(passwords, &reset.secret, "a new one")
        .await
        .unwrap();
    // what did not happen is not told
    let again = links
        .set_password(passwords, &reset.secret, "a new one")
        .await;
    again.unwrap_err();
    keys.revoke(key.id).await.unwrap_err();
    let mut entries = Audit::on(&mut db).list(None, 20).await.unwrap();
    entries.reverse();
    let told: Vec<_> = entries
        .iter()
        .map(|entry| {
            assert_eq!(entry.actor, Actor::from(&user));
            assert_eq!(entry.address, HOME);
            let operator = entry.operator.as_deref().unwrap_or_default();
            (entry.action.as_str(), entry.subject.as_str(), operator)
        })
        .collect();
    let kim = "kim@example.com";
    assert_eq!(
        told,
        [
            ("invited", "bob@example.com", kim),
            ("invitation-withdrawn", "bob@example.com", kim),
            ("api-key-made", "till", kim),
            ("api-key-ended", "till", kim),
            ("second-factor-removed", "", kim),
            ("email-confirmed", "", ""),
            ("password-reset", "", ""),
        ]
    );
}
