//! What people are written, by mail. The words are in [`texts`](crate::texts).

use tenantry::{
    Tenancy, Tenant,
    routing::Site,
    scoped::mail::Message,
    users::{IssuedLink, Purpose, User},
};

use crate::texts::{OwnTexts, TEXTS, Words};

/// Mails a link to the address that it is for, in the background.
pub(crate) fn link(
    tenancy: &Tenancy,
    tenant: &Tenant,
    site: &Site,
    purpose: Purpose,
    link: IssuedLink,
) {
    let (path, text) = match purpose {
        Purpose::ResetPassword => ("reset-password", "reset"),
        Purpose::Invitation => ("invitation", "invitation"),
        _ => ("confirm-email", "verification"),
    };
    let said = Said {
        url: site.url(tenant, &format!("/{path}?link={}", link.secret)),
        ..Said::default()
    };
    post(tenancy, tenant, text, link.email, said);
}

/// Welcomes somebody who has an account now.
pub(crate) fn welcome(tenancy: &Tenancy, tenant: &Tenant, site: &Site, user: &User) {
    let said = Said {
        url: site.tenant_url(tenant),
        name: user.first_name.clone(),
        ..Said::default()
    };
    post(tenancy, tenant, "welcome", user.email.clone(), said);
}

/// Tells somebody that their password or address was changed.
pub(crate) fn notice(tenancy: &Tenancy, tenant: &Tenant, user: &User, to: &str, what: &str) {
    let said = Said {
        name: user.first_name.clone(),
        what: what.to_owned(),
        ..Said::default()
    };
    post(tenancy, tenant, "notice", to.to_owned(), said);
}

/// What goes into a text besides the shop's name.
#[derive(Debug, Default)]
struct Said {
    url: String,
    name: String,
    what: String,
}

/// In the background, so that how long it takes cannot be told from the answer.
fn post(tenancy: &Tenancy, tenant: &Tenant, text: &'static str, to: String, said: Said) {
    let (tenancy, tenant) = (tenancy.clone(), tenant.clone());
    drop(tokio::spawn(async move {
        let code = tenant.code();
        // a shop's texts that cannot be read are no reason to let somebody wait for theirs
        let own = tenancy.settings(&tenant).get::<OwnTexts>().await;
        let own = own.unwrap_or_else(|error| {
            tracing::warn!(tenant = %code, %error, "the shop's own texts cannot be used");
            OwnTexts::default()
        });
        let words = Words {
            shop: tenant.name(),
            url: &said.url,
            name: &said.name,
            what: &said.what,
        };
        let rendered = match TEXTS.render(text, &own.texts, &words) {
            Ok(rendered) => rendered,
            Err(error) => {
                tracing::error!(tenant = %code, %error, "mail was not written");
                return;
            }
        };
        if let Some(error) = &rendered.broken {
            tracing::warn!(tenant = %code, %error, "the shop's own text cannot be used");
        }
        let mut message = Message::new(to, rendered.subject, rendered.text);
        message.html = rendered.html;
        tenancy.mail(&tenant).post(message);
    }));
}
