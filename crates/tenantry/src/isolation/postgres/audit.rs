//! Whether the wall stands: what the database says of itself, against what it must be.

use super::{
    ask, secure,
    set_up::{CURRENT_TENANT, current_tenant},
};
use crate::db::{
    DbError,
    postgres::{
        Server,
        scope::{CATALOG_SCHEMA, CENTRAL_SCHEMA, ROWS_SCHEMA, literal, quoted},
        server::Roles,
    },
};

/// Something about a deployment that weakens the wall between tenants, or may.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What it is about: a role, a table, a view.
    pub what: String,
    /// What to do about it, as a statement where one does it.
    pub mend: String,
}

/// Looks at roles, at what everybody may do, and at every table that tenants share.
pub(crate) async fn audit(server: &Server) -> Result<Vec<Finding>, DbError> {
    let client = server.connect(&server.home()).await?;
    let mut findings = Vec::new();
    let roles = server.roles();
    let rows = ask(
        &client,
        "SELECT rolname::text, rolname = current_user, rolsuper, rolbypassrls,
                EXISTS (SELECT FROM pg_class c WHERE c.relowner = r.oid
                    AND c.relnamespace::regnamespace::text IN ('tenant_rows', 'central'))
             FROM pg_roles r WHERE rolname IN (current_user, $1)",
        &[&roles.app],
    )
    .await?;
    for row in &rows {
        let (name, is_login): (String, bool) = (row.get(0), row.get(1));
        let who = if is_login { "login" } else { "request role" };
        let mut note = |bad: bool, what: &str, mend: String| {
            if bad {
                findings.push(Finding {
                    what: format!("the {who} {name} {what}"),
                    mend,
                });
            }
        };
        let login = "connect as a login of its own, that is a member of the two roles and no more";
        let role = quoted(&name);
        let alter = |attribute: &str| {
            if is_login {
                login.to_owned()
            } else {
                format!("ALTER ROLE {role} {attribute}")
            }
        };
        note(
            row.get(2),
            "is a superuser, whom no policy binds",
            alter("NOSUPERUSER"),
        );
        note(
            row.get(3),
            "may bypass row-level security",
            alter("NOBYPASSRLS"),
        );
        note(
            row.get(4),
            "owns tables, which lets it change their policies",
            format!("REASSIGN OWNED BY {role} TO {}", quoted(&roles.owner)),
        );
    }
    for row in ask(&client, &privileges(roles), &[]).await? {
        findings.push(Finding {
            what: format!("requests may {}", row.get::<_, &str>(0)),
            mend: row.get(1),
        });
    }
    match secure::plan(&client, roles).await {
        Ok(steps) => findings.extend(steps.into_iter().map(|step| Finding {
            what: step.what,
            mend: step.sql,
        })),
        Err(secure::SecureError::Unsupported(what)) => findings.push(Finding {
            what: what.to_string(),
            mend: "change it by a migration".into(),
        }),
        Err(secure::SecureError::Db(error)) => return Err(error),
    }
    Ok(findings)
}

/// Asks what the request role may do that it must not, and what takes that from it.
fn privileges(roles: &Roles) -> String {
    let app = literal(&roles.app);
    let function = literal(CURRENT_TENANT);
    let mend = literal(&current_tenant());
    format!(
        "SELECT 'create tables in the schema ' || nspname,
            format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC, %I', nspname, {app})
         FROM pg_namespace
         WHERE (nspname IN ('public', '{CATALOG_SCHEMA}', '{CENTRAL_SCHEMA}', '{ROWS_SCHEMA}') OR nspname LIKE 't\\_%')
            AND has_schema_privilege({app}, oid, 'CREATE')
         UNION ALL
         SELECT 'use the schema {CATALOG_SCHEMA}, where the catalog is',
            format('REVOKE ALL ON SCHEMA {CATALOG_SCHEMA} FROM PUBLIC, %I', {app})
         WHERE has_schema_privilege({app}, '{CATALOG_SCHEMA}', 'USAGE')
         UNION ALL
         SELECT 'create temporary tables, which outlive them on the connection',
            format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC, %I', current_database(), {app})
         WHERE has_database_privilege({app}, current_database(), 'TEMPORARY')
         UNION ALL
         SELECT 'create schemas', format('REVOKE CREATE ON DATABASE %I FROM PUBLIC, %I', current_database(), {app})
         WHERE has_database_privilege({app}, current_database(), 'CREATE')
         UNION ALL
         SELECT format('do what %I may, as a member of it', r.rolname),
            format('REVOKE %I FROM %I', r.rolname, {app})
         FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
         WHERE m.member = {app}::regrole
         UNION ALL
         SELECT 'be anybody''s: {CATALOG_SCHEMA}.current_tenant() is not the library''s', {mend}
         WHERE NOT EXISTS (SELECT FROM pg_proc WHERE oid = to_regprocedure('{CATALOG_SCHEMA}.current_tenant()')
            AND prosrc = {function} AND proconfig IS NULL AND NOT prosecdef AND provolatile = 's')"
    )
}
