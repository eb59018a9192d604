//! Connections on which brief reads of many tenants go one behind the other.
//!
//! A read that [enters its scope by itself](super::statements) needs no connection of its own: it is
//! said while others still wait for their answers, which come in the same order. So whoever serves and
//! whoever is asked have several to do each time they look, and wait for each other less.
//!
//! Nobody is to wait for what takes long, though. A statement that did is not let in for a while; where
//! one takes long the others leave, to be said on connections of their own, and the lane is given up. So
//! a lane answers or it does not, and never says what is wrong: whatever fails here is said again
//! there. That is no harm, since all of it only reads.

mod struck;
mod traffic;

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::runtime::Handle;
use tokio_postgres_rustls::MakeRustlsConnect;

use self::{
    struck::Struck,
    traffic::{Known, Read, Traffic},
};
use super::{
    Answer, How, Scope, complete,
    server::{Conn, Server},
    statements::Prepared,
};
use crate::{
    db::{
        FromRow, Value,
        meter::{Account, Quantity},
        timeout::Timeout,
    },
    tenant::TenantId,
};

/// Of how many connections one is a lane.
const ONE_OF: usize = 8;

/// How many reads are under way in a lane at most.
const DEPTH: usize = 8;

/// How many of them are one tenant's.
const SHARE: usize = DEPTH / 2;

/// How much longer than the quickest a read may take at least to be a brief one.
const BRIEF: Duration = Duration::from_millis(3);

/// How much longer than the quickest one waits for its answer, with all those before it.
const PATIENCE: Duration = Duration::from_millis(20);

/// How long a lane's first read may take.
const AT_FIRST: Duration = Duration::from_millis(200);

/// How long no lane is opened in place of one that was given up.
const REST: Duration = Duration::from_secs(1);

/// The lanes of a server: as many as the process has processors, of the connections that there may be
/// one in eight at most.
pub(super) struct Lanes {
    slots: Box<[Slot]>,
    /// How many are open, those too that are about to be closed.
    open: Arc<AtomicUsize>,
    /// How many reads were answered in them.
    answered: AtomicU64,
}

/// One of the connections that lanes may have.
struct Room(Arc<AtomicUsize>);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where a lane is, or is to be.
#[derive(Default)]
struct Slot(Mutex<Held>);

#[derive(Default)]
struct Held {
    lane: Option<Arc<Lane>>,
    is_opening: bool,
    /// Not before then is another one opened.
    rests_until: Option<Instant>,
    /// Statements that took long for a tenant, and those for which others had to leave, whosever they
    /// were.
    struck: Struck,
}

struct Lane {
    /// Nothing once it is closed.
    conn: Option<(Box<Conn>, Room)>,
    /// For the connection by which it is cancelled.
    tls: MakeRustlsConnect,
    traffic: Mutex<Traffic>,
}

impl Lanes {
    /// With a pooler there are none, as nothing is prepared.
    pub(super) fn new(most_connections: NonZeroUsize, has_pooler: bool) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let lanes = match has_pooler {
            true => 0,
            false => processors.min(most_connections.get() / ONE_OF),
        };
        Self {
            slots: (0..lanes).map(|_| Slot::default()).collect(),
            open: Arc::default(),
            answered: AtomicU64::new(0),
        }
    }

    /// How many connections they take at most.
    pub(super) fn most(&self) -> usize {
        self.slots.len()
    }

    /// How many of them are open, and how many reads were answered in them.
    pub(super) fn count(&self) -> (usize, u64) {
        let is_open = |slot: &&Slot| slot.held().lane.is_some();
        let open = self.slots.iter().filter(is_open).count();
        (open, self.answered.load(Ordering::Relaxed))
    }

    pub(super) fn close(&self) {
        for slot in &self.slots {
            slot.held().lane = None;
        }
    }

    fn make_room(&self) -> Option<Room> {
        let most = self.most();
        let take = |open| (open < most).then_some(open + 1);
        let taken = self
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.is_ok().then(|| Room(self.open.clone()))
    }

    /// Where a tenant's reads go: always the same way, so that what is prepared for it is there.
    fn slot(&self, whose: TenantId) -> Option<(usize, &Slot)> {
        // the end of an id is as good as random
        let end = usize::from(whose.as_uuid().as_bytes()[15]);
        let at = end.checked_rem(self.slots.len())?;
        Some((at, self.slots.get(at)?))
    }
}

impl Slot {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lane that is open, if the statement may go there.
    fn lane(
        &self,
        server: &Arc<Server>,
        (whose, sql): (TenantId, &Arc<str>),
        at: usize,
    ) -> Option<Arc<Lane>> {
        let now = Instant::now();
        let mut held = self.held();
        if held.struck.is_out(whose, sql, now) {
            return None;
        }
        match &held.lane {
            Some(lane) if lane.conn().is_some_and(|conn| server.is_good(conn, now)) => {
                Some(lane.clone())
            }
            _ => {
                let ended = held.lane.take();
                let may = !held.is_opening && held.rests_until.is_none_or(|until| until < now);
                held.is_opening |= may;
                // a runtime that ends drops what it is given, which asks for this
                drop(held);
                drop(ended);
                if may {
                    open(server, at);
                }
                None
            }
        }
    }

    /// Gives a lane up: its connection is closed, what runs on it is cancelled, and those who are in it
    /// go elsewhere. Whether that had not been done.
    fn give_up(&self, lane: &Arc<Lane>) -> bool {
        let is_first = !std::mem::replace(&mut lane.traffic().is_given_up, true);
        if is_first {
            let mut held = self.held();
            let is_there = held.lane.as_ref().is_some_and(|one| Arc::ptr_eq(one, lane));
            let gone = is_there.then(|| held.lane.take());
            if is_there {
                held.rests_until = Some(Instant::now() + REST);
            }
            drop(held);
            drop(gone);
            lane.cut();
        }
        is_first
    }
}

/// Opens a lane, for whoever comes later.
fn open(server: &Arc<Server>, at: usize) {
    let mut opening = Opening {
        server: server.clone(),
        at,
        lane: None,
    };
    drop(tokio::spawn(async move {
        let Some(room) = opening.server.lanes().make_room() else {
            return;
        };
        let Ok(conn) = opening.server.open_lane().await else {
            return;
        };
        opening.lane = Some(Arc::new(Lane {
            conn: Some((conn, room)),
            tls: opening.server.tls(),
            traffic: Mutex::new(Traffic::new()),
        }));
        drop(opening);
    }));
}

/// A lane that is being opened. Whatever becomes of it, others may try after.
struct Opening {
    server: Arc<Server>,
    at: usize,
    lane: Option<Arc<Lane>>,
}

impl Drop for Opening {
    fn drop(&mut self) {
        if let Some(slot) = self.server.lanes().slots.get(self.at) {
            let mut held = slot.held();
            held.is_opening = false;
            if self.lane.is_none() {
                held.rests_until = Some(Instant::now() + REST);
            }
            // one that was closed meanwhile stays so
            let opened = self.lane.take().filter(|_| !self.server.is_closed());
            let before = std::mem::replace(&mut held.lane, opened);
            drop(held);
            drop(before);
        }
    }
}

impl Lane {
    fn conn(&self) -> Option<&Conn> {
        self.conn.as_ref().map(|(conn, _)| &**conn)
    }

    /// Closes the connection, and cancels what runs on it. What was said after that is not run, as the
    /// server finds nobody to answer.
    fn cut(self: &Arc<Self>) {
        if let (Some(conn), Ok(runtime)) = (self.conn(), Handle::try_current()) {
            conn.hang_up();
            let lane = self.clone();
            drop(runtime.spawn(async move {
                if let Some(conn) = lane.conn() {
                    conn.cancel(lane.tls.clone()).await;
                }
            }));
        }
    }

    /// The statement, if it is prepared. Where it could be it will be, for whoever comes later: nobody
    /// is to wait for that.
    fn prepared(
        self: &Arc<Self>,
        scope: &Scope,
        sql: &Arc<str>,
        params: &[Value],
    ) -> Option<Prepared> {
        let key = (scope.schema.clone(), sql.clone());
        let mut traffic = self.traffic();
        let is_preparing = traffic.is_preparing;
        match traffic.prepared.get(&key) {
            Some(Known::Prepared(prepared)) => return Some(prepared.clone()),
            Some(Known::Not | Known::Coming) => return None,
            // one at a time, as those who read wait for it
            Some(Known::Once) if is_preparing => return None,
            Some(Known::Once) => traffic.is_preparing = true,
            None => {
                traffic.prepared.put(key, Known::Once);
                return None;
            }
        }
        traffic.prepared.put(key.clone(), Known::Coming);
        drop(traffic);
        let (lane, scope) = (self.clone(), scope.clone());
        let (sql, params) = (sql.clone(), params.to_vec());
        drop(tokio::spawn(async move {
            let known = lane.prepare(&scope, &sql, &params).await;
            let mut traffic = lane.traffic();
            traffic.is_preparing = false;
            traffic.prepared.put(key, known);
        }));
        None
    }

    async fn prepare(&self, scope: &Scope, sql: &Arc<str>, params: &[Value]) -> Known {
        let (Ok(text), Some(conn)) = (super::prepared_text(scope, sql), self.conn()) else {
            return Known::Not;
        };
        let prepared = complete(scope, &conn.client, &text, params).await;
        // an error is the connection's
        prepared.ok().flatten().map_or(Known::Not, Known::Prepared)
    }

    /// Whether all that was said before is answered soon.
    async fn catches_up(&self) -> bool {
        let Some(conn) = self.conn() else {
            return false;
        };
        let patience = patience(self.traffic().quickest());
        let nothing = tokio::time::timeout(patience, conn.client.batch_execute("")).await;
        matches!(nothing, Ok(Ok(())))
    }

    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let (Some((conn, room)), Ok(runtime)) = (self.conn.take(), Handle::try_current()) {
            drop(runtime.spawn(async move {
                drop(conn.close().await);
                drop(room);
            }));
        }
    }
}

/// How long a brief read takes at most, where the quickest took that long: on a long way times differ more.
fn brief(quickest: Duration) -> Duration {
    quickest + BRIEF.max(quickest / 2)
}

/// How long an answer is waited for, where the quickest read took that long.
fn patience(quickest: Option<Duration>) -> Duration {
    quickest.map_or(AT_FIRST, |quickest| quickest + PATIENCE)
}

/// A read's place in a lane.
struct Place<'s> {
    server: &'s Arc<Server>,
    slot: &'s Slot,
    at: usize,
    lane: Arc<Lane>,
    account: &'s Account,
    number: u64,
    since: Instant,
    /// Whether nobody was there before.
    is_alone: bool,
    /// How long the quickest read took by then.
    quickest: Option<Duration>,
    end: End,
}

/// How a read in a lane ends.
enum End {
    /// Whoever waited for it went away.
    Left,
    /// It took too long.
    GivenUp,
    /// Its answer came, or there was none to come.
    Over,
}

impl<'s> Place<'s> {
    /// A place behind those who are there, unless there are many, or one of them takes long.
    fn take(
        (server, at): (&'s Arc<Server>, usize),
        slot: &'s Slot,
        lane: Arc<Lane>,
        account: &'s Account,
        (whose, sql): (TenantId, &Arc<str>),
    ) -> Option<Self> {
        let since = Instant::now();
        let mut traffic = lane.traffic();
        let quickest = traffic.quickest();
        if let Some(first) = traffic.under_way.front() {
            let running = since.duration_since(traffic.begun(first.since));
            let is_theirs = |read: &&Read| read.whose == whose;
            // that of somebody who looks no more, and will not leave before others can come
            if running > patience(quickest) {
                drop(traffic);
                slot.give_up(&lane);
                return None;
            }
            if traffic.under_way.len() >= DEPTH
                || traffic.under_way.iter().filter(is_theirs).count() >= SHARE
                || running > brief(quickest?)
            {
                return None;
            }
        }
        let is_alone = traffic.under_way.is_empty();
        let number = traffic.enter(whose, sql, since);
        drop(traffic);
        Some(Self {
            server,
            slot,
            at,
            lane,
            account,
            number,
            since,
            is_alone,
            quickest,
            end: End::Left,
        })
    }

    /// Tells that the answer came; how long it took when it was its turn.
    fn answered(&mut self) -> Option<Duration> {
        self.end = End::Over;
        let mut traffic = self.lane.traffic();
        traffic.took((self.number, self.since), self.is_alone, Instant::now())
    }

    /// What everybody in the lane waits for, and whose it is.
    fn first(&self) -> Option<(TenantId, Arc<str>)> {
        let traffic = self.lane.traffic();
        let first = traffic.under_way.front();
        first.map(|read| (read.whose, read.sql.clone()))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let mut traffic = self.lane.traffic();
        let begun = traffic.begun(self.since);
        let first = traffic.under_way.front().map(|read| read.number);
        let is_over = matches!(self.end, End::Over);
        if is_over {
            traffic.leave(self.number, now);
        }
        drop(traffic);
        // of whoever leaves, only the first has had the server work
        let (waited, worked) = match is_over || first == Some(self.number) {
            true => (begun.duration_since(self.since), now.duration_since(begun)),
            false => (now.duration_since(self.since), Duration::ZERO),
        };
        self.account.add_time(Quantity::DbWaiting, waited);
        self.account.add_time(Quantity::DbTime, worked);
        match (&self.end, Handle::try_current()) {
            (End::Over, _) => {}
            (End::Left, Ok(runtime)) => {
                let (server, at) = (self.server.clone(), self.at);
                let (lane, number) = (self.lane.clone(), self.number);
                drop(runtime.spawn(async move {
                    if lane.catches_up().await {
                        lane.traffic().leave(number, Instant::now());
                    } else if let Some(slot) = server.lanes().slots.get(at) {
                        slot.give_up(&lane);
                    }
                }));
            }
            _ => drop(self.slot.give_up(&self.lane)),
        }
    }
}

/// Reads in a lane, if there is one that the read may go to. Nothing where it is to be said on a
/// connection of its own.
pub(super) async fn fetch<T: FromRow>(
    scope: &Scope,
    (account, timeout): (&Account, Timeout),
    sql: &Arc<str>,
    params: &[Value],
    most: usize,
) -> Option<Answer<T>> {
    if scope.trusted || scope.is_connection || timeout != Timeout::AsConnected {
        return None;
    }
    let whose = scope.whose?;
    let (at, slot) = scope.server.lanes().slot(whose)?;
    let lane = slot.lane(&scope.server, (whose, sql), at)?;
    let how = How::Named(lane.prepared(scope, sql, params)?, scope);
    let mut place = Place::take(
        (&scope.server, at),
        slot,
        lane.clone(),
        account,
        (whose, sql),
    )?;
    let reading = how.fetch(&lane.conn()?.client, params, most);
    let quickest = place.quickest;
    match tokio::time::timeout(patience(quickest), reading).await {
        Ok(Ok(answer)) => {
            let took = place.answered();
            scope
                .server
                .lanes()
                .answered
                .fetch_add(1, Ordering::Relaxed);
            if let (Some(quickest), Some(took)) = (quickest, took) {
                let struck = &mut slot.held().struck;
                match took > brief(quickest) {
                    true => struck.once(Some(whose), sql, Instant::now()),
                    false => struck.was_brief(whose, sql),
                }
            }
            Some(answer)
        }
        Ok(Err(failure)) => {
            place.end = End::Over;
            if failure.stale {
                lane.traffic().forget(scope, sql);
            }
            None
        }
        Err(_) => {
            place.end = End::GivenUp;
            let first = place.first();
            // those who come after leave because of the same
            if slot.give_up(&lane)
                && let Some((whose, sql)) = first
            {
                let now = Instant::now();
                let struck = &mut slot.held().struck;
                struck.out(whose, &sql, now);
                struck.once(None, &sql, now);
            }
            None
        }
    }
}
