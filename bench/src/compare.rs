//! The ways beside each other: measured in turn, round after round, so that whatever else the
//! machine does meets all of them alike.

use std::{sync::Arc, time::Duration};

use tenantry::tenant::Isolation;

use crate::{
    Error, OnPostgres, Plan,
    cluster::Cluster,
    driver::{self, Answers, Dialect, Load, Script},
    peers::Installed,
    process::{self, Machine},
    report::{self, Report, say},
    serve::Way,
    stack::{Kind, Place, Server},
    workload::{Choice, Chooser, Road},
};

/// How often each tenant is asked for, for each connection to the database, before anything counts.
/// A backend that meets a schema for the first time reads what its tables are; if each were met
/// once on the average, a third would not have been.
pub(crate) const VISITS: usize = 3;

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
        Ok(Self::new(name, Server::start(place, way, pool)?, script))
    }

    /// What a server that has been started is to be asked.
    pub(crate) fn new(name: impl Into<String>, server: Server, script: &Arc<Script>) -> Self {
        Self {
            name: name.into(),
            server,
            script: script.clone(),
            windows: Vec::new(),
        }
    }

    pub(crate) fn tenants(&self) -> usize {
        self.script.tenants()
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
        let server = Server::of_peer(peer, &place, pool).await?;
        let script = Script::new(tenants, peer.peer.dialect());
        Ok(Self::new(name, server, &script))
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
    postmaster: Option<u32>,
    Contender {
        name,
        server,
        script,
        ..
    }: &Contender,
    load: &Load,
) -> Result<Window, Error> {
    let sample = || {
        (
            process::cpu_of_tree(server.pid()),
            postmaster.map_or(Duration::ZERO, process::cpu_of_tree),
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

/// Measures each in turn, as many rounds as planned, after each of its tenants was visited so often.
/// `postmaster` is the process from which those of the database come, where there are any.
pub(crate) async fn rounds(
    postmaster: Option<u32>,
    plan: &Plan,
    visits: usize,
    contenders: &mut [Contender],
) -> Result<(), Error> {
    for contender in &*contenders {
        let (name, tenants) = (&contender.name, contender.script.asked());
        say(format_args!("visiting {tenants} tenants: {name}"));
        // all of them, and nothing is added yet
        let visit = Load {
            road: Road::List,
            chooser: Arc::new(Chooser::new(Choice::Uniform, tenants)),
            connections: plan.connections,
            time: LONGEST_VISIT,
            requests: (tenants * visits) as u64,
        };
        driver::ask(contender.server.address, &contender.script, &visit)
            .await
            .map_err(Error::asking(name))?;
    }
    for round in 1..=plan.rounds {
        say(format_args!("round {round} of {}", plan.rounds));
        for contender in &mut *contenders {
            let load = Load {
                road: plan.road,
                chooser: Arc::new(Chooser::new(plan.choice, contender.script.asked())),
                connections: plan.connections,
                time: plan.window(),
                requests: u64::MAX,
            };
            let window = measure(postmaster, contender, &load).await?;
            contender.windows.push(window);
        }
    }
    Ok(())
}

pub(crate) async fn run(cluster: &Cluster, on: &OnPostgres, tenants: usize) -> Result<(), Error> {
    let plan = &on.plan;
    let mut report = Report::new(plan)?;
    let postmaster = Some(cluster.postmaster());
    let peers = Installed::all(&on.with).await?;
    let databases = on.databases.min(tenants);
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
    let mut facts = facts(cluster, on).await?;
    facts.push_str(&Installed::facts(&peers, on.pool));
    report.facts(&facts)?;

    let start = |name, place, way| Contender::start(name, place, way, on.pool, &script);
    let mut contenders = vec![start("limit", plain, Way::Limit)?];
    // who adds something has a connection meanwhile
    if plan.road != Road::Insert {
        contenders.push(start("limit, sharing", plain, Way::LimitSharing)?);
    }
    contenders.push(start("rows", rows, Way::Tenancy)?);
    contenders.push(start("schema", schema, Way::Tenancy)?);
    for peer in &peers {
        contenders.push(Contender::of_peer(cluster, peer, tenants, on.pool).await?);
    }
    rounds(postmaster, plan, on.pool * VISITS, &mut contenders).await?;
    report.comparison(&format!("{tenants} tenants"), &contenders)?;
    drop(contenders);

    if databases == 0 {
        return Ok(());
    }
    let each = on.pool * databases;
    let script = Script::new(databases, Dialect::default());
    let mut contenders = vec![
        Contender::start("limit", plain, Way::Limit, on.pool, &script)?,
        Contender::start(
            format!("database, pool of {}", on.pool),
            database,
            Way::Tenancy,
            on.pool,
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
    rounds(postmaster, plan, on.pool * VISITS, &mut contenders).await?;
    report.comparison(
        &format!("{databases} tenants with databases of their own"),
        &contenders,
    )
}

/// Of what machine the numbers are.
pub(crate) async fn facts(cluster: &Cluster, on: &OnPostgres) -> Result<String, Error> {
    let client = cluster.client("postgres").await?;
    let version: String = client.query_one("SHOW server_version", &[]).await?.get(0);
    let (database, keeps) = (
        format!("PostgreSQL {version}"),
        format!("pool of {}", on.pool),
    );
    Ok(report::facts(&on.plan, &database, &keeps, &on.set))
}
