//! Connections of the library's own, as the owner of tables: kept while much is done with them.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::runtime::Handle;
use tokio_postgres::Client;

/// How many of them are kept; how many after much work has ended, and for how long: often it is only a
/// part of more.
const MOST: usize = 16;
const LINGERING: usize = 2;
const LINGER: Duration = Duration::from_secs(2);

/// Those that nobody uses, each to the database that the server's URL names.
#[derive(Default, Clone)]
pub(super) struct Owners(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    idle: Vec<Client>,
    /// How many pieces of much work are under way.
    wanted: usize,
    /// Whether somebody will close those that nobody wanted again.
    lingering: bool,
    closed: bool,
}

impl Owners {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that is kept, if there is one.
    pub(super) fn take(&self) -> Option<OwnerConn> {
        let mut state = self.lock();
        state.idle.retain(|client| !client.is_closed());
        let client = state.idle.pop()?;
        drop(state);
        Some(self.lend(client, true))
    }

    /// Lends one that was opened for it. It may be kept afterwards when it is to the URL's database.
    pub(super) fn lend(&self, client: Client, home: bool) -> OwnerConn {
        OwnerConn {
            client,
            home,
            owners: self.clone(),
        }
    }

    /// Keeps them from now on, until as many ends are told and a little longer.
    pub(super) fn keep(&self, keep: bool) {
        let mut state = self.lock();
        if keep {
            state.wanted += 1;
            return;
        }
        state.wanted = state.wanted.saturating_sub(1);
        if state.wanted > 0 {
            return;
        }
        state.idle.truncate(LINGERING);
        if state.lingering {
            return;
        }
        match Handle::try_current() {
            Err(_) => state.idle.clear(),
            Ok(runtime) => {
                state.lingering = true;
                let all = Arc::downgrade(&self.0);
                drop(runtime.spawn(async move {
                    tokio::time::sleep(LINGER).await;
                    if let Some(all) = all.upgrade() {
                        let all = Self(all);
                        let mut state = all.lock();
                        state.lingering = false;
                        if state.wanted == 0 {
                            state.idle.clear();
                        }
                    }
                }));
            }
        }
    }

    /// Closes those that nobody uses, and keeps none any more.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.idle.clear();
    }
}

/// A connection of the library's own. Dropped, it is closed, with the transaction that is open on it.
pub(crate) struct OwnerConn {
    client: Client,
    home: bool,
    owners: Owners,
}

impl Deref for OwnerConn {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl OwnerConn {
    /// Gives it back after its transaction has ended.
    pub(crate) fn ended(self) {
        let mut state = self.owners.lock();
        let room = match state.wanted {
            0 if state.lingering => LINGERING,
            0 => 0,
            _ => MOST,
        };
        if self.home && state.idle.len() < room && !state.closed {
            state.idle.push(self.client);
        }
    }

    /// Ends its transaction without effect, and gives it back.
    pub(crate) async fn roll_back(self) {
        if self.client.batch_execute("ROLLBACK").await.is_ok() {
            self.ended();
        }
    }
}
