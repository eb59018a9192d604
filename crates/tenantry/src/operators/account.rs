use std::{fmt, str::FromStr};

use chrono::{DateTime, SubsecRound, Utc};
use uuid::Uuid;

use super::{Operators, sign_in::TOKENS};
use crate::{
    db::{DbError, FromRow, Row},
    tenant::UnknownWord,
    users::{
        PasswordError, normalise,
        person::{People, Person},
    },
};

/// What an operator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OperatorRole {
    /// Look.
    Viewer,
    /// Look, and stand in for users.
    Support,
    /// All of it.
    Admin,
}

impl OperatorRole {
    /// Every role, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Support, Self::Admin];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Support => "support",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for OperatorRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for OperatorRole {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == word)
            .ok_or_else(|| UnknownWord {
                given: word.into(),
                expected: "viewer, support, admin",
            })
    }
}

/// One of those who run the deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operator {
    /// Their identity.
    pub id: Uuid,
    /// Their address, in lower case.
    pub email: String,
    /// What they are called.
    pub name: String,
    /// What they may do.
    pub role: OperatorRole,
    /// When the account was made.
    pub created_at: DateTime<Utc>,
    /// When it was disabled; not where there is none.
    pub disabled_at: Option<DateTime<Utc>>,
}

const COLUMNS: &str = "id, email, name, role, created_at, disabled_at";

impl FromRow for Operator {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        let role: String = row.field(3, "role")?;
        Ok(Self {
            id: row.field(0, "id")?,
            email: row.field(1, "email")?,
            name: row.field(2, "name")?,
            role: role
                .parse()
                .map_err(|error: UnknownWord| DbError::Engine(Box::new(error)))?,
            created_at: row.field(4, "created_at")?,
            disabled_at: row.field(5, "disabled_at")?,
        })
    }
}

impl Person for Operator {
    const PEOPLE: People = People {
        table: "tenantry_operators",
        columns: COLUMNS,
        key: "operator_id",
        active: "disabled_at IS NULL",
    };
    const WIDTH: usize = 6;

    fn id(&self) -> Uuid {
        self.id
    }

    fn email(&self) -> &str {
        &self.email
    }
}

/// An operator to be.
#[derive(Clone)]
pub struct NewOperator {
    /// Their address.
    pub email: String,
    /// What they are called.
    pub name: String,
    /// What they may do.
    pub role: OperatorRole,
    /// The password in clear.
    pub password: String,
}

/// Why an operator's account could not be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// Another operator has that address.
    #[error("there is an operator with that address")]
    EmailTaken,
    /// The operator's role does not allow it.
    #[error("an operator of that role may not do this")]
    Forbidden,
    /// The password cannot be taken.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The database failed, or there is no such operator.
    #[error(transparent)]
    Db(DbError),
}

impl From<DbError> for OperatorError {
    fn from(error: DbError) -> Self {
        if error.is_unique("tenantry_operators", &["email"]) {
            Self::EmailTaken
        } else {
            Self::Db(error)
        }
    }
}

impl Operators<'_> {
    /// Makes an operator's account.
    ///
    /// # Errors
    /// [`OperatorError::EmailTaken`].
    pub async fn create(&self, new: NewOperator) -> Result<Operator, OperatorError> {
        let hash = self.passwords().hash(&new.password).await?;
        let operator = Operator {
            id: Uuid::now_v7(),
            email: normalise(&new.email),
            name: new.name,
            role: new.role,
            created_at: Utc::now().trunc_subsecs(6),
            disabled_at: None,
        };
        self.db
            .query(
                "INSERT INTO tenantry_operators (id, email, name, role, created_at, password_hash)
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(operator.id)
            .bind(&operator.email)
            .bind(&operator.name)
            .bind(operator.role.as_str())
            .bind(operator.created_at)
            .bind(hash)
            .execute()
            .await?;
        Ok(operator)
    }

    /// Every operator, by address.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self) -> Result<Vec<Operator>, DbError> {
        self.db
            .query(&format!(
                "SELECT {COLUMNS} FROM tenantry_operators ORDER BY email"
            ))
            .all()
            .await
    }

    /// The operator of that address.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn by_email(&self, email: &str) -> Result<Operator, DbError> {
        self.db
            .query(&format!(
                "SELECT {COLUMNS} FROM tenantry_operators WHERE email = $1"
            ))
            .bind(normalise(email))
            .one()
            .await
    }

    /// Sets a new password. All that the operator was signed in with ends.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn set_password(&self, id: Uuid, password: &str) -> Result<(), OperatorError> {
        let hash = self.passwords().hash(password).await?;
        let mut tx = self.db.begin();
        let changed = tx
            .query("UPDATE tenantry_operators SET password_hash = $2 WHERE id = $1")
            .bind(id)
            .bind(hash)
            .execute()
            .await?;
        if changed == 0 {
            return Err(DbError::NotFound.into());
        }
        TOKENS.end_all(&mut tx, id).await?;
        Ok(tx.commit().await?)
    }

    /// Changes what an operator may do.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn set_role(&self, id: Uuid, role: OperatorRole) -> Result<Operator, DbError> {
        self.db
            .query(&format!(
                "UPDATE tenantry_operators SET role = $2 WHERE id = $1 RETURNING {COLUMNS}"
            ))
            .bind(id)
            .bind(role.as_str())
            .one()
            .await
    }

    /// Lets an operator in no more, and ends all that they are signed in with and all links that
    /// they have not used. What they did stays written down.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn disable(&self, id: Uuid) -> Result<Operator, DbError> {
        let mut tx = self.db.begin();
        let operator: Operator = tx
            .query(&format!(
                "UPDATE tenantry_operators SET disabled_at = $2 WHERE id = $1 RETURNING {COLUMNS}"
            ))
            .bind(id)
            .bind(Utc::now().trunc_subsecs(6))
            .one()
            .await?;
        TOKENS.end_all(&mut tx, id).await?;
        tx.query("DELETE FROM tenantry_impersonations WHERE operator_id = $1")
            .bind(id)
            .execute()
            .await?;
        tx.commit().await?;
        Ok(operator)
    }
}
