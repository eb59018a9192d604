//! A read by itself may be told otherwise than within a transaction: nobody may notice.

use tenantry::{
    db::{DbError, FromRow, Row, TenantDb},
    migrate::Migrations,
};

use crate::support::{Ground, ON_SERVERS, Place};

fn migrations() -> Migrations {
    Migrations::new().sql(
        "0001_tables",
        "CREATE TYPE mood AS ENUM ('good', 'bad');
         CREATE TABLE makers (id bigint PRIMARY KEY, name text NOT NULL, mood mood);
         CREATE TABLE products (id bigint PRIMARY KEY, name text NOT NULL, price numeric(10, 2),
            maker_id bigint REFERENCES makers (id));
         CREATE TABLE names (name text NOT NULL);
         CREATE TABLE \"Odd Name\" (id bigint PRIMARY KEY, name text NOT NULL);
         CREATE VIEW dear AS SELECT id, name FROM products WHERE price > 2;
         CREATE FUNCTION twice(n bigint) RETURNS bigint LANGUAGE sql AS 'SELECT n * 2';
         CREATE FUNCTION counted() RETURNS bigint LANGUAGE sql STABLE
            AS 'SELECT count(*) FROM products'",
    )
}

/// Rows of one text each.
struct Told(String);

impl FromRow for Told {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        row.at(0).map(Self)
    }
}

const STATEMENTS: &[&str] = &[
    "SELECT name FROM products ORDER BY name",
    "SELECT name FROM products WHERE id = $1 OR $1 = 0 ORDER BY name DESC LIMIT 3",
    "SELECT p.name || ' ' || m.name FROM products p JOIN makers m ON m.id = p.maker_id ORDER BY 1",
    "SELECT p.name || ' ' || coalesce(m.name, '-') FROM products AS p LEFT JOIN makers AS m ON m.id = p.maker_id ORDER BY 1",
    "SELECT coalesce(p.name, '-') || ' ' || m.name FROM products p RIGHT JOIN makers m ON m.id = p.maker_id ORDER BY 1",
    "SELECT count(*)::text FROM products",
    "SELECT m.name || count(p.id) FROM makers m LEFT JOIN products p ON p.maker_id = m.id GROUP BY m.name HAVING count(p.id) >= 0 ORDER BY 1",
    "SELECT name FROM products WHERE EXISTS (SELECT 1 FROM makers WHERE makers.id = products.maker_id AND makers.mood = 'good') ORDER BY name",
    "SELECT name FROM products WHERE price = (SELECT max(price) FROM products)",
    "SELECT name FROM products WHERE maker_id IN (SELECT id FROM makers WHERE name LIKE 'A%') ORDER BY name",
    "SELECT name FROM products UNION SELECT name FROM makers ORDER BY name",
    "SELECT name FROM products EXCEPT SELECT name FROM dear ORDER BY name",
    "WITH some AS (SELECT name FROM products) SELECT name FROM some ORDER BY name",
    "WITH products AS (SELECT 'none' AS name) SELECT name FROM products",
    "SELECT name FROM (SELECT name, row_number() OVER (ORDER BY price DESC) AS n FROM products) ranked WHERE n <= 2 ORDER BY n",
    "SELECT name FROM dear ORDER BY name",
    "SELECT twice(id)::text FROM products ORDER BY id",
    "SELECT counted()::text",
    "SELECT counted()::text FROM products LIMIT 1",
    "SELECT name FROM \"Odd Name\" -- FROM products",
    "SELECT name FROM Products ORDER BY NAME",
    "SELECT mood::text FROM makers WHERE mood = 'bad'::mood",
    "SELECT products.name FROM products, makers WHERE makers.id = products.maker_id AND makers.name = 'Acme' ORDER BY 1",
    "SELECT name FROM products WHERE name = 'it''s FROM makers'",
    "SELECT n::text FROM generate_series(1, 3) n",
    "SELECT name FROM missing",
    "SELECT missing FROM products",
    "SELECT name FROM products WHERE id = $1 AND id = $2",
    "SELECT name FROM products WHERE 1 / (id - id) = 1",
    "SELECT name FROM products FOR UPDATE",
    "SELECT id::text FROM products EXCEPT SELECT id::text FROM makers",
    "SELECT name FROM products EXCEPT TABLE names",
    "SELECT name FROM products WHERE name NOT IN (TABLE names) ORDER BY name",
    "SELECT id::text FROM names",
    "SELECT current_schema::text, name FROM products WHERE id = -1",
];

async fn fill(db: &TenantDb, mark: &str) {
    let mut tx = db.begin();
    for sql in [
        "INSERT INTO makers (id, name, mood) VALUES (1, 'Acme' || $1, 'good'), (2, 'Bolt' || $1, 'bad')",
        "INSERT INTO products (id, name, price, maker_id) VALUES
            (1, 'Anvil' || $1, 1.5, 1), (2, 'Bow' || $1, 2.5, 1), (3, 'Cup' || $1, NULL, NULL)",
        "INSERT INTO names (name) VALUES ('Bow' || $1)",
        "INSERT INTO \"Odd Name\" (id, name) VALUES (1, 'odd' || $1)",
    ] {
        tx.query(sql).bind(mark).execute().await.unwrap();
    }
    tx.commit().await.unwrap();
}

fn tell(rows: Result<Vec<Told>, DbError>) -> String {
    match rows {
        Ok(rows) => rows.iter().map(|row| format!("{};", row.0)).collect(),
        // where in a text something is wrong is told by the text that was said
        Err(error) => format!("{:?}", std::mem::discriminant(&error)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_by_itself_is_as_one_in_a_transaction() {
    let ground = Ground::new().await;
    let place = Place {
        // one connection, so that each statement is the second and the third on it, too
        tenancy: tenantry::Tenancy::set_up(
            ground
                .config()
                .tenant_migrations(migrations())
                .most_connections(std::num::NonZeroUsize::MIN),
        )
        .await
        .unwrap(),
        ground,
    };
    for isolation in ON_SERVERS {
        let mut dbs = Vec::new();
        for mark in ["-a", "-b"] {
            let tenant = place
                .tenant(&format!("t{mark}-{isolation}"), isolation)
                .await;
            let db = place.tenancy.db(&tenant).await.unwrap();
            fill(&db, mark).await;
            dbs.push((mark, db));
        }
        for sql in STATEMENTS {
            for time in 1..=4 {
                for (mark, db) in &dbs {
                    let other = if *mark == "-a" { "-b" } else { "-a" };
                    let bound = sql.contains("$1").then_some(2_i64);
                    let alone = db.query(sql);
                    let alone = match bound {
                        Some(id) => alone.bind(id),
                        None => alone,
                    };
                    let alone = tell(alone.all().await);
                    let mut tx = db.begin();
                    let within = tx.query(sql);
                    let within = match bound {
                        Some(id) => within.bind(id),
                        None => within,
                    };
                    let within = tell(within.all().await);
                    drop(tx);
                    assert_eq!(alone, within, "{isolation}, time {time}: {sql}");
                    assert!(!alone.contains(other), "{isolation}, time {time}: {sql}");
                }
            }
        }
        let (_, db) = &dbs[0];
        let names = db.query(STATEMENTS[0]).all().await;
        assert_eq!(tell(names), "Anvil-a;Bow-a;Cup-a;", "{isolation}");
    }
}
