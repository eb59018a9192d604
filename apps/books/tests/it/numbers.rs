//! The numbers of invoices: one after the other, whatever happens while they are given.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Client, Company, Payload, Place, Server, id, shared};

/// Makes drafts with a line each, and returns their ids.
async fn drafts(company: &Company, count: usize) -> Vec<String> {
    let customer = company.customer("numbers").await;
    let new: Vec<_> = (0..count)
        .map(|number| json!({ "customer_id": customer, "note": format!("the {number}th") }))
        .collect();
    let made = company
        .make(&company.owner, "/api/invoices", new.into())
        .await;
    let ids: Vec<_> = made["items"].as_array().unwrap().iter().map(id).collect();
    assert_eq!(ids.len(), count);
    for id in &ids {
        company.line(id, "work").await;
    }
    ids
}

/// The numbers of a company's invoices that have one, by the invoices' ids.
async fn numbers(company: &Company) -> BTreeMap<String, i64> {
    let list = company.show("/api/invoices?limit=200").await;
    assert_eq!(list["next"], Value::Null);
    let numbered = |invoice: &Value| Some((id(invoice), invoice["number"].as_i64()?));
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(numbered)
        .collect()
}

#[track_caller]
fn without_gap(numbers: &BTreeMap<String, i64>) {
    let mut given: Vec<_> = numbers.values().copied().collect();
    given.sort_unstable();
    let expected: Vec<_> = (1..=numbers.len() as i64).collect();
    assert_eq!(given, expected);
}

/// Sends all of them at once; those that were answered, with the numbers in the answers. Ends early
/// when the server does.
fn send_all(client: &Client, ids: &[String]) -> JoinSet<Option<(String, i64)>> {
    let mut sends = JoinSet::new();
    for id in ids {
        let (client, id) = (client.clone(), id.clone());
        sends.spawn(async move {
            let path = format!("/api/invoices/{id}/send");
            let answer = client
                .try_send("POST", &path, Payload::Nothing)
                .await
                .ok()?;
            let sent = answer.is(200).json();
            assert_eq!(sent["state"], "sent");
            Some((id, sent["number"].as_i64().unwrap()))
        });
    }
    sends
}

#[tokio::test]
async fn fifty_sent_at_once_are_numbered_without_gap_or_twin() {
    let company = Company::begin(&shared()).await;
    let ids = drafts(&company, 50).await;
    let sent = send_all(&company.as_owner(), &ids).join_all().await;
    let answered: BTreeMap<_, _> = sent.into_iter().flatten().collect();
    assert_eq!(answered.len(), 50);
    without_gap(&answered);
    assert_eq!(numbers(&company).await, answered);
    // what is refused takes no number
    let path = format!("/api/invoices/{}/send", ids[0]);
    let again = company.as_owner().post(&path, json!({})).await;
    again.problem(403, "forbidden");
    let empty = company.draft("without lines").await;
    let path = format!("/api/invoices/{empty}/send");
    let refused = company.as_owner().post(&path, json!({})).await;
    refused.problem(409, "no-lines");
    let next = company.sent("one more").await;
    let next = company.show(&format!("/api/invoices/{next}")).await;
    assert_eq!(next["number"], 51);
}

#[tokio::test]
async fn one_sent_many_times_at_once_gets_one_number() {
    let company = Company::begin(&shared()).await;
    let draft = drafts(&company, 1).await.remove(0);
    let path = format!("/api/invoices/{draft}/send");
    let mut sends = JoinSet::new();
    for _ in 0..10 {
        let (client, path) = (company.as_owner(), path.clone());
        sends.spawn(async move { client.post(&path, json!({})).await.status });
    }
    let mut statuses = sends.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [[200].as_slice(), &[403; 9]].concat());
    assert_eq!(numbers(&company).await, BTreeMap::from([(draft, 1)]));
}

#[tokio::test]
async fn two_companies_count_each_for_itself() {
    let server = shared();
    let one = Company::begin(&server).await;
    let other = Company::of(&server, &one.owner).await;
    for company in [&one, &other] {
        company.sent("first").await;
        company.sent("second").await;
        without_gap(&numbers(company).await);
    }
}

/// Whether the server is killed in the middle is seen to: some were answered, and not all.
#[tokio::test]
async fn a_server_killed_in_the_middle_of_sends_leaves_no_gap() {
    let place = Place::new();
    let mut server = place.serve();
    let mut company = Company::begin(&server).await;
    let mut left = drafts(&company, 60).await;
    let mut answered = BTreeMap::new();
    for round in 1..=3 {
        let mut sends = send_all(&company.as_owner(), &left);
        let mut known = 0;
        while let Some(sent) = sends.join_next().await {
            let Some((id, number)) = sent.unwrap() else {
                continue;
            };
            answered.insert(id, number);
            known += 1;
            if known == 8 {
                server.kill();
            }
        }
        drop(server);
        server = Server::start(&place, &[]);
        company = company.on(&server);
        let numbers = numbers(&company).await;
        without_gap(&numbers);
        for (id, number) in &answered {
            assert_eq!(numbers.get(id), Some(number), "what was answered is kept");
        }
        left.retain(|id| !numbers.contains_key(id));
        assert!(known >= 8, "{known} were sent in round {round}");
        assert!(
            !left.is_empty(),
            "all were sent before the server was killed"
        );
    }
    for sent in send_all(&company.as_owner(), &left).join_all().await {
        sent.expect("the server lives");
    }
    let numbers = numbers(&company).await;
    assert_eq!(numbers.len(), 60);
    without_gap(&numbers);
}
