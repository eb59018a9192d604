//! How a tenant's requests are kept to its limits, and how that is told.
//!
//! By the fields `RateLimit-Policy` and `RateLimit` of
//! [draft-ietf-httpapi-ratelimit-headers-11](https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/11/):
//! a policy's name with its quota (`q`), what that is counted in (`qu`) and the seconds in which it
//! comes back (`w`); and how much is left (`r`) until all of it is there again (`t`). A bucket has no
//! window, so `w` is the time in which an empty one fills.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};

use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{Problem, live::GoesOn};
use crate::{
    Tenancy, Tenant,
    scoped::limits::{Admitted, Limit, Refusal, Slot, Standing},
    tenant::Rate,
    usage::{Meter, Quantity},
};

pub(super) const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
pub(super) const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// Keeps a tenant's request to its limits.
pub(super) async fn admit(
    tenancy: &Tenancy,
    tenant: &Tenant,
    meter: &Meter,
) -> Result<Admitted, Response> {
    let limits = tenancy.0.plans.limits(tenant.plan());
    let limiter = &tenancy.0.limiter;
    let worked = || meter.amounts().time(Quantity::DbTime);
    let admitted = limiter.admit(tenant.id(), &limits, worked).await;
    admitted.map_err(|refusal| {
        tracing::debug!(limit = ?refusal.limit, wait = ?refusal.wait, "over the tenant's limit");
        refused(&refusal)
    })
}

/// The answer to a request that was admitted, which counts as under way until its last byte.
pub(super) fn answered(admitted: Admitted, response: Response) -> Response {
    let Admitted { slot, standing } = admitted;
    // how many listen is limited by itself
    let goes_on = response.extensions().get::<GoesOn>().is_some();
    let mut response = match slot {
        Some(slot) if !goes_on && !response.body().is_end_stream() => response.map(|body| {
            Body::new(Held {
                body,
                slot: Some(slot),
            })
        }),
        _ => response,
    };
    if let Some(standing) = standing {
        let Standing {
            rate,
            left,
            full_in,
        } = standing;
        tell(&mut response, &requests(rate), "requests", left, full_in);
    }
    response
}

fn refused(refusal: &Refusal) -> Response {
    let mut response = Problem::too_many_requests(refusal.wait).into_response();
    let (name, policy) = match refusal.limit {
        Limit::Requests(rate) => ("requests", requests(rate)),
        Limit::Concurrent(concurrent) => {
            let most = concurrent.most;
            let policy = format!("\"concurrent\";q={most};qu=\"concurrent-requests\"");
            ("concurrent", policy)
        }
        Limit::DatabaseTime(time) => {
            let window = time.burst.as_secs_f64() / time.per_second.as_secs_f64();
            let policy = format!(
                "\"database-time\";q={};qu=\"tenantry-milliseconds\";w={}",
                time.burst.as_millis(),
                whole(window)
            );
            ("database-time", policy)
        }
    };
    // nobody is told to come back before they may, and rather a little after that
    let full_in = refusal.full_in.max(refusal.wait);
    tell(&mut response, &policy, name, 0, full_in);
    response
}

fn requests(rate: Rate) -> String {
    let burst = rate.burst();
    let window = whole(f64::from(burst) / rate.each_second());
    format!("\"requests\";q={burst};w={window}")
}

fn tell(response: &mut Response, policy: &str, name: &str, left: u64, full_in: Duration) {
    let full_in = full_in.as_secs() + u64::from(full_in.subsec_nanos() > 0);
    let left = format!("\"{name}\";r={left};t={full_in}");
    for (name, value) in [(POLICY, policy), (LEFT, &left)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
}

/// In whole seconds, of which there is one at least.
fn whole(seconds: f64) -> u64 {
    seconds.ceil().max(1.0) as u64
}

/// A body that counts as under way until it has ended or nobody reads it any more.
struct Held {
    body: Body,
    slot: Option<Slot>,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.slot = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
