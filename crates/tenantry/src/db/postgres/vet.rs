//! Which statements a handle takes at all.
//!
//! The wall between tenants is the database's: policies, roles, separate databases. This is the
//! gate before it: a scope is set by the library alone, so nothing is let through that could set
//! another, speak to other sessions, or name another tenant's schema. It is asked once for each
//! text, when that is first prepared.

use std::mem;

use super::lex::{Token, tokens};
use crate::db::DbError;

/// `EXPLAIN` is not among them: it tells how many rows of others were passed over, and it can run
/// what may not be said by itself (`EXPLAIN ANALYZE CREATE TABLE …`).
const STATEMENTS: &[&str] = &[
    "delete", "insert", "merge", "select", "table", "update", "values", "with",
];

/// Other commands of PostgreSQL's. What begins with none of these either is no statement.
const COMMANDS: &[&str] = &[
    "abort",
    "alter",
    "analyze",
    "begin",
    "call",
    "checkpoint",
    "close",
    "cluster",
    "comment",
    "commit",
    "copy",
    "create",
    "deallocate",
    "declare",
    "discard",
    "do",
    "drop",
    "end",
    "execute",
    "explain",
    "fetch",
    "grant",
    "import",
    "listen",
    "load",
    "lock",
    "move",
    "notify",
    "prepare",
    "reassign",
    "refresh",
    "reindex",
    "release",
    "reset",
    "revoke",
    "rollback",
    "savepoint",
    "security",
    "set",
    "show",
    "start",
    "truncate",
    "unlisten",
    "vacuum",
];

/// Functions that set options, run text as a statement, look up a table by a text, reach what is
/// shared between tenants, or leave something on the session.
const FUNCTIONS: &[&str] = &[
    "brin_desummarize_range",
    "brin_summarize_new_values",
    "brin_summarize_range",
    "col_description",
    "connectby",
    "crosstab",
    "crosstab2",
    "crosstab3",
    "crosstab4",
    "crosstab_hash",
    "crosstabn",
    "currtid",
    "currtid2",
    "currval",
    "array_in",
    "array_recv",
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "database_to_xmlschema",
    "domain_in",
    "domain_recv",
    "enum_in",
    "enum_recv",
    "format_type",
    "gin_clean_pending_list",
    "lastval",
    "lo_close",
    "lo_creat",
    "lo_create",
    "lo_export",
    "lo_from_bytea",
    "lo_get",
    "lo_import",
    "lo_lseek",
    "lo_lseek64",
    "lo_open",
    "lo_put",
    "lo_tell",
    "lo_tell64",
    "lo_truncate",
    "lo_truncate64",
    "lo_unlink",
    "loread",
    "lowrite",
    "multirange_in",
    "multirange_recv",
    "obj_description",
    "oidvectortypes",
    "query_to_xml",
    "query_to_xml_and_xmlschema",
    "query_to_xmlschema",
    "range_in",
    "range_recv",
    "record_in",
    "record_recv",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "schema_to_xmlschema",
    "set_config",
    "setseed",
    "setval",
    "shobj_description",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "table_to_xmlschema",
    "ts_rewrite",
    "ts_stat",
    "xpath_table",
];

/// Of what is called `pg_…`, which speaks of the whole server, what does not.
const HARMLESS: &[&str] = &[
    "pg_catalog",
    "pg_collation_for",
    "pg_column_size",
    "pg_input_is_valid",
    "pg_size_bytes",
    "pg_size_pretty",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_typeof",
];

/// Types that turn a number into the name of a table, a schema or a role, whosever it is; and with
/// `out` to their end, the functions that do.
const NAMES: &[&str] = &[
    "regclass",
    "regcollation",
    "regconfig",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
    "regtypemod",
];

pub(super) fn vet(sql: &str) -> Result<(), DbError> {
    let tokens: Vec<Token<'_>> = tokens(sql)?.into_iter().map(|(token, _)| token).collect();
    let is = |at: usize, symbol: char| tokens.get(at) == Some(&Token::Symbol(symbol));
    let verbs = verbs(&tokens);
    let mut begun = false;
    for (at, token) in tokens.iter().enumerate() {
        let (word, quoted) = match *token {
            Token::Word(word, quoted) => (word, quoted),
            Token::Symbol('(') if !begun => continue,
            Token::Symbol(';') if at + 1 < tokens.len() => {
                return Err(DbError::Statement("more than one statement".into()));
            }
            _ if begun => continue,
            _ => return Err(DbError::Statement(first_words(sql))),
        };
        let name = word.to_ascii_lowercase();
        if !begun {
            if quoted || !STATEMENTS.contains(&name.as_str()) {
                let words = first_words(sql);
                return Err(match COMMANDS.contains(&name.as_str()) {
                    true => DbError::Denied(words),
                    false => DbError::Statement(format!("it begins with no command: {words}")),
                });
            }
            begun = true;
        }
        // `(a).f` is `f(a)` too
        let dotted = at > 0 && is(at - 1, '.');
        let called = is(at + 1, '(') || dotted;
        let qualifies = is(at + 1, '.');
        let denied = (called && FUNCTIONS.contains(&name.as_str()))
            || (called && name == "nextval" && !names_own_sequence(&tokens[at + 1..]))
            || (called && name.starts_with("dblink"))
            || name
                .strip_prefix("to_")
                .is_some_and(|name| NAMES.contains(&name))
            || (qualifies && is_ours(&name))
            || (name.starts_with("pg_") && !HARMLESS.contains(&name.as_str()))
            || NAMES.contains(&name.trim_end_matches("out"))
            || (name == "into" && !quoted && !verbs.contains(&at.wrapping_sub(1)));
        if denied {
            return Err(DbError::Denied(format!("it names {word}")));
        }
    }
    if !begun {
        return Err(DbError::Statement("there is no statement".into()));
    }
    Ok(())
}

/// Where the verbs of `INSERT INTO` and `MERGE INTO` are: each is the first in its parentheses. `SELECT … INTO`
/// makes a table, whatever it calls its columns.
fn verbs(tokens: &[Token<'_>]) -> Vec<usize> {
    let is_verb = |token: &Token<'_>| {
        STATEMENTS
            .iter()
            .any(|word| *word != "with" && token.is(word))
    };
    let mut found = Vec::new();
    let mut is_said = vec![false];
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Symbol('(') => is_said.push(false),
            Token::Symbol(')') => drop(is_said.pop()),
            Token::Word(_, false) if is_verb(token) => {
                let Some(is_said) = is_said.last_mut() else {
                    break;
                };
                if !mem::replace(is_said, true) && (token.is("insert") || token.is("merge")) {
                    found.push(at);
                }
            }
            _ => {}
        }
    }
    found
}

/// A sequence by its name alone, and not by a text that may name another schema.
fn names_own_sequence(after: &[Token<'_>]) -> bool {
    matches!(after, [Token::Symbol('('), Token::Text(name), Token::Symbol(')'), ..]
        if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}

/// Schemas in which the library keeps what is not the statement's own tenant's.
fn is_ours(name: &str) -> bool {
    matches!(
        name,
        "tenantry" | "tenant_rows" | "central" | "public" | "information_schema"
    ) || name
        .strip_prefix("t_")
        .is_some_and(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn first_words(sql: &str) -> String {
    sql.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::vet;
    use crate::db::DbError;

    #[test]
    fn ordinary_statements_pass() {
        for sql in [
            "SELECT id FROM products WHERE name LIKE '%set_config(%' -- set_config(",
            "(SELECT 1) UNION (SELECT 2);",
            "WITH a AS (INSERT INTO b VALUES (1) RETURNING *) SELECT a.x, t.y FROM a, t",
            "INSERT INTO public_holidays (central) VALUES ($1)",
            "SELECT u & 3, pg_typeof(a), nextval('numbers') FROM b /* ' */",
            "MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE",
            "SELECT pg_catalog.upper(a) FROM b WHERE c = 'SELECT INTO pg_stats'",
            "SELECT a.to_region, (a.b).upper, pg_catalog.nextval('numbers') FROM a",
            "WITH a AS MATERIALIZED (SELECT (1)) INSERT INTO b SELECT * FROM a",
        ] {
            vet(sql).expect(sql);
        }
    }

    #[test]
    fn what_could_leave_the_scope_does_not() {
        for sql in [
            "SET LOCAL tenantry.tenant = 'x'",
            "RESET ROLE",
            "BEGIN",
            "COMMIT",
            "DO $$ BEGIN END $$",
            "SELECT set_config('tenantry.tenant', $1, true)",
            "SELECT pg_catalog.\"set_config\"('a', 'b', true)",
            "SELECT U&\"set\\005fconfig\"('a', 'b', true)",
            "SELECT * FROM t_0123456789abcdef0123456789abcdef.products",
            "SELECT * FROM \"t_0123456789abcdef0123456789abcdef\" . products",
            "SELECT * FROM tenantry.tenantry_tenants",
            "SELECT * FROM central.x",
            "SELECT most_common_vals FROM pg_stats",
            "COPY products TO STDOUT",
            "TRUNCATE products",
            "CREATE TEMP TABLE products (a int)",
            "LISTEN tenantry",
            "EXECUTE x",
            "LOCK products",
            "SELECT pg_advisory_lock (1)",
            "SELECT pg_try_advisory_xact_lock(1)",
            "SELECT set_config\x0c('a', 'b', true)",
            "SELECT set_config/**/--\r('a', 'b', true)",
            "SELECT * INTO TEMP a FROM b",
            "WITH a AS (SELECT 1) SELECT * INTO b FROM a",
            "EXPLAIN ANALYZE SELECT 1",
            "SELECT ts_rewrite('a', 'SELECT …')",
            "SELECT 16400::regclass",
            "SELECT textin(regclassout(16400::oid))",
            "SELECT $😀$ ' $😀$, set_config('a', 'b', true)",
            "SELECT 1 #-- '\n 1, set_config('a', 'b', true)",
            "SELECT nextval('t_0123456789abcdef0123456789abcdef.n')",
            "SELECT nextval($1)",
            "SELECT nextval('a' || 'b')",
            "SELECT nspname FROM pg_namespace",
            "SELECT lastval()",
            "SELECT * FROM information_schema.tables",
            "SELECT * FROM pg_stat_get_activity(NULL)",
            "SELECT setseed(0.5)",
            "SELECT E''\n'\\'', set_config($1, $2, true), 'x' --'",
            "SELECT ($1::text).ts_stat",
            "SELECT $1.ts_stat",
            "SELECT (a)[1] . \"ts_stat\" FROM b",
            "SELECT a.b.ts_stat FROM a",
            "SELECT (16400::oid).lo_get",
            "SELECT ('numbers'::text).nextval",
            "SELECT ('x').dblink_exec",
            "SELECT ('a'::text).to_regclass",
            "SELECT 16400::regconfig",
            "SELECT oidvectortypes('16400'::oidvector)",
            "SELECT a AS insert INTO TEMP b FROM c",
            "SELECT a AS \"insert\" INTO TEMP b FROM c",
            "SELECT (a) merge INTO TEMP b FROM c",
            "WITH x AS (SELECT 1) SELECT (a) insert INTO TEMP b FROM c",
            "WITH insert AS (SELECT 1) SELECT (a) insert INTO TEMP b FROM c",
        ] {
            assert!(matches!(vet(sql), Err(DbError::Denied(_))), "{sql}");
        }
        for sql in ["SELECT 1; SELECT 2", "\"select\" 1", "+1", ""] {
            assert!(matches!(vet(sql), Err(DbError::Statement(_))), "{sql}");
        }
    }
}
