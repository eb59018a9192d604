//! What is counted of what tenants use: each for itself, and nothing twice.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use futures_util::{TryStreamExt, future::join_all, stream};

use super::{A_WHILE, Place, add_note, add_notes, list};
use crate::{
    Tenancy, Tenant,
    catalog::Written,
    db::{CentralScope, DbError, TenantDb, TenantScope},
    scoped::{
        cache::CacheKey,
        files::FileName,
        jobs::{Job, JobContext, JobError, Jobs, Worker},
        mail::Message,
    },
    tenant::TenantId,
    usage::{Amounts, By, Quantity, Used as WrittenDown},
};

list! { "usage":
    statements_and_rows_are_counted, each_in_its_own_tenants_account, time_is_that_of_the_loan,
    what_streams_is_counted, a_failed_statement_is_one, files_jobs_mail_and_cache_are_counted,
    the_librarys_own_work_is_nobodys, what_is_written_down_adds_up,
    nothing_is_written_twice, it_follows_the_tenant_and_not_its_code, hours_become_days,
}

/// What a tenant uses from now on.
struct Used<'t> {
    tenancy: &'t Tenancy,
    tenant: Tenant,
    before: Amounts,
}

impl<'t> Used<'t> {
    async fn from_now(place: &'t Place, code: &str) -> Self {
        let tenant = place.tenant(code).await;
        // so that opening and migrating are over
        place.db(code).await;
        Self::of(place.tenancy(), tenant)
    }

    fn of(tenancy: &'t Tenancy, tenant: Tenant) -> Self {
        let before = tenancy.meter(&tenant).amounts();
        Self {
            tenancy,
            tenant,
            before,
        }
    }

    fn now(&self) -> Amounts {
        self.tenancy
            .meter(&self.tenant)
            .amounts()
            .since(&self.before)
    }

    fn get(&self, quantity: Quantity) -> u64 {
        self.now().get(quantity)
    }
}

async fn statements_and_rows_are_counted(place: Place) {
    let db = place.db("acme").await;
    let used = Used::from_now(&place, "acme").await;
    let other = Used::from_now(&place, "globex").await;
    add_notes(&db, 10).await;
    assert_eq!(used.get(Quantity::Statements), 1);
    assert_eq!(used.get(Quantity::Rows), 10, "changed");
    let all: Vec<(i64,)> = db.query("SELECT id FROM notes").all().await.unwrap();
    assert_eq!(all.len(), 10);
    assert_eq!(used.get(Quantity::Rows), 20, "read");
    let (some, there) = db
        .query("SELECT id FROM notes")
        .some::<(i64,)>(2)
        .await
        .unwrap();
    assert_eq!((some.len(), there), (2, 10));
    assert_eq!(used.get(Quantity::Rows), 30, "read, and not wanted");

    let mut pipeline = db.pipeline();
    let count = pipeline.query("SELECT count(*) FROM notes").scalar::<i64>();
    let notes = pipeline
        .query("SELECT id FROM notes WHERE id <= 3")
        .all::<(i64,)>();
    let mut answers = pipeline.run().await.unwrap();
    assert_eq!(answers.take(count).unwrap(), 10);
    assert_eq!(answers.take(notes).unwrap().len(), 3);
    assert_eq!(used.get(Quantity::Statements), 5);
    assert_eq!(used.get(Quantity::Rows), 34);

    let mut tx = db.begin();
    tx.query("UPDATE notes SET text = 'x' WHERE id = 1")
        .execute()
        .await
        .unwrap();
    let mut part = tx.savepoint().await.unwrap();
    part.query("DELETE FROM notes WHERE id <= 2")
        .execute()
        .await
        .unwrap();
    drop(part);
    tx.rollback().await.unwrap();
    assert_eq!(
        used.get(Quantity::Statements),
        7,
        "beginnings and ends are none"
    );
    assert_eq!(
        used.get(Quantity::Rows),
        37,
        "undone, and done all the same"
    );
    assert!(used.get(Quantity::DbTime) > 0);
    assert!(other.now().is_zero(), "{:?}", other.now());
}

/// Many tenants at once, over the same few connections.
async fn each_in_its_own_tenants_account(place: Place) {
    let codes = ["acme", "globex", "initech"];
    let mut tenants = Vec::new();
    for (at, code) in codes.into_iter().enumerate() {
        let db = place.db(code).await;
        add_notes(&db, at as i64 + 1).await;
        tenants.push((Used::from_now(&place, code).await, db, at as u64 + 1));
    }
    let idle = Used::from_now(&place, "idle").await;
    let work = |db: TenantDb, notes: u64| async move {
        for round in 0..10 {
            let rows: Vec<(i64,)> = db.query("SELECT id FROM notes").all().await.unwrap();
            assert_eq!(rows.len() as u64, notes);
            let mut tx = db.begin();
            tx.query("UPDATE notes SET text = $1")
                .bind(round.to_string())
                .execute()
                .await
                .unwrap();
            tokio::task::yield_now().await;
            tx.commit().await.unwrap();
        }
    };
    // four at a time for each, all of them beside each other
    join_all((0..4).flat_map(|_| {
        tenants
            .iter()
            .map(|(_, db, notes)| work(db.clone(), *notes))
            .collect::<Vec<_>>()
    }))
    .await;
    for (used, _, notes) in &tenants {
        assert_eq!(used.get(Quantity::Statements), 80);
        assert_eq!(
            used.get(Quantity::Rows),
            80 * notes,
            "{}",
            used.tenant.code()
        );
        assert!(used.get(Quantity::DbTime) > 0);
    }
    assert!(idle.now().is_zero(), "{:?}", idle.now());
}

async fn time_is_that_of_the_loan(place: Place) {
    let db = place.db("acme").await;
    let used = Used::from_now(&place, "acme").await;
    let other = Used::from_now(&place, "globex").await;
    let mut tx = db.begin();
    tx.query("SELECT count(*) FROM notes")
        .scalar::<i64>()
        .await
        .unwrap();
    tokio::time::sleep(A_WHILE).await;
    tx.commit().await.unwrap();
    let held = used.now().time(Quantity::DbTime);
    assert!(held >= A_WHILE, "{held:?}");
    // one that is never used holds nothing
    drop(db.begin());
    tokio::time::sleep(A_WHILE).await;
    let after = used.now().time(Quantity::DbTime);
    assert!(after < held + A_WHILE, "{held:?} {after:?}");
    // one that is dropped gives back what it held
    let mut left = db.begin();
    add_in(&mut left, 1).await;
    drop(left);
    add_note(&db, 2, "next").await;
    assert!(other.now().is_zero(), "{:?}", other.now());
}

async fn add_in(tx: &mut crate::db::TenantTx, id: i64) {
    tx.query("INSERT INTO notes (id, text) VALUES ($1, 'in')")
        .bind(id)
        .execute()
        .await
        .unwrap();
}

async fn what_streams_is_counted(place: Place) {
    let db = place.db("acme").await;
    add_notes(&db, 600).await;
    let used = Used::from_now(&place, "acme").await;
    let other = Used::from_now(&place, "globex").await;
    let rows = db.query("SELECT id FROM notes").stream::<(i64,)>().await;
    let rows: Vec<_> = rows.unwrap().try_collect().await.unwrap();
    assert_eq!(rows.len(), 600);
    assert_eq!(used.get(Quantity::Statements), 1);
    assert_eq!(used.get(Quantity::Rows), 600);
    let mut tx = db.begin();
    {
        let mut rows = tx
            .query("SELECT id FROM notes")
            .stream::<(i64,)>()
            .await
            .unwrap();
        for _ in 0..3 {
            rows.try_next().await.unwrap().unwrap();
        }
    }
    tx.rollback().await.unwrap();
    assert_eq!(used.get(Quantity::Statements), 2);
    assert_eq!(used.get(Quantity::Rows), 603, "those that were taken");
    assert!(used.get(Quantity::DbTime) > 0);
    assert!(other.now().is_zero(), "{:?}", other.now());
}

async fn a_failed_statement_is_one(place: Place) {
    let db = place.db("acme").await;
    let used = Used::from_now(&place, "acme").await;
    let failed = db.query("SELECT nothing FROM nowhere").execute().await;
    assert!(failed.is_err());
    assert_eq!(used.get(Quantity::Statements), 1);
    assert_eq!(used.get(Quantity::Rows), 0);
}

struct Kept;

impl CacheKey for Kept {
    type Scope = TenantScope;
    type Value = i64;
    const NAME: &'static str = "kept";
    const LIFE: Duration = Duration::from_secs(600);
}

struct Shared;

impl CacheKey for Shared {
    type Scope = CentralScope;
    type Value = i64;
    const NAME: &'static str = "shared";
    const LIFE: Duration = Duration::from_secs(600);
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Try {
    fails: bool,
}

impl Job for Try {
    const KIND: &'static str = "try";
    const MAX_ATTEMPTS: i32 = 1;
}

async fn files_jobs_mail_and_cache_are_counted(place: Place) {
    let tenancy = place.tenancy();
    let used = Used::from_now(&place, "acme").await;
    let other = Used::from_now(&place, "globex").await;
    let acme = &used.tenant;

    let name: FileName = "a/b.txt".parse().unwrap();
    let pieces = stream::iter([Ok::<_, std::io::Error>(Bytes::from("0123456789"))]);
    let files = tenancy.files(acme);
    files.put(&name, pieces, 100).await.unwrap();
    let refused = stream::iter([Ok::<_, std::io::Error>(Bytes::from("0123456789"))]);
    files.put(&name, refused, 5).await.unwrap_err();
    let found = files.find(&name).await.unwrap();
    let read: Vec<Bytes> = found.read(2..6).await.unwrap().try_collect().await.unwrap();
    assert_eq!(read.concat(), b"2345");
    assert_eq!(used.get(Quantity::FilesPut), 1);
    assert_eq!(used.get(Quantity::FileBytesIn), 10);
    assert_eq!(used.get(Quantity::FileBytesOut), 4);

    let queue = tenancy.jobs(acme);
    queue.enqueue_alone(Try { fails: false }).await.unwrap();
    queue.enqueue_alone(Try { fails: true }).await.unwrap();
    let jobs = Jobs::new().job(|_: JobContext, what: Try| async move {
        tokio::time::sleep(A_WHILE).await;
        match what.fails {
            true => Err(JobError::for_good("as the case wants it")),
            false => Ok(()),
        }
    });
    let worker = Worker::new(tenancy, jobs);
    worker.work_off(acme, None).await.unwrap();
    assert_eq!(used.get(Quantity::JobsDone), 1);
    assert_eq!(used.get(Quantity::JobsFailed), 1);
    assert!(used.now().time(Quantity::JobTime) >= 2 * A_WHILE);

    let message = Message::new("ann@example.com", "Hi", "there");
    tenancy.mail(acme).send(message).await.unwrap();
    let nobody = Message::new("nobody", "Hi", "there");
    tenancy.mail(acme).send(nobody).await.unwrap_err();
    assert_eq!(used.get(Quantity::MailsSent), 1);
    assert_eq!(used.get(Quantity::MailsFailed), 1);

    let cache = tenancy.cache(acme);
    assert_eq!(cache.get(&Kept).await, None);
    cache
        .get_or_load(&Kept, async { Ok::<_, DbError>(1) })
        .await
        .unwrap();
    assert_eq!(cache.get(&Kept).await, Some(1));
    // what is shared is on nobody's account
    assert_eq!(tenancy.central_cache().get(&Shared).await, None);
    assert_eq!(used.get(Quantity::CacheHits), 1);
    assert_eq!(used.get(Quantity::CacheMisses), 2);
    assert!(other.now().is_zero(), "{:?}", other.now());
}

async fn the_librarys_own_work_is_nobodys(place: Place) {
    let db = place.db("acme").await;
    add_notes(&db, 10).await;
    let used = Used::from_now(&place, "acme").await;
    let tenancy = place.tenancy();
    let archive = place.folder().join("acme.archive");
    tenancy.pending(&used.tenant).await.unwrap();
    tenancy.size(&used.tenant).await.unwrap();
    tenancy
        .clone_tenant(&used.tenant, place.new_tenant("copy"))
        .await
        .unwrap();
    assert!(!archive.exists());
    assert!(used.now().is_zero(), "{:?}", used.now());
    // the copy has not used what the other has
    let copy = Used::of(tenancy, place.tenant("copy").await);
    assert!(copy.now().is_zero() && copy.before.is_zero());
}

/// What is written down of all, or of one.
async fn written(tenancy: &Tenancy, tenant: Option<TenantId>, by: By) -> Vec<WrittenDown> {
    let now = Utc::now();
    let around = now - TimeDelta::days(200)..now + TimeDelta::hours(1);
    tenancy.usage(tenant, around, by).await.unwrap()
}

async fn requests(tenancy: &Tenancy, tenant: &Tenant) -> u64 {
    let rows = written(tenancy, Some(tenant.id()), By::Whole).await;
    assert!(rows.len() <= 1 && rows.iter().all(|row| row.tenant == tenant.id()));
    rows.first()
        .map_or(0, |row| row.amounts.get(Quantity::Requests))
}

async fn what_is_written_down_adds_up(place: Place) {
    let tenancy = place.tenancy();
    let (acme, globex) = (place.tenant("acme").await, place.tenant("globex").await);
    let beside = place.beside().await;
    for (process, times) in [(tenancy, 3), (&beside, 4)] {
        for _ in 0..times {
            process.meter(&acme).add(Quantity::Requests, 10);
            process.meter(&globex).add(Quantity::Requests, 1);
            process
                .meter(&acme)
                .add_time(Quantity::DbTime, Duration::from_nanos(1_500_000_001));
            process.persist_usage().await.unwrap();
        }
        // nothing new is nothing more
        process.persist_usage().await.unwrap();
    }
    assert_eq!(requests(tenancy, &acme).await, 70);
    assert_eq!(requests(&beside, &globex).await, 7);
    for by in [By::Whole, By::Month, By::Day, By::Hour] {
        let all = written(tenancy, None, by).await;
        let of = |tenant: &Tenant| -> u64 {
            let its = all.iter().filter(|row| row.tenant == tenant.id());
            its.map(|row| row.amounts.get(Quantity::Requests)).sum()
        };
        assert_eq!((of(&acme), of(&globex)), (70, 7), "{by:?}");
        // of one there is nothing but its own
        let own = written(tenancy, Some(globex.id()), by).await;
        assert!(
            !own.is_empty() && own.iter().all(|row| row.tenant == globex.id()),
            "{by:?}"
        );
    }
    let time = written(tenancy, Some(acme.id()), By::Whole).await[0]
        .amounts
        .time(Quantity::DbTime);
    assert_eq!(
        time,
        Duration::from_nanos(7 * 1_500_000_001),
        "to the nanosecond"
    );
    let nobody = written(tenancy, Some(TenantId::generate()), By::Whole).await;
    assert_eq!(nobody, []);
    let past = Utc::now() - TimeDelta::days(400);
    let before = tenancy
        .usage(None, past..past + TimeDelta::days(1), By::Day)
        .await;
    assert_eq!(before.unwrap(), []);
    beside.close();
}

fn row(tenant: &Tenant, begins: DateTime<Utc>, requests: u64, stored: [u64; 2]) -> Written {
    let mut amounts = Amounts::default();
    amounts.add(Quantity::Requests, requests);
    Written {
        tenant: tenant.id(),
        begins,
        amounts,
        stored,
    }
}

async fn nothing_is_written_twice(place: Place) {
    let tenancy = place.tenancy();
    let acme = place.tenant("acme").await;
    let (writer, now) = (uuid::Uuid::now_v7(), Utc::now().trunc_subsecs(0));
    let store = tenancy.0.catalog.store();
    // whoever does not know how it ended tries it again
    for _ in 0..3 {
        let rows = [row(&acme, now, 5, [10, 3])];
        store.add_usage(writer, 1, &rows).await.unwrap();
    }
    assert_eq!(requests(tenancy, &acme).await, 5);
    let next = [row(&acme, now, 2, [7, 4])];
    store.add_usage(writer, 2, &next).await.unwrap();
    assert_eq!(requests(tenancy, &acme).await, 7);
    // another process' first batch is another
    store
        .add_usage(uuid::Uuid::now_v7(), 1, &next)
        .await
        .unwrap();
    assert_eq!(requests(tenancy, &acme).await, 9);
    let rows = written(tenancy, Some(acme.id()), By::Whole).await;
    assert_eq!(
        (rows[0].database_bytes, rows[0].file_bytes),
        (10, 4),
        "the most that was seen"
    );
    // what fails is not lost
    let central = tenancy.0.catalog.store();
    tenancy.meter(&acme).add(Quantity::Requests, 100);
    central
        .0
        .query("DELETE FROM tenantry_usage")
        .execute()
        .await
        .unwrap();
    let mut holding = central.0.begin();
    holding
        .query("UPDATE tenantry_tenants SET name = name WHERE id = $1")
        .bind(*acme.id().as_uuid())
        .execute()
        .await
        .unwrap();
    let cut_off = tokio::time::timeout(Duration::from_millis(1), tenancy.persist_usage()).await;
    holding.rollback().await.unwrap();
    drop(cut_off);
    tenancy.meter(&acme).add(Quantity::Requests, 1);
    tenancy.persist_usage().await.unwrap();
    tenancy.persist_usage().await.unwrap();
    assert_eq!(requests(tenancy, &acme).await, 101);
}

async fn it_follows_the_tenant_and_not_its_code(place: Place) {
    let tenancy = place.tenancy();
    let acme = place.tenant("acme").await;
    tenancy.meter(&acme).add(Quantity::Requests, 5);
    tenancy.persist_usage().await.unwrap();
    tenancy
        .rename(&acme, &"former".parse().unwrap())
        .await
        .unwrap();
    let renamed = place.tenant("former").await;
    assert_eq!(requests(tenancy, &renamed).await, 5);
    // whoever has the code next has used nothing
    let next = place.tenant("acme").await;
    assert_eq!(requests(tenancy, &next).await, 0);
    let copy = tenancy
        .clone_tenant(&renamed, place.new_tenant("copy"))
        .await
        .unwrap();
    tenancy.persist_usage().await.unwrap();
    assert_eq!(requests(tenancy, &copy).await, 0);
    // what was used until the end is kept, and the certificate says so
    tenancy.meter(&renamed).add(Quantity::Requests, 1);
    let certificate = tenancy.erase(&renamed).await.unwrap();
    assert!((1..=2).contains(&certificate.removed.usage_kept));
    assert_eq!(requests(tenancy, &renamed).await, 6);
    let never = tenancy.erase(&next).await.unwrap();
    assert_eq!(never.removed.usage_kept, 0);
}

async fn hours_become_days(place: Place) {
    let tenancy = place.tenancy();
    let (acme, globex) = (place.tenant("acme").await, place.tenant("globex").await);
    let store = tenancy.0.catalog.store();
    let midnight = Utc::now()
        .date_naive()
        .and_time(chrono::NaiveTime::MIN)
        .and_utc();
    let (long_ago, later) = (
        midnight - TimeDelta::days(100),
        midnight - TimeDelta::days(99),
    );
    let mut rows = Vec::new();
    for hour in [0, 1, 23] {
        rows.push(row(&acme, long_ago + TimeDelta::hours(hour), 10, [1, 2]));
        rows.push(row(
            &globex,
            long_ago + TimeDelta::hours(hour),
            1,
            [5, hour as u64],
        ));
        rows.push(row(&acme, later + TimeDelta::hours(hour), 100, [0, 0]));
    }
    store
        .add_usage(uuid::Uuid::now_v7(), 1, &rows)
        .await
        .unwrap();
    let by_hour = async |tenant: &Tenant| {
        let rows = written(tenancy, Some(tenant.id()), By::Hour).await;
        let told = rows
            .iter()
            .map(|row| (row.begins, row.amounts.get(Quantity::Requests)));
        told.collect::<Vec<_>>()
    };
    let by_day = async || written(tenancy, None, By::Day).await;
    assert_eq!(by_hour(&acme).await.len(), 6);
    let days = by_day().await;
    assert_eq!(days.len(), 3);
    // two processes at once, and again
    let beside = place.beside().await;
    for _ in 0..2 {
        let (one, other) = tokio::join!(
            store.roll_up_usage(later),
            beside.0.catalog.store().roll_up_usage(later)
        );
        one.unwrap();
        other.unwrap();
    }
    assert!(
        !store.roll_up_usage(later).await.unwrap(),
        "the day after is not over yet"
    );
    assert_eq!(by_hour(&acme).await.len(), 4);
    assert_eq!(by_hour(&acme).await[0], (long_ago, 30));
    assert_eq!(by_hour(&globex).await, [(long_ago, 3)]);
    assert_eq!(by_day().await, days, "days are what they were");
    assert_eq!(days.iter().map(|day| day.file_bytes).max(), Some(23));
    // what comes late is added
    let late = [row(&acme, long_ago + TimeDelta::hours(5), 7, [0, 0])];
    store
        .add_usage(uuid::Uuid::now_v7(), 1, &late)
        .await
        .unwrap();
    assert!(store.roll_up_usage(later).await.unwrap());
    assert_eq!(by_hour(&acme).await[0], (long_ago, 37));
    beside.close();
}
