//! Objects in tables, as an API serves them: listed, made, shown, changed and removed, each as far as
//! [policies](crate::policy) permit, and nested to any depth.
//!
//! A [`Resource`] says which table a type is kept in and what can be asked of a list of it; a
//! [`Writable`] how one is made and changed. What HTTP adds is in [`routing`](crate::routing):
//! [`Collection`](crate::routing::Collection), [`Item`](crate::routing::Item), and handlers for
//! those who need nothing else.
//!
//! An object in another is looked for in it and nowhere else: each level must be there and may be
//! looked at by whoever asks, or there is nothing. What it is in comes from the path and is never
//! taken from a body.

mod idempotency;
mod level;
mod list;
mod write;

pub use idempotency::{Answered, IdempotencyKey};
pub use level::Level;
pub use list::{FilterBy, OrderBy, Page, Shown, Wanted, limit, page};
pub use write::{Match, Writable, Written, change, create, etag, remove, require_related};

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    db::{DbError, FromRow, TenantDb},
    migrate::Migrations,
    policy::{Explained, Object, Permissions, Policies, PolicyError, Refused},
    tenant::PlanLimit,
};

pub(crate) fn migrations() -> Migrations {
    Migrations::new().sql(
        "tenantry_0002_resources",
        include_str!("0001_resources.sql"),
    )
}

/// A type of objects that are kept in a table. Its key is the column `id`, a UUID.
pub trait Resource: Object<Parent: Level> + FromRow + Serialize + Clone {
    /// The table.
    const TABLE: &'static str;
    /// The columns that it is read from, as in `SELECT` and `RETURNING`.
    const COLUMNS: &'static str;
    /// The column that points to what it is in, where it is in another.
    const PARENT_COLUMN: &'static str = "";
    /// The columns in which `q` is looked for.
    const SEARCHED: &'static [&'static str] = &[];
    /// What a list can be ordered by; by the first unless told.
    const ORDERS: &'static [OrderBy<Self>];
    /// What a list can be narrowed by.
    const FILTERS: &'static [FilterBy] = &[];
    /// Fields that are shown only to those who may do the action named beside them.
    const GUARDED: &'static [(&'static str, &'static str)] = &[];
}

/// Why something could not be done with objects.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResourceError {
    /// It is not permitted.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// What was sent cannot be taken; why, by field.
    #[error("some fields cannot be taken")]
    Invalid(BTreeMap<String, Vec<String>>),
    /// It contradicts what is there.
    #[error("{detail}")]
    Conflict {
        /// The kind, for programs.
        slug: &'static str,
        /// What, for people.
        detail: String,
    },
    /// The object is not as the caller last saw it.
    #[error("it was changed meanwhile")]
    Changed,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The tenant's plan does not allow it.
    #[error(transparent)]
    Plan(#[from] PlanLimit),
    /// The database failed, or there is no such object.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl ResourceError {
    /// That one field cannot be taken. The message goes on where the field's name ends.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(BTreeMap::from([(field.into(), vec![message.into()])]))
    }

    /// That it contradicts what is there.
    pub fn conflict(slug: &'static str, detail: impl Into<String>) -> Self {
        Self::Conflict {
            slug,
            detail: detail.into(),
        }
    }
}

impl Policies {
    /// As [`object`](Self::object), for what is also written: the schema must have the actions of
    /// [`Writable`] too.
    ///
    /// # Errors
    /// Where they do not agree.
    pub fn resource<W: Writable>(self) -> Result<Self, PolicyError> {
        let policies = self.object::<W>()?;
        let parent = <W::Parent as crate::policy::Parent>::types();
        policies.check_action(W::CREATE, parent.first().unwrap_or(&"Tenant"))?;
        policies.check_action(W::UPDATE, W::TYPE)?;
        policies.check_action(W::DELETE, W::TYPE)?;
        Ok(policies.explained_by(W::TYPE, explain::<W>))
    }
}

/// Asks about the object of that id, wherever it is.
fn explain<'a, R: Resource>(
    db: &'a TenantDb,
    permissions: &'a Permissions,
    action: &'a str,
    id: Uuid,
) -> BoxFuture<'a, Result<Explained, DbError>> {
    Box::pin(async move {
        let mut db = db.clone();
        let path = R::locate(&mut db, id).await?;
        let node = R::load(&mut db, &path, false).await?;
        let explanation = permissions.explain(action, &node);
        Ok(Explained::new(explanation, R::hidden(&node, permissions)))
    })
}
