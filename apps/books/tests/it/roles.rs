//! Who may do what: each rule of the policies, permitted and refused.

use serde_json::json;

use crate::support::{A_SECOND, Company, Payload, Person, shared, until};

/// A company with a member of each role, from who may the least to who may the most.
struct Team {
    company: Company,
    members: [Person; 4],
}

impl Team {
    async fn new() -> Self {
        let company = Company::shared().await;
        let members = [
            company.hire("viewer").await,
            company.hire("bookkeeper").await,
            company.hire("admin").await,
            company.owner.clone(),
        ];
        Self { company, members }
    }

    /// Has each of them try the same, each on an object of its own, and compares what they are told.
    async fn try_each<F: Future<Output = String>>(
        &self,
        what: &str,
        method: &str,
        body: impl Fn() -> Payload,
        mut path: impl FnMut() -> F,
        expected: [u16; 4],
    ) {
        let mut told = Vec::new();
        for member in &self.members {
            let path = path().await;
            let answer = self.company.by(member).send(method, &path, body()).await;
            told.push(answer.status);
        }
        assert_eq!(told, expected, "{what}: viewer, bookkeeper, admin, owner");
    }
}

fn nothing() -> Payload {
    Payload::Nothing
}

#[tokio::test]
async fn who_looks_at_what() {
    let team = Team::new().await;
    let company = &team.company;
    let sent = company.sent("sent").await;
    let draft = company.draft("a draft").await;
    let path = |path: String| move || std::future::ready(path.clone());
    for open in [
        "/api/company".to_owned(),
        "/api/members".to_owned(),
        "/api/customers".to_owned(),
        "/api/invoices".to_owned(),
        format!("/api/invoices/{sent}"),
        format!("/api/invoices/{sent}/lines"),
        format!("/api/invoices/{sent}/payments"),
    ] {
        team.try_each(&open.clone(), "GET", nothing, path(open), [200; 4])
            .await;
    }
    for hidden in [
        format!("/api/invoices/{draft}"),
        format!("/api/invoices/{draft}/lines"),
    ] {
        let expected = [404, 200, 200, 200];
        team.try_each("others' drafts", "GET", nothing, path(hidden), expected)
            .await;
    }
    let expected = [403, 403, 200, 200];
    let invitations = path("/api/invitations".into());
    team.try_each("invitations", "GET", nothing, invitations, expected)
        .await;
}

#[tokio::test]
async fn who_does_what() {
    let team = &Team::new().await;
    let company = &team.company;
    let customer = &company.customer("theirs").await;
    let json = |body: serde_json::Value| move || Payload::Json(body.clone());
    let fixed = |path: &str| {
        let path = path.to_owned();
        move || std::future::ready(path.clone())
    };
    let draft = || async {
        let draft = company.draft("draft").await;
        company.line(&draft, "line").await;
        format!("/api/invoices/{draft}")
    };
    let sent = || async { format!("/api/invoices/{}", company.sent("sent").await) };
    let line = || json(json!({ "text": "more", "quantity": "1", "unit_price": "1.00" }));

    let new = json(json!({ "name": "new" }));
    team.try_each(
        "add customers",
        "POST",
        new,
        fixed("/api/customers"),
        [403, 403, 201, 201],
    )
    .await;
    let of_one = || async { format!("/api/customers/{}", company.customer("one").await) };
    let name = json(json!({ "name": "other" }));
    team.try_each(
        "change customers",
        "PATCH",
        name,
        of_one,
        [403, 403, 200, 200],
    )
    .await;
    team.try_each(
        "remove customers",
        "DELETE",
        nothing,
        of_one,
        [403, 403, 204, 204],
    )
    .await;

    let new = json(json!({ "customer_id": customer }));
    team.try_each(
        "begin drafts",
        "POST",
        new,
        fixed("/api/invoices"),
        [403, 201, 201, 201],
    )
    .await;
    let note = json(json!({ "note": "other" }));
    // a draft of somebody else's is hidden from a viewer
    team.try_each("edit drafts", "PATCH", &note, draft, [404, 200, 200, 200])
        .await;
    team.try_each(
        "delete drafts",
        "DELETE",
        nothing,
        draft,
        [404, 204, 204, 204],
    )
    .await;
    let lines = || async { draft().await + "/lines" };
    team.try_each("add lines", "POST", line(), lines, [404, 201, 201, 201])
        .await;
    let of_line = || async {
        let draft = company.draft("draft").await;
        let line = company.line(&draft, "line").await;
        format!("/api/invoices/{draft}/lines/{line}")
    };
    team.try_each("edit lines", "PUT", line(), of_line, [404, 200, 200, 200])
        .await;
    team.try_each(
        "delete lines",
        "DELETE",
        nothing,
        of_line,
        [404, 204, 204, 204],
    )
    .await;
    let send = || async { draft().await + "/send" };
    team.try_each("send", "POST", nothing, send, [404, 200, 200, 200])
        .await;

    // nobody, not even the owner
    team.try_each("edit what was sent", "PATCH", &note, sent, [403; 4])
        .await;
    let whole = json(json!({ "customer_id": customer }));
    team.try_each("replace what was sent", "PUT", whole, sent, [403; 4])
        .await;
    team.try_each("delete what was sent", "DELETE", nothing, sent, [403; 4])
        .await;
    let lines = || async { sent().await + "/lines" };
    team.try_each("add to what was sent", "POST", line(), lines, [403; 4])
        .await;
    let of_line = || async {
        let sent = company.draft("sent").await;
        let line = company.line(&sent, "line").await;
        let path = format!("/api/invoices/{sent}");
        let send = format!("{path}/send");
        company.as_owner().post(&send, json!({})).await.is(200);
        format!("{path}/lines/{line}")
    };
    team.try_each("edit sent lines", "PUT", line(), of_line, [403; 4])
        .await;
    team.try_each("delete sent lines", "DELETE", nothing, of_line, [403; 4])
        .await;
    let again = || async { sent().await + "/send" };
    team.try_each("send again", "POST", nothing, again, [403; 4])
        .await;

    let payments = || async { sent().await + "/payments" };
    let paid = json(json!({ "amount": "10.00" }));
    team.try_each(
        "record payments",
        "POST",
        &paid,
        payments,
        [403, 201, 201, 201],
    )
    .await;
    let of_draft = || async { draft().await + "/payments" };
    team.try_each(
        "pay for drafts",
        "POST",
        &paid,
        of_draft,
        [404, 403, 403, 403],
    )
    .await;
    let payment = || async {
        let sent = company.sent("sent").await;
        let payment = company.payment(&sent, "5.00").await;
        format!("/api/invoices/{sent}/payments/{payment}")
    };
    team.try_each(
        "change payments",
        "PATCH",
        &paid,
        payment,
        [403, 200, 200, 200],
    )
    .await;
    team.try_each(
        "remove payments",
        "DELETE",
        nothing,
        payment,
        [403, 204, 204, 204],
    )
    .await;

    let void = || async { sent().await + "/void" };
    team.try_each("void", "POST", nothing, void, [403, 403, 403, 200])
        .await;
    let void_draft = || async { draft().await + "/void" };
    team.try_each(
        "void drafts",
        "POST",
        nothing,
        void_draft,
        [404, 403, 403, 403],
    )
    .await;
    let of_void = || async {
        let sent = sent().await;
        company
            .as_owner()
            .post(&format!("{sent}/void"), json!({}))
            .await
            .is(200);
        sent + "/payments"
    };
    team.try_each("pay for void ones", "POST", &paid, of_void, [403; 4])
        .await;
}

#[tokio::test]
async fn who_manages_members() {
    let team = &Team::new().await;
    let company = &team.company;
    let json = |body: serde_json::Value| move || Payload::Json(body.clone());
    let member = || async { format!("/api/members/{}", company.hire("viewer").await.id) };
    let role = json(json!({ "role": "bookkeeper" }));
    team.try_each("change roles", "PATCH", role, member, [403, 403, 204, 204])
        .await;
    team.try_each("send away", "DELETE", nothing, member, [403, 403, 204, 204])
        .await;
    let new = json(json!({ "email": "somebody@example.com", "role": "viewer" }));
    let invitations = || std::future::ready("/api/invitations".to_owned());
    team.try_each("invite", "POST", new, invitations, [403, 403, 201, 201])
        .await;
    let heir = company.hire("admin").await;
    let heir = json(json!({ "to": heir.id }));
    let ownership = || std::future::ready("/api/ownership".to_owned());
    team.try_each("pass on", "POST", heir, ownership, [403, 403, 403, 204])
        .await;
}

#[tokio::test]
async fn bank_details_are_for_those_who_keep_the_books() {
    let team = Team::new().await;
    let company = &team.company;
    let customer = company.customer("Guarded & Sons").await;
    let iban = "DE89370400440532013000";
    let one = format!("/api/customers/{customer}");
    for (member, sees) in team.members.iter().zip([false, true, true, true]) {
        for path in [&one, "/api/customers", "/api/customers?q=guarded"] {
            let answer = company.by(member).get(path).await.is(200);
            assert!(answer.text().contains("Guarded"));
            assert_eq!(answer.text().contains("iban"), sees, "{path}");
            assert_eq!(answer.text().contains(iban), sees, "{path}");
        }
        let sent = company.sent("page").await;
        for path in [
            format!("/customers/{customer}"),
            format!("/invoices/{sent}"),
            format!("/invoices/{sent}/print"),
            "/customers".to_owned(),
        ] {
            let page = company.browser(member).get(&company.page(&path)).await;
            let is_shown = page.page(200).contains(iban);
            let may_be = sees && !path.ends_with("/print") && path != "/customers";
            assert_eq!(is_shown, may_be, "{path} for {}", member.email);
        }
    }
    // nor can it be found out by asking for it
    let viewer = company.by(&team.members[0]);
    for guess in ["iban=DE89", "order=iban", "order=-iban"] {
        let answer = viewer.get(&format!("/api/customers?{guess}")).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
    }
    let found = viewer.get("/api/customers?q=DE89").await;
    assert!(found.ids().is_empty(), "{}", found.text());
    // nor by the tag: who is shown less has another
    let tags = [&team.members[0], &team.members[1]].map(|member| {
        let client = company.by(member);
        let one = one.clone();
        async move { client.get(&one).await.header("etag").unwrap().to_owned() }
    });
    let [viewers, bookkeepers] = tags;
    assert_ne!(viewers.await, bookkeepers.await);
}

#[tokio::test]
async fn a_viewer_sees_drafts_of_their_own_and_no_others() {
    let company = Company::shared().await;
    let once_bookkeeper = company.hire("bookkeeper").await;
    let own = company.draft_by(&once_bookkeeper, "their own").await;
    let others = company.draft("of the owner").await;
    let sent = company.sent("sent").await;
    let list = "/api/invoices?order=created_at";
    let client = company.by(&once_bookkeeper);
    assert_eq!(client.get(list).await.ids(), [&*own, &*others, &*sent]);
    let path = format!("/api/members/{}", once_bookkeeper.id);
    let viewer = json!({ "role": "viewer" });
    company.as_owner().patch(&path, viewer).await.is(204);
    assert_eq!(client.get(list).await.ids(), [&*own, &*sent]);
    client.get(&format!("/api/invoices/{own}")).await.is(200);
    let hidden = client.get(&format!("/api/invoices/{others}")).await;
    hidden.problem(404, "not-found");
    // to look at, and no more
    let path = format!("/api/invoices/{own}");
    let refused = client.patch(&path, json!({ "note": "x" })).await;
    refused.problem(403, "forbidden");
    assert!(client.get("/api/invoices?state=draft").await.ids() == [&*own]);
    let page = client.get("/api/invoices?limit=1&order=created_at").await;
    assert_eq!(page.ids(), [&*own]);
}

#[tokio::test]
async fn what_the_program_keeps_is_nobodys_to_write() {
    let company = Company::shared().await;
    let draft = company.draft("draft").await;
    let customer = company.customer("c").await;
    let one = format!("/api/invoices/{draft}");
    for field in ["id", "number", "state", "total", "created_by", "created_at"] {
        let owner = company.as_owner();
        owner
            .patch(&one, json!({ field: null }))
            .await
            .invalid(&[field]);
        let whole = json!({ "customer_id": customer, field: "1" });
        owner.put(&one, whole.clone()).await.invalid(&[field]);
        owner.post("/api/invoices", whole).await.invalid(&[field]);
    }
    let lines = format!("{one}/lines");
    for (field, value) in [("invoice_id", json!(draft)), ("amount", json!("1.00"))] {
        let new = json!({ "text": "t", "quantity": "1", "unit_price": "1.00", field: value });
        company.as_owner().post(&lines, new).await.invalid(&[field]);
    }
    let before = company.show(&one).await;
    assert_eq!(
        (&before["state"], &before["total"]),
        (&json!("draft"), &json!("0.00"))
    );
}

#[tokio::test]
async fn on_the_trial_plan_nobody_sends() {
    let company = Company::begin(&shared()).await;
    let draft = company.draft("on trial").await;
    company.line(&draft, "line").await;
    let path = format!("/api/invoices/{draft}/send");
    company.command(&["tenant", "plan"], &["trial"]);
    until(A_SECOND, "the plan is known", || async {
        company.show("/api/company").await["plan"] == "trial"
    })
    .await;
    let refused = company.as_owner().post(&path, json!({})).await;
    refused.problem(403, "forbidden");
    let page = company.browser(&company.owner);
    let page = page
        .get(&company.page(&format!("/invoices/{draft}")))
        .await
        .page(200);
    assert!(
        !page.contains(">Send<") && page.contains(">Edit<"),
        "{page}"
    );
    company.command(&["tenant", "plan"], &["basic"]);
    until(A_SECOND, "the plan is known", || async {
        company.show("/api/company").await["plan"] == "basic"
    })
    .await;
    company.as_owner().post(&path, json!({})).await.is(200);
}

#[tokio::test]
async fn what_a_role_may_ends_with_it_at_once() {
    let company = Company::shared().await;
    let pat = company.hire("bookkeeper").await;
    let new = json!({ "customer_id": company.customer("c").await });
    company
        .by(&pat)
        .post("/api/invoices", new.clone())
        .await
        .is(201);
    let path = format!("/api/members/{}", pat.id);
    let viewer = json!({ "role": "viewer" });
    company.as_owner().patch(&path, viewer).await.is(204);
    let refused = company.by(&pat).post("/api/invoices", new).await;
    refused.problem(403, "forbidden");
    company.as_owner().delete(&path).await.is(204);
    let gone = company.by(&pat).get("/api/invoices").await;
    gone.problem(404, "tenant-not-found");
}
