//! The ways beside each other: measured in turn, round after round, so that whatever else the
//! machine does meets all of them alike.

use std::{sync::Arc, time::Duration};

use tenantry::tenant::Isolation;

use crate::{
    Error, Plan,
    cluster::Cluster,
    driver::{self, Answers, Dialect, Load, Script},
    peers::Installed,
    process::{self, Machine},
    report::{self, Report, say},
    serve::Way,
    stack::{Kind, Place, Server},
};

/// How often each tenant is asked for, for each connection to the database, before anything counts.
/// A backend that meets a schema for the first time reads what its tables are; if each were met
/// once on the average, a third would not have been.
const VISITS: usize = 3;

/// How long that may take.
const LONGEST_VISIT: Duration = Duration::from_secs(600);

/// One way of serving, and what was measured of it.
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) server: Server,
    /// What it is asked, and must answer.
    script: Arc<Script>,
    pub(crate) windows: Vec<Window>,
}

impl Contender {
    pub(crate) fn start(
        name: impl Into<String>,
        place: &Place,
        way: Way,
        pool: usize,
        script: &Arc<Script>,
    ) -> Result<Self, Error> {
        Ok(Self {
            name: name.into(),
            server: Server::start(place, way, pool)?,
            script: script.clone(),
            windows: Vec::new(),
        })
    }

    /// Makes what the peer serves, and starts it.
    async fn of_peer(
        cluster: &Cluster,
        peer: &Installed,
        tenants: usize,
        pool: usize,
    ) -> Result<Self, Error> {
        let name = peer.peer.name();
        say(format_args!("making {tenants} tenants: {name}"));
        let place = Place::of_peer(cluster, peer, tenants).await?;
        Ok(Self {
            name: name.into(),
            server: Server::of_peer(peer, &place, pool).await?,
            script: Script::new(tenants, peer.peer.dialect()),
            windows: Vec::new(),
        })
    }
}

/// What was measured of one server in one round.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) answers: Answers,
    /// Processor time of the server, and of all processes that came from it.
    pub(crate) server: Duration,
    /// Memory of the server at the end, in KiB.
    pub(crate) memory: u64,
    /// Processor time of all of PostgreSQL.
    pub(crate) postgres: Duration,
    /// Processor time of whoever asked.
    pub(crate) driver: Duration,
    /// Of the whole machine.
    pub(crate) machine: Machine,
}

impl Window {
    pub(crate) fn per_second(&self) -> f64 {
        self.answers.count() as f64 / self.answers.elapsed.as_secs_f64()
    }

    /// In microseconds for each request.
    pub(crate) fn each(&self, time: Duration) -> f64 {
        time.as_secs_f64() * 1e6 / self.answers.count().max(1) as f64
    }

    /// What others than the benchmark used, in processors.
    pub(crate) fn disturbance(&self) -> f64 {
        let ours = self.server + self.postgres + self.driver;
        let others = self.machine.busy.saturating_sub(ours) + self.machine.stolen;
        others.as_secs_f64() / self.answers.elapsed.as_secs_f64()
    }
}

async fn measure(
    cluster: &Cluster,
    Contender {
        name,
        server,
        script,
        ..
    }: &Contender,
    load: Load,
) -> Result<Window, Error> {
    let sample = || {
        (
            process::cpu_of_tree(server.pid()),
            process::cpu_of_tree(cluster.postmaster()),
            process::cpu(std::process::id()),
            process::machine(),
        )
    };
    let before = sample();
    let answers = driver::ask(server.address, script, load)
        .await
        .map_err(Error::asking(name))?;
    let after = sample();
    Ok(Window {
        answers,
        server: after.0.saturating_sub(before.0),
        memory: server.memory(),
        postgres: after.1.saturating_sub(before.1),
        driver: after.2.saturating_sub(before.2),
        machine: Machine {
            busy: after.3.busy.saturating_sub(before.3.busy),
            stolen: after.3.stolen.saturating_sub(before.3.stolen),
        },
    })
}

/// Measures each in turn, as many rounds as planned, after all of its tenants were visited.
pub(crate) async fn rounds(
    cluster: &Cluster,
    plan: &Plan,
    tenants: usize,
    contenders: &mut [Contender],
) -> Result<(), Error> {
    let load = Load {
        tenants,
        connections: plan.connections,
        time: plan.window(),
        requests: u64::MAX,
    };
    let visit = Load {
        time: LONGEST_VISIT,
        requests: (tenants * plan.pool * VISITS) as u64,
        ..load
    };
    for contender in &*contenders {
        say(format_args!(
            "visiting {tenants} tenants: {}",
            contender.name
        ));
        driver::ask(contender.server.address, &contender.script, visit)
            .await
            .map_err(Error::asking(&contender.name))?;
    }
    for round in 1..=plan.rounds {
        say(format_args!("round {round} of {}", plan.rounds));
        for contender in &mut *contenders {
            let window = measure(cluster, contender, load).await?;
            contender.windows.push(window);
        }
    }
    Ok(())
}

pub(crate) async fn run(cluster: &Cluster, plan: &Plan, tenants: usize) -> Result<(), Error> {
    let mut report = Report::new(plan)?;
    let peers = Installed::all(&plan.with).await?;
    let databases = plan.databases.min(tenants);
    let places = [
        ("plain", Kind::Plain, tenants),
        ("rows", Kind::Tenancy(Isolation::Rows), tenants),
        ("schema", Kind::Tenancy(Isolation::Schema), tenants),
        ("database", Kind::Tenancy(Isolation::Database), databases),
    ];
    let mut made = Vec::new();
    for (name, kind, tenants) in places {
        say(format_args!("making {tenants} tenants: {name}"));
        let mut place = Place::new(cluster, name, kind).await?;
        place.fill(cluster, tenants).await?;
        made.push(place);
    }
    let [plain, rows, schema, database] = made.as_slice() else {
        unreachable!("four were made");
    };
    let script = Script::new(tenants, Dialect::default());
    let mut facts = report::facts(cluster, plan).await?;
    facts.extend(peers.iter().map(|peer| peer.fact(plan.pool)));
    report.facts(&facts)?;

    let mut contenders = vec![
        Contender::start("limit", plain, Way::Limit, plan.pool, &script)?,
        Contender::start("rows", rows, Way::Tenancy, plan.pool, &script)?,
        Contender::start("schema", schema, Way::Tenancy, plan.pool, &script)?,
    ];
    #[cfg(feature = "peers")]
    contenders.extend([
        Contender::start("sqlx", plain, Way::Sqlx, plan.pool, &script)?,
        Contender::start(
            "sqlx, as it comes",
            plain,
            Way::SqlxPinging,
            plan.pool,
            &script,
        )?,
    ]);
    for peer in &peers {
        contenders.push(Contender::of_peer(cluster, peer, tenants, plan.pool).await?);
    }
    rounds(cluster, plan, tenants, &mut contenders).await?;
    report.comparison(&format!("{tenants} tenants"), &contenders)?;
    drop(contenders);

    if databases == 0 {
        return Ok(());
    }
    let each = plan.pool * databases;
    let mut contenders = vec![
        Contender::start("limit", plain, Way::Limit, plan.pool, &script)?,
        Contender::start(
            format!("database, pool of {}", plan.pool),
            database,
            Way::Tenancy,
            plan.pool,
            &script,
        )?,
        Contender::start(
            format!("database, pool of {each}"),
            database,
            Way::Tenancy,
            each,
            &script,
        )?,
    ];
    rounds(cluster, plan, databases, &mut contenders).await?;
    report.comparison(
        &format!("{databases} tenants with databases of their own"),
        &contenders,
    )
}
