//! What an application says of its settings, and how one group of them is read and changed.

use std::{any::TypeId, collections::BTreeMap, fmt, marker::PhantomData, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{
    FieldErrors, Secret, SettingsError,
    error::one,
    secret::{MARK, is_mark},
};

/// The fields of a group of settings, as JSON.
pub type Fields = Map<String, Value>;

/// What a sealed secret is kept as: the only field of an object.
pub(crate) const SEALED: &str = "$sealed";

/// A group of settings that each tenant has: a struct whose [`Default`] holds where a tenant has said
/// nothing else.
///
/// What is kept of a tenant is what was said, by field: a default that changes with the program
/// changes for everybody else. Fields that a program does not know stay as they are, so that it
/// runs beside the next one. What is kept and cannot be read, or does not
/// [validate](Self::validate) any more, is an error and never a default.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use tenantry::scoped::settings::{FieldErrors, Secret, Settings};
///
/// #[derive(Serialize, Deserialize)]
/// struct Shipping {
///     days: u8,
///     token: Option<Secret>,
/// }
///
/// impl Default for Shipping {
///     fn default() -> Self {
///         Self { days: 3, token: None }
///     }
/// }
///
/// impl Settings for Shipping {
///     const NAME: &'static str = "shipping";
///
///     fn secrets(&self) -> Vec<(&'static str, Option<&Secret>)> {
///         vec![("token", self.token.as_ref())]
///     }
///
///     fn validate(&self) -> Result<(), FieldErrors> {
///         match self.days {
///             0 => Err([("days".into(), vec!["must be 1 or more".into()])].into()),
///             _ => Ok(()),
///         }
///     }
/// }
/// ```
pub trait Settings: Serialize + DeserializeOwned + Default + Send + Sync + 'static {
    /// What they are called: small letters, digits and hyphens.
    const NAME: &'static str;

    /// The fields that are secrets, each an `Option<Secret>` of the struct itself. A secret elsewhere
    /// is refused when it is written.
    fn secrets(&self) -> Vec<(&'static str, Option<&Secret>)> {
        Vec::new()
    }

    /// Whether they can be that, all together.
    ///
    /// # Errors
    /// What is wrong, by field.
    fn validate(&self) -> Result<(), FieldErrors> {
        Ok(())
    }
}

/// Settings whatever their type.
pub(crate) trait Group: Send + Sync {
    fn name(&self) -> &'static str;
    fn type_id(&self) -> TypeId;
    fn secrets(&self) -> Vec<&'static str>;
    /// All fields, with what is kept in place of the defaults.
    fn fields(&self, kept: &Opened) -> Result<Fields, FieldErrors>;
    fn defaults(&self) -> Fields;
    fn patched(&self, kept: Opened, patch: Fields) -> Result<Draft, SettingsError>;
}

pub(crate) struct Typed<T>(PhantomData<fn() -> T>);

/// What an application has registered.
#[derive(Clone, Default)]
pub(crate) struct Groups(BTreeMap<&'static str, Arc<dyn Group>>);

/// What is kept, as it is and with its secrets opened.
#[derive(Default)]
pub(crate) struct Opened {
    pub(super) kept: Fields,
    pub(super) clear: BTreeMap<String, Secret>,
}

/// What is to be kept, and the secrets that are to be sealed into it.
pub(crate) struct Draft {
    pub(super) fields: Fields,
    pub(super) secrets: Vec<(&'static str, Secret)>,
}

impl Groups {
    /// # Panics
    /// When another type has the name, or the name is none.
    pub(crate) fn add<T: Settings>(&mut self) {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(
            T::NAME.starts_with(|c: char| c.is_ascii_lowercase())
                && T::NAME.chars().all(is_plain)
                && T::NAME.len() <= 63,
            "{:?} is no name of settings: small letters, digits and hyphens",
            T::NAME
        );
        let group = Typed::<T>(PhantomData);
        let before = self.0.insert(T::NAME, Arc::new(group));
        assert!(
            before.is_none_or(|before| (*before).type_id() == TypeId::of::<T>()),
            "two types of settings are called {}",
            T::NAME
        );
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<dyn Group>> {
        self.0.values()
    }

    pub(super) fn get(&self, name: &str) -> Result<&Arc<dyn Group>, SettingsError> {
        let found = self.0.get(name);
        found.ok_or_else(|| SettingsError::NoGroup(name.to_owned()))
    }

    pub(super) fn require<T: Settings>(&self) -> Result<(), SettingsError> {
        match (**self.get(T::NAME)?).type_id() == TypeId::of::<T>() {
            true => Ok(()),
            false => Err(SettingsError::NoGroup(T::NAME.into())),
        }
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl<T: Settings> Group for Typed<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn type_id(&self) -> TypeId {
        TypeId::of::<T>()
    }

    fn secrets(&self) -> Vec<&'static str> {
        names_of(&T::default())
    }

    fn fields(&self, kept: &Opened) -> Result<Fields, FieldErrors> {
        Ok(object(&read::<T>(kept)?))
    }

    fn defaults(&self) -> Fields {
        object(&T::default())
    }

    fn patched(&self, kept: Opened, patch: Fields) -> Result<Draft, SettingsError> {
        patched::<T>(kept, patch)
    }
}

fn names_of<T: Settings>(value: &T) -> Vec<&'static str> {
    value.secrets().into_iter().map(|(name, _)| name).collect()
}

/// Never fails but for a type that is no struct, or has keys that are no texts.
fn object<T: Settings>(value: &T) -> Fields {
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => fields,
        _ => {
            tracing::error!(group = T::NAME, "settings must be a struct");
            Fields::new()
        }
    }
}

/// What is kept, over the defaults.
pub(super) fn read<T: Settings>(opened: &Opened) -> Result<T, FieldErrors> {
    let value: T = parse(opened)?;
    value.validate()?;
    Ok(value)
}

/// What serde says of a field that cannot be read has the value in it, which of a secret is not to
/// be said.
fn parse<T: Settings>(opened: &Opened) -> Result<T, FieldErrors> {
    let default = T::default();
    let mut fields = object(&default);
    for (field, value) in &opened.kept {
        if !is_sealed(value) {
            fields.insert(field.clone(), value.clone());
        }
    }
    for (field, secret) in &opened.clear {
        fields.insert(field.clone(), secret.expose().into());
    }
    let secrets = names_of(&default);
    let is_secret = |field: &str| secrets.contains(&field) || opened.clear.contains_key(field);
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
        let path = error.path().to_string();
        let field = path.split(['.', '[']).next().unwrap_or_default();
        let is_said = !is_secret(field) && (!field.is_empty() || opened.clear.is_empty());
        match is_said {
            true => one(path.trim_matches('.'), error.into_inner().to_string()),
            false => one(field, "is not what it must be"),
        }
    })
}

/// What is to be kept when `after` takes the place of `before`, by field: what is the same stays as
/// it is kept, so that a default stays one.
pub(super) fn replaced<T: Settings>(
    kept: Fields,
    before: &T,
    after: &T,
) -> Result<Draft, SettingsError> {
    after.validate().map_err(SettingsError::Invalid)?;
    let (was, is) = (object(before), object(after));
    let mut fields = kept;
    let mut secrets = Vec::new();
    let old: BTreeMap<_, _> = before.secrets().into_iter().collect();
    let names = names_of(after);
    for (name, secret) in after.secrets() {
        match secret {
            Some(secret) if old.get(name).copied().flatten() != Some(secret) => {
                secrets.push((name, secret.clone()));
            }
            Some(_) => {}
            None => drop(fields.remove(name)),
        }
    }
    for (field, value) in &is {
        if !names.contains(&field.as_str()) && was.get(field) != Some(value) {
            fields.insert(field.clone(), value.clone());
        }
    }
    // a field that is left out where it is empty
    for field in was.keys().filter(|field| !is.contains_key(*field)) {
        fields.remove(field);
    }
    no_mark::<T>(&fields)?;
    Ok(Draft { fields, secrets })
}

/// What is to be kept when a document is merged into it
/// ([RFC 7396](https://www.rfc-editor.org/rfc/rfc7396)): `null` takes a field back to its default.
fn patched<T: Settings>(opened: Opened, mut patch: Fields) -> Result<Draft, SettingsError> {
    // what was shown of a secret, sent back as it was
    patch.retain(|_, value| !is_mark(value));
    for (field, value) in &patch {
        if has_mark(value) {
            return Err(SettingsError::field(field, "has a field that is reserved"));
        }
    }
    let known = object(&T::default());
    let names = names_of(&T::default());
    let Opened { kept, clear } = opened;
    let mut merged = kept.clone();
    for (field, value) in &patch {
        match value {
            Value::Null => drop(merged.remove(field)),
            value if names.contains(&field.as_str()) => {
                drop(merged.insert(field.clone(), value.clone()));
            }
            value => merge(merged.entry(field).or_insert(Value::Null), value),
        }
    }
    let untouched = |(field, _): &(String, Secret)| !patch.contains_key(field);
    let clear = clear.into_iter().filter(untouched).collect();
    let merged = Opened {
        kept: merged,
        clear,
    };
    let value: T = parse(&merged).map_err(SettingsError::Invalid)?;
    value.validate().map_err(SettingsError::Invalid)?;
    let is = object(&value);
    let mut fields = kept;
    let mut secrets = Vec::new();
    let held: BTreeMap<_, _> = value.secrets().into_iter().collect();
    for (field, said) in patch {
        let name = names.iter().find(|name| **name == field);
        let is_known = name.is_some() || known.contains_key(&field) || is.contains_key(&field);
        let is_left = said.is_null() && fields.contains_key(&field);
        if !is_known && !is_left {
            return Err(SettingsError::NoField {
                group: T::NAME,
                field,
            });
        }
        fields.remove(&field);
        match (name, said, is.get(&field)) {
            (_, Value::Null, _) | (None, _, None) => {}
            (Some(name), ..) => {
                let secret = held.get(name).copied().flatten();
                secrets.extend(secret.map(|secret| (*name, secret.clone())));
            }
            (None, _, Some(value)) => drop(fields.insert(field, value.clone())),
        }
    }
    no_mark::<T>(&fields)?;
    Ok(Draft { fields, secrets })
}

fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (field, value) in patch {
                match value {
                    Value::Null => drop(into.remove(field)),
                    value => merge(into.entry(field).or_insert(Value::Null), value),
                }
            }
        }
        (into, Value::Object(patch)) => {
            *into = Value::Object(Fields::new());
            merge(into, &Value::Object(patch.clone()));
        }
        (into, other) => *into = other.clone(),
    }
}

/// What could be taken for a secret, kept or shown, is none of an application's fields: so a secret
/// that is not [named](Settings::secrets) is never kept in clear, nor lost.
fn no_mark<T: Settings>(fields: &Fields) -> Result<(), SettingsError> {
    let is_bad = |value: &Value| !is_sealed(value) && has_mark(value);
    match fields.iter().find(|(_, value)| is_bad(value)) {
        None => Ok(()),
        Some((field, _)) => Err(SettingsError::Unnamed {
            group: T::NAME,
            field: field.clone(),
        }),
    }
}

fn has_mark(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| name == MARK || name == SEALED || has_mark(value)),
        Value::Array(values) => values.iter().any(has_mark),
        _ => false,
    }
}

/// The sealed text, where it is one.
pub(crate) fn sealed(value: &Value) -> Option<&str> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    fields.get(SEALED)?.as_str()
}

fn is_sealed(value: &Value) -> bool {
    sealed(value).is_some()
}
