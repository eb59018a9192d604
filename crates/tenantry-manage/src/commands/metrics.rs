//! Metrics, as Prometheus reads them: on the central host, or on a port of their own.

use std::{fmt, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet, text},
    metrics::MetricType,
    registry::Registry,
};
use tenantry::{
    Tenancy, Tenant,
    db::DbError,
    usage::{Amounts, Busiest, Census, Pool, Quantity, RouteAnswers},
};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    Error, printer,
    settings::{MetricsToken, Profile, Settings},
};

const PATH: &str = "/metrics";

/// What they are written as ([OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/)).
const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is needed to answer.
#[derive(Clone)]
struct Metrics {
    tenancy: Tenancy,
    token: Option<MetricsToken>,
    host: Arc<str>,
    version: &'static str,
}

/// Answers metrics on the central host, where that is as the settings have it: whoever has the token,
/// or in development anybody; and nowhere where they have a port of their own.
pub(super) fn on_central_host(
    router: Router,
    tenancy: &Tenancy,
    settings: &Settings,
    version: &'static str,
) -> Router {
    let is_open = settings.profile == Profile::Development;
    if settings.metrics_addr.is_some() || (settings.metrics_token.is_none() && !is_open) {
        return router;
    }
    let metrics = Metrics::of(tenancy, settings, version);
    router.layer(middleware::from_fn_with_state(metrics, answer_or_pass))
}

async fn answer_or_pass(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let is_central = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name))
        .is_some_and(|name| name.eq_ignore_ascii_case(&metrics.host));
    let is_asked = request.uri().path() == PATH && request.method() == Method::GET;
    match is_asked && is_central {
        true => answer(State(metrics), request.headers().clone()).await,
        false => next.run(request).await,
    }
}

/// Metrics on a port of their own, until this is dropped.
pub(super) struct Listening(JoinHandle<()>);

impl Listening {
    /// Begins to listen, where the settings say so.
    pub(super) async fn begin(
        tenancy: &Tenancy,
        settings: &Settings,
        version: &'static str,
    ) -> Result<Option<Self>, Error> {
        let Some(addr) = &settings.metrics_addr else {
            return Ok(None);
        };
        let bound = |source| Error::Bind {
            addr: addr.clone(),
            source,
        };
        let listener = TcpListener::bind(addr).await.map_err(bound)?;
        let at: SocketAddr = listener.local_addr().map_err(bound)?;
        let metrics = Metrics::of(tenancy, settings, version);
        let router = Router::new().route(PATH, get(answer)).with_state(metrics);
        printer::note(format_args!("metrics on http://{at}{PATH}"));
        Ok(Some(Self(tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "metrics are not served any more");
            }
        }))))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Metrics {
    fn of(tenancy: &Tenancy, settings: &Settings, version: &'static str) -> Self {
        Self {
            tenancy: tenancy.clone(),
            token: settings.metrics_token.clone(),
            host: settings.host.as_str().into(),
            version,
        }
    }
}

async fn answer(State(metrics): State<Metrics>, headers: HeaderMap) -> Response {
    if let Some(token) = &metrics.token {
        let told = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        if !told.is_some_and(|told| token.is(told)) {
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
            return (StatusCode::UNAUTHORIZED, challenge, "wrong token\n").into_response();
        }
    }
    match written(&metrics).await {
        Ok(text) => ([(header::CONTENT_TYPE, KIND)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be told");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn written(metrics: &Metrics) -> Result<String, fmt::Error> {
    let tenancy = &metrics.tenancy;
    let busiest = tenancy.busiest();
    let mut known = Vec::new();
    for (id, _) in &busiest.tenants {
        // whoever is gone by now has no code
        if let Ok(Some(tenant)) = tenancy.tenant_by_id(*id).await {
            known.push(tenant);
        }
    }
    let told = Told {
        version: metrics.version,
        answers: tenancy.answers(),
        under_way: tenancy.requests_under_way(),
        pools: tenancy.pools(),
        open_files: tenancy.open_files(),
        census: tenancy.census().await,
        busiest,
        known,
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(told));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

/// All that is told.
#[derive(Debug)]
struct Told {
    version: &'static str,
    answers: Vec<RouteAnswers>,
    under_way: u64,
    pools: Vec<Pool>,
    open_files: usize,
    census: Result<Census, DbError>,
    busiest: Busiest,
    known: Vec<Tenant>,
}

type Labels<'a> = Vec<(&'a str, String)>;

impl Collector for Told {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let build = vec![("version", self.version.to_owned())];
        encoder
            .encode_descriptor("tenantry_build", "The program", None, MetricType::Info)?
            .encode_info(&build)?;
        self.requests(encoder)?;
        self.databases(encoder)?;
        self.tenants(encoder)?;
        self.usage(encoder)
    }
}

impl Told {
    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let about = "Requests that were answered, by method, route and class of status";
        let name = "tenantry_http_requests";
        let mut metric = encoder.encode_descriptor(name, about, None, MetricType::Counter)?;
        for route in &self.answers {
            for (class, count) in (1..).zip(route.by_class) {
                if count > 0 {
                    let labels = vec![
                        ("method", route.method.to_owned()),
                        ("route", route.route.clone()),
                        ("status", format!("{class}xx")),
                    ];
                    counter(&mut metric, &labels, count)?;
                }
            }
        }
        let about = "How long it took until an answer began";
        let name = "tenantry_http_request_seconds";
        let mut metric = encoder.encode_descriptor(name, about, None, MetricType::Histogram)?;
        for route in &self.answers {
            let labels: Labels<'_> = vec![
                ("method", route.method.to_owned()),
                ("route", route.route.clone()),
            ];
            let all = route.by_time.iter().map(|(_, count)| count).sum();
            let sum = route.time.as_secs_f64();
            metric
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(sum, all, &route.by_time, None)?;
        }
        let about = "Requests without an answer yet";
        gauge_alone(
            encoder,
            "tenantry_http_requests_under_way",
            about,
            self.under_way,
        )
    }

    fn databases(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let name = "tenantry_db_connections";
        let about = "Connections of this process to each server: lent, idle, shared by brief reads, \
                     and those waited for";
        let mut metric = encoder.encode_descriptor(name, about, None, MetricType::Gauge)?;
        for pool in &self.pools {
            for (state, count) in [
                ("lent", pool.lent),
                ("idle", pool.idle),
                ("waiting", pool.waiting),
                ("shared", pool.shared),
            ] {
                let labels = vec![("server", pool.server.clone()), ("state", state.to_owned())];
                gauge(&mut metric, &labels, count as u64)?;
            }
        }
        let name = "tenantry_db_shared_reads";
        let about = "Reads that were answered on shared connections";
        let mut metric = encoder.encode_descriptor(name, about, None, MetricType::Counter)?;
        for pool in &self.pools {
            let labels = vec![("server", pool.server.clone())];
            counter(&mut metric, &labels, pool.shared_reads)?;
        }
        let about = "Tenants' files that are open in this process";
        gauge_alone(
            encoder,
            "tenantry_open_files",
            about,
            self.open_files as u64,
        )
    }

    /// Of what is asked of the catalog nothing is told where that does not answer; but that it does
    /// not.
    fn tenants(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let about = "Whether the catalog answers";
        let up = u64::from(self.census.is_ok());
        gauge_alone(encoder, "tenantry_catalog_up", about, up)?;
        let Ok(census) = &self.census else {
            return Ok(());
        };
        let name = "tenantry_tenants";
        let about = "Tenants of the deployment, by status";
        let mut metric = encoder.encode_descriptor(name, about, None, MetricType::Gauge)?;
        for (status, count) in &census.by_status {
            gauge(&mut metric, &vec![("status", status.clone())], *count)?;
        }
        for (name, about, count) in [
            (
                "tenantry_tenants_behind",
                "Tenants that are not known to be at this program's version",
                census.behind,
            ),
            (
                "tenantry_tenants_failed",
                "Tenants whose last migration failed",
                census.failed,
            ),
            (
                "tenantry_tenants_with_jobs_due",
                "Tenants whose jobs are to be looked at by now",
                census.due,
            ),
        ] {
            gauge_alone(encoder, name, about, count)?;
        }
        Ok(())
    }

    /// What is used in this process: by all, and by the busiest and all others.
    fn usage(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let name = "tenantry_tenant";
        let about = "The code of each of the busiest tenants, by its id";
        let mut metric = encoder.encode_descriptor(name, about, None, MetricType::Info)?;
        for tenant in &self.known {
            let id = vec![("tenant", tenant.id().to_string())];
            let code = vec![("code", tenant.code().to_string())];
            metric.encode_family(&id)?.encode_info(&code)?;
        }
        for quantity in Quantity::ALL {
            let (name, about) = (quantity.name(), quantity.about());
            let all = format!("tenantry_{name}");
            let mut metric = encoder.encode_descriptor(&all, about, None, MetricType::Counter)?;
            amount(&mut metric, None, &self.busiest.all, quantity)?;
            let each = format!("tenantry_tenant_{name}");
            let mut metric = encoder.encode_descriptor(&each, about, None, MetricType::Counter)?;
            for (id, amounts) in &self.busiest.tenants {
                let labels = vec![("tenant", id.to_string())];
                amount(&mut metric, Some(&labels), amounts, quantity)?;
            }
            let labels = vec![("tenant", "other".to_owned())];
            amount(&mut metric, Some(&labels), &self.busiest.other, quantity)?;
        }
        Ok(())
    }
}

fn amount(
    metric: &mut MetricEncoder<'_>,
    labels: Option<&Labels<'_>>,
    amounts: &Amounts,
    quantity: Quantity,
) -> fmt::Result {
    let write = |metric: &mut MetricEncoder<'_>| match quantity.is_time() {
        true => {
            let seconds = amounts.time(quantity).as_secs_f64();
            metric.encode_counter::<NoLabelSet, f64, f64>(&seconds, None)
        }
        false => {
            let count = amounts.get(quantity);
            metric.encode_counter::<NoLabelSet, u64, f64>(&count, None)
        }
    };
    match labels {
        Some(labels) => write(&mut metric.encode_family(labels)?),
        None => write(metric),
    }
}

fn counter(
    metric: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    count: u64,
) -> fmt::Result {
    metric
        .encode_family(labels)?
        .encode_counter::<NoLabelSet, u64, f64>(&count, None)
}

fn gauge(metric: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, count: u64) -> fmt::Result {
    metric.encode_family(labels)?.encode_gauge(&count)
}

fn gauge_alone(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    about: &str,
    count: u64,
) -> fmt::Result {
    encoder
        .encode_descriptor(name, about, None, MetricType::Gauge)?
        .encode_gauge(&count)
}
