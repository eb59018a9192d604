//! A request's or a job's span as OpenTelemetry has it: by the names of its
//! [conventions](https://opentelemetry.io/docs/specs/semconv/), which all have a dot in them, as none of
//! the fields have that the log shows.

use std::{fmt::Display, sync::Arc};

use opentelemetry::{
    Context, KeyValue, Value,
    trace::{
        SpanContext, SpanId, SpanRef, Status, TraceContextExt, TraceFlags, TraceId, TraceState,
    },
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::Parent;
use crate::Tenant;

/// A span that is exported, with the layer of `tracing-opentelemetry` that the subscriber has.
#[derive(Clone)]
pub(crate) struct Exported {
    context: Context,
    /// How its name begins, before what becomes known later.
    verb: &'static str,
}

impl Exported {
    /// A request's span. None where nothing exports it.
    pub(crate) fn request(
        span: &Span,
        method: &'static str,
        is_tls: bool,
        traceparent: Option<&str>,
    ) -> Option<Self> {
        // as the conventions have it of methods that they do not know
        let (verb, method) = match method {
            "other" => ("HTTP", "_OTHER"),
            known => (known, known),
        };
        let exported = Self::begin(span, "server", verb, traceparent)?;
        exported.set("http.request.method", method);
        exported.set("url.scheme", if is_tls { "https" } else { "http" });
        exported.span().update_name(verb);
        Some(exported)
    }

    /// The span of a job that is run, a child of what it was enqueued by if that was exported. None where
    /// nothing exports it.
    pub(crate) fn job(
        span: &Span,
        tenant: &Tenant,
        kind: &str,
        id: impl Display,
        attempt: i32,
        kept: Option<&str>,
    ) -> Option<Self> {
        let exported = Self::begin(span, "consumer", "process", kept)?;
        exported.belongs_to(tenant);
        exported.set("messaging.system", "tenantry");
        exported.set("messaging.operation.name", "process");
        exported.set("messaging.operation.type", "process");
        exported.set("messaging.destination.name", kind.to_owned());
        exported.set("messaging.message.id", id.to_string());
        exported.set("tenantry.job.attempt", i64::from(attempt));
        exported.rename(kind);
        Some(exported)
    }

    fn begin(
        span: &Span,
        kind: &'static str,
        verb: &'static str,
        traceparent: Option<&str>,
    ) -> Option<Self> {
        let parent = traceparent.and_then(Parent::read).and_then(context_of);
        let parent = parent.map_or_else(Context::new, |parent| {
            Context::new().with_remote_span_context(parent)
        });
        span.set_parent(parent).ok()?;
        span.record("otel.kind", kind);
        let context = span.context();
        let is_one = context.span().span_context().is_valid();
        is_one.then_some(Self { context, verb })
    }

    /// What is kept with all that is done because of it.
    pub(crate) fn trace(&self) -> Arc<str> {
        let span = self.span();
        let own = span.span_context();
        let (trace, span, flags) = (own.trace_id(), own.span_id(), own.trace_flags());
        format!("00-{trace}-{span}-{flags:02x}").into()
    }

    /// Tells whose it is.
    pub(crate) fn belongs_to(&self, tenant: &Tenant) {
        self.set("tenantry.tenant", tenant.code().as_str().to_owned());
        self.set("tenantry.tenant_id", tenant.id().to_string());
    }

    /// Tells which route the request takes.
    pub(crate) fn takes(&self, route: &str) {
        self.set("http.route", route.to_owned());
        self.rename(route);
    }

    /// Ends a request's span: what is told later of the request, in its log, is not exported.
    pub(crate) fn answered(&self, status: u16) {
        self.set("http.response.status_code", i64::from(status));
        self.end((status >= 500).then(|| status.to_string()));
    }

    /// Ends a job's span, with what went wrong in a word.
    pub(crate) fn ended(&self, wrong: Option<&'static str>) {
        self.end(wrong);
    }

    fn end(&self, wrong: Option<impl Into<Value>>) {
        if let Some(wrong) = wrong {
            self.set("error.type", wrong);
            // what is said of it is for the log, because there can be anything in it
            self.span().set_status(Status::error(""));
        }
        self.span().end();
    }

    fn rename(&self, rest: &str) {
        self.span().update_name(format!("{} {rest}", self.verb));
    }

    fn set(&self, name: &'static str, value: impl Into<Value>) {
        self.span().set_attribute(KeyValue::new(name, value));
    }

    fn span(&self) -> SpanRef<'_> {
        self.context.span()
    }
}

fn context_of(parent: Parent<'_>) -> Option<SpanContext> {
    let flags = u8::from_str_radix(parent.flags, 16).ok()?;
    Some(SpanContext::new(
        TraceId::from_hex(parent.trace).ok()?,
        SpanId::from_hex(parent.span).ok()?,
        TraceFlags::new(flags) & TraceFlags::SAMPLED,
        true,
        // what others add to it is not ours to pass on
        TraceState::NONE,
    ))
}
