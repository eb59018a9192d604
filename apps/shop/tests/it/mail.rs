//! Mail as shops send it: by the deployment's server or their own, with their own words.

use serde_json::json;
use tenantry::testing::{Received, SelfSigned, SmtpRules, SmtpSink};

use crate::support::{A_SECOND, Place, Server, Setup, Shop, link_in_mail, mail_with, until};

/// The first mail to that address.
async fn arrived(sink: &SmtpSink, to: &str) -> Received {
    let find = || sink.received().into_iter().find(|mail| mail.to == [to]);
    until(A_SECOND * 10, "the mail arrives", || async {
        find().is_some()
    })
    .await;
    find().unwrap()
}

async fn invite(shop: &Shop, email: &str) {
    let invitation = json!({ "email": email, "role": "staff" });
    let made = shop.as_owner().post("/api/invitations", invitation).await;
    made.is(201);
}

#[tokio::test]
async fn a_shops_mail_goes_by_its_own_server_or_the_deployments() {
    let place = Place::new();
    let (central, own) = (SmtpSink::start(), SmtpSink::start());
    let url = central.url();
    let environment = [("SHOP_SMTP_URL", url.as_str()), ("SHOP_TENANT_SMTP", "any")];
    let server = Server::start(&place, &environment);
    let acme = Shop::open(&server).await;
    let globex = Shop::open(&server).await;
    let welcome = arrived(&central, "owner@example.com").await;
    assert!(
        welcome.data.contains("Subject: Welcome to Shop"),
        "{}",
        welcome.data
    );

    let set = ["tenant", "settings", &acme.code, "set", "mail.smtp_url"];
    let refused = place.run(&[&set[..], &[&own.url()]].concat()).refuses(2);
    assert!(refused.stderr.contains("--stdin"), "{}", refused.stderr);
    place
        .run_with_input(&[&set[..], &["--stdin"]].concat(), &own.url())
        .ok();
    let patch = json!({ "from_address": "shop@acme.example", "reply_to": "ask@acme.example" });
    let owner = acme.as_owner();
    let changed = owner
        .patch("/api/settings/mail", patch)
        .await
        .is(200)
        .json();
    assert_eq!(changed["fields"]["smtp_url"], json!({ "$secret": true }));
    // who sends back what is shown changes nothing
    let fields = changed["fields"].clone();
    owner.patch("/api/settings/mail", fields).await.is(200);

    invite(&acme, "ann@example.com").await;
    invite(&globex, "bob@example.com").await;
    let ours = arrived(&own, "ann@example.com").await;
    assert_eq!(ours.from, "shop@acme.example");
    assert!(
        ours.data.contains("Reply-To: ask@acme.example"),
        "{}",
        ours.data
    );
    assert!(ours.data.contains("/invitation?link=tnl_"), "{}", ours.data);
    let theirs = arrived(&central, "bob@example.com").await;
    assert_eq!(theirs.from, "no-reply@localhost");
    assert!(
        central
            .received()
            .iter()
            .all(|mail| mail.to != ["ann@example.com"])
    );
    assert!(
        own.received()
            .iter()
            .all(|mail| mail.to != ["bob@example.com"])
    );

    let bad = json!({ "smtp_url": "smtp://u:hunter2@h?tls=none", "reply_to": "nobody" });
    let refused = owner.patch("/api/settings/mail", bad).await;
    assert!(!refused.text().contains("hunter2"), "{}", refused.text());
    refused.invalid(&["reply_to", "smtp_url"]);
    // nothing was written besides
    assert_eq!(place.files_in("mail"), [""; 0]);
}

#[tokio::test]
async fn mail_goes_over_tls_to_who_is_known_and_knows_the_password() {
    let (trusted, stranger) = (
        SelfSigned::new("IP:127.0.0.1"),
        SelfSigned::new("IP:127.0.0.1"),
    );
    let plain = |signed, begins| {
        let rules = SmtpRules::default().tls(signed, begins);
        SmtpSink::with(rules.login("PLAIN", "post", "p:w/d"))
    };
    let central = plain(&trusted, true);
    let by_login = SmtpRules::default().tls(&trusted, false);
    let by_login = SmtpSink::with(by_login.login("LOGIN", "acme@x", "hunter2"));
    let unknown = plain(&stranger, true);
    let unknown_later = plain(&stranger, false);
    let other_name = SelfSigned::new("DNS:mail.example.com");
    let in_clear = SmtpSink::with(SmtpRules::default().login("PLAIN", "post", "p:w/d"));

    let place = Place::new();
    let url = central.secured_url("post:p%3Aw%2Fd");
    let certificate = trusted.certificate.to_str().unwrap();
    let server = Server::start(
        &place,
        &[
            ("SHOP_SMTP_URL", url.as_str()),
            ("SHOP_TENANT_SMTP", "any"),
            ("SSL_CERT_FILE", certificate),
        ],
    );
    let shop = Shop::open(&server).await;
    invite(&shop, "ann@example.com").await;
    let mail = arrived(&central, "ann@example.com").await;
    assert_eq!(
        (mail.is_secured, mail.user.as_deref()),
        (true, Some("post"))
    );

    let use_server = async |url: String| {
        let patch = json!({ "smtp_url": url, "from_address": "shop@acme.example" });
        let owner = shop.as_owner();
        owner.patch("/api/settings/mail", patch).await.is(200);
    };
    use_server(by_login.secured_url("acme%40x:hunter2")).await;
    invite(&shop, "bob@example.com").await;
    let mail = arrived(&by_login, "bob@example.com").await;
    assert_eq!(
        (mail.is_secured, mail.user.as_deref()),
        (true, Some("acme@x"))
    );

    let named_other = plain(&other_name, true);
    let login = "post:p%3Aw%2Fd";
    for (failed, (what, sink, url, logins)) in (1_usize..).zip([
        (
            "a wrong password",
            &by_login,
            by_login.secured_url("acme%40x:hunter3"),
            2,
        ),
        (
            "a certificate of nobody's",
            &unknown,
            unknown.secured_url(login),
            0,
        ),
        (
            "one after STARTTLS",
            &unknown_later,
            unknown_later.secured_url(login),
            0,
        ),
        (
            "one of another name",
            &named_other,
            named_other.secured_url(login),
            0,
        ),
        (
            "no TLS where it is required",
            &in_clear,
            in_clear.secured_url(login),
            0,
        ),
    ]) {
        let before = sink.received();
        use_server(url).await;
        invite(&shop, &format!("cas{failed}@example.com")).await;
        until(A_SECOND * 10, what, || async {
            server.stderr().matches("mail was not sent").count() == failed
        })
        .await;
        assert_eq!(sink.received(), before, "{what}");
        // whoever is not known is told no password
        assert_eq!(sink.logins(), logins, "{what}");
    }
    let told = server.stderr();
    assert!(!told.contains("hunter") && !told.contains("p:w"), "{told}");
    // and nobody else sends it instead
    assert!(
        central
            .received()
            .iter()
            .all(|mail| !mail.to[0].starts_with("cas"))
    );
    assert_eq!(place.files_in("mail"), [""; 0]);
}

#[tokio::test]
async fn a_shop_has_its_own_words() {
    let shop = Shop::shared().await;
    let owner = shop.as_owner();
    let own = json!({ "texts": { "invitation": {
        "subject": "Come to {{ shop }}!", "text": "Here: {{ url }}\n",
    } } });
    owner.patch("/api/settings/mail-texts", own).await.is(200);
    invite(&shop, "ann@example.com").await;
    let id = mail_with(&shop, "ann@example.com").await;
    let page = shop
        .by_host()
        .browser()
        .get(&format!("/dev/mail/{id}"))
        .await
        .page(200);
    assert!(
        page.contains("Come to Shop") && page.contains("Here: http"),
        "{page}"
    );
    let listed = shop.by_host().browser().get("/dev/mail").await.page(200);
    assert!(
        listed.contains("Come to Shop") && listed.contains("ann@example.com"),
        "{listed}"
    );
    // another shop has the application's, and sees nothing of it
    let other = Shop::open(shop.server()).await;
    invite(&other, "bob@example.com").await;
    let theirs = mail_with(&other, "bob@example.com").await;
    let page = other
        .by_host()
        .browser()
        .get(&format!("/dev/mail/{theirs}"))
        .await
        .page(200);
    assert!(page.contains("You were asked to join."), "{page}");
    let foreign = other
        .by_host()
        .browser()
        .get(&format!("/dev/mail/{id}"))
        .await;
    assert!(!foreign.page(404).contains("Come to"), "{}", foreign.text());
    let listed = other.by_host().browser().get("/dev/mail").await.page(200);
    assert!(!listed.contains("ann@example.com"), "{listed}");

    for (bad, part) in [
        ("{{ nobody }}", "texts.invitation.text"),
        ("{% include 'x' %}", "texts.invitation.text"),
        ("{{ url", "texts.invitation.text"),
    ] {
        let bad = json!({ "texts": { "invitation": { "text": bad } } });
        let refused = owner.patch("/api/settings/mail-texts", bad).await;
        refused.invalid(&[part]);
    }
    let unknown = json!({ "texts": { "none": { "text": "x" } } });
    let refused = owner.patch("/api/settings/mail-texts", unknown).await;
    refused.invalid(&["texts.none"]);
    // what was refused changed nothing
    invite(&shop, "cas@example.com").await;
    assert!(!link_in_mail(&shop, "cas@example.com").await.is_empty());
}

#[tokio::test]
async fn in_production_nobody_reads_what_was_mailed() {
    let place = Place::of(Setup {
        profile: Some("production"),
        ..Setup::default()
    });
    place.run(&["migrate", "--all"]).ok();
    let server = place.serve();
    let shop = Shop::open(&server).await;
    invite(&shop, "ann@example.com").await;
    let id = mail_with(&shop, "ann@example.com").await;
    for path in ["/dev/mail".to_owned(), format!("/dev/mail/{id}")] {
        shop.visitor().get(&path).await.problem(404, "not-found");
        server.central().get(&path).await.problem(404, "not-found");
    }
}
