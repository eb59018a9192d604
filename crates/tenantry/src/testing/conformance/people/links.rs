//! What is mailed: to set a password, to prove an address, to join.

use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;

use super::{
    super::{
        Place, list,
        users::{PASSWORD, add_user},
    },
    ann, bob, is_invalid, sign_in, twin,
};
use crate::{
    db::DbError,
    users::{LinkError, Links, NewPerson, Purpose, Tokens, UserChange, UserError, Users},
};

list! { "links":
    a_link_sets_a_password_once,
    links_for_nobody_look_the_same,
    links_of_another_tenant,
    links_expire,
    only_the_latest_link_is_good,
    one_of_many_uses_a_link,
    an_address_is_confirmed,
    an_address_is_changed,
    links_to_an_old_address_are_worth_nothing,
    invitations_end_with_whoever_made_them,
    a_taken_address_is_told_at_the_end,
    an_invitation_is_accepted,
    an_invitation_is_withdrawn,
    purposes_are_not_mixed_up,
}

async fn a_link_sets_a_password_once(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let token = Tokens::on(&db).issue(user.id).await.unwrap();
    let links = Links::on(&db);
    let passwords = place.tenancy().passwords();
    let link = links.reset_password(" ANN@example.com").await.unwrap();
    let link = link.unwrap();
    assert_eq!(link.email, user.email);
    let shown = links.look_at(Purpose::ResetPassword, &link.secret).await;
    assert_eq!(shown.unwrap(), user.email);
    let too_long = "x".repeat(2000);
    let refused = links.set_password(passwords, &link.secret, &too_long).await;
    assert!(matches!(
        refused,
        Err(LinkError::User(UserError::Password(_)))
    ));
    let set = links
        .set_password(passwords, &link.secret, "a new password")
        .await;
    assert!(set.unwrap().email_verified_at.is_some());
    let again = links
        .set_password(passwords, &link.secret, "another one")
        .await;
    assert!(is_invalid(again));
    assert!(sign_in(&place, PASSWORD, None, None).await.is_err());
    assert!(sign_in(&place, "a new password", None, None).await.is_ok());
    let known = Tokens::on(&db).authenticate(&token.secret).await.unwrap();
    assert!(known.is_none(), "what was signed in has ended");
}

async fn links_for_nobody_look_the_same(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let links = Links::on(&db);
    assert!(
        links
            .reset_password("eve@example.com")
            .await
            .unwrap()
            .is_none()
    );
    let change = UserChange {
        active: Some(false),
        ..UserChange::default()
    };
    let mut users = db.clone();
    Users::on(&mut users)
        .change(place.tenancy().passwords(), user.id, change)
        .await
        .unwrap();
    assert!(links.reset_password(&user.email).await.unwrap().is_none());
    // the same was written as for somebody
    let kept: i64 = db
        .query("SELECT count(*) FROM links WHERE user_id IS NULL")
        .scalar()
        .await
        .unwrap();
    assert_eq!(kept, 2);
}

async fn links_of_another_tenant(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let other = twin(&place, &user).await;
    let passwords = place.tenancy().passwords();
    let reset = Links::on(&db)
        .reset_password(&user.email)
        .await
        .unwrap()
        .unwrap();
    let verify = Links::on(&db).verify_email(user.id).await.unwrap();
    let invite = Links::on(&db)
        .invite("bob@example.com", "staff", None)
        .await
        .unwrap();
    let links = Links::on(&other);
    assert!(is_invalid(
        links.look_at(Purpose::ResetPassword, &reset.secret).await
    ));
    assert!(is_invalid(
        links.set_password(passwords, &reset.secret, "stolen").await
    ));
    assert!(is_invalid(links.confirm_email(&verify.secret).await));
    let person = NewPerson {
        password: "stolen".into(),
        first_name: "Eve".into(),
        last_name: String::new(),
    };
    assert!(is_invalid(
        links
            .accept(passwords, &invite.secret, person.clone())
            .await
    ));
    assert!(matches!(
        links.withdraw(invite.id).await,
        Err(DbError::NotFound)
    ));
    assert!(links.invitations().await.unwrap().is_empty());
    // at home they are good
    let links = Links::on(&db);
    links.confirm_email(&verify.secret).await.unwrap();
    links
        .accept(passwords, &invite.secret, person)
        .await
        .unwrap();
    links
        .set_password(passwords, &reset.secret, "a new one")
        .await
        .unwrap();
}

async fn links_expire(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let link = Links::on(&db).verify_email(user.id).await.unwrap();
    assert!(link.expires_at > Utc::now() + TimeDelta::hours(23));
    db.query("UPDATE links SET expires_at = $1")
        .bind(Utc::now() - TimeDelta::seconds(1))
        .execute()
        .await
        .unwrap();
    assert!(is_invalid(Links::on(&db).confirm_email(&link.secret).await));
}

async fn only_the_latest_link_is_good(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let links = Links::on(&db);
    let first = links.reset_password(&user.email).await.unwrap().unwrap();
    let second = links.reset_password(&user.email).await.unwrap().unwrap();
    assert!(is_invalid(
        links.look_at(Purpose::ResetPassword, &first.secret).await
    ));
    links
        .look_at(Purpose::ResetPassword, &second.secret)
        .await
        .unwrap();
}

async fn one_of_many_uses_a_link(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let link = Links::on(&db).verify_email(user.id).await.unwrap();
    let uses = (0..8).map(|_| async { Links::on(&db).confirm_email(&link.secret).await.is_ok() });
    let good = join_all(uses)
        .await
        .into_iter()
        .filter(|good| *good)
        .count();
    assert_eq!(good, 1);
}

async fn an_address_is_confirmed(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    assert_eq!(user.email_verified_at, None);
    let link = Links::on(&db).verify_email(user.id).await.unwrap();
    let (before, confirmed) = Links::on(&db).confirm_email(&link.secret).await.unwrap();
    assert_eq!(before, user.email);
    assert!(confirmed.email_verified_at.is_some());
    let read = Users::on(&mut db.clone()).get(user.id).await.unwrap();
    assert_eq!(read, confirmed);
}

async fn an_address_is_changed(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let link = Links::on(&db)
        .change_email(user.id, "Ann@New.example.com")
        .await
        .unwrap();
    assert_eq!(
        link.email, "ann@new.example.com",
        "it is mailed to the new one"
    );
    let (before, changed) = Links::on(&db).confirm_email(&link.secret).await.unwrap();
    assert_eq!(before, "ann@example.com");
    assert_eq!(changed.email, "ann@new.example.com");
    assert!(changed.email_verified_at.is_some());
    let change = UserChange {
        email: Some("ann@example.com".into()),
        ..UserChange::default()
    };
    let back = Users::on(&mut db.clone())
        .change_hashed(user.id, change, None)
        .await;
    assert_eq!(
        back.unwrap().email_verified_at,
        None,
        "nobody has shown that"
    );
}

async fn links_to_an_old_address_are_worth_nothing(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let links = Links::on(&db);
    let reset = links.reset_password(&user.email).await.unwrap().unwrap();
    let verify = links.verify_email(user.id).await.unwrap();
    let change = UserChange {
        email: Some("ann@new.example.com".into()),
        ..UserChange::default()
    };
    Users::on(&mut db.clone())
        .change_hashed(user.id, change, None)
        .await
        .unwrap();
    let passwords = place.tenancy().passwords();
    let set = links.set_password(passwords, &reset.secret, "stolen").await;
    assert!(is_invalid(set));
    assert!(is_invalid(links.confirm_email(&verify.secret).await));
    let read = Users::on(&mut db.clone()).get(user.id).await.unwrap();
    assert_eq!(read.email, "ann@new.example.com");
}

async fn invitations_end_with_whoever_made_them(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let links = Links::on(&db);
    let mut users = db.clone();
    let mut users = Users::on(&mut users);
    let passwords = place.tenancy().passwords();
    for change in [
        UserChange {
            role: Some("staff".into()),
            ..UserChange::default()
        },
        UserChange {
            active: Some(false),
            ..UserChange::default()
        },
    ] {
        let link = links
            .invite("bob@example.com", "admin", Some(user.id))
            .await
            .unwrap();
        users.change_hashed(user.id, change, None).await.unwrap();
        assert!(is_invalid(
            links.accept(passwords, &link.secret, bob()).await
        ));
    }
    let link = links
        .invite("bob@example.com", "admin", Some(user.id))
        .await
        .unwrap();
    users.delete(user.id).await.unwrap();
    assert!(is_invalid(
        links.accept(passwords, &link.secret, bob()).await
    ));
}

async fn a_taken_address_is_told_at_the_end(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    add_user(&place, &db, "bob@example.com").await;
    let link = Links::on(&db)
        .change_email(user.id, "bob@example.com")
        .await
        .unwrap();
    let used = Links::on(&db).confirm_email(&link.secret).await;
    assert!(matches!(used, Err(LinkError::User(UserError::EmailTaken))));
    let read = Users::on(&mut db.clone()).get(user.id).await.unwrap();
    assert_eq!(read.email, "ann@example.com");
}

async fn an_invitation_is_accepted(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let links = Links::on(&db);
    let taken = links.invite("ann@example.com", "staff", None).await;
    assert!(matches!(taken.map(drop), Err(UserError::EmailTaken)));
    let link = links
        .invite("Bob@example.com", "staff", Some(user.id))
        .await
        .unwrap();
    let [open] = links.invitations().await.unwrap().try_into().unwrap();
    assert_eq!((open.id, open.email.as_str()), (link.id, "bob@example.com"));
    assert_eq!(open.made_by, Some(user.id));
    let passwords = place.tenancy().passwords();
    let made = links.accept(passwords, &link.secret, bob()).await.unwrap();
    assert_eq!(
        (made.role.as_str(), made.first_name.as_str()),
        ("staff", "Bob")
    );
    assert!(made.email_verified_at.is_some());
    assert!(links.invitations().await.unwrap().is_empty());
    assert!(is_invalid(
        links.accept(passwords, &link.secret, bob()).await
    ));
}

async fn an_invitation_is_withdrawn(place: Place) {
    let db = place.db("acme").await;
    let links = Links::on(&db);
    let link = links
        .invite("bob@example.com", "staff", None)
        .await
        .unwrap();
    assert_eq!(
        links.withdraw(link.id).await.unwrap().email,
        "bob@example.com"
    );
    assert!(matches!(
        links.withdraw(link.id).await,
        Err(DbError::NotFound)
    ));
    let passwords = place.tenancy().passwords();
    assert!(is_invalid(
        links.accept(passwords, &link.secret, bob()).await
    ));
}

async fn purposes_are_not_mixed_up(place: Place) {
    let (db, user) = ann(&place, "acme").await;
    let links = Links::on(&db);
    let verify = links.verify_email(user.id).await.unwrap();
    let passwords = place.tenancy().passwords();
    assert!(is_invalid(
        links
            .set_password(passwords, &verify.secret, "stolen")
            .await
    ));
    assert!(is_invalid(
        links.accept(passwords, &verify.secret, bob()).await
    ));
    let reset = links.reset_password(&user.email).await.unwrap().unwrap();
    assert!(is_invalid(links.confirm_email(&reset.secret).await));
    for malformed in [
        "",
        "tnl_",
        "\0",
        "tnl_\0\0\0\0\0\0\0\0\0",
        "x".repeat(9999).as_str(),
    ] {
        assert!(
            is_invalid(links.confirm_email(malformed).await),
            "{malformed:.20}"
        );
    }
}
