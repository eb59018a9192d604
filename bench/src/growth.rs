//! What becomes of it as tenants grow in number.

use tenantry::tenant::Isolation;

use crate::{
    Error, OnPostgres,
    cluster::Cluster,
    compare::{self, Contender, rounds},
    driver::{Dialect, Script},
    process::{self, Memory},
    report::{self, Report, say},
    serve::Way,
    stack::{Kind, Place},
};

pub(crate) async fn run(cluster: &Cluster, on: &OnPostgres, steps: &[usize]) -> Result<(), Error> {
    let mut report = Report::new(&on.plan)?;
    let mut places = [
        Place::new(cluster, "plain", Kind::Plain).await?,
        Place::new(cluster, "rows", Kind::Tenancy(Isolation::Rows)).await?,
        Place::new(cluster, "schema", Kind::Tenancy(Isolation::Schema)).await?,
    ];
    let names = ["limit", "rows", "schema"];
    let mut table = Vec::new();
    for &tenants in steps {
        for (place, name) in places.iter_mut().zip(names) {
            say(format_args!(
                "making tenants until there are {tenants}: {name}"
            ));
            place.fill(cluster, tenants).await?;
        }
        let script = Script::new(tenants, Dialect::default());
        let mut contenders = Vec::new();
        for (place, name) in places.iter().zip(names) {
            let way = if name == "limit" {
                Way::Limit
            } else {
                Way::Tenancy
            };
            contenders.push(Contender::start(name, place, way, on.pool, &script)?);
        }
        let visits = on.pool * compare::VISITS;
        let postmaster = Some(cluster.postmaster());
        rounds(postmaster, &on.plan, visits, tenants, &mut contenders).await?;
        for (place, contender) in places.iter().zip(contenders) {
            let backends = backends(cluster, place).await?;
            table.push(Step {
                tenants,
                contender,
                backends,
            });
        }
    }
    report.add(&compare::facts(cluster, on).await?)?;
    report.add(&report::growth(&table))
}

/// One way of serving, among so many tenants.
pub(crate) struct Step {
    pub(crate) tenants: usize,
    pub(crate) contender: Contender,
    /// The memory of each backend.
    pub(crate) backends: Vec<Memory>,
}

async fn backends(cluster: &Cluster, place: &Place) -> Result<Vec<Memory>, Error> {
    let rows = cluster
        .client("postgres")
        .await?
        .query(
            "SELECT pid FROM pg_stat_activity
             WHERE datname = $1::text AND backend_type = 'client backend' AND query NOT LIKE 'LISTEN%'",
            &[&place.database()],
        )
        .await?;
    let pids = rows
        .iter()
        .filter_map(|row| u32::try_from(row.get::<_, i32>(0)).ok());
    Ok(pids.map(process::memory).collect())
}
