use std::net::IpAddr;

use chrono::{DateTime, SubsecRound, Utc};
use uuid::Uuid;

use super::{Operator, Operators};
use crate::{
    db::{CentralScope, DbError, Executor, FromRow, Row},
    tenant::Tenant,
};

/// Something that an operator did, to be written down.
#[derive(Debug, Clone)]
pub struct OperatorEvent {
    action: &'static str,
    operator: String,
    tenant: String,
    subject: String,
    detail: String,
    address: Option<IpAddr>,
}

impl OperatorEvent {
    /// That `operator` did `action`, such as `tenant-suspended`.
    #[must_use]
    pub fn new(action: &'static str, operator: &Operator) -> Self {
        Self::by(action, &operator.email)
    }

    pub(super) fn by(action: &'static str, email: &str) -> Self {
        Self {
            action,
            operator: email.chars().filter(|c| *c != '\0').take(200).collect(),
            tenant: String::new(),
            subject: String::new(),
            detail: String::new(),
            address: None,
        }
    }

    /// In which tenant.
    #[must_use]
    pub fn in_tenant(mut self, tenant: &Tenant) -> Self {
        self.tenant = tenant.code().to_string();
        self
    }

    /// To whom or what.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// What of it, in words.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// From where.
    #[must_use]
    pub fn from(mut self, address: Option<IpAddr>) -> Self {
        self.address = address;
        self
    }
}

/// Something that an operator did, as it was written down.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperatorEntry {
    /// Its identity; later ones sort after earlier ones.
    pub id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// What was done.
    pub action: String,
    /// The operator's address.
    pub operator: String,
    /// The tenant's code at that time; empty where it was in none.
    pub tenant: String,
    /// To whom or what.
    pub subject: String,
    /// What of it, in words.
    pub detail: String,
    /// From where; empty where it is not known.
    pub address: String,
}

const COLUMNS: &str = "id, at, action, operator, tenant, subject, detail, address";

impl FromRow for OperatorEntry {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            id: row.field(0, "id")?,
            at: row.field(1, "at")?,
            action: row.field(2, "action")?,
            operator: row.field(3, "operator")?,
            tenant: row.field(4, "tenant")?,
            subject: row.field(5, "subject")?,
            detail: row.field(6, "detail")?,
            address: row.field(7, "address")?,
        })
    }
}

impl Operators<'_> {
    /// Writes down what an operator did. The database refuses to change or remove it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record(&self, event: OperatorEvent) -> Result<(), DbError> {
        record(&mut self.db.clone(), event).await
    }

    /// At most `limit` entries, the latest first, beginning before the one of that identity.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn audit(
        &self,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<OperatorEntry>, DbError> {
        self.db
            .query(&format!(
                "SELECT {COLUMNS} FROM tenantry_audit WHERE id < $1 ORDER BY id DESC LIMIT $2"
            ))
            .bind(before.unwrap_or(Uuid::max()))
            .bind(limit)
            .all()
            .await
    }
}

pub(super) async fn record(
    on: &mut impl Executor<CentralScope>,
    event: OperatorEvent,
) -> Result<(), DbError> {
    on.query(&format!(
        "INSERT INTO tenantry_audit ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
    ))
    .bind(Uuid::now_v7())
    .bind(Utc::now().trunc_subsecs(6))
    .bind(event.action)
    .bind(event.operator)
    .bind(event.tenant)
    .bind(event.subject)
    .bind(event.detail)
    .bind(
        event
            .address
            .map(|address| address.to_string())
            .unwrap_or_default(),
    )
    .execute()
    .await
    .map(drop)
}
