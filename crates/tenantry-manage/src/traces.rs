//! Traces of requests and jobs are exported, by OTLP over HTTP, to a collector of OpenTelemetry.

mod client;

use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_otlp::{
    Protocol, RetryPolicy, SpanExporter as Exporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use tracing::{Level, Metadata, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{Layer, filter::FilterFn, registry::LookupSpan};
use url::Url;

use self::client::Client;
use crate::{Application, Error};

/// How long the end of the process waits until what is left is exported.
const ENDING: Duration = Duration::from_secs(5);

/// What exports, in a thread of its own.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    /// The application's own, as `tracing` names what is told from.
    target: String,
}

impl Traces {
    /// Begins to export to the collector at that URL, if there is one.
    pub(crate) fn begin<A: Application>(collector: Option<&Url>) -> Result<Option<Self>, Error> {
        let Some(url) = collector else {
            return Ok(None);
        };
        let exporter = Exporter::builder()
            .with_http()
            .with_http_client(Client::new()?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(url.as_str())
            .with_retry_policy(RetryPolicy::recommended())
            .build()
            .map_err(|error| Error::Traces(error.into()))?;
        let exporter = Outward {
            exporter,
            collector: url.origin().ascii_serialization(),
            lost: AtomicU64::new(0),
        };
        let provider = SdkTracerProvider::builder()
            .with_resource(resource::<A>())
            .with_batch_exporter(exporter)
            .build();
        Ok(Some(Self {
            provider,
            target: A::NAME.replace('-', "_"),
        }))
    }

    /// What a subscriber passes spans on by: the library's and the application's own. What other libraries
    /// say in theirs is known to nobody here, and events are for the log.
    pub(crate) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> {
        let own = self.target.clone();
        let is_own = move |about: &Metadata<'_>| {
            let (target, _) = about
                .target()
                .split_once("::")
                .unwrap_or((about.target(), ""));
            about.is_span()
                && *about.level() <= Level::INFO
                && (target == "tenantry" || target == own)
        };
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("tenantry"))
            .with_context_activation(false)
            .with_error_fields_to_exceptions(false)
            .with_level(false)
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(FilterFn::new(is_own).with_max_level_hint(LevelFilter::INFO))
    }

    /// Exports what is left, for as long as somebody waits for the end of a process.
    pub(crate) fn end(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(ENDING) {
            tracing::warn!(%error, "the last traces may not have been exported");
        }
    }
}

/// Whose traces they are: the application's, unless `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` say
/// something else.
fn resource<A: Application>() -> Resource {
    let by_default = [
        KeyValue::new("service.name", A::NAME),
        KeyValue::new("service.version", A::VERSION),
    ];
    let resource = Resource::builder_empty()
        .with_attributes(by_default)
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => resource.with_service_name(name).build(),
        _ => resource.build(),
    }
}

/// Whether somebody meant it to be exported: names in OpenTelemetry have a dot. Other fields were written for
/// the log, and so was an error, of whose field `tracing-opentelemetry` makes a second.
fn is_for_others(name: &str) -> bool {
    name.contains('.') && !name.ends_with(".chain")
}

/// The exporter, given what is for others to see; and it is told once when nobody takes it, and once when
/// somebody does again.
#[derive(Debug)]
struct Outward {
    exporter: Exporter,
    /// Without what may be secret in its path.
    collector: String,
    /// How many spans were, since somebody last took some.
    lost: AtomicU64,
}

impl SpanExporter for Outward {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        for span in &mut batch {
            span.attributes
                .retain(|one| is_for_others(one.key.as_str()));
        }
        let (count, collector) = (batch.len() as u64, self.collector.as_str());
        match self.exporter.export(batch).await {
            Ok(()) => {
                let lost = self.lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    tracing::info!(collector, lost, "traces are exported again");
                }
            }
            Err(error) => {
                if self.lost.fetch_add(count, Ordering::Relaxed) == 0 {
                    tracing::warn!(collector, %error, "traces cannot be exported, and are lost until they can");
                }
            }
        }
        // it would be told a second time, and every time
        Ok(())
    }

    fn shutdown(&self) -> OTelSdkResult {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(collector = self.collector, lost, "traces were not exported");
        }
        self.exporter.shutdown()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests;
