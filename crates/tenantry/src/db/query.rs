use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::Stream;

use super::{
    DbError, FromRow, FromValue, Row, Value,
    engine::{Engine, Kind},
    meter::{Account, Quantity},
    postgres::{self, scope::NOT_WAITING},
    row::Ignored,
    sqlite,
    transaction::Transaction,
};

/// A statement with its parameters, on its way to a database.
///
/// It does nothing until one of [`all`](Self::all), [`one`](Self::one),
/// [`optional`](Self::optional), [`scalar`](Self::scalar), [`execute`](Self::execute) or
/// [`stream`](Self::stream) is awaited. Dropping that future stops the statement.
#[must_use = "a statement does nothing until it is run"]
pub struct Query<'a> {
    target: Target<'a>,
    sql: Arc<str>,
    params: Vec<Value>,
    /// What was wrong with the statement before it could be run.
    refused: Option<DbError>,
}

pub(crate) enum Target<'a> {
    Alone(&'a Engine),
    Within(&'a mut Transaction),
}

impl<'a> Query<'a> {
    pub(crate) fn new(target: Target<'a>, sql: Arc<str>) -> Self {
        Self {
            target,
            sql,
            params: Vec::new(),
            refused: None,
        }
    }

    pub(crate) fn built(
        target: Target<'a>,
        statement: &impl sea_query::QueryStatementWriter,
    ) -> Self {
        // both engines understand PostgreSQL's spelling of what can be built
        let (sql, values) = statement.build(sea_query::PostgresQueryBuilder);
        let mut query = Self::new(target, sql.into());
        for value in values {
            query = match super::sea::convert(value) {
                Ok(value) => query.bind(value),
                Err(error) => query.refuse(error),
            };
        }
        query
    }

    fn refuse(mut self, error: DbError) -> Self {
        self.refused.get_or_insert(error);
        self
    }

    /// Binds the next parameter: the first call `$1`, the second `$2`.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        let value = value.into();
        if let Err(error) = value.check() {
            return self.refuse(error);
        }
        self.params.push(value);
        self
    }

    async fn fetch<T: FromRow + Send + 'static>(
        self,
        most: usize,
    ) -> Result<(Vec<T>, u64), DbError> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        match self.target {
            Target::Alone(engine) => engine.fetch(self.sql, self.params, most).await,
            Target::Within(transaction) => {
                transaction.fetch(self.sql, self.params.into(), most).await
            }
        }
    }

    /// Runs it by itself, where it need not be lasting before what is written there next is.
    pub(crate) async fn execute_ahead(self) -> Result<(), DbError> {
        let (engine, params) = match (self.refused, self.target) {
            (Some(error), _) => return Err(error),
            (None, Target::Alone(engine)) => (engine, self.params.into()),
            // that lasts when the transaction does
            (None, Target::Within(transaction)) => {
                let done = transaction.fetch::<Ignored>(self.sql, self.params.into(), 0);
                return done.await.map(drop);
            }
        };
        if let Kind::Sqlite(database) = &engine.kind {
            return sqlite::execute_ahead(database, self.sql, params).await;
        }
        let mut transaction = Transaction::new(engine.clone());
        transaction.control(vec![NOT_WAITING.into()]).await?;
        match transaction.fetch::<Ignored>(self.sql, params, 0).await {
            Ok(_) => transaction.commit().await,
            Err(error) => transaction.rollback().await.and(Err(error)),
        }
    }

    /// Every row.
    ///
    /// # Errors
    /// When the statement fails, or a row cannot be read as a `T`.
    pub async fn all<T: FromRow + Send + 'static>(self) -> Result<Vec<T>, DbError> {
        Ok(self.fetch(usize::MAX).await?.0)
    }

    /// Up to `most` rows, and how many there are; or else how many rows it changed.
    ///
    /// # Errors
    /// As [`all`](Self::all).
    pub async fn some<T: FromRow + Send + 'static>(
        self,
        most: usize,
    ) -> Result<(Vec<T>, u64), DbError> {
        self.fetch(most).await
    }

    /// The one row there is.
    ///
    /// # Errors
    /// [`DbError::NotFound`] when there is none, [`DbError::TooManyRows`] when there are more,
    /// and as [`all`](Self::all).
    pub async fn one<T: FromRow + Send + 'static>(self) -> Result<T, DbError> {
        self.optional().await?.ok_or(DbError::NotFound)
    }

    /// The one row there is, if there is one.
    ///
    /// # Errors
    /// [`DbError::TooManyRows`] when there are more, and as [`all`](Self::all).
    pub async fn optional<T: FromRow + Send + 'static>(self) -> Result<Option<T>, DbError> {
        let (mut rows, _) = self.fetch(2).await?;
        let row = rows.pop();
        if !rows.is_empty() {
            return Err(DbError::TooManyRows);
        }
        Ok(row)
    }

    /// The first column of the one row there is.
    ///
    /// # Errors
    /// As [`one`](Self::one).
    pub async fn scalar<T: FromValue + Send + 'static>(self) -> Result<T, DbError> {
        Ok(self.one::<First<T>>().await?.0)
    }

    /// Runs it for its effect, and tells how many rows it changed (or returned).
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn execute(self) -> Result<u64, DbError> {
        Ok(self.fetch::<Ignored>(0).await?.1)
    }

    /// The rows one by one, for answers too large to hold. A connection is kept busy until the
    /// stream ends or is dropped.
    ///
    /// # Errors
    /// When the statement cannot be begun; a later failure is an item of the stream.
    pub async fn stream<T: FromRow + Send + 'static>(self) -> Result<RowStream<'a, T>, DbError> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        let params = self.params.into();
        let (rows, account) = match self.target {
            Target::Alone(engine) => (
                engine.stream(self.sql, params).await?,
                engine.account.clone(),
            ),
            Target::Within(transaction) => (
                transaction.stream(self.sql, params).await?,
                transaction.engine().account.clone(),
            ),
        };
        Ok(RowStream {
            rows,
            account,
            borrowed: std::marker::PhantomData,
        })
    }
}

/// The rows of one engine's stream.
pub(crate) enum Rows<T> {
    Sqlite(sqlite::Rows<T>),
    Postgres(postgres::Rows<T>),
    Nothing,
}

/// The rows of [`Query::stream`].
pub struct RowStream<'a, T> {
    rows: Rows<T>,
    account: Account,
    /// A transaction cannot be used while its rows are being read.
    borrowed: std::marker::PhantomData<&'a ()>,
}

/// Being dropped counts as a use, so that a transaction cannot be used before its stream is dropped:
/// it would wait for the stream to end, and the stream for its reader.
impl<T> Drop for RowStream<'_, T> {
    fn drop(&mut self) {}
}

impl<T> Stream for RowStream<'_, T> {
    type Item = Result<T, DbError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = match &mut self.rows {
            Rows::Sqlite(rows) => Pin::new(rows).poll_next(context),
            Rows::Postgres(rows) => Pin::new(rows).poll_next(context),
            Rows::Nothing => Poll::Ready(None),
        };
        if let Poll::Ready(Some(Ok(_))) = &polled {
            self.account.add(Quantity::Rows, 1);
        }
        polled
    }
}

pub(super) struct First<T>(pub(super) T);

impl<T: FromValue> FromRow for First<T> {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        row.at(0).map(Self)
    }
}
