//! What happens in a tenant is heard there, and nowhere else.

use std::time::Duration;

use axum::{
    body::{Body, BodyDataStream},
    http::{Method, Request, StatusCode},
    response::Response,
};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{A_WHILE, AT_ONCE, Place, at_once, list, note, users::add_user};
use crate::{
    Tenancy,
    db::{DbError, TenantDb},
    lifecycle::GRACE,
    routing::{self, CurrentUser, Resolvers, Routes, live::Live},
    scoped::live::{LiveError, Signal, Subscription},
    users::Tokens,
};

list! { "live":
    heard_in_its_own_tenant_alone, told_once_it_is_committed, topics_stay_apart,
    other_processes_hear_it, in_the_order_in_which_it_happened, whoever_is_behind_is_told,
    no_more_listen_than_may, it_ends_when_the_tenant_is_suspended_or_deleted,
    a_rename_ends_nothing, it_ends_with_the_process, what_is_no_event_is_refused,
    a_statement_cannot_tell, events_over_http, it_ends_when_who_listens_is_signed_out,
    a_page_that_goes_away_listens_no_more,
}

async fn listen(tenancy: &Tenancy, place: &Place, code: &str) -> Subscription {
    let tenant = place.tenant(code).await;
    tenancy.live(&tenant).subscribe(["notes"]).unwrap()
}

/// What is heard next.
async fn heard(subscription: &mut Subscription) -> Value {
    match at_once(subscription.next()).await {
        Some(Signal::Event(event)) => event.parse().unwrap(),
        other => panic!("an event was to be heard, and not {other:?}"),
    }
}

/// Whether there is nothing to hear for now, though there was time.
async fn is_silent(subscription: &mut Subscription) -> bool {
    let waited = tokio::time::timeout(Duration::from_millis(700), subscription.next());
    waited.await.is_err()
}

async fn write(db: &TenantDb, id: i64) -> Result<(), DbError> {
    let mut tx = db.begin();
    tx.query("INSERT INTO notes (id, text) VALUES ($1, 'live')")
        .bind(id)
        .execute()
        .await?;
    tx.publish("notes", &id)?;
    tx.commit().await
}

async fn heard_in_its_own_tenant_alone(place: Place) {
    let tenancy = place.tenancy();
    let mut acme = listen(tenancy, &place, "acme").await;
    let mut globex = listen(tenancy, &place, "globex").await;
    let elsewhere = place.beside().await;
    let mut other_globex = listen(&elsewhere, &place, "globex").await;
    let mut other_acme = listen(&elsewhere, &place, "acme").await;
    write(&place.db("acme").await, 1).await.unwrap();
    let tenant = place.tenant("acme").await;
    tenancy.live(&tenant).publish("notes", &"said").unwrap();
    for hears in [&mut acme, &mut other_acme] {
        assert_eq!(heard(hears).await, 1);
        assert_eq!(heard(hears).await, "said");
    }
    assert!(is_silent(&mut globex).await);
    assert!(is_silent(&mut other_globex).await);
    // those who hear nothing would
    write(&place.db("globex").await, 2).await.unwrap();
    for hears in [&mut globex, &mut other_globex] {
        assert_eq!(heard(hears).await, 2);
    }
    assert!(is_silent(&mut acme).await);
}

async fn told_once_it_is_committed(place: Place) {
    let db = place.db("acme").await;
    let mut acme = listen(place.tenancy(), &place, "acme").await;
    let mut tx = db.begin();
    tx.query("INSERT INTO notes (id, text) VALUES (1, 'x')")
        .execute()
        .await
        .unwrap();
    tx.publish("notes", &"undone").unwrap();
    tx.rollback().await.unwrap();
    let mut tx = db.begin();
    tx.publish("notes", &"dropped").unwrap();
    drop(tx);
    let mut tx = db.begin();
    tx.publish("notes", &"failed").unwrap();
    tx.query("INSERT INTO nothing (id) VALUES (1)")
        .execute()
        .await
        .unwrap_err();
    tx.commit().await.unwrap_err();
    let mut tx = db.begin();
    tx.query("INSERT INTO notes (id, text) VALUES (2, 'x')")
        .execute()
        .await
        .unwrap();
    tx.publish("notes", &"done").unwrap();
    assert!(is_silent(&mut acme).await);
    tx.commit().await.unwrap();
    assert_eq!(heard(&mut acme).await, "done");
    assert!(note(&db, 2).await.is_some());
}

async fn topics_stay_apart(place: Place) {
    let tenant = place.tenant("acme").await;
    let live = place.tenancy().live(&tenant);
    let mut notes = live.subscribe(["notes"]).unwrap();
    let mut both = live.subscribe(["notes", "jobs"]).unwrap();
    live.publish("jobs", &1).unwrap();
    live.publish("notesandmore", &2).unwrap();
    live.publish("notes", &3).unwrap();
    assert_eq!(heard(&mut notes).await, 3);
    assert_eq!(heard(&mut both).await, 1);
    assert_eq!(heard(&mut both).await, 3);
}

async fn other_processes_hear_it(place: Place) {
    let elsewhere = place.beside().await;
    let mut acme = listen(&elsewhere, &place, "acme").await;
    let db = place.db("acme").await;
    for id in 0..20 {
        write(&db, id).await.unwrap();
    }
    place.tenancy().tell_all().await;
    for id in 0..20 {
        assert_eq!(heard(&mut acme).await, id);
    }
    // and the other way round
    let mut here = listen(place.tenancy(), &place, "acme").await;
    let tenant = place.tenant("acme").await;
    elsewhere.live(&tenant).publish("notes", &"back").unwrap();
    assert_eq!(heard(&mut here).await, "back");
    assert_eq!(heard(&mut acme).await, "back");
}

/// Two processes tell, a third hears each one's in their order and misses none.
async fn in_the_order_in_which_it_happened(place: Place) {
    // all of them are fewer than somebody may be behind
    const EACH: i64 = 60;
    let (one, two) = (place.beside().await, place.beside().await);
    let mut acme = listen(place.tenancy(), &place, "acme").await;
    let tenant = place.tenant("acme").await;
    let hears = async {
        let mut next = [0; 2];
        while next != [EACH; 2] {
            let (who, number): (usize, i64) =
                serde_json::from_value(heard(&mut acme).await).unwrap();
            assert_eq!(number, next[who]);
            next[who] += 1;
        }
    };
    let tell = async |tenancy: &Tenancy, who: usize| {
        for number in 0..EACH {
            let live = tenancy.live(&tenant);
            live.publish("notes", &(who, number)).unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::join!(hears, tell(&one, 0), tell(&two, 1));
}

async fn whoever_is_behind_is_told(place: Place) {
    let tenant = place.tenant("acme").await;
    let live = place.tenancy().live(&tenant);
    let mut slow = live.subscribe(["notes"]).unwrap();
    for number in 0..1000 {
        live.publish("notes", &number).unwrap();
    }
    assert!(matches!(slow.next().await, Some(Signal::Missed)));
    let Some(Signal::Event(next)) = slow.next().await else {
        panic!("what is left is heard");
    };
    assert!(next.parse::<i64>().unwrap() > 500);
}

async fn no_more_listen_than_may(mut place: Place) {
    let config = place.config().most_listeners(2);
    place.reopen_as(config).await;
    let (acme, globex) = (place.tenant("acme").await, place.tenant("globex").await);
    let live = place.tenancy().live(&acme);
    let first = live.subscribe(["notes"]).unwrap();
    let _second = live.subscribe(["notes"]).unwrap();
    let third = live.subscribe(["notes"]);
    assert!(matches!(third, Err(LiveError::TooMany(2))));
    // which is nothing to others
    let _other = place.tenancy().live(&globex).subscribe(["notes"]).unwrap();
    assert_eq!(place.tenancy().listeners(), 3);
    drop(first);
    let _third = live.subscribe(["notes"]).unwrap();
}

async fn it_ends_when_the_tenant_is_suspended_or_deleted(place: Place) {
    let elsewhere = place.beside().await;
    let mut here = listen(place.tenancy(), &place, "acme").await;
    let mut there = listen(&elsewhere, &place, "acme").await;
    let mut globex = listen(place.tenancy(), &place, "globex").await;
    let acme = place.tenant("acme").await;
    place.tenancy().suspend(&acme).await.unwrap();
    assert!(at_once(here.next()).await.is_none());
    assert!(at_once(there.next()).await.is_none());
    assert!(is_silent(&mut globex).await);
    place.tenancy().resume(&acme).await.unwrap();
    let mut again = listen(place.tenancy(), &place, "acme").await;
    write(&place.db("acme").await, 1).await.unwrap();
    assert_eq!(heard(&mut again).await, 1);
    // the one that ended has its end, whatever comes
    assert!(here.next().await.is_none());
    place.tenancy().delete(&acme, GRACE).await.unwrap();
    assert!(at_once(again.next()).await.is_none());
    assert!(is_silent(&mut globex).await);
}

async fn a_rename_ends_nothing(place: Place) {
    let mut acme = listen(place.tenancy(), &place, "acme").await;
    let tenant = place.tenant("acme").await;
    let code = "acme-two".parse().unwrap();
    place.tenancy().rename(&tenant, &code).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let renamed = place.tenancy().tenant(&code).await.unwrap().unwrap();
    let db = place.tenancy().db(&renamed).await.unwrap();
    write(&db, 1).await.unwrap();
    assert_eq!(heard(&mut acme).await, 1);
}

async fn it_ends_with_the_process(place: Place) {
    let elsewhere = place.beside().await;
    let mut acme = listen(&elsewhere, &place, "acme").await;
    let mut stays = listen(place.tenancy(), &place, "acme").await;
    elsewhere.end_live();
    assert!(at_once(acme.next()).await.is_none());
    let tenant = place.tenant("acme").await;
    let again = elsewhere.live(&tenant).subscribe(["notes"]);
    assert!(matches!(again, Err(LiveError::Closed)));
    // what still happens there is told
    elsewhere.live(&tenant).publish("notes", &"last").unwrap();
    elsewhere.tell_all().await;
    elsewhere.close();
    assert_eq!(heard(&mut stays).await, "last");
}

async fn what_is_no_event_is_refused(place: Place) {
    let tenant = place.tenant("acme").await;
    let live = place.tenancy().live(&tenant);
    for topic in ["", "notes\ndata: forged", &"n".repeat(101)] {
        live.publish(topic, &1).unwrap_err();
    }
    live.publish("notes", &"x".repeat(17 << 10)).unwrap_err();
    live.publish("notes", &"x".repeat(15 << 10)).unwrap();
}

/// Events come from the library alone: no statement of a tenant's or the application's writes them.
async fn a_statement_cannot_tell(place: Place) {
    let globex = place.tenant("globex").await;
    let mut hears = listen(place.tenancy(), &place, "globex").await;
    let db = place.db("acme").await;
    #[expect(clippy::disallowed_methods, reason = "it is tried what that cannot")]
    let central = place.tenancy().central();
    let forged = format!(
        "(process, tenant_id, topic, data) VALUES ('{}', '{}', 'notes', '1')",
        uuid::Uuid::now_v7(),
        globex.id()
    );
    for sql in [
        format!("INSERT INTO tenantry_events {forged}"),
        format!("INSERT INTO tenantry.tenantry_events {forged}"),
        "SELECT pg_notify('tenantry', 'events')".into(),
        "NOTIFY tenantry, 'events'".into(),
        "SELECT count(*) FROM tenantry_events".into(),
    ] {
        db.query(&sql).execute().await.expect_err(&sql);
        // the application may read what is in the same file
        if !sql.starts_with("SELECT count") {
            central.query(&sql).execute().await.expect_err(&sql);
        }
    }
    assert!(is_silent(&mut hears).await);
    write(&place.db("globex").await, 1).await.unwrap();
    assert_eq!(heard(&mut hears).await, 1);
}

async fn events(live: Live) -> routing::Result<Response> {
    live.look_every(A_WHILE).events(["notes"])
}

async fn own_events(live: Live, _: CurrentUser) -> routing::Result<Response> {
    let live = live.only_while::<CurrentUser>().look_every(A_WHILE);
    live.events(["notes"])
}

fn app(tenancy: &Tenancy) -> axum::Router {
    Routes::new()
        .tenant(Method::GET, "/events", events)
        .tenant(Method::GET, "/own", own_events)
        .into_router(tenancy.clone(), Resolvers::new().header("Tenant-Code"), ())
}

async fn ask(tenancy: &Tenancy, path: &str, code: &str, token: Option<&str>) -> Response {
    let mut request = Request::get(path).header("Tenant-Code", code);
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let request = request.body(Body::empty()).unwrap();
    app(tenancy).oneshot(request).await.unwrap()
}

/// The next event of a stream, by its lines.
async fn next_event(body: &mut BodyDataStream) -> Option<Vec<String>> {
    let chunk = tokio::time::timeout(AT_ONCE, body.next()).await;
    let chunk = chunk.expect("it is sent at once")?.unwrap();
    let text = String::from_utf8(chunk.to_vec()).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty());
    Some(lines.map(str::to_owned).collect())
}

async fn events_over_http(place: Place) {
    let tenancy = place.tenancy();
    let (acme, globex) = (place.tenant("acme").await, place.tenant("globex").await);
    let answer = ask(tenancy, "/events", "acme", None).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let mut body = answer.into_body().into_data_stream();
    let ready = next_event(&mut body).await.unwrap();
    assert_eq!(ready[0], "event: ready");
    tenancy.live(&globex).publish("notes", &"globex").unwrap();
    let said = json!({ "id": 1, "text": "two\nlines" });
    tenancy.live(&acme).publish("notes", &said).unwrap();
    let event = next_event(&mut body).await.unwrap();
    assert_eq!(event, ["event: notes", &format!("data: {said}")]);
    tenancy.suspend(&acme).await.unwrap();
    assert!(next_event(&mut body).await.is_none());
    let refused = ask(tenancy, "/events", "acme", None).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let nobody = ask(tenancy, "/events", "nobody", None).await;
    assert_eq!(nobody.status(), StatusCode::NOT_FOUND);
}

async fn it_ends_when_who_listens_is_signed_out(place: Place) {
    let (tenancy, db) = (place.tenancy(), place.db("acme").await);
    place.tenant("globex").await;
    let ann = add_user(&place, &db, "ann@example.com").await;
    let tokens = Tokens::on(&db);
    let (token, other) = (
        tokens.issue(ann.id).await.unwrap(),
        tokens.issue(ann.id).await.unwrap(),
    );
    let anonymous = ask(tenancy, "/own", "acme", None).await;
    assert_eq!(anonymous.status(), StatusCode::UNAUTHORIZED);
    let elsewhere = ask(tenancy, "/own", "globex", Some(&token.secret)).await;
    assert_eq!(elsewhere.status(), StatusCode::UNAUTHORIZED);
    let mut bodies = Vec::new();
    for (path, token) in [
        ("/own", Some(&token)),
        ("/events", Some(&token)),
        ("/own", Some(&other)),
        ("/events", None),
    ] {
        let secret = token.map(|token| token.secret.as_str());
        let answer = ask(tenancy, path, "acme", secret).await;
        let mut body = answer.into_body().into_data_stream();
        next_event(&mut body).await.unwrap();
        bodies.push(body);
    }
    // longer than it takes to look
    tokio::time::sleep(A_WHILE * 5).await;
    tokens.revoke(token.id).await.unwrap();
    assert!(next_event(&mut bodies[0]).await.is_none());
    assert!(next_event(&mut bodies[1]).await.is_none());
    let tenant = place.tenant("acme").await;
    tenancy.live(&tenant).publish("notes", &1).unwrap();
    for body in &mut bodies[2..] {
        assert_eq!(next_event(body).await.unwrap()[0], "event: notes");
    }
}

async fn a_page_that_goes_away_listens_no_more(place: Place) {
    place.tenant("acme").await;
    let answer = ask(place.tenancy(), "/events", "acme", None).await;
    let mut body = answer.into_body().into_data_stream();
    next_event(&mut body).await.unwrap();
    assert_eq!(place.tenancy().listeners(), 1);
    drop(body);
    assert_eq!(place.tenancy().listeners(), 0);
}
