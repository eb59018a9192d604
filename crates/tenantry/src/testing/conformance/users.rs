//! Accounts and passwords.

use futures_util::future::join_all;
use uuid::Uuid;

use super::{Place, list};
use crate::{
    db::{DbError, TenantDb},
    users::{
        Attempt, NewUser, PasswordError, SignInError, Tokens, User, UserChange, UserError, Users,
    },
};

list! { "users":
    passwords_verify, no_two_hashes_are_alike, passwords_of_any_kind, made_and_found, signed_in,
    refusals_are_all_alike, addresses_ignore_case, an_address_is_taken_once,
    an_address_taken_by_many_at_once, the_same_address_in_two_tenants, changed, a_new_password_ends_tokens,
    deactivation_ends_tokens, removed, removed_with_tokens, made_within_a_transaction,
}

pub(super) const PASSWORD: &str = "correct horse battery staple";

pub(super) fn new_user(email: &str) -> NewUser {
    NewUser {
        email: email.into(),
        password: PASSWORD.into(),
        first_name: "Ann".into(),
        last_name: String::new(),
        role: "owner".into(),
    }
}

pub(super) async fn add_user(place: &Place, db: &TenantDb, email: &str) -> User {
    let made = Users::on(&mut db.clone())
        .create(place.tenancy().passwords(), new_user(email))
        .await;
    made.unwrap()
}

async fn sign_in(
    place: &Place,
    tenant: &str,
    email: &str,
    password: &str,
) -> Result<User, SignInError> {
    let attempt = Attempt {
        email,
        password,
        code: None,
        address: None,
    };
    let tenant = place.tenant(tenant).await;
    let signed_in = place.tenancy().sign_in(&tenant, attempt).await?;
    Ok(signed_in.user)
}

async fn passwords_verify(place: Place) {
    let passwords = place.tenancy().passwords();
    let hash = passwords.hash(PASSWORD).await.unwrap();
    assert!(hash.starts_with("$argon2id$"), "{hash}");
    assert!(passwords.verify(PASSWORD, Some(&hash)).await.unwrap());
    assert!(!passwords.verify("wrong", Some(&hash)).await.unwrap());
    assert!(!passwords.verify("", Some(&hash)).await.unwrap());
    assert!(!passwords.verify(PASSWORD, None).await.unwrap());
    assert!(
        !passwords
            .verify("nobody has this password", None)
            .await
            .unwrap()
    );
    for broken in ["", "plain", "$argon2id$", PASSWORD] {
        assert!(
            !passwords.verify(PASSWORD, Some(broken)).await.unwrap(),
            "{broken}"
        );
    }
}

async fn no_two_hashes_are_alike(place: Place) {
    let passwords = place.tenancy().passwords();
    let first = passwords.hash(PASSWORD).await.unwrap();
    assert_ne!(first, passwords.hash(PASSWORD).await.unwrap());
}

async fn passwords_of_any_kind(place: Place) {
    let passwords = place.tenancy().passwords();
    for password in ["", "a\0b", "👩‍👩‍👧‍👦", &"x".repeat(1024)] {
        let hash = passwords.hash(password).await.unwrap();
        assert!(passwords.verify(password, Some(&hash)).await.unwrap());
        assert!(
            !passwords
                .verify(&format!("{password}y"), Some(&hash))
                .await
                .unwrap()
        );
    }
    let too_long = "x".repeat(1025);
    assert!(matches!(
        passwords.hash(&too_long).await,
        Err(PasswordError::TooLong)
    ));
}

async fn made_and_found(place: Place) {
    let mut db = place.db("acme").await;
    let made = add_user(&place, &db, "ann@example.com").await;
    assert!(made.active);
    let mut users = Users::on(&mut db);
    assert_eq!(users.get(made.id).await.unwrap(), made);
    assert_eq!(users.by_email("ann@example.com").await.unwrap(), made);
    assert_eq!(users.all().await.unwrap(), [made]);
    assert!(matches!(
        users.get(Uuid::now_v7()).await,
        Err(DbError::NotFound)
    ));
    assert!(matches!(
        users.by_email("no@example.com").await,
        Err(DbError::NotFound)
    ));
}

async fn signed_in(place: Place) {
    let db = place.db("acme").await;
    let made = add_user(&place, &db, "ann@example.com").await;
    let user = sign_in(&place, "acme", "ann@example.com", PASSWORD).await;
    assert_eq!(user.unwrap(), made);
}

async fn refusals_are_all_alike(place: Place) {
    let mut db = place.db("acme").await;
    add_user(&place, &db, "ann@example.com").await;
    let idle = add_user(&place, &db, "idle@example.com").await;
    let change = UserChange {
        active: Some(false),
        ..UserChange::default()
    };
    Users::on(&mut db)
        .change(place.tenancy().passwords(), idle.id, change)
        .await
        .unwrap();
    let long = "x".repeat(100_000);
    for (email, password) in [
        ("ann@example.com", "wrong"),
        ("ann@example.com", ""),
        ("ann@example.com", "correct horse battery staple "),
        ("ann@example.com", long.as_str()),
        ("ann@example.com", "\0"),
        ("nobody@example.com", PASSWORD),
        ("idle@example.com", PASSWORD),
        ("", PASSWORD),
        ("\0", PASSWORD),
        ("ann@example.com\0", PASSWORD),
        ("ann@example.com' OR '1'='1", PASSWORD),
        ("%", PASSWORD),
        (long.as_str(), PASSWORD),
    ] {
        match sign_in(&place, "acme", email, password).await {
            Err(error @ SignInError::InvalidCredentials) => {
                assert_eq!(error.to_string(), "invalid credentials");
            }
            other => panic!("{email:.20}: {other:?}"),
        }
    }
    sign_in(&place, "acme", "ann@example.com", PASSWORD)
        .await
        .unwrap();
}

async fn addresses_ignore_case(place: Place) {
    let mut db = place.db("acme").await;
    let made = add_user(&place, &db, "  Änn@Example.COM ").await;
    assert_eq!(made.email, "änn@example.com");
    for email in ["änn@example.com", "ÄNN@EXAMPLE.COM", " änn@example.com\n"] {
        let user = sign_in(&place, "acme", email, PASSWORD).await.unwrap();
        assert_eq!(user.id, made.id);
        assert_eq!(
            Users::on(&mut db).by_email(email).await.unwrap().id,
            made.id
        );
    }
}

async fn an_address_is_taken_once(place: Place) {
    let mut db = place.db("acme").await;
    add_user(&place, &db, "ann@example.com").await;
    let bob = add_user(&place, &db, "bob@example.com").await;
    let passwords = place.tenancy().passwords();
    let mut users = Users::on(&mut db);
    let again = users.create(passwords, new_user("ANN@example.com")).await;
    assert!(matches!(again, Err(UserError::EmailTaken)), "{again:?}");
    let change = UserChange {
        email: Some("Ann@example.com".into()),
        ..UserChange::default()
    };
    let changed = users.change(passwords, bob.id, change).await;
    assert!(matches!(changed, Err(UserError::EmailTaken)), "{changed:?}");
}

async fn an_address_taken_by_many_at_once(place: Place) {
    let db = place.db("acme").await;
    let hash = place.tenancy().passwords().hash(PASSWORD).await.unwrap();
    let attempts = (0..10).map(|_| {
        let (mut db, hash) = (db.clone(), hash.clone());
        tokio::spawn(async move {
            Users::on(&mut db)
                .create_hashed(new_user("ann@example.com"), hash)
                .await
        })
    });
    let mut made = 0;
    for attempt in join_all(attempts).await {
        match attempt.unwrap() {
            Ok(_) => made += 1,
            Err(UserError::EmailTaken) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(made, 1);
}

async fn the_same_address_in_two_tenants(place: Place) {
    let (acme, mut globex) = (place.db("acme").await, place.db("globex").await);
    let ours = add_user(&place, &acme, "ann@example.com").await;
    let theirs = NewUser {
        password: "another password".into(),
        ..new_user("ann@example.com")
    };
    let theirs = Users::on(&mut globex)
        .create(place.tenancy().passwords(), theirs)
        .await
        .unwrap();
    assert_ne!(ours.id, theirs.id);
    let known = sign_in(&place, "acme", "ann@example.com", PASSWORD).await;
    assert_eq!(known.unwrap().id, ours.id);
    let known = sign_in(&place, "globex", "ann@example.com", "another password").await;
    assert_eq!(known.unwrap().id, theirs.id);
    assert!(
        sign_in(&place, "globex", "ann@example.com", PASSWORD)
            .await
            .is_err()
    );
    let other = sign_in(&place, "acme", "ann@example.com", "another password").await;
    assert!(other.is_err());
}

async fn changed(place: Place) {
    let mut db = place.db("acme").await;
    let made = add_user(&place, &db, "ann@example.com").await;
    let passwords = place.tenancy().passwords();
    let mut users = Users::on(&mut db);
    let same = users
        .change(passwords, made.id, UserChange::default())
        .await;
    assert_eq!(same.unwrap(), made);
    let change = UserChange {
        first_name: Some("Anna".into()),
        last_name: Some("Ng".into()),
        role: Some("staff".into()),
        email: Some("ANNA@example.com".into()),
        ..UserChange::default()
    };
    let changed = users.change(passwords, made.id, change).await.unwrap();
    let expected = User {
        first_name: "Anna".into(),
        last_name: "Ng".into(),
        role: "staff".into(),
        email: "anna@example.com".into(),
        ..made
    };
    assert_eq!(changed, expected);
    let nobody = users
        .change(passwords, Uuid::now_v7(), UserChange::default())
        .await;
    assert!(
        matches!(nobody, Err(UserError::Db(DbError::NotFound))),
        "{nobody:?}"
    );
}

async fn ends_tokens(place: Place, change: UserChange) {
    let mut db = place.db("acme").await;
    let ann = add_user(&place, &db, "ann@example.com").await;
    let bob = add_user(&place, &db, "bob@example.com").await;
    let (ours, theirs) = {
        let tokens = Tokens::on(&db);
        (
            tokens.issue(ann.id).await.unwrap(),
            tokens.issue(bob.id).await.unwrap(),
        )
    };
    Users::on(&mut db)
        .change(place.tenancy().passwords(), ann.id, change)
        .await
        .unwrap();
    let tokens = Tokens::on(&db);
    assert!(tokens.authenticate(&ours.secret).await.unwrap().is_none());
    assert!(tokens.authenticate(&theirs.secret).await.unwrap().is_some());
}

async fn a_new_password_ends_tokens(place: Place) {
    let change = UserChange {
        password: Some("another password".into()),
        ..UserChange::default()
    };
    ends_tokens(place, change).await;
}

async fn deactivation_ends_tokens(place: Place) {
    let change = UserChange {
        active: Some(false),
        ..UserChange::default()
    };
    ends_tokens(place, change).await;
}

async fn removed(place: Place) {
    let mut db = place.db("acme").await;
    let ann = add_user(&place, &db, "ann@example.com").await;
    let mut users = Users::on(&mut db);
    users.delete(ann.id).await.unwrap();
    assert!(matches!(users.delete(ann.id).await, Err(DbError::NotFound)));
    assert!(users.all().await.unwrap().is_empty());
}

async fn removed_with_tokens(place: Place) {
    let mut db = place.db("acme").await;
    let ann = add_user(&place, &db, "ann@example.com").await;
    let token = Tokens::on(&db).issue(ann.id).await.unwrap();
    Users::on(&mut db).delete(ann.id).await.unwrap();
    let tokens = Tokens::on(&db);
    assert!(tokens.authenticate(&token.secret).await.unwrap().is_none());
}

async fn made_within_a_transaction(place: Place) {
    let mut db = place.db("acme").await;
    let hash = place.tenancy().passwords().hash(PASSWORD).await.unwrap();
    for keep in [false, true] {
        let mut tx = db.begin();
        let made = Users::on(&mut tx)
            .create_hashed(new_user("ann@example.com"), hash.clone())
            .await;
        made.unwrap();
        if keep {
            tx.commit().await.unwrap();
        } else {
            tx.rollback().await.unwrap();
        }
        let count = Users::on(&mut db).all().await.unwrap().len();
        assert_eq!(count, usize::from(keep));
    }
}
