//! What is prepared on a connection.

use std::{num::NonZeroUsize, sync::Arc};

use lru::LruCache;
use tokio_postgres::Statement;

use super::Scope;

/// How many prepared statements a connection keeps of each kind. A backend's memory grows with them.
const MOST: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// How many it keeps that are for one schema alone: some 20 MB.
pub(super) const MOST_OF_SCHEMAS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// The lowest number that PostgreSQL gives to a type that is not its own.
const FIRST_OF_USERS: u32 = 16_384;

/// A connection's prepared statements, by their text and by who says it: the library's own are not
/// vetted, and those on shared tables are rewritten.
///
/// PostgreSQL plans a statement anew whenever it is run with another schema first in the path than
/// the last time, which takes about as long as running it. So what is said in the same schema again
/// is prepared once more, for that schema alone; what is said there once costs nothing but the
/// planning.
///
/// A plain read of shared tables is prepared once more too, so that it enters the scope by itself.
pub(super) struct Statements {
    common: LruCache<(bool, bool, Arc<str>), Common>,
    /// By text and by the schema's scope. Nothing yet where it was said there once.
    of_schema: LruCache<(Arc<str>, Arc<str>), Option<Prepared>>,
    /// By text. Nothing where that cannot be done.
    entering: LruCache<Arc<str>, Option<Prepared>>,
}

/// A prepared statement.
#[derive(Clone)]
pub(super) struct Prepared {
    pub(super) statement: Statement,
    pub(super) needs: Needs,
}

/// What a statement needs to be in its scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// A transaction that has entered it.
    Transaction,
    /// Nothing: it names each table with its schema.
    Nothing,
    /// The tenant, as a further parameter: it enters the scope by itself.
    Tenant,
}

struct Common {
    statement: Statement,
    /// The one scope it can be used in, if it names types of that schema. Tables are looked up
    /// anew when another schema comes first in the path, but the types of parameters are not.
    only_in: Option<Arc<str>>,
}

/// What there is of a statement.
pub(super) enum Found {
    Prepared(Prepared),
    /// It is worth being prepared so that it needs no transaction.
    Worth,
    Nothing,
}

impl Statements {
    pub(super) fn new() -> Self {
        Self {
            common: LruCache::new(MOST),
            of_schema: LruCache::new(MOST_OF_SCHEMAS),
            entering: LruCache::new(MOST),
        }
    }

    /// The statement to use within a transaction.
    pub(super) fn get(&mut self, scope: &Scope, sql: &Arc<str>) -> Option<Statement> {
        match self.of_schema.get(&schema_key(scope, sql)) {
            Some(Some(own)) if scope.is_schema() => Some(own.statement.clone()),
            _ => self.get_common(scope, sql),
        }
    }

    /// The statement to use by itself.
    pub(super) fn find(&mut self, scope: &Scope, sql: &Arc<str>) -> Found {
        if scope.is_schema() {
            match self.of_schema.get(&schema_key(scope, sql)) {
                Some(Some(own)) => return Found::Prepared(own.clone()),
                Some(None) => return Found::Worth,
                None => {
                    self.of_schema.put(schema_key(scope, sql), None);
                }
            }
        } else if scope.tenant.is_some() {
            match self.entering.get(sql) {
                Some(Some(entering)) => return Found::Prepared(entering.clone()),
                Some(None) => {}
                None => return Found::Worth,
            }
        }
        match self.get_common(scope, sql) {
            Some(statement) => Found::Prepared(Prepared {
                statement,
                needs: Needs::Transaction,
            }),
            None => Found::Nothing,
        }
    }

    fn get_common(&mut self, scope: &Scope, sql: &Arc<str>) -> Option<Statement> {
        let common = self.common.get(&key(scope, sql))?;
        let usable = common
            .only_in
            .as_ref()
            .is_none_or(|only| *only == scope.begin);
        usable.then(|| common.statement.clone())
    }

    /// Keeps a statement for every scope that may say it.
    pub(super) fn put(&mut self, scope: &Scope, sql: &Arc<str>, statement: Statement) {
        let results = statement.columns().iter().map(|column| column.type_());
        let own = statement
            .params()
            .iter()
            .chain(results)
            .any(|ty| ty.oid() >= FIRST_OF_USERS);
        let common = Common {
            statement,
            only_in: (own && !scope.shared).then(|| scope.begin.clone()),
        };
        self.common.put(key(scope, sql), common);
    }

    /// Keeps a statement that was [worth](Found::Worth) being prepared, or that it cannot be.
    pub(super) fn put_alone(&mut self, scope: &Scope, sql: &Arc<str>, prepared: Option<Prepared>) {
        if scope.is_schema() {
            self.of_schema.put(schema_key(scope, sql), prepared);
        } else {
            self.entering.put(sql.clone(), prepared);
        }
    }

    pub(super) fn forget(&mut self, scope: &Scope, sql: &Arc<str>) {
        self.common.pop(&key(scope, sql));
        self.of_schema.pop(&schema_key(scope, sql));
        self.entering.pop(sql);
    }
}

fn schema_key(scope: &Scope, sql: &Arc<str>) -> (Arc<str>, Arc<str>) {
    (sql.clone(), scope.begin.clone())
}

fn key(scope: &Scope, sql: &Arc<str>) -> (bool, bool, Arc<str>) {
    (scope.trusted, scope.shared, sql.clone())
}
