//! Lists of migrations.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, OnceLock},
};

use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};

use crate::{
    db::{TenantTx, sqlite::ddl},
    lifecycle::SeedError,
};

/// What the names of the library's own migrations begin with.
const OURS: &str = "tenantry_";

/// A line of a SQLite twin by which it runs with foreign keys not enforced, as a table that others
/// point to can only be rebuilt so. They are looked at before it is committed.
const FOREIGN_KEYS_OFF: &str = "-- foreign keys: off";

/// An ordered list of migrations.
///
/// ```
/// use tenantry::migrate::Migrations;
///
/// let migrations = Migrations::new()
///     .sql("0001_products", "CREATE TABLE products (id uuid PRIMARY KEY, name text NOT NULL)")
///     .sql("0002_price", "ALTER TABLE products ADD COLUMN price numeric(12, 2)");
/// assert_eq!(migrations.names().last(), Some("0002_price"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Migrations(Vec<Migration>);

#[derive(Debug, Clone)]
pub(crate) struct Migration {
    pub(crate) name: Cow<'static, str>,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Sql(Text),
    Twins { sqlite: Text, postgres: Text },
    Function(Function),
}

/// One text, and what is made of it once.
#[derive(Debug, Clone)]
struct Text {
    sql: Cow<'static, str>,
    checksum: String,
    for_sqlite: OnceLock<String>,
}

impl Text {
    fn new(sql: Cow<'static, str>) -> Self {
        Self {
            checksum: hex::encode(Sha256::digest(sql.as_bytes())),
            sql,
            for_sqlite: OnceLock::new(),
        }
    }
}

/// What a migration's function returns.
pub type Stepping<'t> = BoxFuture<'t, Result<(), SeedError>>;

#[derive(Clone)]
pub(crate) struct Function(Arc<dyn Fn(&mut TenantTx) -> Stepping<'_> + Send + Sync>);

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function")
    }
}

impl Function {
    pub(crate) fn run<'t>(&self, tx: &'t mut TenantTx) -> Stepping<'t> {
        (self.0)(tx)
    }
}

/// Whose words a migration is said in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Migration {
    fn text(&self, dialect: Dialect) -> Option<&Text> {
        match (&self.what, dialect) {
            (What::Sql(text), _)
            | (What::Twins { sqlite: text, .. }, Dialect::Sqlite)
            | (What::Twins { postgres: text, .. }, Dialect::Postgres) => Some(text),
            (What::Function(_), _) => None,
        }
    }

    /// What it was applied as. A function's text cannot be watched.
    pub(crate) fn checksum(&self, dialect: Dialect) -> &str {
        self.text(dialect)
            .map_or("function", |text| text.checksum.as_str())
    }

    /// Its statements on PostgreSQL, unless it is a function.
    pub(crate) fn postgres(&self) -> Option<&str> {
        self.text(Dialect::Postgres).map(|text| text.sql.as_ref())
    }

    /// Its statements as SQLite is to be told them, unless it is a function.
    pub(crate) fn sqlite(&self) -> Option<&str> {
        let text = self.text(Dialect::Sqlite)?;
        Some(text.for_sqlite.get_or_init(|| ddl::for_sqlite(&text.sql)))
    }

    /// Whether SQLite is not to enforce foreign keys meanwhile.
    pub(crate) fn rebuilds(&self) -> bool {
        matches!(&self.what, What::Twins { sqlite, .. }
            if sqlite.sql.lines().any(|line| line.trim() == FOREIGN_KEYS_OFF))
    }

    pub(crate) fn function(&self) -> Option<&Function> {
        match &self.what {
            What::Function(function) => Some(function),
            What::Sql(_) | What::Twins { .. } => None,
        }
    }

    pub(crate) fn is_ours(&self) -> bool {
        is_ours(&self.name)
    }
}

/// Whether a migration of that name is the library's own.
pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with(OURS)
}

impl Migrations {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a migration of SQL statements. Once it has been applied anywhere its text must not
    /// change: that is found by its checksum, and refused.
    ///
    /// # Panics
    /// When `name` does not sort after the name before it, which is a mistake in the program.
    #[must_use]
    pub fn sql(
        self,
        name: impl Into<Cow<'static, str>>,
        sql: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.with(name.into(), What::Sql(Text::new(sql.into())))
    }

    /// Adds a migration that each engine is told in its own words, where they cannot share a text.
    ///
    /// A SQLite twin with the line `-- foreign keys: off` runs with foreign keys not enforced, as
    /// rebuilding a table that others point to needs; they are looked at before it is committed.
    ///
    /// ```
    /// # use tenantry::migrate::Migrations;
    /// let migrations = Migrations::new()
    ///     .sql("0001_notes", "CREATE TABLE notes (text text NOT NULL, words bigint)")
    ///     .twins(
    ///         "0002_words",
    ///         "UPDATE notes SET words = length(text) - length(replace(text, ' ', '')) + 1",
    ///         "UPDATE notes SET words = cardinality(string_to_array(text, ' '))",
    ///     );
    /// ```
    ///
    /// # Panics
    /// As [`sql`](Self::sql).
    #[must_use]
    pub fn twins(
        self,
        name: impl Into<Cow<'static, str>>,
        sqlite: impl Into<Cow<'static, str>>,
        postgres: impl Into<Cow<'static, str>>,
    ) -> Self {
        let what = What::Twins {
            sqlite: Text::new(sqlite.into()),
            postgres: Text::new(postgres.into()),
        };
        self.with(name.into(), what)
    }

    /// Adds the migrations that files are, by their names and texts: `0001_notes.sql`, or the pair
    /// of `0002_words.sqlite.sql` and `0002_words.postgres.sql`.
    ///
    /// ```
    /// # use tenantry::migrate::Migrations;
    /// let migrations = Migrations::new().files([
    ///     ("0001_notes.sql", "CREATE TABLE notes (text text NOT NULL, words bigint)"),
    ///     ("0002_words.sqlite.sql", "UPDATE notes SET words = 1"),
    ///     ("0002_words.postgres.sql", "UPDATE notes SET words = cardinality(string_to_array(text, ' '))"),
    /// ]);
    /// assert!(migrations.names().eq(["0001_notes", "0002_words"]));
    /// ```
    ///
    /// # Panics
    /// When a name does not end so, a twin is alone, or names are not in order: mistakes in the
    /// program.
    #[must_use]
    pub fn files<'f>(self, files: impl IntoIterator<Item = (&'f str, &'static str)>) -> Self {
        let mut list = self;
        let mut files = files.into_iter().peekable();
        while let Some((file, text)) = files.next() {
            let (name, dialect) = name_of(file);
            let Some(dialect) = dialect else {
                list = list.sql(name.to_owned(), text);
                continue;
            };
            let twin = files.next_if(|(other, _)| {
                matches!(name_of(other), (same, Some(other)) if same == name && other != dialect)
            });
            let Some((_, other)) = twin else {
                panic!("the migration {file:?} is a twin, and the other does not follow it");
            };
            list = match dialect {
                Dialect::Sqlite => list.twins(name.to_owned(), text, other),
                Dialect::Postgres => list.twins(name.to_owned(), other, text),
            };
        }
        list
    }

    /// Adds a migration that is a function: it is given a transaction in the tenant's scope, in
    /// which its being applied is recorded as well. It can do what a handle can, so it changes rows
    /// and no tables.
    ///
    /// With tenants that share tables it runs for each of them, and what stands after it in the
    /// list only when it has run for all.
    ///
    /// ```
    /// # use tenantry::migrate::Migrations;
    /// let migrations = Migrations::new()
    ///     .sql("0001_notes", "CREATE TABLE notes (id bigint PRIMARY KEY, text text NOT NULL)")
    ///     .function("0002_greeting", |tx| Box::pin(async move {
    ///         tx.query("UPDATE notes SET text = $1").bind("hello").execute().await?;
    ///         Ok(())
    ///     }));
    /// ```
    ///
    /// # Panics
    /// As [`sql`](Self::sql).
    #[must_use]
    pub fn function<F>(self, name: impl Into<Cow<'static, str>>, function: F) -> Self
    where
        F: Fn(&mut TenantTx) -> Stepping<'_> + Send + Sync + 'static,
    {
        self.with(name.into(), What::Function(Function(Arc::new(function))))
    }

    fn with(mut self, name: Cow<'static, str>, what: What) -> Self {
        if let Some(last) = self.0.last() {
            assert!(
                last.name < name,
                "migration {name:?} must sort after {:?}",
                last.name
            );
        }
        self.0.push(Migration { name, what });
        self
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|migration| migration.name.as_ref())
    }

    /// Both lists, these first.
    pub(crate) fn followed_by(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Migration> {
        self.0.iter()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Migration> {
        self.0.iter().find(|migration| migration.name == name)
    }

    /// Those of the list that are named.
    pub(crate) fn only(&self, names: &[String]) -> Self {
        let named = |one: &&Migration| names.iter().any(|name| *name == one.name);
        Self(self.0.iter().filter(named).cloned().collect())
    }

    /// The list up to its first function.
    pub(crate) fn before_functions(&self) -> Self {
        let sql = self.0.iter().take_while(|one| one.function().is_none());
        Self(sql.cloned().collect())
    }

    /// What a database at the end of this list is labelled with: the last name, and a digest of
    /// all names.
    #[must_use]
    pub fn version(&self) -> String {
        let mut digest = Sha256::new();
        for name in self.names() {
            digest.update(name);
            digest.update([0]);
        }
        let last = self.names().last().unwrap_or("empty");
        format!("{last}@{}", &hex::encode(digest.finalize())[..8])
    }

    /// A digest of all names and texts, for SQLite.
    pub(crate) fn fingerprint(&self) -> String {
        let mut digest = Sha256::new();
        for migration in &self.0 {
            digest.update(&*migration.name);
            digest.update(migration.checksum(Dialect::Sqlite));
        }
        hex::encode(&digest.finalize()[..8])
    }
}

fn name_of(file: &str) -> (&str, Option<Dialect>) {
    let Some(name) = file.strip_suffix(".sql") else {
        panic!("the migration {file:?} is not a .sql file");
    };
    if let Some(name) = name.strip_suffix(".sqlite") {
        (name, Some(Dialect::Sqlite))
    } else if let Some(name) = name.strip_suffix(".postgres") {
        (name, Some(Dialect::Postgres))
    } else {
        (name, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twins_are_paired_whichever_comes_first() {
        let list = Migrations::new().files([
            ("0001_a.postgres.sql", "p"),
            ("0001_a.sqlite.sql", "SELECT 1"),
            ("0002_b.sql", "SELECT 2"),
        ]);
        let first = list.get("0001_a").unwrap();
        assert_eq!(first.postgres(), Some("p"));
        assert_eq!(first.sqlite().unwrap().trim(), "SELECT 1;");
        assert_ne!(
            first.checksum(Dialect::Sqlite),
            first.checksum(Dialect::Postgres)
        );
        assert!(list.names().eq(["0001_a", "0002_b"]));
    }

    #[test]
    #[should_panic(expected = "the other does not follow it")]
    fn a_twin_alone_is_a_mistake() {
        drop(Migrations::new().files([("0001_a.sqlite.sql", ""), ("0002_b.postgres.sql", "")]));
    }

    #[test]
    #[should_panic(expected = "must sort after")]
    fn names_out_of_order_are_a_mistake() {
        drop(Migrations::new().sql("0002_b", "").sql("0001_a", ""));
    }
}
