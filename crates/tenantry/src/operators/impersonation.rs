use std::net::IpAddr;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use uuid::Uuid;

use super::{Operator, OperatorError, OperatorEvent, OperatorRole, Operators, audit};
use crate::{
    db::DbError,
    tenant::Tenant,
    users::{
        Actor, Audit, Event, User, Users,
        secret::{Secret, digest},
    },
};

const MARK: &str = "tni_";

/// How long a link to stand in for a user waits to be used.
const LINK_LIFE: TimeDelta = TimeDelta::minutes(5);

/// How long an operator stands in for a user.
const LIFE: TimeDelta = TimeDelta::minutes(30);

/// The link by which an operator becomes a tenant's user, once.
#[derive(Clone)]
#[non_exhaustive]
pub struct ImpersonationLink {
    /// What the URL on the tenant's host has to carry.
    pub secret: String,
    /// Until when it can be used.
    pub expires_at: DateTime<Utc>,
    /// Until when the operator then stands in.
    pub until: DateTime<Utc>,
}

/// That an operator stands in for a user.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Impersonation {
    /// The operator's address.
    pub operator: String,
    /// The user.
    pub user_id: Uuid,
    /// Why.
    pub reason: String,
    /// Until when.
    pub until: DateTime<Utc>,
}

impl Operators<'_> {
    /// A link by which the operator stands in for a user of the tenant for half an hour. It is kept
    /// in the catalog, so any server process takes it, once. It is written down on both sides, with
    /// the reason.
    ///
    /// # Errors
    /// [`OperatorError::Forbidden`] for those who may only look.
    pub async fn impersonate(
        &self,
        operator: &Operator,
        tenant: &Tenant,
        user: &User,
        reason: &str,
        address: Option<IpAddr>,
    ) -> Result<ImpersonationLink, OperatorError> {
        if operator.role < OperatorRole::Support || operator.disabled_at.is_some() {
            return Err(OperatorError::Forbidden);
        }
        let mut db = self.tenancy.db(tenant).await?;
        let secret = Secret::new(MARK)?;
        let now = Utc::now().trunc_subsecs(6);
        let link = ImpersonationLink {
            expires_at: now + LINK_LIFE,
            until: now + LIFE,
            secret: String::new(),
        };
        // in the tenant first: what its admins cannot read must not be possible
        let asked = Event::new(
            "impersonation-asked",
            Actor::Operator(operator.email.clone()),
        )
        .about_user(user)
        .detail(reason)
        .from(address);
        Audit::on(&mut db).record(asked).await?;
        let mut tx = self.db.begin();
        tx.query("DELETE FROM tenantry_impersonations WHERE expires_at <= $1")
            .bind(now)
            .execute()
            .await?;
        tx.query(
            "INSERT INTO tenantry_impersonations
                (id, digest, operator_id, tenant_id, user_id, reason, expires_at, until)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(Uuid::now_v7())
        .bind(secret.digest())
        .bind(operator.id)
        .bind(*tenant.id().as_uuid())
        .bind(user.id)
        .bind(reason)
        .bind(link.expires_at)
        .bind(link.until)
        .execute()
        .await?;
        let event = OperatorEvent::new("impersonation-asked", operator)
            .in_tenant(tenant)
            .about(&user.email)
            .detail(reason)
            .from(address);
        audit::record(&mut tx, event).await?;
        tx.commit().await?;
        Ok(ImpersonationLink {
            secret: secret.into_text(),
            ..link
        })
    }

    /// Uses a link up, on the host of `tenant`: nobody when it is for another tenant, was used, or
    /// has expired, or the operator was disabled, or the user is no longer active. It is written
    /// down on both sides.
    ///
    /// # Errors
    /// When the database fails; which must be taken as a refusal.
    pub async fn redeem(
        &self,
        tenant: &Tenant,
        secret: &str,
        address: Option<IpAddr>,
    ) -> Result<Option<Impersonation>, DbError> {
        if !secret.starts_with(MARK) {
            return Ok(None);
        }
        let mut db = self.tenancy.db(tenant).await?;
        let mut tx = self.db.begin();
        let found: Option<(Uuid, Uuid, String, DateTime<Utc>)> = tx
            .query(
                "DELETE FROM tenantry_impersonations
                 WHERE digest = $1 AND tenant_id = $2 AND expires_at > $3
                 RETURNING operator_id, user_id, reason, until",
            )
            .bind(digest(secret))
            .bind(*tenant.id().as_uuid())
            .bind(Utc::now())
            .optional()
            .await?;
        let Some((operator_id, user_id, reason, until)) = found else {
            return Ok(None);
        };
        let operator: Option<(String,)> = tx
            .query(
                "SELECT email FROM tenantry_operators
                 WHERE id = $1 AND disabled_at IS NULL AND role <> 'viewer'",
            )
            .bind(operator_id)
            .optional()
            .await?;
        let Some((operator,)) = operator else {
            return Ok(None);
        };
        // whoever was removed or sent away since has nobody stand in for them
        let user = match Users::on(&mut db).get(user_id).await {
            Ok(user) if user.active => user,
            Ok(_) | Err(DbError::NotFound) => return Ok(None),
            Err(error) => return Err(error),
        };
        let begun = Event::new("impersonation-begun", Actor::Operator(operator.clone()))
            .about_user(&user)
            .detail(&reason)
            .from(address);
        Audit::on(&mut db).record(begun).await?;
        let event = OperatorEvent::by("impersonation-begun", &operator)
            .in_tenant(tenant)
            .about(&user.email)
            .detail(&reason)
            .from(address);
        audit::record(&mut tx, event).await?;
        tx.commit().await?;
        Ok(Some(Impersonation {
            operator,
            user_id,
            reason,
            until,
        }))
    }
    /// Writes down on both sides that an operator no longer stands in for a user.
    ///
    /// # Errors
    /// When a database fails.
    pub async fn ended(
        &self,
        operator: &str,
        tenant: &Tenant,
        user: &User,
        address: Option<IpAddr>,
    ) -> Result<(), DbError> {
        let mut db = self.tenancy.db(tenant).await?;
        let event = Event::new("impersonation-ended", Actor::Operator(operator.into()))
            .about_user(user)
            .from(address);
        Audit::on(&mut db).record(event).await?;
        let event = OperatorEvent::by("impersonation-ended", operator)
            .in_tenant(tenant)
            .about(&user.email)
            .from(address);
        self.record(event).await
    }
}
