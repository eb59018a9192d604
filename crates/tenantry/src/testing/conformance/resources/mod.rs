//! Objects as an API serves them, and who may what with them.

mod agree;
mod model;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode},
};
use futures_util::future::join_all;
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};
use tower::ServiceExt;
use uuid::Uuid;

use super::{Place, list, users::add_user};
use crate::{
    policy::OwnPolicies,
    routing::{Action, Can, Resolvers, Routes, resource},
    users::{Tokens, UserChange, Users},
};
use agree::a_list_shows_what_a_look_would;
use model::{Paper, Remark, Section, policies};

list! { "resources":
    a_list_shows_what_a_look_would, made_shown_changed_and_removed,
    what_it_is_in_comes_from_the_path, another_tenants_object_is_none,
    who_may_not_is_told_apart, lists_are_paged, lists_are_narrowed, lost_updates_are_refused,
    an_idempotency_key_is_good_once, many_are_made_at_once_or_none, fields_are_guarded,
    a_tenants_own_policies_hold_at_once, what_is_needed_is_asked_for,
}

const POLICIES: &str = r#"
@id("editors do everything")
permit (principal in Role::"editor", action, resource);
@id("readers read what is sent")
permit (principal in Role::"reader", action == Action::"readPaper", resource)
when { resource.state == "sent" };
@id("and what is in it")
permit (principal in Role::"reader", action in [Action::"readSection", Action::"readRemark"], resource);
@id("authors keep their own")
permit (principal is User, action in [Action::"readPaper", Action::"updatePaper"], resource)
when { resource has author && resource.author == principal };
@id("nobody changes what is sent")
forbid (principal, action in [Action::"updatePaper", Action::"createSection"], resource is Paper)
when { resource.state == "sent" };
"#;

struct Publish;

impl Action for Publish {
    type On = ();
    const NAME: &'static str = "publish";
}

fn nested<W: crate::resources::Writable>(routes: Routes, path: &str) -> Routes {
    let one = format!("{path}/{{id{}}}", path.len());
    routes
        .tenant(Method::GET, path, resource::list::<W>)
        .tenant(Method::POST, path, resource::create::<W>)
        .tenant(Method::GET, &one, resource::show::<W>)
        .tenant(Method::PUT, &one, resource::replace::<W>)
        .tenant(Method::PATCH, &one, resource::update::<W>)
        .tenant(Method::DELETE, &one, resource::delete::<W>)
}

struct App {
    place: Place,
    router: Router,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {:?}", self.body))
    }

    fn id(&self) -> String {
        self.json()["id"].as_str().unwrap().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    fn items(&self, field: &str) -> Vec<Json> {
        let items = self.json()["items"].as_array().unwrap().clone();
        items.into_iter().map(|item| item[field].clone()).collect()
    }
}

impl App {
    async fn new(mut place: Place) -> Self {
        let policies = policies(POLICIES).unwrap().with_own();
        place.reopen_as(place.config().policies(policies)).await;
        let routes = nested::<Paper>(Routes::new(), "/papers");
        let routes = nested::<Section>(routes, "/papers/{id7}/sections");
        let routes = nested::<Remark>(routes, "/papers/{id7}/sections/{id22}/remarks");
        let router = routes
            .tenant(Method::POST, "/publish", async |_: Can<Publish>| {
                StatusCode::OK
            })
            .into_router(
                place.tenancy().clone(),
                Resolvers::new().subdomain("localhost"),
                (),
            );
        Self { place, router }
    }

    /// Somebody in that role, and their token.
    async fn user(&self, tenant: &str, name: &str, role: &str) -> String {
        let mut db = self.place.db(tenant).await;
        let user = add_user(&self.place, &db, &format!("{name}@example.com")).await;
        let change = UserChange {
            role: Some(role.into()),
            ..UserChange::default()
        };
        Users::on(&mut db)
            .change_hashed(user.id, change, None)
            .await
            .unwrap();
        Tokens::on(&db).issue(user.id).await.unwrap().secret
    }

    async fn ask(
        &self,
        tenant: &str,
        token: &str,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", format!("{tenant}.localhost"));
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        let answer = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask("acme", token, Method::GET, path, &[], None).await
    }

    async fn post(&self, token: &str, path: &str, body: &Json) -> Answer {
        self.ask("acme", token, Method::POST, path, &[], Some(body))
            .await
    }

    async fn patch(&self, token: &str, path: &str, body: &Json) -> Answer {
        self.ask("acme", token, Method::PATCH, path, &[], Some(body))
            .await
    }

    async fn made(&self, token: &str, path: &str, body: &Json) -> String {
        let made = self.post(token, path, body).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
        format!("{path}/{}", made.id())
    }
}

async fn made_shown_changed_and_removed(place: Place) {
    let app = App::new(place).await;
    let ann = app.user("acme", "ann", "editor").await;
    let made = app
        .post(&ann, "/papers", &json!({"title": "One", "words": 3}))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let path = format!("/papers/{}", made.id());
    assert_eq!(made.header("location"), path);
    let shown = app.get(&ann, &path).await;
    assert_eq!(shown.json(), made.json());
    assert_eq!(shown.header("etag"), made.header("etag"));
    let changed = app.patch(&ann, &path, &json!({"title": "Two"})).await;
    assert_eq!(
        (changed.status, changed.json()["words"].clone()),
        (StatusCode::OK, json!(3))
    );
    let put = |body| {
        app.ask("acme", &ann, Method::PUT, &path, &[], Some(body))
            .await_json()
    };
    let replaced = put(&json!({"title": "Three"})).await;
    assert_eq!(
        (replaced["title"].clone(), replaced["words"].clone()),
        (json!("Three"), json!(0))
    );
    assert_eq!(app.get(&ann, &path).await.json(), replaced);
    for (body, status) in [
        (json!({"title": ""}), StatusCode::UNPROCESSABLE_ENTITY),
        (
            json!({"title": "x".repeat(41)}),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            json!({"title": "x", "id": Uuid::nil()}),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (json!({"title": 3}), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({"title": "Three"}), StatusCode::CONFLICT),
    ] {
        let refused = app.post(&ann, "/papers", &body).await;
        assert_eq!(refused.status, status, "{body}: {}", refused.body);
    }
    let twice = app.post(&ann, "/papers", &json!({"title": ""})).await;
    assert!(twice.json()["errors"]["title"].is_array(), "{}", twice.body);
    let gone = app
        .ask("acme", &ann, Method::DELETE, &path, &[], None)
        .await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(app.get(&ann, &path).await.status, StatusCode::NOT_FOUND);
    // what something is in is not removed under it
    let paper = app.made(&ann, "/papers", &json!({"title": "One"})).await;
    app.made(&ann, &format!("{paper}/sections"), &json!({"kind": "a"}))
        .await;
    let kept = app
        .ask("acme", &ann, Method::DELETE, &paper, &[], None)
        .await;
    assert_eq!(
        (kept.status, kept.json()["type"].clone()),
        (StatusCode::CONFLICT, json!("/problems/in-use"))
    );
}

/// Only to write the test above in a line.
trait AwaitJson {
    async fn await_json(self) -> Json;
}

impl<F: Future<Output = Answer>> AwaitJson for F {
    async fn await_json(self) -> Json {
        self.await.json()
    }
}

async fn what_it_is_in_comes_from_the_path(place: Place) {
    let app = App::new(place).await;
    let ann = app.user("acme", "ann", "editor").await;
    let bob = app.user("globex", "bob", "editor").await;
    let rea = app.user("acme", "rea", "reader").await;
    let one = app.made(&ann, "/papers", &json!({"title": "One"})).await;
    let two = app.made(&ann, "/papers", &json!({"title": "Two"})).await;
    let section = app
        .made(&ann, &format!("{one}/sections"), &json!({"kind": "a"}))
        .await;
    let remark = app
        .made(&ann, &format!("{section}/remarks"), &json!({"kind": "a"}))
        .await;
    assert_eq!(app.get(&ann, &remark).await.status, StatusCode::OK);
    let missing = app.get(&ann, &format!("/papers/{}", Uuid::now_v7())).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    let tail = |path: &str, parts: usize| {
        let segments: Vec<_> = path.split('/').collect();
        segments[segments.len() - parts..].join("/")
    };
    let nowhere = [
        format!("{two}/{}", tail(&section, 2)),
        format!("{two}/{}", tail(&remark, 4)),
        format!("{section}/remarks/{}", Uuid::now_v7()),
        format!("/papers/{}/{}", Uuid::now_v7(), tail(&section, 2)),
        format!("/papers/x/{}", tail(&section, 2)),
        format!("{one}/sections/x"),
    ];
    for path in &nowhere {
        for method in [Method::GET, Method::DELETE] {
            let answer = app.ask("acme", &ann, method, path, &[], None).await;
            assert_eq!(
                (answer.status, &answer.body),
                (missing.status, &missing.body),
                "{path}"
            );
        }
        let answer = app.patch(&ann, path, &json!({"kind": "b"})).await;
        assert_eq!(
            (answer.status, &answer.body),
            (missing.status, &missing.body),
            "{path}"
        );
    }
    let body = json!({"kind": "b"});
    for parent in [
        format!("/papers/{}/sections", Uuid::now_v7()),
        format!("{two}/{}/remarks", tail(&section, 2)),
        format!("{one}/sections/{}/remarks", Uuid::now_v7()),
    ] {
        for answer in [
            app.post(&ann, &parent, &body).await,
            app.get(&ann, &parent).await,
        ] {
            assert_eq!(
                (answer.status, &answer.body),
                (missing.status, &missing.body),
                "{parent}"
            );
        }
    }
    // of another tenant, whoever asks
    for path in [&one, &section, &remark] {
        let theirs = app.ask("globex", &bob, Method::GET, path, &[], None).await;
        assert_eq!(
            (theirs.status, &theirs.body),
            (missing.status, &missing.body),
            "{path}"
        );
        let under = format!(
            "{}/{}",
            path,
            if path == &one { "sections" } else { "remarks" }
        );
        if path != &remark {
            let theirs = app
                .ask("globex", &bob, Method::POST, &under, &[], Some(&body))
                .await;
            assert_eq!(
                (theirs.status, &theirs.body),
                (missing.status, &missing.body),
                "{under}"
            );
        }
    }
    // within what may not be looked at, though its own policies would let one
    for path in [
        &one,
        &section,
        &remark,
        &format!("{one}/sections"),
        &format!("{section}/remarks"),
    ] {
        let hidden = app.get(&rea, path).await;
        assert_eq!(
            (hidden.status, &hidden.body),
            (missing.status, &missing.body),
            "{path}"
        );
    }
    app.patch(&ann, &one, &json!({"state": "sent"})).await;
    for path in [&one, &section, &remark] {
        assert_eq!(app.get(&rea, path).await.status, StatusCode::OK, "{path}");
    }
    // a body says nothing of where it goes
    let moved = json!({"kind": "b", "paper_id": tail(&two, 1)});
    let refused = app.patch(&ann, &section, &moved).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        app.get(&ann, &format!("{two}/sections")).await.items("id"),
        Vec::<Json>::new()
    );
}

async fn another_tenants_object_is_none(place: Place) {
    let app = App::new(place).await;
    let ann = app.user("acme", "ann", "editor").await;
    let bob = app.user("globex", "bob", "editor").await;
    let paper = app.made(&ann, "/papers", &json!({"title": "One"})).await;
    let nothing = format!("/papers/{}", Uuid::now_v7());
    for (method, body) in [
        (Method::GET, None),
        (Method::PUT, Some(json!({"title": "Mine"}))),
        (Method::PATCH, Some(json!({"title": "Mine"}))),
        (Method::DELETE, None),
    ] {
        let theirs = app
            .ask("globex", &bob, method.clone(), &paper, &[], body.as_ref())
            .await;
        let none = app
            .ask("globex", &bob, method, &nothing, &[], body.as_ref())
            .await;
        assert_eq!((theirs.status, theirs.body), (none.status, none.body));
        assert_eq!(none.status, StatusCode::NOT_FOUND);
    }
    let listed = app
        .ask("globex", &bob, Method::GET, "/papers", &[], None)
        .await;
    assert_eq!(listed.items("id"), Vec::<Json>::new());
    assert_eq!(app.get(&ann, &paper).await.json()["title"], "One");
    // a cursor of another tenant's list
    app.made(&ann, "/papers", &json!({"title": "Two"})).await;
    let next = app.get(&ann, "/papers?limit=1").await.json()["next"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/papers?limit=1&cursor={next}");
    assert_eq!(app.get(&ann, &path).await.items("title"), ["Two"]);
    let theirs = app.ask("globex", &bob, Method::GET, &path, &[], None).await;
    assert_eq!(theirs.status, StatusCode::UNPROCESSABLE_ENTITY);
}

async fn who_may_not_is_told_apart(place: Place) {
    let app = App::new(place).await;
    let ann = app.user("acme", "ann", "editor").await;
    let rea = app.user("acme", "rea", "reader").await;
    let sid = app.user("acme", "sid", "stranger").await;
    let paper = app.made(&ann, "/papers", &json!({"title": "One"})).await;
    let body = json!({"title": "Two"});
    assert_eq!(app.get("", &paper).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        app.get("", "/papers").await.status,
        StatusCode::UNAUTHORIZED
    );
    let none = format!("/papers/{}", Uuid::now_v7());
    assert_eq!(
        app.get("", &none).await.body,
        app.get("", &paper).await.body
    );
    assert_eq!(
        app.post("", "/papers", &json!({})).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        app.post(&rea, "/papers", &json!({})).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(app.get(&rea, &paper).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        app.get(&rea, "/papers").await.items("id"),
        Vec::<Json>::new()
    );
    assert_eq!(
        app.get(&sid, "/papers").await.items("id"),
        Vec::<Json>::new()
    );
    assert_eq!(
        app.patch(&rea, &paper, &body).await.status,
        StatusCode::NOT_FOUND
    );
    app.patch(&ann, &paper, &json!({"state": "sent"})).await;
    assert_eq!(app.get(&rea, &paper).await.status, StatusCode::OK);
    assert_eq!(
        app.patch(&rea, &paper, &body).await.status,
        StatusCode::FORBIDDEN
    );
    // forbidden to all, by its state
    assert_eq!(
        app.patch(&ann, &paper, &body).await.status,
        StatusCode::FORBIDDEN
    );
    let under = format!("{paper}/sections");
    assert_eq!(
        app.post(&ann, &under, &json!({"kind": "a"})).await.status,
        StatusCode::FORBIDDEN
    );
}

async fn lists_are_paged(place: Place) {
    let app = App::new(place).await;
    let ann = app.user("acme", "ann", "editor").await;
    for title in ["b", "d", "f", "h"] {
        app.made(&ann, "/papers", &json!({"title": title})).await;
    }
    let first = app.get(&ann, "/papers?limit=2").await;
    assert_eq!(first.items("title"), ["b", "d"]);
    for title in ["a", "c", "e", "g"] {
        app.made(&ann, "/papers", &json!({"title": title})).await;
    }
    let mut seen = Vec::new();
    let mut next = first.json()["next"].as_str().map(str::to_owned);
    while let Some(cursor) = next {
        let page = app
            .get(&ann, &format!("/papers?limit=2&cursor={cursor}"))
            .await;
        seen.extend(page.items("title"));
        next = page.json()["next"].as_str().map(str::to_owned);
    }
    assert_eq!(seen, ["e", "f", "g", "h"]);
    let down = app.get(&ann, "/papers?order=-title&limit=3").await;
    assert_eq!(down.items("title"), ["h", "g", "f"]);
    // equal in what they are ordered by
    let words = app.get(&ann, "/papers?order=words&limit=5").await;
    let cursor = words.json()["next"].as_str().unwrap().to_owned();
    let rest = app
        .get(&ann, &format!("/papers?order=words&cursor={cursor}"))
        .await;
    assert_eq!(words.items("id").len() + rest.items("id").len(), 8);
    assert!(
        rest.items("id")
            .iter()
            .all(|id| !words.items("id").contains(id))
    );
    for bad in [
        "limit=0",
        "limit=201",
        "limit=x",
        "order=notes",
        "cursor=x",
        "q=a&q=b",
        "state=draft&x=y",
    ] {
        let answer = app.get(&ann, &format!("/papers?{bad}")).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
    }
}

async fn lists_are_narrowed(place: Place) {
    let app = App::new(place).await;
    let ann = app.user("acme", "ann", "editor").await;
    let one = app
        .made(&ann, "/papers", &json!({"title": "100% Oats"}))
        .await;
    app.made(&ann, "/papers", &json!({"title": "1000 goats"}))
        .await;
    app.patch(&ann, &one, &json!({"state": "sent"})).await;
    for (query, expected) in [
        ("state=sent", vec!["100% Oats"]),
        ("state=nothing", vec![]),
        ("q=OATS", vec!["100% Oats", "1000 goats"]),
        ("q=100%25", vec!["100% Oats"]),
        ("q=oats&state=draft", vec!["1000 goats"]),
        ("price_from=1.01", vec![]),
        ("price_from=1", vec!["100% Oats", "1000 goats"]),
        ("open=true", vec![]),
    ] {
        let found = app.get(&ann, &format!("/papers?{query}")).await;
        assert_eq!(found.items("title"), expected, "{query}");
    }
    let bad = app.get(&ann, "/papers?open=perhaps").await;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);
}

async fn lost_updates_are_refused(place: Place) {
    let app = App::new(place).await;
    let ann = app.user("acme", "ann", "editor").await;
    let paper = app.made(&ann, "/papers", &json!({"title": "One"})).await;
    let tag = app.get(&ann, &paper).await.header("etag").to_owned();
    let known = app
        .ask(
            "acme",
            &ann,
            Method::GET,
            &paper,
            &[("if-none-match", &tag)],
            None,
        )
        .await;
    assert_eq!(
        (known.status, known.body.as_str()),
        (StatusCode::NOT_MODIFIED, "")
    );
    let patch = async |words: i64| {
        let body = json!({"words": words});
        app.ask(
            "acme",
            &ann,
            Method::PATCH,
            &paper,
            &[("if-match", &tag)],
            Some(&body),
        )
        .await
        .status
    };
    let patches = join_all((1..=8).map(patch)).await;
    let done = patches
        .iter()
        .filter(|status| **status == StatusCode::OK)
        .count();
    let late = patches
        .iter()
        .filter(|status| **status == StatusCode::PRECONDITION_FAILED)
        .count();
    assert_eq!((done, late), (1, 7), "{patches:?}");
    for method in [Method::DELETE, Method::PUT] {
        let body = (method == Method::PUT).then(|| json!({"title": "Two"}));
        let late = app
            .ask(
                "acme",
                &ann,
                method,
                &paper,
                &[("if-match", &tag)],
                body.as_ref(),
            )
            .await;
        assert_eq!(late.status, StatusCode::PRECONDITION_FAILED);
    }
    let any = app
        .ask(
            "acme",
            &ann,
            Method::DELETE,
            &paper,
            &[("if-match", "*")],
            None,
        )
        .await;
    assert_eq!(any.status, StatusCode::NO_CONTENT);
}

async fn an_idempotency_key_is_good_once(place: Place) {
    let app = App::new(place).await;
    let ann = app.user("acme", "ann", "editor").await;
    let eve = app.user("acme", "eve", "editor").await;
    let bob = app.user("globex", "bob", "editor").await;
    let key = [("idempotency-key", "k-1")];
    let body = json!({"title": "One"});
    let send = async |tenant: &'static str, token: &str, body: &Json| {
        app.ask(tenant, token, Method::POST, "/papers", &key, Some(body))
            .await
    };
    let answers = join_all((0..8).map(|_| send("acme", &ann, &body))).await;
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        assert_eq!(answer.json(), answers[0].json());
        assert_eq!(
            answer.header("location"),
            format!("/papers/{}", answer.id())
        );
    }
    let replayed = answers
        .iter()
        .filter(|one| one.headers.contains_key("idempotency-replayed"));
    assert_eq!(replayed.count(), 7);
    assert_eq!(app.get(&ann, "/papers").await.items("title"), ["One"]);
    let other = send("acme", &ann, &json!({"title": "Two"})).await;
    assert_eq!(
        other.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        other.body
    );
    // somebody else's key is another, and so is another tenant's
    let theirs = send("acme", &eve, &json!({"title": "Three"})).await;
    assert_eq!(theirs.status, StatusCode::CREATED);
    assert!(!theirs.headers.contains_key("idempotency-replayed"));
    let theirs = send("globex", &bob, &body).await;
    assert_eq!(theirs.status, StatusCode::CREATED);
    assert_ne!(theirs.id(), answers[0].id());
    // what was refused is not kept
    let key = [("idempotency-key", "k-2")];
    let refused = app
        .ask("acme", &ann, Method::POST, "/papers", &key, Some(&body))
        .await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    let four = json!({"title": "Four"});
    let done = app
        .ask("acme", &ann, Method::POST, "/papers", &key, Some(&four))
        .await;
    assert_eq!(done.status, StatusCode::CREATED, "{}", done.body);
}

async fn many_are_made_at_once_or_none(place: Place) {
    let app = App::new(place).await;
    let ann = app.user("acme", "ann", "editor").await;
    let made = app
        .post(&ann, "/papers", &json!([{"title": "a"}, {"title": "b"}]))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    assert_eq!(made.items("title"), ["a", "b"]);
    let wrong = app
        .post(&ann, "/papers", &json!([{"title": "c"}, {"title": ""}]))
        .await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        wrong.json()["errors"]["1.title"].is_array(),
        "{}",
        wrong.body
    );
    let taken = app
        .post(&ann, "/papers", &json!([{"title": "c"}, {"title": "a"}]))
        .await;
    assert_eq!(taken.status, StatusCode::CONFLICT);
    assert_eq!(app.get(&ann, "/papers").await.items("title"), ["a", "b"]);
    for many in [json!([]), Json::from(vec![json!({"title": "x"}); 501])] {
        let refused = app.post(&ann, "/papers", &many).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
}

async fn fields_are_guarded(place: Place) {
    let app = App::new(place).await;
    let ann = app.user("acme", "ann", "editor").await;
    let rea = app.user("acme", "rea", "reader").await;
    let body = json!({"title": "One", "notes": "secret"});
    let paper = app.made(&ann, "/papers", &body).await;
    app.patch(&ann, &paper, &json!({"state": "sent"})).await;
    assert_eq!(app.get(&ann, &paper).await.json()["notes"], "secret");
    let shown = app.get(&rea, &paper).await;
    assert_eq!(shown.json()["title"], "One");
    let listed = app.get(&rea, "/papers").await;
    assert_eq!(listed.items("title"), ["One"]);
    for answer in [shown, listed] {
        assert!(!answer.body.contains("notes"), "{}", answer.body);
    }
}

async fn a_tenants_own_policies_hold_at_once(place: Place) {
    let app = App::new(place).await;
    let ann = app.user("acme", "ann", "editor").await;
    let bob = app.user("globex", "bob", "editor").await;
    let paper = app.made(&ann, "/papers", &json!({"title": "One"})).await;
    let theirs = app
        .ask(
            "globex",
            &bob,
            Method::POST,
            "/papers",
            &[],
            Some(&json!({"title": "One"})),
        )
        .await;
    let theirs = format!("/papers/{}", theirs.id());
    let db = app.place.db("acme").await;
    let policies = app.place.tenancy().policies().unwrap();
    let own = OwnPolicies::on(policies, &db);
    let widens = own
        .put("more", "permit (principal, action, resource);")
        .await;
    assert!(widens.is_err());
    own.put(
        "no drafts",
        "forbid (principal, action == Action::\"readPaper\", resource) when { resource.state == \"draft\" };",
    )
    .await
    .unwrap();
    assert_eq!(app.get(&ann, &paper).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        app.get(&ann, "/papers").await.items("id"),
        Vec::<Json>::new()
    );
    let others = app
        .ask("globex", &bob, Method::GET, &theirs, &[], None)
        .await;
    assert_eq!(others.status, StatusCode::OK);
    own.remove("no drafts").await.unwrap();
    assert_eq!(app.get(&ann, &paper).await.status, StatusCode::OK);
    // one that no longer fits the schema refuses everything
    db.query(
        "INSERT INTO access_policies (name, source, changed_at) VALUES ('x', 'forbid (', now())",
    )
    .execute()
    .await
    .unwrap();
    let refused = app.get(&ann, &paper).await;
    assert_eq!(refused.status, StatusCode::INTERNAL_SERVER_ERROR);
}

async fn what_is_needed_is_asked_for(place: Place) {
    let app = App::new(place).await;
    let ann = app.user("acme", "ann", "editor").await;
    let rea = app.user("acme", "rea", "reader").await;
    let post = async |token: &str| {
        app.ask("acme", token, Method::POST, "/publish", &[], None)
            .await
            .status
    };
    assert_eq!(post(&ann).await, StatusCode::OK);
    assert_eq!(post(&rea).await, StatusCode::FORBIDDEN);
    assert_eq!(post("").await, StatusCode::UNAUTHORIZED);
    assert_eq!(post("tnt_nonsense").await, StatusCode::UNAUTHORIZED);
    let bob = app.user("globex", "bob", "editor").await;
    assert_eq!(post(&bob).await, StatusCode::UNAUTHORIZED);
}
