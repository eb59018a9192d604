use std::{fmt, marker::PhantomData};

use serde::Serialize;

use super::{
    DbError, Pipeline, Query,
    engine::Engine,
    event::{Announced, Event, Outlet},
    query::Target,
    timeout::Timeout,
    transaction::{Lock, Transaction},
};

/// Marks handles on which one tenant's data exists, and nothing else.
#[derive(Debug)]
pub enum TenantScope {}

/// Marks handles on which the application's shared tables exist, and no tenant's.
#[derive(Debug)]
pub enum CentralScope {}

/// A tenant's database. Another tenant's data cannot be reached through it, whatever is said.
///
/// It is made from a [`Tenant`](crate::Tenant) by [`Tenancy::db`](crate::Tenancy::db), or by
/// naming it as an argument of a handler. Cloning is cheap. Once the tenancy is closed or the
/// tenant deleted, every use is [`DbError::Closed`].
pub type TenantDb = Db<TenantScope>;

/// The application's shared tables, which belong to no tenant. See
/// [`Tenancy::central`](crate::Tenancy::central).
pub type CentralDb = Db<CentralScope>;

/// A transaction in a tenant's database.
pub type TenantTx = Tx<TenantScope>;

/// A transaction in the application's shared tables.
pub type CentralTx = Tx<CentralScope>;

/// A handle to a database; named [`TenantDb`] or [`CentralDb`].
///
/// The two are different types, and neither turns into the other:
///
/// ```compile_fail,E0308
/// # use tenantry::db::{CentralDb, TenantDb};
/// async fn products(db: TenantDb) {}
/// async fn leak(central: CentralDb) {
///     products(central).await;
/// }
/// ```
pub struct Db<S> {
    engine: Engine,
    /// Where it is told what happens here; nowhere for the library's own handles.
    outlet: Option<Outlet>,
    scope: PhantomData<fn() -> S>,
}

impl<S> Db<S> {
    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            engine,
            outlet: None,
            scope: PhantomData,
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The same, with statements that take as long as they take.
    pub(crate) fn unhurried(&self) -> Self {
        Self {
            engine: self.engine.clone().within(Timeout::Never),
            ..self.clone()
        }
    }

    /// A statement to be run by itself, with `$1`, `$2`, … where values are bound.
    ///
    /// ```
    /// # use tenantry::db::{DbError, FromRow, TenantDb};
    /// #[derive(FromRow)]
    /// struct Product { name: String, code: String }
    ///
    /// async fn cheap(db: &TenantDb) -> Result<Vec<Product>, DbError> {
    ///     db.query("SELECT name, code FROM products WHERE price < $1 ORDER BY name")
    ///         .bind(rust_decimal::Decimal::from(5))
    ///         .all()
    ///         .await
    /// }
    /// ```
    pub fn query(&self, sql: &str) -> Query<'_> {
        Query::new(Target::Alone(&self.engine), sql.into())
    }

    /// A statement that was built with sea-query.
    ///
    /// ```
    /// # use tenantry::db::{DbError, TenantDb};
    /// use sea_query::{Expr, ExprTrait, Query};
    ///
    /// async fn count(db: &TenantDb) -> Result<i64, DbError> {
    ///     let select = Query::select()
    ///         .expr(Expr::cust("count(*)"))
    ///         .from("products")
    ///         .and_where(Expr::col("code").eq("mug"))
    ///         .take();
    ///     db.statement(&select).scalar().await
    /// }
    /// ```
    pub fn statement(&self, statement: &impl sea_query::QueryStatementWriter) -> Query<'_> {
        Query::built(Target::Alone(&self.engine), statement)
    }

    /// Several statements to be sent together.
    pub fn pipeline(&self) -> Pipeline {
        Pipeline::new(self.engine.clone())
    }

    /// A transaction. It costs nothing until its first statement, and is rolled back when it is
    /// dropped without a [`commit`](Tx::commit).
    #[must_use]
    pub fn begin(&self) -> Tx<S> {
        Tx {
            inner: Transaction::new(self.engine.clone()),
            announced: Announced::through(self.outlet.clone()),
            scope: PhantomData,
        }
    }
}

impl TenantDb {
    /// The same, which tells what happens here.
    pub(crate) fn telling(self, outlet: Outlet) -> Self {
        Self {
            outlet: Some(outlet),
            ..self
        }
    }
}

impl<S> Clone for Db<S> {
    fn clone(&self) -> Self {
        Self {
            engine: self.engine.clone(),
            outlet: self.outlet.clone(),
            scope: PhantomData,
        }
    }
}

impl<S> fmt::Debug for Db<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").finish_non_exhaustive()
    }
}

/// A transaction; named [`TenantTx`] or [`CentralTx`].
///
/// After a statement of it has failed, every further one is [`DbError::Aborted`] until it, or the
/// [`Savepoint`] around that statement, is rolled back: the same on every engine.
pub struct Tx<S> {
    inner: Transaction,
    announced: Announced,
    scope: PhantomData<fn() -> S>,
}

impl<S> Tx<S> {
    /// A statement of the transaction; as [`Db::query`].
    pub fn query(&mut self, sql: &str) -> Query<'_> {
        Query::new(Target::Within(&mut self.inner), sql.into())
    }

    /// A statement of the transaction that was built with sea-query; as [`Db::statement`].
    pub fn statement(&mut self, statement: &impl sea_query::QueryStatementWriter) -> Query<'_> {
        Query::built(Target::Within(&mut self.inner), statement)
    }

    /// Begins a part that can be rolled back by itself.
    ///
    /// # Errors
    /// When the transaction is aborted or the database fails.
    pub async fn savepoint(&mut self) -> Result<Savepoint<'_, S>, DbError> {
        Savepoint::begin(&mut self.inner).await
    }

    /// Says statements of the library's own, which nobody vets.
    pub(crate) async fn say(&mut self, statements: Vec<String>) -> Result<(), DbError> {
        self.inner.control(statements).await
    }

    /// Makes the changes lasting and visible.
    ///
    /// # Errors
    /// [`DbError::Aborted`] when a statement had failed; then nothing was changed.
    pub async fn commit(self) -> Result<(), DbError> {
        let on_its_way = self.announced.on_its_way();
        let committed = self.inner.commit().await;
        if committed.is_err() {
            on_its_way.forget();
        }
        committed
    }

    /// Undoes the changes, and waits until that is done.
    ///
    /// # Errors
    /// When the database fails; the changes are undone then too.
    pub async fn rollback(self) -> Result<(), DbError> {
        self.inner.rollback().await
    }
}

impl Tx<TenantScope> {
    /// Tells those who [listen](crate::scoped::live) in this tenant, in every process, once the
    /// transaction is committed; nobody if it is rolled back. It is told at most once: whoever
    /// listens learns that something happened, and looks.
    ///
    /// ```
    /// # use tenantry::db::{DbError, TenantDb};
    /// async fn rename(db: &TenantDb, code: &str, name: &str) -> Result<(), DbError> {
    ///     let mut tx = db.begin();
    ///     tx.query("UPDATE products SET name = $2 WHERE code = $1")
    ///         .bind(code).bind(name).execute().await?;
    ///     tx.publish("products", &code)?;
    ///     tx.commit().await
    /// }
    /// ```
    ///
    /// # Errors
    /// When the topic is longer than 100 bytes or has a line's end in it, or the data has more than
    /// 16 KiB as JSON.
    pub fn publish(&mut self, topic: &str, data: &impl Serialize) -> Result<(), DbError> {
        self.announced.add(Event::new(topic, data)?);
        Ok(())
    }

    /// Holds a lock, beside others who hold it so, until the transaction ends. Where there is one
    /// writer, who writes holds it alone.
    pub(crate) async fn lock_shared(&mut self, key: i64) -> Result<(), DbError> {
        self.inner.lock(Lock::Shared, key).await
    }

    /// Holds a lock alone until the transaction ends.
    pub(crate) async fn lock_alone(&mut self, key: i64) -> Result<(), DbError> {
        self.inner.lock(Lock::Alone, key).await
    }

    /// As [`lock_alone`](Self::lock_alone), of a lock that nobody holds.
    ///
    /// # Errors
    /// [`DbError::Busy`] when somebody holds it. The transaction is aborted then.
    pub(crate) async fn lock_if_free(&mut self, key: i64) -> Result<(), DbError> {
        self.inner.lock(Lock::IfFree, key).await
    }

    /// Whether it is one on this handle's database.
    pub(crate) fn is_on(&self, db: &TenantDb) -> bool {
        self.inner.engine().is_place_of(db.engine())
    }
}

impl<S> fmt::Debug for Tx<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}

/// A part of a transaction, rolled back when it is dropped without a
/// [`release`](Savepoint::release).
pub struct Savepoint<'t, S> {
    inner: &'t mut Transaction,
    depth: u32,
    open: bool,
    scope: PhantomData<fn() -> S>,
}

impl<'t, S> Savepoint<'t, S> {
    async fn begin(inner: &'t mut Transaction) -> Result<Self, DbError> {
        let depth = inner.savepoint().await?;
        Ok(Self {
            inner,
            depth,
            open: true,
            scope: PhantomData,
        })
    }

    /// A statement of the transaction; as [`Db::query`].
    pub fn query(&mut self, sql: &str) -> Query<'_> {
        Query::new(Target::Within(self.inner), sql.into())
    }

    /// A statement of the transaction that was built with sea-query; as [`Db::statement`].
    pub fn statement(&mut self, statement: &impl sea_query::QueryStatementWriter) -> Query<'_> {
        Query::built(Target::Within(self.inner), statement)
    }

    /// Begins a savepoint within this one.
    ///
    /// # Errors
    /// When the transaction is aborted or the database fails.
    pub async fn savepoint(&mut self) -> Result<Savepoint<'_, S>, DbError> {
        Savepoint::begin(self.inner).await
    }

    /// Keeps its changes, as far as the transaction around it is committed.
    ///
    /// # Errors
    /// [`DbError::Aborted`] when a statement had failed; then its changes are undone.
    pub async fn release(mut self) -> Result<(), DbError> {
        self.open = false;
        self.inner.release(self.depth).await
    }
}

impl<S> Drop for Savepoint<'_, S> {
    fn drop(&mut self) {
        if self.open {
            self.inner.abandon(self.depth);
        }
    }
}

impl<S> fmt::Debug for Savepoint<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Savepoint")
            .field("depth", &self.depth)
            .finish_non_exhaustive()
    }
}

/// Whatever statements of one scope can be run on: a handle, a transaction, a savepoint.
///
/// ```
/// # use tenantry::db::{DbError, Executor, TenantScope};
/// async fn restock(on: &mut impl Executor<TenantScope>, code: &str) -> Result<u64, DbError> {
///     on.query("UPDATE products SET stock = 10 WHERE code = $1").bind(code).execute().await
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` runs no statements of the `{S}`",
    note = "a tenant's handle, transaction or savepoint runs those of the `TenantScope`, the \
            central ones those of the `CentralScope`"
)]
pub trait Executor<S>: Send + sealed::Sealed {
    /// A statement; as [`Db::query`].
    fn query(&mut self, sql: &str) -> Query<'_>;
}

impl<S> Executor<S> for Db<S> {
    fn query(&mut self, sql: &str) -> Query<'_> {
        Self::query(self, sql)
    }
}

impl<S> Executor<S> for Tx<S> {
    fn query(&mut self, sql: &str) -> Query<'_> {
        Self::query(self, sql)
    }
}

impl<S> Executor<S> for Savepoint<'_, S> {
    fn query(&mut self, sql: &str) -> Query<'_> {
        Self::query(self, sql)
    }
}

mod sealed {
    pub trait Sealed {}
    impl<S> Sealed for super::Db<S> {}
    impl<S> Sealed for super::Tx<S> {}
    impl<S> Sealed for super::Savepoint<'_, S> {}
}
