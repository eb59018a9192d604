//! Customers, invoices, lines and payments, as programs keep them.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Company, id, shared, text};

#[tokio::test]
async fn totals_are_exact_and_follow_the_lines() {
    let company = Company::shared().await;
    let draft = company.draft("money").await;
    let (one, owner) = (format!("/api/invoices/{draft}"), company.as_owner());
    let lines = format!("{one}/lines");
    let add = |quantity: &str, price: &str| {
        let new = json!({ "text": "work", "quantity": quantity, "unit_price": price });
        let (owner, lines) = (owner.clone(), lines.clone());
        async move { owner.post(&lines, new).await.is(201).json() }
    };
    let total = || async { text(&company.show(&one).await["total"]) };
    assert_eq!(add("3", "9.99").await["amount"], "29.97");
    // a half is rounded away from zero
    assert_eq!(add("0.5", "0.01").await["amount"], "0.01");
    assert_eq!(add("0.125", "0.20").await["amount"], "0.03");
    let large = add("999999.999", "999999.99").await;
    assert_eq!(large["amount"], "999999989000.00");
    assert_eq!(total().await, "999999989030.01");
    let path = format!("{lines}/{}", id(&large));
    let smaller = json!({ "quantity": "0.1", "unit_price": "0.10" });
    let smaller = owner.patch(&path, smaller).await.is(200).json();
    assert_eq!(smaller["amount"], "0.01");
    assert_eq!(smaller["quantity"], "0.100");
    assert_eq!(total().await, "30.02");
    owner.delete(&path).await.is(204);
    assert_eq!(total().await, "30.01");
    for (field, bad) in [
        ("quantity", json!("0")),
        ("quantity", json!("0.0001")),
        ("quantity", json!(1)),
        ("unit_price", json!("-1")),
        ("unit_price", json!("0.001")),
        ("unit_price", json!(9.5)),
        ("unit_price", json!("1e3")),
    ] {
        let mut new = json!({ "text": "work", "quantity": "1", "unit_price": "1.00" });
        new[field] = bad;
        owner.post(&lines, new).await.invalid(&[field]);
    }
    assert_eq!(total().await, "30.01");
}

#[tokio::test]
async fn lines_added_at_once_are_all_in_the_total() {
    let company = Company::shared().await;
    let draft = company.draft("at once").await;
    let mut adds = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (owner, path) = (company.as_owner(), format!("/api/invoices/{draft}/lines"));
        let new = json!({ "text": "work", "quantity": "1", "unit_price": "0.01" });
        adds.spawn(async move { owner.post(&path, new).await.is(201) });
    }
    adds.join_all().await;
    let invoice = company.show(&format!("/api/invoices/{draft}")).await;
    assert_eq!(invoice["total"], "0.20");
}

#[tokio::test]
async fn an_invoice_is_paid_when_nothing_is_owed() {
    let company = Company::shared().await;
    let sent = company.sent("over 100.00").await;
    let one = format!("/api/invoices/{sent}");
    let payments = format!("{one}/payments");
    let state = || async { text(&company.show(&one).await["state"]) };
    let owner = company.as_owner();
    let too_much = owner.post(&payments, json!({ "amount": "100.01" })).await;
    too_much.invalid(&["amount"]);
    company.payment(&sent, "40.00").await;
    assert_eq!(state().await, "sent");
    // what is paid for is not voided
    let void = owner.post(&format!("{one}/void"), json!({})).await;
    void.problem(409, "has-payments");
    let rest = company.payment(&sent, "60.00").await;
    assert_eq!(state().await, "paid");
    let more = owner.post(&payments, json!({ "amount": "0.01" })).await;
    more.problem(403, "forbidden");
    let rest = format!("{payments}/{rest}");
    owner
        .patch(&rest, json!({ "amount": "59.99" }))
        .await
        .is(200);
    assert_eq!(state().await, "sent");
    owner
        .patch(&rest, json!({ "amount": "60.01" }))
        .await
        .invalid(&["amount"]);
    owner.delete(&rest).await.is(204);
    assert_eq!(state().await, "sent");
    assert_eq!(owner.get(&payments).await.each("amount"), ["40.00"]);
}

#[tokio::test]
async fn payments_at_once_are_together_no_more_than_is_owed() {
    let company = Company::shared().await;
    let sent = company.sent("over 100.00").await;
    let mut pays = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (owner, path) = (company.as_owner(), format!("/api/invoices/{sent}/payments"));
        pays.spawn(async move { owner.post(&path, json!({ "amount": "50.00" })).await.status });
    }
    let statuses = pays.join_all().await;
    let taken = statuses.iter().filter(|status| **status == 201).count();
    assert_eq!(taken, 2, "{statuses:?}");
    assert_eq!(
        company.show(&format!("/api/invoices/{sent}")).await["state"],
        "paid"
    );
}

#[tokio::test]
async fn what_is_in_nothing_is_not_there_at_any_depth() {
    let company = Company::shared().await;
    let (draft, other) = (company.draft("one").await, company.draft("other").await);
    let line = company.line(&draft, "line").await;
    let owner = company.as_owner();
    let nobody = Uuid::now_v7();
    let new = json!({ "text": "work", "quantity": "1", "unit_price": "1.00" });
    for parent in [nobody.to_string(), "none".into(), "%00".into()] {
        let list = format!("/api/invoices/{parent}/lines");
        owner.get(&list).await.problem(404, "not-found");
        owner
            .post(&list, new.clone())
            .await
            .problem(404, "not-found");
        // where there is nothing, what is sent is not looked at
        owner
            .post(&list, json!({ "nonsense": 1 }))
            .await
            .problem(404, "not-found");
    }
    // of the same company, and in another invoice
    let wrong = format!("/api/invoices/{other}/lines/{line}");
    owner.get(&wrong).await.problem(404, "not-found");
    owner
        .put(&wrong, new.clone())
        .await
        .problem(404, "not-found");
    owner.delete(&wrong).await.problem(404, "not-found");
    owner
        .get(&format!("/api/invoices/{draft}/lines/{line}"))
        .await
        .is(200);
    // what may not be looked at is not there to add to
    let viewer = company.hire("viewer").await;
    let hidden = format!("/api/invoices/{draft}/lines");
    let answer = company.by(&viewer).post(&hidden, new).await;
    let missing = format!("/api/invoices/{nobody}/lines");
    answer.same_as(&company.by(&viewer).post(&missing, json!({})).await);
}

#[tokio::test]
async fn a_customer_of_another_company_is_none() {
    let server = shared();
    let ours = Company::begin(&server).await;
    let theirs = Company::of(&server, &ours.owner).await;
    let (own, foreign) = (ours.customer("own").await, theirs.customer("foreign").await);
    let nobody = Uuid::now_v7().to_string();
    let owner = ours.as_owner();
    let draft = ours.draft("draft").await;
    let one = format!("/api/invoices/{draft}");
    let mut told = Vec::new();
    for customer in [&foreign, &nobody] {
        let new = json!({ "customer_id": customer });
        let answers = [
            owner.post("/api/invoices", new.clone()).await,
            owner.put(&one, new.clone()).await,
            owner.patch(&one, new).await,
        ];
        for answer in &answers {
            answer.invalid(&["customer_id"]);
        }
        told.push(answers);
    }
    for (foreign, none) in told[0].iter().zip(&told[1]) {
        foreign.same_as(none);
    }
    owner
        .patch(&one, json!({ "customer_id": own }))
        .await
        .is(200);
    // one that has invoices stays
    let path = format!("/api/customers/{own}");
    owner.delete(&path).await.problem(409, "in-use");
    let found = owner.get(&format!("/api/invoices?customer={own}")).await;
    assert_eq!(found.ids(), [&*draft]);
    let found = owner
        .get(&format!("/api/invoices?customer={foreign}"))
        .await;
    assert!(found.ids().is_empty());
}

#[tokio::test]
async fn what_was_changed_meanwhile_is_not_overwritten() {
    let company = Company::shared().await;
    let draft = company.draft("first").await;
    let one = format!("/api/invoices/{draft}");
    let owner = company.as_owner();
    let tag = text(&owner.get(&one).await.is(200).header("etag").unwrap().into());
    let known = owner.with("if-none-match", &tag).get(&one).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    let matching = owner.with("if-match", &tag);
    let changed = matching
        .patch(&one, json!({ "note": "second" }))
        .await
        .is(200);
    let newer = changed.header("etag").unwrap().to_owned();
    assert_ne!(newer, tag);
    let late = matching.patch(&one, json!({ "note": "third" })).await;
    late.problem(412, "changed-meanwhile");
    matching
        .delete(&one)
        .await
        .problem(412, "changed-meanwhile");
    assert_eq!(company.show(&one).await["note"], "second");
    // a line changes the total, and so the invoice
    company.line(&draft, "line").await;
    let stale = owner.with("if-match", &newer).delete(&one).await;
    stale.problem(412, "changed-meanwhile");
    owner.with("if-match", "*").delete(&one).await.is(204);
}

#[tokio::test]
async fn a_request_that_is_repeated_is_done_once() {
    let company = Company::shared().await;
    let server = company.server().clone();
    let key = "the-same-key";
    let owner = company.as_owner().with("idempotency-key", key);
    let new = json!({ "name": "Once" });
    let first = owner.post("/api/customers", new.clone()).await.is(201);
    let again = owner.post("/api/customers", new.clone()).await.is(201);
    assert_eq!(first.json(), again.json());
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let other = owner
        .post("/api/customers", json!({ "name": "Other" }))
        .await;
    other.problem(422, "idempotency-key-reused");
    let named = company.as_owner().get("/api/customers?q=once").await;
    assert_eq!(named.ids().len(), 1);
    // the key is this company's, and this member's
    let elsewhere = Company::of(&server, &company.owner).await;
    let there = elsewhere.as_owner().with("idempotency-key", key);
    let made = there.post("/api/customers", new.clone()).await.is(201);
    assert_eq!(made.header("idempotency-replayed"), None);
    let admin = company.hire("admin").await;
    let theirs = company.by(&admin).with("idempotency-key", key);
    let made = theirs.post("/api/customers", new).await.is(201);
    assert_eq!(made.header("idempotency-replayed"), None);
    assert_ne!(made.json()["id"], first.json()["id"]);
}

#[tokio::test]
async fn of_many_all_are_made_or_none() {
    let company = Company::shared().await;
    let owner = company.as_owner();
    let customer = company.customer("c").await;
    let good = json!({ "customer_id": customer });
    let foreign = json!({ "customer_id": Uuid::now_v7() });
    let count = || async { owner.get("/api/invoices?limit=200").await.ids().len() };
    let made = owner
        .post("/api/invoices", json!([good, good, good]))
        .await
        .is(201);
    assert_eq!(made.json()["items"].as_array().unwrap().len(), 3);
    assert_eq!(count().await, 3);
    let refused = owner
        .post("/api/invoices", json!([good, good, foreign]))
        .await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    let wrong = json!({ "customer_id": customer, "currency": "euro" });
    let refused = owner.post("/api/invoices", json!([good, wrong])).await;
    refused.invalid(&["1.currency"]);
    owner
        .post("/api/invoices", json!([]))
        .await
        .invalid(&["body"]);
    assert_eq!(count().await, 3);
}

#[tokio::test]
async fn lists_are_narrowed_ordered_and_paged() {
    let company = Company::shared().await;
    let owner = company.as_owner();
    let customer = company.customer("c").await;
    let new = |day: &str, note: &str| {
        json!({
            "customer_id": customer, "issued_on": day, "due_on": "2026-12-31", "note": note,
        })
    };
    let days = ["2026-01-31", "2026-02-01", "2026-02-28", "2026-03-01"];
    let all: Vec<_> = days
        .iter()
        .map(|day| new(day, &format!("of {day}")))
        .collect();
    owner.post("/api/invoices", all.into()).await.is(201);
    let days_of = |query: &'static str| {
        let owner = owner.clone();
        async move {
            owner
                .get(&format!("/api/invoices?{query}"))
                .await
                .each("issued_on")
        }
    };
    assert_eq!(days_of("order=issued_on").await, days);
    assert_eq!(days_of("order=-issued_on&limit=1").await, ["2026-03-01"]);
    let february = days_of("issued_from=2026-02-01&issued_to=2026-02-28&order=issued_on").await;
    assert_eq!(february, ["2026-02-01", "2026-02-28"]);
    assert_eq!(days_of("q=of+2026-01").await, ["2026-01-31"]);
    assert_eq!(days_of("state=sent").await, [""; 0]);
    assert_eq!(days_of("state=draft").await.len(), 4);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/invoices?order=issued_on&limit=3{cursor}");
        let page = owner.get(&path).await.is(200);
        seen.extend(page.each("issued_on"));
        match &page.json()["next"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => break,
        }
    }
    assert_eq!(seen, days);
    for bad in [
        "state=draft&state=sent&nonsense=1",
        "order=note",
        "issued_from=x",
        "limit=0",
    ] {
        let answer = owner.get(&format!("/api/invoices?{bad}")).await;
        assert_eq!(answer.status, 422, "{bad}: {}", answer.text());
    }
}

#[tokio::test]
async fn nonsense_is_refused_as_what_it_is() {
    let company = Company::shared().await;
    let owner = company.as_owner();
    let malformed = owner
        .raw("POST", "/api/customers", "application/json", "{")
        .await;
    malformed.problem(400, "malformed");
    let not_json = owner
        .raw("POST", "/api/customers", "text/plain", "{}")
        .await;
    not_json.problem(415, "unsupported-media-type");
    let missing = owner.post("/api/customers", json!({})).await;
    missing.invalid(&["name"]);
    for (field, bad) in [
        ("name", " "),
        ("email", "none"),
        ("iban", "DE89370400440532013001"),
    ] {
        let mut new = json!({ "name": "Fine" });
        new[field] = bad.into();
        owner.post("/api/customers", new).await.invalid(&[field]);
    }
    let customer = company.customer("c").await;
    let backwards = json!({
        "customer_id": customer, "issued_on": "2026-02-02", "due_on": "2026-02-01",
    });
    owner
        .post("/api/invoices", backwards)
        .await
        .invalid(&["due_on"]);
    let nul = owner
        .post("/api/customers", json!({ "name": "a\u{0}b" }))
        .await;
    nul.invalid(&["name"]);
    let spelled = json!({ "name": "Quotes", "iban": "de89 3704 0044 0532 0130 00" });
    let spelled = owner.post("/api/customers", spelled).await.is(201).json();
    assert_eq!(spelled["iban"], "DE89370400440532013000");
}
