use std::collections::{HashMap, HashSet};

use cedar_policy::{
    Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression, Schema,
};
use chrono::{DateTime, SecondsFormat, Utc};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::{PolicyError, Shape, said};
use crate::db::Value;

/// What policies can know of an object: an attribute, and the column that it is read from.
///
/// One declaration serves both the decision about one object and the condition of a list, so that
/// they cannot disagree. An attribute that is NULL is one that the object does not have; in the
/// schema it is optional then (`added_by?: User`).
#[derive(Debug)]
pub struct Attribute<O> {
    name: &'static str,
    column: &'static str,
    kind: Kind,
    get: fn(&O) -> Value,
}

/// What an attribute is in Cedar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Bool,
    Long,
    Decimal,
    Time,
    Entity(&'static str),
}

impl<O> Attribute<O> {
    const fn new(name: &'static str, kind: Kind, get: fn(&O) -> Value) -> Self {
        Self {
            name,
            column: name,
            kind,
            get,
        }
    }

    /// A `String`, of a column of texts.
    pub const fn text(name: &'static str, get: fn(&O) -> Value) -> Self {
        Self::new(name, Kind::Text, get)
    }

    /// A `Bool`, of a column of booleans.
    pub const fn boolean(name: &'static str, get: fn(&O) -> Value) -> Self {
        Self::new(name, Kind::Bool, get)
    }

    /// A `Long`, of a column of integers.
    pub const fn long(name: &'static str, get: fn(&O) -> Value) -> Self {
        Self::new(name, Kind::Long, get)
    }

    /// A `decimal`, of a column of decimals with at most four places, which is all that Cedar has.
    pub const fn decimal(name: &'static str, get: fn(&O) -> Value) -> Self {
        Self::new(name, Kind::Decimal, get)
    }

    /// A `datetime`, of a column of points in time. Cedar knows milliseconds: keep no more, or what
    /// is compared is the time cut to them in a decision, and the whole of it in a list.
    pub const fn time(name: &'static str, get: fn(&O) -> Value) -> Self {
        Self::new(name, Kind::Time, get)
    }

    /// Another entity of type `of`, of a column of UUIDs.
    pub const fn entity(name: &'static str, of: &'static str, get: fn(&O) -> Value) -> Self {
        Self::new(name, Kind::Entity(of), get)
    }

    /// The column, where it is not called as the attribute is.
    #[must_use]
    pub const fn column(mut self, column: &'static str) -> Self {
        self.column = column;
        self
    }

    pub(crate) fn described(&self) -> (&'static str, &'static str, Kind) {
        (self.name, self.column, self.kind)
    }
}

/// Why a value is no attribute: then nothing is permitted.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoAttribute(String);

impl<O> Attribute<O> {
    /// Adds it to what is known of the object.
    pub(crate) fn add(
        &self,
        object: &O,
        types: &EntityTypes,
        to: &mut HashMap<String, RestrictedExpression>,
    ) -> Result<(), NoAttribute> {
        let value = (self.get)(object);
        if value == Value::Null {
            return Ok(());
        }
        let expression = expression(self.kind, &value, types)
            .ok_or_else(|| NoAttribute(format!("{} cannot be {value:?}", self.name)))?;
        to.insert(self.name.to_owned(), expression);
        Ok(())
    }
}

fn expression(kind: Kind, value: &Value, types: &EntityTypes) -> Option<RestrictedExpression> {
    Some(match (kind, value) {
        (Kind::Text, Value::Text(text)) => RestrictedExpression::new_string(text.clone()),
        (Kind::Bool, Value::Bool(truth)) => RestrictedExpression::new_bool(*truth),
        (Kind::Long, Value::I64(number)) => RestrictedExpression::new_long(*number),
        (Kind::Long, Value::I32(number)) => RestrictedExpression::new_long((*number).into()),
        (Kind::Long, Value::I16(number)) => RestrictedExpression::new_long((*number).into()),
        (Kind::Decimal, Value::Decimal(number)) => decimal(*number)?,
        (Kind::Time, Value::DateTime(at)) => time(*at),
        (Kind::Entity(of), Value::Uuid(id)) => {
            RestrictedExpression::new_entity_uid(types.uid(of, &id.to_string())?)
        }
        _ => return None,
    })
}

/// As Cedar writes decimals: at least one place and at most four.
fn decimal(number: Decimal) -> Option<RestrictedExpression> {
    let mut number = number.normalize();
    if number.scale() > 4 {
        return None;
    }
    if number.scale() == 0 {
        number.rescale(1);
    }
    Some(RestrictedExpression::new_decimal(number.to_string()))
}

pub(super) fn time(at: DateTime<Utc>) -> RestrictedExpression {
    RestrictedExpression::new_datetime(at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// The schema's types of entities. To read a name takes longer than all else that a decision is made
/// of, so each is read once.
#[derive(Clone)]
pub(crate) struct EntityTypes(HashMap<String, EntityTypeName>);

impl EntityTypes {
    pub(super) fn new(schema: &Schema) -> Self {
        let types = schema.entity_types();
        Self(types.map(|name| (name.to_string(), name.clone())).collect())
    }

    pub(super) fn name(&self, of: &str) -> Option<&EntityTypeName> {
        self.0.get(of)
    }

    /// An entity of that type; none where the schema has no such type.
    pub(super) fn uid(&self, of: &str, id: &str) -> Option<EntityUid> {
        let name = self.name(of)?.clone();
        Some(EntityUid::from_type_name_and_id(name, EntityId::new(id)))
    }
}

/// Whether the schema has the type as it is declared here: shown by an object with every attribute.
pub(super) fn check(
    schema: &Schema,
    types: &EntityTypes,
    shape: &Shape,
) -> Result<(), PolicyError> {
    let mismatch = |what: String| {
        PolicyError::Mismatch(format!(
            "the schema's {} is not as the program has it: {what}",
            shape.name
        ))
    };
    let id = Uuid::nil();
    let mut attributes = HashMap::new();
    for (name, _, kind) in &shape.columns {
        let sample = match kind {
            Kind::Text => Value::Text(String::new()),
            Kind::Bool => Value::Bool(false),
            Kind::Long => Value::I64(0),
            Kind::Decimal => Value::Decimal(Decimal::ZERO),
            Kind::Time => Value::DateTime(DateTime::UNIX_EPOCH),
            Kind::Entity(_) => Value::Uuid(id),
        };
        let sample = expression(*kind, &sample, types);
        let sample = sample.ok_or_else(|| mismatch(format!("{name} is of no type")))?;
        attributes.insert((*name).to_owned(), sample);
    }
    let uid = |of: &str| {
        let uid = types.uid(of, &id.to_string());
        uid.ok_or_else(|| mismatch(format!("{of:?} is no type")))
    };
    if let (Some(name), Some(parent)) = (shape.parent, shape.ancestors.first()) {
        let parent = RestrictedExpression::new_entity_uid(uid(parent)?);
        attributes.insert(name.to_owned(), parent);
    }
    let mut parents = HashSet::from([uid("Tenant")?]);
    for ancestor in &shape.ancestors {
        parents.insert(uid(ancestor)?);
    }
    let sample = Entity::new(uid(shape.name)?, attributes, parents)
        .map_err(|error| mismatch(said(error)))?;
    Entities::from_entities([sample], Some(schema)).map_err(|error| mismatch(said(error)))?;
    Ok(())
}
