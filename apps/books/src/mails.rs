//! What people are written, by mail.

use tenantry::{Tenancy, Tenant, routing::Site, scoped::mail::Message, users::IssuedLink};

/// Mails an invitation to the address that it is for, in the background.
pub(crate) fn invitation(tenancy: &Tenancy, tenant: &Tenant, site: &Site, link: IssuedLink) {
    let company = tenant.name();
    let url = site.url(tenant, &format!("/invitation?link={}", link.secret));
    let subject = format!("Keep the books of {company}");
    let text = format!(
        "You were asked to join {company}. This is where you do; the link is good for a week, \
         once:\n\n{url}\n\nIf you did not expect this, there is nothing that you have to do.\n"
    );
    tenancy
        .mail(tenant)
        .post(Message::new(link.email, subject, text));
}

/// Mails a link for a new password to the address of an account, in the background.
pub(crate) fn new_password(tenancy: &Tenancy, site: &Site, link: IssuedLink) {
    let url = format!("{}/new-password?link={}", site.central_url(), link.secret);
    let text = format!(
        "Somebody, probably you, asked for a new password. This is where you set it; the link is \
         good for an hour, once:\n\n{url}\n\nIf you did not expect this, there is nothing that \
         you have to do.\n"
    );
    let message = Message::new(link.email, "A new password", text);
    tenancy.accounts().mail("Books").post(message);
}
