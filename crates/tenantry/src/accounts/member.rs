use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use uuid::Uuid;

use super::{
    Account, AccountError, Accounts, NewAccount,
    account::{self, WIDTH},
};
use crate::{
    Tenancy,
    db::{CentralDb, CentralScope, DbError, Executor, FromRow, Row},
    tenant::{Tenant, TenantId, TenantStatus},
    users::{
        IssuedLink, NewPerson, PasswordError, Realm, normalise,
        secret::{Secret, digest},
    },
};

/// The role that one member of each tenant has: it is transferred, and neither given nor taken.
pub const OWNER: &str = "owner";

const MARK: &str = "tnm_";
const LIFE: TimeDelta = TimeDelta::days(7);

/// What an account is in one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Membership {
    /// The account.
    pub account_id: Uuid,
    /// The role, one of the application's own words, or [`OWNER`].
    pub role: String,
    /// When it began.
    pub created_at: DateTime<Utc>,
}

impl FromRow for Membership {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            account_id: row.field(0, "account_id")?,
            role: row.field(1, "role")?,
            created_at: row.field(2, "created_at")?,
        })
    }
}

/// A member of a tenant, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// Who.
    pub account: Account,
    /// As what.
    pub role: String,
}

impl FromRow for Member {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            account: Account::from_row(row)?,
            role: row.field(WIDTH, "role")?,
        })
    }
}

/// Somebody who was asked to join a tenant and has not yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberInvitation {
    /// Its identity.
    pub id: Uuid,
    /// Whom it was sent to.
    pub email: String,
    /// The role that they will have.
    pub role: String,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

impl FromRow for MemberInvitation {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            id: row.field(0, "id")?,
            email: row.field(1, "email")?,
            role: row.field(2, "role")?,
            expires_at: row.field(3, "expires_at")?,
        })
    }
}

/// Why a membership could not be made, changed or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemberError {
    /// The tenant has an owner, who is protected: ownership is transferred, and neither given nor
    /// taken.
    #[error("a tenant has one owner, who passes that on before anything else")]
    Owner,
    /// They are a member already.
    #[error("they are a member already")]
    AlreadyMember,
    /// The invitation is unknown here, used, expired, or was sent to another address.
    #[error("the invitation is not good, or no longer")]
    Invalid,
    /// The account could not be made.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The database failed, or there is no such member.
    #[error(transparent)]
    Db(DbError),
}

impl From<DbError> for MemberError {
    fn from(error: DbError) -> Self {
        if error.is_unique("tenantry_memberships", &["tenant_id", "account_id"]) {
            Self::AlreadyMember
        } else if error.is_unique("tenantry_memberships", &["tenant_id"]) {
            Self::Owner
        } else {
            Self::Db(error)
        }
    }
}

impl From<PasswordError> for MemberError {
    fn from(error: PasswordError) -> Self {
        Self::Account(error.into())
    }
}

/// Whoever is a member of one tenant.
#[derive(Debug)]
pub struct Members<'t> {
    tenancy: &'t Tenancy,
    db: CentralDb,
    tenant: Uuid,
}

impl<'t> Members<'t> {
    pub(super) fn new(tenancy: &'t Tenancy, db: CentralDb, tenant: &Tenant) -> Self {
        Self {
            tenancy,
            db,
            tenant: *tenant.id().as_uuid(),
        }
    }

    /// Makes an account the tenant's owner, where it has none yet.
    ///
    /// # Errors
    /// [`MemberError::Owner`] when there is one.
    pub async fn found(&self, account_id: Uuid) -> Result<(), MemberError> {
        add(&mut self.db.clone(), self.tenant, account_id, OWNER).await
    }

    /// Makes an account a member without asking whoever has it, who else is
    /// [invited](Self::invite).
    ///
    /// # Errors
    /// [`MemberError::AlreadyMember`]; [`MemberError::Owner`] when `role` is the owner's.
    pub async fn add(&self, account_id: Uuid, role: &str) -> Result<(), MemberError> {
        if role == OWNER {
            return Err(MemberError::Owner);
        }
        add(&mut self.db.clone(), self.tenant, account_id, role).await
    }

    /// What the account is here; `None` where it is no member.
    ///
    /// # Errors
    /// When the database fails; which must be taken as a refusal.
    pub async fn of(&self, account_id: Uuid) -> Result<Option<Membership>, DbError> {
        self.db
            .query(
                "SELECT account_id, role, created_at FROM tenantry_memberships
                 WHERE tenant_id = $1 AND account_id = $2",
            )
            .bind(self.tenant)
            .bind(account_id)
            .optional()
            .await
    }

    /// Every member, by address.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self) -> Result<Vec<Member>, DbError> {
        self.db
            .query(
                "SELECT a.id, a.email, a.first_name, a.last_name, a.created_at, a.disabled_at, m.role
                 FROM tenantry_memberships m JOIN tenantry_accounts a ON a.id = m.account_id
                 WHERE m.tenant_id = $1 ORDER BY a.email",
            )
            .bind(self.tenant)
            .all()
            .await
    }

    /// Gives a member another role. The owner keeps theirs, and nobody is made one so.
    ///
    /// # Errors
    /// [`MemberError::Owner`]; [`DbError::NotFound`].
    pub async fn set_role(&self, account_id: Uuid, role: &str) -> Result<(), MemberError> {
        if role == OWNER {
            return Err(MemberError::Owner);
        }
        let sql = "UPDATE tenantry_memberships SET role = $3
                   WHERE tenant_id = $1 AND account_id = $2 AND role <> 'owner'";
        self.unless_owner(sql, account_id, Some(role)).await
    }

    /// Ends a membership: of somebody who leaves, or is sent away. The owner passes that on first.
    ///
    /// # Errors
    /// [`MemberError::Owner`]; [`DbError::NotFound`].
    pub async fn remove(&self, account_id: Uuid) -> Result<(), MemberError> {
        let sql = "DELETE FROM tenantry_memberships
                   WHERE tenant_id = $1 AND account_id = $2 AND role <> 'owner'";
        self.unless_owner(sql, account_id, None).await
    }

    async fn unless_owner(
        &self,
        sql: &str,
        account_id: Uuid,
        role: Option<&str>,
    ) -> Result<(), MemberError> {
        let query = self.db.query(sql).bind(self.tenant).bind(account_id);
        let query = match role {
            Some(role) => query.bind(role),
            None => query,
        };
        if query.execute().await? == 1 {
            return Ok(());
        }
        match self.of(account_id).await? {
            Some(_) => Err(MemberError::Owner),
            None => Err(DbError::NotFound.into()),
        }
    }

    /// Passes ownership on to another member. Who had it has `role` from then on.
    ///
    /// # Errors
    /// [`DbError::NotFound`] unless `from` is the owner and `to` another member;
    /// [`MemberError::Owner`] when `role` is the owner's.
    pub async fn transfer(&self, from: Uuid, to: Uuid, role: &str) -> Result<(), MemberError> {
        if role == OWNER {
            return Err(MemberError::Owner);
        }
        let mut tx = self.db.begin();
        for (account, before, after) in [(from, "= 'owner'", role), (to, "<> 'owner'", OWNER)] {
            let changed = tx
                .query(&format!(
                    "UPDATE tenantry_memberships SET role = $3
                     WHERE tenant_id = $1 AND account_id = $2 AND role {before}"
                ))
                .bind(self.tenant)
                .bind(account)
                .bind(after)
                .execute()
                .await?;
            if changed == 0 || from == to {
                return Err(DbError::NotFound.into());
            }
        }
        Ok(tx.commit().await?)
    }

    /// Asks whoever has that address to join, whether they have an account or not. An earlier
    /// invitation of the same address here ends.
    ///
    /// # Errors
    /// [`MemberError::AlreadyMember`]; [`MemberError::Owner`] when `role` is the owner's.
    pub async fn invite(
        &self,
        email: &str,
        role: &str,
        made_by: Uuid,
    ) -> Result<IssuedLink, MemberError> {
        if role == OWNER {
            return Err(MemberError::Owner);
        }
        let email = normalise(email);
        let secret = Secret::new(MARK)?;
        let now = Utc::now().trunc_subsecs(6);
        let (id, expires_at) = (Uuid::now_v7(), now + LIFE);
        let mut tx = self.db.begin();
        let members: i64 = tx
            .query(
                "SELECT count(*) FROM tenantry_memberships m
                 JOIN tenantry_accounts a ON a.id = m.account_id
                 WHERE m.tenant_id = $1 AND a.email = $2",
            )
            .bind(self.tenant)
            .bind(&email)
            .scalar()
            .await?;
        if members > 0 {
            return Err(MemberError::AlreadyMember);
        }
        tx.query(
            "DELETE FROM tenantry_invitations
             WHERE (tenant_id = $1 AND email = $2) OR expires_at <= $3",
        )
        .bind(self.tenant)
        .bind(&email)
        .bind(now)
        .execute()
        .await?;
        tx.query(
            "INSERT INTO tenantry_invitations
                (id, tenant_id, email, role, digest, made_by, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(id)
        .bind(self.tenant)
        .bind(&email)
        .bind(role)
        .bind(secret.digest())
        .bind(made_by)
        .bind(expires_at)
        .execute()
        .await?;
        tx.commit().await?;
        Ok(IssuedLink::new(id, email, secret, expires_at))
    }

    /// The invitations that are still open, the latest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn invitations(&self) -> Result<Vec<MemberInvitation>, DbError> {
        self.db
            .query(
                "SELECT id, email, role, expires_at FROM tenantry_invitations
                 WHERE tenant_id = $1 AND expires_at > $2 ORDER BY id DESC",
            )
            .bind(self.tenant)
            .bind(Utc::now())
            .all()
            .await
    }

    /// The open invitation that a link is of; `None` where it is of none here.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn invited(&self, secret: &str) -> Result<Option<MemberInvitation>, DbError> {
        self.db
            .query(
                "SELECT id, email, role, expires_at FROM tenantry_invitations
                 WHERE tenant_id = $1 AND digest = $2 AND expires_at > $3",
            )
            .bind(self.tenant)
            .bind(digest(secret))
            .bind(Utc::now())
            .optional()
            .await
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn withdraw(&self, id: Uuid) -> Result<(), DbError> {
        let gone = self
            .db
            .query("DELETE FROM tenantry_invitations WHERE tenant_id = $1 AND id = $2")
            .bind(self.tenant)
            .bind(id)
            .execute()
            .await?;
        if gone == 0 {
            return Err(DbError::NotFound);
        }
        Ok(())
    }

    /// Lets somebody who has an account accept. The invitation must have been sent to its address.
    ///
    /// # Errors
    /// [`MemberError::Invalid`]; [`MemberError::AlreadyMember`].
    pub async fn accept(&self, secret: &str, account: &Account) -> Result<(), MemberError> {
        let mut tx = self.db.begin();
        let (email, role) = self.take(&mut tx, secret).await?;
        if email != account.email {
            return Err(MemberError::Invalid); // and it stays good, as nothing is committed
        }
        add(&mut tx, self.tenant, account.id, &role).await?;
        Ok(tx.commit().await?)
    }

    /// Makes an account for somebody who has none, and a member of it.
    ///
    /// # Errors
    /// [`MemberError::Invalid`]; [`AccountError::EmailTaken`] when there is an account by now, which
    /// has to sign in and [accept](Self::accept).
    pub async fn accept_new(
        &self,
        secret: &str,
        person: NewPerson,
    ) -> Result<Account, MemberError> {
        // before the work of hashing, and undone again
        let mut tx = self.db.begin();
        self.take(&mut tx, secret).await?;
        tx.rollback().await?;
        let passwords = self
            .tenancy
            .passwords()
            .in_realm(Realm::Tenant(self.tenant.into()));
        let hash = passwords.hash(&person.password).await?;
        let mut tx = self.db.begin();
        let (email, role) = self.take(&mut tx, secret).await?;
        let new = NewAccount {
            email,
            password: String::new(),
            first_name: person.first_name,
            last_name: person.last_name,
        };
        let account = account::insert(&mut tx, new, hash).await?;
        add(&mut tx, self.tenant, account.id, &role).await?;
        tx.commit().await?;
        Ok(account)
    }

    /// Uses an invitation up, within the transaction.
    async fn take(
        &self,
        on: &mut impl Executor<CentralScope>,
        secret: &str,
    ) -> Result<(String, String), MemberError> {
        let found = on
            .query(
                "DELETE FROM tenantry_invitations
                 WHERE tenant_id = $1 AND digest = $2 AND expires_at > $3 RETURNING email, role",
            )
            .bind(self.tenant)
            .bind(digest(secret))
            .bind(Utc::now())
            .optional()
            .await?;
        found.ok_or(MemberError::Invalid)
    }
}

async fn add(
    on: &mut impl Executor<CentralScope>,
    tenant: Uuid,
    account_id: Uuid,
    role: &str,
) -> Result<(), MemberError> {
    on.query(
        "INSERT INTO tenantry_memberships (tenant_id, account_id, role, created_at)
         VALUES ($1, $2, $3, $4)",
    )
    .bind(tenant)
    .bind(account_id)
    .bind(role)
    .bind(Utc::now().trunc_subsecs(6))
    .execute()
    .await?;
    Ok(())
}

impl Accounts<'_> {
    /// The tenants that an account can switch to, and its role in each, by code. Those that are
    /// being made or erased are not among them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tenants_of(&self, id: Uuid) -> Result<Vec<(Tenant, String)>, DbError> {
        let memberships: Vec<(Uuid, String)> = self
            .db
            .query(
                "SELECT m.tenant_id, m.role FROM tenantry_memberships m
                 JOIN tenantry_tenants t ON t.id = m.tenant_id
                 WHERE m.account_id = $1 ORDER BY t.code",
            )
            .bind(id)
            .all()
            .await?;
        let mut tenants = Vec::new();
        for (tenant, role) in memberships {
            let found = self
                .tenancy
                .0
                .catalog
                .store()
                .by_id(TenantId::from(tenant))
                .await?;
            let visible = |tenant: &Tenant| {
                matches!(
                    tenant.status(),
                    TenantStatus::Active | TenantStatus::Suspended
                )
            };
            tenants.extend(found.filter(visible).map(|tenant| (tenant, role)));
        }
        Ok(tenants)
    }
}
