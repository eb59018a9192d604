//! One tenant with many rows, put into an archive, brought in from it, and cloned; beside the quickest
//! that one would write by hand for the same.
//!
//! By hand nothing is said about what is in the copy, and nothing looked at: a file is copied by SQLite
//! and compressed, and on a server rows go through `COPY` and back as the server writes them.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use bytes::Bytes;
use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use futures_util::{SinkExt, TryStreamExt};
use tenantry::{
    Tenancy, Tenant,
    db::TenantDb,
    lifecycle::{Exporting, NewTenant},
    tenant::{Isolation, TenantCode},
};
use tokio_postgres::Client;
use uuid::Uuid;

use super::{Plan, Turns, config, dump, folder, rate};
use crate::{
    Error,
    cluster::Cluster,
    data::{self, Product},
    files,
    report::{print, say},
    serve::files as by_hand,
};

/// How many products are said to the server at a time.
const AT_ONCE: usize = 5_000;

/// How many bytes of what is copied are.
const AT_A_TIME: usize = 1 << 16;

/// How long each of the three took in each turn.
#[derive(Default)]
struct Copies {
    exported: Turns,
    imported: Turns,
    cloned: Turns,
}

impl Copies {
    fn say(&self, rows: usize, name: &str) {
        for (turns, what) in [
            (&self.exported, "exported"),
            (&self.imported, "imported"),
            (&self.cloned, "cloned"),
        ] {
            turns.say(rows, &format!("{name}: {what}"));
        }
    }
}

/// Copies of one tenant, made by tenantry.
struct Ours {
    tenancy: Tenancy,
    tenant: Tenant,
    archive: PathBuf,
}

impl Ours {
    async fn new(
        tenancy: Tenancy,
        isolation: Isolation,
        archive: PathBuf,
        rows: usize,
    ) -> Result<Self, Error> {
        let new = NewTenant::new(code("one"), "One").isolation(isolation);
        let fill = move |db: TenantDb| async move {
            if isolation == Isolation::File {
                return files::stock(&db, products(0..rows).collect()).await;
            }
            for some in chunks(rows) {
                db.query(data::FILL).bind(some).execute().await?;
            }
            Ok(())
        };
        let (tenant, ()) = tenancy.create_with(new, fill).await?;
        Ok(Self {
            tenancy,
            tenant,
            archive,
        })
    }

    /// Each once, and then the copies are gone again.
    async fn turn(&self, rows: usize, copies: &mut Copies) -> Result<(), Error> {
        let isolation = self.tenant.isolation();
        let begun = Instant::now();
        let exported = self
            .tenancy
            .export(&self.tenant, &self.archive, Exporting::default())
            .await?;
        copies.exported.ours.push(rate(rows, begun));
        if exported.rows < rows as u64 {
            return Err(Error::Copies("the archive has too few rows"));
        }

        let begun = Instant::now();
        let imported = self
            .tenancy
            .import(&self.archive, Some(code("two")), |new| {
                new.isolation(isolation)
            })
            .await?;
        copies.imported.ours.push(rate(rows, begun));

        let begun = Instant::now();
        let new = NewTenant::new(code("three"), "Three").isolation(isolation);
        let cloned = self.tenancy.clone_tenant(&self.tenant, new).await?;
        copies.cloned.ours.push(rate(rows, begun));

        for copy in [imported, cloned] {
            let count = "SELECT count(*) FROM products";
            let counted: i64 = self.tenancy.db(&copy).await?.query(count).scalar().await?;
            check(counted, rows)?;
            self.tenancy.erase(&copy).await?;
        }
        Ok(())
    }
}

/// Whether a copy has all rows.
fn check(counted: i64, rows: usize) -> Result<(), Error> {
    match usize::try_from(counted) == Ok(rows) {
        true => Ok(()),
        false => Err(Error::Copies("a copy has not as many rows")),
    }
}

fn code(text: &str) -> TenantCode {
    TenantCode::new(text).expect("the codes made here are codes")
}

/// Products, each with a random id of its own.
fn products(which: std::ops::Range<usize>) -> impl Iterator<Item = Product> {
    which.map(|number| Product {
        code: format!("P-{number}"),
        ..data::added(Uuid::now_v7())
    })
}

/// Products, as the server is told them.
fn chunks(rows: usize) -> impl Iterator<Item = serde_json::Value> {
    let begin = (0..rows).step_by(AT_ONCE);
    begin.map(move |from| {
        let some: Vec<Product> = products(from..(from + AT_ONCE).min(rows)).collect();
        serde_json::json!(some)
    })
}

pub(super) async fn measure(plan: &Plan, cluster: Option<&Cluster>) -> Result<(), Error> {
    print(format_args!(
        "\n{} turns; rows a second (median over the turns, least–most)\n\n\
         | rows | | tenantry | by hand | of it (least–most) |\n|--:|---|--:|--:|--:|\n",
        plan.turns,
    ));
    if plan.files > 0 {
        let folder = folder(plan)?;
        on_files(plan, folder.path()).await?;
    }
    if let Some(cluster) = cluster {
        if plan.schemas > 0 {
            on_schemas(plan, cluster).await?;
        }
        if plan.rows > 0 {
            on_rows(plan, cluster).await?;
        }
    }
    Ok(())
}

async fn on_files(plan: &Plan, folder: &Path) -> Result<(), Error> {
    let rows = plan.copied;
    let config = tenantry::Config::new(folder.join("data")).tenant_migrations(data::migrations());
    let tenancy = Tenancy::set_up(config).await?;
    let archive = folder.join("one.tenantry");
    let ours = Ours::new(tenancy, Isolation::File, archive, rows).await?;
    let one = folder.join("one.db");
    fill_by_hand(&one, rows)?;
    let mut copies = Copies::default();
    for turn in 1..=plan.turns {
        say(format_args!("copies of a file, turn {turn}"));
        let doing = Error::io("copying a file");
        let [bare, archive, two, three] =
            ["bare.db", "one.db.gz", "two.db", "three.db"].map(|name| folder.join(name));
        let begun = Instant::now();
        vacuum(&one, &bare)?;
        compress(&bare, &archive).map_err(&doing)?;
        fs::remove_file(&bare).map_err(&doing)?;
        copies.exported.by_hand.push(rate(rows, begun));

        let begun = Instant::now();
        decompress(&archive, &two).map_err(&doing)?;
        copies.imported.by_hand.push(rate(rows, begun));

        let begun = Instant::now();
        vacuum(&one, &three)?;
        lasting(&File::open(&three).map_err(&doing)?).map_err(&doing)?;
        copies.cloned.by_hand.push(rate(rows, begun));
        for copy in [&two, &three] {
            let count = "SELECT count(*) FROM products";
            check(
                by_hand::open(copy)?.query_row(count, [], |row| row.get(0))?,
                rows,
            )?;
        }
        for gone in [archive, two, three] {
            fs::remove_file(gone).map_err(&doing)?;
        }
        ours.turn(rows, &mut copies).await?;
    }
    ours.tenancy.close();
    copies.say(rows, "file");
    Ok(())
}

fn fill_by_hand(path: &Path, rows: usize) -> Result<(), Error> {
    let mut file = by_hand::open(path)?;
    let transaction = file.transaction()?;
    transaction.execute_batch(data::IN_FILE)?;
    for product in products(0..rows) {
        by_hand::insert(&transaction, &product)?;
    }
    Ok(transaction.commit()?)
}

fn vacuum(from: &Path, to: &Path) -> Result<(), Error> {
    let to = to.to_string_lossy();
    by_hand::open(from)?.execute("VACUUM INTO ?1", [to])?;
    Ok(())
}

fn compress(from: &Path, to: &Path) -> io::Result<()> {
    let mut out = GzEncoder::new(BufWriter::new(File::create(to)?), Compression::default());
    io::copy(&mut File::open(from)?, &mut out)?;
    finish(out)
}

fn finish(out: GzEncoder<BufWriter<File>>) -> io::Result<()> {
    lasting(&out.finish()?.into_inner()?)
}

fn lasting(file: &File) -> io::Result<()> {
    file.sync_all()
}

fn decompress(from: &Path, to: &Path) -> io::Result<()> {
    let mut out = File::create(to)?;
    io::copy(&mut opened(from)?, &mut out)?;
    lasting(&out)
}

fn opened(archive: &Path) -> io::Result<BufReader<GzDecoder<BufReader<File>>>> {
    let out = GzDecoder::new(BufReader::new(File::open(archive)?));
    Ok(BufReader::with_capacity(AT_A_TIME, out))
}

/// What one would say to the server.
struct Statements {
    /// Gives the one's rows.
    copy_out: String,
    /// Makes room for another.
    make: String,
    /// Takes its rows.
    copy_in: String,
    /// What each of them has before the rest.
    before: String,
    /// Makes a third with the rows of the first.
    clone: String,
    /// Says how many rows the two have.
    counts: [String; 2],
    /// Does away with them.
    remove: String,
}

const COLUMNS: &str = "id, name, code, price, added_by, added_on";

impl Statements {
    /// Where a column says whose a row is.
    fn rows(tenants: [Uuid; 3]) -> Self {
        let [one, two, three] = tenants;
        let of_one = format!("FROM products WHERE tenant_id = '{one}'");
        Self {
            copy_out: format!("COPY (SELECT {COLUMNS} {of_one}) TO STDOUT"),
            make: String::new(),
            copy_in: format!("COPY products (tenant_id, {COLUMNS}) FROM STDIN"),
            before: format!("{two}\t"),
            clone: format!(
                "INSERT INTO products (tenant_id, {COLUMNS}) SELECT '{three}', {COLUMNS} {of_one}"
            ),
            counts: [two, three].map(|tenant| {
                format!("SELECT count(*) FROM products WHERE tenant_id = '{tenant}'")
            }),
            remove: format!("DELETE FROM products WHERE tenant_id <> '{one}'"),
        }
    }

    /// Where a schema does, which that script makes: of the schema of this name.
    fn schemas(script: &str, schema: &str) -> Self {
        let made = |name: &str| script.replace(schema, name);
        Self {
            copy_out: format!("COPY h_one.products ({COLUMNS}) TO STDOUT"),
            make: made("h_two"),
            copy_in: format!("COPY h_two.products ({COLUMNS}) FROM STDIN"),
            before: String::new(),
            clone: format!(
                "{}; INSERT INTO h_three.products ({COLUMNS}) SELECT {COLUMNS} FROM h_one.products",
                made("h_three")
            ),
            counts: ["h_two", "h_three"]
                .map(|schema| format!("SELECT count(*) FROM {schema}.products")),
            remove: "DROP SCHEMA h_two, h_three CASCADE".into(),
        }
    }

    /// The next of the archive's lines, as they are to be said.
    fn some(&self, archive: &mut impl BufRead) -> io::Result<Option<Bytes>> {
        let read = archive.fill_buf()?;
        if self.before.is_empty() || read.is_empty() {
            let some = (!read.is_empty()).then(|| Bytes::copy_from_slice(read));
            let length = read.len();
            archive.consume(length);
            return Ok(some);
        }
        let mut some = Vec::with_capacity(AT_A_TIME * 2);
        while some.len() < AT_A_TIME {
            let begin = some.len();
            some.extend_from_slice(self.before.as_bytes());
            if archive.read_until(b'\n', &mut some)? == 0 {
                some.truncate(begin);
                break;
            }
        }
        Ok(Some(some.into()))
    }

    async fn turn(
        &self,
        client: &mut Client,
        archive: &Path,
        rows: usize,
        copies: &mut Copies,
    ) -> Result<(), Error> {
        let doing = Error::io("compressing what was copied");
        let begun = Instant::now();
        let file = BufWriter::new(File::create(archive).map_err(&doing)?);
        let mut out = GzEncoder::new(file, Compression::default());
        let mut read = Box::pin(client.copy_out(&self.copy_out).await?);
        while let Some(some) = read.try_next().await? {
            out.write_all(&some).map_err(&doing)?;
        }
        finish(out).map_err(&doing)?;
        drop(read);
        copies.exported.by_hand.push(rate(rows, begun));

        let begun = Instant::now();
        let transaction = client.transaction().await?;
        transaction.batch_execute(&self.make).await?;
        let mut write = Box::pin(transaction.copy_in::<_, Bytes>(&self.copy_in).await?);
        let mut lines = opened(archive).map_err(&doing)?;
        while let Some(some) = self.some(&mut lines).map_err(&doing)? {
            write.send(some).await?;
        }
        write.close().await?;
        drop(write);
        transaction.commit().await?;
        copies.imported.by_hand.push(rate(rows, begun));

        let begun = Instant::now();
        let transaction = client.transaction().await?;
        transaction.batch_execute(&self.clone).await?;
        transaction.commit().await?;
        copies.cloned.by_hand.push(rate(rows, begun));
        for count in &self.counts {
            let counted: i64 = client.query_one(count, &[]).await?.get(0);
            check(counted, rows)?;
        }
        Ok(client.batch_execute(&self.remove).await?)
    }
}

async fn on_rows(plan: &Plan, cluster: &Cluster) -> Result<(), Error> {
    let plain = "copies_plain";
    cluster.create_database(plain).await?;
    let client = cluster.client(plain).await?;
    client.batch_execute(data::PLAIN).await?;
    let tenants = [0, 1, 2].map(|_| Uuid::now_v7());
    // it adds the tenant as well, which is there from the second time on
    let fill = data::FILL_PLAIN.replace("($1, $2)", "($1, $2) ON CONFLICT DO NOTHING");
    for some in chunks(plan.copied) {
        client.execute(&fill, &[&tenants[0], &"one", &some]).await?;
    }
    on_server(
        plan,
        cluster,
        Isolation::Rows,
        client,
        &Statements::rows(tenants),
    )
    .await
}

async fn on_schemas(plan: &Plan, cluster: &Cluster) -> Result<(), Error> {
    let name = "copies_of_schema";
    let made = config(cluster, name)
        .await?
        .tenant_migrations(data::migrations());
    let tenancy = Tenancy::set_up(made).await?;
    let new = NewTenant::new(code("template-of-all"), "First").isolation(Isolation::Schema);
    let template = tenancy.create(new).await?;
    tenancy.close();
    let schema = format!("t_{}", template.id().as_uuid().simple());
    let script = dump(plan, cluster, name, &schema)?;
    let client = cluster.client(name).await?;
    client
        .batch_execute(&script.replace(&schema, "h_one"))
        .await?;
    let fill = data::FILL.replace("INTO products", "INTO h_one.products");
    for some in chunks(plan.copied) {
        client.execute(&fill, &[&some]).await?;
    }
    let statements = Statements::schemas(&script, &schema);
    on_server(plan, cluster, Isolation::Schema, client, &statements).await
}

async fn on_server(
    plan: &Plan,
    cluster: &Cluster,
    isolation: Isolation,
    mut client: Client,
    statements: &Statements,
) -> Result<(), Error> {
    let rows = plan.copied;
    let name = format!("copies_{isolation}");
    let config = config(cluster, &name)
        .await?
        .tenant_migrations(data::migrations());
    let tenancy = Tenancy::set_up(config).await?;
    let folder = folder(plan)?;
    let [archive, by_hand] = ["one.tenantry", "one.gz"].map(|name| folder.path().join(name));
    let ours = Ours::new(tenancy, isolation, archive, rows).await?;
    let mut copies = Copies::default();
    for turn in 1..=plan.turns {
        say(format_args!("copies of {isolation}, turn {turn}"));
        statements
            .turn(&mut client, &by_hand, rows, &mut copies)
            .await?;
        ours.turn(rows, &mut copies).await?;
    }
    ours.tenancy.close();
    copies.say(rows, &isolation.to_string());
    Ok(())
}
