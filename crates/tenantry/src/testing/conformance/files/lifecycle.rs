//! They go where their tenant goes, and with it.

use super::{super::place as new_place, *};

list! { "files":
    a_deleted_tenant_takes_nothing_in, kept_by_rename_and_move, a_clone_has_its_own, exported_and_imported, an_archive_of_nobody_has_none, a_crooked_archive_makes_nothing, backed_up_and_restored, erased_and_certified,
}

async fn a_deleted_tenant_takes_nothing_in(place: Place) {
    let files = files_of(&place, "acme").await;
    put(&files, "a", "x").await;
    let acme = found(&place, "acme").await;
    let gone = place.tenancy().delete(&acme, GRACE).await.unwrap();
    let refused = files.put(&name("b"), pieces("x"), MOST).await;
    assert!(matches!(refused, Err(FileError::NoTenant)), "{refused:?}");
    place.tenancy().restore(&gone, None).await.unwrap();
    put(&files, "b", "x").await;
    assert_eq!(names(&files).await, ["a", "b"]);
    // an upload that is under way while it is erased ends as nothing
    let (begun, more) = tokio::sync::oneshot::channel::<()>();
    let rest = stream::once(async move {
        drop(more.await);
        Ok::<_, io::Error>(Bytes::from("the rest"))
    });
    let first = stream::iter([Ok(Bytes::from(vec![1; 12 << 20]))]);
    let bytes = first.chain(rest).boxed();
    let (to, at) = (files.clone(), name("c"));
    let upload = tokio::spawn(async move { to.put(&at, bytes, u64::MAX).await });
    soon("it is under way", async || {
        on_disk(&place, &acme).len() == 3
    })
    .await;
    let acme = found(&place, "acme").await;
    place.tenancy().erase(&acme).await.unwrap();
    drop(begun);
    let ended = upload.await.unwrap();
    assert!(matches!(ended, Err(FileError::NoTenant)), "{ended:?}");
    assert_eq!(on_disk(&place, &acme), Vec::<PathBuf>::new());
    assert!(!folder_of(&place, &acme).exists());
}

async fn kept_by_rename_and_move(place: Place) {
    let files = files_of(&place, "acme").await;
    put(&files, "a/b", "kept").await;
    let acme = found(&place, "acme").await;
    let signature = files.sign(&name("a/b"), HOUR).await.unwrap();
    place
        .tenancy()
        .rename(&acme, &code("zenith"))
        .await
        .unwrap();
    let renamed = found(&place, "zenith").await;
    assert_eq!(
        read(&place.tenancy().files(&renamed), "a/b")
            .await
            .as_deref(),
        Some("kept")
    );
    for isolation in Isolation::ALL {
        let now = found(&place, "zenith").await;
        let to = Placement {
            isolation,
            server: "local".into(),
        };
        match place.tenancy().move_tenant(&now, to).await {
            Ok(moved) => {
                let files = place.tenancy().files(&moved);
                assert_eq!(
                    read(&files, "a/b").await.as_deref(),
                    Some("kept"),
                    "{isolation}"
                );
                assert!(is_good(&files, "a/b", &signature).await, "{isolation}");
            }
            Err(LifecycleError::NoPlace(_) | LifecycleError::NotPossible) => {}
            Err(error) => panic!("{isolation}: {error:?}"),
        }
    }
}

async fn a_clone_has_its_own(place: Place) {
    let files = files_of(&place, "acme").await;
    put(&files, "a/b", "same").await;
    put(&files, "c", "more").await;
    let acme = found(&place, "acme").await;
    let twin = place.new_tenant("twin");
    let twin = place.tenancy().clone_tenant(&acme, twin).await.unwrap();
    let twins = place.tenancy().files(&twin);
    assert_eq!(names(&twins).await, ["a/b", "c"]);
    assert_eq!(read(&twins, "a/b").await.as_deref(), Some("same"));
    put(&twins, "a/b", "another").await;
    twins.delete(&name("c")).await.unwrap();
    assert_eq!(read(&files, "a/b").await.as_deref(), Some("same"));
    assert_eq!(names(&files).await, ["a/b", "c"]);
}

async fn exported_and_imported(place: Place) {
    let files = files_of(&place, "acme").await;
    let large = "0123456789".repeat(60_000);
    put(&files, "a/large", &large).await;
    put(&files, "empty", "").await;
    let acme = found(&place, "acme").await;
    let path = place.folder().join("acme.archive");
    let how = Exporting::default();
    let exported = place.tenancy().export(&acme, &path, how).await.unwrap();
    assert_eq!(exported.files, 2);
    let isolation = place.isolation();
    let made = place
        .tenancy()
        .import(&path, Some(code("twin")), |new| new.isolation(isolation))
        .await
        .unwrap();
    let theirs = place.tenancy().files(&made);
    assert_eq!(names(&theirs).await, ["a/large", "empty"]);
    assert_eq!(read(&theirs, "a/large").await.unwrap(), large);
    let again = place.folder().join("again.archive");
    place.tenancy().export(&acme, &again, how).await.unwrap();
    assert_eq!(fs::read(&path).unwrap(), fs::read(&again).unwrap());
}

async fn an_archive_of_nobody_has_none(place: Place) {
    put(&files_of(&place, "acme").await, "a", "whose").await;
    let acme = found(&place, "acme").await;
    let path = place.folder().join("nobody.archive");
    let how = Exporting::anonymised();
    let exported = place.tenancy().export(&acme, &path, how).await.unwrap();
    assert_eq!(exported.files, 0);
}

async fn a_crooked_archive_makes_nothing(place: Place) {
    put(&files_of(&place, "acme").await, "a/b", "some words").await;
    let acme = found(&place, "acme").await;
    let path = place.folder().join("acme.archive");
    place
        .tenancy()
        .export(&acme, &path, Exporting::default())
        .await
        .unwrap();
    let whole = fs::read(&path).unwrap();
    let mut archive = String::new();
    io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&whole[..]), &mut archive).unwrap();
    let (words, others) = ("\"c29tZSB3b3Jkcw==\"", "\"c29tZSBXb3Jkcw==\"");
    assert!(archive.contains(words), "{archive}");
    let end = archive
        .lines()
        .find(|line| line.contains("end_file"))
        .unwrap();
    let before = place.folder().read_dir().unwrap().count();
    for (what, text) in [
        ("another name", archive.replace("\"a/b\"", "\"../../evil\"")),
        (
            "a name from the root",
            archive.replace("\"a/b\"", "\"/tmp/evil\""),
        ),
        ("other bytes", archive.replace(words, others)),
        ("no end", archive.replace(&format!("{end}\n"), "")),
        (
            "bytes of no file",
            archive.replace("{\"file\":\"a/b\"}\n", ""),
        ),
        ("no bytes", archive.replace(&format!("{words}\n"), "")),
        ("no base64", archive.replace(words, "\"***\"")),
    ] {
        assert_ne!(text, archive, "{what}");
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut out, text.as_bytes()).unwrap();
        fs::write(&path, out.finish().unwrap()).unwrap();
        let isolation = place.isolation();
        let made = place
            .tenancy()
            .import(&path, Some(code("twin")), |new| new.isolation(isolation))
            .await;
        assert!(
            matches!(made, Err(LifecycleError::Archive(_))),
            "{what}: {made:?}"
        );
        assert_eq!(place.tenancy().tenants().await.unwrap().len(), 1, "{what}");
    }
    assert_eq!(place.files().read_dir().unwrap().count(), 1);
    assert_eq!(place.folder().read_dir().unwrap().count(), before);
    fs::write(&path, whole).unwrap();
    let isolation = place.isolation();
    place
        .tenancy()
        .import(&path, Some(code("twin")), |new| new.isolation(isolation))
        .await
        .unwrap();
}

async fn backed_up_and_restored(place: Place) {
    let files = files_of(&place, "acme").await;
    put(&files, "a/b", "as it was").await;
    let signature = files.sign(&name("a/b"), HOUR).await.unwrap();
    let folder = place.folder().join("backup");
    place.tenancy().backup(&folder, None, |_| {}).await.unwrap();
    put(&files, "a/b", "as it is").await;
    let there = new_place(place.isolation()).await;
    there
        .tenancy()
        .restore_backup(&folder, |_| {})
        .await
        .unwrap();
    let restored = there.tenancy().files(&found(&there, "acme").await);
    assert_eq!(read(&restored, "a/b").await.as_deref(), Some("as it was"));
    assert!(
        is_good(&restored, "a/b", &signature).await,
        "it is the same tenant"
    );
    let beside = place
        .tenancy()
        .restore_tenant(&folder, &code("acme"), Some(&code("beside")), None)
        .await
        .unwrap();
    let beside = place.tenancy().files(&beside);
    assert_eq!(read(&beside, "a/b").await.as_deref(), Some("as it was"));
    assert!(
        !is_good(&beside, "a/b", &signature).await,
        "and this is another"
    );
    assert_eq!(read(&files, "a/b").await.as_deref(), Some("as it is"));
}

async fn erased_and_certified(place: Place) {
    let (ours, theirs) = (
        files_of(&place, "acme").await,
        files_of(&place, "globex").await,
    );
    put(&ours, "a/b", "12345").await;
    put(&ours, "c", "678").await;
    put(&theirs, "a/b", "kept").await;
    let acme = found(&place, "acme").await;
    let usage = place.tenancy().count_files(&acme).await.unwrap();
    assert_eq!((usage.files, usage.bytes), (2, 8));
    let certificate = place.tenancy().erase(&acme).await.unwrap();
    let removed = certificate.removed;
    assert_eq!((removed.files, removed.file_bytes), (2, 8));
    assert_eq!(on_disk(&place, &acme), Vec::<PathBuf>::new());
    assert!(!folder_of(&place, &acme).exists());
    assert_eq!(read(&theirs, "a/b").await.as_deref(), Some("kept"));
}
