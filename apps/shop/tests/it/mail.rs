//! Mail as shops send it: by the deployment's server or their own, with their own words.

use serde_json::json;
use tenantry::testing::{Received, SmtpSink};

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
