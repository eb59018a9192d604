//! `serve`: from an address to requests being answered, and to their end.

pub(super) mod signals;

use std::{
    future::{IntoFuture, ready},
    net::SocketAddr,
    num::NonZeroUsize,
    time::Duration,
};

use axum::{Router, extract::Request, middleware::map_request, serve::ListenerExt};
use tenantry::{Config, Tenancy, routing::Site, tenant::Isolation};
use tokio::{net::TcpListener, sync::oneshot, time::timeout};

use self::signals::Signals;
use super::{metrics, worker::Working};
use crate::{Application, Context, Error, printer, settings::Profile};

/// How long requests under way may take once the process is to end.
const DRAINING: Duration = Duration::from_secs(10);

/// More file descriptors than this are not asked for, however many the system would give.
const MOST_DESCRIPTORS: u64 = 65_536;

/// How many tenants are named to somebody who tries things out.
const NAMED: usize = 5;

pub(super) async fn run<A: Application>(context: &Context) -> Result<(), Error> {
    let settings = &context.settings;
    let bound = |source| Error::Bind {
        addr: settings.addr.clone(),
        source,
    };
    // first of all, so that a second one on the same address leaves the data alone
    let listener = TcpListener::bind(&settings.addr).await.map_err(bound)?;
    let addr = listener.local_addr().map_err(bound)?;
    let site = A::site(settings.site_on(addr.port()));

    let config = context
        .config::<A>()?
        .pending_tenants(settings.pending.into());
    let tenancy = ready_to_work(context, config).await?;
    let signals = Signals::listen().map_err(Error::Runtime)?;
    let proxies = settings.trust_proxy.clone();
    let router = A::router(tenancy.clone(), site.clone());
    let router = metrics::on_central_host(router, &tenancy, settings, A::VERSION);
    let router = router.layer(map_request(move |mut request: Request| {
        proxies.apply(&mut request);
        ready(request)
    }));
    let metrics = metrics::Listening::begin(&tenancy, settings, A::VERSION).await?;
    if settings.profile == Profile::Production && tenancy.writes_mail_to_files() {
        tracing::warn!(
            folder = %settings.data.join("mail").display(),
            "no server for mail is set (smtp-url): it is written to files, and nobody gets it"
        );
    }
    printer::data(format_args!("listening on http://{addr}"))?;
    if settings.profile == Profile::Development {
        show_around(&tenancy, &site, A::NAME).await?;
    }
    let jobs = A::jobs(site);
    let working = (settings.workers > 0 && !jobs.is_empty())
        .then(|| Working::begin(&tenancy, jobs, settings.workers.into(), |worker| worker));
    let served = serve(listener, router, signals, working, &tenancy).await;
    tenancy.shut_down().await;
    drop(metrics);
    served
}

/// Opens the deployment for a process that works for tenants all the while.
pub(super) async fn ready_to_work(context: &Context, config: Config) -> Result<Tenancy, Error> {
    let config = config.most_open_files(most_open_files());
    let tenancy = context.open_with(config).await?;
    match context.settings.profile {
        Profile::Production => {
            refuse_pending(&tenancy).await?;
            refuse_unsafe(&tenancy).await?;
        }
        Profile::Development => {
            bring_up_to_date(&tenancy).await?;
            warn_of_unsafe(&tenancy).await?;
        }
    }
    if let Err(error) = tenancy.reach_cache().await {
        tracing::warn!(%error, "until it can be reached, nothing is cached");
    }
    Ok(tenancy)
}

/// Serves until a signal comes, and then until requests under way have ended.
async fn serve(
    listener: TcpListener,
    router: Router,
    mut signals: Signals,
    mut working: Option<Working>,
    tenancy: &Tenancy,
) -> Result<(), Error> {
    let (stop, stopped) = oneshot::channel::<()>();
    let listener = listener.tap_io(|connection| {
        // small answers are not to wait for more; without it they only take longer
        drop(connection.set_nodelay(true));
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(async {
        drop(stopped.await);
    });
    let mut server = tokio::spawn(server.into_future());
    tokio::select! {
        ended = &mut server => return ended.unwrap_or_else(|died| Err(died.into())).map_err(Error::Serve),
        () = signals.next() => {}
    }
    printer::note("stopping, once requests under way have ended; a second signal does not wait");
    drop(stop);
    // or they would never end
    tenancy.end_live();
    let draining = async {
        if let Some(working) = &mut working {
            working.stop();
        }
        let drained = match timeout(DRAINING, &mut server).await {
            Ok(ended) => ended
                .unwrap_or_else(|died| Err(died.into()))
                .map_err(Error::Serve),
            Err(_) => {
                tracing::warn!(
                    "requests under way have not ended in {DRAINING:?}, and are cut off"
                );
                Ok(())
            }
        };
        if let Some(working) = &mut working {
            working.ended().await;
        }
        drained
    };
    tokio::select! {
        drained = draining => drained,
        () = signals.next() => Err(Error::Interrupted),
    }
}

/// How many tenants' files may stay open. As many descriptors are had as the system gives without
/// being root; a file takes up to five of them, and the rest is for connections.
fn most_open_files() -> NonZeroUsize {
    let descriptors = rlimit::increase_nofile_limit(MOST_DESCRIPTORS).unwrap_or_else(|error| {
        tracing::warn!(%error, "the limit of open files cannot be raised");
        1024
    });
    let files = usize::try_from(descriptors / 8).unwrap_or(usize::MAX);
    NonZeroUsize::new(files.clamp(64, 2048)).unwrap_or(NonZeroUsize::MIN)
}

/// Refuses when a tenant lacks migrations. The catalog also names tenants that a newer program has
/// migrated, which is no reason, and a tenant whose database cannot be read must not keep the
/// others from being served.
async fn refuse_pending(tenancy: &Tenancy) -> Result<(), Error> {
    let tenants = tenancy.behind().await.map_err(Error::Catalog)?;
    for tenant in &tenants {
        match tenancy.pending(tenant).await {
            Ok(pending) if pending.is_empty() => {}
            Ok(pending) => {
                tenancy.close();
                return Err(Error::TenantBehind {
                    tenant: tenant.code().clone(),
                    pending,
                    behind: tenants.len(),
                });
            }
            Err(error) => {
                tracing::warn!(tenant = %tenant.code(), %error, "a tenant's migrations are unknown");
            }
        }
    }
    Ok(())
}

/// Migrates the tenants on servers, who are not migrated on first use as files are.
async fn bring_up_to_date(tenancy: &Tenancy) -> Result<(), Error> {
    for tenant in tenancy.behind().await.map_err(Error::Catalog)? {
        if tenant.isolation() != Isolation::File {
            tenancy
                .migrate(&tenant)
                .await
                .map_err(|source| Error::Migrate {
                    code: tenant.code().clone(),
                    source,
                })?;
        }
    }
    Ok(())
}

/// Refuses to serve behind a wall with holes.
async fn refuse_unsafe(tenancy: &Tenancy) -> Result<(), Error> {
    let findings = tenancy.audit().await.map_err(Error::Catalog)?;
    if findings.is_empty() {
        return Ok(());
    }
    tenancy.close();
    Err(Error::Unsafe(findings))
}

async fn warn_of_unsafe(tenancy: &Tenancy) -> Result<(), Error> {
    for finding in tenancy.audit().await.map_err(Error::Catalog)? {
        printer::note(format_args!(
            "WARNING: {} (in production this is refused; mend: {})",
            finding.what, finding.mend
        ));
    }
    Ok(())
}

/// Tells somebody who tries things out where to click.
async fn show_around(tenancy: &Tenancy, site: &Site, app: &str) -> Result<(), Error> {
    let tenants = tenancy.tenants().await.map_err(Error::Catalog)?;
    printer::note(format_args!("\n  {}", site.central_url()));
    for tenant in tenants.iter().take(NAMED) {
        printer::note(format_args!(
            "  {}  {}",
            site.tenant_url(tenant),
            tenant.name()
        ));
    }
    if tenants.len() > NAMED {
        let more = tenants.len() - NAMED;
        printer::note(format_args!("  and {more} more: `{app} tenant list`"));
    }
    if tenants.is_empty() {
        printer::note(format_args!(
            "  There are no tenants yet; `{app} demo`, in another terminal, makes some to look at."
        ));
    }
    printer::note("");
    Ok(())
}
