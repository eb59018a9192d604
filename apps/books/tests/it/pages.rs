//! The pages, as a browser without scripts asks for them.

use serde_json::json;

use crate::support::{
    Answer, Client, Company, PASSWORD, Person, link_mailed, register, shared, unique,
};

/// What an answer keeps in the browser.
#[track_caller]
fn session_in(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").expect(&answer.asked);
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let session = cookie
        .strip_prefix("account=")
        .and_then(|rest| rest.split(';').next());
    session.expect(cookie).to_owned()
}

/// Has the owner fill in the form.
async fn try_to_sign_in(company: &Company, password: &str, next: &str) -> Answer {
    let browser = company.server().central().browser();
    let fields = [
        ("email", &*company.owner.email),
        ("password", password),
        ("next", next),
    ];
    browser.form("/sign-in", &fields).await
}

/// Signs somebody in by the form.
async fn sign_in(company: &Company, person: &Person) -> Client {
    let browser = company.server().central().browser();
    let fields = [
        ("email", &*person.email),
        ("password", PASSWORD),
        ("next", ""),
    ];
    let answer = browser.form("/sign-in", &fields).await;
    answer.redirects_to("/companies");
    browser.account_cookie(&session_in(&answer))
}

#[tokio::test]
async fn somebody_new_begins_a_company() {
    let server = shared();
    let browser = server.central().browser();
    let front = browser.get("/").await.page(200);
    assert!(
        front.contains("/register") && front.contains("/sign-in"),
        "{front}"
    );
    let email = format!("{}@example.com", unique("new"));
    let short = [
        ("email", &*email),
        ("password", "short"),
        ("first_name", "Nia"),
    ];
    let refused = browser.form("/register", &short).await;
    assert!(refused.header("set-cookie").is_none());
    let page = refused.page(422);
    assert!(page.contains("aria-invalid") && page.contains(&email) && !page.contains("short\""));
    let good = [
        ("email", &*email),
        ("password", PASSWORD),
        ("first_name", "Nia"),
    ];
    let made = browser.form("/register", &good).await;
    made.redirects_to("/companies");
    let browser = browser.account_cookie(&session_in(&made));
    let companies = browser.get("/companies").await.page(200);
    assert!(companies.contains("Hello Nia") && companies.contains("member of no company"));
    let code = unique("new-one");
    let company = [("name", "Nia & Co <b>"), ("code", &*code)];
    let made = browser.form("/companies", &company).await;
    made.redirects_to(&format!("/c/{code}/invoices"));
    let taken = browser.form("/companies", &company).await.page(409);
    assert!(taken.contains("Nia &#38; Co &#60;b&#62;"), "{taken}");
    let home = browser.get(&format!("/c/{code}")).await;
    home.redirects_to(&format!("/c/{code}/invoices"));
    let invoices = browser.get(&format!("/c/{code}/invoices")).await.page(200);
    assert!(invoices.contains("There are no invoices"), "{invoices}");
    assert!(!invoices.contains("<b>"), "{invoices}");
}

#[tokio::test]
async fn who_is_not_signed_in_does_that_first_and_comes_back() {
    let company = Company::shared().await;
    let browser = company.server().central().browser();
    let place = company.page("/invoices?state=sent");
    let away = browser.get(&place).await;
    let sign_in = format!("/sign-in?next=/c/{}/invoices%3Fstate%3Dsent", company.code);
    away.redirects_to(&sign_in);
    let page = browser.get(&sign_in).await.page(200);
    assert!(page.contains(&format!("value=\"{place}\"")), "{page}");
    let wrong = try_to_sign_in(&company, "something else", &place).await;
    assert!(wrong.header("set-cookie").is_none());
    assert!(wrong.page(401).contains("role=\"alert\""));
    try_to_sign_in(&company, PASSWORD, &place)
        .await
        .redirects_to(&place);
    for foreign in ["https://example.com", "//example.com", "/\\example.com"] {
        try_to_sign_in(&company, PASSWORD, foreign)
            .await
            .redirects_to("/companies");
    }
}

#[tokio::test]
async fn who_signs_out_is_out() {
    let company = Company::shared().await;
    let browser = sign_in(&company, &company.owner).await;
    let place = company.page("/invoices");
    browser.get(&place).await.page(200);
    let out = browser.form("/sign-out", &[]).await;
    out.redirects_to("/");
    assert_eq!(session_in(&out), "");
    // whatever the browser still shows
    let after = browser.get(&place).await;
    assert_eq!(
        (
            after.status,
            after.header("location").unwrap().starts_with("/sign-in")
        ),
        (303, true)
    );
    let posted = browser
        .form(&company.page("/customers"), &[("name", "x")])
        .await;
    posted.redirects_to("/sign-in");
}

#[tokio::test]
async fn nothing_is_done_from_another_sites_page() {
    let company = Company::shared().await;
    let browser = sign_in(&company, &company.owner).await;
    let place = company.page("/customers");
    let fields = [("name", "Forged")];
    let own = format!("http://localhost:{}", company.server().port());
    for (header, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "http://evil.example"),
    ] {
        let forged = browser.with(header, value).form(&place, &fields).await;
        forged.problem(403, "cross-origin");
    }
    let list = company.as_owner().get("/api/customers").await;
    assert!(list.ids().is_empty(), "{}", list.text());
    let right = browser
        .with("sec-fetch-site", "same-origin")
        .with("origin", &own);
    right.form(&place, &fields).await.redirects_to(&place);
    assert_eq!(
        company.as_owner().get("/api/customers").await.each("name"),
        ["Forged"]
    );
}

#[tokio::test]
async fn an_invoice_is_written_sent_paid_and_printed() {
    let company = Company::shared().await;
    let browser = sign_in(&company, &company.owner).await;
    let customer = company.customer("Harbour <Café>").await;
    let blank = browser.get(&company.page("/invoices/new")).await.page(200);
    assert!(blank.contains("Harbour &#60;Café&#62;"), "{blank}");
    let draft = [
        ("customer_id", &*customer),
        ("issued_on", "2026-02-01"),
        ("due_on", "2026-02-15"),
        ("currency", "EUR"),
        ("note", "Thank you"),
    ];
    let mut wrong = draft;
    wrong[2].1 = "2026-01-01";
    let page = browser
        .form(&company.page("/invoices"), &wrong)
        .await
        .page(422);
    assert!(
        page.contains("must not be before") && page.contains("Thank you"),
        "{page}"
    );
    let made = browser.form(&company.page("/invoices"), &draft).await;
    let edit = made.header("location").unwrap().to_owned();
    made.redirects_to(&edit);
    let invoice = edit.strip_suffix("/edit").unwrap().to_owned();
    browser.get(&edit).await.page(200);

    let lines = format!("{invoice}/lines");
    let line = |quantity| {
        [
            ("text", "Oak shelf"),
            ("quantity", quantity),
            ("unit_price", "185.00"),
        ]
    };
    let page = browser.form(&lines, &line("two")).await.page(422);
    assert!(
        page.contains("quantity") && page.contains("cannot be read"),
        "{page}"
    );
    browser.form(&lines, &line("2")).await.redirects_to(&edit);
    let page = browser.get(&edit).await.page(200);
    assert!(page.contains("370.00 EUR"), "{page}");
    let shown = browser.get(&invoice).await.page(200);
    assert!(
        shown.contains(">Send<") && !shown.contains(">Void<"),
        "{shown}"
    );

    browser
        .form(&format!("{invoice}/send"), &[])
        .await
        .redirects_to(&invoice);
    let sent = browser.get(&invoice).await.page(200);
    assert!(
        sent.contains("Invoice 1") && sent.contains(">Void<"),
        "{sent}"
    );
    assert!(
        !sent.contains(">Send<") && !sent.contains(">Edit<"),
        "{sent}"
    );
    browser.get(&edit).await.page(403);

    let payments = format!("{invoice}/payments");
    let pay = |amount| [("amount", amount), ("paid_on", "2026-02-03"), ("note", "")];
    let page = browser.form(&payments, &pay("1000")).await.page(422);
    assert!(page.contains("at most what is owed: 370.00"), "{page}");
    browser
        .form(&payments, &pay("370"))
        .await
        .redirects_to(&invoice);
    let paid = browser.get(&invoice).await.page(200);
    assert!(
        paid.contains(">paid<") && !paid.contains("Record payment"),
        "{paid}"
    );
    let print = browser.get(&format!("{invoice}/print")).await.page(200);
    assert!(
        print.contains("Paid in full") && print.contains("370.00 EUR"),
        "{print}"
    );
    let list = browser
        .get(&company.page("/invoices?state=paid"))
        .await
        .page(200);
    assert!(list.contains("Harbour &#60;Café&#62;"), "{list}");
    let none = browser
        .get(&company.page("/invoices?state=draft"))
        .await
        .page(200);
    assert!(!none.contains("Harbour"), "{none}");
}

#[tokio::test]
async fn a_long_invoice_is_shown_to_its_end() {
    let company = Company::shared().await;
    let draft = company.draft("long").await;
    let line = |number| {
        json!({
            "position": number, "text": format!("item-{number}-here"), "quantity": "1",
            "unit_price": "1.00",
        })
    };
    let lines: Vec<_> = (0..230).map(line).collect();
    let path = format!("/api/invoices/{draft}/lines");
    company.as_owner().post(&path, lines.into()).await.is(201);
    let path = company.page(&format!("/invoices/{draft}/print"));
    let print = company.browser(&company.owner).get(&path).await.page(200);
    for number in [0, 199, 200, 229] {
        assert!(print.contains(&format!("item-{number}-here")), "{number}");
    }
    assert!(print.contains("230.00 EUR"));
}

#[tokio::test]
async fn members_see_what_they_may_do_and_no_more() {
    let company = Company::shared().await;
    let sent = company.sent("sent").await;
    let invoice = company.page(&format!("/invoices/{sent}"));
    for (role, pays, voids, invites, adds) in [
        ("viewer", false, false, false, false),
        ("bookkeeper", true, false, false, false),
        ("admin", true, false, true, true),
    ] {
        let member = company.hire(role).await;
        let browser = company.browser(&member);
        let page = browser.get(&invoice).await.page(200);
        assert_eq!(page.contains("Record payment"), pays, "{role}");
        assert_eq!(page.contains(">Void<"), voids, "{role}");
        let members = browser.get(&company.page("/members")).await.page(200);
        assert_eq!(members.contains("Invite somebody"), invites, "{role}");
        assert!(
            !members.contains("Make owner") && members.contains("Leave"),
            "{role}"
        );
        let customers = browser.get(&company.page("/customers")).await.page(200);
        assert!(
            customers.contains("/customers\" aria-current=\"true\""),
            "{customers}"
        );
        assert_eq!(customers.contains("/customers/new"), adds, "{role}");
        let blank = browser.get(&company.page("/customers/new")).await;
        blank.page(if adds { 200 } else { 403 });
    }
    let owner = company.browser(&company.owner);
    assert!(owner.get(&invoice).await.page(200).contains(">Void<"));
    let members = owner.get(&company.page("/members")).await.page(200);
    assert!(members.contains("Make owner") && !members.contains(">Leave"));
}

#[tokio::test]
async fn somebody_invited_joins_by_the_page() {
    let company = Company::shared().await;
    let email = format!("{}@example.com", unique("nia"));
    let owner = company.browser(&company.owner);
    let fields = [("email", &*email), ("role", "bookkeeper")];
    let invited = owner.form(&company.page("/invitations"), &fields).await;
    invited.redirects_to(&company.page("/members"));
    let link = link_mailed(company.server(), &company.id, &email).await;
    let visitor = company.server().central().browser();
    let place = company.page(&format!("/invitation?link={link}"));
    let page = visitor.get(&place).await.page(200);
    assert!(
        page.contains(&email) && page.contains("bookkeeper"),
        "{page}"
    );
    // somebody else who is signed in is told whom it is for
    let other = register(company.server(), "other").await;
    let page = company.browser(&other).get(&place).await.page(200);
    assert!(page.contains("You are signed in as"), "{page}");
    let new = [
        ("link", &*link),
        ("first_name", "Nia"),
        ("last_name", ""),
        ("password", PASSWORD),
    ];
    let joined = visitor.form(&company.page("/invitation"), &new).await;
    joined.redirects_to(&company.page("/invoices"));
    let browser = visitor.account_cookie(&session_in(&joined));
    browser.get(&company.page("/invoices")).await.page(200);
    visitor.get(&place).await.page(404);
}

#[tokio::test]
async fn a_forgotten_password_is_set_by_the_page() {
    let company = Company::shared().await;
    let email = &company.owner.email;
    let browser = company.server().central().browser();
    browser.get("/forgotten").await.page(200);
    let asked = browser.form("/forgotten", &[("email", email)]).await;
    let page = asked.page(202);
    assert!(page.contains("Look into your mail"), "{page}");
    browser
        .form("/forgotten", &[("email", "none")])
        .await
        .page(422);
    let link = link_mailed(company.server(), "central", email).await;
    let place = format!("/new-password?link={link}");
    assert!(browser.get(&place).await.page(200).contains(&**email));
    let set = |password| [("link", &*link), ("password", password)];
    browser.form("/new-password", &set("short")).await.page(422);
    let new = "quite another one";
    browser
        .form("/new-password", &set(new))
        .await
        .redirects_to("/sign-in");
    assert!(browser.get(&place).await.page(401).contains("no longer"));
    let fields = [("email", &**email), ("password", new)];
    browser
        .form("/sign-in", &fields)
        .await
        .redirects_to("/companies");
}
