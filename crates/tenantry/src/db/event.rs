//! What a transaction tells others once it is committed.

use std::{fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use super::DbError;
use crate::tenant::TenantId;

/// How long a topic is at most, in bytes.
const LONGEST_TOPIC: usize = 100;
/// How many bytes of data an event has at most.
const MOST_DATA: usize = 16 << 10;

/// Something that happened in a tenant: what it is about, and what there is to say of it, in JSON.
///
/// It is to be small: which object it was, rather than all of that object. Whoever hears of it and may
/// see more asks for more.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    topic: Arc<str>,
    data: Arc<str>,
}

impl Event {
    pub(crate) fn new(topic: &str, data: &impl Serialize) -> Result<Self, DbError> {
        let failed = |why: String| DbError::Engine(why.into());
        if topic.is_empty() || topic.len() > LONGEST_TOPIC || topic.chars().any(char::is_control) {
            return Err(failed(format!(
                "{topic:?} is no topic of events: those have 1 to {LONGEST_TOPIC} bytes"
            )));
        }
        let data = serde_json::to_string(data).map_err(|error| failed(error.to_string()))?;
        if data.len() > MOST_DATA {
            return Err(failed(format!(
                "an event of {topic:?} has {} bytes, and {MOST_DATA} are allowed: say what \
                 happened, and have whoever listens ask for the rest",
                data.len()
            )));
        }
        Ok(Self::read(topic.into(), data.into()))
    }

    /// One as it was written down.
    pub(crate) fn read(topic: Arc<str>, data: Arc<str>) -> Self {
        Self { topic, data }
    }

    /// What it is about.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// What there is to say of it: JSON, in one line.
    #[must_use]
    pub fn data(&self) -> &str {
        &self.data
    }

    /// The same as a value.
    ///
    /// # Errors
    /// When it is another type's.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.data)
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // what it says can be a customer's
        f.debug_struct("Event")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// Whom events are told to.
pub(crate) trait Tell: Send + Sync {
    fn tell(&self, tenant: TenantId, events: Vec<Event>);
}

/// Where a tenant's handle tells what happened there.
#[derive(Clone)]
pub(crate) struct Outlet {
    pub(crate) to: Arc<dyn Tell>,
    pub(crate) tenant: TenantId,
}

/// Events that wait for their transaction to be committed.
#[derive(Default)]
pub(super) struct Announced {
    outlet: Option<Outlet>,
    events: Vec<Event>,
}

impl Announced {
    pub(super) fn through(outlet: Option<Outlet>) -> Self {
        Self {
            outlet,
            events: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, event: Event) {
        // where nobody can listen nothing need be kept
        if self.outlet.is_some() {
            self.events.push(event);
        }
    }

    /// Tells them when it is dropped. So does one who went away while the commit was on its way: it may
    /// have arrived.
    pub(super) fn on_its_way(self) -> OnItsWay {
        OnItsWay(self)
    }
}

pub(super) struct OnItsWay(Announced);

impl OnItsWay {
    /// It was not committed.
    pub(super) fn forget(mut self) {
        self.0.events.clear();
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        let events = std::mem::take(&mut self.0.events);
        if let Some(Outlet { to, tenant }) = &self.0.outlet
            && !events.is_empty()
        {
            to.tell(*tenant, events);
        }
    }
}
