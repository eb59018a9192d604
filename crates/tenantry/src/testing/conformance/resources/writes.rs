//! Objects that are written: over nobody's change, once, and as far as one may.

use super::*;

list! { "resources":
    lost_updates_are_refused, an_idempotency_key_is_good_once, many_are_made_at_once_or_none, fields_are_guarded, a_tenants_own_policies_hold_at_once, what_is_needed_is_asked_for,
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
