//! Secrets: sealed for their tenant, never shown, and none goes along to another.

use super::*;

list! { "settings":
    a_secret_is_sealed_and_never_shown, a_secret_that_is_not_named_is_not_kept, a_sealed_secret_opens_for_its_tenant_alone, a_clone_has_them_without_secrets, exported_and_imported_without_secrets, keys_are_rotated,
}

async fn a_secret_is_sealed_and_never_shown(place: Place) {
    let place = registered(place).await;
    let acme = with_a_token(&place, "acme").await;
    let tenancy = place.tenancy();
    let said = kept(tenancy, &acme).await.to_string();
    assert!(
        said.contains("\"$sealed\":\"v1:") && !said.contains(TOKEN),
        "{said}"
    );
    let value = shipping(tenancy, &acme).await;
    let token = value.token.as_ref().unwrap();
    assert_eq!(token.expose(), TOKEN, "who may, can read it");
    let shown = tenancy.settings(&acme).shown().await.unwrap();
    for text in [
        format!("{value:?} {token} {token:?} {shown:?}"),
        json!(value).to_string(),
        format!("{tenancy:?} {:?}", tenancy.settings(&acme)),
    ] {
        assert!(!text.contains(TOKEN), "{text}");
    }
    // nor is it in what is said of a value that is wrong
    let wrong = json!({ "token": [TOKEN] });
    let refused = tenancy
        .settings(&acme)
        .patch("shipping", fields(wrong))
        .await;
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("token") && !refused.contains(TOKEN),
        "{refused}"
    );
    // the same again is no reason to seal it anew
    tenancy.settings(&acme).set(&value).await.unwrap();
    assert_eq!(kept(tenancy, &acme).await.to_string(), said);
    // nor is it anywhere on the disk, where this machine keeps it
    let finder = |text: &str| crate::testing::files_with(place.folder(), text.as_bytes());
    let marker = place.folder().join("planted");
    std::fs::write(&marker, format!("x{TOKEN}x")).unwrap();
    assert_eq!(
        finder(TOKEN),
        [marker],
        "what looks finds what is there, and no more"
    );
}

async fn a_secret_that_is_not_named_is_not_kept(place: Place) {
    let place = registered(place).await;
    let acme = place.tenant("acme").await;
    let settings = place.tenancy().settings(&acme);
    let careless = Careless {
        password: Some(Secret::new(TOKEN)),
    };
    let refused = settings.set(&careless).await;
    assert!(
        matches!(refused, Err(SettingsError::Unnamed { .. })),
        "{refused:?}"
    );
    let patch = fields(json!({ "password": TOKEN }));
    let refused = settings.patch("careless", patch).await;
    assert!(
        matches!(refused, Err(SettingsError::Unnamed { .. })),
        "{refused:?}"
    );
    assert_eq!(kept(place.tenancy(), &acme).await, json!({}));
}

async fn a_sealed_secret_opens_for_its_tenant_alone(place: Place) {
    let place = registered(place).await;
    let acme = with_a_token(&place, "acme").await;
    let globex = place.tenant("globex").await;
    let tenancy = place.tenancy();
    let sealed = kept(tenancy, &acme).await["shipping"].clone();
    force(tenancy, &globex, sealed.clone()).await;
    let read: Result<Shipping, _> = tenancy.settings(&globex).get().await;
    let is_forged = matches!(
        &read,
        Err(SettingsError::Secret {
            source: KeyError::Forged,
            ..
        })
    );
    assert!(is_forged, "{read:?}");
    let shown = tenancy.settings(&globex).shown().await.unwrap();
    assert!(!format!("{shown:?}").contains(TOKEN), "{shown:?}");
    // nor in another field of the same tenant
    force(tenancy, &acme, json!({ "note": sealed["token"] })).await;
    let read: Result<Shipping, _> = tenancy.settings(&acme).get().await;
    assert!(
        matches!(read, Err(SettingsError::Secret { .. })),
        "{read:?}"
    );
    force(tenancy, &acme, sealed).await;
    assert_eq!(
        shipping(tenancy, &acme).await.token,
        Some(Secret::new(TOKEN)),
        "it opens where it was"
    );
    // who cannot be read can be told anew
    say(tenancy, &globex, json!({ "token": "another" })).await;
    assert_eq!(
        shipping(tenancy, &globex).await.token,
        Some(Secret::new("another"))
    );
}

async fn a_clone_has_them_without_secrets(place: Place) {
    let place = registered(place).await;
    let acme = with_a_token(&place, "acme").await;
    let tenancy = place.tenancy();
    let clone = tenancy.clone_tenant(&acme, place.new_tenant("clone")).await;
    let clone = clone.unwrap();
    let theirs = shipping(tenancy, &clone).await;
    assert_eq!((theirs.days, theirs.token), (9, None));
    say(tenancy, &clone, json!({ "days": 1 })).await;
    let ours = shipping(tenancy, &acme).await;
    assert_eq!((ours.days, ours.token), (9, Some(Secret::new(TOKEN))));
}

async fn exported_and_imported_without_secrets(place: Place) {
    let place = registered(place).await;
    let acme = with_a_token(&place, "acme").await;
    let tenancy = place.tenancy();
    let sealed = kept(tenancy, &acme).await["shipping"]["token"]["$sealed"].clone();
    for (name, how, days) in [
        ("whole", Exporting::default(), 9),
        ("anonymous", Exporting::anonymised(), 3),
    ] {
        let file = place.folder().join(name);
        tenancy.export(&acme, &file, how).await.unwrap();
        let mut text = String::new();
        let bytes = std::fs::read(&file).unwrap();
        let mut gzip = flate2::read::GzDecoder::new(bytes.as_slice());
        gzip.read_to_string(&mut text).unwrap();
        assert!(
            text.contains("\"schema_version\""),
            "it can be read: {text}"
        );
        assert!(!text.contains(TOKEN) && !text.contains(sealed.as_str().unwrap()));
        assert_eq!(text.contains("\"shipping\""), days == 9, "{name}");
        let code = Some(name.parse().unwrap());
        let isolation = place.isolation();
        let placed = tenancy.import(&file, code, |new| new.isolation(isolation));
        let theirs = shipping(tenancy, &placed.await.unwrap()).await;
        assert_eq!((theirs.days, theirs.token), (days, None), "{name}");
    }
}

async fn keys_are_rotated(place: Place) {
    let place = registered(place).await;
    let acme = with_a_token(&place, "acme").await;
    let globex = with_a_token(&place, "globex").await;
    let tenancy = place.tenancy();
    let there = Tenancy::set_up(with(place.config())).await.unwrap();
    let same = Some(Secret::new(TOKEN));
    assert_eq!(shipping(&there, &acme).await.token, same);
    let before = kept(tenancy, &acme).await;
    let rotated = tenancy.rotate_keys().await.unwrap();
    assert!(rotated.is_new && rotated.failed.is_empty(), "{rotated:?}");
    assert_eq!(rotated.secrets, 2);
    assert_ne!(kept(tenancy, &acme).await, before);
    // one who has not heard of it opens both
    for tenant in [&acme, &globex] {
        assert_eq!(shipping(&there, tenant).await.token, same);
        assert_eq!(shipping(tenancy, tenant).await.token, same);
    }
    let keys = tenancy.keys().await.unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(
        (keys[0].seals, keys[0].secrets, keys[1].secrets),
        (true, 2, 0)
    );
    // what is sealed by an older key keeps it
    force(tenancy, &acme, before["shipping"].clone()).await;
    let kept_back = tenancy.drop_keys().await;
    assert!(
        matches!(kept_back, Err(SettingsError::Keys(KeyError::InUse(1)))),
        "{kept_back:?}"
    );
    // and is the first to be done, without a further key
    let again = tenancy.rotate_keys().await.unwrap();
    assert_eq!((again.is_new, again.secrets), (false, 1));
    assert_eq!(tenancy.drop_keys().await.unwrap(), 1);
    assert_eq!(tenancy.keys().await.unwrap().len(), 1);
    assert_eq!(shipping(tenancy, &acme).await.token, same);
    assert_eq!(shipping(&there, &acme).await.token, same);
    force(tenancy, &acme, before["shipping"].clone()).await;
    let rotated = tenancy.rotate_keys().await.unwrap();
    assert_eq!(rotated.failed.len(), 1, "nobody has that key: {rotated:?}");
    there.close();
}
