//! What is [told](crate::scoped::live) in a tenant, to browsers and programs: as server-sent
//! events ([HTML](https://html.spec.whatwg.org/multipage/server-sent-events.html)) or over a WebSocket
//! ([RFC 6455](https://www.rfc-editor.org/rfc/rfc6455)).
//!
//! ```
//! use axum::response::Response;
//! use tenantry::routing::{CurrentUser, Result, live::Live};
//!
//! async fn events(live: Live, _who: CurrentUser) -> Result<Response> {
//!     live.only_while::<CurrentUser>().events(["products"])
//! }
//! ```
//!
//! Both are bound to the request's tenant. They end within a second when it is suspended or deleted,
//! when the process is told to end, and within half a minute when
//! whoever made the request is not [who they have to be](Live::only_while) any more.
//!
//! The first thing that is told is `ready`: from then on nothing is missed without a `missed`. What has
//! happened before is for whoever listens to ask for, and again after each time that the connection was
//! lost, which a browser makes anew by itself.

mod socket;

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts},
    http::{HeaderValue, header, request::Parts},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::{Stream, future::BoxFuture, stream};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

pub use socket::{Gone, Heard, OpenSocket, Socket};

use super::{Problem, auth, dispatch::Resolved};
use crate::{
    jitter::jittered,
    scoped::live::{self, LiveError, Signal, Subscription},
    tenant::Tenant,
};

/// How often it is looked whether whoever listens still may.
const LOOK: Duration = Duration::from_secs(20);
/// How often something is sent, so that nobody in between takes the connection for dead.
const ALIVE: Duration = Duration::from_secs(15);
/// When a browser is to come back whose connection was lost: at the earliest, and how much later at most,
/// so that not all do at once.
const BACK: Duration = Duration::from_secs(1);
const BACK_SPREAD: Duration = Duration::from_secs(4);

/// Marks answers that go on for as long as somebody listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GoesOn;

/// The request's tenant, to listen in: an argument of a handler.
pub struct Live {
    live: live::Live,
    watch: Watch,
}

impl Live {
    /// Listens only while `E` can be had of the request, [looked at](Self::look_every) every so often: the
    /// [user](super::CurrentUser) who signed in, or [what they may do](super::Can). Without it, whoever
    /// makes the request need be nobody, but a token that was shown must stay good.
    #[must_use]
    pub fn only_while<E: FromRequestParts<()> + Send + 'static>(mut self) -> Self {
        self.watch.only_while::<E>();
        self
    }

    /// How often it is looked whether whoever listens still may; every 20 seconds unless told.
    #[must_use]
    pub fn look_every(mut self, time: Duration) -> Self {
        self.watch.ticks = ticks(time);
        self
    }

    /// Answers with what happens in these topics, until it ends: events called like their topic, and
    /// `ready` and `missed`.
    ///
    /// # Errors
    /// 429 when as many [listen in the tenant](crate::Config::most_listeners) as may.
    pub fn events<T: Into<String>>(
        self,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<Response, Problem> {
        let listening = Listening::begin(&self.live, self.watch, topics)?;
        let events = stream::unfold(Some(listening), async |listening| {
            let mut listening = listening?;
            let event = listening.next().await?;
            Some((Ok::<_, Infallible>(as_sse(&event)), Some(listening)))
        });
        let mut response = sse(events).into_response();
        response.extensions_mut().insert(GoesOn);
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // nginx would keep it back until it has enough
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        Ok(response)
    }
}

fn sse<S>(events: S) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>> + use<S>>
where
    S: Stream<Item = Result<sse::Event, Infallible>> + Send + 'static,
{
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE))
}

impl<S: Sync> FromRequestParts<S> for Live {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let tenant = <Tenant as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        let live = Resolved::of(parts)?.tenancy.live(&tenant);
        Ok(Self {
            live,
            watch: Watch::new(parts),
        })
    }
}

/// What somebody who listens is sent.
#[derive(Debug)]
enum Sent {
    Ready,
    Event(live::Event),
    Missed,
}

impl Sent {
    fn topic(&self) -> &str {
        match self {
            Self::Ready => "ready",
            Self::Event(event) => event.topic(),
            Self::Missed => "missed",
        }
    }

    fn data(&self) -> &str {
        match self {
            Self::Event(event) => event.data(),
            Self::Ready | Self::Missed => "null",
        }
    }
}

fn as_sse(sent: &Sent) -> sse::Event {
    let event = sse::Event::default().event(sent.topic()).data(sent.data());
    match sent {
        Sent::Ready => event.retry(jittered(BACK..BACK + BACK_SPREAD)),
        Sent::Event(_) | Sent::Missed => event,
    }
}

/// Somebody who listens over HTTP.
struct Listening {
    subscription: Subscription,
    watch: Watch,
    begun: bool,
}

impl Listening {
    fn begin<T: Into<String>>(
        live: &live::Live,
        watch: Watch,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<Self, Problem> {
        let subscription = live.subscribe(topics).map_err(|error| match error {
            LiveError::TooMany(_) => Problem::too_many_requests(BACK + BACK_SPREAD),
            LiveError::Closed => Problem::unavailable(),
        })?;
        Ok(Self {
            subscription,
            watch,
            begun: false,
        })
    }

    /// What is sent next; none at the end. Giving up waiting for it loses nothing.
    async fn next(&mut self) -> Option<Sent> {
        if !self.begun {
            self.begun = true;
            return Some(Sent::Ready);
        }
        tokio::select! {
            signal = self.subscription.next() => signal.map(|signal| match signal {
                Signal::Event(event) => Sent::Event(event),
                Signal::Missed => Sent::Missed,
            }),
            () = self.watch.over() => None,
        }
    }
}

/// Whether whoever made a request is still who they have to be.
struct Watch {
    parts: Parts,
    still: Still,
    ticks: Interval,
    /// What is being looked at: not given up because something else happens meanwhile.
    looking: Option<BoxFuture<'static, bool>>,
}

fn ticks(time: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + time, time);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

type Still = fn(Parts) -> BoxFuture<'static, bool>;

impl Watch {
    fn new(parts: &Parts) -> Self {
        Self {
            parts: parts.clone(),
            still: |parts| Box::pin(is_no_less(parts)),
            ticks: ticks(LOOK),
            looking: None,
        }
    }

    fn only_while<E: FromRequestParts<()> + Send + 'static>(&mut self) {
        self.still = |parts| Box::pin(can_be_had::<E>(parts));
    }

    /// Waits until they are not any more.
    async fn over(&mut self) {
        loop {
            if self.looking.is_none() {
                self.ticks.tick().await;
            }
            let looking = self
                .looking
                .get_or_insert_with(|| (self.still)(self.parts.clone()));
            let still = looking.await;
            self.looking = None;
            if !still {
                return;
            }
        }
    }
}

async fn can_be_had<E: FromRequestParts<()> + Send + 'static>(mut parts: Parts) -> bool {
    auth::forget_who(&mut parts).await.is_ok()
        && E::from_request_parts(&mut parts, &()).await.is_ok()
}

/// Whoever showed a token that is not good any more is refused; a browser is nobody then.
async fn is_no_less(mut parts: Parts) -> bool {
    use super::{Caller, CurrentAccount};
    if auth::forget_who(&mut parts).await.is_err() {
        return false;
    }
    let outside = Resolved::of(&parts).is_ok_and(|resolved| resolved.has_people_outside());
    if outside {
        let found =
            <CurrentAccount as OptionalFromRequestParts<()>>::from_request_parts(&mut parts, &());
        found.await.is_ok()
    } else {
        let found = <Caller as OptionalFromRequestParts<()>>::from_request_parts(&mut parts, &());
        found.await.is_ok()
    }
}
