//! Mail: in whose name it is written, by whose server it goes, and who can read what was written.

use super::{Place, list};
use crate::{
    Config, Tenant,
    scoped::mail::{MailError, MailSettings, Message, SmtpMailer, TenantSmtp},
    testing::SmtpSink,
};

list! { "mail":
    without_a_server_it_goes_the_deployments_way, each_tenants_server_gets_its_own_alone,
    one_that_fails_is_made_up_for_by_no_other, what_cannot_be_read_is_not_sent,
    a_server_that_is_not_on_the_internet_is_not_spoken_to, in_development_servers_are_ignored,
    nothing_is_smuggled_into_the_envelope, a_clone_has_no_server,
    what_was_written_is_read_by_its_tenant_alone,
}

fn with(config: Config, allowed: TenantSmtp) -> Config {
    config.settings::<MailSettings>().tenant_smtp(allowed)
}

async fn opened(mut place: Place, allowed: TenantSmtp) -> Place {
    let config = with(place.config(), allowed);
    place.reopen_as(config).await;
    place
}

fn hello() -> Message {
    Message::new("bob@example.com", "Hello", "A text\n.\nwith a dot")
}

async fn send(place: &Place, tenant: &Tenant) -> Result<(), MailError> {
    place.tenancy().mail(tenant).send(hello()).await
}

async fn say(place: &Place, tenant: &Tenant, change: impl Fn(&mut MailSettings)) {
    let settings = place.tenancy().settings(tenant);
    settings.change(change).await.unwrap();
}

async fn with_server(place: &Place, code: &str, sink: &SmtpSink) -> Tenant {
    let tenant = place.tenant(code).await;
    say(place, &tenant, |mail| {
        mail.smtp_url = Some(sink.url().into());
        mail.from_address = Some(format!("{code}@{code}.example"));
    })
    .await;
    tenant
}

/// What was written to files for a tenant.
fn written(place: &Place, tenant: &Tenant) -> Vec<String> {
    let folder = place.folder().join("mail").join(tenant.id().to_string());
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .map(|file| std::fs::read_to_string(file.path()).unwrap())
        .collect()
}

async fn without_a_server_it_goes_the_deployments_way(place: Place) {
    let mut place = opened(place, TenantSmtp::Any).await;
    let acme = place.tenant("acme").await;
    say(&place, &acme, |mail| {
        mail.from_name = Some("The Acme".into());
        mail.reply_to = Some("ask@acme.example".into());
    })
    .await;
    send(&place, &acme).await.unwrap();
    let files = written(&place, &acme);
    assert_eq!(files.len(), 1);
    for expected in [
        "From: \"The Acme\" <no-reply@localhost>\r\n",
        "Reply-To: ask@acme.example\r\n",
        "To: bob@example.com\r\n",
    ] {
        assert!(files[0].contains(expected), "{expected}: {}", files[0]);
    }
    // nobody writes from any address by the deployment's server
    say(&place, &acme, |mail| {
        mail.from_address = Some("boss@bank.example".into());
    })
    .await;
    let sink = SmtpSink::start();
    let mailer = SmtpMailer::new(sink.url().parse().unwrap());
    let config = with(place.config(), TenantSmtp::Any).mailer(mailer);
    place.reopen_as(config).await;
    send(&place, &acme).await.unwrap();
    let received = sink.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].from, "no-reply@localhost");
    assert_eq!(received[0].to, ["bob@example.com"]);
    let data = &received[0].data;
    assert!(data.contains("A text\r\n.\r\nwith a dot"), "{data}");
    assert_eq!(written(&place, &acme).len(), 1, "it is not written besides");
}

async fn each_tenants_server_gets_its_own_alone(place: Place) {
    let place = opened(place, TenantSmtp::Any).await;
    let (ours, theirs) = (SmtpSink::start(), SmtpSink::start());
    let acme = with_server(&place, "acme", &ours).await;
    let globex = with_server(&place, "globex", &theirs).await;
    let none = place.tenant("none").await;
    for tenant in [&acme, &globex, &acme, &none] {
        send(&place, tenant).await.unwrap();
    }
    let froms = |sink: &SmtpSink| -> Vec<String> {
        sink.received().into_iter().map(|one| one.from).collect()
    };
    assert_eq!(froms(&ours), ["acme@acme.example", "acme@acme.example"]);
    assert_eq!(froms(&theirs), ["globex@globex.example"]);
    assert!(written(&place, &acme).is_empty() && written(&place, &globex).is_empty());
    assert_eq!(written(&place, &none).len(), 1);
}

async fn one_that_fails_is_made_up_for_by_no_other(place: Place) {
    let place = opened(place, TenantSmtp::Any).await;
    let (ours, theirs) = (SmtpSink::start(), SmtpSink::start());
    let acme = with_server(&place, "acme", &ours).await;
    let globex = with_server(&place, "globex", &theirs).await;
    ours.refuse(true);
    let failed = send(&place, &acme).await;
    assert!(matches!(failed, Err(MailError::Transport(_))), "{failed:?}");
    drop(ours);
    let failed = send(&place, &acme).await;
    assert!(matches!(failed, Err(MailError::Transport(_))), "{failed:?}");
    assert!(written(&place, &acme).is_empty() && theirs.received().is_empty());
    send(&place, &globex).await.unwrap();
    assert_eq!(theirs.received().len(), 1);
}

async fn what_cannot_be_read_is_not_sent(place: Place) {
    let place = opened(place, TenantSmtp::Any).await;
    let sink = SmtpSink::start();
    let acme = with_server(&place, "acme", &sink).await;
    std::fs::write(place.folder().join("keys"), "").unwrap();
    let place = {
        let mut place = place;
        let config = with(place.config(), TenantSmtp::Any);
        place.reopen_as(config).await;
        place
    };
    let failed = send(&place, &acme).await;
    assert!(matches!(failed, Err(MailError::Settings(_))), "{failed:?}");
    assert!(sink.received().is_empty() && written(&place, &acme).is_empty());
}

async fn a_server_that_is_not_on_the_internet_is_not_spoken_to(place: Place) {
    let mut place = opened(place, TenantSmtp::Public).await;
    let sink = SmtpSink::start();
    let acme = with_server(&place, "acme", &sink).await;
    for url in [
        sink.url(),
        "smtp://127.0.0.1:25?tls=none".into(),
        "smtp://localhost:25?tls=none".into(),
        "smtp://[::1]:25?tls=none".into(),
        "smtp://[::ffff:127.0.0.1]:587?tls=none".into(),
        "smtps://10.0.0.1".into(),
        "smtps://169.254.169.254:465".into(),
        "smtps://2130706433".into(),
    ] {
        say(&place, &acme, |mail| {
            mail.smtp_url = Some(url.clone().into());
        })
        .await;
        let failed = send(&place, &acme).await.unwrap_err().to_string();
        let is_refused = failed.contains("spoken to") || failed.contains("port");
        assert!(is_refused, "{url}: {failed}");
    }
    assert!(sink.received().is_empty() && written(&place, &acme).is_empty());
    // where that is allowed it is spoken to
    say(&place, &acme, |mail| {
        mail.smtp_url = Some(sink.url().into());
    })
    .await;
    let config = with(place.config(), TenantSmtp::Any);
    place.reopen_as(config).await;
    send(&place, &acme).await.unwrap();
    assert_eq!(sink.received().len(), 1);
}

async fn in_development_servers_are_ignored(place: Place) {
    let place = opened(place, TenantSmtp::Ignored).await;
    let sink = SmtpSink::start();
    let acme = with_server(&place, "acme", &sink).await;
    send(&place, &acme).await.unwrap();
    assert_eq!(
        (sink.received().len(), written(&place, &acme).len()),
        (0, 1)
    );
}

async fn nothing_is_smuggled_into_the_envelope(place: Place) {
    let place = opened(place, TenantSmtp::Any).await;
    let sink = SmtpSink::start();
    let acme = with_server(&place, "acme", &sink).await;
    for to in [
        "bob@example.com>\r\nRCPT TO:<eve@example.com",
        "bob@example.com\r\nBcc: eve@example.com",
        "bob@example.com, eve@example.com",
        "",
    ] {
        let message = Message::new(to, "Hello", "x");
        let refused = place.tenancy().mail(&acme).send(message).await;
        assert!(
            matches!(refused, Err(MailError::Malformed(_))),
            "{to:?}: {refused:?}"
        );
    }
    let message =
        Message::new("bob@example.com", "Hi\r\nBcc: eve@example.com", "x").html("<p>x</p>");
    place.tenancy().mail(&acme).send(message).await.unwrap();
    let received = sink.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].to, ["bob@example.com"]);
    let data = &received[0].data;
    assert!(!data.contains("\nBcc:"), "{data}");
    assert!(
        data.contains("multipart/alternative") && data.contains("<p>x</p>"),
        "{data}"
    );
}

async fn a_clone_has_no_server(place: Place) {
    let place = opened(place, TenantSmtp::Any).await;
    let sink = SmtpSink::start();
    let acme = with_server(&place, "acme", &sink).await;
    say(&place, &acme, |mail| {
        mail.reply_to = Some("ask@acme.example".into());
    })
    .await;
    let clone = place
        .tenancy()
        .clone_tenant(&acme, place.new_tenant("clone"));
    let clone = clone.await.unwrap();
    send(&place, &clone).await.unwrap();
    assert!(sink.received().is_empty());
    let mail = &written(&place, &clone)[0];
    assert!(mail.contains("Reply-To: ask@acme.example"), "{mail}");
    assert!(mail.contains("<no-reply@localhost>"), "{mail}");
    send(&place, &acme).await.unwrap();
    assert_eq!(sink.received().len(), 1);
}

async fn what_was_written_is_read_by_its_tenant_alone(mut place: Place) {
    let acme = place.tenant("acme").await;
    let globex = place.tenant("globex").await;
    send(&place, &acme).await.unwrap();
    assert!(
        place.tenancy().outbox(Some(&acme)).is_none(),
        "only in development"
    );
    let config = place.config().development(true);
    place.reopen_as(config).await;
    let tenancy = place.tenancy();
    let ours = tenancy.outbox(Some(&acme)).unwrap();
    let ids = ours.list(10).await.unwrap();
    assert_eq!(ids.len(), 1);
    let text = String::from_utf8(ours.read(ids[0]).await.unwrap().unwrap()).unwrap();
    assert!(text.contains("To: bob@example.com"), "{text}");
    for other in [tenancy.outbox(Some(&globex)), tenancy.outbox(None)] {
        let other = other.unwrap();
        assert!(other.list(10).await.unwrap().is_empty());
        assert!(other.read(ids[0]).await.unwrap().is_none());
    }
    let config = place.config().development(true);
    let sink = SmtpSink::start();
    let mailer = SmtpMailer::new(sink.url().parse().unwrap());
    place.reopen_as(config.mailer(mailer)).await;
    assert!(
        place.tenancy().outbox(Some(&acme)).is_none(),
        "what is sent is not there"
    );
}
