//! People outside of tenants, and their memberships.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use futures_util::future::join_all;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::{Place, list, users::PASSWORD};
use crate::{
    accounts::{Account, AccountError, MemberError, NewAccount, OWNER},
    db::DbError,
    lifecycle::NewTenant,
    routing::{CurrentAccount, CurrentMember, Json, Resolvers, Result, Routes},
    tenant::Tenant,
    users::{Attempt, NewPerson, SignInError},
};

list! { "members":
    one_account_in_many_tenants, an_account_is_signed_in, tokens_end_with_the_account,
    there_is_one_owner, of_many_who_found_one_does, the_owner_is_protected, ownership_is_passed_on,
    somebody_with_an_account_is_invited, somebody_without_is_invited, invitations_of_another_tenant,
    an_invitation_is_for_one_address, of_many_who_accept_one_does, members_leave,
    memberships_end_with_the_tenant, a_stranger_is_told_there_is_no_such_tenant,
}

pub(super) async fn account(place: &Place, name: &str) -> Account {
    let new = NewAccount {
        email: format!("{name}@example.com"),
        password: PASSWORD.into(),
        first_name: name.into(),
        last_name: String::new(),
    };
    place.tenancy().accounts().create(new).await.unwrap()
}

/// A tenant, and the account that founded it.
async fn founded(place: &Place, code: &str, name: &str) -> (Tenant, Account) {
    let (tenant, ann) = (place.tenant(code).await, account(place, name).await);
    place
        .tenancy()
        .members(&tenant)
        .found(ann.id)
        .await
        .unwrap();
    (tenant, ann)
}

async fn join(place: &Place, tenant: &Tenant, by: &Account, who: &Account, role: &str) {
    let members = place.tenancy().members(tenant);
    let link = members.invite(&who.email, role, by.id).await.unwrap();
    members.accept(&link.secret, who).await.unwrap();
}

async fn role(place: &Place, tenant: &Tenant, who: &Account) -> Option<String> {
    let membership = place.tenancy().members(tenant).of(who.id).await.unwrap();
    membership.map(|membership| membership.role)
}

async fn one_account_in_many_tenants(place: Place) {
    let (acme, ann) = founded(&place, "acme", "ann").await;
    let (globex, bob) = founded(&place, "globex", "bob").await;
    join(&place, &globex, &bob, &ann, "bookkeeper").await;
    assert_eq!(role(&place, &acme, &ann).await.as_deref(), Some(OWNER));
    assert_eq!(
        role(&place, &globex, &ann).await.as_deref(),
        Some("bookkeeper")
    );
    assert_eq!(role(&place, &acme, &bob).await, None);
    let tenants = place.tenancy().accounts().tenants_of(ann.id).await.unwrap();
    let codes: Vec<_> = tenants
        .iter()
        .map(|(tenant, role)| (tenant.code().as_str(), role.as_str()))
        .collect();
    assert_eq!(codes, [("acme", OWNER), ("globex", "bookkeeper")]);
    let listed = place.tenancy().members(&globex).list().await.unwrap();
    let emails: Vec<_> = listed
        .iter()
        .map(|member| member.account.email.as_str())
        .collect();
    assert_eq!(emails, ["ann@example.com", "bob@example.com"]);
    let again = NewAccount {
        email: "ANN@example.com".into(),
        password: PASSWORD.into(),
        first_name: String::new(),
        last_name: String::new(),
    };
    let again = place.tenancy().accounts().create(again).await;
    assert!(matches!(again, Err(AccountError::EmailTaken)));
}

async fn sign_in(place: &Place, email: &str, password: &str) -> Result<Account, SignInError> {
    let attempt = Attempt {
        email,
        password,
        code: None,
        address: None,
    };
    let (account, _) = place.tenancy().accounts().sign_in(attempt).await?;
    Ok(account)
}

async fn an_account_is_signed_in(place: Place) {
    let ann = account(&place, "ann").await;
    let known = sign_in(&place, " Ann@example.com", PASSWORD).await.unwrap();
    assert_eq!(known, ann);
    for (email, password) in [
        ("ann@example.com", "wrong"),
        ("eve@example.com", PASSWORD),
        ("\0", PASSWORD),
        ("", ""),
    ] {
        let refused = sign_in(&place, email, password).await;
        assert!(
            matches!(refused, Err(SignInError::InvalidCredentials)),
            "{email:?}"
        );
    }
}

async fn tokens_end_with_the_account(place: Place) {
    let ann = account(&place, "ann").await;
    let accounts = place.tenancy().accounts();
    let token = async || accounts.issue(ann.id).await.unwrap().secret;
    let known = async |secret: &str| accounts.authenticate(secret).await.unwrap().is_some();
    let (one, other) = (token().await, token().await);
    assert!(known(&one).await && known(&other).await);
    accounts.sign_out(&one).await.unwrap();
    assert!(!known(&one).await && known(&other).await);
    accounts.set_password(ann.id, "another one").await.unwrap();
    assert!(!known(&other).await);
    let third = token().await;
    accounts.disable(ann.id).await.unwrap();
    assert!(!known(&third).await);
    let refused = sign_in(&place, "ann@example.com", "another one").await;
    assert!(matches!(refused, Err(SignInError::InvalidCredentials)));
    for malformed in ["", "tna_", "\0", "tnt_x"] {
        assert!(!known(malformed).await);
    }
    let nobody = accounts.issue(uuid::Uuid::now_v7()).await;
    assert!(matches!(nobody.map(drop), Err(DbError::NotFound)));
}

async fn there_is_one_owner(place: Place) {
    let (acme, ann) = founded(&place, "acme", "ann").await;
    let bob = account(&place, "bob").await;
    let members = place.tenancy().members(&acme);
    assert!(matches!(
        members.found(bob.id).await,
        Err(MemberError::Owner)
    ));
    assert!(matches!(
        members.found(ann.id).await,
        Err(MemberError::AlreadyMember | MemberError::Owner)
    ));
    let invited = members.invite("bob@example.com", OWNER, ann.id).await;
    assert!(matches!(invited.map(drop), Err(MemberError::Owner)));
    join(&place, &acme, &ann, &bob, "staff").await;
    assert!(matches!(
        members.set_role(bob.id, OWNER).await,
        Err(MemberError::Owner)
    ));
    assert_eq!(role(&place, &acme, &bob).await.as_deref(), Some("staff"));
}

async fn of_many_who_found_one_does(place: Place) {
    let acme = place.tenant("acme").await;
    let mut people = Vec::new();
    for n in 0..4 {
        people.push(account(&place, &format!("p{n}")).await);
    }
    let members = place.tenancy().members(&acme);
    let tries = join_all(people.iter().map(|person| members.found(person.id))).await;
    assert_eq!(tries.into_iter().filter(|tried| tried.is_ok()).count(), 1);
    assert_eq!(members.list().await.unwrap().len(), 1);
}

async fn the_owner_is_protected(place: Place) {
    let (acme, ann) = founded(&place, "acme", "ann").await;
    let members = place.tenancy().members(&acme);
    assert!(matches!(
        members.remove(ann.id).await,
        Err(MemberError::Owner)
    ));
    assert!(matches!(
        members.set_role(ann.id, "staff").await,
        Err(MemberError::Owner)
    ));
    assert_eq!(role(&place, &acme, &ann).await.as_deref(), Some(OWNER));
    let nobody = uuid::Uuid::now_v7();
    let gone = members.remove(nobody).await;
    assert!(matches!(gone, Err(MemberError::Db(DbError::NotFound))));
}

async fn ownership_is_passed_on(place: Place) {
    let (acme, ann) = founded(&place, "acme", "ann").await;
    let (bob, eve) = (account(&place, "bob").await, account(&place, "eve").await);
    join(&place, &acme, &ann, &bob, "staff").await;
    let members = place.tenancy().members(&acme);
    for (from, to) in [
        (bob.id, ann.id),
        (ann.id, eve.id),
        (ann.id, ann.id),
        (eve.id, bob.id),
    ] {
        let refused = members.transfer(from, to, "staff").await;
        assert!(
            matches!(refused, Err(MemberError::Db(DbError::NotFound))),
            "{refused:?}"
        );
    }
    assert_eq!(role(&place, &acme, &ann).await.as_deref(), Some(OWNER));
    members.transfer(ann.id, bob.id, "admin").await.unwrap();
    assert_eq!(role(&place, &acme, &bob).await.as_deref(), Some(OWNER));
    assert_eq!(role(&place, &acme, &ann).await.as_deref(), Some("admin"));
    members.remove(ann.id).await.unwrap();
}

async fn somebody_with_an_account_is_invited(place: Place) {
    let (acme, ann) = founded(&place, "acme", "ann").await;
    let bob = account(&place, "bob").await;
    let members = place.tenancy().members(&acme);
    let first = members
        .invite("Bob@example.com", "staff", ann.id)
        .await
        .unwrap();
    let link = members
        .invite("bob@example.com", "admin", ann.id)
        .await
        .unwrap();
    let [open] = members.invitations().await.unwrap().try_into().unwrap();
    assert_eq!((open.id, open.role.as_str()), (link.id, "admin"));
    let old = members.accept(&first.secret, &bob).await;
    assert!(matches!(old, Err(MemberError::Invalid)));
    members.accept(&link.secret, &bob).await.unwrap();
    assert_eq!(role(&place, &acme, &bob).await.as_deref(), Some("admin"));
    let again = members.accept(&link.secret, &bob).await;
    assert!(matches!(again, Err(MemberError::Invalid)));
    let twice = members.invite("bob@example.com", "staff", ann.id).await;
    assert!(matches!(twice.map(drop), Err(MemberError::AlreadyMember)));
}

fn person() -> NewPerson {
    NewPerson {
        password: PASSWORD.into(),
        first_name: "Bob".into(),
        last_name: String::new(),
    }
}

async fn somebody_without_is_invited(place: Place) {
    let (acme, ann) = founded(&place, "acme", "ann").await;
    let members = place.tenancy().members(&acme);
    let link = members
        .invite("bob@example.com", "staff", ann.id)
        .await
        .unwrap();
    let too_long = NewPerson {
        password: "x".repeat(2000),
        ..person()
    };
    members
        .accept_new(&link.secret, too_long)
        .await
        .unwrap_err();
    let bob = members.accept_new(&link.secret, person()).await.unwrap();
    assert_eq!(bob.email, "bob@example.com");
    assert_eq!(role(&place, &acme, &bob).await.as_deref(), Some("staff"));
    assert_eq!(
        sign_in(&place, "bob@example.com", PASSWORD).await.unwrap(),
        bob
    );
    // who has an account is not made another
    let eve = account(&place, "eve").await;
    let link = members
        .invite("eve@example.com", "staff", ann.id)
        .await
        .unwrap();
    let taken = members.accept_new(&link.secret, person()).await;
    assert!(matches!(
        taken,
        Err(MemberError::Account(AccountError::EmailTaken))
    ));
    members.accept(&link.secret, &eve).await.unwrap();
}

async fn invitations_of_another_tenant(place: Place) {
    let (acme, ann) = founded(&place, "acme", "ann").await;
    let (globex, _) = founded(&place, "globex", "bob").await;
    let eve = account(&place, "eve").await;
    let ours = place.tenancy().members(&acme);
    let theirs = place.tenancy().members(&globex);
    let link = ours
        .invite("eve@example.com", "staff", ann.id)
        .await
        .unwrap();
    assert!(matches!(
        theirs.accept(&link.secret, &eve).await,
        Err(MemberError::Invalid)
    ));
    assert!(matches!(
        theirs.withdraw(link.id).await,
        Err(DbError::NotFound)
    ));
    assert!(theirs.invitations().await.unwrap().is_empty());
    ours.withdraw(link.id).await.unwrap();
    assert!(matches!(
        ours.accept(&link.secret, &eve).await,
        Err(MemberError::Invalid)
    ));
}

async fn an_invitation_is_for_one_address(place: Place) {
    let (acme, ann) = founded(&place, "acme", "ann").await;
    let (bob, eve) = (account(&place, "bob").await, account(&place, "eve").await);
    let members = place.tenancy().members(&acme);
    let link = members
        .invite("bob@example.com", "staff", ann.id)
        .await
        .unwrap();
    let stolen = members.accept(&link.secret, &eve).await;
    assert!(matches!(stolen, Err(MemberError::Invalid)));
    members.accept(&link.secret, &bob).await.unwrap();
}

async fn of_many_who_accept_one_does(place: Place) {
    let (acme, ann) = founded(&place, "acme", "ann").await;
    let bob = account(&place, "bob").await;
    let members = place.tenancy().members(&acme);
    let link = members
        .invite("bob@example.com", "staff", ann.id)
        .await
        .unwrap();
    let tries = join_all((0..8).map(|_| members.accept(&link.secret, &bob))).await;
    assert_eq!(tries.into_iter().filter(|tried| tried.is_ok()).count(), 1);
}

async fn members_leave(place: Place) {
    let (acme, ann) = founded(&place, "acme", "ann").await;
    let bob = account(&place, "bob").await;
    join(&place, &acme, &ann, &bob, "staff").await;
    let members = place.tenancy().members(&acme);
    members.set_role(bob.id, "admin").await.unwrap();
    assert_eq!(role(&place, &acme, &bob).await.as_deref(), Some("admin"));
    members.remove(bob.id).await.unwrap();
    assert_eq!(role(&place, &acme, &bob).await, None);
    assert!(
        place
            .tenancy()
            .accounts()
            .tenants_of(bob.id)
            .await
            .unwrap()
            .is_empty()
    );
    sign_in(&place, "bob@example.com", PASSWORD).await.unwrap();
}

async fn memberships_end_with_the_tenant(place: Place) {
    let (acme, ann) = founded(&place, "acme", "ann").await;
    let members = place.tenancy().members(&acme);
    members
        .invite("bob@example.com", "staff", ann.id)
        .await
        .unwrap();
    place.tenancy().erase(&acme).await.unwrap();
    let accounts = place.tenancy().accounts();
    assert!(accounts.tenants_of(ann.id).await.unwrap().is_empty());
    assert!(members.invitations().await.unwrap().is_empty());
    let anew = place
        .tenancy()
        .create(NewTenant::new("acme".parse().unwrap(), "Acme").isolation(place.isolation()))
        .await
        .unwrap();
    assert_eq!(role(&place, &anew, &ann).await, None);
}

async fn who(member: CurrentMember) -> Json<String> {
    Json(format!(
        "{} {}",
        member.account.email, member.membership.role
    ))
}

async fn me(CurrentAccount(account): CurrentAccount) -> Json<String> {
    Json(account.email)
}

async fn a_stranger_is_told_there_is_no_such_tenant(place: Place) {
    let (_, ann) = founded(&place, "acme", "ann").await;
    let (_, bob) = founded(&place, "globex", "bob").await;
    let app = Routes::new()
        .universal(Method::GET, "/me", me)
        .tenant(Method::GET, "/who", who)
        .into_router(
            place.tenancy().clone(),
            Resolvers::new().subdomain("localhost"),
            (),
        );
    let ask = async |host: &str, path: &str, token: Option<&str>| {
        let mut request = Request::builder().uri(path).header("host", host);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Body::empty()).unwrap();
        let answer = app.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    let accounts = place.tenancy().accounts();
    let anns = accounts.issue(ann.id).await.unwrap().secret;
    let bobs = accounts.issue(bob.id).await.unwrap().secret;
    let well = |text: &str| (StatusCode::OK, format!("\"{text}\""));
    assert_eq!(
        ask("acme.localhost", "/who", Some(&anns)).await,
        well("ann@example.com owner")
    );
    assert_eq!(
        ask("localhost", "/me", Some(&anns)).await,
        well("ann@example.com")
    );
    assert_eq!(
        ask("globex.localhost", "/me", Some(&anns)).await,
        well("ann@example.com")
    );
    let stranger = ask("acme.localhost", "/who", Some(&bobs)).await;
    assert_eq!(
        stranger,
        ask("no-such.localhost", "/who", Some(&bobs)).await
    );
    assert_eq!(stranger.0, StatusCode::NOT_FOUND);
    assert_eq!(
        ask("acme.localhost", "/who", None).await.0,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        ask("acme.localhost", "/who", Some("tna_x")).await.0,
        StatusCode::UNAUTHORIZED
    );
    accounts.disable(ann.id).await.unwrap();
    let gone = ask("acme.localhost", "/who", Some(&anns)).await;
    assert_eq!(gone.0, StatusCode::UNAUTHORIZED);
}
