//! What accounts outside of tenants sign in with: mailed links, second factors, tokens.

use chrono::{TimeDelta, Utc};
use futures_util::future::{join, join_all};

use super::{Place, list, members::account, users::PASSWORD};
use crate::{
    accounts::{Account, AccountError},
    db::CentralDb,
    users::{Attempt, IssuedToken, Purpose, SignInError, totp::Codes},
};

list! { "members":
    a_password_is_set_by_a_link,
    an_unknown_address_looks_the_same,
    links_are_for_one_account_and_purpose,
    links_to_accounts_expire,
    one_of_many_uses_an_accounts_link,
    an_address_is_changed_by_a_link,
    an_address_that_is_taken_stays,
    accounts_have_second_factors,
    a_factor_is_confirmed_once,
    confirming_needs_both_factors,
    tokens_are_made_while_the_password_is_right,
}

async fn sign_in(
    place: &Place,
    name: &str,
    password: &str,
    code: Option<&str>,
) -> Result<(Account, IssuedToken), SignInError> {
    let attempt = Attempt {
        email: &format!("{name}@example.com"),
        password,
        code,
        address: None,
    };
    place.tenancy().accounts().sign_in(attempt).await
}

fn is_no_link<T>(outcome: Result<T, AccountError>) -> bool {
    matches!(outcome, Err(AccountError::Link))
}

/// The catalog's own tables, which no application reaches.
fn catalog(place: &Place) -> CentralDb {
    place.tenancy().0.central.catalog()
}

async fn a_password_is_set_by_a_link(place: Place) {
    let ann = account(&place, "ann").await;
    let accounts = place.tenancy().accounts();
    let (_, token) = sign_in(&place, "ann", PASSWORD, None).await.unwrap();
    assert!(
        accounts
            .authenticate(&token.secret)
            .await
            .unwrap()
            .is_some()
    );
    let moving = accounts.change_email(ann.id, "ann@new.example.com").await;
    let moving = moving.unwrap().secret;
    let link = accounts.reset_password(" ANN@example.com").await.unwrap();
    let link = link.unwrap();
    assert_eq!(link.email, ann.email);
    let shown = accounts.look_at(Purpose::ResetPassword, &link.secret).await;
    assert_eq!(shown.unwrap(), ann.email);
    let too_long = "x".repeat(2000);
    let refused = accounts.set_password_by_link(&link.secret, &too_long).await;
    assert!(matches!(refused, Err(AccountError::Password(_))));
    let set = accounts.set_password_by_link(&link.secret, "a new password");
    assert_eq!(set.await.unwrap(), ann);
    let again = accounts.set_password_by_link(&link.secret, "another one");
    assert!(is_no_link(again.await), "it is good once");
    assert!(is_no_link(
        accounts.look_at(Purpose::ResetPassword, &link.secret).await
    ));
    assert!(sign_in(&place, "ann", PASSWORD, None).await.is_err());
    sign_in(&place, "ann", "a new password", None)
        .await
        .unwrap();
    let known = accounts.authenticate(&token.secret).await.unwrap();
    assert_eq!(known, None, "what was signed in has ended");
    assert!(
        is_no_link(accounts.confirm_email(&moving).await),
        "and what whoever knew the old password asked for"
    );
}

async fn an_unknown_address_looks_the_same(place: Place) {
    let ann = account(&place, "ann").await;
    let accounts = place.tenancy().accounts();
    let unknown = accounts.reset_password("eve@example.com").await.unwrap();
    assert!(unknown.is_none());
    accounts.disable(ann.id).await.unwrap();
    let disabled = accounts.reset_password(&ann.email).await.unwrap();
    assert!(disabled.is_none());
    // the same was written as for somebody
    let kept: i64 = catalog(&place)
        .query("SELECT count(*) FROM tenantry_account_links WHERE account_id IS NULL")
        .scalar()
        .await
        .unwrap();
    assert_eq!(kept, 2);
    for malformed in ["", "tnp_", "\0", "tnp_\0\0\0\0\0\0\0\0\0", "tnl_abcdefghij"] {
        let looked = accounts.look_at(Purpose::ResetPassword, malformed).await;
        assert!(is_no_link(looked), "{malformed:?}");
    }
}

async fn links_are_for_one_account_and_purpose(place: Place) {
    let (ann, bob) = (account(&place, "ann").await, account(&place, "bob").await);
    let accounts = place.tenancy().accounts();
    let reset = accounts.reset_password(&ann.email).await.unwrap().unwrap();
    let moving = accounts.change_email(ann.id, "ann@new.example.com").await;
    let moving = moving.unwrap();
    assert!(is_no_link(accounts.confirm_email(&reset.secret).await));
    let mixed = accounts.set_password_by_link(&moving.secret, "stolen");
    assert!(is_no_link(mixed.await));
    // another's links leave it alone, and it others
    let others = accounts.reset_password(&bob.email).await.unwrap().unwrap();
    let set = accounts.set_password_by_link(&reset.secret, "a new one");
    assert_eq!(set.await.unwrap().id, ann.id);
    sign_in(&place, "bob", PASSWORD, None).await.unwrap();
    let set = accounts.set_password_by_link(&others.secret, "bob's new one");
    assert_eq!(set.await.unwrap().id, bob.id);
    // only the latest is good
    let first = accounts.reset_password(&ann.email).await.unwrap().unwrap();
    let second = accounts.reset_password(&ann.email).await.unwrap().unwrap();
    let looked = async |secret: &str| accounts.look_at(Purpose::ResetPassword, secret).await;
    assert!(is_no_link(looked(&first.secret).await));
    looked(&second.secret).await.unwrap();
    accounts.disable(ann.id).await.unwrap();
    assert!(is_no_link(looked(&second.secret).await));
}

async fn links_to_accounts_expire(place: Place) {
    let ann = account(&place, "ann").await;
    let accounts = place.tenancy().accounts();
    let reset = accounts.reset_password(&ann.email).await.unwrap().unwrap();
    let moving = accounts.change_email(ann.id, "ann@new.example.com").await;
    let moving = moving.unwrap();
    let looked = accounts.look_at(Purpose::ResetPassword, &reset.secret);
    looked.await.unwrap();
    catalog(&place)
        .query("UPDATE tenantry_account_links SET expires_at = $1")
        .bind(Utc::now() - TimeDelta::seconds(1))
        .execute()
        .await
        .unwrap();
    let late = accounts.set_password_by_link(&reset.secret, "a new one");
    assert!(is_no_link(late.await));
    assert!(is_no_link(accounts.confirm_email(&moving.secret).await));
    sign_in(&place, "ann", PASSWORD, None).await.unwrap();
}

async fn one_of_many_uses_an_accounts_link(place: Place) {
    let ann = account(&place, "ann").await;
    let accounts = place.tenancy().accounts();
    let link = accounts.change_email(ann.id, "ann@new.example.com").await;
    let link = link.unwrap();
    let uses = (0..8).map(|_| accounts.confirm_email(&link.secret));
    let used = join_all(uses).await;
    assert_eq!(used.into_iter().filter(Result::is_ok).count(), 1);
}

async fn an_address_is_changed_by_a_link(place: Place) {
    let ann = account(&place, "ann").await;
    let accounts = place.tenancy().accounts();
    let reset = accounts.reset_password(&ann.email).await.unwrap().unwrap();
    let link = accounts.change_email(ann.id, "Ann@New.example.com").await;
    let link = link.unwrap();
    assert_eq!(link.email, "ann@new.example.com", "it goes to the new one");
    let now = accounts.by_email(&ann.email).await.unwrap();
    assert_eq!(now, ann, "nothing changes until it is used");
    let (before, changed) = accounts.confirm_email(&link.secret).await.unwrap();
    assert_eq!(before, ann.email);
    assert_eq!(
        (changed.id, changed.email.as_str()),
        (ann.id, "ann@new.example.com")
    );
    let stolen = accounts.set_password_by_link(&reset.secret, "stolen");
    assert!(
        is_no_link(stolen.await),
        "what was mailed to the old address is worth nothing"
    );
    assert!(is_no_link(accounts.confirm_email(&link.secret).await));
    assert!(sign_in(&place, "ann", PASSWORD, None).await.is_err());
    let attempt = Attempt {
        email: "ann@new.example.com",
        password: PASSWORD,
        code: None,
        address: None,
    };
    accounts.sign_in(attempt).await.unwrap();
}

async fn an_address_that_is_taken_stays(place: Place) {
    let (ann, bob) = (account(&place, "ann").await, account(&place, "bob").await);
    let accounts = place.tenancy().accounts();
    let link = accounts.change_email(ann.id, &bob.email).await.unwrap();
    let used = accounts.confirm_email(&link.secret).await;
    assert!(matches!(used, Err(AccountError::EmailTaken)));
    assert_eq!(accounts.by_email(&ann.email).await.unwrap(), ann);
}

async fn with_factor(place: &Place, account: &Account) -> (Codes, Vec<String>) {
    let accounts = place.tenancy().accounts();
    let begun = accounts.begin_second_factor(account, "Books").await;
    let begun = begun.unwrap().unwrap();
    let codes = Codes::of(Codes::secret_of(&begun.secret), "", "").unwrap();
    let wrong = accounts.confirm_second_factor(account, "000000").await;
    assert_eq!(wrong.unwrap(), None);
    assert!(!accounts.has_second_factor(account).await.unwrap());
    let code = codes.code_in(-30);
    let recovery = accounts.confirm_second_factor(account, &code).await;
    (codes, recovery.unwrap().unwrap())
}

async fn accounts_have_second_factors(place: Place) {
    let (ann, bob) = (account(&place, "ann").await, account(&place, "bob").await);
    let accounts = place.tenancy().accounts();
    let (codes, recovery) = with_factor(&place, &ann).await;
    assert!(accounts.has_second_factor(&ann).await.unwrap());
    let again = accounts.begin_second_factor(&ann, "Books").await.unwrap();
    assert!(again.is_none(), "there is one");
    sign_in(&place, "bob", PASSWORD, None).await.unwrap();
    for code in [None, Some("000000")] {
        let refused = sign_in(&place, "ann", PASSWORD, code).await;
        assert!(matches!(refused, Err(SignInError::SecondFactor)));
    }
    let code = codes.code_in(0);
    let wrong = sign_in(&place, "ann", "wrong", Some(&code)).await;
    assert!(matches!(wrong, Err(SignInError::InvalidCredentials)));
    sign_in(&place, "ann", PASSWORD, Some(&code)).await.unwrap();
    let again = sign_in(&place, "ann", PASSWORD, Some(&code)).await;
    assert!(again.is_err(), "a code is good once");
    let by_recovery = async |code: &str| sign_in(&place, "ann", PASSWORD, Some(code)).await;
    by_recovery(&recovery[0]).await.unwrap();
    assert!(by_recovery(&recovery[0]).await.is_err());
    assert_eq!(accounts.recovery_codes_left(&ann).await.unwrap(), 9);
    let renewed = accounts.renew_recovery_codes(&ann).await.unwrap();
    assert!(by_recovery(&recovery[1]).await.is_err());
    by_recovery(&renewed[1]).await.unwrap();
    // one's codes are not another's
    with_factor(&place, &bob).await;
    let others = sign_in(&place, "bob", PASSWORD, Some(&renewed[2])).await;
    assert!(matches!(others, Err(SignInError::SecondFactor)));
    // a new password takes no second factor away
    let link = accounts.reset_password(&ann.email).await.unwrap().unwrap();
    let set = accounts.set_password_by_link(&link.secret, PASSWORD);
    set.await.unwrap();
    let without = sign_in(&place, "ann", PASSWORD, None).await;
    assert!(matches!(without, Err(SignInError::SecondFactor)));
    accounts.remove_second_factor(&ann).await.unwrap();
    sign_in(&place, "ann", PASSWORD, None).await.unwrap();
    let left = accounts.recovery_codes_left(&ann).await.unwrap();
    assert_eq!(left, 0);
}

async fn a_factor_is_confirmed_once(place: Place) {
    let ann = account(&place, "ann").await;
    let accounts = place.tenancy().accounts();
    let begun = accounts.begin_second_factor(&ann, "Books").await;
    let secret = begun.unwrap().unwrap().secret;
    let codes = Codes::of(Codes::secret_of(&secret), "", "").unwrap();
    let (one, other) = (codes.code_in(-30), codes.code_in(0));
    let (one, other) = join(
        accounts.confirm_second_factor(&ann, &one),
        accounts.confirm_second_factor(&ann, &other),
    )
    .await;
    let shown: Vec<_> = [one, other]
        .into_iter()
        .filter_map(|outcome| outcome.ok().flatten())
        .collect();
    let [recovery] = shown.try_into().unwrap();
    let code = Some(recovery[0].as_str());
    sign_in(&place, "ann", PASSWORD, code).await.unwrap();
}

async fn confirming_needs_both_factors(place: Place) {
    let (ann, bob) = (account(&place, "ann").await, account(&place, "bob").await);
    let accounts = place.tenancy().accounts();
    let confirm = async |who: &Account, password, code| {
        let attempt = Attempt {
            email: "bob@example.com",
            password,
            code,
            address: None,
        };
        accounts.confirm(who, attempt).await
    };
    confirm(&ann, PASSWORD, None).await.unwrap();
    let wrong = confirm(&ann, "wrong", None).await;
    assert!(matches!(wrong, Err(SignInError::InvalidCredentials)));
    let (_, recovery) = with_factor(&place, &ann).await;
    let half = confirm(&ann, PASSWORD, None).await;
    assert!(matches!(half, Err(SignInError::SecondFactor)));
    let code = Some(recovery[0].as_str());
    confirm(&ann, PASSWORD, code).await.unwrap();
    // the account that has the address by now is not the one that asks
    let stale = Account {
        email: bob.email.clone(),
        ..ann
    };
    let other = confirm(&stale, PASSWORD, None).await;
    assert!(matches!(other, Err(SignInError::InvalidCredentials)));
}

async fn tokens_are_made_while_the_password_is_right(place: Place) {
    let ann = account(&place, "ann").await;
    let accounts = place.tenancy().accounts();
    let issue = async |hash: &str| crate::accounts::issue_if(&accounts, ann.id, hash).await;
    let hash = async || -> String {
        let catalog = catalog(&place);
        let hash = catalog.query("SELECT password_hash FROM tenantry_accounts");
        hash.scalar().await.unwrap()
    };
    let checked = hash().await;
    let token = issue(&checked).await.unwrap();
    assert!(
        accounts
            .authenticate(&token.secret)
            .await
            .unwrap()
            .is_some()
    );
    accounts.set_password(ann.id, PASSWORD).await.unwrap();
    let late = issue(&checked).await;
    assert!(matches!(
        late.map(drop),
        Err(SignInError::InvalidCredentials)
    ));
    let checked = hash().await;
    accounts.disable(ann.id).await.unwrap();
    let late = issue(&checked).await;
    assert!(matches!(
        late.map(drop),
        Err(SignInError::InvalidCredentials)
    ));
}
