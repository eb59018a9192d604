//! One PostgreSQL server: how it is reached, and the connections to it.
//!
//! The connections are bounded over all of the server's databases together, and belong to no
//! tenant: a tenant with a database of its own never waits for another's idle connection, which is
//! closed to make room.

mod conn;
mod lease;

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Notify, watch};
use tokio_postgres::{
    Client, Config, Row,
    config::{Host, SslMode},
    error::SqlState,
    types::{ToSql, Type},
};
use tokio_postgres_rustls::MakeRustlsConnect;

pub(super) use conn::Conn;
use conn::Room;
pub(crate) use lease::Lease;

use super::{
    constraints::Constraints,
    error::translate,
    lanes::Lanes,
    owners::{OwnerConn, Owners},
    scope,
    statements::Statements,
    tls::{self, Check},
    turns::{Turns, Whose},
};
use crate::db::{
    DbError,
    meter::{Account, Clock},
};

/// How long a caller waits for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a caller waits for a connection to its database to be given back before one to another
/// is closed for it: about as long as that would take.
const COMING_BACK: Duration = Duration::from_millis(10);

/// How often those that nobody uses are looked through for what has ended or is too old.
const SWEEP: Duration = Duration::from_secs(1);

/// How long the server may take to see that a connection has been closed, which it counts until
/// then.
const LAG: Duration = Duration::from_secs(2);

/// The roles of a deployment on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Roles {
    /// Owns the tables; migrations run as it.
    pub(crate) owner: String,
    /// Requests run as it; it owns nothing.
    pub(crate) app: String,
}

/// A connection, and its messages to be moved along.
pub(crate) type Connected = (
    Client,
    tokio_postgres::Connection<
        tokio_postgres::Socket,
        <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<tokio_postgres::Socket>>::Stream,
    >,
);

/// How a server is used.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) project: String,
    /// What tells the deployment from others that have databases on the server; none where that is
    /// the database that the URL names.
    pub(crate) deployment: Option<String>,
    pub(crate) most_connections: NonZeroUsize,
    /// How old a connection gets: what a backend has cached of schemas goes with it.
    pub(crate) longest_life: Duration,
    pub(crate) statement_timeout: Duration,
    /// Whether a pooler stands between that hands each transaction to another backend: then no
    /// statement is prepared by name.
    pub(crate) pooler: bool,
}

pub(crate) struct Server {
    config: Config,
    home: Arc<str>,
    tls: MakeRustlsConnect,
    options: Options,
    roles: Roles,
    turns: Arc<Turns>,
    closed: watch::Sender<bool>,
    open: Arc<AtomicUsize>,
    /// How many wait for their turn.
    waiting: AtomicUsize,
    pool: Mutex<Pool>,
    lanes: Lanes,
    /// Told whenever a connection is given back.
    returned: Notify,
    /// By which scopes prefer connections.
    preference: RandomState,
    constraints: Constraints,
    owners: Owners,
}

/// The connections that nobody uses, the one idle for longest first, and how many of each database
/// are on loan.
struct Pool {
    #[expect(clippy::vec_box, reason = "they come and go, and are large")]
    idle: Vec<Box<Conn>>,
    lent: HashMap<Arc<str>, usize>,
    /// When those that have ended or are too old were last closed.
    swept: Instant,
}

/// A place among those that wait, until it is dropped.
struct InLine<'a>(&'a AtomicUsize);

impl<'a> InLine<'a> {
    fn join(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Server {
    /// The server that `url` names. No connection is made yet.
    pub(crate) fn new(url: &str, options: Options) -> Result<Arc<Self>, DbError> {
        let plain = |name: &str| {
            name.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        // names are made of it: of roles, and of databases with 35 characters more
        if !plain(&options.project) || !(1..=28).contains(&options.project.len()) {
            return Err(DbError::Engine(
                "a project's name is 1 to 28 of a-z, 0-9 and _".into(),
            ));
        }
        let (url, check) = split_ssl(url);
        let mut config: Config = url.parse().map_err(|error| {
            DbError::Engine(Box::<dyn std::error::Error + Send + Sync>::from(format!(
                "database URL: {error}"
            )))
        })?;
        if check != Check::Nothing {
            config.ssl_mode(SslMode::Require);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(5));
        }
        config.application_name(&options.project);
        let home = config
            .get_dbname()
            .or(config.get_user())
            .unwrap_or("postgres")
            .into();
        let lanes = Lanes::new(options.most_connections, options.pooler);
        Ok(Arc::new(Self {
            tls: tls::connector(&check)?,
            home,
            config,
            roles: Roles {
                owner: format!("{}_owner", options.project),
                app: format!("{}_app", options.project),
            },
            // each lane has a connection of its own, without a turn
            turns: Turns::new(options.most_connections.get() - lanes.most()),
            lanes,
            closed: watch::Sender::new(false),
            open: Arc::default(),
            waiting: AtomicUsize::new(0),
            pool: Mutex::new(Pool {
                idle: Vec::new(),
                lent: HashMap::new(),
                swept: Instant::now(),
            }),
            returned: Notify::new(),
            preference: RandomState::new(),
            constraints: Constraints::default(),
            owners: Owners::default(),
            options,
        }))
    }

    /// The database that the URL names.
    pub(crate) fn home(&self) -> Arc<str> {
        self.home.clone()
    }

    pub(crate) fn project(&self) -> &str {
        &self.options.project
    }

    /// The database that the URL names and where that is, for people.
    pub(crate) fn address(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            Host::Unix(path) => path.display().to_string(),
        });
        let ports = self.config.get_ports().iter().map(u16::to_string);
        let all: Vec<String> = hosts.chain(ports).collect();
        format!("the database {} at {}", self.home, all.join(" "))
    }

    /// What tells the deployment from others that have databases on the server.
    pub(crate) fn deployment(&self) -> &str {
        self.options.deployment.as_deref().unwrap_or(&self.home)
    }

    pub(crate) fn roles(&self) -> &Roles {
        &self.roles
    }

    pub(crate) fn statement_timeout(&self) -> Duration {
        self.options.statement_timeout
    }

    pub(super) fn constraints(&self) -> &Constraints {
        &self.constraints
    }

    pub(crate) fn has_pooler(&self) -> bool {
        self.options.pooler
    }

    /// How many connections are on loan, how many nobody has, and how many wait for one.
    pub(crate) fn count_lent(&self) -> (usize, usize, usize) {
        let pool = self.pool();
        let lent = pool.lent.values().sum();
        (lent, pool.idle.len(), self.waiting.load(Ordering::Relaxed))
    }

    /// How many connections are shared by brief reads, and how many of these they answered.
    pub(crate) fn count_shared(&self) -> (usize, u64) {
        self.lanes.count()
    }

    /// How many connections are open.
    pub(crate) fn count_open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        self.turns.close();
        self.closed.send_replace(true);
        self.pool().idle.clear();
        self.lanes.close();
        self.owners.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Waits until it is closed.
    pub(crate) async fn closed(&self) {
        // an error would mean that the sender is gone, which is here
        drop(self.closed.subscribe().wait_for(|closed| *closed).await);
    }

    /// Closes the idle connections to a database, which is about to be dropped.
    pub(crate) fn leave(&self, database: &str) {
        self.pool().idle.retain(|conn| &*conn.database != database);
    }

    /// A connection to the database when it is their turn, if it can be had the one that was lent for
    /// `prefer` before.
    /// `waiting` has begun, and becomes the loan.
    pub(super) async fn borrow(
        self: &Arc<Self>,
        database: &Arc<str>,
        whose: Whose,
        prefer: Option<&str>,
        waiting: Clock,
    ) -> Result<Lease, DbError> {
        let in_line = InLine::join(&self.waiting);
        let turn = self.turns.take(whose, PATIENCE).await?;
        drop(in_line);
        let conn = match self.take_idle(database, prefer) {
            Some(conn) => conn,
            // what is seldom needed is no part of every request's future
            None => Box::pin(self.come_by(database, prefer)).await?,
        };
        Ok(Lease {
            server: self.clone(),
            conn: Some(conn),
            database: database.clone(),
            busy: false,
            open: false,
            turn: Some(turn),
            _loan: waiting.lent(),
        })
    }

    /// Asks something about the server, outside of any scope and on nobody's account. Nothing is prepared
    /// by name, as behind a pooler another backend could be asked.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        sql: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, DbError> {
        let waiting = Account::NOBODY.wait();
        let mut lease = self.borrow(&self.home, None, None, waiting).await?;
        lease.busy = true;
        let asked = lease.conn()?.client.query_typed(sql, params).await;
        lease.busy = false;
        let asked = asked.map_err(translate);
        if let Err(error) = &asked {
            lease.give_back_after(error);
        }
        asked
    }

    pub(super) fn tls(&self) -> MakeRustlsConnect {
        self.tls.clone()
    }

    pub(super) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// A connection for a [lane](super::lanes).
    pub(super) async fn open_lane(&self) -> Result<Box<Conn>, DbError> {
        let room = self.make_room().await;
        self.open(&self.home, room).await
    }

    /// A connection where none is idle.
    async fn come_by(
        &self,
        database: &Arc<str>,
        prefer: Option<&str>,
    ) -> Result<Box<Conn>, DbError> {
        if let Some(conn) = self.take_returned(database, prefer).await {
            return Ok(conn);
        }
        let room = self.make_room().await;
        let conn = self.open(database, room).await?;
        self.pool().lend(database);
        Ok(conn)
    }

    fn take_idle(&self, database: &Arc<str>, prefer: Option<&str>) -> Option<Box<Conn>> {
        let mut pool = self.pool();
        let now = Instant::now();
        // each request asking all of them would take longer than all else that is done here
        if now.duration_since(pool.swept) > SWEEP {
            pool.swept = now;
            pool.idle.retain(|conn| self.is_good(conn, now));
        }
        loop {
            let mut fitting =
                (0..pool.idle.len()).filter(|at| pool.idle[*at].database == *database);
            let at = match prefer {
                None => fitting.next_back()?,
                // Each has an order of its own for every connection, so that what was prepared for it
                // is on few of them, and those are the first that it asks for.
                Some(prefer) => fitting
                    .max_by_key(|at| self.preference.hash_one((prefer, pool.idle[*at].born)))?,
            };
            let conn = pool.idle.remove(at);
            if self.is_good(&conn, now) {
                pool.lend(database);
                return Some(conn);
            }
        }
    }

    /// Whether it is there, and not too old.
    pub(super) fn is_good(&self, conn: &Conn, now: Instant) -> bool {
        !conn.client.is_closed() && now.duration_since(conn.born) < self.options.longest_life
    }

    /// Where a connection would have to be closed for another to be opened, and one to the database
    /// is on loan, waits a little for that.
    async fn take_returned(&self, database: &Arc<str>, prefer: Option<&str>) -> Option<Box<Conn>> {
        let waiting = async {
            loop {
                let mut returned = std::pin::pin!(self.returned.notified());
                // from here on nothing is missed
                returned.as_mut().enable();
                let taken = self.take_idle(database, prefer);
                let is_coming = || {
                    self.count_open() >= self.options.most_connections.get()
                        && self.pool().lent.contains_key(database)
                };
                if taken.is_some() || !is_coming() {
                    return taken;
                }
                returned.await;
            }
        };
        let waited = tokio::time::timeout(COMING_BACK, waiting).await;
        waited.ok().flatten()
    }

    /// Room for one more: that of the connection that has been idle for longest, if as many are
    /// open as may be.
    async fn make_room(&self) -> Room {
        let oldest = {
            let mut pool = self.pool();
            // Every other open connection is a lane, for which there is room besides, or on loan, so
            // has a turn. The caller has one too: if all room is taken, some of it is an idle
            // connection's.
            if self.count_open() < self.options.most_connections.get() || pool.idle.is_empty() {
                self.open.fetch_add(1, Ordering::Relaxed);
                return Room(self.open.clone());
            }
            pool.idle.remove(0)
        };
        oldest.close().await
    }

    async fn open(&self, database: &Arc<str>, room: Room) -> Result<Box<Conn>, DbError> {
        let options = scope::startup(self, database);
        let (client, connection) = self.connect_with(database, options).await?;
        let cancel = client.cancel_token();
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a database connection ended");
            }
        });
        Ok(Box::new(Conn {
            client,
            statements: Statements::new(),
            database: database.clone(),
            cancel,
            born: Instant::now(),
            task,
            room,
        }))
    }

    /// A connection beside the pool, whose messages the caller has to move along.
    pub(crate) async fn connect_raw(&self, database: &str) -> Result<Connected, DbError> {
        self.connect_with(database, None).await
    }

    async fn connect_with(
        &self,
        database: &str,
        options: Option<String>,
    ) -> Result<Connected, DbError> {
        if self.is_closed() {
            return Err(DbError::Closed);
        }
        let mut config = self.config.clone();
        config.dbname(database);
        if let Some(ours) = options {
            // ours count where both say something
            let stated = config.get_options().unwrap_or_default();
            config.options(format!("{stated} {ours}").trim_start().to_owned());
        }
        let begun = Instant::now();
        loop {
            match Box::pin(config.connect(self.tls.clone())).await {
                Err(error)
                    if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS)
                        && begun.elapsed() < LAG =>
                {
                    tokio::time::sleep(LAG / 100).await;
                }
                other => return other.map_err(translate),
            }
        }
    }

    /// A connection beside the pool, for the library's own work outside of any scope.
    pub(crate) async fn connect(&self, database: &str) -> Result<Client, DbError> {
        let (client, connection) = self.connect_raw(database).await?;
        drop(tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a database connection ended");
            }
        }));
        Ok(client)
    }

    /// A connection for the library's own work as the owner of tables. It is opened for that, and
    /// closed after it, unless [much](Self::keep_owners) is to be done.
    pub(crate) async fn owner(&self, database: &str) -> Result<OwnerConn, DbError> {
        let home = *database == *self.home;
        let kept = home.then(|| self.owners.take()).flatten();
        match kept {
            Some(kept) => Ok(kept),
            None => Ok(self.owners.lend(self.connect(database).await?, home)),
        }
    }

    /// Keeps such connections from now on, until as many ends are told and a little longer.
    pub(crate) fn keep_owners(&self, keep: bool) {
        self.owners.keep(keep);
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    fn lend(&mut self, database: &Arc<str>) {
        *self.lent.entry(database.clone()).or_default() += 1;
    }

    fn end_loan(&mut self, database: &Arc<str>) {
        if let Some(lent) = self.lent.get_mut(database) {
            *lent -= 1;
            if *lent == 0 {
                self.lent.remove(database);
            }
        }
    }
}

/// Takes `sslmode=verify-…` and `sslrootcert=…` out of the URL, which the driver does not know.
fn split_ssl(url: &str) -> (String, Check) {
    let Some((base, query)) = url.split_once('?') else {
        return (url.into(), Check::Nothing);
    };
    let mut roots = None;
    let mut verify = false;
    let mut rest = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslrootcert", file)) => roots = Some(file.to_owned()),
            Some(("sslmode", "verify-full" | "verify-ca")) => verify = true,
            _ => rest.push(pair),
        }
    }
    let url = if rest.is_empty() {
        base.into()
    } else {
        format!("{base}?{}", rest.join("&"))
    };
    let check = if verify {
        Check::Full { roots }
    } else {
        Check::Nothing
    };
    (url, check)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssl_modes_are_split_off() {
        let url = "postgres://a@b/c?sslmode=verify-full&sslrootcert=/x.pem&application_name=d";
        let (rest, check) = split_ssl(url);
        assert_eq!(rest, "postgres://a@b/c?application_name=d");
        assert_eq!(
            check,
            Check::Full {
                roots: Some("/x.pem".into())
            }
        );
        let url = "postgres://a@b/c?sslmode=require";
        assert_eq!(split_ssl(url), (url.into(), Check::Nothing));
    }
}
