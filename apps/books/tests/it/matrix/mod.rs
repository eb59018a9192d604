//! Every route of the books, tried by one company on another.
//!
//! The table below has each route once; a test fails when one is missing, so a new route cannot come
//! without being tried. A request that must not reach another company is also made by a member of the
//! company it belongs to, and must succeed there.

mod table;

use std::{collections::BTreeSet, sync::Arc};

use serde_json::json;
use tenantry::routing::{Kind, RouteInfo};

use self::table::{EXCEPTIONS, Entry, Given, MATRIX, Of, Who};
use crate::support::{
    A_SECOND, Answer, Client, Company, Payload, Person, Place, Server, Way, id, register, shared,
    unique, until,
};

#[test]
fn every_route_is_tried() {
    let routes = books::routes();
    let name = |route: &RouteInfo| (route.method.clone(), route.path.clone(), route.kind);
    let listed: BTreeSet<_> = routes.list().iter().map(name).collect();
    assert_eq!(listed.len(), routes.list().len(), "a route is listed twice");

    let tried = MATRIX.iter().map(Entry::name);
    let excepted = EXCEPTIONS.iter().map(|(method, path, reason)| {
        assert!(!reason.is_empty());
        (*method, *path, Kind::Unresolved)
    });
    let mut known = BTreeSet::new();
    for (method, path, kind) in tried.chain(excepted) {
        let name = (method.to_owned(), path.to_owned(), kind);
        assert!(known.insert(name), "{method} {path} is here twice");
    }
    let untried: Vec<_> = listed.difference(&known).collect();
    assert!(
        untried.is_empty(),
        "not tried across companies: {untried:#?}"
    );
    let gone: Vec<_> = known.difference(&listed).collect();
    assert!(gone.is_empty(), "there are no such routes: {gone:#?}");
}

fn of_companies() -> impl Iterator<Item = &'static Entry> {
    MATRIX.iter().filter(|entry| entry.kind == Kind::Tenant)
}

/// Makes what an entry is of, in a company. All of it says `word`.
async fn make(company: &Company, of: Of, word: &str) -> Vec<String> {
    match of {
        Of::Nothing => {
            company.customer(word).await;
            Vec::new()
        }
        Of::Customer => vec![company.customer(word).await],
        Of::Draft | Of::Line => {
            let draft = company.draft(word).await;
            let line = company.line(&draft, word).await;
            [draft, line].into_iter().take(of.depth()).collect()
        }
        Of::Sent => vec![company.sent(word).await],
        Of::Payment => {
            let sent = company.sent(word).await;
            let payment = company.payment(&sent, "5.00").await;
            vec![sent, payment]
        }
        Of::Member => vec![company.hire("viewer").await.id],
        Of::Invitation => {
            let email = format!("{}@example.com", unique(word));
            let new = json!({ "email": email, "role": "viewer" });
            vec![id(&company
                .make(&company.owner, "/api/invitations", new)
                .await)]
        }
        Of::Link => {
            let email = format!("{}@example.com", unique(word));
            vec![company.invite(&email, "viewer").await]
        }
    }
}

/// All of a company, as its owner sees it.
async fn all_of(company: &Company, ids: &[String], of: Of) -> Vec<String> {
    let owner = company.as_owner();
    let mut lists: Vec<String> = ["company", "customers", "invoices", "members", "invitations"]
        .map(|list| format!("/api/{list}"))
        .into();
    if [Of::Draft, Of::Line, Of::Sent, Of::Payment].contains(&of) {
        lists.push(format!("/api/invoices/{}/lines", ids[0]));
        lists.push(format!("/api/invoices/{}/payments", ids[0]));
    }
    let mut all = Vec::new();
    for list in lists {
        all.push(owner.get(&list).await.is(200).text());
    }
    all
}

/// Fails if the answer says anything of ours.
#[track_caller]
fn nothing_of(marks: &[&str], answer: &Answer) {
    let (told, headers) = (answer.text(), format!("{:?}", answer.headers));
    for mark in marks {
        let said = told.contains(mark) || headers.contains(mark);
        assert!(!said, "{} tells {mark}: {told}", answer.asked);
    }
}

/// A company with one of everything, from which others' things are asked for.
struct Elsewhere {
    company: Company,
    customer: String,
    draft: Vec<String>,
    sent: Vec<String>,
}

impl Elsewhere {
    async fn of(server: &Arc<Server>, owner: &Person) -> Self {
        let company = Company::of(server, owner).await;
        Self {
            customer: company.customer("elsewhere").await,
            draft: make(&company, Of::Line, "elsewhere").await,
            sent: make(&company, Of::Payment, "elsewhere").await,
            company,
        }
    }

    /// The ids with one or all of them ours, and the others from here.
    fn foreign(&self, of: Of, ours: &[String]) -> Vec<Vec<String>> {
        let own = match of {
            Of::Line => &self.draft,
            Of::Payment => &self.sent,
            _ => return vec![ours.to_vec()],
        };
        vec![
            ours.to_vec(),
            vec![own[0].clone(), ours[1].clone()],
            vec![ours[0].clone(), own[1].clone()],
        ]
    }
}

async fn ask(
    entry: &Entry,
    (server, code, way): (&Arc<Server>, &str, Way),
    who: Option<&Person>,
    given: &Given<'_>,
) -> Answer {
    let (client, path) = way.to(server, code, &entry.path(given.ids));
    let client = match who {
        Some(person) => entry.signed_in(&client, &person.token),
        None => entry.client(&client),
    };
    client.send(entry.method, &path, entry.body(given)).await
}

/// Half of the table each, so that they are tried beside each other.
#[tokio::test]
async fn nothing_of_a_company_is_reached_from_another_in_pages() {
    try_all(|entry| entry.is_page()).await;
}

#[tokio::test]
async fn nothing_of_a_company_is_reached_from_another_in_the_api() {
    try_all(|entry| !entry.is_page()).await;
}

async fn try_all(which: impl Fn(&Entry) -> bool) {
    let server = shared();
    let (we, they) = (
        register(&server, "we").await,
        register(&server, "they").await,
    );
    // what a stranger has, and what we have ourselves
    let elsewhere = [
        Elsewhere::of(&server, &they).await,
        Elsewhere::of(&server, &we).await,
    ];
    for entry in of_companies().filter(|entry| which(entry)) {
        try_across(&server, &we, &they, &elsewhere, entry).await;
    }
}

async fn try_across(
    server: &Arc<Server>,
    we: &Person,
    they: &Person,
    elsewhere: &[Elsewhere],
    entry: &Entry,
) {
    let ours = Company::of(server, we).await;
    let word = unique("quagga");
    let ids = make(&ours, entry.of, &word).await;
    let customer = ours.customer("one of ours").await;
    let missing = entry.of.missing();
    let before = all_of(&ours, &ids, entry.of).await;
    // an invitation lets in whoever has it: to others there is nothing
    let shown = if entry.of == Of::Link { &missing } else { &ids };
    let attempt = unique("attempt");
    let given = Given {
        word: &attempt,
        customer: &customer,
        ids: shown,
    };
    // who asks for something of ours knows its id
    let mut marks = vec![ours.id.as_str(), word.as_str()];
    marks.retain(|mark| !shown.iter().any(|id| id == mark));

    for way in Way::BOTH {
        let here = (server, ours.code.as_str(), way);
        let nobody = ask(entry, here, None, &given).await;
        nothing_of(&marks, &nobody);
        match entry.who {
            Who::Anyone => entry.refused(&nobody, 404, "tenant-not-found"),
            _ => entry.not_let_in(&nobody),
        }
        // whoever is no member: as if there were no such company
        let stranger = ask(entry, here, Some(they), &given).await;
        nothing_of(&marks, &stranger);
        entry.refused(&stranger, 404, "tenant-not-found");
        let unknown = unique("unknown");
        let nowhere = ask(entry, (server, &unknown, way), Some(they), &given).await;
        stranger.same_as(&nowhere);
        // with a session that is none
        let broken = Person {
            token: format!("tna_{}", "x".repeat(43)),
            ..they.clone()
        };
        let broken = ask(entry, here, Some(&broken), &given).await;
        nothing_of(&marks, &broken);
        match (entry.is_page(), entry.who) {
            (false, _) => drop(broken.problem(401, "invalid-token")),
            (true, Who::Anyone) => entry.refused(&broken, 404, "tenant-not-found"),
            (true, _) => entry.not_let_in(&broken),
        }
        // ids of ours in companies where whoever asks may do anything
        for there in elsewhere {
            let place = (server, there.company.code.as_str(), way);
            let owner = &there.company.owner;
            let none = Given {
                word: &attempt,
                customer: &there.customer,
                ids: &missing,
            };
            if entry.of == Of::Nothing {
                if entry.method == "GET" {
                    let right = ask(entry, place, Some(owner), &none).await;
                    nothing_of(&marks, &right.is(entry.success));
                }
                continue;
            }
            let none = ask(entry, place, Some(owner), &none).await;
            entry.refused(&none, 404, entry.of.refusal());
            for ids in &there.foreign(entry.of, &ids) {
                let given = Given {
                    word: &attempt,
                    customer: &there.customer,
                    ids,
                };
                let foreign = ask(entry, place, Some(owner), &given).await;
                nothing_of(&marks, &foreign);
                foreign.same_as(&none);
            }
        }
    }
    let after = all_of(&ours, &ids, entry.of).await;
    assert_eq!(before, after, "{:?} changed us", entry.name());

    // the control: all of it is possible for us
    for way in Way::BOTH {
        let ours = Company::of(server, we).await;
        let ids = make(&ours, entry.of, &unique("control")).await;
        let customer = ours.customer("one of ours").await;
        let given = Given {
            word: &unique("control"),
            customer: &customer,
            ids: &ids,
        };
        let who = match entry.who {
            Who::Viewer => Some(ours.hire("viewer").await),
            Who::Anyone => None,
            _ => Some(we.clone()),
        };
        let here = (server, ours.code.as_str(), way);
        ask(entry, here, who.as_ref(), &given)
            .await
            .is(entry.success);
    }
}

/// Everything of the table once, with ids that are nobody's.
async fn try_each(server: &Arc<Server>, code: &str, who: &Person, check: impl Fn(&Entry, &Answer)) {
    let customer = uuid::Uuid::now_v7().to_string();
    for entry in of_companies() {
        let ids = entry.of.missing();
        let given = Given {
            word: &unique("each"),
            customer: &customer,
            ids: &ids,
        };
        for way in Way::BOTH {
            let answer = ask(entry, (server, code, way), Some(who), &given).await;
            check(entry, &answer);
        }
    }
}

#[tokio::test]
async fn a_companys_routes_are_nowhere_without_it() {
    let server = shared();
    let deleted = Company::begin(&server).await;
    deleted.as_owner().get("/api/company").await.is(200); // so that it is known and open when it goes
    deleted.command(&["tenant", "delete"], &["--yes"]);
    until(A_SECOND, "the company is gone", || async {
        deleted.as_owner().get("/api/company").await.status == 404
    })
    .await;
    for code in [deleted.code.as_str(), &unique("unknown"), "x'; DROP", "a.b"] {
        let encoded = code.replace(' ', "%20");
        let gone = |entry: &Entry, answer: &Answer| entry.refused(answer, 404, "tenant-not-found");
        if encoded == code {
            try_each(&server, code, &deleted.owner, gone).await;
        } else {
            let client = server.tenant(code).bearer(&deleted.owner.token);
            client
                .get("/api/company")
                .await
                .problem(404, "tenant-not-found");
            let client = server.central().bearer(&deleted.owner.token);
            let path = format!("/api/companies/{encoded}/company");
            client.get(&path).await.problem(404, "tenant-not-found");
        }
    }
    let me = server.central().bearer(&deleted.owner.token);
    let companies = me.get("/api/companies").await;
    assert!(companies.ids().is_empty(), "{}", companies.text());
    let away = server.host(&deleted.code).bearer(&deleted.owner.token);
    let answer = away.get("/api/company").await;
    answer.problem(404, "tenant-not-found");

    for entry in of_companies().filter(|entry| !entry.is_on_both()) {
        let ids = entry.of.missing();
        let given = Given {
            word: "without",
            customer: "none",
            ids: &ids,
        };
        let central = entry.signed_in(&server.central(), &deleted.owner.token);
        let answer = central
            .send(entry.method, &entry.path(&ids), entry.body(&given))
            .await;
        entry.refused(&answer, 404, "tenant-required");
    }
}

#[tokio::test]
async fn central_routes_are_not_in_a_company() {
    let company = Company::shared().await;
    let server = company.server();
    for entry in MATRIX.iter().filter(|entry| entry.kind == Kind::Central) {
        let word = unique("central");
        let given = Given {
            word: &word,
            customer: "",
            ids: &[],
        };
        if !entry.is_on_both() {
            for way in Way::BOTH {
                let here = (server, company.code.as_str(), way);
                let answer = ask(entry, here, Some(&company.owner), &given).await;
                assert!([404, 405].contains(&answer.status), "{}", answer.asked);
            }
        }
        let (path, central) = (entry.path(&[]), server.central());
        let client = if entry.who == Who::SignedIn {
            let nobody = entry.client(&central);
            let nobody = nobody.send(entry.method, &path, entry.body(&given)).await;
            entry.not_let_in(&nobody);
            let somebody = register(server, "somebody").await;
            entry.signed_in(&central, &somebody.token)
        } else {
            entry.client(&central)
        };
        let answer = client.send(entry.method, &path, entry.body(&given)).await;
        answer.is(entry.success);
    }
}

#[tokio::test]
async fn two_companies_in_one_request_are_a_conflict() {
    let server = shared();
    let one = Company::begin(&server).await;
    let other = Company::of(&server, &one.owner).await;
    for entry in of_companies() {
        let ids = entry.of.missing();
        let given = Given {
            word: "both",
            customer: "none",
            ids: &ids,
        };
        let (client, path) = Way::Path.to(&server, &one.code, &entry.path(&ids));
        let both = entry.signed_in(&client, &one.owner.token);
        let both = both.with("tenant-code", &other.code);
        let answer = both.send(entry.method, &path, entry.body(&given)).await;
        entry.refused(&answer, 400, "tenant-conflict");
    }
    let twice = one.as_owner().with("tenant-code", &one.code.to_uppercase());
    let path = format!("/api/companies/{}/company", one.code);
    twice.get(&path).await.is(200);
}

#[tokio::test]
async fn a_suspended_company_answers_503_within_a_second_and_only_until_resumed() {
    let server = Place::new().serve();
    let stopped = Company::begin(&server).await;
    let other = Company::of(&server, &stopped.owner).await;
    let customer = stopped.customer("stays").await;
    stopped.command(&["tenant", "suspend"], &[]);
    until(A_SECOND, "the company is suspended", || async {
        stopped.as_owner().get("/api/company").await.status == 503
    })
    .await;
    try_each(&server, &stopped.code, &stopped.owner, |entry, answer| {
        entry.refused(answer, 503, "tenant-suspended");
    })
    .await;
    other.as_owner().get("/api/company").await.is(200);
    let list = server.central().bearer(&stopped.owner.token);
    let states = list.get("/api/companies").await.each("status");
    assert_eq!(states, ["suspended", "active"]);

    stopped.command(&["tenant", "resume"], &[]);
    until(A_SECOND, "the company is back", || async {
        stopped.as_owner().get("/api/company").await.status == 200
    })
    .await;
    let path = format!("/api/customers/{customer}");
    assert_eq!(stopped.show(&path).await["name"], "stays");
}

#[tokio::test]
async fn routes_that_need_no_company_are_the_same_for_everybody() {
    let company = Company::shared().await;
    let server = company.server();
    for (method, path, _) in EXCEPTIONS {
        let get = |client: Client| async move { client.send(method, path, Payload::Nothing).await };
        let here = get(server.central()).await.is(200);
        for client in [
            company.as_owner(),
            server.host("no-such"),
            server.tenant("-"),
        ] {
            here.same_as(&get(client).await);
        }
    }
}

#[tokio::test]
async fn a_cursor_of_one_company_is_garbage_to_another_of_the_same_person() {
    let server = shared();
    let ours = Company::begin(&server).await;
    let theirs = Company::of(&server, &ours.owner).await;
    for company in [&ours, &theirs] {
        for _ in 0..2 {
            company.draft("one").await;
        }
    }
    for list in ["/api/customers", "/api/invoices"] {
        let page = ours.show(&format!("{list}?limit=1")).await;
        let cursor = page["next"].as_str().expect("another page");
        let path = format!("{list}?limit=1&cursor={cursor}");
        let foreign = theirs.as_owner().get(&path).await;
        foreign.invalid(&["cursor"]);
        let garbage = format!("{list}?limit=1&cursor=Z2FyYmFnZQ");
        foreign.same_as(&theirs.as_owner().get(&garbage).await);
        ours.as_owner().get(&path).await.is(200);
    }
}
