//! The SQL by which a connection enters a scope: all of it, in one place.
//!
//! Everything is `SET LOCAL`, so it ends with the transaction and nothing of it stays on a
//! connection, nor on one of a pooler's. `pg_temp` comes last in every path, so that a table that
//! was left there cannot take the place of a tenant's; `public` is in none.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::server::Server;
use crate::{
    db::{DbError, Value, timeout::Timeout},
    tenant::TenantId,
};

/// The column that tells tenants apart where they share tables.
pub(crate) const TENANT_COLUMN: &str = "tenant_id";
/// The schema of the tables that tenants share.
pub(crate) const ROWS_SCHEMA: &str = "tenant_rows";
/// The schema of the application's own shared tables.
pub(crate) const CENTRAL_SCHEMA: &str = "central";
/// The schema of the catalog.
pub(crate) const CATALOG_SCHEMA: &str = "tenantry";
/// The schema within a database of a tenant's own.
pub(crate) const DATABASE_SCHEMA: &str = "tenant";

/// A database of a server, and what is said on a connection to it before anything else.
///
/// Connections are opened as the request role, in the shared tables' schema, and with no tenant:
/// what is said on one outside of every scope sees no row. Behind a pooler, where a connection's
/// own settings would be anybody's, each transaction sets all of it.
#[derive(Clone)]
pub(crate) struct Scope {
    pub(crate) server: Arc<Server>,
    pub(super) database: Arc<str>,
    /// Begins a transaction in the scope.
    pub(super) begin: Arc<str>,
    /// Whether the connection alone is the scope, so that a statement needs no transaction.
    pub(super) is_connection: bool,
    /// Whether tables are shared with other tenants, so that statements may need rewriting.
    pub(super) shared: bool,
    /// The tenant, whose share of the connections it is that is used.
    pub(super) whose: Option<TenantId>,
    /// The tenant's id, where it shares tables with others.
    pub(super) tenant: Option<Value>,
    /// The schema, where it is one among others of the same tables.
    pub(super) schema: Option<Arc<str>>,
    /// Whether statements are the library's own and need no vetting.
    pub(super) trusted: bool,
    /// Whether its tenant is gone.
    pub(super) closed: Arc<AtomicBool>,
}

impl Scope {
    /// One tenant's rows in the shared tables.
    pub(crate) fn rows(server: &Arc<Server>, id: TenantId) -> Self {
        let path = server.has_pooler().then_some(ROWS_SCHEMA);
        let begin = format!(
            "{}; SET LOCAL tenantry.tenant = '{id}'",
            request(server, path)
        );
        Self {
            shared: true,
            whose: Some(id),
            tenant: Some(Value::Text(id.to_string())),
            ..Self::new(server, server.home(), begin)
        }
    }

    /// One tenant's schema.
    pub(crate) fn schema(server: &Arc<Server>, id: TenantId) -> Self {
        let schema = schema_name(id);
        let begin = request(server, Some(&schema));
        Self {
            whose: Some(id),
            schema: Some(schema.into()),
            ..Self::new(server, server.home(), begin)
        }
    }

    /// One tenant's database.
    pub(crate) fn database(server: &Arc<Server>, id: TenantId) -> Self {
        let pooler = server.has_pooler();
        let begin = request(server, pooler.then_some(DATABASE_SCHEMA));
        Self {
            whose: Some(id),
            is_connection: !pooler,
            ..Self::new(server, database_name(server, id), begin)
        }
    }

    /// The application's shared tables.
    pub(crate) fn central(server: &Arc<Server>) -> Self {
        let begin = request(server, Some(CENTRAL_SCHEMA));
        Self::new(server, server.home(), begin)
    }

    /// The catalog, for the library.
    pub(crate) fn catalog(server: &Arc<Server>) -> Self {
        Self {
            trusted: true,
            ..Self::new(server, server.home(), owner(server, CATALOG_SCHEMA))
        }
    }

    /// The server, the database and the schema that its tables are in.
    pub(crate) fn place(&self) -> (&Arc<Server>, Arc<str>, String) {
        let schema = match &self.schema {
            Some(schema) => schema.to_string(),
            None if self.shared => ROWS_SCHEMA.into(),
            None => DATABASE_SCHEMA.into(),
        };
        (&self.server, self.database.clone(), schema)
    }

    /// Whether its tables are other tenants' too.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    /// Whether both are of the same tenant: what begins a transaction names it, and the database.
    pub(crate) fn is_scope_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.server, &other.server)
            && self.database == other.database
            && self.begin == other.begin
    }

    /// Ends it: from now on every use of it is [`DbError::Closed`].
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Whether plans that were made in it are of no use in others of its kind.
    pub(super) fn is_schema(&self) -> bool {
        self.schema.is_some()
    }

    pub(super) fn check_open(&self) -> Result<(), DbError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(DbError::Closed);
        }
        Ok(())
    }

    /// What is cut off because its tenant goes is told so.
    pub(super) fn explain(&self, error: DbError) -> DbError {
        // tables that go with their tenant are missing before anything else is
        match self.check_open() {
            Ok(()) => error,
            Err(closed) => closed,
        }
    }

    /// Begins a transaction in the scope, whose statements take no longer. That ends with it, as all
    /// else that is said so.
    pub(crate) fn begin_within(&self, timeout: Timeout) -> Cow<'_, str> {
        let longest = match timeout {
            Timeout::AsConnected => return Cow::Borrowed(&self.begin),
            Timeout::After(longest) => longest.as_millis(),
            Timeout::Never => 0,
        };
        let begin = &self.begin;
        Cow::Owned(format!("{begin}; SET LOCAL statement_timeout = {longest}"))
    }

    fn new(server: &Arc<Server>, database: impl Into<Arc<str>>, begin: String) -> Self {
        Self {
            server: server.clone(),
            database: database.into(),
            begin: begin.into(),
            is_connection: false,
            shared: false,
            whose: None,
            tenant: None,
            schema: None,
            trusted: false,
            closed: Arc::default(),
        }
    }
}

/// Begins a transaction of a request, in `schema` where that is not the connection's own.
fn request(server: &Server, schema: Option<&str>) -> String {
    let mut begin = "BEGIN".to_owned();
    if server.has_pooler() {
        begin.push_str(&format!(
            "; SET LOCAL ROLE {}; SET LOCAL statement_timeout = {}; SET LOCAL standard_conforming_strings = on",
            quoted(&server.roles().app),
            server.statement_timeout().as_millis()
        ));
    }
    if let Some(schema) = schema {
        begin.push_str(&format!(
            "; SET LOCAL search_path = {}, pg_temp",
            quoted(schema)
        ));
    }
    begin
}

/// How a connection to `database` is opened: as the request role, and in no tenant's scope.
pub(super) fn startup(server: &Server, database: &str) -> Option<String> {
    if server.has_pooler() {
        return None; // it would be nobody's in particular
    }
    let schema = if *database == *server.home() {
        ROWS_SCHEMA
    } else {
        DATABASE_SCHEMA
    };
    Some(format!(
        "-c role={} -c search_path={schema},pg_temp -c statement_timeout={} -c standard_conforming_strings=on",
        server.roles().app,
        server.statement_timeout().as_millis()
    ))
}

/// Begins a transaction as the owner of tables, in one schema.
pub(crate) fn owner(server: &Server, schema: &str) -> String {
    format!(
        "BEGIN; SET LOCAL ROLE {}; SET LOCAL search_path = {}, pg_temp; SET LOCAL statement_timeout = 0",
        quoted(&server.roles().owner),
        quoted(schema)
    )
}

/// Lets a transaction end before it is lasting. It is when a later one on that server is: the log is
/// written in order.
pub(crate) const NOT_WAITING: &str = "SET LOCAL synchronous_commit = off";

/// The schema of a tenant that has its own.
pub(crate) fn schema_name(id: TenantId) -> String {
    format!("t_{}", id.as_uuid().simple())
}

/// The database of a tenant that has its own.
pub(crate) fn database_name(server: &Server, id: TenantId) -> String {
    format!("{}_t_{}", server.project(), id.as_uuid().simple())
}

/// A name as SQL takes it, whatever is in it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a literal.
pub(crate) fn literal(text: &str) -> String {
    let escaped = text.replace('\'', "''");
    if escaped.contains('\\') {
        format!("E'{}'", escaped.replace('\\', "\\\\"))
    } else {
        format!("'{escaped}'")
    }
}
