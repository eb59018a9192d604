use super::{
    Kind,
    translate::{Column, Condition, Operand, Test},
};
use crate::db::Value;

/// Which objects somebody may look at, as a condition of SQL.
///
/// ```
/// # use tenantry::{db::{DbError, TenantDb}, policy::Filter};
/// async fn count(db: &TenantDb, readable: &Filter) -> Result<i64, DbError> {
///     let mut values = Vec::new();
///     let condition = readable.write(&mut values);
///     let sql = format!("SELECT count(*) FROM products WHERE {condition}");
///     values.into_iter().fold(db.query(&sql), |query, value| query.bind(value)).scalar().await
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Sql);

#[derive(Debug, Clone, PartialEq)]
enum Sql {
    Everything,
    Nothing,
    /// Text with a place for each value.
    Test {
        column: &'static str,
        before: &'static str,
        values: Vec<Value>,
        after: &'static str,
    },
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

/// What operands stand for in one request.
pub(super) trait Known {
    fn fact(&self, number: usize) -> bool;
    /// The value, of that kind; `None` where nothing of the kind can be equal to it.
    fn value(&self, kind: Kind, operand: &Operand) -> Option<Value>;
}

impl Filter {
    /// What some permit and none forbids.
    pub(super) fn new(permits: &[Condition], forbids: &[Condition], known: &impl Known) -> Self {
        let of =
            |conditions: &[Condition]| any(conditions.iter().map(|one| sql(one, known)).collect());
        let forbidden = of(forbids);
        Self(all(vec![of(permits), not(forbidden)]))
    }

    /// Whether it lets every object through.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0 == Sql::Everything
    }

    /// Whether it lets none through, whatever objects there are.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.0 == Sql::Nothing
    }

    /// The condition. What it is to be bound to is added to `values`, and numbered from there.
    #[must_use]
    pub fn write(&self, values: &mut Vec<Value>) -> String {
        write(&self.0, values)
    }
}

fn write(sql: &Sql, values: &mut Vec<Value>) -> String {
    match sql {
        Sql::Everything => "1 = 1".into(),
        Sql::Nothing => "1 = 0".into(),
        Sql::Test {
            column,
            before,
            values: own,
            after,
        } => {
            let places: Vec<_> = own
                .iter()
                .map(|value| {
                    values.push(value.clone());
                    format!("${}", values.len())
                })
                .collect();
            format!("{column} {before}{}{after}", places.join(", "))
        }
        Sql::Not(inner) => format!("NOT ({})", write(inner, values)),
        Sql::All(parts) => joined(parts, " AND ", values),
        Sql::Any(parts) => joined(parts, " OR ", values),
    }
}

fn joined(parts: &[Sql], by: &str, values: &mut Vec<Value>) -> String {
    let parts: Vec<_> = parts
        .iter()
        .map(|part| format!("({})", write(part, values)))
        .collect();
    parts.join(by)
}

fn sql(condition: &Condition, known: &impl Known) -> Sql {
    match condition {
        Condition::Fact(number) if known.fact(*number) => Sql::Everything,
        Condition::Fact(_) => Sql::Nothing,
        Condition::Column(column) => test(column, known),
        Condition::Not(inner) => not(sql(inner, known)),
        Condition::All(parts) => all(parts.iter().map(|part| sql(part, known)).collect()),
        Condition::Any(parts) => any(parts.iter().map(|part| sql(part, known)).collect()),
    }
}

fn test(column: &Column, known: &impl Known) -> Sql {
    let text = |before, values, after| Sql::Test {
        column: column.name,
        before,
        values,
        after,
    };
    match &column.test {
        Test::IsSet => text("IS NOT NULL", Vec::new(), ""),
        Test::Like(pattern) => text("LIKE ", vec![Value::from(pattern)], " ESCAPE '\\'"),
        Test::Compared(op, kind, operand) => match (known.value(*kind, operand), *op) {
            (Some(value), "=") => text("= ", vec![value], ""),
            (Some(value), "<>") => text("<> ", vec![value], ""),
            (Some(value), "<") => text("< ", vec![value], ""),
            (Some(value), "<=") => text("<= ", vec![value], ""),
            (Some(value), ">") => text("> ", vec![value], ""),
            (Some(value), _) => text(">= ", vec![value], ""),
            // of what is not there nothing is known: so it differs from nothing either
            (None, "<>") => text("IS NOT NULL", Vec::new(), ""),
            (None, _) => Sql::Nothing,
        },
        Test::Among(kind, operands) => {
            let values: Vec<_> = operands
                .iter()
                .filter_map(|operand| known.value(*kind, operand))
                .collect();
            if values.is_empty() {
                Sql::Nothing
            } else {
                text("IN (", values, ")")
            }
        }
    }
}

fn not(sql: Sql) -> Sql {
    match sql {
        Sql::Everything => Sql::Nothing,
        Sql::Nothing => Sql::Everything,
        Sql::Not(inner) => *inner,
        other => Sql::Not(Box::new(other)),
    }
}

fn all(parts: Vec<Sql>) -> Sql {
    if parts.contains(&Sql::Nothing) {
        return Sql::Nothing;
    }
    let mut parts: Vec<_> = parts
        .into_iter()
        .filter(|part| *part != Sql::Everything)
        .collect();
    match parts.len() {
        0 => Sql::Everything,
        1 => parts.remove(0),
        _ => Sql::All(parts),
    }
}

fn any(parts: Vec<Sql>) -> Sql {
    if parts.contains(&Sql::Everything) {
        return Sql::Everything;
    }
    let mut parts: Vec<_> = parts
        .into_iter()
        .filter(|part| *part != Sql::Nothing)
        .collect();
    match parts.len() {
        0 => Sql::Nothing,
        1 => parts.remove(0),
        _ => Sql::Any(parts),
    }
}
