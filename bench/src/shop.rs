//! The example shop's program, as whoever runs it does.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use rustix::process::{Pid, Signal, kill_process};
use tenantry::{
    Config, Tenancy,
    db::TenantDb,
    lifecycle::NewTenant,
    migrate::Migrations,
    tenant::{Isolation, TenantCode},
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{Error, data, files};

/// How many shops are made at a time.
const MADE_AT_ONCE: usize = 4;

/// How long a server may take until it has ended.
const LONGEST_END: Duration = Duration::from_secs(30);

/// What a shop's database is made of. A program that has another list says so when it is to serve.
fn migrations() -> Migrations {
    Migrations::new()
        .sql(
            "0001_shop",
            include_str!("../../apps/shop/migrations/tenant/0001_shop.sql"),
        )
        .sql(
            "0002_pictures",
            include_str!("../../apps/shop/migrations/tenant/0002_pictures.sql"),
        )
        .sql(
            "0003_theme_faults",
            include_str!("../../apps/shop/migrations/tenant/0003_theme_faults.sql"),
        )
}

/// A deployment of shops.
pub(crate) struct Shops {
    program: PathBuf,
    folder: PathBuf,
    url: Option<String>,
}

impl Shops {
    /// A deployment in that folder, run by that program: on SQLite, or at that URL.
    ///
    /// # Errors
    /// When there is no such program.
    pub(crate) fn new(program: &Path, folder: &Path, url: Option<String>) -> Result<Self, Error> {
        let doing = Error::io(
            "looking for the shop; `cargo build --release -p shop` builds it, --shop names it",
        );
        Ok(Self {
            program: program.canonicalize().map_err(&doing)?,
            folder: folder.to_owned(),
            url,
        })
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn config(&self) -> Config {
        let config = Config::new(self.data())
            .project("shop")
            .tenant_migrations(migrations());
        match &self.url {
            Some(url) => config.database_url(url),
            None => config,
        }
    }

    /// Makes the deployment with so many shops in it, each with products.
    pub(crate) async fn fill(&self, shops: usize) -> Result<(), Error> {
        fs::create_dir_all(&self.folder).map_err(Error::io("making a folder"))?;
        let tenancy = Tenancy::set_up(self.config()).await?;
        let isolation = tenancy.default_isolation();
        let making = (0..shops).map(|shop| {
            let tenancy = tenancy.clone();
            async move {
                let code = TenantCode::new(&data::code(shop));
                let code = code.expect("the codes made here are codes");
                let new = NewTenant::new(code, format!("Shop {shop}"));
                let mut products = data::products(shop);
                for product in &mut products {
                    product.added_by = None; // nobody works here
                }
                let stock = move |db: TenantDb| async move {
                    match isolation {
                        Isolation::File => files::stock(&db, products).await,
                        // in one statement, as there may be very many
                        _ => {
                            let products = serde_json::json!(products);
                            db.query(data::FILL).bind(products).execute().await?;
                            Ok(())
                        }
                    }
                };
                tenancy.create_with(new, stock).await.map(drop)
            }
        });
        let made = stream::iter(making).buffer_unordered(MADE_AT_ONCE);
        let made = made.try_collect::<()>().await;
        tenancy.close();
        Ok(made?)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn command(&self, program: &Path, words: &[&str]) -> Result<Command, Error> {
        let log = self.log();
        let log = fs::File::options().create(true).append(true).open(&log);
        let mut command = Command::new(program);
        command
            .args(words)
            .arg("--data")
            .arg(self.data())
            // where there is no file with settings
            .current_dir(&self.folder)
            .env_remove("DATABASE_URL")
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.map_err(Error::io("writing a log"))?)
            .kill_on_drop(true);
        if let Some(url) = &self.url {
            command.env("DATABASE_URL", url);
        }
        Ok(command)
    }

    /// Runs one of the program's commands to its end.
    pub(crate) async fn run(&self, words: &[&str]) -> Result<(), Error> {
        let ran = self.command(&self.program, words)?.output().await;
        let ran = ran.map_err(Error::io("running the shop"))?;
        match ran.status.success() {
            true => Ok(()),
            false => Err(self.failed()),
        }
    }

    /// Starts a server on a free port. It ends with what is returned.
    pub(crate) async fn serve(&self, words: &[&str]) -> Result<Serving, Error> {
        let words = [&["serve", "--addr", "127.0.0.1:0"][..], words].concat();
        self.listening(self.command(&self.program, &words)?).await
    }

    /// The same where no more than so many descriptors can be open.
    pub(crate) async fn serve_within(
        &self,
        descriptors: u32,
        words: &[&str],
    ) -> Result<Serving, Error> {
        let script = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
        let program = self.program.to_string_lossy();
        let before = ["-c", &script, &program, "serve", "--addr", "127.0.0.1:0"];
        let words = [&before[..], words].concat();
        self.listening(self.command(Path::new("sh"), &words)?).await
    }

    async fn listening(&self, mut command: Command) -> Result<Serving, Error> {
        let doing = Error::io("running the shop");
        let mut child = command.spawn().map_err(&doing)?;
        let out = child.stdout.take().ok_or(Error::Silence)?;
        let mut lines = BufReader::new(out).lines();
        while let Some(line) = lines.next_line().await.map_err(&doing)? {
            if let Some(address) = line.strip_prefix("listening on http://") {
                let address = address.parse().map_err(|_| Error::Silence)?;
                return Ok(Serving { child, address });
            }
        }
        Err(self.failed())
    }

    /// With what the program has said.
    fn failed(&self) -> Error {
        let log = fs::read(self.log()).unwrap_or_default();
        Error::Program {
            program: self.program.clone(),
            said: String::from_utf8_lossy(&log).trim().to_owned(),
        }
    }
}

/// A server that listens.
pub(crate) struct Serving {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Serving {
    /// # Errors
    /// When it has ended.
    pub(crate) fn pid(&self) -> Result<u32, Error> {
        self.child.id().ok_or(Error::Silence)
    }

    /// Tells it to end, and waits until it has.
    pub(crate) async fn end(mut self) -> Result<(), Error> {
        let doing = Error::io("stopping the shop");
        let pid = self.pid()?.try_into().ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(Error::Silence)?;
        kill_process(pid, Signal::TERM).map_err(|error| doing(error.into()))?;
        let ended = tokio::time::timeout(LONGEST_END, self.child.wait()).await;
        ended.map_err(|_| Error::Silence)?.map_err(&doing)?;
        Ok(())
    }
}

/// The request for something of a shop's.
pub(crate) fn request(shop: usize, path: &str) -> String {
    let code = data::code(shop);
    format!("GET {path} HTTP/1.1\r\nHost: {code}.localhost\r\n\r\n")
}
