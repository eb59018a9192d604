//! Those who run the deployment.

use futures_util::future::{join, join_all};

use super::{
    super::{Place, list, users::PASSWORD},
    HOME, ann,
};
use crate::{
    operators::{NewOperator, OperatorError, OperatorRole},
    users::{Actor, Attempt, Audit, SignInError, Tokens, UserChange, Users, totp::Codes},
};

list! { "operators":
    operators_stand_in_for_users,
    links_to_stand_in_are_good_once,
    viewers_only_look,
    operators_have_second_factors,
    the_operators_log_is_written_once,
    a_second_factor_is_confirmed_once,
    who_was_sent_away_is_not_stood_in_for,
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
        .impersonate(&operator, &acme, &user, "ticket 7", HOME.parse().ok())
        .await
        .unwrap();
    // any process takes it
    let beside = place.beside().await;
    let stands_in = beside
        .operators()
        .redeem(&acme, &link.secret, HOME.parse().ok())
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
    assert_eq!(entries.len(), 2);
    for entry in &entries {
        assert_eq!(entry.actor, Actor::Operator("kim@example.com".into()));
        assert_eq!(
            (entry.subject_id, entry.detail.as_str()),
            (Some(user.id), "ticket 7")
        );
    }
    let ended = operators.ended(&stands_in.operator, &acme, &user, HOME.parse().ok());
    ended.await.unwrap();
    let expected = [
        "impersonation-ended",
        "impersonation-begun",
        "impersonation-asked",
    ];
    let inside = Audit::on(&mut db).list(None, 10).await.unwrap();
    let actions: Vec<_> = inside.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, expected);
    assert!(inside.iter().all(|entry| entry.address == HOME));
    let outside = operators.audit(None, 10).await.unwrap();
    let actions: Vec<_> = outside.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, expected);
    for entry in &outside {
        let (tenant, subject) = (entry.tenant.as_str(), entry.subject.as_str());
        assert_eq!((tenant, subject), ("acme", "ann@example.com"));
        assert_eq!(entry.address, HOME);
    }
}

async fn links_to_stand_in_are_good_once(place: Place) {
    let (_, user) = ann(&place, "acme").await;
    let (acme, globex) = (place.tenant("acme").await, place.tenant("globex").await);
    let operators = place.tenancy().operators();
    let operator = operators.create(kim(OperatorRole::Admin)).await.unwrap();
    let link = async || {
        let link = operators
            .impersonate(&operator, &acme, &user, "why", None)
            .await;
        link.unwrap().secret
    };
    let one = link().await;
    assert_eq!(
        operators.redeem(&globex, &one, None).await.unwrap(),
        None,
        "another tenant's"
    );
    let tries = join_all((0..8).map(|_| operators.redeem(&acme, &one, None))).await;
    let good = tries
        .into_iter()
        .filter(|tried| matches!(tried, Ok(Some(_))))
        .count();
    assert_eq!(good, 1);
    let late = link().await;
    operators.disable(operator.id).await.unwrap();
    assert_eq!(operators.redeem(&acme, &late, None).await.unwrap(), None);
    for malformed in ["", "tni_", "\0"] {
        assert_eq!(
            operators.redeem(&acme, malformed, None).await.unwrap(),
            None
        );
    }
}

async fn viewers_only_look(place: Place) {
    let (mut db, user) = ann(&place, "acme").await;
    let acme = place.tenant("acme").await;
    let operators = place.tenancy().operators();
    let viewer = operators.create(kim(OperatorRole::Viewer)).await.unwrap();
    let refused = operators
        .impersonate(&viewer, &acme, &user, "why", None)
        .await;
    assert!(matches!(refused.map(drop), Err(OperatorError::Forbidden)));
    assert!(Audit::on(&mut db).list(None, 1).await.unwrap().is_empty());
    let raised = operators
        .set_role(viewer.id, OperatorRole::Support)
        .await
        .unwrap();
    operators
        .impersonate(&raised, &acme, &user, "why", None)
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

async fn a_second_factor_is_confirmed_once(place: Place) {
    let operators = place.tenancy().operators();
    let operator = operators.create(kim(OperatorRole::Admin)).await.unwrap();
    let begin = async || {
        let begun = operators.begin_second_factor(&operator, "shop").await;
        let secret = Codes::secret_of(&begun.unwrap().unwrap().secret);
        Codes::of(secret, "", "").unwrap()
    };
    let first = begin().await;
    let second = begin().await;
    let code = first.code_in(0);
    let stale = operators.confirm_second_factor(&operator, &code).await;
    assert_eq!(stale.unwrap(), None, "of what was begun before");
    // two codes of it at once: the recovery codes that were shown are those that count
    let (one, other) = (second.code_in(-30), second.code_in(0));
    let (one, other) = join(
        operators.confirm_second_factor(&operator, &one),
        operators.confirm_second_factor(&operator, &other),
    )
    .await;
    let shown: Vec<_> = [one, other]
        .into_iter()
        .filter_map(|outcome| outcome.ok().flatten())
        .collect();
    let [recovery] = shown.try_into().unwrap();
    let attempt = Attempt {
        email: "kim@example.com",
        password: PASSWORD,
        code: Some(&recovery[0]),
        address: None,
    };
    operators.sign_in(attempt).await.unwrap();
}

async fn who_was_sent_away_is_not_stood_in_for(place: Place) {
    let (mut db, user) = ann(&place, "acme").await;
    let acme = place.tenant("acme").await;
    let operators = place.tenancy().operators();
    let operator = operators.create(kim(OperatorRole::Support)).await.unwrap();
    let link = operators.impersonate(&operator, &acme, &user, "why", None);
    let link = link.await.unwrap();
    let change = UserChange {
        active: Some(false),
        ..UserChange::default()
    };
    Users::on(&mut db)
        .change_hashed(user.id, change, None)
        .await
        .unwrap();
    let redeemed = operators.redeem(&acme, &link.secret, None).await.unwrap();
    assert_eq!(redeemed, None);
    let entries = Audit::on(&mut db).list(None, 10).await.unwrap();
    assert_eq!(entries[0].action, "impersonation-asked");
}
