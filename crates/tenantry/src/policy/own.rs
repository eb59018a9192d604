use chrono::{DateTime, SubsecRound, Utc};
use sha2::{Digest, Sha256};

use super::{Overlay, Policies, PolicyError};
use crate::db::{DbError, FromRow, Row, TenantDb};
use std::sync::Arc;

/// A policy of a tenant's own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnPolicy {
    /// What it is called.
    pub name: String,
    /// Its text: one or more `forbid` statements.
    pub source: String,
    /// When it was last changed.
    pub changed_at: DateTime<Utc>,
}

impl FromRow for OwnPolicy {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            name: row.field(0, "name")?,
            source: row.field(1, "source")?,
            changed_at: row.field(2, "changed_at")?,
        })
    }
}

/// Why a tenant's own policies cannot be kept or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OwnPolicyError {
    /// They cannot be taken.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The database failed, or there is no such policy.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The policies that one tenant has of its own, on top of the application's. They are in the tenant's
/// database and can only forbid, so that whatever is in them, nobody may more than before.
///
/// They hold from the next request on, in every process: see [`Policies::with_own`].
#[derive(Debug)]
pub struct OwnPolicies<'d> {
    policies: &'d Policies,
    db: &'d TenantDb,
}

impl<'d> OwnPolicies<'d> {
    /// Those in that database.
    #[must_use]
    pub fn on(policies: &'d Policies, db: &'d TenantDb) -> Self {
        Self { policies, db }
    }

    /// All of them, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list(&self) -> Result<Vec<OwnPolicy>, DbError> {
        self.db
            .query("SELECT name, source, changed_at FROM access_policies ORDER BY name")
            .all()
            .await
    }

    /// Adds one, or replaces the one of that name.
    ///
    /// # Errors
    /// What is wrong with it, alone or beside the others; then nothing is changed.
    pub async fn put(&self, name: &str, source: &str) -> Result<(), OwnPolicyError> {
        let mut own = self.list().await?;
        own.retain(|policy| policy.name != name);
        let mut all: Vec<_> = own.iter().map(pair).collect();
        all.push((name, source));
        self.policies.0.overlay(&all)?;
        self.db
            .query(
                "INSERT INTO access_policies (name, source, changed_at) VALUES ($1, $2, $3)
                 ON CONFLICT (name) DO UPDATE
                 SET source = excluded.source, changed_at = excluded.changed_at",
            )
            .bind(name)
            .bind(source)
            .bind(Utc::now().trunc_subsecs(6))
            .execute()
            .await?;
        Ok(())
    }

    /// Removes one.
    ///
    /// # Errors
    /// [`DbError::NotFound`].
    pub async fn remove(&self, name: &str) -> Result<(), DbError> {
        let gone = self
            .db
            .query("DELETE FROM access_policies WHERE name = $1")
            .bind(name)
            .execute()
            .await?;
        if gone == 0 {
            return Err(DbError::NotFound);
        }
        Ok(())
    }

    /// The application's policies with these; `None` where there are none.
    pub(crate) async fn overlay(&self) -> Result<Option<Arc<Overlay>>, OwnPolicyError> {
        if !self.policies.0.has_own() {
            return Ok(None);
        }
        let own = self.list().await?;
        if own.is_empty() {
            return Ok(None);
        }
        let mut hash = Sha256::new();
        for policy in &own {
            for text in [&policy.name, &policy.source] {
                hash.update(text.len().to_le_bytes());
                hash.update(text.as_bytes());
            }
        }
        let digest = hex::encode(hash.finalize());
        let all: Vec<_> = own.iter().map(pair).collect();
        Ok(Some(self.policies.0.overlay_of(&digest, &all)?))
    }
}

/// How deep parentheses may be in each other in a policy of a tenant's own, each `if` counted as one.
const DEEPEST: usize = 16;

/// How many characters of operators one may have: a chain of them is as deep as it is long.
const MOST_OPERATORS: usize = 400;

/// Refuses what is nested too deep. Cedar reads policies by calling itself, as deep as they are, and ends the process
/// where that is too deep.
pub(super) fn bounded(source: &str) -> Result<(), String> {
    let (mut depth, mut ifs, mut operators) = (0_usize, 0, 0);
    let mut word = String::new();
    let mut rest = source.chars().peekable();
    while let Some(c) = rest.next() {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        ifs += usize::from(std::mem::take(&mut word) == "if");
        match c {
            '"' => {
                while let Some(c) = rest.next().filter(|c| *c != '"') {
                    if c == '\\' {
                        rest.next();
                    }
                }
            }
            '/' if rest.next_if_eq(&'/').is_some() => {
                while rest.next_if(|c| !matches!(c, '\n' | '\r')).is_some() {}
            }
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ';' => (depth, ifs, operators) = (0, 0, 0),
            c if c.is_ascii_punctuation() => operators += 1,
            _ => {}
        }
        if depth + ifs > DEEPEST {
            return Err(format!("a policy is nested deeper than {DEEPEST}"));
        }
        if operators > MOST_OPERATORS {
            return Err(format!("a policy has more than {MOST_OPERATORS} operators"));
        }
    }
    Ok(())
}

fn pair(policy: &OwnPolicy) -> (&str, &str) {
    (&policy.name, &policy.source)
}
