//! Why something is permitted, for whoever names an object by its type and id.

use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::{Explanation, Permissions, Policies, PolicyError};
use crate::db::{DbError, TenantDb};

/// Finds an object, and asks about it.
pub(crate) type Explainer = for<'a> fn(
    &'a TenantDb,
    &'a Permissions,
    &'a str,
    Uuid,
) -> BoxFuture<'a, Result<Explained, DbError>>;

/// Why an action is permitted, or is not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explained {
    /// The decision about the action itself.
    pub explanation: Explanation,
    /// The decision by which whoever asks may not even look at the object, or at what it is in: the
    /// action, and why. Whatever else they may, they are told that there is nothing.
    pub hidden_by: Option<(&'static str, Explanation)>,
}

impl Explained {
    pub(crate) fn new(
        explanation: Explanation,
        hidden_by: Option<(&'static str, Explanation)>,
    ) -> Self {
        Self {
            explanation,
            hidden_by,
        }
    }

    /// Whether it can be done.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.explanation.allowed && self.hidden_by.is_none()
    }
}

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotExplained {
    /// The policies have no such type of objects, or none that is kept in a table.
    #[error("there are no objects of type {0}")]
    NoType(String),
    /// There is no such action, or not on that.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// There is no such object, or the database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl Policies {
    pub(crate) fn explained_by(mut self, of: &'static str, explainer: Explainer) -> Self {
        self.compiled().explainers.insert(of, explainer);
        self
    }

    /// The types of objects that can be [asked about](Self::explain), in order.
    #[must_use]
    pub fn types(&self) -> Vec<&'static str> {
        self.0.explainers.keys().copied().collect()
    }

    /// Why somebody may do `action` to an object of that type and id, or may not; to the tenant where
    /// none is named.
    ///
    /// # Errors
    /// When there is no such action or object.
    pub async fn explain(
        &self,
        db: &TenantDb,
        permissions: &Permissions,
        action: &str,
        object: Option<(&str, Uuid)>,
    ) -> Result<Explained, NotExplained> {
        let Some((of, id)) = object else {
            self.check_action(action, "Tenant")?;
            let explanation = permissions.explain_in::<()>(action, &(), &[]);
            return Ok(Explained::new(explanation, None));
        };
        let explainer = self.0.explainers.get(of);
        let explainer = explainer.ok_or_else(|| NotExplained::NoType(of.to_owned()))?;
        self.check_action(action, of)?;
        Ok(explainer(db, permissions, action, id).await?)
    }
}
