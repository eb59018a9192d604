//! What a plain single-tenant statement is told differently for shared tables, and for a schema.
//!
//! This is the paved road and never the wall: what is not understood is left as it is, for row-level
//! security and the transaction's path to deal with.

use std::{borrow::Cow, ops::ControlFlow};

use sqlparser::{
    ast::{ObjectName, Spanned, Statement, TableFactor, Visit, Visitor},
    dialect::PostgreSqlDialect,
    parser::Parser,
};

use super::{
    lex::{Token, tokens},
    scope::{TENANT_COLUMN, quoted},
};

/// Key words that a parenthesis may follow, and functions of PostgreSQL's own, which look nothing up
/// by the path.
#[rustfmt::skip]
const CALLED: &[&str] = &[
    "abs", "all", "and", "any", "as", "avg", "between", "by", "case", "cast", "ceil", "coalesce",
    "concat", "count", "date_trunc", "dense_rank", "distinct", "else", "except", "exists",
    "extract", "filter", "first_value", "floor", "from", "greatest", "having", "in", "intersect",
    "join", "jsonb_agg", "jsonb_build_object", "lag", "last_value", "lead", "least", "left",
    "length", "like", "limit", "lower", "max", "min", "not", "now", "nullif", "numeric", "offset",
    "on", "or", "over", "position", "rank", "replace", "right", "round", "row_number", "select",
    "some", "string_agg", "strpos", "substr", "substring", "sum", "then", "trim", "union", "upper",
    "varchar", "when", "where",
];

/// Puts the schema's name before each table of a plain read. `None` where that would not be certain
/// to be all that the path is for.
pub(super) fn for_schema(sql: &str, schema: &str) -> Option<String> {
    let mut text = String::new();
    let mut copied = 0;
    for table in tables_of_plain_read(sql)? {
        text.push_str(&sql[copied..table.start]);
        text.push_str(&quoted(schema));
        text.push('.');
        copied = table.start;
    }
    text.push_str(&sql[copied..]);
    Some(text)
}

/// What the read of one tenant's rows is called within the statement that enters the scope.
const ENTERED: &str = "tenantry_entered";

/// Lets a plain read of shared tables enter the scope by itself, with the tenant's id as the
/// parameter of that number; and the names of its tables. `None` where that would not be certain to
/// be the same.
///
/// The lateral reference makes PostgreSQL set the scope before it reads a table, and each table is
/// asked for that tenant's rows besides, so that none is read before. The policies stay on, and the
/// setting ends with the statement.
pub(super) fn entering(sql: &str, parameter: usize) -> Option<(String, Vec<String>)> {
    let tables = tables_of_plain_read(sql)?;
    // a parameter that was forgotten must not become the tenant's id
    if tokens(sql).ok()?.iter().any(|(token, end)| {
        *token == Token::Parameter && number_before(sql, *end).is_none_or(|n| n >= parameter)
    }) {
        return None;
    }
    let mut text = format!(
        "SELECT tenantry_read.* FROM \
         (SELECT pg_catalog.set_config('tenantry.tenant', ${parameter}, true)::uuid AS {ENTERED}_id OFFSET 0) \
         {ENTERED} CROSS JOIN LATERAL (SELECT * FROM ("
    );
    let mut copied = 0;
    for table in &tables {
        let name = &sql[table.start..table.end];
        text.push_str(&sql[copied..table.start]);
        text.push_str(&format!(
            "(SELECT * FROM {name} WHERE {TENANT_COLUMN} = {ENTERED}_id)"
        ));
        if !table.has_alias {
            text.push(' ');
            text.push_str(name);
        }
        copied = table.end;
    }
    text.push_str(&sql[copied..]);
    // a comment may be the last of it
    text.push_str("\n) tenantry_said OFFSET 0) tenantry_read");
    let mut names: Vec<String> = tables.into_iter().map(|table| table.name).collect();
    names.sort_unstable();
    names.dedup();
    Some((text, names))
}

/// The number that ends before that byte.
fn number_before(sql: &str, end: usize) -> Option<usize> {
    let digits = sql[..end].rfind('$')? + 1;
    sql[digits..end].parse().ok()
}

/// A table in a statement's text.
struct Table {
    name: String,
    start: usize,
    end: usize,
    has_alias: bool,
}

/// The tables of a plain read, in their order; `None` for whatever else looks things up by the
/// path, or may: what writes (there are triggers), locks, names its own tables (`WITH`), or calls
/// anything but well-known functions.
fn tables_of_plain_read(sql: &str) -> Option<Vec<Table>> {
    let tokens = tokens(sql).ok()?;
    let called_are_known = tokens.windows(2).all(|two| match two {
        [(Token::Word(word, quoted), _), (Token::Symbol('('), _)] => {
            let lower = word.to_ascii_lowercase();
            !quoted && CALLED.binary_search(&lower.as_str()).is_ok()
        }
        _ => true,
    });
    let is_plain = tokens.iter().all(|(token, _)| {
        *token != Token::Symbol(';')
            && ![
                "with",
                "for",
                "only",
                "tablesample",
                "lateral",
                "table",
                "current_schema",
                "current_schemas",
            ]
            .iter()
            .any(|word| token.is(word))
    });
    if !called_are_known || !is_plain || !tokens.first()?.0.is("select") {
        return None;
    }
    let statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).ok()?;
    let [Statement::Query(query)] = statements.as_slice() else {
        return None;
    };
    let mut finder = Finder {
        sql,
        starts: line_starts(sql),
        tables: Vec::new(),
        relations: 0,
    };
    let all_found = query.visit(&mut finder).is_continue();
    let mut tables = finder.tables;
    if !all_found || tables.is_empty() || tables.len() != finder.relations {
        return None;
    }
    tables.sort_unstable_by_key(|table| table.start);
    let are_apart = tables.windows(2).all(|two| two[0].end <= two[1].start);
    are_apart.then_some(tables)
}

struct Finder<'s> {
    sql: &'s str,
    starts: Vec<usize>,
    tables: Vec<Table>,
    /// How many names of tables there are, wherever they stand.
    relations: usize,
}

impl Visitor for Finder<'_> {
    type Break = ();

    fn pre_visit_relation(&mut self, _: &ObjectName) -> ControlFlow<()> {
        self.relations += 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let found = match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                ..
            } => self.table(name, alias.is_some()),
            TableFactor::Derived { .. } | TableFactor::NestedJoin { .. } => {
                return ControlFlow::Continue(());
            }
            _ => None,
        };
        match found {
            Some(table) => {
                self.tables.push(table);
                ControlFlow::Continue(())
            }
            None => ControlFlow::Break(()),
        }
    }
}

impl Finder<'_> {
    /// Where a plain name stands in the text.
    fn table(&self, name: &ObjectName, has_alias: bool) -> Option<Table> {
        let [part] = name.0.as_slice() else {
            return None;
        };
        let ident = part.as_ident()?;
        let from = part.span().start;
        let line = *self
            .starts
            .get(usize::try_from(from.line).ok()?.checked_sub(1)?)?;
        let column = usize::try_from(from.column).ok()?.checked_sub(1)?;
        let (at, _) = self.sql[line..].char_indices().nth(column)?;
        let start = line + at;
        let written = match ident.quote_style {
            Some('"') => format!("\"{}\"", ident.value.replace('"', "\"\"")),
            Some(_) => return None,
            None => ident.value.clone(),
        };
        self.sql[start..].starts_with(&written).then(|| Table {
            name: match ident.quote_style {
                Some(_) => ident.value.clone(),
                None => ident.value.to_lowercase(),
            },
            start,
            end: start + written.len(),
            has_alias,
        })
    }
}

fn line_starts(sql: &str) -> Vec<usize> {
    let after = sql.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(after).collect()
}

/// Names the tenant in the target of `ON CONFLICT (…)`: unique constraints and indexes lead with
/// it.
pub(super) fn for_rows(sql: &str) -> Cow<'_, str> {
    let Ok(tokens) = tokens(sql) else {
        return sql.into(); // the gate refuses it
    };
    let mut text = String::new();
    let mut copied = 0;
    for three in tokens.windows(3) {
        let [(on, _), (conflict, _), (open, end)] = three else {
            continue;
        };
        if on.is("on") && conflict.is("conflict") && *open == Token::Symbol('(') {
            text.push_str(&sql[copied..*end]);
            text.push_str(TENANT_COLUMN);
            text.push_str(", ");
            copied = *end;
        }
    }
    if copied == 0 {
        return sql.into();
    }
    text.push_str(&sql[copied..]);
    text.into()
}

#[cfg(test)]
mod tests {
    use super::{CALLED, entering, for_rows, for_schema};

    #[test]
    fn tables_of_plain_reads_are_named_with_their_schema() {
        assert!(CALLED.is_sorted());
        for (sql, expected) in [
            (
                "SELECT a FROM b WHERE c = $1",
                "SELECT a FROM \"t\".b WHERE c = $1",
            ),
            (
                "select b.a, 'from d'\n  from b\n\tjoin \"C\" x on x.ä = b.a, d -- from e",
                "select b.a, 'from d'\n  from \"t\".b\n\tjoin \"t\".\"C\" x on x.ä = b.a, \"t\".d -- from e",
            ),
            (
                "SELECT 'ä', count(*) FROM a WHERE b IN (SELECT b FROM c WHERE EXISTS (SELECT 1 FROM a))",
                "SELECT 'ä', count(*) FROM \"t\".a WHERE b IN (SELECT b FROM \"t\".c WHERE EXISTS (SELECT 1 FROM \"t\".a))",
            ),
            (
                "SELECT a FROM b UNION (SELECT a FROM (SELECT a FROM c) d) ORDER BY a LIMIT 5",
                "SELECT a FROM \"t\".b UNION (SELECT a FROM (SELECT a FROM \"t\".c) d) ORDER BY a LIMIT 5",
            ),
        ] {
            assert_eq!(for_schema(sql, "t").as_deref(), Some(expected));
        }
    }

    #[test]
    fn plain_reads_enter_the_scope_by_themselves() {
        let (text, tables) = entering("SELECT a.b FROM a JOIN c x ON x.b = a.b -- d", 3).unwrap();
        assert_eq!(tables, ["a", "c"]);
        assert_eq!(
            text,
            "SELECT tenantry_read.* FROM (SELECT pg_catalog.set_config('tenantry.tenant', $3, \
             true)::uuid AS tenantry_entered_id OFFSET 0) tenantry_entered CROSS JOIN LATERAL (SELECT * FROM (\
             SELECT a.b FROM (SELECT * FROM a WHERE tenant_id = tenantry_entered_id) a JOIN \
             (SELECT * FROM c WHERE tenant_id = tenantry_entered_id) x ON x.b = a.b -- d\n\
             ) tenantry_said OFFSET 0) tenantry_read"
        );
        assert!(entering("SELECT a FROM b WHERE c = $1", 2).is_some());
        assert!(entering("SELECT a FROM b WHERE c = $1", 1).is_none());
        assert!(entering("SELECT a FROM b WHERE c = $10", 2).is_none());
    }

    #[test]
    fn what_may_need_the_path_is_left_to_it() {
        for sql in [
            "SELECT 1",
            "WITH b AS (SELECT 1) SELECT a FROM b",
            "SELECT a FROM (WITH b AS (SELECT 1) SELECT * FROM b) c",
            "INSERT INTO a SELECT b FROM c",
            "UPDATE a SET b = 1",
            "DELETE FROM a",
            "SELECT own(a) FROM b",
            "SELECT \"count\"(a) FROM b",
            "SELECT a FROM own(1)",
            "SELECT a FROM b, LATERAL (SELECT 1) c",
            "SELECT a FROM other.b",
            "SELECT a FROM b AS c (d)",
            "SELECT a FROM b FOR UPDATE",
            "SELECT a FROM ONLY b",
            "SELECT a FROM b TABLESAMPLE SYSTEM (1)",
            "SELECT a FROM b;",
            "SELECT a FROM b EXCEPT TABLE c",
            "SELECT a FROM b WHERE a IN (TABLE c)",
            "SELECT current_schema, a FROM b",
            "TABLE a",
            "(SELECT a FROM b)",
            "no SQL",
        ] {
            assert_eq!(for_schema(sql, "t"), None, "{sql}");
            assert_eq!(entering(sql, 1), None, "{sql}");
        }
    }

    #[test]
    fn conflict_targets_name_the_tenant() {
        for (sql, expected) in [
            (
                "INSERT INTO a (b) VALUES ($1) ON CONFLICT (b) DO UPDATE SET c = excluded.c",
                "INSERT INTO a (b) VALUES ($1) ON CONFLICT (tenant_id, b) DO UPDATE SET c = excluded.c",
            ),
            (
                "WITH x AS (INSERT INTO a (b) VALUES (1) on conflict(lower(b)) WHERE c DO NOTHING) SELECT 'ä ON CONFLICT (b)'",
                "WITH x AS (INSERT INTO a (b) VALUES (1) on conflict(tenant_id, lower(b)) WHERE c DO NOTHING) SELECT 'ä ON CONFLICT (b)'",
            ),
        ] {
            assert_eq!(for_rows(sql), expected);
        }
    }

    #[test]
    fn others_stay_as_they_are() {
        for sql in [
            "SELECT conflict FROM a",
            "INSERT INTO a VALUES (1) ON CONFLICT DO NOTHING",
            "INSERT INTO a VALUES (1) ON CONFLICT ON CONSTRAINT a_pkey DO NOTHING",
            "not SQL, but 'conflict",
        ] {
            assert_eq!(for_rows(sql), sql);
        }
    }
}
