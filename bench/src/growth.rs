//! What becomes of it as tenants grow in number. All numbers of them are there from the beginning and
//! are measured in turns, so that what the machine does meets few tenants and many alike.

use std::iter;

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
    report.add(&compare::facts(cluster, on).await?)?;
    let (mut places, mut contenders) = (Vec::new(), Vec::new());
    for &tenants in steps {
        let script = Script::new(tenants, Dialect::default());
        let limit = ("limit", Kind::Plain, Way::Limit);
        let isolations = match on.isolation.as_slice() {
            [] => &[Isolation::Rows, Isolation::Schema],
            told => told,
        };
        let ours = isolations.iter().map(|isolation| {
            let kind = Kind::Tenancy(*isolation);
            (isolation.as_str(), kind, Way::Tenancy)
        });
        for (name, kind, way) in iter::once(limit).chain(ours) {
            say(format_args!("making {tenants} tenants: {name}"));
            let mut place = Place::new(cluster, format!("{name}_{tenants}"), kind).await?;
            place.fill(cluster, tenants).await?;
            contenders.push(Contender::start(name, &place, way, on.pool, &script)?);
            places.push(place);
        }
    }
    let visits = on.pool * compare::VISITS;
    rounds(
        Some(cluster.postmaster()),
        &on.plan,
        visits,
        &mut contenders,
    )
    .await?;
    let mut backends = Vec::new();
    for place in &places {
        backends.push(memory_of_backends(cluster, place).await?);
    }
    report.add(&report::growth(&contenders, &backends))
}

async fn memory_of_backends(cluster: &Cluster, place: &Place) -> Result<Vec<Memory>, Error> {
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
