//! Who listens in this process, tenant by tenant.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, broadcast, mpsc};
use uuid::Uuid;

use super::LiveError;
use crate::{
    db::{Event, Tell},
    tenant::{Tenant, TenantId},
};

/// How many events a listener may be behind; then it is told that it has missed some.
const BEHIND: usize = 128;
/// How many events wait to be told to other processes; what is more is forgotten, and that is told.
const WAITING: usize = 10_000;

/// What is said to all who listen in a tenant.
#[derive(Debug, Clone)]
pub(super) enum Said {
    Event(Event),
    Missed,
    End,
}

/// Those who listen in one tenant.
struct Room {
    /// Which it is, of those that the tenant has had.
    number: u64,
    tenant: Tenant,
    said: broadcast::Sender<Said>,
    listeners: usize,
}

/// Where events meet those who listen. A tenant's are said in its own room and nowhere else.
pub(crate) struct Hub {
    pub(super) process: Uuid,
    rooms: Mutex<Rooms>,
    most_listeners: usize,
    outbox: mpsc::Sender<(TenantId, Event)>,
    /// The other end, until somebody works there.
    pub(super) posted: Mutex<Option<mpsc::Receiver<(TenantId, Event)>>>,
    /// How many are on their way to other processes.
    on_their_way: AtomicUsize,
    pub(super) arrived: Notify,
    /// Whether there were more than could wait.
    overflowed: AtomicBool,
    /// Told when other processes may have said something.
    pub(crate) news: Notify,
}

#[derive(Default)]
struct Rooms {
    of: HashMap<TenantId, Room>,
    last_number: u64,
    closed: bool,
}

impl Hub {
    pub(crate) fn new(most_listeners: usize) -> Self {
        let (outbox, posted) = mpsc::channel(WAITING);
        Self {
            process: Uuid::now_v7(),
            rooms: Mutex::default(),
            most_listeners,
            outbox,
            posted: Mutex::new(Some(posted)),
            on_their_way: AtomicUsize::new(0),
            arrived: Notify::new(),
            overflowed: AtomicBool::new(false),
            news: Notify::new(),
        }
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets somebody in, and tells which room it is.
    pub(super) fn enter(
        &self,
        tenant: &Tenant,
    ) -> Result<(u64, broadcast::Receiver<Said>), LiveError> {
        let mut rooms = self.rooms();
        if rooms.closed {
            return Err(LiveError::Closed);
        }
        rooms.last_number += 1;
        let number = rooms.last_number;
        let room = rooms.of.entry(tenant.id()).or_insert_with(|| Room {
            number,
            tenant: tenant.clone(),
            said: broadcast::Sender::new(BEHIND),
            listeners: 0,
        });
        if room.listeners >= self.most_listeners {
            return Err(LiveError::TooMany(self.most_listeners));
        }
        room.listeners += 1;
        Ok((room.number, room.said.subscribe()))
    }

    /// Lets somebody out who was in that room.
    pub(super) fn leave(&self, id: TenantId, number: u64) {
        let mut rooms = self.rooms();
        if let Some(room) = rooms.of.get_mut(&id)
            && room.number == number
        {
            room.listeners -= 1;
            if room.listeners == 0 {
                rooms.of.remove(&id);
            }
        }
    }

    /// Says it to those who listen here.
    pub(super) fn say(&self, id: TenantId, event: Event) {
        if let Some(room) = self.rooms().of.get(&id) {
            // nobody listening is no failure
            drop(room.said.send(Said::Event(event)));
        }
    }

    /// Tells everybody here that there was something.
    pub(super) fn all_missed(&self) {
        for room in self.rooms().of.values() {
            drop(room.said.send(Said::Missed));
        }
    }

    /// Ends the tenant's room.
    pub(super) fn end(&self, id: TenantId, number: u64) {
        let mut rooms = self.rooms();
        if rooms.of.get(&id).is_some_and(|room| room.number == number)
            && let Some(room) = rooms.of.remove(&id)
        {
            drop(room.said.send(Said::End));
        }
    }

    /// Ends all rooms, and lets nobody in any more.
    pub(crate) fn close(&self) {
        let mut rooms = self.rooms();
        rooms.closed = true;
        for (_, room) in rooms.of.drain() {
            drop(room.said.send(Said::End));
        }
    }

    /// The rooms there are, and the tenants as they were when last looked at.
    pub(super) fn tenants(&self) -> Vec<(u64, Tenant)> {
        let rooms = self.rooms();
        let all = rooms.of.values();
        all.map(|room| (room.number, room.tenant.clone())).collect()
    }

    /// Remembers what a tenant is now.
    pub(super) fn seen(&self, number: u64, now: Tenant) {
        if let Some(room) = self.rooms().of.get_mut(&now.id())
            && room.number == number
        {
            room.tenant = now;
        }
    }

    /// How many listen here.
    pub(crate) fn listeners(&self) -> usize {
        self.rooms().of.values().map(|room| room.listeners).sum()
    }

    /// Whether something was forgotten that others were to be told. It is asked once.
    pub(super) fn has_overflowed(&self) -> bool {
        self.overflowed.swap(false, Ordering::Relaxed)
    }

    pub(super) fn overflow(&self) {
        self.overflowed.store(true, Ordering::Relaxed);
    }

    /// That many have been told to other processes, or were given up.
    pub(super) fn sent(&self, how_many: usize) {
        self.on_their_way.fetch_sub(how_many, Ordering::AcqRel);
        self.arrived.notify_waiters();
    }

    /// Whether nothing is on its way. Where nobody works at the other end, nothing ever arrives.
    pub(super) fn is_all_sent(&self) -> bool {
        let idle = self.posted.lock();
        let idle = idle.unwrap_or_else(PoisonError::into_inner).is_some();
        idle || self.on_their_way.load(Ordering::Acquire) == 0
    }
}

impl Tell for Hub {
    fn tell(&self, tenant: TenantId, events: Vec<Event>) {
        for event in events {
            self.say(tenant, event.clone());
            self.on_their_way.fetch_add(1, Ordering::AcqRel);
            if self.outbox.try_send((tenant, event)).is_err() {
                self.overflow();
                self.sent(1);
            }
        }
    }
}
