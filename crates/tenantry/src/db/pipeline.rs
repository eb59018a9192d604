use std::{any::Any, marker::PhantomData, sync::Arc};

use super::{DbError, Engine, FromRow, FromValue, Row, Value, query::First, row::Ignored};

/// Several statements that are sent together: in one transaction, and on PostgreSQL in one round
/// trip. All of them are done, or none.
///
/// ```
/// # use tenantry::db::{DbError, TenantDb};
/// async fn front(db: &TenantDb) -> Result<(i64, Vec<(String,)>), DbError> {
///     let mut pipeline = db.pipeline();
///     let count = pipeline.query("SELECT count(*) FROM products").scalar::<i64>();
///     let names = pipeline.query("SELECT name FROM products LIMIT $1").bind(20_i64).all();
///     let mut answers = pipeline.run().await?;
///     Ok((answers.take(count)?, answers.take(names)?))
/// }
/// ```
#[must_use = "nothing is sent until it is run"]
pub struct Pipeline {
    engine: Engine,
    steps: Vec<Step>,
    refused: Option<DbError>,
}

/// One statement of a pipeline, on its way to the engine.
pub(super) struct Step {
    pub(super) sql: Arc<str>,
    pub(super) params: Vec<Value>,
    pub(super) sink: Box<dyn Sink>,
}

impl Step {
    /// As it was before it was run.
    pub(super) fn again(mut self) -> Self {
        self.sink.clear();
        self
    }
}

/// Where a statement's rows go.
pub(super) trait Sink: Send {
    fn row(&mut self, row: &Row<'_>) -> Result<(), DbError>;
    fn clear(&mut self);
    fn finish(self: Box<Self>, count: u64) -> Box<dyn Any + Send>;
}

/// Where a statement's answer will be found.
#[derive(Debug)]
pub struct Slot<R>(usize, PhantomData<fn() -> R>);

/// The answers of a pipeline.
pub struct Answers(Vec<Option<Box<dyn Any + Send>>>);

impl Pipeline {
    pub(super) fn new(engine: Engine) -> Self {
        Self {
            engine,
            steps: Vec::new(),
            refused: None,
        }
    }

    /// Adds a statement; as [`Db::query`](super::Db::query).
    pub fn query(&mut self, sql: &str) -> PipelineQuery<'_> {
        PipelineQuery {
            sql: sql.into(),
            params: Vec::new(),
            pipeline: self,
        }
    }

    /// Runs them all, in order.
    ///
    /// # Errors
    /// The first failure. Then none of them has been done.
    pub async fn run(self) -> Result<Answers, DbError> {
        match self.refused {
            Some(error) => Err(error),
            None if self.steps.is_empty() => Ok(Answers(Vec::new())),
            None => {
                let answers = self.engine.run_pipeline(self.steps).await?;
                Ok(Answers(answers.into_iter().map(Some).collect()))
            }
        }
    }
}

impl Answers {
    /// The answer to one of the statements. It is there once.
    ///
    /// # Errors
    /// As the statement's method says; [`DbError::NotFound`] too when it was taken before.
    pub fn take<R: 'static>(&mut self, slot: Slot<R>) -> Result<R, DbError> {
        self.0
            .get_mut(slot.0)
            .and_then(Option::take)
            .and_then(|answer| answer.downcast::<Result<R, DbError>>().ok())
            .map_or(Err(DbError::NotFound), |answer| *answer)
    }
}

/// A statement of a pipeline, with its parameters.
#[must_use = "a statement is not part of the pipeline until it is told what is wanted of it"]
pub struct PipelineQuery<'p> {
    pipeline: &'p mut Pipeline,
    sql: Arc<str>,
    params: Vec<Value>,
}

impl PipelineQuery<'_> {
    /// Binds the next parameter.
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        let value = value.into();
        if let Err(error) = value.check() {
            self.pipeline.refused.get_or_insert(error);
        }
        self.params.push(value);
        self
    }

    /// Every row; as [`Query::all`](super::Query::all).
    pub fn all<T: FromRow + Send + 'static>(self) -> Slot<Vec<T>> {
        self.add(usize::MAX, |rows: Vec<T>, _| Ok(rows))
    }

    /// The one row there is; as [`Query::one`](super::Query::one).
    pub fn one<T: FromRow + Send + 'static>(self) -> Slot<T> {
        self.add(2, |rows, _| only(rows)?.ok_or(DbError::NotFound))
    }

    /// The one row there is, if there is one; as [`Query::optional`](super::Query::optional).
    pub fn optional<T: FromRow + Send + 'static>(self) -> Slot<Option<T>> {
        self.add(2, |rows, _| only(rows))
    }

    /// The first column of the one row there is; as [`Query::scalar`](super::Query::scalar).
    pub fn scalar<T: FromValue + Send + 'static>(self) -> Slot<T> {
        self.add(2, |rows: Vec<First<T>>, _| {
            only(rows)?.map(|first| first.0).ok_or(DbError::NotFound)
        })
    }

    /// Its effect, and how many rows it changed; as [`Query::execute`](super::Query::execute).
    pub fn execute(self) -> Slot<u64> {
        self.add(0, |_: Vec<Ignored>, count| Ok(count))
    }

    fn add<T: FromRow + Send + 'static, R: Send + 'static>(
        self,
        most: usize,
        finish: fn(Vec<T>, u64) -> Result<R, DbError>,
    ) -> Slot<R> {
        let slot = Slot(self.pipeline.steps.len(), PhantomData);
        self.pipeline.steps.push(Step {
            sql: self.sql,
            params: self.params,
            sink: Box::new(Typed {
                rows: Vec::new(),
                most,
                finish,
            }),
        });
        slot
    }
}

struct Typed<T, R> {
    rows: Vec<T>,
    most: usize,
    finish: fn(Vec<T>, u64) -> Result<R, DbError>,
}

impl<T: FromRow + Send, R: Send + 'static> Sink for Typed<T, R> {
    fn row(&mut self, row: &Row<'_>) -> Result<(), DbError> {
        if self.rows.len() < self.most {
            self.rows.push(T::from_row(row)?);
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.rows.clear();
    }

    fn finish(self: Box<Self>, count: u64) -> Box<dyn Any + Send> {
        Box::new((self.finish)(self.rows, count))
    }
}

fn only<T>(mut rows: Vec<T>) -> Result<Option<T>, DbError> {
    let row = rows.pop();
    if rows.is_empty() {
        Ok(row)
    } else {
        Err(DbError::TooManyRows)
    }
}
