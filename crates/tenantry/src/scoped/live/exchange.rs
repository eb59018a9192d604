//! Between processes: what happens here is written to the catalog, and what happens elsewhere is read
//! there.

use std::{
    sync::{PoisonError, Weak},
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, time::sleep};

use crate::{
    Tenancy,
    central::Central,
    db::{DbError, Event},
    tenancy::Inner,
    tenant::{TenantId, TenantStatus},
};

/// How long events are gathered before they are written together: on a server, and in a file, where
/// each writing is waited for by the disk, and others look seldom.
const GATHER: Duration = Duration::from_millis(20);
const GATHER_LONG: Duration = Duration::from_millis(100);
const AT_ONCE: usize = 500;
/// How often writing them is tried, and how long after a failure it is tried again.
const TRIES: u32 = 5;
const AGAIN: Duration = Duration::from_millis(200);
/// How often what everybody has read is forgotten, where something is written.
const PRUNE: Duration = Duration::from_secs(30);

/// How often it is looked whether others said something, where nobody tells; and where somebody does.
const LOOK: Duration = Duration::from_millis(200);
const LOOK_ANYWAY: Duration = Duration::from_secs(30);
/// After how many events those who listen are let read.
const BREATH: usize = 16;
/// How often it is looked whether the tenants in which somebody listens still work.
const GUARD: Duration = Duration::from_millis(400);

/// Begins to tell others what happens here, to hear what happens there, and to see to it that nobody
/// listens in a tenant that does not work.
pub(crate) async fn begin(tenancy: &Tenancy) -> Result<(), DbError> {
    let inner = &tenancy.0;
    let hub = &inner.live;
    let posted = hub.posted.lock();
    let posted = posted.unwrap_or_else(PoisonError::into_inner).take();
    let Some(posted) = posted else {
        return Ok(());
    };
    let kept = inner.catalog.store().kept_events().await?;
    let seen = kept.map_or(0, |(_, latest)| latest);
    let weak = || std::sync::Arc::downgrade(inner);
    drop(tokio::spawn(post(weak(), posted)));
    drop(tokio::spawn(follow(weak(), seen)));
    drop(tokio::spawn(guard(weak())));
    Ok(())
}

async fn post(tenancy: Weak<Inner>, mut posted: mpsc::Receiver<(TenantId, Event)>) {
    let mut pruned = Instant::now();
    while let Some(first) = posted.recv().await {
        let gather = match tenancy.upgrade() {
            Some(tenancy) if matches!(tenancy.central, Central::Server(_)) => GATHER,
            _ => GATHER_LONG,
        };
        sleep(gather).await;
        let mut batch = vec![Some(first)];
        while batch.len() < AT_ONCE
            && let Ok(next) = posted.try_recv()
        {
            batch.push(Some(next));
        }
        let Some(tenancy) = tenancy.upgrade() else {
            return;
        };
        let (hub, store) = (&tenancy.live, tenancy.catalog.store());
        let how_many = batch.len();
        if hub.has_overflowed() {
            batch.push(None);
        }
        let mut tried = 0;
        while let Err(error) = store.post_events(hub.process, &batch).await {
            tried += 1;
            if tried == TRIES || matches!(error, DbError::Closed) {
                tracing::warn!(%error, how_many, "other processes are not told what happened here");
                hub.overflow();
                break;
            }
            sleep(AGAIN * tried).await;
        }
        hub.sent(how_many);
        if pruned.elapsed() > PRUNE {
            pruned = Instant::now();
            if let Err(error) = store.prune_events().await {
                tracing::debug!(%error, "events cannot be forgotten now");
            }
        }
    }
}

async fn follow(tenancy: Weak<Inner>, mut seen: i64) {
    loop {
        let Some(now) = tenancy.upgrade() else {
            return;
        };
        if now.is_closed() {
            return;
        }
        let every = match &now.central {
            Central::Server(server) if !server.has_pooler() => LOOK_ANYWAY,
            _ => LOOK,
        };
        let is_more = match read(&now, &mut seen).await {
            Ok(is_more) => is_more,
            Err(error) => {
                tracing::debug!(%error, "what other processes say cannot be heard now");
                false
            }
        };
        if is_more {
            continue;
        }
        // what is waited on must not keep the tenancy
        let weak = tenancy.clone();
        drop(now);
        wait(&weak, every).await;
    }
}

/// Until somebody says that there is something, or so long.
async fn wait(tenancy: &Weak<Inner>, every: Duration) {
    let until = Instant::now() + every;
    while Instant::now() < until {
        let Some(now) = tenancy.upgrade() else {
            return;
        };
        let step = LOOK.min(until.saturating_duration_since(Instant::now()));
        tokio::select! {
            () = now.live.news.notified() => return,
            () = sleep(step) => {}
        }
        if now.is_closed() {
            return;
        }
    }
}

/// Says here what others have said there. Whether there may be more.
async fn read(tenancy: &Inner, seen: &mut i64) -> Result<bool, DbError> {
    let (hub, store) = (&tenancy.live, tenancy.catalog.store());
    let all = store.events_after(*seen).await?;
    let Some(first) = all.first() else {
        return Ok(false);
    };
    // numbers that were never given leave a gap too, and then nothing was missed
    if first.seq > *seen + 1
        && let Some((first_kept, _)) = store.kept_events().await?
        && first_kept > *seen + 1
        && *seen > 0
    {
        hub.all_missed();
    }
    let is_more = all.len() > 1;
    for (number, posted) in all.into_iter().enumerate() {
        *seen = posted.seq;
        if number % BREATH == BREATH - 1 {
            tokio::task::yield_now().await;
        }
        if posted.process == hub.process {
            continue;
        }
        match posted.of {
            Some((tenant, event)) => hub.say(tenant, event),
            None => hub.all_missed(),
        }
    }
    Ok(is_more)
}

/// Ends what is heard of tenants that do not work any more. Who cannot be asked about is ended too:
/// whoever listened comes back, and is then told what any request is.
async fn guard(tenancy: Weak<Inner>) {
    loop {
        sleep(GUARD).await;
        let Some(inner) = tenancy.upgrade() else {
            return;
        };
        let tenancy = Tenancy(inner);
        for (number, tenant) in tenancy.0.live.tenants() {
            match tenancy.as_it_is_now(&tenant).await {
                Ok(Some(now)) if now.status() == TenantStatus::Active => {
                    tenancy.0.live.seen(number, now);
                }
                Ok(_) => tenancy.0.live.end(tenant.id(), number),
                Err(error) => {
                    tracing::debug!(tenant = %tenant.id(), %error, "listening ends");
                    tenancy.0.live.end(tenant.id(), number);
                }
            }
        }
        if tenancy.0.is_closed() {
            return;
        }
    }
}
