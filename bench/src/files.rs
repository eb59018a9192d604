//! A file for each tenant: tenantry beside what one would write by hand on SQLite.

use std::{
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use rustix::process::{Resource, getrlimit, setrlimit};
use tenantry::{
    Config, Tenancy,
    db::TenantDb,
    lifecycle::{NewTenant, SeedError},
    tenant::{Isolation, TenantCode},
};

use crate::{
    Error, Plan,
    compare::{Contender, rounds},
    data::{self, IN_FILE, INSERT, Product},
    driver::{Dialect, Script},
    peers::{InstalledOnFiles, PeerOnFiles},
    report::{self, Report, say},
    serve::{Way, files as by_hand},
    stack::Server,
};

/// How many tenants are made at a time.
const MADE_AT_ONCE: usize = 4;

/// How often each tenant is asked for before anything counts.
const VISITS: usize = 3;

#[derive(Args)]
pub(crate) struct OnFiles {
    #[command(flatten)]
    plan: Plan,
    /// How many files each way keeps open; those of all that are asked for unless told
    #[arg(long)]
    open: Option<usize>,
    /// How many of the tenants are asked for; all unless told
    #[arg(long)]
    asked: Option<usize>,
    /// Where the files are; a temporary folder unless told. For what is added it is to be on a disk
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Programs that are not this one to compare with, built first from crates.io
    #[arg(long, value_name = "PEER", value_delimiter = ',')]
    with: Vec<PeerOnFiles>,
}

/// A deployment of tenantry on files, of which so many stay open.
pub(crate) fn config(data: &Path, open: usize) -> Config {
    Config::new(data)
        .most_open_files(NonZeroUsize::new(open).unwrap_or(NonZeroUsize::MIN))
        .tenant_migrations(data::migrations())
}

pub(crate) async fn run(mut files: OnFiles) -> Result<(), Error> {
    files.plan.in_order();
    let mut folder = tempfile::Builder::new();
    folder.prefix("tenantry-bench-");
    let doing = Error::io("making a folder for the files");
    let folder = match &files.folder {
        Some(below) => fs::create_dir_all(below).and_then(|()| folder.tempdir_in(below)),
        None => folder.tempdir(),
    };
    let folder = folder.map_err(&doing)?;

    let plan = &files.plan;
    let mut report = Report::new(plan)?;
    let open = match (files.open, files.asked) {
        (Some(open), _) => format!("{open} files open at most"),
        (None, Some(asked)) => format!("{asked} of the tenants, whose files are open"),
        (None, None) => "all files open".into(),
    };
    let most = plan.tenants.last().copied().unwrap_or_default();
    let_open(files.open.or(files.asked).unwrap_or(most))?;
    let sqlite = format!("SQLite {}", rusqlite::version());
    let peer = match files.with.first() {
        Some(&peer) => Some(InstalledOnFiles::new(peer).await?),
        None => None,
    };
    let mut facts = report::facts(plan, &sqlite, &open, &[]);
    facts.extend(peer.iter().map(InstalledOnFiles::fact));
    report.facts(&facts)?;
    let mut contenders = Vec::new();
    for &tenants in &plan.tenants {
        say(format_args!("making {tenants} tenants"));
        let [plain, tenancy] =
            ["plain", "tenancy"].map(|name| folder.path().join(format!("{name}-{tenants}")));
        fs::create_dir(&plain).map_err(&doing)?;
        make_by_hand(&plain, tenants)?;
        make(&tenancy, tenants).await?;
        let open = files.open.or(files.asked).unwrap_or(tenants);
        let script = Script::of_some(tenants, files.asked, Dialect::default());
        for (name, way, folder) in [
            ("by hand", Way::Files, &plain),
            ("tenantry", Way::TenancyFiles, &tenancy),
            (
                "by hand, on the runtime's threads",
                Way::FilesInline,
                &plain,
            ),
        ] {
            let server = Server::on_files(folder, way, open)?;
            contenders.push(Contender::new(name, server, &script));
        }
        if let Some(peer) = &peer {
            let server = Server::of_peer_on_files(peer, &plain, open).await?;
            contenders.push(Contender::new(peer.name(), server, &script));
        }
    }
    rounds(None, plan, VISITS, &mut contenders).await?;
    for same in contenders.chunk_by(|one, other| one.tenants() == other.tenants()) {
        let tenants = same.first().map_or(0, Contender::tenants);
        report.comparison(&format!("{tenants} tenants with a file each"), same)?;
    }
    match plan.tenants.len() {
        0 | 1 => Ok(()),
        _ => report.add(&report::growth(&contenders, &[])),
    }
}

/// How many descriptors a server has besides its files.
const OTHERS: u64 = 128;

/// Lets the servers have so many files open, each of which has a log and an index of that.
fn let_open(files: usize) -> Result<(), Error> {
    let needed = files as u64 * 3 + OTHERS;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|most| most < needed) {
        return Err(Error::Descriptors { files, needed });
    }
    // they inherit it
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).map_err(|error| {
        Error::io("raising the number of descriptors that may be open")(error.into())
    })
}

fn make_by_hand(folder: &Path, tenants: usize) -> Result<(), Error> {
    for tenant in 0..tenants {
        let mut file = by_hand::open(&by_hand::path(folder, &data::code(tenant)))?;
        let transaction = file.transaction()?;
        transaction.execute_batch(IN_FILE)?;
        for product in data::products(tenant) {
            by_hand::insert(&transaction, &product)?;
        }
        transaction.commit()?;
    }
    Ok(())
}

async fn make(data: &Path, tenants: usize) -> Result<(), Error> {
    let tenancy = Tenancy::set_up(config(data, MADE_AT_ONCE)).await?;
    let making = (0..tenants).map(|tenant| {
        let tenancy = tenancy.clone();
        async move {
            let code = data::code(tenant);
            let code = TenantCode::new(&code).expect("the codes made here are codes");
            let new = NewTenant::new(code, format!("Tenant {tenant}")).isolation(Isolation::File);
            let fill = move |db: TenantDb| async move { stock(&db, data::products(tenant)).await };
            tenancy.create_with(new, fill).await.map(drop)
        }
    });
    let made = stream::iter(making).buffer_unordered(MADE_AT_ONCE);
    let made = made.try_collect::<()>().await;
    tenancy.close();
    Ok(made?)
}

/// Gives a tenant products.
pub(crate) async fn stock(db: &TenantDb, products: Vec<Product>) -> Result<(), SeedError> {
    let mut transaction = db.begin();
    for product in products {
        transaction
            .query(INSERT)
            .bind(product.id)
            .bind(product.name)
            .bind(product.code)
            .bind(product.price)
            .bind(product.added_by)
            .bind(product.added_on)
            .execute()
            .await?;
    }
    Ok(transaction.commit().await?)
}
