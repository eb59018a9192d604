use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use garde::Validate;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Answered, IdempotencyKey, Level, Resource, ResourceError, Shown};
use crate::{
    db::{DbError, TenantDb, TenantTx, Value},
    policy::{Node, Parent, Permissions},
};

/// A resource that can be made, changed and removed.
pub trait Writable: Resource {
    /// The action of adding one, which is done to what it is in.
    const CREATE: &'static str;
    /// The action of changing one.
    const UPDATE: &'static str;
    /// The action of removing one.
    const DELETE: &'static str;

    /// What is sent to make one, or to replace all that can be changed of one. Have it refuse fields
    /// that it does not know.
    type New: DeserializeOwned + Validate<Context = ()> + Send + Sync + 'static;
    /// What is sent to change one: fields that are left out stay.
    type Change: DeserializeOwned + Validate<Context = ()> + Send + Sync + 'static;

    /// One that is to be added to `parent`.
    fn new(new: Self::New, parent: &<Self::Parent as Parent>::Node, by: &Permissions) -> Self;

    /// Replaces what can be changed of it.
    fn replace(&mut self, new: Self::New);

    /// Changes it.
    fn change(&mut self, change: Self::Change);

    /// Its columns and what is in them, `id` and the parent's among them.
    fn values(&self) -> Vec<(&'static str, Value)>;

    /// What an error of the database's means here, such as a unique constraint.
    #[must_use]
    fn refusal(error: DbError) -> ResourceError {
        error.into()
    }

    /// Looks at one that is about to be written, within the transaction: whether what it points to
    /// is there and may be looked at ([`require_related`]), what else must hold.
    fn check(
        _tx: &mut TenantTx,
        _node: &Node<Self>,
        _by: &Permissions,
    ) -> impl Future<Output = Result<(), ResourceError>> + Send {
        async { Ok(()) }
    }

    /// What else is to be written with it, within the transaction: totals, a log.
    fn written(
        _tx: &mut TenantTx,
        _what: Written<'_, Self>,
        _by: &Permissions,
    ) -> impl Future<Output = Result<(), ResourceError>> + Send {
        async { Ok(()) }
    }
}

/// What was done.
#[derive(Debug)]
pub enum Written<'n, W: Resource> {
    /// It was made.
    Created(&'n Node<W>),
    /// It was changed.
    Changed {
        /// What it was.
        before: &'n W,
        /// What it is.
        after: &'n Node<W>,
    },
    /// It was removed.
    Removed(&'n Node<W>),
}

/// What an object must still be for it to be changed: the `If-Match` of HTTP.
#[derive(Debug, Clone, Default)]
pub enum Match {
    /// Whatever it is.
    #[default]
    Anything,
    /// What one of these tags was for.
    Tags(Vec<String>),
}

impl Match {
    fn check<R: Resource>(&self, node: &Node<R>, by: &Permissions) -> Result<(), ResourceError> {
        match self {
            Self::Tags(tags) if !tags.contains(&etag(&Shown::to(node.clone(), by))) => {
                Err(ResourceError::Changed)
            }
            _ => Ok(()),
        }
    }
}

/// A tag for an object as somebody sees it, in quotes: the digest of what is [shown](Shown) to them.
/// It is of nothing else, as whoever knows a digest can try what it is of.
pub fn etag<R: Resource>(shown: &Shown<R>) -> String {
    let bytes = serde_json::to_vec(shown).unwrap_or_default();
    let digest = Sha256::digest(bytes);
    format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(&digest[..16]))
}

/// Makes objects in what `path` leads to: all of them or none.
///
/// # Errors
/// When it is not permitted, or one cannot be taken.
pub async fn create<W: Writable>(
    db: &TenantDb,
    by: &Permissions,
    path: &[Uuid],
    new: Vec<(W::New, Vec<String>)>,
    key: Option<&IdempotencyKey>,
) -> Result<Answered<Vec<Node<W>>>, ResourceError> {
    let mut tx = db.begin();
    let parent = W::Parent::load(&mut tx, path, true).await?;
    W::Parent::require_readable(&parent, by)?;
    for (_, fields) in &new {
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        by.require_in::<W::Parent>(W::CREATE, &parent, &fields)?;
    }
    if let Some(key) = key
        && let Some(answer) = key.take(&mut tx, by).await?
    {
        return Ok(Answered::Before(answer));
    }
    let mut nodes = Vec::with_capacity(new.len());
    for (new, _) in new {
        let mut node = Node {
            object: W::new(new, &parent, by),
            parent: parent.clone(),
        };
        W::check(&mut tx, &node, by).await?;
        node.object = insert(&mut tx, &node.object).await?;
        W::written(&mut tx, Written::Created(&node), by).await?;
        nodes.push(node);
    }
    if let Some(key) = key {
        let shown: Vec<_> = nodes
            .iter()
            .map(|node: &Node<W>| Shown::to(node.clone(), by))
            .collect();
        key.keep(&mut tx, by, to_json(&shown)?).await?;
    }
    tx.commit().await?;
    Ok(Answered::Now(nodes))
}

fn to_json(shown: &impl Serialize) -> Result<Json, DbError> {
    serde_json::to_value(shown).map_err(|error| DbError::Engine(Box::new(error)))
}

/// Returns it as it is kept: with as many decimals as its column has.
async fn insert<W: Writable>(tx: &mut TenantTx, object: &W) -> Result<W, ResourceError> {
    let values = object.values();
    let columns: Vec<_> = values.iter().map(|(column, _)| *column).collect();
    let places: Vec<_> = (1..=values.len())
        .map(|number| format!("${number}"))
        .collect();
    let sql = format!(
        "INSERT INTO {} ({}) VALUES ({}) RETURNING {}",
        W::TABLE,
        columns.join(", "),
        places.join(", "),
        W::COLUMNS
    );
    let query = values
        .into_iter()
        .fold(tx.query(&sql), |query, (_, value)| query.bind(value));
    query.one().await.map_err(W::refusal)
}

/// Changes the object that `path` leads to, if it is still what `matching` wants. Whether that is
/// permitted is asked of the object as it is, which nobody else changes meanwhile. `fields` are
/// those that are sent.
///
/// # Errors
/// When it is not permitted, not there, or was changed.
pub async fn change<W: Writable>(
    db: &TenantDb,
    by: &Permissions,
    path: &[Uuid],
    matching: &Match,
    fields: &[&str],
    apply: impl FnOnce(&mut W) + Send,
) -> Result<Node<W>, ResourceError> {
    let mut tx = db.begin();
    let mut node = W::load(&mut tx, path, true).await?;
    W::require_readable(&node, by)?;
    by.require_on(W::UPDATE, &node, fields)?;
    matching.check(&node, by)?;
    let before = node.object.clone();
    apply(&mut node.object);
    W::check(&mut tx, &node, by).await?;
    let old = before.values();
    let changed: Vec<_> = node
        .object
        .values()
        .into_iter()
        .filter(|value| !old.contains(value))
        .collect();
    if changed.is_empty() {
        return Ok(node);
    }
    let sets: Vec<_> = changed
        .iter()
        .zip(2..)
        .map(|((column, _), number)| format!("{column} = ${number}"))
        .collect();
    let sql = format!(
        "UPDATE {} SET {} WHERE id = $1 RETURNING {}",
        W::TABLE,
        sets.join(", "),
        W::COLUMNS
    );
    let query = tx.query(&sql).bind(node.object.id());
    let query = changed
        .into_iter()
        .fold(query, |query, (_, value)| query.bind(value));
    node.object = query.one().await.map_err(W::refusal)?;
    let what = Written::Changed {
        before: &before,
        after: &node,
    };
    W::written(&mut tx, what, by).await?;
    tx.commit().await?;
    Ok(node)
}

/// Removes the object that `path` leads to; as [`change`].
///
/// # Errors
/// When it is not permitted, not there, was changed, or something points to it.
pub async fn remove<W: Writable>(
    db: &TenantDb,
    by: &Permissions,
    path: &[Uuid],
    matching: &Match,
) -> Result<(), ResourceError> {
    let mut tx = db.begin();
    let node = W::load(&mut tx, path, true).await?;
    W::require_readable(&node, by)?;
    by.require_on(W::DELETE, &node, &[])?;
    matching.check(&node, by)?;
    let gone = tx
        .query(&format!("DELETE FROM {} WHERE id = $1", W::TABLE))
        .bind(node.object.id())
        .execute()
        .await;
    match gone {
        Err(DbError::ForeignKey) => {
            let detail = "Something else still needs it.";
            return Err(ResourceError::conflict("in-use", detail));
        }
        other => other.map_err(W::refusal)?,
    };
    W::written(&mut tx, Written::Removed(&node), by).await?;
    Ok(tx.commit().await?)
}

/// Requires that what `field` points to is there and may be looked at by whoever writes; to
/// everybody else it is as if it were not there.
///
/// # Errors
/// [`ResourceError::Invalid`].
pub async fn require_related<R: Resource<Parent = ()>>(
    tx: &mut TenantTx,
    field: &str,
    id: Uuid,
    by: &Permissions,
) -> Result<R, ResourceError> {
    let missing = || ResourceError::invalid(field, "is nothing that is here");
    let node = match R::load(tx, &[id], false).await {
        Ok(node) => node,
        Err(DbError::NotFound) => return Err(missing()),
        Err(error) => return Err(error.into()),
    };
    R::require_readable(&node, by).map_err(|_| missing())?;
    Ok(node.object)
}
