//! What people are written, by mail.

use tenantry::{
    Tenancy, Tenant,
    routing::Site,
    scoped::mail::Message,
    users::{IssuedLink, Purpose, User},
};

/// Mails a link to the address that it is for, in the background.
pub(crate) fn link(
    tenancy: &Tenancy,
    tenant: &Tenant,
    site: &Site,
    purpose: Purpose,
    link: IssuedLink,
) {
    let shop = tenant.name();
    let (path, subject, what) = match purpose {
        Purpose::ResetPassword => (
            "reset-password",
            format!("A new password for {shop}"),
            "Somebody, probably you, asked for a new password. This is where you set it; the link \
             is good for an hour, once:",
        ),
        Purpose::Invitation => (
            "invitation",
            format!("Join {shop}"),
            "You were asked to join. This is where you do; the link is good for a week, once:",
        ),
        _ => (
            "confirm-email",
            format!("Your e-mail address at {shop}"),
            "This shows that the address is yours; the link is good for a day, once:",
        ),
    };
    let url = site.url(tenant, &format!("/{path}?link={}", link.secret));
    tenancy.mail(tenant).post(Message {
        to: link.email,
        subject,
        text: format!(
            "{what}\n\n{url}\n\nIf you did not expect this, there is nothing that you have to do.\n"
        ),
    });
}

/// Tells somebody that their password or address was changed.
pub(crate) fn notice(tenancy: &Tenancy, tenant: &Tenant, user: &User, to: &str, what: &str) {
    tenancy.mail(tenant).post(Message {
        to: to.to_owned(),
        subject: format!("Your account at {}", tenant.name()),
        text: format!(
            "Hello {},\n\n{what} If that was not you, set a new password at once.\n",
            user.first_name
        ),
    });
}
