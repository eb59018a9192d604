use std::{
    future::poll_fn,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_postgres::AsyncMessage;

use super::SAID;
use crate::{
    db::{DbError, postgres::Server},
    tenancy::Inner,
    tenant::TenantId,
};

/// How often the log of changes is looked at.
pub(crate) const INTERVAL: Duration = Duration::from_millis(200);

/// Follows what other processes change, for as long as the tenancy exists.
pub(crate) async fn watch(tenancy: Weak<Inner>, mut seen: i64) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(tenancy) = tenancy.upgrade() else {
            return;
        };
        match follow(&tenancy, seen).await {
            Ok(latest) => seen = latest,
            Err(DbError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "the catalog's changes cannot be followed");
                // better slow than wrong
                tenancy.catalog.forget_all();
            }
        }
    }
}

async fn follow(tenancy: &Inner, seen: i64) -> Result<i64, DbError> {
    let store = tenancy.catalog.store();
    let changes = store.changes_after(seen).await?;
    let Some((first, ..)) = changes.first() else {
        return Ok(seen);
    };
    if *first > seen + 1 {
        // what lies between has been pruned
        tenancy.catalog.forget_all();
        tenancy.places.files().look_again();
    }
    let mut latest = seen;
    for (seq, id, code) in changes {
        latest = seq;
        changed(tenancy, id.into(), &code).await?;
    }
    Ok(latest)
}

/// Forgets what was known of a tenant, by its code or a domain, and lets go of its place if it is
/// gone or elsewhere. A change of its settings names neither.
async fn changed(tenancy: &Inner, id: TenantId, word: &str) -> Result<(), DbError> {
    tenancy.catalog.forget(id, word);
    tenancy.catalog.forget_settings(id);
    if tenancy.places.is_open(id) {
        let now = tenancy.catalog.store().by_id(id).await?;
        tenancy.places.follow(id, now.as_ref());
    }
    Ok(())
}

/// How long a lost listener waits before it tries again, and how often a silent one is asked
/// whether it is still there.
const AGAIN: Duration = Duration::from_millis(250);
const ALIVE: Duration = Duration::from_secs(5);

/// Hears from PostgreSQL what any process changes, for as long as the tenancy exists. While it
/// hears nothing, because the server is away, the catalog answers nothing from memory.
pub(crate) async fn listen(tenancy: Weak<Inner>, server: Arc<Server>, mut heard: Listener) {
    loop {
        while let Some(message) = tokio::select! {
            message = heard.next() => message,
            () = server.closed() => None,
        } {
            let Some(tenancy) = tenancy.upgrade() else {
                return;
            };
            if message.as_deref() == Some(SAID) {
                tenancy.live.news.notify_one();
            }
            if let Some((id, code)) = message.as_deref().and_then(parse)
                && let Err(error) = changed(&tenancy, id, code).await
            {
                tracing::warn!(%error, "a change of the catalog could not be followed");
                break;
            }
        }
        loop {
            let Some(tenancy) = tenancy.upgrade() else {
                return;
            };
            if tenancy.is_closed() {
                return;
            }
            set_hearing(&tenancy, false);
            match Listener::connect(&server).await {
                Ok(listener) => {
                    heard = listener;
                    set_hearing(&tenancy, true);
                    tenancy.live.news.notify_one();
                    break;
                }
                Err(error) => tracing::warn!(%error, "the catalog's changes cannot be heard"),
            }
            drop(tenancy);
            tokio::time::sleep(AGAIN).await;
        }
    }
}

fn set_hearing(tenancy: &Inner, hearing: bool) {
    tenancy.catalog.set_hearing(hearing);
    tenancy.places.files().set_hearing(hearing);
}

fn parse(message: &str) -> Option<(TenantId, &str)> {
    let (id, code) = message.split_once(' ')?;
    Some((id.parse().ok()?, code))
}

/// A connection that listens.
pub(crate) struct Listener {
    client: tokio_postgres::Client,
    messages: mpsc::UnboundedReceiver<String>,
}

impl Listener {
    pub(crate) async fn connect(server: &Server) -> Result<Self, DbError> {
        let (client, mut connection) = server.connect_raw(&server.home()).await?;
        let (sender, messages) = mpsc::unbounded_channel();
        drop(tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await
            {
                if let AsyncMessage::Notification(notification) = message {
                    drop(sender.send(notification.payload().to_owned()));
                }
            }
        }));
        client
            .batch_execute("LISTEN tenantry")
            .await
            .map_err(crate::db::postgres::translate)?;
        Ok(Self { client, messages })
    }

    /// The next message; `Some(None)` when there was none for a while; `None` at the end.
    async fn next(&mut self) -> Option<Option<String>> {
        match tokio::time::timeout(ALIVE, self.messages.recv()).await {
            Ok(message) => message.map(Some),
            Err(_) => {
                let asked = tokio::time::timeout(ALIVE, self.client.batch_execute("")).await;
                matches!(asked, Ok(Ok(()))).then_some(None)
            }
        }
    }
}
