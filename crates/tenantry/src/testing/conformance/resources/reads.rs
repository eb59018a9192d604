//! Objects, what they are in, and lists of them, by whoever may see them.

use super::*;

list! { "resources":
    made_shown_changed_and_removed, what_it_is_in_comes_from_the_path, another_tenants_object_is_none, who_may_not_is_told_apart, lists_are_paged, lists_are_narrowed,
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
