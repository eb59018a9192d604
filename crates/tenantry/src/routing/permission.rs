//! Permissions as arguments of handlers.

use std::{fmt, marker::PhantomData};

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts, RawPathParams},
    http::request::Parts,
};
use uuid::Uuid;

use super::{Caller, ClientAddress, CurrentAccount, Problem};
use crate::{
    Tenancy,
    db::{DbError, TenantDb, TenantTx},
    policy::{Node, Parent, People, Permissions, Principal, Refused},
    resources::{Level, Resource},
    tenant::Tenant,
    users::By,
};

/// What whoever makes the request may do in its tenant. As an argument of a handler it refuses
/// nobody: what is asked of it does.
impl<S: Sync> FromRequestParts<S> for Permissions {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let tenancy = Tenancy::from_request_parts(parts, state).await?;
        let tenant = <Tenant as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        let people = tenancy.policies().map(|policies| policies.0.people);
        let mut by = None;
        let (principal, impersonated) = match people {
            Some(People::Outside) => (member(parts, state, &tenancy, &tenant).await?, false),
            _ => {
                let caller =
                    <Caller as OptionalFromRequestParts<S>>::from_request_parts(parts, state);
                match caller.await? {
                    None => (Principal::Anonymous, false),
                    Some(Caller::ApiKey(key)) => (Principal::from(&*key), false),
                    Some(Caller::User(current)) => {
                        let operator = current.impersonated.as_ref();
                        let operator = operator.map(|by| by.operator.clone());
                        by = Some(By::new(&current.user).operator(operator));
                        (
                            Principal::from(&current.user),
                            current.impersonated.is_some(),
                        )
                    }
                }
            }
        };
        let permissions = tenancy.permissions(&tenant, principal, impersonated);
        let Ok(ClientAddress(address)) = ClientAddress::from_request_parts(parts, state).await;
        let permissions = permissions
            .await?
            .acting(by.unwrap_or_default().from(address));
        parts.extensions.insert(permissions.clone());
        Ok(permissions)
    }
}

/// To whoever is signed in and no member there is no such tenant.
async fn member<S: Sync>(
    parts: &mut Parts,
    state: &S,
    tenancy: &Tenancy,
    tenant: &Tenant,
) -> Result<Principal, Problem> {
    let account = <CurrentAccount as OptionalFromRequestParts<S>>::from_request_parts(parts, state);
    let Some(CurrentAccount(account)) = account.await? else {
        return Ok(Principal::Anonymous);
    };
    let membership = tenancy.members(tenant).of(account.id).await?;
    let membership = membership.ok_or_else(Problem::tenant_not_found)?;
    Ok(Principal::from((&account, &membership)))
}

/// Something that can be done: an action of the schema, and what it is done to.
///
/// ```
/// use tenantry::routing::Action;
///
/// /// To see the books.
/// struct SeeReport;
///
/// impl Action for SeeReport {
///     type On = (); // the tenant itself
///     const NAME: &'static str = "seeReport";
/// }
/// ```
pub trait Action: Send + Sync + 'static {
    /// What it is done to: a [`Resource`], or `()` for the tenant itself.
    type On: Level;
    /// Its name in the schema.
    const NAME: &'static str;
}

/// That whoever makes the request may do `A`: to the object that the path leads to, or to the tenant.
///
/// A handler that names it cannot be called without. Who may not is answered 401 or 403, and 404
/// where they may not know of the object.
pub struct Can<A: Action> {
    /// What it is done to.
    pub node: <A::On as Parent>::Node,
    /// The database that it is in.
    pub db: TenantDb,
    /// What else whoever asks may do.
    pub permissions: Permissions,
    path: Vec<Uuid>,
    action: PhantomData<fn() -> A>,
}

impl<A: Action> Can<A> {
    /// The same, within a transaction that changes the object: it is read again and stays as it is
    /// until the transaction ends, and is asked for again.
    ///
    /// # Errors
    /// When it is gone by now, or no longer permitted.
    pub async fn again(
        &self,
        tx: &mut TenantTx,
        fields: &[&str],
    ) -> Result<<A::On as Parent>::Node, Problem> {
        let node = <A::On as Level>::load(tx, &self.path, true).await?;
        require::<A>(&self.permissions, &node, fields)?;
        Ok(node)
    }
}

fn require<A: Action>(
    permissions: &Permissions,
    node: &<A::On as Parent>::Node,
    fields: &[&str],
) -> Result<(), Refused> {
    <A::On as Level>::require_readable(node, permissions)?;
    permissions.require_in::<A::On>(A::NAME, node, fields)
}

impl<A: Action, S: Sync> FromRequestParts<S> for Can<A> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Found {
            db,
            permissions,
            path,
            node,
            ..
        } = find::<A::On, S>(parts, state).await?;
        permissions.require_in::<A::On>(A::NAME, &node, &[])?;
        Ok(Self {
            node,
            db,
            permissions,
            path,
            action: PhantomData,
        })
    }
}

impl<A: Action> fmt::Debug for Can<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Can").field(&A::NAME).finish()
    }
}

/// The objects of one type in what the path leads to: `/api/invoices/{invoice}/lines`. What they are
/// in is there, and whoever asks may look at it, at every level.
pub struct Collection<R: Resource> {
    /// What they are in.
    pub parent: <R::Parent as Parent>::Node,
    /// The database that they are in.
    pub db: TenantDb,
    /// What whoever asks may do.
    pub permissions: Permissions,
    pub(super) path: Vec<Uuid>,
    pub(super) location: String,
}

impl<R: Resource, S: Sync> FromRequestParts<S> for Collection<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found = find::<R::Parent, S>(parts, state).await?;
        Ok(Self {
            parent: found.node,
            db: found.db,
            permissions: found.permissions,
            path: found.path,
            location: found.location,
        })
    }
}

impl<R: Resource> fmt::Debug for Collection<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Collection").field(&R::TYPE).finish()
    }
}

/// The object that the path leads to: `/api/invoices/{invoice}/lines/{line}`. It is there, in what the
/// path says, and whoever asks may look at it and at all that it is in.
pub struct Item<R: Resource> {
    /// It.
    pub node: Node<R>,
    /// The database that it is in.
    pub db: TenantDb,
    /// What whoever asks may do.
    pub permissions: Permissions,
    pub(super) path: Vec<Uuid>,
}

impl<R: Resource, S: Sync> FromRequestParts<S> for Item<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found = find::<R, S>(parts, state).await?;
        Ok(Self {
            node: found.node,
            db: found.db,
            permissions: found.permissions,
            path: found.path,
        })
    }
}

impl<R: Resource> fmt::Debug for Item<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Item").field(&self.node).finish()
    }
}

struct Found<L: Level> {
    node: L::Node,
    db: TenantDb,
    permissions: Permissions,
    path: Vec<Uuid>,
    location: String,
}

async fn find<L: Level, S: Sync>(parts: &mut Parts, state: &S) -> Result<Found<L>, Problem> {
    let permissions = Permissions::from_request_parts(parts, state).await?;
    let path = path(parts, L::DEPTH).await?;
    let mut db = TenantDb::from_request_parts(parts, state).await?;
    let hidden = || {
        // who is not signed in is asked to be, whether it is there or not, unless they only look and
        // what is there is for everybody
        let is_open = parts.method.is_safe() && L::is_open(&permissions);
        if *permissions.principal() == Principal::Anonymous && !is_open {
            Problem::authentication_required()
        } else {
            Problem::not_found()
        }
    };
    let node = match L::load(&mut db, &path, false).await {
        Err(DbError::NotFound) => return Err(hidden()),
        other => other?,
    };
    L::require_readable(&node, &permissions).map_err(|_| hidden())?;
    let resolved = super::dispatch::Resolved::of(parts)?;
    Ok(Found {
        node,
        db,
        permissions,
        path,
        location: resolved.path.trim_end_matches('/').to_owned(),
    })
}

/// The first of the path's parameters, which are the objects from the outermost on.
async fn path(parts: &mut Parts, depth: usize) -> Result<Vec<Uuid>, Problem> {
    let given = RawPathParams::from_request_parts(parts, &())
        .await
        .map_err(|_| Problem::not_found())?;
    let mut ids = Vec::with_capacity(depth);
    for (_, id) in given.iter().take(depth) {
        ids.push(id.parse().map_err(|_| Problem::not_found())?);
    }
    if ids.len() < depth {
        tracing::error!("a route's path has fewer parameters than its objects are deep");
        return Err(Problem::failed());
    }
    Ok(ids)
}
