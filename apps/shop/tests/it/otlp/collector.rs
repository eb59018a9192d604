use std::{
    collections::BTreeMap,
    io::Read,
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, header},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{KeyValue, any_value},
    trace::v1::Span,
};
use prost::Message;
use serde_json::Value;
use tokio::sync::oneshot;

pub(super) const SERVER: i32 = 2;
pub(super) const CONSUMER: i32 = 5;
pub(super) const UNSET: i32 = 0;
pub(super) const ERROR: i32 = 2;

/// What takes traces, in a thread of its own: tests wait without it.
pub(super) struct Collector {
    port: u16,
    got: Arc<Mutex<Got>>,
    ended: Option<(oneshot::Sender<()>, thread::JoinHandle<()>)>,
}

#[derive(Default)]
struct Got {
    spans: Vec<Exported>,
    bytes: Vec<u8>,
}

/// A span that was exported, its ids as text and without what nobody looks at.
#[derive(Debug, Clone)]
pub(super) struct Exported {
    pub(super) trace: String,
    pub(super) span: String,
    pub(super) parent: String,
    pub(super) name: String,
    pub(super) kind: i32,
    pub(super) status: i32,
    pub(super) message: String,
    pub(super) attributes: Value,
    pub(super) resource: Value,
    pub(super) events: usize,
    pub(super) links: usize,
    /// What the header x-key said.
    pub(super) key: Option<String>,
}

impl Collector {
    pub(super) fn start() -> Self {
        Self::start_on(0)
    }

    pub(super) fn start_on(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let got = Arc::<Mutex<Got>>::default();
        let (end, ended) = oneshot::channel();
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(got.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let served = axum::serve(listener, router);
                tokio::select! {
                    served = served => served.unwrap(),
                    _ = ended => {}
                }
            });
        });
        Self {
            port,
            got,
            ended: Some((end, thread)),
        }
    }

    /// A port that nobody has now.
    pub(super) fn free_port() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The spans of the traces whose ids begin so.
    pub(super) fn traced(&self, begin: &str) -> Vec<Exported> {
        let got = self.got.lock().unwrap();
        let spans = got.spans.iter();
        spans
            .filter(|span| span.trace.starts_with(begin))
            .cloned()
            .collect()
    }

    /// All that came, as it came.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.got.lock().unwrap().bytes.clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.ended.take() {
            drop(end);
            drop(thread.join());
        }
    }
}

async fn take(
    State(got): State<Arc<Mutex<Got>>>,
    headers: HeaderMap,
    body: Bytes,
) -> ([(header::HeaderName, &'static str); 1], Vec<u8>) {
    const KIND: &str = "application/x-protobuf";
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(text("content-type").as_deref(), Some(KIND));
    let body = match text("content-encoding").as_deref() {
        Some("gzip") => {
            let mut plain = Vec::new();
            let mut packed = flate2::read::GzDecoder::new(&*body);
            packed.read_to_end(&mut plain).unwrap();
            plain
        }
        _ => body.into(),
    };
    let request = ExportTraceServiceRequest::decode(&*body).unwrap();
    let mut got = got.lock().unwrap();
    for of_one in request.resource_spans {
        let resource = shown(&of_one.resource.unwrap_or_default().attributes);
        for span in of_one.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            got.spans.push(read(span, &resource, text("x-key")));
        }
    }
    got.bytes.extend(body);
    let response = ExportTraceServiceResponse::default();
    ([(header::CONTENT_TYPE, KIND)], response.encode_to_vec())
}

fn read(span: Span, resource: &Value, key: Option<String>) -> Exported {
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    assert_eq!(span.trace_state, "");
    let status = span.status.unwrap_or_default();
    Exported {
        trace: hex(&span.trace_id),
        span: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        attributes: shown(&span.attributes),
        name: span.name,
        kind: span.kind,
        status: status.code,
        message: status.message,
        resource: resource.clone(),
        events: span.events.len(),
        links: span.links.len(),
        key,
    }
}

fn shown(attributes: &[KeyValue]) -> Value {
    let pairs = attributes.iter().map(|one| {
        let value = match one.value.clone().and_then(|value| value.value) {
            Some(any_value::Value::StringValue(text)) => text.into(),
            Some(any_value::Value::IntValue(number)) => number.into(),
            other => format!("{other:?}").into(),
        };
        (one.key.clone(), value)
    });
    let all: BTreeMap<String, Value> = pairs.collect();
    assert_eq!(all.len(), attributes.len(), "an attribute is there twice");
    serde_json::to_value(all).unwrap()
}
