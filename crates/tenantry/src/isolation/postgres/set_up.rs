//! What a server must have before the first tenant: roles, schemas, and the question to which
//! policies ask the tenant.

use tokio_postgres::Client;

use super::{ask_one, say};
use crate::db::{
    DbError,
    postgres::{
        Server,
        scope::{CATALOG_SCHEMA, CENTRAL_SCHEMA, ROWS_SCHEMA, quoted},
    },
};

/// The oldest server that is known to work.
const OLDEST: i32 = 140_000;

/// Whose the scope is: nobody's when none was entered, and after one ended, when the setting is
/// empty and no longer NULL.
pub(super) const CURRENT_TENANT: &str =
    "SELECT nullif(current_setting('tenantry.tenant', true), '')::uuid";

/// Makes the function by which policies ask that.
pub(super) fn current_tenant() -> String {
    format!(
        "CREATE OR REPLACE FUNCTION {CATALOG_SCHEMA}.current_tenant() RETURNS uuid \
         LANGUAGE sql STABLE PARALLEL SAFE AS $${CURRENT_TENANT}$$"
    )
}

/// Why a server could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetUpError {
    /// The login may not do it; somebody who may has to say these.
    #[error("the login may not create the roles")]
    Needs(Vec<String>),
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Lets those who set up the same database do so one after the other.
const ALONE: &str = "SELECT pg_advisory_xact_lock(hashtext('tenantry:set-up'))";

/// Makes what is missing. It can be done again, and by several processes at once.
pub(crate) async fn set_up(server: &Server) -> Result<(), SetUpError> {
    let client = server.connect(&server.home()).await?;
    let version = super::secure::server_version(&client).await?;
    if version < OLDEST {
        return Err(DbError::Engine(
            format!(
                "PostgreSQL 14 or later is needed, and this is {}",
                version / 10_000
            )
            .into(),
        )
        .into());
    }
    roles(server, &client).await?;
    let (owner, app) = (quoted(&server.roles().owner), quoted(&server.roles().app));
    let database = quoted(&server.home());
    let mut sql = format!(
        "BEGIN; {ALONE};
         GRANT CREATE, CONNECT ON DATABASE {database} TO {owner};
         GRANT CONNECT ON DATABASE {database} TO {app};"
    );
    for schema in [CATALOG_SCHEMA, CENTRAL_SCHEMA, ROWS_SCHEMA] {
        sql.push_str(&format!(
            "CREATE SCHEMA IF NOT EXISTS {schema} AUTHORIZATION {owner};"
        ));
    }
    sql.push_str(&format!(
        "GRANT USAGE ON SCHEMA {CENTRAL_SCHEMA}, {ROWS_SCHEMA} TO {app};
         SET LOCAL ROLE {owner};
         {};
         COMMIT",
        current_tenant()
    ));
    say(&client, &sql).await?;
    // Only the database's own owner may; who may not finds it in the audit.
    for sql in [
        format!("REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC"),
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC".into(),
    ] {
        // whoever grants something meanwhile would fail
        if let Err(error) = say(&client, &format!("BEGIN; {ALONE}; {sql}; COMMIT")).await {
            tracing::debug!(%error, %sql, "could not be revoked");
            say(&client, "ROLLBACK").await?;
        }
    }
    Ok(())
}

/// Whether the catalog's schema is there.
pub(crate) async fn is_set_up(server: &Server) -> Result<bool, DbError> {
    let client = server.connect(&server.home()).await?;
    let sql = format!("SELECT to_regnamespace('{CATALOG_SCHEMA}') IS NOT NULL");
    Ok(ask_one(&client, &sql, &[]).await?.get(0))
}

async fn roles(server: &Server, client: &Client) -> Result<(), SetUpError> {
    let mut missing = Vec::new();
    for role in [&server.roles().owner, &server.roles().app] {
        let sql = "SELECT count(*), coalesce(bool_or(pg_has_role(current_user, rolname, 'MEMBER')), false)
             FROM pg_roles WHERE rolname = $1";
        let known = ask_one(client, sql, &[role]).await?;
        if known.get::<_, i64>(0) == 0 {
            missing.push(format!(
                "CREATE ROLE {} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE",
                quoted(role)
            ));
        }
        if !known.get::<_, bool>(1) {
            let login: String = ask_one(client, "SELECT current_user::text", &[])
                .await?
                .get(0);
            missing.push(format!("GRANT {} TO {}", quoted(role), quoted(&login)));
        }
    }
    for sql in &missing {
        match say(client, sql).await {
            Err(DbError::Denied(_)) => return Err(SetUpError::Needs(missing)),
            // another process was quicker
            Err(DbError::Unique(_)) => {}
            Err(DbError::Statement(error)) if error.contains("already exists") => {}
            other => other?,
        }
    }
    Ok(())
}
