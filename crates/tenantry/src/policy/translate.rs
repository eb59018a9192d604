//! From policies to what a database can be asked.
//!
//! A policy's condition is cut where it begins to speak of the object itself. What does not is a
//! *fact*, which Cedar decides for each request; what does becomes SQL. Nothing is evaluated here:
//! whatever is not understood is refused when the application starts.

use cedar_policy::{Effect, EntityId, EntityUid, Policy, PolicyId, PolicySet};
use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{Actions, Kind, PolicyError, Shape};
use crate::db::Value;

/// What the policies of one action say of objects of one type.
pub(crate) struct Template {
    /// Each permits when its fact holds.
    pub(super) facts: PolicySet,
    pub(super) permits: Vec<Condition>,
    pub(super) forbids: Vec<Condition>,
}

/// When a policy applies.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    /// Where Cedar says so.
    Fact(usize),
    /// Where the object's column says so.
    Column(Column),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) test: Test,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Test {
    IsSet,
    /// An operator of SQL, and the kind of the column.
    Compared(&'static str, Kind, Operand),
    Among(Kind, Vec<Operand>),
    /// A pattern of SQL's.
    Like(String),
}

/// What a column is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Literal(Value),
    Entity(String, String),
    Principal,
    PrincipalEmail,
    Now,
    Impersonated,
    Tenant,
    TenantCode,
    TenantPlan,
}

const TRUE: Condition = Condition::All(Vec::new());
const FALSE: Condition = Condition::Any(Vec::new());

/// Why it cannot be done.
type Reason = String;

impl Template {
    pub(super) fn new(
        actions: &Actions,
        set: &PolicySet,
        shape: &Shape,
    ) -> Result<Self, PolicyError> {
        let read = actions.get(shape.read);
        let covers = |group: &Json| {
            let (kind, id) = entity_of(group)?;
            let group = EntityUid::from_type_name_and_id(kind.parse().ok()?, EntityId::new(id));
            Some(read?.is_in(&group))
        };
        let mut translator = Translator {
            shape,
            facts: Vec::new(),
            left: 0,
        };
        let (mut permits, mut forbids) = (Vec::new(), Vec::new());
        for policy in set.policies() {
            let untranslatable = |reason: Reason| PolicyError::Untranslatable {
                policy: policy.id().to_string(),
                reason,
            };
            let source = policy
                .to_json()
                .map_err(|error| untranslatable(error.to_string()))?;
            let action = &source["action"];
            let covered = match action["op"].as_str() {
                Some("All") => Some(true),
                Some("==" | "in") if action["entity"].is_object() => covers(&action["entity"]),
                Some("in") => action["entities"]
                    .as_array()
                    .map(|entities| entities.iter().any(|entity| covers(entity).unwrap_or(true))),
                _ => None,
            };
            if !covered.ok_or_else(|| untranslatable("its action is not understood".into()))? {
                continue;
            }
            translator.left = MOST_CONDITIONS;
            let condition = translator.policy(&source).map_err(untranslatable)?;
            match policy.effect() {
                Effect::Permit => permits.push(condition),
                Effect::Forbid => forbids.push(condition),
            }
        }
        let mut facts = PolicySet::new();
        for (number, source) in translator.facts.into_iter().enumerate() {
            let unreadable = |error: String| PolicyError::Untranslatable {
                policy: source.to_string(),
                reason: error,
            };
            let policy = Policy::from_json(Some(fact_id(number)), source.clone())
                .map_err(|error| unreadable(error.to_string()))?;
            facts
                .add(policy)
                .map_err(|error| unreadable(error.to_string()))?;
        }
        Ok(Self {
            facts,
            permits,
            forbids,
        })
    }
}

pub(super) fn fact_id(number: usize) -> PolicyId {
    PolicyId::new(number.to_string())
}

/// How many conditions one policy may become. An `if` in the test of an `if` says its own twice.
const MOST_CONDITIONS: usize = 10_000;

struct Translator<'s> {
    shape: &'s Shape,
    facts: Vec<Json>,
    /// How many conditions may still be made.
    left: usize,
}

impl Translator<'_> {
    fn policy(&mut self, source: &Json) -> Result<Condition, Reason> {
        let mut parts = vec![self.resource(&source["resource"])?];
        if parts[0] == FALSE {
            return Ok(FALSE);
        }
        if source["principal"]["op"] != "All" {
            let scope = self.fact_in(&source["principal"], json!({ "Value": true }));
            parts.push(scope);
        }
        for clause in source["conditions"].as_array().into_iter().flatten() {
            let condition = self.condition(&clause["body"])?;
            parts.push(match clause["kind"].as_str() {
                Some("when") => condition,
                Some("unless") => not(condition),
                _ => return Err("a clause is neither `when` nor `unless`".into()),
            });
            if parts.contains(&FALSE) {
                return Ok(FALSE);
            }
        }
        Ok(all(parts))
    }

    /// What stands for the resource in a policy's head.
    fn resource(&mut self, scope: &Json) -> Result<Condition, Reason> {
        let within = |this: &mut Self, entity: &Json| {
            let (kind, id) = entity_of(entity).ok_or("its resource is not understood")?;
            if kind == this.shape.name {
                return is_id(kind, id);
            }
            let within = json!({ "in": { "left": { "Var": "resource" },
                "right": { "Value": { "__entity": entity } } } });
            Ok::<_, Reason>(this.fact(&within))
        };
        match scope["op"].as_str() {
            Some("All") => Ok(TRUE),
            Some("==") => match entity_of(&scope["entity"]) {
                Some((kind, id)) if kind == self.shape.name => is_id(kind, id),
                Some(_) => Ok(FALSE),
                None => Err("its resource is not understood".into()),
            },
            Some("in") => within(self, &scope["entity"]),
            Some("is") if scope["entity_type"] != self.shape.name => Ok(FALSE),
            Some("is") => match scope.get("in") {
                None => Ok(TRUE),
                Some(group) => within(self, &group["entity"]),
            },
            _ => Err("its resource is not understood".into()),
        }
    }

    fn fact(&mut self, body: &Json) -> Condition {
        match &body["Value"] {
            Json::Bool(true) => TRUE,
            Json::Bool(false) => FALSE,
            _ => self.fact_in(&json!({ "op": "All" }), body.clone()),
        }
    }

    fn fact_in(&mut self, principal: &Json, body: Json) -> Condition {
        let source = json!({
            "effect": "permit",
            "principal": principal,
            "action": { "op": "All" },
            "resource": { "op": "All" },
            "conditions": [{ "kind": "when", "body": body }],
        });
        let known = self.facts.iter().position(|fact| *fact == source);
        Condition::Fact(known.unwrap_or_else(|| {
            self.facts.push(source);
            self.facts.len() - 1
        }))
    }

    fn take(&mut self, conditions: usize) -> Result<(), Reason> {
        let left = self.left.checked_sub(conditions);
        self.left = left.ok_or("it is too large")?;
        Ok(())
    }

    fn condition(&mut self, expr: &Json) -> Result<Condition, Reason> {
        self.take(1)?;
        if !self.is_about_object(expr) {
            return Ok(self.fact(expr));
        }
        let (op, given) = operation(expr)?;
        let both = || (&given["left"], &given["right"]);
        Ok(match op {
            "&&" => {
                let (left, right) = both();
                let left = self.condition(left)?;
                if left == FALSE {
                    return Ok(FALSE);
                }
                all(vec![left, self.condition(right)?])
            }
            "||" => {
                let (left, right) = both();
                let left = self.condition(left)?;
                if left == TRUE {
                    return Ok(TRUE);
                }
                Condition::Any(vec![left, self.condition(right)?])
            }
            "!" => not(self.condition(&given["arg"])?),
            "if-then-else" => {
                let test = self.condition(&given["if"])?;
                let (then, otherwise) = (&given["then"], &given["else"]);
                match &test {
                    test if *test == TRUE => self.condition(then)?,
                    test if *test == FALSE => self.condition(otherwise)?,
                    _ => {
                        self.take(size(&test))?;
                        Condition::Any(vec![
                            all(vec![test.clone(), self.condition(then)?]),
                            all(vec![not(test), self.condition(otherwise)?]),
                        ])
                    }
                }
            }
            "is" if is_resource(&given["left"]) => self.resource(&json!({
                "op": "is",
                "entity_type": given["entity_type"],
            }))?,
            "has" if is_resource(&given["left"]) => {
                let (name, _) = self.column(given["attr"].as_str())?;
                column(name, Test::IsSet)
            }
            "like" => {
                let (name, _) = self.attribute(&given["left"])?;
                column(name, Test::Like(like(&given["pattern"])?))
            }
            "in" if is_resource(&given["left"]) => self.within(&given["right"])?,
            "contains" => {
                let (name, kind) = self.attribute(&given["right"])?;
                let items = given["left"]["Set"].as_array();
                let items = items.ok_or("only a set that is written out can be asked")?;
                let items = items.iter().map(operand).collect::<Result<_, _>>()?;
                column(name, Test::Among(kind, items))
            }
            "==" | "!=" | "<" | "<=" | ">" | ">=" => {
                let (left, right) = both();
                self.comparison(op, left, right)?
            }
            "lessThan" | "lessThanOrEqual" | "greaterThan" | "greaterThanOrEqual" => {
                let op = match op {
                    "lessThan" => "<",
                    "lessThanOrEqual" => "<=",
                    "greaterThan" => ">",
                    _ => ">=",
                };
                self.comparison(op, &given[0], &given[1])?
            }
            "." => {
                let (name, kind) = self.attribute(expr)?;
                let is_true = Operand::Literal(Value::Bool(true));
                column(name, Test::Compared("=", kind, is_true))
            }
            other => return Err(format!("`{other}` of the object cannot be asked")),
        })
    }

    fn comparison(&self, op: &str, left: &Json, right: &Json) -> Result<Condition, Reason> {
        let equal = op == "==" || op == "!=";
        if equal && (is_resource(left) || is_resource(right)) {
            let other = if is_resource(left) { right } else { left };
            let (kind, id) = entity_of(&other["Value"]["__entity"])
                .ok_or("the object is compared with what is not written out")?;
            let same = if kind == self.shape.name {
                is_id(kind, id)?
            } else {
                FALSE
            };
            return Ok(if op == "==" { same } else { not(same) });
        }
        let (attribute, other, op) = match self.attribute(left) {
            Ok(attribute) => (attribute, right, op),
            Err(_) => (self.attribute(right)?, left, flipped(op)),
        };
        let (name, kind) = attribute;
        let op = match op {
            "==" => "=",
            "!=" => "<>",
            "<" => "<",
            "<=" => "<=",
            ">" => ">",
            _ => ">=",
        };
        Ok(column(name, Test::Compared(op, kind, operand(other)?)))
    }

    /// What is in an object of the same type is that object itself.
    fn within(&mut self, group: &Json) -> Result<Condition, Reason> {
        let one = |this: &mut Self, item: &Json| {
            this.resource(&json!({ "op": "in", "entity": item["Value"]["__entity"] }))
        };
        if group["Value"].is_object() {
            return one(self, group);
        }
        let items = group["Set"].as_array();
        let items = items.ok_or("what it is in is not written out")?;
        let items = items.iter().map(|item| one(self, item));
        Ok(Condition::Any(items.collect::<Result<_, _>>()?))
    }

    fn attribute(&self, expr: &Json) -> Result<(&'static str, Kind), Reason> {
        let access = &expr["."];
        if !is_resource(&access["left"]) {
            return Err("only the object's own attributes can be asked".into());
        }
        self.column(access["attr"].as_str())
    }

    fn column(&self, attribute: Option<&str>) -> Result<(&'static str, Kind), Reason> {
        let attribute = attribute.unwrap_or_default();
        self.shape
            .columns
            .iter()
            .find(|(name, _, _)| *name == attribute)
            .map(|(_, column, kind)| (*column, *kind))
            .ok_or_else(|| format!("the attribute {attribute:?} is no column"))
    }

    /// Whether it depends on which object it is. Its parent it does not depend on, as a list is
    /// always of one parent's.
    fn is_about_object(&self, expr: &Json) -> bool {
        let is_parent = |access: &Json| {
            is_resource(&access["left"]) && access["attr"].as_str() == self.shape.parent
        };
        match expr {
            Json::Array(items) => items.iter().any(|item| self.is_about_object(item)),
            Json::Object(map) => map.iter().any(|(key, given)| match key.as_str() {
                "Value" => false,
                "Var" => given == "resource",
                "." | "has" if is_parent(given) => false,
                "in" if is_resource(&given["left"]) => {
                    self.is_about_object(&given["right"]) || self.names_type(&given["right"])
                }
                _ => self.is_about_object(given),
            }),
            _ => false,
        }
    }

    /// Whether an object of this type is written out in it.
    fn names_type(&self, expr: &Json) -> bool {
        match expr {
            Json::Array(items) => items.iter().any(|item| self.names_type(item)),
            Json::Object(map) => map.iter().any(|(key, given)| match key.as_str() {
                "__entity" => given["type"] == self.shape.name,
                _ => self.names_type(given),
            }),
            _ => false,
        }
    }
}

fn operation(expr: &Json) -> Result<(&str, &Json), Reason> {
    let map = expr.as_object().filter(|map| map.len() == 1);
    let first = map.and_then(|map| map.iter().next());
    let (op, given) = first.ok_or("an expression is not understood")?;
    Ok((op, given))
}

fn is_resource(expr: &Json) -> bool {
    expr["Var"] == "resource"
}

fn entity_of(entity: &Json) -> Option<(&str, &str)> {
    Some((entity["type"].as_str()?, entity["id"].as_str()?))
}

fn is_id(kind: &str, id: &str) -> Result<Condition, Reason> {
    let id: Uuid = id
        .parse()
        .map_err(|_| format!("{kind}::{id:?} is no UUID"))?;
    let same = Operand::Literal(Value::Uuid(id));
    Ok(column("id", Test::Compared("=", Kind::Text, same)))
}

fn column(name: &'static str, test: Test) -> Condition {
    Condition::Column(Column { name, test })
}

fn size(condition: &Condition) -> usize {
    match condition {
        Condition::Fact(_) | Condition::Column(_) => 1,
        Condition::Not(inner) => 1 + size(inner),
        Condition::All(parts) | Condition::Any(parts) => 1 + parts.iter().map(size).sum::<usize>(),
    }
}

fn not(condition: Condition) -> Condition {
    match condition {
        Condition::Not(inner) => *inner,
        other if other == TRUE => FALSE,
        other if other == FALSE => TRUE,
        other => Condition::Not(Box::new(other)),
    }
}

fn all(parts: Vec<Condition>) -> Condition {
    let mut parts: Vec<_> = parts.into_iter().filter(|part| *part != TRUE).collect();
    match parts.len() {
        1 => parts.remove(0),
        _ => Condition::All(parts),
    }
}

fn flipped(op: &str) -> &str {
    match op {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        other => other,
    }
}

fn operand(expr: &Json) -> Result<Operand, Reason> {
    let unknown = || format!("a column cannot be compared with `{expr}`");
    let (op, given) = operation(expr)?;
    let attribute = given["attr"].as_str();
    Ok(match op {
        "Value" => match given {
            Json::String(text) => Operand::Literal(Value::Text(text.clone())),
            Json::Bool(truth) => Operand::Literal(Value::Bool(*truth)),
            Json::Number(number) => {
                Operand::Literal(Value::I64(number.as_i64().ok_or_else(unknown)?))
            }
            other => {
                let (kind, id) = entity_of(&other["__entity"]).ok_or_else(unknown)?;
                Operand::Entity(kind.into(), id.into())
            }
        },
        "decimal" => {
            let text = given[0]["Value"].as_str().ok_or_else(unknown)?;
            Operand::Literal(Value::Decimal(text.parse().map_err(|_| unknown())?))
        }
        "datetime" => {
            let text = given[0]["Value"].as_str().ok_or_else(unknown)?;
            Operand::Literal(Value::DateTime(time(text).ok_or_else(unknown)?))
        }
        "Var" if given == "principal" => Operand::Principal,
        "." if given["left"]["Var"] == "principal" && attribute == Some("email") => {
            Operand::PrincipalEmail
        }
        "." if given["left"]["Var"] == "context" => match attribute {
            Some("now") => Operand::Now,
            Some("impersonated") => Operand::Impersonated,
            Some("tenant") => Operand::Tenant,
            _ => return Err(unknown()),
        },
        "." if operand(&given["left"]) == Ok(Operand::Tenant) => match attribute {
            Some("code") => Operand::TenantCode,
            Some("plan") => Operand::TenantPlan,
            _ => return Err(unknown()),
        },
        _ => return Err(unknown()),
    })
}

/// A point in time as [Cedar writes it](https://docs.cedarpolicy.com/policies/syntax-datatypes.html#datatype-datetime).
pub(super) fn time(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Some(date.and_hms_opt(0, 0, 0)?.and_utc());
    }
    DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z")
        .or_else(|_| DateTime::parse_from_rfc3339(text))
        .ok()
        .map(|time| time.to_utc())
}

fn like(pattern: &Json) -> Result<String, Reason> {
    let mut sql = String::new();
    for part in pattern.as_array().ok_or("a pattern is not understood")? {
        match part {
            Json::String(wildcard) if wildcard == "Wildcard" => sql.push('%'),
            other => {
                let text = other["Literal"].as_str();
                for c in text.ok_or("a pattern is not understood")?.chars() {
                    if ['\\', '%', '_'].contains(&c) {
                        sql.push('\\');
                    }
                    sql.push(c);
                }
            }
        }
    }
    Ok(sql)
}
