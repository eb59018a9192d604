//! Attacks on the wall between two tenants, each seen to fail beside the same thing done by whoever
//! may do it.

mod connections;
mod hidden;
mod refused;

use tenantry::{
    Tenant,
    db::{DbError, TenantDb},
    migrate::Migrations,
    tenant::Isolation,
};
use uuid::Uuid;

use crate::support::{ON_SERVERS, Place, texts};

fn shop() -> Migrations {
    Migrations::new()
        .sql(
            "0001_shop",
            "CREATE TABLE shelves (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text NOT NULL);
             CREATE TABLE products (
                id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
                code text NOT NULL UNIQUE,
                price bigint NOT NULL DEFAULT 1,
                shelf_id uuid REFERENCES shelves);
             CREATE UNIQUE INDEX products_lower ON products (lower(code));",
        )
        .sql(
            "0002_logic",
            "CREATE VIEW cheap AS SELECT id, code FROM products WHERE price < 10;
             CREATE SEQUENCE numbers;
             CREATE FUNCTION as_caller() RETURNS SETOF text LANGUAGE sql
                AS 'SELECT code FROM products ORDER BY code';
             CREATE FUNCTION as_owner() RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER
                AS 'BEGIN RETURN QUERY SELECT code FROM products ORDER BY code; END';
             CREATE FUNCTION reprice(by bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
                AS 'DECLARE n bigint; BEGIN UPDATE products SET price = price + by; GET DIAGNOSTICS n = ROW_COUNT; RETURN n; END';",
        )
}

/// Two tenants, each with the product `mug` and one named after itself, on one shelf.
struct Scene {
    a: (Tenant, TenantDb),
    b: (Tenant, TenantDb),
}

impl Scene {
    async fn new(place: &Place, isolation: Isolation) -> Self {
        let [a, b] = place.pair(isolation).await;
        for (own, (_, db)) in [("only-a", &a), ("only-b", &b)] {
            let shelf: Uuid = db
                .query("INSERT INTO shelves (name) VALUES ($1) RETURNING id")
                .bind(own)
                .scalar()
                .await
                .unwrap();
            for code in ["mug", own] {
                db.query("INSERT INTO products (code, shelf_id) VALUES ($1, $2)")
                    .bind(code)
                    .bind(shelf)
                    .execute()
                    .await
                    .unwrap();
            }
        }
        Self { a, b }
    }

    /// The other tenant has what it had.
    async fn is_whole(&self, isolation: Isolation) {
        let rows: Vec<(String, i64)> = self
            .b
            .1
            .query("SELECT code, price FROM products ORDER BY code")
            .all()
            .await
            .unwrap();
        assert_eq!(
            rows,
            [("mug".into(), 1), ("only-b".into(), 1)],
            "{isolation}"
        );
    }
}

async fn each(attack: impl AsyncFn(&Place, &Scene, Isolation)) {
    let place = Place::new(shop()).await;
    for isolation in ON_SERVERS {
        let scene = Scene::new(&place, isolation).await;
        attack(&place, &scene, isolation).await;
        scene.is_whole(isolation).await;
    }
}

#[track_caller]
fn denied<T: std::fmt::Debug>(result: Result<T, DbError>, what: &str) {
    assert!(
        matches!(result, Err(DbError::Denied(_))),
        "{what}: {result:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_without_a_filter_stay_within_the_tenant() {
    each(async |_, scene, isolation| {
        let db = &scene.a.1;
        assert_eq!(texts(db, "SELECT code FROM products ORDER BY code").await.unwrap(), ["mug", "only-a"]);
        for sql in [
            "SELECT code FROM products WHERE true OR 1 = 1 ORDER BY code",
            "SELECT code FROM (TABLE products) p ORDER BY code",
            "WITH p AS (SELECT code FROM products) SELECT code FROM p UNION SELECT code FROM products ORDER BY code",
            "WITH RECURSIVE p (code) AS (SELECT code FROM products UNION SELECT q.code FROM products q, p) SELECT code FROM p ORDER BY code",
            "SELECT code FROM cheap ORDER BY code",
            "SELECT * FROM as_caller()",
            "SELECT * FROM as_owner()",
            "SELECT p.code FROM products p JOIN LATERAL (SELECT * FROM products) q ON p.id = q.id ORDER BY 1",
        ] {
            assert_eq!(texts(db, sql).await.unwrap(), ["mug", "only-a"], "{isolation}: {sql}");
        }
        for (sql, rows) in [
            ("UPDATE products SET price = price + 1", 2),
            ("WITH p AS (UPDATE products SET price = 7 RETURNING 1) SELECT * FROM p", 2),
            ("INSERT INTO shelves (name) SELECT code FROM products", 2),
            (
                "MERGE INTO products p USING (SELECT code FROM products) q ON p.code = q.code \
                 WHEN MATCHED THEN UPDATE SET price = 3 WHEN NOT MATCHED THEN INSERT (code) VALUES (q.code)",
                2,
            ),
            ("DELETE FROM products USING shelves WHERE shelves.id = shelf_id", 2),
            ("DELETE FROM products", 0),
        ] {
            assert_eq!(db.query(sql).execute().await.unwrap(), rows, "{isolation}: {sql}");
        }
        assert_eq!(texts(db, "SELECT code FROM products").await.unwrap(), [""; 0]);
        let repriced: i64 = scene.b.1.query("SELECT reprice(0)").scalar().await.unwrap();
        assert_eq!(repriced, 2, "{isolation}: a function as the owner touches its tenant's rows only");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_id_leads_nowhere() {
    each(async |_, scene, isolation| {
        let (db, other) = (&scene.a.1, &scene.b.1);
        let id: Uuid = other
            .query("SELECT id FROM products WHERE code = 'only-b'")
            .scalar()
            .await
            .unwrap();
        let shelf: Uuid = other
            .query("SELECT id FROM shelves")
            .scalar()
            .await
            .unwrap();
        let found = db
            .query("SELECT code FROM products WHERE id = $1")
            .bind(id)
            .optional::<(String,)>()
            .await;
        assert!(found.unwrap().is_none(), "{isolation}");
        for sql in [
            "UPDATE products SET price = 9 WHERE id = $1",
            "DELETE FROM products WHERE id = $1",
        ] {
            assert_eq!(
                db.query(sql).bind(id).execute().await.unwrap(),
                0,
                "{isolation}: {sql}"
            );
        }
        // a foreign key's check goes around row-level security
        let insert = "INSERT INTO products (code, shelf_id) VALUES ('cup', $1)";
        let result = db.query(insert).bind(shelf).execute().await;
        assert!(
            matches!(result, Err(DbError::ForeignKey)),
            "{isolation}: {result:?}"
        );
        let update = "UPDATE products SET shelf_id = $1";
        let result = db.query(update).bind(shelf).execute().await;
        assert!(
            matches!(result, Err(DbError::ForeignKey)),
            "{isolation}: {result:?}"
        );
        let own: Uuid = db.query("SELECT id FROM shelves").scalar().await.unwrap();
        assert_eq!(db.query(insert).bind(own).execute().await.unwrap(), 1);
        // the same id may exist in both
        let twice = "INSERT INTO products (id, code) VALUES ($1, 'twice')";
        assert_eq!(
            db.query(twice).bind(id).execute().await.unwrap(),
            1,
            "{isolation}"
        );
        assert_eq!(
            db.query("DELETE FROM products WHERE id = $1")
                .bind(id)
                .execute()
                .await
                .unwrap(),
            1
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_cannot_be_given_to_another_tenant() {
    let place = Place::new(shop()).await;
    let scene = Scene::new(&place, Isolation::Rows).await;
    let (db, own, other) = (
        &scene.a.1,
        *scene.a.0.id().as_uuid(),
        *scene.b.0.id().as_uuid(),
    );
    for (sql, allowed) in [
        ("INSERT INTO products (code, tenant_id) VALUES ('x', $1)", 1),
        ("UPDATE products SET tenant_id = $1", 3),
        ("UPDATE products SET (tenant_id, price) = ($1, 1)", 3),
        (
            "INSERT INTO products (code) VALUES ('mug') ON CONFLICT (code) DO UPDATE SET tenant_id = $1",
            1,
        ),
        (
            "MERGE INTO products p USING (SELECT 1) q ON p.code = 'mug' WHEN MATCHED THEN UPDATE SET tenant_id = $1",
            1,
        ),
        (
            "WITH moved AS (DELETE FROM products WHERE code = 'x' RETURNING code) \
          INSERT INTO products (code, tenant_id) SELECT 'y', $1 FROM moved",
            1,
        ),
    ] {
        denied(db.query(sql).bind(other).execute().await, sql);
        assert_eq!(
            db.query(sql).bind(own).execute().await.unwrap(),
            allowed,
            "{sql}"
        );
    }
    // the default is no way in either: it names the scope's tenant, and NULL is nobody's
    for sql in ["INSERT INTO products (code, tenant_id) VALUES ('z', NULL)"] {
        let result = db.query(sql).execute().await;
        assert!(
            matches!(result, Err(DbError::Denied(_) | DbError::NotNull(_))),
            "{result:?}"
        );
    }
    scene.is_whole(Isolation::Rows).await;
}

/// What somebody left in `public` is not taken for a tenant's table that is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_is_missing() {
    each(async |place, scene, isolation| {
        let root = place.root_of(&scene.a.0).await;
        let app = format!("{}_app", place.ground.project);
        root.batch_execute(&format!(
            "CREATE TABLE IF NOT EXISTS public.twins (code text); GRANT ALL ON public.twins TO {app};
             GRANT USAGE ON SCHEMA public TO {app};
             INSERT INTO public.twins VALUES ('everybody''s')"
        ))
        .await
        .unwrap();
        let result = texts(&scene.a.1, "SELECT code FROM twins").await;
        assert!(matches!(result, Err(DbError::Statement(_))), "{isolation}: {result:?}");
        let result = scene.a.1.query("INSERT INTO twins VALUES ('x')").execute().await;
        assert!(matches!(result, Err(DbError::Statement(_))), "{isolation}: {result:?}");
        root.batch_execute(&format!("SET ROLE {app}")).await.unwrap();
        let rows = root.query("SELECT code FROM public.twins", &[]).await.unwrap();
        assert!(!rows.is_empty(), "{isolation}: the request role may read it, by its full name");
    })
    .await;
}

/// As the request role, outside of every scope.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_scope_there_is_nothing() {
    let place = Place::new(shop()).await;
    let scene = Scene::new(&place, Isolation::Rows).await;
    let client = place.ground.root().await;
    let app = format!("{}_app", place.ground.project);
    client
        .batch_execute(&format!("SET ROLE {app}; SET search_path = tenant_rows"))
        .await
        .unwrap();
    let count = async |sql: &str| client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
    let all = "SELECT count(*) FROM products";
    assert_eq!(count(all).await, 0);
    let insert = "INSERT INTO products (code) VALUES ('nobody''s')";
    client.batch_execute(insert).await.unwrap_err();
    assert_eq!(
        client
            .execute("UPDATE products SET price = 0", &[])
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        client.execute("DELETE FROM products", &[]).await.unwrap(),
        0
    );
    let id = scene.a.0.id();
    let scope = format!("BEGIN; SET LOCAL tenantry.tenant = '{id}'");
    client.batch_execute(&scope).await.unwrap();
    assert_eq!(count(all).await, 2, "with a scope there is");
    client.batch_execute("COMMIT").await.unwrap();
    // the setting is '' now, and no longer NULL
    assert_eq!(count(all).await, 0);
    client.batch_execute(insert).await.unwrap_err();
    for sql in [
        "TRUNCATE products",
        "CREATE TABLE x (y int)",
        "CREATE TEMP TABLE x (y int)",
        "CREATE TABLE public.x (y int)",
        "CREATE SCHEMA x",
        "CREATE ROLE x",
        "ALTER TABLE products DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenantry_isolation ON products",
        "SELECT * FROM tenantry.tenantry_tenants",
        "SELECT * FROM tenant_rows.tenantry_migrations",
        "UPDATE tenant_rows.tenantry_migrations SET name = 'x'",
    ] {
        let error = client.batch_execute(sql).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501", "{sql}: {error:?}");
    }
    scene.is_whole(Isolation::Rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn violations_are_told_alike() {
    let place = Place::new(shop().sql(
        "0003_pairs",
        "CREATE TABLE pairs (id bigint PRIMARY KEY, l bigint, r bigint, d bigint, UNIQUE (l, r),
            CONSTRAINT late UNIQUE (d) DEFERRABLE INITIALLY DEFERRED)",
    ))
    .await;
    for isolation in ON_SERVERS {
        let [(_, db), (_, other)] = place.pair(isolation).await;
        let insert = "INSERT INTO pairs (id, l, r, d) VALUES ($1, $2, $3, $4)";
        let say = |db: &TenantDb, values: [i64; 4]| {
            let db = db.clone();
            async move {
                let mut query = db.query(insert);
                for value in values {
                    query = query.bind(value);
                }
                query.execute().await
            }
        };
        say(&db, [1, 2, 3, 4]).await.unwrap();
        say(&other, [1, 2, 3, 4]).await.unwrap();
        for (values, columns) in [
            ([1, 5, 5, 5], &["id"][..]),
            ([5, 2, 3, 5], &["l", "r"]),
            ([5, 5, 5, 4], &["d"]),
        ] {
            let error = say(&db, values).await.unwrap_err();
            assert!(error.is_unique("pairs", columns), "{isolation}: {error:?}");
            let mut tx = db.begin();
            let mut query = tx.query(insert);
            for value in values {
                query = query.bind(value);
            }
            let error = match query.execute().await {
                Ok(_) => tx.commit().await.unwrap_err(), // deferred
                Err(error) => error,
            };
            assert!(
                error.is_unique("pairs", columns),
                "{isolation}, in a transaction: {error:?}"
            );
            let mut pipeline = db.pipeline();
            let mut query = pipeline.query(insert);
            for value in values {
                query = query.bind(value);
            }
            let _ = query.execute();
            let error = pipeline.run().await.map(drop).unwrap_err();
            assert!(
                error.is_unique("pairs", columns),
                "{isolation}, in a pipeline: {error:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_done_whole_or_not_at_all() {
    each(async |_, scene, isolation| {
        let db = &scene.a.1;
        let insert = "INSERT INTO shelves (name) VALUES ('new')";
        for (wrong, parameter) in [
            ("SELECT 1 / 0", None),
            ("SELECT code FROM products WHERE code = $1", None),
            ("SELECT code FROM products WHERE id = $1", Some("no id")),
            ("SELECT nonsense FROM products", None),
        ] {
            for _ in 0..2 {
                let mut pipeline = db.pipeline();
                let _ = pipeline.query(insert).execute();
                let mut query = pipeline.query(wrong);
                if let Some(parameter) = parameter {
                    query = query.bind(parameter);
                }
                let _ = query.execute();
                let _ = pipeline.query(insert).execute();
                pipeline.run().await.map(drop).expect_err(wrong);
                let count = "SELECT count(*) FROM shelves";
                assert_eq!(
                    db.query(count).scalar::<i64>().await.unwrap(),
                    1,
                    "{isolation}: {wrong}"
                );
            }
        }
        let mut pipeline = db.pipeline();
        let slots = [
            pipeline.query(insert).execute(),
            pipeline.query(insert).execute(),
        ];
        let mut answers = pipeline.run().await.unwrap();
        for slot in slots {
            assert_eq!(answers.take(slot).unwrap(), 1);
        }
    })
    .await;
}
