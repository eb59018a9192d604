//! Plain table definitions, said so that SQLite keeps them as strictly as PostgreSQL does.
//!
//! SQLite would take `price numeric(12, 2)` and store a floating-point number, take a text for an
//! integer, and allow NULL in a primary key. So table definitions are rewritten on their way: the
//! types become those of [STRICT tables] with checks of their bounds, decimals are kept as text
//! with a collation that orders them by value, primary keys are NOT NULL. What cannot be parsed
//! runs as it stands.
//!
//! [STRICT tables]: https://www.sqlite.org/stricttables.html

use sqlparser::{
    ast::{
        AlterTableOperation, CheckConstraint, ColumnDef, ColumnOption, ColumnOptionDef,
        CreateTable, DataType, Expr, Ident, ObjectName, Statement, TableConstraint,
    },
    dialect::PostgreSqlDialect,
    parser::Parser,
};

/// What the names of checks begin with that stand for a column's type.
pub(super) const TYPE_CHECK: &str = "type: ";

/// The same migration, as SQLite is to be told it.
pub(crate) fn for_sqlite(sql: &str) -> String {
    let Ok(mut statements) = Parser::parse_sql(&PostgreSqlDialect {}, sql) else {
        return sql.into();
    };
    let mut text = String::new();
    for statement in &mut statements {
        match statement {
            Statement::CreateTable(table) => strict(table),
            Statement::AlterTable(alter) => {
                for operation in &mut alter.operations {
                    if let AlterTableOperation::AddColumn { column_def, .. } = operation {
                        column(column_def);
                    }
                }
            }
            _ => {}
        }
        text.push_str(&statement.to_string());
        text.push_str(";\n");
    }
    text
}

fn strict(table: &mut CreateTable) {
    if table.query.is_some() || table.strict {
        return; // CREATE TABLE … AS has no types to mend, and what is STRICT is SQLite's own
    }
    table.strict = true;
    let keys: Vec<Ident> = table
        .constraints
        .iter()
        .filter_map(|constraint| match constraint {
            TableConstraint::PrimaryKey(key) => Some(&key.columns),
            _ => None,
        })
        .flatten()
        .filter_map(|part| match &part.column.expr {
            Expr::Identifier(name) => Some(name.clone()),
            _ => None,
        })
        .collect();
    for definition in &mut table.columns {
        column(definition);
        let in_key = keys.contains(&definition.name)
            || has(definition, |option| {
                matches!(option, ColumnOption::PrimaryKey(_))
            });
        if in_key && !has(definition, |option| matches!(option, ColumnOption::NotNull)) {
            definition.options.push(unnamed(ColumnOption::NotNull));
        }
    }
}

fn has(definition: &ColumnDef, wanted: impl Fn(&ColumnOption) -> bool) -> bool {
    definition
        .options
        .iter()
        .any(|option| wanted(&option.option))
}

fn unnamed(option: ColumnOption) -> ColumnOptionDef {
    ColumnOptionDef { name: None, option }
}

fn column(definition: &mut ColumnDef) {
    let declared = definition.data_type.clone();
    if let Some(bounds) = bounds(&declared, &definition.name) {
        definition.options.push(bounds);
    }
    let (stored, extra) = storage(&declared);
    if let Some(stored) = stored {
        definition.data_type = stored;
    }
    definition.options.extend(extra.map(unnamed));
    for option in &mut definition.options {
        if let ColumnOption::Default(value) = &mut option.option
            && !matches!(
                value,
                Expr::Value(_) | Expr::Nested(_) | Expr::UnaryOp { .. }
            )
        {
            // SQLite wants its brackets
            let bare = std::mem::replace(value, Expr::Identifier(Ident::new("null")));
            *value = Expr::Nested(Box::new(bare));
        }
    }
}

/// The check that keeps a column to what its type can be, where its storage can be more.
fn bounds(declared: &DataType, name: &Ident) -> Option<ColumnOptionDef> {
    let check = match declared {
        DataType::SmallInt(_) | DataType::Int2(_) => {
            format!("{name} BETWEEN {} AND {}", i16::MIN, i16::MAX)
        }
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => {
            format!("{name} BETWEEN {} AND {}", i32::MIN, i32::MAX)
        }
        DataType::Bool | DataType::Boolean => format!("{name} IN (0, 1)"),
        DataType::Varchar(Some(length))
        | DataType::CharacterVarying(Some(length))
        | DataType::CharVarying(Some(length)) => format!("length({name}) <= {length}"),
        _ => return None,
    };
    let expr = Parser::new(&PostgreSqlDialect {})
        .try_with_sql(&check)
        .and_then(|mut parser| parser.parse_expr())
        .ok()?;
    let says = format!("{TYPE_CHECK}{} is no {declared}", name.value).replace('"', "");
    Some(ColumnOptionDef {
        name: Some(Ident::with_quote('"', says)),
        option: ColumnOption::Check(CheckConstraint {
            name: None,
            expr: Box::new(expr),
            enforced: None,
            no_inherit: false,
        }),
    })
}

/// The type a STRICT table keeps a column as, and what else its definition needs.
fn storage(declared: &DataType) -> (Option<DataType>, Option<ColumnOption>) {
    let stored = match declared {
        // not INTEGER: as a primary key that would be made up where it is missing
        DataType::Bool
        | DataType::Boolean
        | DataType::SmallInt(_)
        | DataType::Int2(_)
        | DataType::Int(_)
        | DataType::Integer(_)
        | DataType::Int4(_)
        | DataType::BigInt(_)
        | DataType::Int8(_) => DataType::Int(None),
        DataType::Real
        | DataType::Float(_)
        | DataType::Float4
        | DataType::Float8
        | DataType::Double(_)
        | DataType::DoublePrecision => DataType::Real,
        DataType::Bytea => DataType::Blob(None),
        DataType::Numeric(_) | DataType::Decimal(_) => {
            let collation = ObjectName::from(vec![Ident::new("decimal")]);
            return (
                Some(DataType::Text),
                Some(ColumnOption::Collation(collation)),
            );
        }
        DataType::Text
        | DataType::Varchar(_)
        | DataType::CharacterVarying(_)
        | DataType::CharVarying(_)
        | DataType::Uuid
        | DataType::Timestamp(..)
        | DataType::Date
        | DataType::JSON
        | DataType::JSONB => DataType::Text,
        _ => return (None, None),
    };
    (Some(stored), None)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::for_sqlite;

    #[test]
    fn plain_definitions_become_strict_ones() {
        let sqlite = for_sqlite(
            "CREATE TABLE products (
                id uuid PRIMARY KEY, shelf bigint, price numeric(12, 2) NOT NULL DEFAULT 0,
                code varchar(40), added_on timestamptz NOT NULL DEFAULT now(),
                sold boolean NOT NULL DEFAULT false, UNIQUE (shelf, code)
             );
             CREATE INDEX products_added_on ON products (added_on);
             ALTER TABLE products ADD COLUMN extra jsonb;",
        );
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        super::super::functions::register(&connection, &Default::default()).unwrap();
        connection.execute_batch(&sqlite).expect(&sqlite);
        let insert = |values: &str| {
            connection.execute(
                &format!("INSERT INTO products (id, shelf, price, code) VALUES ({values})"),
                [],
            )
        };
        insert("'a', 1, '9.90', 'mug'").unwrap();
        insert("'b', 'not a number', '1', 'cup'").expect_err("a text in a bigint");
        insert("NULL, 1, '1', 'cup'").expect_err("NULL as primary key");
        insert(&format!("'c', 2, '1', '{}'", "x".repeat(41))).expect_err("a varchar too long");
        insert("'d', 3, '10.00', 'pot'").unwrap();
        let dearest: String = connection
            .query_row(
                "SELECT price FROM products ORDER BY price DESC LIMIT 1",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(dearest, "10.00", "ordered by value, kept to the digit");
        let total: String = connection
            .query_row("SELECT sum(price) FROM products", [], |row| row.get(0))
            .unwrap();
        assert_eq!(total, "19.90");
    }

    #[test]
    fn what_cannot_be_parsed_stays_as_it_is() {
        let odd = "CREATE TABLE a (b) WITHOUT ROWID, STRICT; PRAGMA whatever";
        assert_eq!(for_sqlite(odd), odd);
    }

    const TYPES: &[&str] = &[
        "uuid",
        "text",
        "bigint",
        "integer",
        "int",
        "smallint",
        "boolean",
        "real",
        "double precision",
        "numeric",
        "numeric(12, 2)",
        "timestamptz",
        "timestamp with time zone",
        "date",
        "jsonb",
        "bytea",
        "varchar",
        "varchar(40)",
    ];

    fn column_names(connection: &rusqlite::Connection, table: &str) -> Vec<String> {
        let mut statement = connection
            .prepare("SELECT name FROM pragma_table_info(?1)")
            .unwrap();
        let names = statement.query_map([table], |row| row.get(0)).unwrap();
        names.collect::<rusqlite::Result<_>>().unwrap()
    }

    proptest! {
        #[test]
        fn names_are_kept_and_nothing_is_rewritten_twice(
            quoted: bool,
            table in "[a-z][a-z0-9_]{0,12}_",
            columns in prop::collection::btree_map(
                "[A-Za-z][A-Za-z0-9_ é]{0,12}_",
                (prop::sample::select(TYPES), any::<bool>()),
                1..6,
            ),
        ) {
            // unquoted names are of one case here, as the engines differ in which they fold to
            let name = |name: &str| if quoted {
                format!("\"{name}\"")
            } else {
                name.to_lowercase().replace([' ', 'é'], "_")
            };
            let mut names: Vec<String> = columns
                .keys()
                .map(|column| name(column).trim_matches('"').into())
                .collect();
            names.sort_by_key(|name| name.to_lowercase());
            names.dedup_by_key(|name| name.to_lowercase());
            prop_assume!(names.len() == columns.len());

            let mut definitions = String::new();
            for (position, (column, (kind, required))) in columns.iter().enumerate() {
                let null = if *required { " NOT NULL" } else { "" };
                let key = if position == 0 { " PRIMARY KEY" } else { "" };
                write!(definitions, "{}{} {kind}{null}{key}", if key.is_empty() { ", " } else { "" }, name(column)).unwrap();
            }
            let create = format!("CREATE TABLE {} ({definitions});", name(&table));
            let once = for_sqlite(&create);
            prop_assert_eq!(for_sqlite(&once), once.clone());

            let connection = rusqlite::Connection::open_in_memory().unwrap();
            super::super::functions::register(&connection, &Default::default()).unwrap();
            connection.execute_batch(&once).expect(&once);
            let mut kept = column_names(&connection, &table);
            kept.sort_by_key(|name| name.to_lowercase());
            prop_assert_eq!(kept, names);
            let strict: bool = connection
                .query_row("SELECT strict FROM pragma_table_list WHERE name = ?1", [&table], |row| row.get(0))
                .unwrap();
            prop_assert!(strict);
        }
    }
}
