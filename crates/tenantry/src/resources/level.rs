use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::Resource;
use crate::{
    db::{DbError, Executor, TenantScope},
    policy::{Node, Object, Parent, Permissions, Refused},
};

/// What objects can be in, found by the path to it.
pub trait Level: Parent {
    /// How many objects deep it is.
    const DEPTH: usize;

    /// Reads it and all that it is in, from the outermost on. `lock` keeps others from changing any
    /// of them until the transaction ends.
    ///
    /// # Errors
    /// [`DbError::NotFound`] where one of them is not there, or not in the one before.
    fn load<'a, E: Executor<TenantScope>>(
        on: &'a mut E,
        path: &'a [Uuid],
        lock: bool,
    ) -> BoxFuture<'a, Result<Self::Node, DbError>>;

    /// Whether it, and all that it is in, may be looked at.
    ///
    /// # Errors
    /// [`Refused::Hidden`] where not.
    fn require_readable(node: &Self::Node, permissions: &Permissions) -> Result<(), Refused>;

    /// Its identity; the tenant has none here.
    fn id(node: &Self::Node) -> Option<Uuid>;

    /// Whether there can be any that whoever asks may look at. It is asked of the outermost.
    fn is_open(permissions: &Permissions) -> bool;

    #[doc(hidden)]
    fn is_open_for<R: Resource<Parent = Self>>(permissions: &Permissions) -> bool;
}

impl Level for () {
    const DEPTH: usize = 0;

    fn load<'a, E: Executor<TenantScope>>(
        _: &'a mut E,
        path: &'a [Uuid],
        _: bool,
    ) -> BoxFuture<'a, Result<(), DbError>> {
        let found = if path.is_empty() {
            Ok(())
        } else {
            Err(DbError::NotFound)
        };
        Box::pin(std::future::ready(found))
    }

    fn require_readable((): &(), _: &Permissions) -> Result<(), Refused> {
        Ok(())
    }

    fn id((): &()) -> Option<Uuid> {
        None
    }

    fn is_open(_: &Permissions) -> bool {
        true
    }

    fn is_open_for<R: Resource<Parent = ()>>(permissions: &Permissions) -> bool {
        permissions.filter::<R>(&()).is_ok()
    }
}

impl<R: Resource> Level for R {
    const DEPTH: usize = 1 + <R::Parent as Level>::DEPTH;

    fn load<'a, E: Executor<TenantScope>>(
        on: &'a mut E,
        path: &'a [Uuid],
        lock: bool,
    ) -> BoxFuture<'a, Result<Node<R>, DbError>> {
        Box::pin(async move {
            let Some((id, above)) = path.split_last() else {
                return Err(DbError::NotFound);
            };
            let parent = R::Parent::load(on, above, lock).await?;
            let parent_id = R::Parent::id(&parent);
            let sql = find::<R>(parent_id.is_some(), lock);
            let mut query = on.query(&sql).bind(*id);
            if let Some(parent_id) = parent_id {
                query = query.bind(parent_id);
            }
            Ok(Node {
                object: query.one().await?,
                parent,
            })
        })
    }

    fn require_readable(node: &Node<R>, permissions: &Permissions) -> Result<(), Refused> {
        R::Parent::require_readable(&node.parent, permissions)?;
        permissions.require_on(R::READ, node, &[])
    }

    fn id(node: &Node<R>) -> Option<Uuid> {
        Some(Object::id(&node.object))
    }

    fn is_open(permissions: &Permissions) -> bool {
        R::Parent::is_open_for::<R>(permissions)
    }

    fn is_open_for<C: Resource<Parent = R>>(permissions: &Permissions) -> bool {
        Self::is_open(permissions)
    }
}

/// An update without effect locks what it reads, on every engine.
fn find<R: Resource>(nested: bool, lock: bool) -> String {
    let (table, columns) = (R::TABLE, R::COLUMNS);
    let within = if nested {
        format!(" AND {} = $2", R::PARENT_COLUMN)
    } else {
        String::new()
    };
    if lock {
        format!("UPDATE {table} SET id = id WHERE id = $1{within} RETURNING {columns}")
    } else {
        format!("SELECT {columns} FROM {table} WHERE id = $1{within}")
    }
}
