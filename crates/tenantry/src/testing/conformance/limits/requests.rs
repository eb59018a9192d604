//! Requests: how many, how many at a time, and how long the database works for them.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::{StreamExt, stream};
use tokio::sync::Notify;

use super::*;

list! { "limits":
    requests_are_limited_and_anothers_are_not, waiting_as_told_is_enough,
    another_plan_holds_at_once_in_every_process, no_more_run_at_a_time_than_may,
    a_request_is_under_way_until_its_last_byte, a_request_that_is_given_up_leaves_its_place,
    what_is_no_tenants_is_not_limited,
}

async fn hello() -> &'static str {
    "hello"
}

fn hellos() -> Routes {
    Routes::new()
        .tenant(Method::GET, "/hello", hello)
        .central(Method::GET, "/central", hello)
        .unresolved(Method::GET, "/healthz", hello)
}

async fn requests_are_limited_and_anothers_are_not(mut place: Place) {
    let limits = Limits::none().with_requests(Rate::per_minute(6).with_burst(3));
    limited(&mut place, limits).await;
    let app = App::of(place.tenancy(), hellos());
    for left in [2, 1, 0] {
        let answer = app.get("acme", "/hello").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(
            answer.header("ratelimit-policy"),
            Some(r#""requests";q=3;w=30"#)
        );
        let told = answer.header("ratelimit").unwrap();
        let expected = format!(r#""requests";r={left};t="#);
        assert!(told.starts_with(&expected), "{told}");
    }
    let answer = app.get("acme", "/hello").await;
    let wait = answer.is_too_much();
    assert!((1..=11).contains(&wait.as_secs()), "{wait:?}");
    let told = answer.header("ratelimit").unwrap();
    let reset: u64 = told
        .strip_prefix(r#""requests";r=0;t="#)
        .and_then(|seconds| seconds.parse().ok())
        .unwrap();
    assert!(reset >= wait.as_secs() - 1, "{told} {wait:?}");
    // what is not there, and where nobody may go, costs as much
    app.get("acme", "/nothing").await.is_too_much();
    // another has its own, and hears nothing of these
    for _ in 0..10 {
        let answer = app.get("globex", "/hello").await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("ratelimit"), None);
    }
    let tenancy = place.tenancy();
    let used = async |code: &str| tenancy.limits_used(&place.tenant(code).await);
    assert_eq!(used("acme").await.refused_requests, 2);
    assert_eq!(used("globex").await.refused_requests, 0);
}

async fn waiting_as_told_is_enough(mut place: Place) {
    let limits = Limits::none().with_requests(Rate::per_second(1));
    limited(&mut place, limits).await;
    let app = App::of(place.tenancy(), hellos());
    assert_eq!(app.get("acme", "/hello").await.status, StatusCode::OK);
    let wait = app.get("acme", "/hello").await.is_too_much();
    tokio::time::sleep(wait).await;
    assert_eq!(app.get("acme", "/hello").await.status, StatusCode::OK);
}

async fn another_plan_holds_at_once_in_every_process(mut place: Place) {
    let limits = Limits::none().with_requests(Rate::per_minute(1));
    limited(&mut place, limits).await;
    let plans = place.config().plan(Plan::new("small").with_limits(limits));
    let plans = plans.plan(Plan::new("large"));
    let other = Tenancy::set_up(plans).await.unwrap();
    let apps = [place.tenancy(), &other].map(|tenancy| App::of(tenancy, hellos()));
    for app in &apps {
        soon("it is limited", || async {
            app.get("acme", "/hello").await.status == StatusCode::TOO_MANY_REQUESTS
        })
        .await;
    }
    on(&place, "large").await;
    for app in &apps {
        soon("it is not", || async {
            let answer = app.get("acme", "/hello").await;
            answer.status == StatusCode::OK && answer.header("ratelimit").is_none()
        })
        .await;
    }
    other.close();
}

async fn no_more_run_at_a_time_than_may(mut place: Place) {
    let limits = Limits::none().with_concurrent(2, Duration::ZERO);
    let (acme, _) = limited(&mut place, limits).await;
    let go_on = Arc::new(Notify::new());
    let told = go_on.clone();
    let waits = move || {
        let told = told.clone();
        async move { told.notified().await }
    };
    let routes = hellos().tenant(Method::GET, "/waits", waits);
    let app = Arc::new(App::of(place.tenancy(), routes));
    let begin = |code: &'static str| {
        let app = app.clone();
        tokio::spawn(async move { app.get(code, "/waits").await.status })
    };
    let running = || place.tenancy().limits_used(&acme).running;
    let under_way = [begin("acme"), begin("acme")];
    soon("both are under way", || async { running() == 2 }).await;
    let answer = app.get("acme", "/hello").await;
    answer.is_too_much();
    let policy = r#""concurrent";q=2;qu="concurrent-requests""#;
    assert_eq!(answer.header("ratelimit-policy"), Some(policy));
    let others: Vec<_> = (0..5).map(|_| begin("globex")).collect();
    assert_eq!(app.get("globex", "/hello").await.status, StatusCode::OK);
    let all_end = async {
        for one in under_way.into_iter().chain(others) {
            while !one.is_finished() {
                go_on.notify_waiters();
                tokio::task::yield_now().await;
            }
            assert_eq!(one.await.unwrap(), StatusCode::OK);
        }
    };
    at_once(all_end).await;
    assert_eq!(running(), 0);
    assert_eq!(app.get("acme", "/hello").await.status, StatusCode::OK);
}

async fn a_request_is_under_way_until_its_last_byte(mut place: Place) {
    let limits = Limits::none().with_concurrent(1, Duration::ZERO);
    let (acme, _) = limited(&mut place, limits).await;
    let pieces = || async {
        let pieces = ["one", "two"].map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
        Body::from_stream(stream::iter(pieces))
    };
    let app = App::of(
        place.tenancy(),
        hellos().tenant(Method::GET, "/pieces", pieces),
    );
    let running = || place.tenancy().limits_used(&acme).running;
    let mut body = app
        .begin("acme", "/pieces")
        .await
        .into_body()
        .into_data_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "one");
    app.get("acme", "/hello").await.is_too_much();
    assert_eq!(body.next().await.unwrap().unwrap(), "two");
    assert!(body.next().await.is_none());
    assert_eq!(running(), 0, "though the body is still there");
    // nor does one that nobody reads any more count
    let unread = app.begin("acme", "/pieces").await;
    assert_eq!((unread.status(), running()), (StatusCode::OK, 1));
    drop(unread);
    assert_eq!(running(), 0);
    // and of one without a body nothing is left to be read
    let empty = app.begin("acme", "/hello").await;
    assert_eq!(empty.headers()["content-length"], "5");
    drop(empty);
    assert_eq!(running(), 0);
}

async fn a_request_that_is_given_up_leaves_its_place(mut place: Place) {
    let limits = Limits::none().with_concurrent(1, Duration::from_secs(60));
    let (acme, _) = limited(&mut place, limits).await;
    let forever = || std::future::pending::<()>();
    let routes = hellos().tenant(Method::GET, "/forever", forever);
    let app = Arc::new(App::of(place.tenancy(), routes));
    let used = || place.tenancy().limits_used(&acme);
    let begin = |path: &'static str| {
        let app = app.clone();
        tokio::spawn(async move { app.get("acme", path).await.status })
    };
    let first = begin("/forever");
    soon("it runs", || async { used().running == 1 }).await;
    let [given_up, waiting] = ["/forever", "/hello"].map(begin);
    soon("they wait", || async { used().waiting >= 1 }).await;
    // as many wait as may run: of the two one has been refused, or will wait
    given_up.abort();
    soon("it is gone", || async { used().waiting <= 1 }).await;
    first.abort();
    let status = at_once(waiting).await.unwrap();
    assert!([StatusCode::OK, StatusCode::TOO_MANY_REQUESTS].contains(&status));
    soon("none runs", || async { used().running == 0 }).await;
    assert_eq!(app.get("acme", "/hello").await.status, StatusCode::OK);
}

async fn what_is_no_tenants_is_not_limited(mut place: Place) {
    let limits = Limits::none()
        .with_requests(Rate::per_minute(1))
        .with_concurrent(0, Duration::ZERO);
    let (acme, _) = limited(&mut place, limits).await;
    let app = App::of(place.tenancy(), hellos());
    app.get("acme", "/hello").await.is_too_much();
    for _ in 0..5 {
        assert_eq!(app.get("", "/central").await.status, StatusCode::OK);
        for code in ["", "acme", "nobody"] {
            let health = app.get(code, "/healthz").await;
            assert_eq!(health.status, StatusCode::OK);
            assert_eq!(health.header("ratelimit"), None);
        }
        let unknown = app.get("nobody", "/hello").await;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    }
    assert!(place.tenancy().limits_used(&acme).refused_concurrent > 0);
}
