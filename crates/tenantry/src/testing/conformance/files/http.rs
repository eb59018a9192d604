//! Over HTTP: links, parts, tags, uploads, and what is not shown.

use super::*;

list! { "files":
    signed_links_over_http, parts_and_tags_over_http, uploaded_over_http, what_holds_a_script_is_not_shown,
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

pub(super) struct App(axum::Router);

pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) text: String,
}

pub(super) fn app(tenancy: &Tenancy) -> App {
    let resolvers = Resolvers::new().header("Tenant-Code");
    let routes = Routes::new()
        .tenant(Method::PUT, "/api/files/{*name}", upload)
        .tenant(Method::GET, "/api/files/{*name}", download)
        .tenant(Method::DELETE, "/api/files/{*name}", remove)
        .tenant(Method::GET, "/files/{*name}", routing::files::signed);
    App(routes.into_router(tenancy.clone(), resolvers, ()))
}

impl App {
    pub(super) async fn send(
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

    pub(super) async fn ask(&self, code: &str, method: Method, path: &str) -> Answer {
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
