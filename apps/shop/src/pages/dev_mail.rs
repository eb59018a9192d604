//! In development: the mail that was written to files instead of being sent. Anywhere else there is
//! nothing here.

use axum::{http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use mailparse::{MailHeaderMap, ParsedMail};
use tenantry::{
    Tenancy, Tenant,
    routing::{Path, Problem, Result},
    scoped::mail::Outbox,
};
use uuid::Uuid;

use super::html;
use crate::views::{DevMail, DevMails};

/// How many are listed.
const MOST: usize = 100;

fn outbox(tenancy: &Tenancy, tenant: Option<&Tenant>) -> Result<Outbox> {
    tenancy.outbox(tenant).ok_or_else(Problem::not_found)
}

pub(crate) async fn list(tenancy: Tenancy, tenant: Option<Tenant>) -> Result<Response> {
    let outbox = outbox(&tenancy, tenant.as_ref())?;
    let failed = |error: std::io::Error| Problem::internal(&error);
    let mut mails = Vec::new();
    for id in outbox.list(MOST).await.map_err(failed)? {
        let bytes = outbox.read(id).await.map_err(failed)?;
        mails.extend(bytes.and_then(|bytes| shown(id, &bytes)));
    }
    let of = tenant.map(|tenant| tenant.name().to_owned());
    html(StatusCode::OK, &DevMails { of, mails })
}

pub(crate) async fn show(
    tenancy: Tenancy,
    tenant: Option<Tenant>,
    Path(id): Path<Uuid>,
) -> Result<Response> {
    let outbox = outbox(&tenancy, tenant.as_ref())?;
    let bytes = outbox.read(id).await;
    let bytes = bytes.map_err(|error| Problem::internal(&error))?;
    let mail = bytes.and_then(|bytes| shown(id, &bytes));
    html(StatusCode::OK, &mail.ok_or_else(Problem::not_found)?)
}

fn shown(id: Uuid, bytes: &[u8]) -> Option<DevMail> {
    let mail = mailparse::parse_mail(bytes).ok()?;
    let header = |name: &str| mail.headers.get_first_value(name).unwrap_or_default();
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    let at: DateTime<Utc> = DateTime::from_timestamp(seconds.try_into().ok()?, nanos)?;
    Some(DevMail {
        id: id.to_string(),
        at: at.format("%-d %B %Y, %H:%M:%S").to_string(),
        from: header("From"),
        to: header("To"),
        subject: header("Subject"),
        text: part(&mail, "text/plain").unwrap_or_default(),
        html: part(&mail, "text/html"),
    })
}

fn part(mail: &ParsedMail<'_>, kind: &str) -> Option<String> {
    if mail.ctype.mimetype == kind {
        return mail.get_body().ok();
    }
    mail.subparts.iter().find_map(|one| part(one, kind))
}
