//! `sslmode`, as libpq has it.

use std::{fs, path::PathBuf, time::Duration};

use tempfile::TempDir;
use tenantry::{
    Config, OpenError, Tenancy,
    db::DbError,
    lifecycle::NewTenant,
    testing::{Postgres, SelfSigned},
};
use tokio::task::block_in_place;

/// A server that speaks TLS with a certificate that it has signed itself.
struct Secured {
    server: Postgres,
    database: String,
    certificate: PathBuf,
    _signed: SelfSigned,
    folder: TempDir,
}

impl Secured {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let signed = SelfSigned::new("DNS:localhost");
        let server = block_in_place(Postgres::start);
        let root = server.client("postgres").await;
        // the server writes its own copies, so that they are its own
        for (name, file) in [
            ("server.key", &signed.key),
            ("server.crt", &signed.certificate),
        ] {
            let text = fs::read_to_string(file).unwrap();
            let lines: Vec<String> = text.lines().map(|line| format!("('{line}')")).collect();
            let sql = format!(
                "COPY (SELECT * FROM (VALUES {}) lines) TO PROGRAM 'umask 077; cat > {name}'",
                lines.join(", ")
            );
            root.batch_execute(&sql).await.unwrap();
        }
        root.batch_execute("ALTER SYSTEM SET ssl = on")
            .await
            .unwrap();
        root.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        while root
            .query_one("SHOW ssl", &[])
            .await
            .unwrap()
            .get::<_, &str>(0)
            != "on"
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let database = server.database().await;
        root.batch_execute(&format!(
            "CREATE ROLE somebody LOGIN CREATEROLE CREATEDB; ALTER DATABASE {database} OWNER TO somebody"
        ))
        .await
        .unwrap();
        Self {
            server,
            database,
            certificate: signed.certificate.clone(),
            _signed: signed,
            folder,
        }
    }

    async fn open(&self, host: &str, options: &str) -> Result<Tenancy, OpenError> {
        let url = format!(
            "postgres://somebody@{host}:{}/{}{options}",
            self.server.port(),
            self.database
        );
        let data = self.folder.path().join("data");
        Tenancy::set_up(Config::new(data).project("secured").database_url(url)).await
    }

    /// Of the connections of the deployment, which are encrypted.
    async fn encrypted(&self) -> Vec<bool> {
        let root = self.server.client("postgres").await;
        let sql = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'somebody'";
        root.query(sql, &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mode_does_what_it_says() {
    let place = Secured::new().await;
    let certificate = place.certificate.display().to_string();
    for (host, options, encrypted) in [
        ("127.0.0.1", "?sslmode=disable", Some(false)),
        ("127.0.0.1", "", Some(true)), // prefer
        ("127.0.0.1", "?sslmode=prefer", Some(true)),
        ("127.0.0.1", "?sslmode=require", Some(true)),
        ("localhost", "?sslmode=verify-full", None),
        ("localhost", "?sslmode=verify-ca", None),
        (
            "localhost",
            &format!("?sslmode=verify-full&sslrootcert={certificate}"),
            Some(true),
        ),
        (
            "localhost",
            &format!("?sslrootcert={certificate}&sslmode=verify-ca"),
            Some(true),
        ),
        // the certificate is another name's
        (
            "127.0.0.1",
            &format!("?sslmode=verify-full&sslrootcert={certificate}"),
            None,
        ),
    ] {
        let opened = place.open(host, options).await;
        match encrypted {
            Some(expected) => {
                let tenancy = opened.expect(options);
                let code = format!("t{}", tenancy.tenants().await.unwrap().len());
                let tenant = tenancy
                    .create(NewTenant::new(code.parse().unwrap(), "x"))
                    .await
                    .unwrap();
                let users = tenancy
                    .db(&tenant)
                    .await
                    .unwrap()
                    .query("SELECT count(*) FROM users")
                    .scalar::<i64>()
                    .await;
                assert_eq!(users.unwrap(), 0);
                let all = place.encrypted().await;
                assert!(
                    !all.is_empty() && all.iter().all(|one| *one == expected),
                    "{options}: {all:?}"
                );
                // a statement is cancelled by a connection of its own, in the same way
                let db = tenancy.db(&tenant).await.unwrap();
                let slow = db.query("SELECT pg_sleep(60)").execute();
                tokio::time::timeout(Duration::from_millis(100), slow)
                    .await
                    .unwrap_err();
                let root = place.server.client("postgres").await;
                let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND pid <> pg_backend_pid() AND state = 'active'";
                let begun = std::time::Instant::now();
                while root.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0 {
                    assert!(
                        begun.elapsed() < Duration::from_secs(5),
                        "{options}: it is not cancelled"
                    );
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                tenancy.close();
                drop(tenancy);
                while !place.encrypted().await.is_empty() {
                    assert!(
                        begun.elapsed() < Duration::from_secs(20),
                        "{options}: connections stay open"
                    );
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            None => {
                let error = opened.map(drop).expect_err(options);
                assert!(
                    matches!(error, OpenError::Db(DbError::Unavailable(_))),
                    "{error:?}"
                );
            }
        }
    }
}

/// A server without TLS is no server where encryption is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn what_asks_for_encryption_does_without_none() {
    let ground = crate::support::Ground::new().await;
    let url = |options: &str| format!("{}{options}", ground.url());
    for options in ["?sslmode=require", "?sslmode=verify-full"] {
        let opened = Tenancy::set_up(ground.config().database_url(url(options))).await;
        let error = opened.map(drop).expect_err(options);
        assert!(
            matches!(error, OpenError::Db(DbError::Unavailable(_))),
            "{error:?}"
        );
    }
    for options in ["", "?sslmode=prefer", "?sslmode=disable"] {
        Tenancy::set_up(ground.config().database_url(url(options)))
            .await
            .expect(options)
            .close();
    }
    let missing = Tenancy::set_up(
        ground
            .config()
            .database_url(url("?sslmode=verify-full&sslrootcert=/nowhere")),
    )
    .await;
    let told = missing.map(drop).unwrap_err().to_string();
    assert!(told.contains("/nowhere"), "{told}");
}
