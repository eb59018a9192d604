//! Members: joining, leaving, and the one who owns the company.

use serde_json::{Value, json};

use crate::support::{Company, PASSWORD, link_mailed, register, shared, text, unique};

async fn role_of(company: &Company, email: &str) -> Option<String> {
    let members = company.show("/api/members").await;
    let members = members["items"].as_array().unwrap().clone();
    let found = members.iter().find(|member| member["email"] == email)?;
    Some(text(&found["role"]))
}

#[tokio::test]
async fn the_owner_is_protected() {
    let company = Company::shared().await;
    let admin = company.hire("admin").await;
    let owner = format!("/api/members/{}", company.owner.id);
    for client in [company.by(&admin), company.as_owner()] {
        let demoted = client.patch(&owner, json!({ "role": "viewer" })).await;
        demoted.problem(409, "owner");
        client.delete(&owner).await.problem(409, "owner");
        let second = json!({ "role": "owner" });
        let other = format!("/api/members/{}", admin.id);
        client.patch(&other, second).await.problem(409, "owner");
        let invited = json!({ "email": "x@example.com", "role": "owner" });
        client
            .post("/api/invitations", invited)
            .await
            .problem(409, "owner");
    }
    company
        .as_owner()
        .post("/api/leave", json!({}))
        .await
        .problem(409, "owner");
    assert_eq!(
        role_of(&company, &company.owner.email).await.as_deref(),
        Some("owner")
    );
    let unknown = json!({ "role": "king" });
    let path = format!("/api/members/{}", admin.id);
    company
        .as_owner()
        .patch(&path, unknown)
        .await
        .invalid(&["role"]);
}

#[tokio::test]
async fn ownership_is_passed_on_to_a_member() {
    let company = Company::shared().await;
    let stranger = register(company.server(), "stranger").await;
    let heir = company.hire("viewer").await;
    let to = |id: &str| json!({ "to": id });
    let no_member = company
        .as_owner()
        .post("/api/ownership", to(&stranger.id))
        .await;
    no_member.problem(404, "not-found");
    company
        .as_owner()
        .post("/api/ownership", to(&heir.id))
        .await
        .is(204);
    let me = company.by(&heir).get("/api/company").await.is(200).json();
    assert_eq!(me["role"], "owner");
    assert_eq!(company.show("/api/company").await["role"], "admin");
    // who had it has it no more
    let owner = company.as_owner();
    let back = owner.post("/api/ownership", to(&company.owner.id)).await;
    back.problem(403, "forbidden");
    company
        .as_owner()
        .post("/api/leave", json!({}))
        .await
        .is(204);
    let gone = company.as_owner().get("/api/company").await;
    gone.problem(404, "tenant-not-found");
    company.by(&heir).get("/api/company").await.is(200);
}

#[tokio::test]
async fn passed_on_to_two_at_once_it_has_one_owner() {
    let company = Company::shared().await;
    let heirs = [company.hire("admin").await, company.hire("admin").await];
    let pass = |to: &str| {
        let (client, to) = (company.as_owner(), json!({ "to": to }));
        async move { client.post("/api/ownership", to).await.status }
    };
    let (one, other) = tokio::join!(pass(&heirs[0].id), pass(&heirs[1].id));
    assert!([one, other].contains(&204), "{one}, {other}");
    let members = company
        .by(&heirs[0])
        .get("/api/members")
        .await
        .is(200)
        .json();
    let owners = members["items"].as_array().unwrap().iter();
    assert_eq!(owners.filter(|member| member["role"] == "owner").count(), 1);
}

#[tokio::test]
async fn whoever_has_an_account_joins_with_it_and_only_if_asked() {
    let company = Company::shared().await;
    let server = company.server().clone();
    let (asked, other) = (
        register(&server, "asked").await,
        register(&server, "other").await,
    );
    let before = company.by(&asked).get("/api/company").await;
    before.problem(404, "tenant-not-found");
    let link = company
        .invite(&asked.email.to_uppercase().to_lowercase(), "bookkeeper")
        .await;
    let accept = json!({ "link": link });
    // somebody else who has come by the link
    let stolen = company
        .by(&other)
        .post("/api/invitations/accept", accept.clone())
        .await;
    stolen.problem(404, "tenant-not-found");
    company
        .by(&asked)
        .post("/api/invitations/accept", accept.clone())
        .await
        .is(204);
    assert_eq!(
        role_of(&company, &asked.email).await.as_deref(),
        Some("bookkeeper")
    );
    // good once
    let again = company
        .by(&asked)
        .post("/api/invitations/accept", accept)
        .await;
    again.problem(404, "tenant-not-found");
    let mine = server
        .central()
        .bearer(&asked.token)
        .get("/api/companies")
        .await;
    assert_eq!(mine.each("code"), [&*company.code]);
    assert_eq!(mine.each("role"), ["bookkeeper"]);
    let theirs = server
        .central()
        .bearer(&other.token)
        .get("/api/companies")
        .await;
    assert!(theirs.ids().is_empty());
}

#[tokio::test]
async fn somebody_new_makes_an_account_as_they_join() {
    let company = Company::shared().await;
    let email = format!("{}@example.com", unique("new"));
    let link = company.invite(&email, "viewer").await;
    let visitor = company.visitor();
    let accept = |password: Option<&str>| {
        let mut body = json!({ "link": link, "first_name": "Nia" });
        if let Some(password) = password {
            body["password"] = password.into();
        }
        body
    };
    let path = "/api/invitations/accept";
    visitor
        .post(path, accept(None))
        .await
        .invalid(&["password"]);
    visitor
        .post(path, accept(Some("short")))
        .await
        .invalid(&["password"]);
    visitor.post(path, accept(Some(PASSWORD))).await.is(204);
    let login = json!({ "email": email, "password": PASSWORD });
    let login = company
        .server()
        .central()
        .post("/api/auth/login", login)
        .await;
    let token = text(&login.is(200).json()["token"]);
    let me = visitor
        .bearer(&token)
        .get("/api/company")
        .await
        .is(200)
        .json();
    assert_eq!(me["role"], "viewer");
}

#[tokio::test]
async fn an_invitation_is_listed_and_taken_back() {
    let company = Company::shared().await;
    let person = register(company.server(), "late").await;
    let link = company.invite(&person.email, "viewer").await;
    let listed = company.show("/api/invitations").await;
    let items = listed["items"].as_array().unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["email"], Value::from(person.email.as_str()));
    assert!(!listed.to_string().contains(&link));
    let path = format!("/api/invitations/{}", text(&items[0]["id"]));
    company.as_owner().delete(&path).await.is(204);
    company
        .as_owner()
        .delete(&path)
        .await
        .problem(404, "not-found");
    let client = company.by(&person);
    let accept = json!({ "link": link });
    let accepted = client.post("/api/invitations/accept", accept).await;
    accepted.problem(404, "tenant-not-found");
}

#[tokio::test]
async fn a_link_is_good_in_its_company_only() {
    let server = shared();
    let ours = Company::begin(&server).await;
    let theirs = Company::begin(&server).await;
    let person = register(&server, "asked").await;
    let link = json!({ "link": ours.invite(&person.email, "admin").await });
    let wrong = theirs
        .by(&person)
        .post("/api/invitations/accept", link.clone())
        .await;
    wrong.problem(404, "tenant-not-found");
    ours.by(&person)
        .post("/api/invitations/accept", link)
        .await
        .is(204);
    theirs
        .by(&person)
        .get("/api/company")
        .await
        .problem(404, "tenant-not-found");
}

#[tokio::test]
async fn one_account_is_something_else_in_each_company() {
    let server = shared();
    let person = register(&server, "both").await;
    let (one, other) = (Company::begin(&server).await, Company::begin(&server).await);
    one.admit(&person, "admin").await;
    other.admit(&person, "viewer").await;
    let new = json!({ "name": "somebody" });
    one.by(&person)
        .post("/api/customers", new.clone())
        .await
        .is(201);
    other
        .by(&person)
        .post("/api/customers", new)
        .await
        .problem(403, "forbidden");
    assert_eq!(
        link_mailed(&server, &other.id, &person.email).await.len(),
        47
    );
}
