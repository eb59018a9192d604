//! What is prepared on a connection.

use std::{num::NonZeroUsize, sync::Arc};

use lru::LruCache;
use tokio_postgres::Statement;

use super::Scope;

/// How many prepared statements a connection keeps. A backend's memory grows with them.
const MOST: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// The lowest number that PostgreSQL gives to a type that is not its own.
const FIRST_OF_USERS: u32 = 16_384;

/// A connection's prepared statements, by their text and by who says it: the library's own are not
/// vetted, and those on shared tables are rewritten.
pub(super) struct Statements(LruCache<(bool, bool, Arc<str>), Prepared>);

struct Prepared {
    statement: Statement,
    /// The one scope it can be used in, if it names types of that schema. Tables are looked up
    /// anew when another schema comes first in the path, but the types of parameters are not.
    only_in: Option<Arc<str>>,
}

impl Statements {
    pub(super) fn new() -> Self {
        Self(LruCache::new(MOST))
    }

    pub(super) fn get(&mut self, scope: &Scope, sql: &Arc<str>) -> Option<Statement> {
        let prepared = self.0.get(&key(scope, sql))?;
        let usable = prepared
            .only_in
            .as_ref()
            .is_none_or(|only| *only == scope.begin);
        usable.then(|| prepared.statement.clone())
    }

    pub(super) fn put(&mut self, scope: &Scope, sql: &Arc<str>, statement: Statement) {
        let results = statement.columns().iter().map(|column| column.type_());
        let own = statement
            .params()
            .iter()
            .chain(results)
            .any(|ty| ty.oid() >= FIRST_OF_USERS);
        let prepared = Prepared {
            statement,
            only_in: (own && !scope.shared).then(|| scope.begin.clone()),
        };
        self.0.put(key(scope, sql), prepared);
    }

    pub(super) fn forget(&mut self, scope: &Scope, sql: &Arc<str>) {
        self.0.pop(&key(scope, sql));
    }
}

fn key(scope: &Scope, sql: &Arc<str>) -> (bool, bool, Arc<str>) {
    (scope.trusted, scope.shared, sql.clone())
}
