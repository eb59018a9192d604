//! A tenant's settings: groups that an application registers ([`Config::settings`]), each a struct.
//!
//! They are in the catalog, by the tenant's id, and are answered from memory; every process has a
//! change within a second. Secrets in them are [sealed](Secret).
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use tenantry::{Config, Tenancy, Tenant, scoped::settings::Settings};
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Shipping {
//!     free_above: Option<u32>,
//! }
//!
//! impl Settings for Shipping {
//!     const NAME: &'static str = "shipping";
//! }
//!
//! # async fn example(acme: &Tenant) -> Result<(), Box<dyn std::error::Error>> {
//! let tenancy = Tenancy::open(Config::new("./data").settings::<Shipping>()).await?;
//! let settings = tenancy.settings(acme);
//! settings.change(|shipping: &mut Shipping| shipping.free_above = Some(50)).await?;
//! let shipping: Shipping = settings.get().await?;
//! # Ok(()) }
//! ```
//!
//! [`Config::settings`]: crate::Config::settings

mod error;
mod group;
mod keys;
mod rotate;
mod secret;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use uuid::Uuid;

pub use error::{FieldErrors, SettingsError};
pub use group::{Fields, Settings};
pub(crate) use group::{Groups, sealed};
pub(crate) use keys::Keys;
pub use keys::{Key, KeyError};
pub use rotate::{KeyUse, Rotated};
pub use secret::Secret;

use self::{
    group::{Draft, Opened, SEALED, read, replaced},
    keys::About,
};
use crate::{
    Tenancy,
    catalog::Kept,
    tenancy::Inner,
    tenant::{Tenant, TenantId},
};

/// How often a change is made anew because others were faster.
const TRIES: usize = 64;

/// How many bytes a group may have.
const MOST: usize = 64 * 1024;

/// The settings of one tenant.
#[derive(Clone)]
pub struct TenantSettings {
    tenancy: Tenancy,
    tenant: Tenant,
}

/// Which settings were read: those that nobody has written since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version(Option<Uuid>);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.unwrap_or_default().simple().fmt(f)
    }
}

/// A group of settings for people. Secrets are in none of it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Shown {
    /// What it is called.
    pub name: &'static str,
    /// Every field with what holds; a secret that is set is `{"$secret": true}`. What is kept as it
    /// is, where it cannot be read.
    pub fields: Fields,
    /// The fields that the tenant has said something of; the others are as they are by default.
    pub told: BTreeSet<String>,
    /// The fields that are secrets.
    pub secrets: Vec<&'static str>,
    /// Why it cannot be read, if it cannot.
    pub error: Option<String>,
}

impl TenantSettings {
    pub(crate) fn of(tenancy: &Tenancy, tenant: &Tenant) -> Self {
        Self {
            tenancy: tenancy.clone(),
            tenant: tenant.clone(),
        }
    }

    /// What holds.
    ///
    /// # Errors
    /// [`SettingsError::Broken`] when what is kept cannot be read or is not valid;
    /// [`SettingsError::Secret`] when a secret cannot be opened; [`SettingsError::NoGroup`] when `T`
    /// is not registered.
    pub async fn get<T: Settings>(&self) -> Result<T, SettingsError> {
        self.get_versioned().await.map(|(value, _)| value)
    }

    /// What holds, and which that is, for [`set_if`](Self::set_if).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn get_versioned<T: Settings>(&self) -> Result<(T, Version), SettingsError> {
        let inner = self.inner();
        inner.settings.require::<T>()?;
        let all = inner.catalog.settings(self.id()).await?;
        let kept = all.get(T::NAME);
        let value = self.value(kept)?;
        Ok((value, Version(kept.map(|kept| kept.version))))
    }

    /// Which settings hold, without reading them, and none where nothing was said: by which to keep what
    /// is made of them and takes long, together with the tenant's id. It never is one that it was
    /// before.
    ///
    /// # Errors
    /// When the catalog cannot be read; [`SettingsError::NoGroup`] when `T` is not registered.
    pub async fn version<T: Settings>(&self) -> Result<Option<Version>, SettingsError> {
        let inner = self.inner();
        inner.settings.require::<T>()?;
        let all = inner.catalog.settings(self.id()).await?;
        Ok(all.get(T::NAME).map(|kept| Version(Some(kept.version))))
    }

    /// Puts these in the place of what there is, whatever that is.
    ///
    /// # Errors
    /// [`SettingsError::Invalid`]; and when it cannot be written.
    pub async fn set<T: Settings>(&self, value: &T) -> Result<Version, SettingsError> {
        self.inner().settings.require::<T>()?;
        self.write(T::NAME, None, |kept| self.replacing(kept, value))
            .await
    }

    /// Puts these in the place of what was read, unless others have written since.
    ///
    /// # Errors
    /// [`SettingsError::Conflict`]; and as [`set`](Self::set).
    pub async fn set_if<T: Settings>(
        &self,
        value: &T,
        read: Version,
    ) -> Result<Version, SettingsError> {
        self.inner().settings.require::<T>()?;
        self.write(T::NAME, Some(read), |kept| self.replacing(kept, value))
            .await
    }

    /// Changes what there is. Of two who do so at once neither loses what it changed: `change` is
    /// called again, with what the other has written.
    ///
    /// # Errors
    /// As [`get`](Self::get) and [`set`](Self::set).
    pub async fn change<T: Settings>(
        &self,
        change: impl Fn(&mut T),
    ) -> Result<Version, SettingsError> {
        self.inner().settings.require::<T>()?;
        self.write(T::NAME, None, |kept| {
            let before: T = self.value(kept)?;
            let mut after: T = self.value(kept)?;
            change(&mut after);
            replaced(fields_of(kept), &before, &after)
        })
        .await
    }

    /// Merges a document into the group of that name
    /// ([RFC 7396](https://www.rfc-editor.org/rfc/rfc7396)): `null` takes a field back to its default,
    /// and what is shown in place of a secret leaves it as it is. It can mend what cannot be read.
    ///
    /// # Errors
    /// [`SettingsError::NoGroup`], [`SettingsError::NoField`], [`SettingsError::Invalid`]; and when it
    /// cannot be written.
    pub async fn patch(&self, group: &str, patch: Fields) -> Result<Version, SettingsError> {
        let typed = self.inner().settings.get(group)?;
        self.write(typed.name(), None, |kept| {
            let untouched = |field: &str| !patch.contains_key(field);
            let opened = self.open(typed.name(), kept, untouched)?;
            typed.patched(opened, patch.clone())
        })
        .await
    }

    /// Takes the whole group back to its defaults: whether anything was said of it.
    ///
    /// # Errors
    /// [`SettingsError::NoGroup`] when there is none of that name; and when it cannot be written.
    pub async fn reset(&self, group: &str) -> Result<bool, SettingsError> {
        let name = self.inner().settings.get(group)?.name();
        let catalog = &self.inner().catalog;
        let gone = catalog.store().remove_setting(self.id(), name).await?;
        catalog.forget_settings(self.id());
        Ok(gone)
    }

    /// All groups, for people.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn shown(&self) -> Result<Vec<Shown>, SettingsError> {
        let all = self.inner().catalog.settings(self.id()).await?;
        let shown = self.inner().settings.all().map(|group| {
            let kept = all.get(group.name());
            let opened = self.open(group.name(), kept, |_| true);
            let read = opened.and_then(|opened| {
                let fields = group.fields(&opened);
                fields.map_err(|errors| SettingsError::Broken {
                    group: group.name(),
                    errors,
                })
            });
            let (fields, error) = match read {
                Ok(fields) => (fields, None),
                Err(error) => (hidden(group.defaults(), kept), Some(error.to_string())),
            };
            Shown {
                name: group.name(),
                fields,
                told: fields_of(kept).keys().cloned().collect(),
                secrets: group.secrets(),
                error,
            }
        });
        Ok(shown.collect())
    }

    fn inner(&self) -> &Inner {
        &self.tenancy.0
    }

    fn id(&self) -> TenantId {
        self.tenant.id()
    }

    fn value<T: Settings>(&self, kept: Option<&Kept>) -> Result<T, SettingsError> {
        let opened = self.open(T::NAME, kept, |_| true)?;
        read(&opened).map_err(|errors| SettingsError::Broken {
            group: T::NAME,
            errors,
        })
    }

    fn replacing<T: Settings>(
        &self,
        kept: Option<&Kept>,
        after: &T,
    ) -> Result<Draft, SettingsError> {
        match self.value(kept) {
            Ok(before) => replaced(fields_of(kept), &before, after),
            // of what cannot be read nothing stays
            Err(SettingsError::Broken { .. } | SettingsError::Secret { .. }) => {
                replaced(Fields::new(), &T::default(), after)
            }
            Err(error) => Err(error),
        }
    }

    /// What is kept, with those of its secrets opened that are `wanted`.
    fn open(
        &self,
        group: &str,
        kept: Option<&Kept>,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Opened, SettingsError> {
        let kept = fields_of(kept);
        let mut clear = BTreeMap::new();
        for (field, value) in kept.iter().filter(|(field, _)| wanted(field)) {
            if let Some(text) = sealed(value) {
                let secret = open(self.inner(), self.id(), group, field, text)?;
                clear.insert(field.clone(), secret);
            }
        }
        Ok(Opened { kept, clear })
    }

    async fn write(
        &self,
        group: &'static str,
        only: Option<Version>,
        draft: impl Fn(Option<&Kept>) -> Result<Draft, SettingsError>,
    ) -> Result<Version, SettingsError> {
        let store = self.inner().catalog.store();
        for _ in 0..TRIES {
            let kept = store.setting(self.id(), group).await?;
            let seen = kept.as_ref().map(|kept| kept.version);
            if only.is_some_and(|only| only.0 != seen) {
                return Err(SettingsError::Conflict);
            }
            let Draft {
                mut fields,
                secrets,
            } = draft(kept.as_ref())?;
            for (field, secret) in secrets {
                let sealed = seal(self.inner(), self.id(), group, field, &secret).await?;
                fields.insert(field.into(), sealed);
            }
            let text = serde_json::Value::Object(fields).to_string();
            if text.len() > MOST {
                return Err(SettingsError::field("", "they are too large, all together"));
            }
            let written = store.put_setting(self.id(), group, &text, seen).await?;
            self.inner().catalog.forget_settings(self.id());
            if let Some(version) = written {
                return Ok(Version(Some(version)));
            }
            let now = store.by_id(self.id()).await?;
            if now.is_none_or(|now| now.status().is_gone()) {
                return Err(SettingsError::NoTenant);
            }
        }
        Err(SettingsError::Conflict)
    }
}

impl fmt::Debug for TenantSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantSettings")
            .field("tenant", &self.tenant.id())
            .finish_non_exhaustive()
    }
}

fn fields_of(kept: Option<&Kept>) -> Fields {
    kept.map(|kept| kept.fields.clone()).unwrap_or_default()
}

/// What is kept over the defaults, with nothing of a secret.
fn hidden(defaults: Fields, kept: Option<&Kept>) -> Fields {
    let mut fields = defaults;
    for (field, value) in fields_of(kept) {
        let shown = match sealed(&value) {
            Some(_) => serde_json::json!({ secret::MARK: true }),
            None => value,
        };
        fields.insert(field, shown);
    }
    fields
}

fn open(
    inner: &Inner,
    tenant: TenantId,
    group: &str,
    field: &str,
    text: &str,
) -> Result<Secret, SettingsError> {
    let about = About {
        tenant,
        group,
        field,
    };
    let opened = inner.keys.open(&about, text);
    opened.map_err(|source| SettingsError::Secret {
        group: group.into(),
        field: field.into(),
        source,
    })
}

async fn seal(
    inner: &Inner,
    tenant: TenantId,
    group: &str,
    field: &str,
    secret: &Secret,
) -> Result<serde_json::Value, SettingsError> {
    let about = About {
        tenant,
        group,
        field,
    };
    let store = inner.catalog.store();
    // who cannot tell does not make a key
    let is_new = async || matches!(store.has_sealed().await, Ok(false));
    let sealed = inner.keys.seal(&about, secret.expose(), is_new).await;
    let sealed = sealed.map_err(|source| SettingsError::Secret {
        group: group.into(),
        field: field.into(),
        source,
    })?;
    Ok(serde_json::json!({ SEALED: sealed }))
}

/// What of a tenant's settings goes to another tenant or deployment: all but secrets, which are one
/// tenant's alone.
pub(crate) fn without_secrets(mut all: BTreeMap<String, Fields>) -> BTreeMap<String, Fields> {
    for fields in all.values_mut() {
        fields.retain(|_, value| sealed(value).is_none());
    }
    all
}
