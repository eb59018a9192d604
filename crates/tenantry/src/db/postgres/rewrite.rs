//! What a plain single-tenant statement needs to be told differently where tenants share tables.
//!
//! Row-level security does the rest.

use std::borrow::Cow;

use super::{
    lex::{Token, tokens},
    scope::TENANT_COLUMN,
};

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
    use super::for_rows;

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
