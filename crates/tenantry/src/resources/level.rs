use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::Resource;
use crate::{
    db::{DbError, Executor, TenantScope},
    policy::{Explanation, Node, Object, Parent, Permissions, Refused},
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

    /// The path to the object of that id.
    #[doc(hidden)]
    fn locate<'a, E: Executor<TenantScope>>(
        on: &'a mut E,
        id: Uuid,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, DbError>>;

    /// The first decision, from the outermost on, by which it may not be looked at.
    #[doc(hidden)]
    fn hidden(node: &Self::Node, permissions: &Permissions) -> Option<(&'static str, Explanation)>;
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

    fn locate<'a, E: Executor<TenantScope>>(
        _: &'a mut E,
        _: Uuid,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, DbError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn hidden((): &(), _: &Permissions) -> Option<(&'static str, Explanation)> {
        None
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

    fn locate<'a, E: Executor<TenantScope>>(
        on: &'a mut E,
        id: Uuid,
    ) -> BoxFuture<'a, Result<Vec<Uuid>, DbError>> {
        Box::pin(async move {
            let mut path = Vec::new();
            if R::Parent::DEPTH > 0 {
                let sql = format!(
                    "SELECT {} FROM {} WHERE id = $1",
                    R::PARENT_COLUMN,
                    R::TABLE
                );
                let parent_id: Uuid = on.query(&sql).bind(id).scalar().await?;
                path = R::Parent::locate(on, parent_id).await?;
            }
            path.push(id);
            Ok(path)
        })
    }

    fn hidden(node: &Node<R>, permissions: &Permissions) -> Option<(&'static str, Explanation)> {
        R::Parent::hidden(&node.parent, permissions).or_else(|| {
            let explanation = permissions.explain(R::READ, node);
            (!explanation.allowed).then_some((R::READ, explanation))
        })
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
