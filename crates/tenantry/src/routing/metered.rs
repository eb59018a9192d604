//! Bodies whose bytes go on a tenant's account.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Error,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    response::Response,
};

use crate::usage::{Meter, Quantity};

/// Counts what is read of the request's body.
pub(super) fn request(request: Request, meter: &Arc<Meter>) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    // not by what it claims: whoever sends less would have the tenant pay for more
    request.map(|body| counted(body, meter, Quantity::BytesIn))
}

/// Counts the answer, and what is sent of its body.
pub(super) fn response(response: Response, meter: &Arc<Meter>) -> Response {
    meter.add(Quantity::Requests, 1);
    if response.status().is_server_error() {
        meter.add(Quantity::RequestsFailed, 1);
    }
    match response.body().size_hint().exact() {
        // it is here already
        Some(bytes) => {
            meter.add(Quantity::BytesOut, bytes);
            response
        }
        None => response.map(|body| counted(body, meter, Quantity::BytesOut)),
    }
}

fn counted(inner: Body, meter: &Arc<Meter>, quantity: Quantity) -> Body {
    Body::new(Counted {
        inner,
        meter: meter.clone(),
        quantity,
    })
}

struct Counted {
    inner: Body,
    meter: Arc<Meter>,
    quantity: Quantity,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.meter.add(self.quantity, data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}
