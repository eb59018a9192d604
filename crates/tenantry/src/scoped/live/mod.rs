//! What happens in a tenant, told to those who listen there: a list that brings itself up to date, a
//! job's progress.
//!
//! Whoever writes says so in the transaction ([`TenantTx::publish`](crate::db::TenantTx::publish)), and
//! it is told once that is committed; what is about no transaction is [told at once](Live::publish).
//! Whoever [listens](Live::subscribe) hears it, in whichever process: over the catalog, by
//! LISTEN/NOTIFY on PostgreSQL and within a fifth of a second on SQLite.
//!
//! An event is told at most once, and is not kept for anybody. It says that something happened;
//! how things are is asked of the database, as ever. Who was too slow, or may have missed something
//! for another reason, [is told so](Signal::Missed).
//!
//! Listening is bound to its tenant: it ends within a second when that is suspended or deleted, and when
//! the deployment is closed.
//!
//! ```
//! use tenantry::{Tenancy, Tenant, scoped::live::{LiveError, Signal}};
//!
//! async fn watch(tenancy: &Tenancy, acme: &Tenant) -> Result<(), LiveError> {
//!     let mut heard = tenancy.live(acme).subscribe(["products"])?;
//!     while let Some(signal) = heard.next().await {
//!         match signal {
//!             Signal::Event(event) => println!("{}: {}", event.topic(), event.data()),
//!             Signal::Missed => println!("something happened"),
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! Over HTTP it is [`routing::live`](crate::routing::live).

mod exchange;
mod hub;

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::sync::broadcast::{self, error::RecvError};

pub(crate) use exchange::begin;
pub(crate) use hub::Hub;
use hub::Said;

pub use crate::db::Event;
use crate::{
    Tenancy,
    db::{DbError, Outlet, Tell},
    tenant::Tenant,
};

/// How many may listen in a tenant, in a process, unless [told](crate::Config::most_listeners).
pub(crate) const MOST_LISTENERS: usize = 1000;

/// How long it is waited for others to be told, at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why nobody can listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// As many listen in this tenant as may.
    #[error("{0} listen already, and no more may")]
    TooMany(usize),
    /// The deployment is closed, or about to be.
    #[error("nobody can listen any more")]
    Closed,
}

/// What somebody who listens is told.
#[derive(Debug, Clone)]
pub enum Signal {
    /// Something happened.
    Event(Event),
    /// Something may have happened of which nothing else is told: look at how things are.
    Missed,
}

/// What happens in one tenant.
#[derive(Clone)]
pub struct Live {
    hub: Arc<Hub>,
    tenant: Tenant,
}

impl Live {
    pub(crate) fn of(tenancy: &Tenancy, tenant: &Tenant) -> Self {
        Self {
            hub: tenancy.0.live.clone(),
            tenant: tenant.clone(),
        }
    }

    /// Tells those who listen, at once. What is about something that is written is told in its
    /// transaction instead: [`TenantTx::publish`](crate::db::TenantTx::publish).
    ///
    /// # Errors
    /// When the topic is longer than 100 bytes or has a line's end in it, or the data has more than
    /// 16 KiB as JSON.
    pub fn publish(&self, topic: &str, data: &impl Serialize) -> Result<(), DbError> {
        let event = Event::new(topic, data)?;
        self.hub.tell(self.tenant.id(), vec![event]);
        Ok(())
    }

    /// Listens to these topics from now on.
    ///
    /// # Errors
    /// When as many listen as may.
    pub fn subscribe<T: Into<String>>(
        &self,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<Subscription, LiveError> {
        let (number, said) = self.hub.enter(&self.tenant)?;
        Ok(Subscription {
            topics: topics.into_iter().map(Into::into).collect(),
            said,
            number,
            live: self.clone(),
        })
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("tenant", &self.tenant.id())
            .finish_non_exhaustive()
    }
}

/// Somebody who listens, until it is dropped.
pub struct Subscription {
    topics: BTreeSet<String>,
    said: broadcast::Receiver<Said>,
    number: u64,
    live: Live,
}

impl Subscription {
    /// What is told next; `None` when there will be no more: the tenant does not work any more, or the
    /// deployment is closed.
    pub async fn next(&mut self) -> Option<Signal> {
        loop {
            match self.said.recv().await {
                Ok(Said::Event(event)) if self.topics.contains(event.topic()) => {
                    return Some(Signal::Event(event));
                }
                Ok(Said::Event(_)) => {}
                Ok(Said::Missed) | Err(RecvError::Lagged(_)) => return Some(Signal::Missed),
                Ok(Said::End) | Err(RecvError::Closed) => return None,
            }
        }
    }

    /// The tenant in which it listens.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.live.tenant
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.live.hub.leave(self.live.tenant.id(), self.number);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("tenant", &self.live.tenant.id())
            .field("topics", &self.topics)
            .finish_non_exhaustive()
    }
}

impl Tenancy {
    /// What happens in the tenant, to be told and to be heard.
    #[must_use]
    pub fn live(&self, tenant: &Tenant) -> Live {
        Live::of(self, tenant)
    }

    /// Ends all [listening](Live) in this process, for every clone, and lets nobody begin: the first step
    /// of a process that is to end, so that no answer goes on for ever.
    pub fn end_live(&self) {
        self.0.live.close();
    }

    /// Waits until other processes were told what happened in this one, for two seconds at most.
    pub async fn tell_all(&self) {
        let told = async {
            loop {
                let arrived = self.0.live.arrived.notified();
                if self.0.live.is_all_sent() {
                    return;
                }
                arrived.await;
            }
        };
        if tokio::time::timeout(LAST_WORDS, told).await.is_err() {
            tracing::warn!("other processes were not told all that happened in this one");
        }
    }

    /// How many [listen](Live) in this process.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.0.live.listeners()
    }

    pub(crate) fn outlet(&self, tenant: &Tenant) -> Outlet {
        Outlet {
            to: self.0.live.clone(),
            tenant: tenant.id(),
        }
    }
}
