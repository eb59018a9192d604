use std::{
    io,
    sync::{Arc, Mutex},
};

use opentelemetry::trace::SpanId;
use tracing_subscriber::layer::SubscriberExt;

use super::*;

/// Keeps what is exported.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

/// What of that is exported by the application `my-shop`.
fn exported(telling: impl FnOnce()) -> Vec<SpanData> {
    let kept = Kept::default();
    let traces = Traces {
        provider: SdkTracerProvider::builder()
            .with_simple_exporter(kept.clone())
            .build(),
        target: "my_shop".into(),
    };
    let subscriber = tracing_subscriber::registry().with(traces.layer());
    tracing::subscriber::with_default(subscriber, telling);
    kept.0.lock().unwrap().clone()
}

#[test]
fn only_our_own_spans_and_the_applications_are_exported() {
    let spans = exported(|| {
        let _request = tracing::error_span!(target: "tenantry::routing", "request").entered();
        let _other = tracing::error_span!(target: "my_shopping", "another's").entered();
        let _library = tracing::error_span!(target: "hyper::client", "a library's").entered();
        let _own = tracing::info_span!(target: "my_shop", "own").entered();
        let _module = tracing::info_span!(target: "my_shop::prices", "module").entered();
        let _detail = tracing::debug_span!(target: "my_shop", "detail").entered();
        tracing::error!(target: "my_shop", secret = "hunter2", "an event");
    });
    // those that have ended first, first
    let names: Vec<_> = spans.iter().map(|span| span.name.as_ref()).collect();
    assert_eq!(names, ["module", "own", "request"]);
    let [module, own, request] = &spans[..] else {
        panic!("{spans:?}")
    };
    // one below the other, whatever stands between them
    assert_eq!(request.parent_span_id, SpanId::INVALID);
    assert_eq!(own.parent_span_id, request.span_context.span_id());
    assert_eq!(module.parent_span_id, own.span_context.span_id());
    for span in &spans {
        assert_eq!(
            span.span_context.trace_id(),
            request.span_context.trace_id()
        );
        assert_eq!(span.events.len(), 0);
    }
}

#[test]
fn fields_without_a_dot_stay_in_the_log() {
    let failed = io::Error::other(io::Error::other("hunter2"));
    let failed: &(dyn std::error::Error + 'static) = &failed;
    let mut spans = exported(|| {
        drop(tracing::info_span!(
            target: "my_shop",
            "sell",
            password = "hunter2",
            error = failed,
            shop.article = "spade",
        ));
    });
    let span = spans.remove(0);
    let names = |of_others: bool| -> Vec<_> {
        let all = span.attributes.iter().map(|one| one.key.as_str());
        all.filter(|name| is_for_others(name) == of_others)
            .collect()
    };
    assert_eq!(names(true), ["shop.article"]);
    // the layer passes on more, which the exporter is not given
    assert_eq!(names(false), ["password", "error", "error.chain"]);
}
