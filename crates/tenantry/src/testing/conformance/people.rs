//! People: links, sessions, JWTs, keys, second factors, the audit log, and who runs it all.

use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;
use uuid::Uuid;

use super::{
    Place, list,
    users::{PASSWORD, add_user},
};
use crate::{
    db::{DbError, TenantDb},
    operators::{NewOperator, OperatorError, OperatorRole},
    users::{
        Actor, ApiKeys, Attempt, Audit, Event, JwtPair, Jwts, LinkError, Links, NewApiKey,
        NewPerson, Purpose, SecondFactors, SignInError, Tokens, User, UserChange, UserError, Users,
        totp::Codes,
    },
};

list! { "people":
    a_link_sets_a_password_once, links_for_nobody_look_the_same, links_of_another_tenant,
    links_expire, only_the_latest_link_is_good, one_of_many_uses_a_link, an_address_is_confirmed,
    an_address_is_changed, links_to_an_old_address_are_worth_nothing,
    invitations_end_with_whoever_made_them, a_taken_address_is_told_at_the_end, an_invitation_is_accepted,
    an_invitation_is_withdrawn, purposes_are_not_mixed_up,
    a_jwt_speaks_for_its_user, jwts_of_another_tenant, jwts_are_not_mixed_up,
    forged_jwts_are_nobody, a_refresh_is_good_once, of_many_refreshes_one_is_good,
    keys_are_rotated, the_inactive_lose_access_at_once,
    api_keys_are_known, api_keys_of_another_tenant, api_keys_expire_and_end,
    a_second_factor_is_asked_for, codes_are_good_once, recovery_codes_are_good_once,
    attempts_are_limited, outdated_hashes_are_replaced,
    the_log_is_written_once, the_log_tells_of_sign_ins,
    operators_stand_in_for_users, links_to_stand_in_are_good_once, viewers_only_look,
    operators_have_second_factors, the_operators_log_is_written_once,
}

async fn ann(place: &Place, code: &str) -> (TenantDb, User) {
    let db = place.db(code).await;
    let user = add_user(place, &db, "ann@example.com").await;
    (db, user)
}

/// Another tenant with a user of the same identity, so that nothing but the tenant tells them apart.
async fn twin(place: &Place, user: &User) -> TenantDb {
    let db = place.db("globex").await;
    db.query(
        "INSERT INTO users (id, email, password_hash, role, created_at)
         VALUES ($1, $2, 'none', 'owner', $3)",
    )
    .bind(user.id)
    .bind(&user.email)
    .bind(user.created_at)
    .execute()
    .await
    .unwrap();
    db
}

async fn sign_in(
    place: &Place,
    password: &str,
    code: Option<&str>,
    address: Option<&str>,
) -> Result<User, SignInError> {
    let tenant = place.tenant("acme").await;
    let attempt = Attempt {
        email: "ann@example.com",
        password,
        code,
        address: address.map(|address| address.parse().unwrap()),
    };
    place.tenancy().sign_in(&tenant, attempt).await
}

fn is_invalid<T>(result: Result<T, LinkError>) -> bool {
    matches!(result, Err(LinkError::Invalid))
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

fn bob() -> NewPerson {
    NewPerson {
        password: "bob's password".into(),
        first_name: "Bob".into(),
        last_name: String::new(),
    }
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
    assert!(matches!(nobody.map(drop), Err(DbError::ForeignKey)));
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
    let mut refused = 0;
    for n in 0..60 {
        let from = format!("198.51.100.{n}");
        let tried = sign_in(&place, "wrong", None, Some(&from)).await;
        refused += usize::from(matches!(tried, Err(SignInError::TooMany(_))));
    }
    assert!(refused > 0, "strangers are slowed down");
    let stranger = sign_in(&place, PASSWORD, None, Some("203.0.113.1")).await;
    assert!(matches!(stranger, Err(SignInError::TooMany(_))));
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
    sign_in(&place, "wrong", None, Some("192.0.2.2"))
        .await
        .unwrap_err();
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

fn kim(role: OperatorRole) -> NewOperator {
    NewOperator {
        email: "Kim@example.com".into(),
        name: "Kim".into(),
        role,
        password: PASSWORD.into(),
    }
}

async fn operators_stand_in_for_users(place: Place) {
    let (mut db, user) = ann(&place, "acme").await;
    let acme = place.tenant("acme").await;
    let operators = place.tenancy().operators();
    let operator = operators.create(kim(OperatorRole::Support)).await.unwrap();
    let again = operators.create(kim(OperatorRole::Viewer)).await;
    assert!(matches!(again, Err(OperatorError::EmailTaken)));
    let link = operators
        .impersonate(&operator, &acme, &user, "ticket 7")
        .await
        .unwrap();
    // any process takes it
    let beside = place.beside().await;
    let stands_in = beside
        .operators()
        .redeem(&acme, &link.secret)
        .await
        .unwrap()
        .unwrap();
    beside.close();
    assert_eq!(
        (stands_in.user_id, stands_in.operator.as_str()),
        (user.id, "kim@example.com")
    );
    assert_eq!(stands_in.reason, "ticket 7");
    let entries = Audit::on(&mut db).list(None, 10).await.unwrap();
    assert_eq!(entries[0].action, "impersonation-asked");
    assert_eq!(entries[0].actor, Actor::Operator("kim@example.com".into()));
    assert_eq!(
        (entries[0].subject_id, entries[0].detail.as_str()),
        (Some(user.id), "ticket 7")
    );
    let entries = operators.audit(None, 10).await.unwrap();
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["impersonation-begun", "impersonation-asked"]);
    assert_eq!(entries[1].tenant, "acme");
}

async fn links_to_stand_in_are_good_once(place: Place) {
    let (_, user) = ann(&place, "acme").await;
    let (acme, globex) = (place.tenant("acme").await, place.tenant("globex").await);
    let operators = place.tenancy().operators();
    let operator = operators.create(kim(OperatorRole::Admin)).await.unwrap();
    let link = async || {
        let link = operators.impersonate(&operator, &acme, &user, "why").await;
        link.unwrap().secret
    };
    let one = link().await;
    assert_eq!(
        operators.redeem(&globex, &one).await.unwrap(),
        None,
        "another tenant's"
    );
    let tries = join_all((0..8).map(|_| operators.redeem(&acme, &one))).await;
    let good = tries
        .into_iter()
        .filter(|tried| matches!(tried, Ok(Some(_))))
        .count();
    assert_eq!(good, 1);
    let late = link().await;
    operators.disable(operator.id).await.unwrap();
    assert_eq!(operators.redeem(&acme, &late).await.unwrap(), None);
    for malformed in ["", "tni_", "\0"] {
        assert_eq!(operators.redeem(&acme, malformed).await.unwrap(), None);
    }
}

async fn viewers_only_look(place: Place) {
    let (mut db, user) = ann(&place, "acme").await;
    let acme = place.tenant("acme").await;
    let operators = place.tenancy().operators();
    let viewer = operators.create(kim(OperatorRole::Viewer)).await.unwrap();
    let refused = operators.impersonate(&viewer, &acme, &user, "why").await;
    assert!(matches!(refused.map(drop), Err(OperatorError::Forbidden)));
    assert!(Audit::on(&mut db).list(None, 1).await.unwrap().is_empty());
    let raised = operators
        .set_role(viewer.id, OperatorRole::Support)
        .await
        .unwrap();
    operators
        .impersonate(&raised, &acme, &user, "why")
        .await
        .unwrap();
}

async fn operators_have_second_factors(place: Place) {
    let operators = place.tenancy().operators();
    let operator = operators.create(kim(OperatorRole::Admin)).await.unwrap();
    let attempt = |password, code| Attempt {
        email: "kim@example.com",
        password,
        code,
        address: None,
    };
    let (known, token) = operators.sign_in(attempt(PASSWORD, None)).await.unwrap();
    assert_eq!(known, operator);
    let shown = operators.authenticate(&token.secret).await.unwrap();
    assert_eq!(shown.as_ref(), Some(&operator));
    let wrong = operators.sign_in(attempt("wrong", None)).await;
    assert!(matches!(
        wrong.map(drop),
        Err(SignInError::InvalidCredentials)
    ));
    let new = operators
        .begin_second_factor(&operator, "shop")
        .await
        .unwrap()
        .unwrap();
    let codes = Codes::of(Codes::secret_of(&new.secret), "", "").unwrap();
    let recovery = operators
        .confirm_second_factor(&operator, &codes.code_in(-30))
        .await;
    let recovery = recovery.unwrap().unwrap();
    let without = operators.sign_in(attempt(PASSWORD, None)).await;
    assert!(matches!(without.map(drop), Err(SignInError::SecondFactor)));
    let code = codes.code_in(0);
    operators
        .sign_in(attempt(PASSWORD, Some(&code)))
        .await
        .unwrap();
    let again = operators.sign_in(attempt(PASSWORD, Some(&code))).await;
    assert!(again.is_err(), "a code is good once");
    operators
        .sign_in(attempt(PASSWORD, Some(&recovery[0])))
        .await
        .unwrap();
    operators.sign_out(&token.secret).await.unwrap();
    assert_eq!(operators.authenticate(&token.secret).await.unwrap(), None);
    let (_, token) = operators
        .sign_in(attempt(PASSWORD, Some(&recovery[1])))
        .await
        .unwrap();
    operators
        .set_password(operator.id, "another one")
        .await
        .unwrap();
    assert_eq!(operators.authenticate(&token.secret).await.unwrap(), None);
    // nobody's token of a tenant is an operator's
    let (db, user) = ann(&place, "acme").await;
    let users = Tokens::on(&db).issue(user.id).await.unwrap();
    assert_eq!(operators.authenticate(&users.secret).await.unwrap(), None);
    assert!(
        Tokens::on(&db)
            .authenticate(&token.secret)
            .await
            .unwrap()
            .is_none()
    );
}

async fn the_operators_log_is_written_once(place: Place) {
    let operators = place.tenancy().operators();
    operators.create(kim(OperatorRole::Admin)).await.unwrap();
    let attempt = Attempt {
        email: "kim@example.com",
        password: PASSWORD,
        code: None,
        address: None,
    };
    operators.sign_in(attempt).await.unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "what an application could do to it"
    )]
    let central = place.tenancy().central();
    for sql in [
        "DELETE FROM tenantry_audit",
        "UPDATE tenantry_audit SET operator = 'eve'",
        "INSERT INTO tenantry_operators (id, email, name, role, created_at, password_hash)
            SELECT id, 'eve', 'eve', 'admin', created_at, password_hash FROM tenantry_operators",
    ] {
        central.query(sql).execute().await.unwrap_err();
    }
    let entries = operators.audit(None, 10).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(operators.list().await.unwrap().len(), 1);
}
