//! New keys for old secrets.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{SettingsError, keys::key_of, open, seal, sealed};
use crate::{Tenancy, catalog::KeptOf, failpoint::failpoint};

/// A key, and what it is used for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyUse {
    /// What it is called; it is not shown.
    pub id: String,
    /// Whether it is here. Without it what it has sealed cannot be opened.
    pub is_here: bool,
    /// Whether it seals what is written from now on.
    pub seals: bool,
    /// How many secrets are sealed with it.
    pub secrets: usize,
}

/// What a rotation has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rotated {
    /// Whether a new key was made. It is not where a rotation that was begun is ended, or the keys are
    /// the configuration's.
    pub is_new: bool,
    /// How many secrets were sealed anew.
    pub secrets: usize,
    /// Those that could not be opened, each as `tenant's id group.field`, and why.
    pub failed: Vec<(String, String)>,
}

impl Tenancy {
    /// The keys that secrets are sealed with, the first first, and those that are missing.
    ///
    /// # Errors
    /// When the keys or the catalog cannot be read.
    pub async fn keys(&self) -> Result<Vec<KeyUse>, SettingsError> {
        let mut used: BTreeMap<String, usize> = BTreeMap::new();
        let all = self.0.keys.all()?;
        let mut after = None;
        while let Some(one) = self.next_sealed(&mut after).await? {
            for (_, text) in sealed_fields(&one) {
                *used.entry(key_of(&text).into()).or_default() += 1;
            }
        }
        let mut found = Vec::new();
        for (at, key) in all.iter().enumerate() {
            found.push(KeyUse {
                secrets: used.remove(&key.id()).unwrap_or_default(),
                id: key.id(),
                is_here: true,
                seals: at == 0,
            });
        }
        found.extend(used.into_iter().map(|(id, secrets)| KeyUse {
            id,
            is_here: false,
            seals: false,
            secrets,
        }));
        Ok(found)
    }

    /// Makes a new key, and seals every secret with it. The old ones stay, so that backups and
    /// processes that have not seen the new one go on; [`drop_keys`](Self::drop_keys) ends them.
    ///
    /// Where the process dies it is to be begun again, and ends what was begun: as long as a secret is
    /// sealed with an older key no further one is made. Where the keys are the configuration's, the
    /// new one is put first there, and this seals with it.
    ///
    /// # Errors
    /// When the keys cannot be written, or the catalog not be used.
    pub async fn rotate_keys(&self) -> Result<Rotated, SettingsError> {
        let mut rotated = Rotated::default();
        let keys = self.keys().await?;
        let is_begun = keys.iter().any(|key| !key.seals && key.secrets > 0);
        if !is_begun && self.0.keys.are_ours() {
            self.0.keys.add()?;
            rotated.is_new = true;
        }
        failpoint("keys.added");
        let mut after = None;
        while let Some(one) = self.next_sealed(&mut after).await? {
            match self.seal_anew(&one).await {
                Ok(secrets) => rotated.secrets += secrets,
                Err(SettingsError::Secret {
                    group,
                    field,
                    source,
                }) => {
                    let whose = format!("{} {group}.{field}", one.tenant);
                    rotated.failed.push((whose, source.to_string()));
                }
                Err(error) => return Err(error),
            }
            failpoint("keys.sealed");
        }
        Ok(rotated)
    }

    /// Forgets all keys but the first, and returns how many that were.
    ///
    /// # Errors
    /// [`KeyError::InUse`](super::KeyError::InUse) as long as a secret is sealed with one of them;
    /// [`KeyError::NotOurs`](super::KeyError::NotOurs) where the keys are the configuration's.
    pub async fn drop_keys(&self) -> Result<usize, SettingsError> {
        let keys = self.keys().await?;
        let older = || keys.iter().filter(|key| key.is_here && !key.seals);
        let used: usize = older().map(|key| key.secrets).sum();
        if used > 0 {
            return Err(super::KeyError::InUse(used).into());
        }
        self.0.keys.keep_first()?;
        Ok(older().count())
    }

    /// The next group of settings that has a secret, after the one before.
    async fn next_sealed(
        &self,
        after: &mut Option<(uuid::Uuid, String)>,
    ) -> Result<Option<KeptOf>, SettingsError> {
        let store = self.0.catalog.store();
        let found = store.sealed_after(after.as_ref()).await?;
        *after = found
            .as_ref()
            .map(|one| (*one.tenant.as_uuid(), one.name.clone()));
        Ok(found)
    }

    /// Seals with the first key what is not, and returns how many secrets.
    async fn seal_anew(&self, found: &KeptOf) -> Result<usize, SettingsError> {
        let inner = &self.0;
        let first = inner.keys.all()?.first().map(super::Key::id);
        let mut found = found.clone();
        for _ in 0..super::TRIES {
            let mut fields = found.kept.fields.clone();
            let mut count = 0;
            for (field, text) in sealed_fields(&found) {
                if Some(key_of(&text)) == first.as_deref() {
                    continue;
                }
                let secret = open(inner, found.tenant, &found.name, &field, &text)?;
                let anew = seal(inner, found.tenant, &found.name, &field, &secret).await?;
                fields.insert(field, anew);
                count += 1;
            }
            if count == 0 {
                return Ok(0);
            }
            let text = Value::Object(fields).to_string();
            let seen = Some(found.kept.version);
            let store = inner.catalog.store();
            let written = store
                .seal_setting(found.tenant, &found.name, &text, seen)
                .await?;
            inner.catalog.forget_settings(found.tenant);
            if written {
                return Ok(count);
            }
            match store.setting(found.tenant, &found.name).await? {
                Some(kept) => found.kept = kept,
                None => return Ok(0),
            }
        }
        Err(SettingsError::Conflict)
    }
}

fn sealed_fields(found: &KeptOf) -> Vec<(String, String)> {
    let fields = found.kept.fields.iter();
    fields
        .filter_map(|(field, value)| Some((field.clone(), sealed(value)?.to_owned())))
        .collect()
}
