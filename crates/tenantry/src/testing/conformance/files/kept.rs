//! What they are, one by one, and that nobody else has them.

use super::{http::app, *};

list! { "files":
    put_and_read, replaced_as_a_whole, listed_by_name, refused_and_nothing_is_left, an_upload_that_is_cancelled_leaves_nothing, what_died_is_swept, a_name_leads_to_no_other_tenant, what_is_elsewhere_is_not_there, a_signature_is_good_for_one_file_of_one_tenant_for_a_while,
}

fn with(signature: &Signature, change: impl FnOnce(String, String) -> String) -> Signature {
    let query = signature.query();
    let (expires, mac) = query.split_once('&').unwrap();
    let value = |text: &str| text.split_once('=').unwrap().1.to_owned();
    let query = change(value(expires), value(mac));
    let uri = format!("/?{query}").parse().unwrap();
    axum::extract::Query::try_from_uri(&uri).unwrap().0
}

async fn put_and_read(place: Place) {
    let files = files_of(&place, "acme").await;
    assert_eq!(read(&files, "a/b.txt").await, None);
    assert_eq!(files.usage().await.unwrap(), Usage::default());
    put(&files, "a/b.txt", "0123456789").await;
    put(&files, "empty", "").await;
    assert_eq!(read(&files, "a/b.txt").await.as_deref(), Some("0123456789"));
    assert_eq!(read(&files, "empty").await.as_deref(), Some(""));
    let found = files.find(&name("a/b.txt")).await.unwrap();
    assert_eq!(found.kind.as_str(), "application/octet-stream");
    let part: Vec<Bytes> = found.read(2..5).await.unwrap().try_collect().await.unwrap();
    assert_eq!(part.concat(), b"234");
    let usage = files.usage().await.unwrap();
    assert_eq!((usage.files, usage.bytes), (2, 10));
    // a folder is no file, and nothing is below a file
    assert_eq!(read(&files, "a").await, None);
    assert_eq!(read(&files, "a/b.txt/c").await, None);
    for taken in ["a", "a/b.txt/c"] {
        let refused = files.put(&name(taken), pieces("x"), MOST).await;
        assert!(matches!(refused, Err(FileError::Occupied)), "{refused:?}");
    }
    assert!(!files.delete(&name("a")).await.unwrap());
    assert!(files.delete(&name("a/b.txt")).await.unwrap());
    assert!(!files.delete(&name("a/b.txt")).await.unwrap());
    assert_eq!(names(&files).await, ["empty"]);
    put(&files, "a", "now it can be one").await;
    let acme = place.tenant("acme").await;
    assert_eq!(on_disk(&place, &acme).len(), 2);
}

async fn replaced_as_a_whole(place: Place) {
    let files = files_of(&place, "acme").await;
    put(&files, "a", "first").await;
    let first = files.find(&name("a")).await.unwrap();
    let reading = first.read(0..5).await.unwrap();
    put(&files, "a", "second").await;
    // who has begun to read goes on with what it was
    let read_on: Vec<Bytes> = reading.try_collect().await.unwrap();
    assert_eq!(read_on.concat(), b"first");
    let changed = first.read(0..5).await.map(drop);
    assert!(matches!(changed, Err(FileError::Changed)), "{changed:?}");
    let second = files.find(&name("a")).await.unwrap();
    assert_ne!(first.info.etag, second.info.etag);
    assert_eq!(read(&files, "a").await.as_deref(), Some("second"));
}

async fn listed_by_name(place: Place) {
    let files = files_of(&place, "acme").await;
    for at in ["b/2", "a", "b/1", "c", "b/10", "bb/1"] {
        put(&files, at, "x").await;
    }
    assert_eq!(
        names(&files).await,
        ["a", "b/1", "b/10", "b/2", "bb/1", "c"]
    );
    let some = async |under: Option<&str>, after: Option<&str>, most| {
        let (under, after) = (under.map(name), after.map(name));
        let listed = files.list(under.as_ref(), after.as_ref(), most).await;
        let listed = listed.unwrap().into_iter();
        listed
            .map(|file| String::from(file.name))
            .collect::<Vec<_>>()
    };
    assert_eq!(some(Some("b"), None, 9).await, ["b/1", "b/10", "b/2"]);
    assert_eq!(some(None, Some("b/1"), 2).await, ["b/10", "b/2"]);
    assert_eq!(some(Some("nothing"), None, 9).await, [""; 0]);
    assert_eq!(files.delete_below(&name("b")).await.unwrap(), 3);
    assert_eq!(names(&files).await, ["a", "bb/1", "c"]);
}

async fn refused_and_nothing_is_left(place: Place) {
    let files = files_of(&place, "acme").await;
    let acme = place.tenant("acme").await;
    put(&files, "a", "before").await;
    let large = files.put(&name("a"), pieces("too many"), 7).await;
    assert!(matches!(large, Err(FileError::TooLarge { most: 7 })));
    let broken = pieces("some").chain(stream::iter([Err(io::Error::other("gone"))]));
    let broken = files.put(&name("a"), broken, MOST).await;
    assert!(matches!(broken, Err(FileError::Interrupted(_))));
    assert_eq!(read(&files, "a").await.as_deref(), Some("before"));
    soon("nothing is left", async || {
        on_disk(&place, &acme).len() == 1
    })
    .await;
    files.put(&name("a"), pieces("as many"), 7).await.unwrap();
    assert_eq!(read(&files, "a").await.as_deref(), Some("as many"));
}

async fn an_upload_that_is_cancelled_leaves_nothing(place: Place) {
    let files = files_of(&place, "acme").await;
    let acme = place.tenant("acme").await;
    put(&files, "a", "before").await;
    let large = Bytes::from(vec![7; 12 << 20]);
    let endless = stream::iter([Ok::<_, io::Error>(large)]).chain(stream::pending());
    let (to, at) = (files.clone(), name("a"));
    let upload = tokio::spawn(async move { to.put(&at, endless, u64::MAX).await });
    soon("it is under way", async || {
        on_disk(&place, &acme).len() == 2
    })
    .await;
    assert_eq!(names(&files).await, ["a"], "and nobody sees it");
    assert_eq!(files.usage().await.unwrap().bytes, 6);
    upload.abort();
    soon("nothing is left", async || {
        on_disk(&place, &acme).len() == 1
    })
    .await;
    assert_eq!(read(&files, "a").await.as_deref(), Some("before"));
}

async fn what_died_is_swept(place: Place) {
    let files = files_of(&place, "acme").await;
    let acme = place.tenant("acme").await;
    put(&files, "a", "x").await;
    let folder = folder_of(&place, &acme);
    let (old, new) = (
        folder.join(".unfinished/old#1"),
        folder.join(".unfinished/new#1"),
    );
    for path in [&old, &new] {
        fs::write(path, "some of it").unwrap();
    }
    let hours_ago = std::time::SystemTime::now() - Duration::from_secs(2 * 60 * 60);
    let file = fs::File::options().write(true).open(&old).unwrap();
    file.set_modified(hours_ago).unwrap();
    assert_eq!(names(&files).await, ["a"]);
    assert_eq!(place.tenancy().count_files(&acme).await.unwrap().files, 1);
    put(&files, "b", "x").await;
    assert!(
        !old.exists() && new.exists(),
        "others may be at work on the other"
    );
}

async fn a_name_leads_to_no_other_tenant(place: Place) {
    let (ours, theirs) = (
        files_of(&place, "acme").await,
        files_of(&place, "globex").await,
    );
    put(&ours, "secret", "ours").await;
    put(&ours, "both", "ours").await;
    put(&theirs, "both", "theirs").await;
    assert_eq!(
        read(&ours, "secret").await.as_deref(),
        Some("ours"),
        "the control"
    );
    assert_eq!(
        read(&theirs, "secret").await,
        None,
        "a name that is guessed"
    );
    assert_eq!(read(&theirs, "both").await.as_deref(), Some("theirs"));
    assert_eq!(names(&theirs).await, ["both"]);
    assert_eq!(theirs.usage().await.unwrap().files, 1);
    assert!(!theirs.delete(&name("secret")).await.unwrap());
    theirs.delete(&name("both")).await.unwrap();
    put(&theirs, "secret", "of their own").await;
    assert_eq!(read(&ours, "secret").await.as_deref(), Some("ours"));
    assert_eq!(read(&ours, "both").await.as_deref(), Some("ours"));
    // whose folder it is cannot be said, neither here nor over HTTP
    let id = place.tenant("acme").await.id();
    let app = app(place.tenancy());
    for way in [
        format!("../{id}/secret"),
        format!("..%2F{id}%2Fsecret"),
        format!("%2e%2e/{id}/secret"),
        format!("..%5C{id}%5Csecret"),
        format!("a/../../{id}/secret"),
        format!("/{id}/secret"),
        format!("./../{id}/secret"),
        format!("..%00/{id}/secret"),
    ] {
        assert!(FileName::new(way.replace("%2F", "/").replace("%2e", ".")).is_err());
        let there = app
            .ask("globex", Method::GET, &format!("/api/files/{way}"))
            .await;
        assert_eq!(there.status, StatusCode::NOT_FOUND, "{way}");
        assert!(!there.text.contains("ours"), "{way}");
        let there = app
            .ask("globex", Method::DELETE, &format!("/api/files/{way}"))
            .await;
        assert_eq!(there.status, StatusCode::NOT_FOUND, "{way}");
    }
    let here = app.ask("acme", Method::GET, "/api/files/secret").await;
    assert_eq!((here.status, here.text.as_str()), (StatusCode::OK, "ours"));
    let none = app.ask("globex", Method::GET, "/api/files/both").await;
    let other = app.ask("globex", Method::GET, "/api/files/nothing").await;
    assert_eq!((none.status, none.text), (other.status, other.text));
}

async fn what_is_elsewhere_is_not_there(place: Place) {
    let files = files_of(&place, "acme").await;
    put(&files, "a", "x").await;
    let acme = place.tenant("acme").await;
    let folder = folder_of(&place, &acme);
    fs::write(folder.join("b#1"), "of no name").unwrap();
    fs::write(folder.join(".hidden"), "of no name").unwrap();
    assert_eq!(names(&files).await, ["a"]);
    for text in ["b#1", ".hidden", ".unfinished/x"] {
        assert!(FileName::new(text).is_err(), "{text}");
    }
}

async fn a_signature_is_good_for_one_file_of_one_tenant_for_a_while(place: Place) {
    let (ours, theirs) = (
        files_of(&place, "acme").await,
        files_of(&place, "globex").await,
    );
    for files in [&ours, &theirs] {
        put(files, "a", "x").await;
    }
    let signature = ours.sign(&name("a"), HOUR).await.unwrap();
    assert!(is_good(&ours, "a", &signature).await);
    assert!(
        !is_good(&theirs, "a", &signature).await,
        "before they have a key"
    );
    let others = theirs.sign(&name("a"), HOUR).await.unwrap();
    assert!(is_good(&theirs, "a", &others).await);
    assert!(!is_good(&theirs, "a", &signature).await);
    assert!(!is_good(&ours, "a", &others).await);
    assert!(!is_good(&ours, "b", &signature).await);
    // with the very same key it is still bound to the tenant
    let key: (Vec<u8>,) = place
        .db("acme")
        .await
        .query("SELECT secret FROM file_keys")
        .one()
        .await
        .unwrap();
    place
        .db("globex")
        .await
        .query("UPDATE file_keys SET secret = $1")
        .bind(key.0)
        .execute()
        .await
        .unwrap();
    assert!(!is_good(&theirs, "a", &signature).await);
    // nothing of it can be changed
    for changed in [
        with(&signature, |expires, mac| {
            let later = expires.parse::<i64>().unwrap() + 1;
            format!("expires={later}&signature={mac}")
        }),
        with(&signature, |expires, mac| {
            format!("expires={expires}&signature={}", &mac[1..])
        }),
        with(&signature, |expires, _| {
            format!("expires={expires}&signature=")
        }),
        with(&signature, |expires, _| {
            format!("expires={expires}&signature={}", "A".repeat(43))
        }),
        with(&signature, |_, mac| format!("expires=-1&signature={mac}")),
    ] {
        assert!(!is_good(&ours, "a", &changed).await, "{}", changed.query());
    }
    assert!(!format!("{signature:?}").contains(&signature.query()[20..]));
    // nor is it good for longer than it was made for
    let short = ours.sign(&name("a"), Duration::ZERO).await.unwrap();
    assert!(!is_good(&ours, "a", &short).await);
    // nor while the tenant is stopped, whoever holds what was made of it before
    let acme = found(&place, "acme").await;
    place.tenancy().suspend(&acme).await.unwrap();
    assert!(!is_good(&ours, "a", &signature).await);
    place.tenancy().resume(&acme).await.unwrap();
    assert!(is_good(&ours, "a", &signature).await);
    // its code is nothing to it
    place
        .tenancy()
        .rename(&acme, &code("zenith"))
        .await
        .unwrap();
    let renamed = found(&place, "zenith").await;
    assert!(is_good(&place.tenancy().files(&renamed), "a", &signature).await);
    let twin = place.new_tenant("twin");
    let twin = place.tenancy().clone_tenant(&renamed, twin).await.unwrap();
    let twins = place.tenancy().files(&twin);
    assert_eq!(read(&twins, "a").await.as_deref(), Some("x"));
    assert!(
        !is_good(&twins, "a", &signature).await,
        "a clone takes none of them"
    );
    // all of them can be ended
    ours.forget_signatures().await.unwrap();
    assert!(!is_good(&ours, "a", &signature).await);
    let again = ours.sign(&name("a"), HOUR).await.unwrap();
    assert!(is_good(&ours, "a", &again).await);
    place.tenancy().delete(&renamed, GRACE).await.unwrap();
    assert!(!is_good(&ours, "a", &again).await);
}
