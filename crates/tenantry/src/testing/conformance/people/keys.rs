//! Keys of programs.

use chrono::{TimeDelta, Utc};

use super::super::{Place, list};
use crate::{
    db::DbError,
    users::{ApiKeys, NewApiKey},
};

list! { "keys":
    api_keys_are_known,
    api_keys_of_another_tenant,
    api_keys_expire_and_end,
}

fn new_key(expires_at: Option<chrono::DateTime<Utc>>) -> NewApiKey {
    NewApiKey {
        name: "till".into(),
        scopes: vec!["products:write".into()],
        expires_at,
        made_by: None,
    }
}

async fn api_keys_are_known(place: Place) {
    let db = place.db("acme").await;
    let keys = ApiKeys::on(&db);
    let (made, secret) = keys.create(new_key(None)).await.unwrap();
    assert!(ApiKeys::is_one(&secret) && secret.contains(&made.prefix));
    let known = keys.authenticate(&secret).await.unwrap().unwrap();
    assert_eq!(known, made);
    assert!(known.has_scope("products:write") && !known.has_scope("users:read"));
    let [listed] = keys.list().await.unwrap().try_into().unwrap();
    assert!(listed.used_at.is_some());
    for malformed in [
        "",
        "tnk_",
        "tnk_00000000",
        "tnk_\0\0\0\0\0\0\0\0",
        &secret[4..],
    ] {
        assert!(
            keys.authenticate(malformed).await.unwrap().is_none(),
            "{malformed:?}"
        );
    }
}

async fn api_keys_of_another_tenant(place: Place) {
    let (acme, globex) = (place.db("acme").await, place.db("globex").await);
    let (made, secret) = ApiKeys::on(&acme).create(new_key(None)).await.unwrap();
    let theirs = ApiKeys::on(&globex);
    assert!(theirs.authenticate(&secret).await.unwrap().is_none());
    assert!(theirs.list().await.unwrap().is_empty());
    assert!(matches!(
        theirs.revoke(made.id).await,
        Err(DbError::NotFound)
    ));
    assert!(
        ApiKeys::on(&acme)
            .authenticate(&secret)
            .await
            .unwrap()
            .is_some()
    );
}

async fn api_keys_expire_and_end(place: Place) {
    let db = place.db("acme").await;
    let keys = ApiKeys::on(&db);
    let soon = Utc::now() + TimeDelta::hours(1);
    let (_, good) = keys.create(new_key(Some(soon))).await.unwrap();
    let past = Utc::now() - TimeDelta::seconds(1);
    let (_, over) = keys.create(new_key(Some(past))).await.unwrap();
    let (ended, end) = keys.create(new_key(None)).await.unwrap();
    keys.revoke(ended.id).await.unwrap();
    assert!(keys.authenticate(&good).await.unwrap().is_some());
    assert!(keys.authenticate(&over).await.unwrap().is_none());
    assert!(keys.authenticate(&end).await.unwrap().is_none());
}
