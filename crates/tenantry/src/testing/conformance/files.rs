//! A tenant's files: what they are, that nobody else has them, and that they go where it goes.

use std::{fs, io, path::PathBuf, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::{Place, list, soon};
use crate::{
    Tenancy, Tenant,
    lifecycle::{Exporting, GRACE, LifecycleError},
    routing::{self, Path, Resolvers, Routes},
    scoped::files::{FileError, FileName, Files, Signature, Usage},
    tenant::{Isolation, Placement, TenantCode},
};

list! { "files":
    put_and_read, replaced_as_a_whole, listed_by_name, refused_and_nothing_is_left,
    an_upload_that_is_cancelled_leaves_nothing, what_died_is_swept, a_name_leads_to_no_other_tenant,
    what_is_elsewhere_is_not_there,
    a_signature_is_good_for_one_file_of_one_tenant_for_a_while, signed_links_over_http,
    parts_and_tags_over_http, uploaded_over_http, what_holds_a_script_is_not_shown,
    a_deleted_tenant_takes_nothing_in, kept_by_rename_and_move, a_clone_has_its_own,
    exported_and_imported, an_archive_of_nobody_has_none, a_crooked_archive_makes_nothing,
    backed_up_and_restored, erased_and_certified,
}

const MOST: u64 = 1 << 20;

fn name(text: &str) -> FileName {
    text.parse().unwrap()
}

fn code(text: &str) -> TenantCode {
    text.parse().unwrap()
}

fn pieces(text: &str) -> BoxStream<'static, io::Result<Bytes>> {
    let pieces: Vec<_> = text
        .as_bytes()
        .chunks(3)
        .map(Bytes::copy_from_slice)
        .collect();
    stream::iter(pieces.into_iter().map(Ok)).boxed()
}

async fn put(files: &Files, at: &str, text: &str) {
    let stored = files.put(&name(at), pieces(text), MOST).await.unwrap();
    assert_eq!(stored.bytes, text.len() as u64);
}

async fn read(files: &Files, at: &str) -> Option<String> {
    let found = match files.find(&name(at)).await {
        Ok(found) => found,
        Err(FileError::NotFound) => return None,
        Err(error) => panic!("{at}: {error:?}"),
    };
    let bytes = found.read(0..found.info.bytes).await.unwrap();
    let bytes: Vec<Bytes> = bytes.try_collect().await.unwrap();
    Some(String::from_utf8(bytes.concat()).unwrap())
}

async fn names(files: &Files) -> Vec<String> {
    let listed = files.list(None, None, usize::MAX).await.unwrap();
    listed.into_iter().map(|file| file.name.into()).collect()
}

async fn files_of(place: &Place, text: &str) -> Files {
    place.tenancy().files(&place.tenant(text).await)
}

async fn found(place: &Place, text: &str) -> Tenant {
    place.tenancy().tenant(&code(text)).await.unwrap().unwrap()
}

/// Everything that a tenant has on the disk, unfinished or not: a path for each file.
fn on_disk(place: &Place, tenant: &Tenant) -> Vec<PathBuf> {
    let mut folders = vec![folder_of(place, tenant)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.extend(place.unfinished());
    found
}

/// Where a tenant's files are on the disk, as the store has them.
fn folder_of(place: &Place, tenant: &Tenant) -> PathBuf {
    place.files().join(tenant.id().to_string())
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

async fn is_good(files: &Files, at: &str, signature: &Signature) -> bool {
    match files.verify(&name(at), signature).await {
        Ok(()) => true,
        Err(FileError::Signature) => false,
        Err(error) => panic!("{at}: {error:?}"),
    }
}

fn with(signature: &Signature, change: impl FnOnce(String, String) -> String) -> Signature {
    let query = signature.query();
    let (expires, mac) = query.split_once('&').unwrap();
    let value = |text: &str| text.split_once('=').unwrap().1.to_owned();
    let query = change(value(expires), value(mac));
    let uri = format!("/?{query}").parse().unwrap();
    axum::extract::Query::try_from_uri(&uri).unwrap().0
}

const HOUR: Duration = Duration::from_secs(60 * 60);

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

async fn upload(files: Files, Path(name): Path<FileName>, body: Body) -> routing::Result<String> {
    let stored = routing::files::receive(&files, &name, body.into_data_stream(), MOST).await?;
    Ok(stored.kind.as_str().into())
}

async fn download(
    files: Files,
    Path(name): Path<FileName>,
    headers: HeaderMap,
) -> routing::Result<Response> {
    routing::files::answer(&files, &name, &headers).await
}

async fn remove(files: Files, Path(name): Path<FileName>) -> routing::Result<StatusCode> {
    match files.delete(&name).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(routing::Problem::not_found()),
    }
}

struct App(axum::Router);

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

fn app(tenancy: &Tenancy) -> App {
    let resolvers = Resolvers::new().header("Tenant-Code");
    let routes = Routes::new()
        .tenant(Method::PUT, "/api/files/{*name}", upload)
        .tenant(Method::GET, "/api/files/{*name}", download)
        .tenant(Method::DELETE, "/api/files/{*name}", remove)
        .tenant(Method::GET, "/files/{*name}", routing::files::signed);
    App(routes.into_router(tenancy.clone(), resolvers, ()))
}

impl App {
    async fn send(
        &self,
        code: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("tenant-code", code);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let answer = self.0.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    async fn ask(&self, code: &str, method: Method, path: &str) -> Answer {
        self.send(code, method, path, &[], Body::empty()).await
    }
}

async fn signed_links_over_http(place: Place) {
    let ours = files_of(&place, "acme").await;
    put(&ours, "a b.txt", "ours").await;
    let theirs = files_of(&place, "globex").await;
    put(&theirs, "a b.txt", "theirs").await;
    let at = name("a b.txt");
    let signature = ours.sign(&at, HOUR).await.unwrap();
    let path = format!("/files/{}?{}", at.in_url(), signature.query());
    let app = app(place.tenancy());
    let good = app.ask("acme", Method::GET, &path).await;
    assert_eq!((good.status, good.text.as_str()), (StatusCode::OK, "ours"));
    let foreign = app.ask("globex", Method::GET, &path).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    assert!(foreign.text.contains("invalid-link"), "{}", foreign.text);
    // there or not is the same to whoever has no good one
    let missing = path.replace("a%20b", "none");
    let missing = app.ask("globex", Method::GET, &missing).await;
    assert_eq!(
        (missing.status, missing.text),
        (foreign.status, foreign.text.clone())
    );
    for path in [
        "/files/a%20b.txt",
        "/files/a%20b.txt?expires=x",
        "/files/a%20b.txt?signature=x",
    ] {
        let bare = app.ask("acme", Method::GET, path).await;
        assert_eq!(
            (bare.status, &bare.text),
            (StatusCode::FORBIDDEN, &foreign.text),
            "{path}"
        );
    }
    let acme = found(&place, "acme").await;
    place.tenancy().suspend(&acme).await.unwrap();
    let stopped = app.ask("acme", Method::GET, &path).await;
    assert_eq!(stopped.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!stopped.text.contains("ours"));
    place.tenancy().resume(&acme).await.unwrap();
    assert_eq!(
        app.ask("acme", Method::GET, &path).await.status,
        StatusCode::OK
    );
    ours.delete(&at).await.unwrap();
    assert_eq!(
        app.ask("acme", Method::GET, &path).await.status,
        StatusCode::NOT_FOUND
    );
}

async fn parts_and_tags_over_http(place: Place) {
    let files = files_of(&place, "acme").await;
    put(&files, "a", "0123456789").await;
    let app = app(place.tenancy());
    let get = async |headers: &[(&str, &str)]| {
        app.send("acme", Method::GET, "/api/files/a", headers, Body::empty())
            .await
    };
    let whole = get(&[]).await;
    let of = |answer: &Answer, name| {
        answer
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(
        (whole.status, whole.text.as_str()),
        (StatusCode::OK, "0123456789")
    );
    assert_eq!(of(&whole, header::CONTENT_LENGTH).as_deref(), Some("10"));
    assert_eq!(of(&whole, header::ACCEPT_RANGES).as_deref(), Some("bytes"));
    let tag = of(&whole, header::ETAG).unwrap();
    let part = get(&[("range", "bytes=2-4")]).await;
    assert_eq!(
        (part.status, part.text.as_str()),
        (StatusCode::PARTIAL_CONTENT, "234")
    );
    assert_eq!(
        of(&part, header::CONTENT_RANGE).as_deref(),
        Some("bytes 2-4/10")
    );
    assert_eq!(of(&part, header::CONTENT_LENGTH).as_deref(), Some("3"));
    assert_eq!(get(&[("range", "bytes=-2")]).await.text, "89");
    let none = get(&[("range", "bytes=10-")]).await;
    assert_eq!(none.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(
        of(&none, header::CONTENT_RANGE).as_deref(),
        Some("bytes */10")
    );
    let known = get(&[("if-none-match", &tag)]).await;
    assert_eq!(
        (known.status, known.text.as_str()),
        (StatusCode::NOT_MODIFIED, "")
    );
    assert_eq!(of(&known, header::ETAG), Some(tag.clone()));
    put(&files, "a", "abcdefghij").await;
    assert_eq!(get(&[("if-none-match", &tag)]).await.text, "abcdefghij");
    // a part of what they have no more is the whole of what there is
    let stale = get(&[("range", "bytes=0-1"), ("if-range", &tag)]).await;
    assert_eq!(
        (stale.status, stale.text.as_str()),
        (StatusCode::OK, "abcdefghij")
    );
}

async fn uploaded_over_http(place: Place) {
    let files = files_of(&place, "acme").await;
    let app = app(place.tenancy());
    let png = b"\x89PNG\r\n\x1a\n and so on".to_vec();
    let lies = [("content-type", "text/html")];
    let made = app
        .send("acme", Method::PUT, "/api/files/a", &lies, png)
        .await;
    assert_eq!(
        (made.status, made.text.as_str()),
        (StatusCode::OK, "image/png")
    );
    let shown = app.ask("acme", Method::GET, "/api/files/a").await;
    assert_eq!(shown.headers[header::CONTENT_TYPE], "image/png");
    let large = vec![0; usize::try_from(MOST).unwrap() + 1];
    let large = app
        .send("acme", Method::PUT, "/api/files/b", &[], large)
        .await;
    assert_eq!(large.status, StatusCode::PAYLOAD_TOO_LARGE);
    let broken = stream::iter([Ok(Bytes::from("some")), Err(io::Error::other("gone"))]);
    let broken = Body::from_stream(broken);
    let broken = app
        .send("acme", Method::PUT, "/api/files/b", &[], broken)
        .await;
    assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    let crooked = app
        .send("acme", Method::PUT, "/api/files/..%2Fb", &[], "x")
        .await;
    assert_eq!(crooked.status, StatusCode::NOT_FOUND);
    assert_eq!(names(&files).await, ["a"]);
}

async fn what_holds_a_script_is_not_shown(place: Place) {
    let files = files_of(&place, "acme").await;
    let app = app(place.tenancy());
    put(
        &files,
        "page.png",
        "<!DOCTYPE html><script>alert(1)</script>",
    )
    .await;
    put(
        &files,
        "ä \"b.svg".replace('"', "").as_str(),
        "<svg><script>1</script></svg>",
    )
    .await;
    for path in ["/api/files/page.png", "/api/files/%C3%A4%20b.svg"] {
        let answer = app.ask("acme", Method::GET, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let said = |name| answer.headers[name].to_str().unwrap();
        assert_eq!(said(header::CONTENT_TYPE), "application/octet-stream");
        assert!(said(header::CONTENT_DISPOSITION).starts_with("attachment; filename*=UTF-8''"));
        assert_eq!(said(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert!(said(header::CONTENT_SECURITY_POLICY).contains("sandbox"));
    }
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
    let there = super::place(place.isolation()).await;
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
