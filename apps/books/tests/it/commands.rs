//! The command line, as far as people outside of tenants and policies make it another than the
//! shop's.

use serde_json::json;

use crate::support::{Company, PASSWORD, Place, register, shared, text};

#[test]
fn the_policies_are_checked_and_listed() {
    let place = Place::new();
    let checked = place.run(&["policy", "check"]).ok();
    assert!(checked.stdout.contains("ok"), "{checked:?}");
    let good = place.path("good.cedar");
    let forbids =
        "@id(\"nobody voids\") forbid (principal, action == Action::\"voidInvoice\", resource);";
    std::fs::write(&good, forbids).unwrap();
    place.run(&["policy", "check", good.to_str().unwrap()]).ok();
    for bad in [
        "forbid (principal, action == Action::\"noSuchThing\", resource);",
        "permit (principal, action, resource);",
        "forbid (",
    ] {
        let file = place.path("bad.cedar");
        std::fs::write(&file, bad).unwrap();
        let refused = place
            .run(&["policy", "check", file.to_str().unwrap()])
            .exits(4);
        assert!(refused.stdout.contains("PROBLEM"), "{refused:?}");
    }
    let listed = place.run(&["policy", "list", "--json"]).ok().json();
    let names: Vec<_> = listed["policies"].as_array().unwrap().iter().collect();
    let found = names
        .iter()
        .any(|one| one["name"] == "only drafts are changed");
    assert!(found, "{listed}");
    // only looking makes nothing
    assert!(!place.data().exists());
}

#[tokio::test]
async fn a_decision_is_explained_by_the_statement_that_made_it() {
    let company = Company::begin(&shared()).await;
    let place = company.server().place();
    let (bookkeeper, viewer) = (
        company.hire("bookkeeper").await,
        company.hire("viewer").await,
    );
    let draft = company.draft("draft").await;
    let sent = company.sent("sent").await;
    let ask = |who: &str, action: &str, invoice: &str| {
        place.run(&[
            "policy",
            "explain",
            "--tenant",
            &company.code,
            "--as",
            who,
            action,
            "Invoice",
            invoice,
        ])
    };
    let told = ask(&bookkeeper.email, "sendInvoice", &draft).ok();
    assert!(
        told.stdout.contains("bookkeepers keep the books"),
        "{told:?}"
    );
    let told = ask(&bookkeeper.email, "updateInvoice", &sent).exits(4);
    assert!(told.stdout.contains("only drafts are changed"), "{told:?}");
    let told = ask(&viewer.email, "readInvoice", &draft).exits(4);
    assert!(
        told.stdout.contains("a viewer sees no drafts of others"),
        "{told:?}"
    );
    let told = ask(&bookkeeper.email, "voidInvoice", &sent).exits(4);
    assert!(told.stdout.contains("no policy permits it"), "{told:?}");
    let told = ask(&company.owner.email, "voidInvoice", &sent).ok();
    assert!(told.stdout.contains("the owner voids"), "{told:?}");
    place.run(&["tenant", "plan", &company.code, "trial"]).ok();
    let told = ask(&company.owner.email, "sendInvoice", &draft).exits(4);
    assert!(
        told.stdout.contains("on the trial plan nobody sends"),
        "{told:?}"
    );
    let stranger = register(company.server(), "stranger").await;
    ask(&stranger.email, "sendInvoice", &draft).refuses(1);
}

#[tokio::test]
async fn a_company_is_made_for_an_owner_outside() {
    let place = Place::new();
    let create = [
        "tenant",
        "create",
        "initech",
        "--name",
        "Initech",
        "--owner-email",
        "bill@example.com",
        "--owner-password-stdin",
    ];
    place.run_with_input(&create, PASSWORD).ok();
    let server = place.serve();
    let login = json!({ "email": "bill@example.com", "password": PASSWORD });
    let login = server.central().post("/api/auth/login", login).await;
    let token = text(&login.is(200).json()["token"]);
    let company = server.tenant("initech").bearer(&token);
    let shown = company.get("/api/company").await.is(200).json();
    assert_eq!(shown["role"], "owner");
}

#[tokio::test]
async fn the_demonstration_shows_two_companies() {
    let place = Place::new();
    let told = place.run(&["demo"]).ok();
    assert!(told.stdout.contains("/c/acme"), "{told:?}");
    let server = place.serve();
    let mut seen = Vec::new();
    for who in ["owner", "accountant", "viewer"] {
        let login = json!({ "email": format!("{who}@example.com"), "password": PASSWORD });
        let login = server.central().post("/api/auth/login", login).await;
        let token = text(&login.is(200).json()["token"]);
        let me = server
            .central()
            .bearer(&token)
            .get("/api/auth/me")
            .await
            .is(200)
            .json();
        let companies = me["companies"].as_array().unwrap();
        seen.push(
            companies
                .iter()
                .map(|one| text(&one["role"]))
                .collect::<Vec<_>>(),
        );
        for code in ["acme", "globex"] {
            let invoices = server
                .tenant(code)
                .bearer(&token)
                .get("/api/invoices?limit=200")
                .await;
            let states = invoices.each("state");
            for state in ["sent", "paid", "void"] {
                assert!(states.iter().any(|one| one == state), "{who}: {states:?}");
            }
            let drafts = states.iter().filter(|one| *one == "draft").count();
            assert_eq!(drafts, if who == "viewer" { 0 } else { 3 });
        }
    }
    assert_eq!(seen, [["owner"; 2], ["bookkeeper"; 2], ["viewer"; 2]]);
}

#[test]
fn a_companys_mail_is_set_as_any_tenants() {
    let place = Place::new();
    place
        .run(&["tenant", "create", "acme", "--name", "Acme"])
        .ok();
    let settings = ["tenant", "settings", "acme"];
    let reply_to = [&settings[..], &["set", "mail.reply_to"]].concat();
    place
        .run(&[&reply_to[..], &["books@acme.example"]].concat())
        .ok();
    place.run(&[&reply_to[..], &["nobody"]].concat()).refuses(2);
    let server = [&settings[..], &["set", "mail.smtp_url", "--stdin"]].concat();
    place
        .run_with_input(&server, "smtps://post:hunter2@mail.example.com")
        .ok();
    let told = place.run(&[&settings[..], &["--json"]].concat()).ok();
    assert!(!told.stdout.contains("hunter2"), "{told:?}");
    let told = told.json();
    assert_eq!(told["mail"]["fields"]["reply_to"], "books@acme.example");
    assert_eq!(
        told["mail"]["fields"]["smtp_url"],
        json!({ "$secret": true })
    );
    let shown = place.run(&["tenant", "show", "acme", "--json"]).ok().json();
    assert_eq!(shown["real"]["settings"], json!(["mail"]));
}
