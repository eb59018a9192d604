//! What a tenant has said: seen everywhere at once, by itself alone, and taken along.

use super::*;

list! { "settings":
    defaults_hold_until_something_is_said, another_process_sees_a_change_within_a_second, each_tenant_has_its_own, two_who_write_lose_nothing, what_is_out_of_date_is_refused, a_document_is_merged_in, what_another_version_wrote_stays, what_is_broken_is_refused, an_extractor_gives_the_tenants_own, kept_by_rename_delete_and_move, backed_up_and_restored, erased_and_certified, plans_limit_and_give,
}

async fn defaults_hold_until_something_is_said(place: Place) {
    let place = registered(place).await;
    let acme = place.tenant("acme").await;
    let tenancy = place.tenancy();
    let settings = tenancy.settings(&acme);
    assert_eq!(shipping(tenancy, &acme).await, Shipping::default());
    let changed = settings.change(|all: &mut Shipping| all.note = Some("by ship".into()));
    changed.await.unwrap();
    let now = shipping(tenancy, &acme).await;
    assert_eq!((now.days, now.note.as_deref()), (3, Some("by ship")));
    // only what was said is kept: a default that changes with the program changes here
    let said = kept(tenancy, &acme).await;
    assert_eq!(said, json!({ "shipping": { "note": "by ship" } }));
    let whole = Shipping {
        days: 5,
        ..Shipping::default()
    };
    settings.set(&whole).await.unwrap();
    assert_eq!(shipping(tenancy, &acme).await, whole);
    let refused = settings.change(|all: &mut Shipping| all.days = 0).await;
    assert!(
        matches!(refused, Err(SettingsError::Invalid(_))),
        "{refused:?}"
    );
    assert_eq!(days(tenancy, &acme).await, 5);
    assert!(settings.reset("shipping").await.unwrap());
    assert!(!settings.reset("shipping").await.unwrap());
    assert_eq!(shipping(tenancy, &acme).await, Shipping::default());
    // what is not registered is not there
    for refused in [
        settings.reset("none").await.map(drop),
        settings.patch("none", Fields::new()).await.map(drop),
    ] {
        assert!(
            matches!(refused, Err(SettingsError::NoGroup(_))),
            "{refused:?}"
        );
    }
}

async fn another_process_sees_a_change_within_a_second(place: Place) {
    let place = registered(place).await;
    let acme = place.tenant("acme").await;
    let there = Tenancy::set_up(with(place.config())).await.unwrap();
    for wanted in [7, 8, 9] {
        assert_ne!(days(&there, &acme).await, wanted, "it is remembered there");
        say(place.tenancy(), &acme, json!({ "days": wanted })).await;
        let begun = std::time::Instant::now();
        soon("the other process knows", || async {
            days(&there, &acme).await == wanted
        })
        .await;
        // twice the time, for a busy machine
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
    place
        .tenancy()
        .settings(&acme)
        .reset("shipping")
        .await
        .unwrap();
    soon("it is as by default there", || async {
        days(&there, &acme).await == 3
    })
    .await;
    there.close();
}

async fn each_tenant_has_its_own(place: Place) {
    let place = registered(place).await;
    let acme = with_a_token(&place, "acme").await;
    let globex = place.tenant("globex").await;
    let tenancy = place.tenancy();
    assert_eq!(shipping(tenancy, &globex).await, Shipping::default());
    say(tenancy, &globex, json!({ "days": 1 })).await;
    let ours = shipping(tenancy, &acme).await;
    assert_eq!((ours.days, ours.token), (9, Some(Secret::new(TOKEN))));
    tenancy.settings(&globex).reset("shipping").await.unwrap();
    assert_eq!(days(tenancy, &acme).await, 9);
    assert_eq!(days(tenancy, &globex).await, 3);
    let shown = tenancy.settings(&globex).shown().await.unwrap();
    assert!(shown.iter().all(|group| group.told.is_empty()), "{shown:?}");
}

async fn two_who_write_lose_nothing(place: Place) {
    let place = registered(place).await;
    let acme = place.tenant("acme").await;
    let there = Tenancy::set_up(with(place.config())).await.unwrap();
    let add = async |tenancy: &Tenancy| {
        for _ in 0..10 {
            let settings = tenancy.settings(&acme);
            let added = settings.change(|all: &mut Shipping| all.days += 1).await;
            added.unwrap();
        }
    };
    tokio::join!(add(place.tenancy()), add(&there), add(place.tenancy()));
    assert_eq!(days(place.tenancy(), &acme).await, 33);
    there.close();
}

async fn what_is_out_of_date_is_refused(place: Place) {
    let place = registered(place).await;
    let acme = place.tenant("acme").await;
    let settings = place.tenancy().settings(&acme);
    let (mut value, first): (Shipping, _) = settings.get_versioned().await.unwrap();
    value.days = 4;
    let second = settings.set_if(&value, first).await.unwrap();
    value.days = 5;
    let late = settings.set_if(&value, first).await;
    assert!(matches!(late, Err(SettingsError::Conflict)), "{late:?}");
    assert_eq!(days(place.tenancy(), &acme).await, 4);
    // taken back and said again is another one
    settings.reset("shipping").await.unwrap();
    settings.set_if(&value, first).await.unwrap();
    let late = settings.set_if(&value, second).await;
    assert!(matches!(late, Err(SettingsError::Conflict)), "{late:?}");
    assert_eq!(days(place.tenancy(), &acme).await, 5);
}

async fn a_document_is_merged_in(place: Place) {
    let place = registered(place).await;
    let acme = with_a_token(&place, "acme").await;
    let tenancy = place.tenancy();
    let settings = tenancy.settings(&acme);
    say(tenancy, &acme, json!({ "extra": { "a": 1, "b": 2 } })).await;
    say(
        tenancy,
        &acme,
        json!({ "extra": { "b": null, "c": 3 }, "days": null }),
    )
    .await;
    let now = shipping(tenancy, &acme).await;
    assert_eq!(now.extra, json!({ "a": 1, "c": 3 }));
    assert_eq!(now.days, 3);
    // what is shown of a secret, sent back, leaves it as it is
    let shown = settings.shown().await.unwrap().remove(1).fields;
    assert_eq!(shown["token"], json!({ "$secret": true }));
    settings.patch("shipping", shown).await.unwrap();
    assert_eq!(
        shipping(tenancy, &acme).await.token,
        Some(Secret::new(TOKEN))
    );
    for (bad, field) in [
        (json!({ "days": "many" }), "days"),
        (json!({ "days": 0 }), "days"),
        (json!({ "token": { "a": 1 } }), "token"),
        (json!({ "token": { "$sealed": "v1:x:y" } }), "token"),
        (
            json!({ "extra": { "deep": { "$sealed": "v1:x:y" } } }),
            "extra",
        ),
        (json!({ "note": "x".repeat(70_000) }), ""),
    ] {
        match settings.patch("shipping", fields(bad.clone())).await {
            Err(SettingsError::Invalid(errors)) => {
                assert!(errors.contains_key(field), "{field}: {errors:?}");
            }
            other => panic!("{field}: {other:?}"),
        }
    }
    let unknown = settings
        .patch("shipping", fields(json!({ "dayz": 1 })))
        .await;
    assert!(
        matches!(unknown, Err(SettingsError::NoField { .. })),
        "{unknown:?}"
    );
    assert_eq!(shipping(tenancy, &acme).await, {
        Shipping {
            token: Some(Secret::new(TOKEN)),
            extra: json!({ "a": 1, "c": 3 }),
            ..Shipping::default()
        }
    });
    say(tenancy, &acme, json!({ "token": null })).await;
    assert_eq!(shipping(tenancy, &acme).await.token, None);
}

async fn what_another_version_wrote_stays(place: Place) {
    let place = registered(place).await;
    let acme = place.tenant("acme").await;
    let tenancy = place.tenancy();
    force(tenancy, &acme, json!({ "days": 4, "of_the_next": [1] })).await;
    assert_eq!(days(tenancy, &acme).await, 4);
    say(tenancy, &acme, json!({ "note": "x" })).await;
    let settings = tenancy.settings(&acme);
    let changed = settings.change(|all: &mut Shipping| all.days = 6).await;
    changed.unwrap();
    let expected = json!({ "shipping": { "days": 6, "note": "x", "of_the_next": [1] } });
    assert_eq!(kept(tenancy, &acme).await, expected);
}

async fn what_is_broken_is_refused(place: Place) {
    let place = registered(place).await;
    let acme = place.tenant("acme").await;
    let globex = place.tenant("globex").await;
    let tenancy = place.tenancy();
    for broken in [json!({ "days": "many" }), json!({ "days": 0 })] {
        force(tenancy, &acme, broken).await;
        let settings = tenancy.settings(&acme);
        let read: Result<Shipping, _> = settings.get().await;
        assert!(
            matches!(read, Err(SettingsError::Broken { .. })),
            "{read:?}"
        );
        let changed = settings.change(|all: &mut Shipping| all.days = 6).await;
        assert!(
            matches!(changed, Err(SettingsError::Broken { .. })),
            "{changed:?}"
        );
        let shown = settings.shown().await.unwrap();
        assert!(shown.iter().any(|group| group.error.is_some()), "{shown:?}");
        // others are none the worse for it
        assert_eq!(days(tenancy, &globex).await, 3);
        say(tenancy, &acme, json!({ "days": 2 })).await;
        assert_eq!(days(tenancy, &acme).await, 2, "it is mended");
    }
}

async fn an_extractor_gives_the_tenants_own(place: Place) {
    let place = registered(place).await;
    let acme = with_a_token(&place, "acme").await;
    place.tenant("globex").await;
    let app = app(place.tenancy());
    let (status, ours) = ask(&app, "acme", Method::GET, "/shipping").await;
    assert_eq!((status, &ours["days"]), (StatusCode::OK, &json!(9)));
    assert_eq!(ours["token"], json!({ "$secret": true }));
    let (status, theirs) = ask(&app, "globex", Method::GET, "/shipping").await;
    assert_eq!((status, &theirs["days"]), (StatusCode::OK, &json!(3)));
    assert_eq!(theirs["token"], Value::Null);
    let (status, _) = ask(&app, "nobody", Method::GET, "/shipping").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    force(place.tenancy(), &acme, json!({ "days": "many" })).await;
    let (status, said) = ask(&app, "acme", Method::GET, "/shipping").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!said.to_string().contains("many"), "{said}");
}

async fn kept_by_rename_delete_and_move(place: Place) {
    let place = registered(place).await;
    let acme = with_a_token(&place, "acme").await;
    let tenancy = place.tenancy();
    let expected = shipping(tenancy, &acme).await;
    tenancy
        .rename(&acme, &"zenith".parse().unwrap())
        .await
        .unwrap();
    let zenith = found(tenancy, "zenith").await;
    assert_eq!(shipping(tenancy, &zenith).await, expected);
    let deleted = tenancy.delete(&zenith, GRACE).await.unwrap();
    let settings = tenancy.settings(&zenith);
    let late = settings
        .patch("shipping", fields(json!({ "days": 1 })))
        .await;
    assert!(matches!(late, Err(SettingsError::NoTenant)), "{late:?}");
    let back = tenancy.restore(&deleted, None).await.unwrap();
    assert_eq!(shipping(tenancy, &back).await, expected);
    // whoever has the code afterwards is somebody else
    let other = place.tenant("acme").await;
    assert_eq!(shipping(tenancy, &other).await, Shipping::default());
    for isolation in Isolation::ALL {
        let now = found(tenancy, "zenith").await;
        let to = Placement::new(isolation, "local");
        match tenancy.move_tenant(&now, to).await {
            Ok(moved) => assert_eq!(shipping(tenancy, &moved).await, expected, "{isolation}"),
            Err(LifecycleError::NoPlace(_) | LifecycleError::NotPossible) => {}
            Err(error) => panic!("{isolation}: {error:?}"),
        }
    }
}

async fn backed_up_and_restored(place: Place) {
    let place = registered(place).await;
    let acme = with_a_token(&place, "acme").await;
    let tenancy = place.tenancy();
    let folder = place.folder().join("backup");
    tenancy.backup(&folder, None, |_| {}).await.unwrap();
    say(tenancy, &acme, json!({ "days": 1 })).await;
    let there = registered(place_of(place.isolation()).await).await;
    let elsewhere = there.tenancy();
    elsewhere.restore_backup(&folder, |_| {}).await.unwrap();
    let restored = found(elsewhere, "acme").await;
    // the key is in no backup
    let read: Result<Shipping, _> = elsewhere.settings(&restored).get().await;
    let is_unknown = matches!(
        &read,
        Err(SettingsError::Secret {
            source: KeyError::Unknown(_),
            ..
        })
    );
    assert!(is_unknown, "{read:?}");
    // and no new one is made in its place, which would hide that
    let other = there.tenant("other").await;
    let patch = fields(json!({ "token": "x" }));
    let refused = elsewhere.settings(&other).patch("shipping", patch).await;
    assert!(
        matches!(refused, Err(SettingsError::Secret { .. })),
        "{refused:?}"
    );
    std::fs::copy(place.folder().join("keys"), there.folder().join("keys")).unwrap();
    let theirs = shipping(elsewhere, &restored).await;
    assert_eq!((theirs.days, theirs.token), (9, Some(Secret::new(TOKEN))));
    // beside itself it is another tenant
    let (code, new) = ("acme".parse().unwrap(), "beside".parse().unwrap());
    let beside = tenancy
        .restore_tenant(&folder, &code, Some(&new), None)
        .await;
    let beside = shipping(tenancy, &beside.unwrap()).await;
    assert_eq!((beside.days, beside.token), (9, None));
    assert_eq!(days(tenancy, &acme).await, 1);
}

async fn erased_and_certified(place: Place) {
    let place = registered(place).await;
    let acme = with_a_token(&place, "acme").await;
    let globex = with_a_token(&place, "globex").await;
    let tenancy = place.tenancy();
    let certificate = tenancy.erase(&acme).await.unwrap();
    assert_eq!(certificate.removed.settings, 1);
    assert_eq!(kept(tenancy, &acme).await, json!({}));
    assert_eq!(days(tenancy, &globex).await, 9);
}

async fn plans_limit_and_give(mut place: Place) {
    let acme = place.tenant("acme").await;
    place.tenant("globex").await;
    // without plans any word is one, and none limits
    place.tenancy().set_plan(&acme, "any").await.unwrap();
    assert_eq!(place.tenancy().plan(&acme).limit("products"), None);
    let config = place
        .config()
        .plan(Plan::new("free").with_limit("products", 2))
        .plan(Plan::new("pro").with_feature("import"));
    place.reopen_as(config).await;
    let tenancy = place.tenancy();
    let acme = found(tenancy, "acme").await;
    let refused = tenancy.set_plan(&acme, "prp").await;
    match refused {
        Err(LifecycleError::NoPlan { known, .. }) => assert_eq!(known, ["free", "pro"]),
        other => panic!("{other:?}"),
    }
    let app = app(tenancy);
    let answers = async |code: &str| {
        let add = ask(&app, code, Method::POST, "/products").await;
        let import = ask(&app, code, Method::POST, "/import").await;
        (add.0.as_u16(), import.0.as_u16())
    };
    assert_eq!(
        answers("acme").await,
        (403, 403),
        "a plan that nobody knows"
    );
    assert_eq!(
        answers("globex").await,
        (200, 403),
        "on none there is no limit"
    );
    tenancy.set_plan(&acme, "free").await.unwrap();
    let (status, said) = ask(&app, "acme", Method::POST, "/products").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(said["type"], "/problems/plan-limit");
    tenancy.set_plan(&acme, "pro").await.unwrap();
    assert_eq!(answers("acme").await, (200, 200));
    assert_eq!(
        answers("globex").await,
        (200, 403),
        "its own plan is another"
    );
    tenancy.set_plan(&acme, "").await.unwrap();
    assert_eq!(answers("acme").await, (200, 403));
}
