//! What a login must be allowed, and what it is told when it is not.

use tenantry::{OpenError, Tenancy, lifecycle::NewTenant, migrate::Migrations, tenant::Isolation};

use crate::support::Ground;

async fn needed(ground: &Ground) -> Vec<String> {
    match ground.set_up(&Migrations::new()).await.map(drop) {
        Err(OpenError::NeedsRoles(statements)) => statements,
        other => panic!("{other:?}"),
    }
}

async fn works(tenancy: &Tenancy, isolations: &[Isolation]) {
    for isolation in isolations {
        let new = NewTenant::new(isolation.as_str().parse().unwrap(), "x").isolation(*isolation);
        let tenant = tenancy.create(new).await.unwrap();
        let db = tenancy.db(&tenant).await.unwrap();
        let users: i64 = db
            .query("SELECT count(*) FROM users")
            .scalar()
            .await
            .unwrap();
        assert_eq!(users, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_not_make_roles_says_what_is_needed() {
    let ground = Ground::with("NOCREATEROLE").await;
    let (project, login) = (&ground.project, &ground.login);
    let statements = needed(&ground).await;
    let attributes = "NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE";
    assert_eq!(
        statements,
        [
            format!("CREATE ROLE \"{project}_owner\" {attributes}"),
            format!("GRANT \"{project}_owner\" TO \"{login}\""),
            format!("CREATE ROLE \"{project}_app\" {attributes}"),
            format!("GRANT \"{project}_app\" TO \"{login}\""),
        ]
    );
    // nothing was done by halves
    assert_eq!(needed(&ground).await, statements);
    for sql in &statements {
        ground.server.execute("postgres", sql).await;
    }
    let tenancy = ground.set_up(&Migrations::new()).await.unwrap();
    works(&tenancy, &[Isolation::Rows, Isolation::Schema]).await;
    assert_eq!(tenancy.audit().await.unwrap(), []);
    // a database of its own takes one right more
    let new = || NewTenant::new("own".parse().unwrap(), "x").isolation(Isolation::Database);
    tenancy
        .create(new())
        .await
        .expect_err("it may not create databases");
    assert_eq!(tenancy.tenants().await.unwrap().len(), 2);
    ground
        .server
        .execute("postgres", &format!("ALTER ROLE {login} CREATEDB"))
        .await;
    tenancy.create(new()).await.unwrap();
    tenancy.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_missing_is_asked_for() {
    let ground = Ground::with("NOCREATEROLE").await;
    let (project, login) = (&ground.project, &ground.login);
    ground
        .server
        .execute(
            "postgres",
            &format!("CREATE ROLE {project}_owner; CREATE ROLE {project}_app; GRANT {project}_owner TO {login}"),
        )
        .await;
    assert_eq!(
        needed(&ground).await,
        [format!("GRANT \"{project}_app\" TO \"{login}\"")]
    );
}

/// A login that may do all of it needs nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_make_roles_makes_them() {
    for attributes in ["CREATEROLE CREATEDB", "SUPERUSER"] {
        let ground = Ground::with(attributes).await;
        for _ in 0..2 {
            let tenancy = ground.set_up(&Migrations::new()).await.unwrap();
            let all: &[Isolation] = match tenancy.tenants().await.unwrap().len() {
                0 => &[Isolation::Rows, Isolation::Schema, Isolation::Database],
                _ => &[],
            };
            works(&tenancy, all).await;
            let findings = tenancy.audit().await.unwrap();
            assert_eq!(
                findings.is_empty(),
                attributes != "SUPERUSER",
                "{findings:?}"
            );
            tenancy.close();
        }
    }
}

/// A login that does not own the database, and was given what it needs there.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_owns_nothing_works_and_the_audit_says_what_is_open() {
    let ground = Ground::with("CREATEROLE").await;
    let (database, login) = (&ground.database, &ground.login);
    ground
        .server
        .execute(
            "postgres",
            &format!("ALTER DATABASE {database} OWNER TO postgres; GRANT CREATE ON DATABASE {database} TO {login} WITH GRANT OPTION"),
        )
        .await;
    let tenancy = ground.set_up(&Migrations::new()).await.unwrap();
    works(&tenancy, &[Isolation::Rows, Isolation::Schema]).await;
    let findings = tenancy.audit().await.unwrap();
    assert!(
        findings
            .iter()
            .any(|finding| finding.what.contains("temporary")),
        "everybody may create temporary tables unless the database's owner says otherwise: {findings:?}"
    );
    for finding in findings {
        ground.server.execute(database, &finding.mend).await;
    }
    assert_eq!(tenancy.audit().await.unwrap(), []);
    tenancy.close();
}
