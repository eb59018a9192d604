//! What a backup says of itself, in `manifest.json`.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufReader, Read, Write},
    path::{Component, Path, PathBuf},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Backup, BackupError, NotBackedUp};
use crate::{
    scoped::settings::Fields,
    tenant::{Isolation, Placement, TenantCode, TenantId, TenantStatus},
};

const FORMAT: &str = "tenantry-backup";
/// The latest that is read: one with settings, without which it is of version 1.
pub(super) const VERSION: u32 = 2;
const WITHOUT_SETTINGS: u32 = 1;
pub(super) const NAME: &str = "manifest.json";

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) backup: String,
    pub(super) version: u32,
    pub(super) id: Uuid,
    pub(super) taken_at: DateTime<Utc>,
    /// The catalog and the application's shared tables, where it is of the whole.
    pub(super) central: Option<Shared>,
    pub(super) tenants: Vec<Entry>,
    pub(super) failed: Vec<NotBackedUp>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Shared {
    pub(super) catalog: Part,
    pub(super) application: Part,
}

/// A file, by its path within the backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) path: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// A tenant as its record was.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) id: TenantId,
    pub(super) code: TenantCode,
    pub(super) name: String,
    pub(super) status: TenantStatus,
    pub(super) isolation: Isolation,
    pub(super) server: String,
    pub(super) plan: String,
    pub(super) created_at: DateTime<Utc>,
    pub(super) schema_version: String,
    /// The migrations that its database had.
    pub(super) applied: Vec<String>,
    /// A SQLite file, or an archive.
    pub(super) data: Part,
    /// What it had in the data folder besides.
    pub(super) files: Vec<Part>,
    /// What it had said of its settings, as they were kept: secrets are sealed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) settings: BTreeMap<String, Fields>,
}

impl Entry {
    pub(super) fn placement(&self) -> Placement {
        Placement::new(self.isolation, &self.server)
    }

    /// Whether its data is a SQLite file as it was.
    pub(super) fn is_file(&self) -> bool {
        self.data.path.ends_with(".db")
    }
}

#[derive(Deserialize)]
struct Sealed<'a> {
    #[serde(borrow)]
    manifest: &'a RawValue,
    sha256: String,
}

impl Manifest {
    pub(super) fn new(taken_at: DateTime<Utc>) -> Self {
        Self {
            backup: FORMAT.into(),
            version: WITHOUT_SETTINGS,
            id: Uuid::now_v7(),
            taken_at,
            central: None,
            tenants: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Adds a tenant.
    pub(super) fn add(&mut self, entry: Entry) {
        if !entry.settings.is_empty() {
            self.version = VERSION;
        }
        self.tenants.push(entry);
    }

    pub(super) fn summary(&self) -> Backup {
        Backup {
            taken_at: self.taken_at,
            whole: self.central.is_some(),
            tenants: self.tenants.iter().map(|one| one.code.clone()).collect(),
            bytes: self.parts().map(|part| part.bytes).sum(),
            failed: self.failed.clone(),
        }
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        let shared = self.central.iter();
        shared
            .flat_map(|shared| [&shared.catalog, &shared.application])
            .chain(self.tenants.iter().flat_map(Entry::parts))
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), BackupError> {
        let path = folder.join(NAME);
        let failed = BackupError::file(&path);
        let write = || {
            let text = serde_json::to_string(self)?;
            let sha256 = hex::encode(Sha256::digest(&text));
            let mut file = File::create(&path)?;
            writeln!(file, "{{\"sha256\":\"{sha256}\",\n\"manifest\":{text}}}")?;
            file.sync_all()
        };
        write().map_err(failed)
    }

    /// Reads it, and nothing else of the backup.
    pub(super) fn read(folder: &Path) -> Result<Self, BackupError> {
        let path = folder.join(NAME);
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                BackupError::NotOne(folder.into())
            }
            _ => BackupError::file(&path)(error),
        })?;
        let sealed: Sealed<'_> =
            serde_json::from_str(&text).map_err(|_| BackupError::NotOne(folder.into()))?;
        let said = sealed.manifest.get();
        if hex::encode(Sha256::digest(said)) != sealed.sha256 {
            return Err(BackupError::Damaged(format!(
                "the checksum of {NAME} is another"
            )));
        }
        #[derive(Deserialize)]
        struct Which {
            backup: String,
            version: u32,
        }
        let which: Which =
            serde_json::from_str(said).map_err(|_| BackupError::NotOne(folder.into()))?;
        if which.backup != FORMAT {
            return Err(BackupError::NotOne(folder.into()));
        }
        if which.version > VERSION {
            return Err(BackupError::Newer(which.version));
        }
        let manifest: Self = serde_json::from_str(said)
            .map_err(|error| BackupError::Damaged(format!("{NAME}: {error}")))?;
        // it names files that are read, and whose names are written to
        let outside = manifest.parts().find(|part| !is_within(&part.path));
        if let Some(part) = outside {
            let said = format!("{NAME} names a file outside of it: {}", part.path);
            return Err(BackupError::Damaged(said));
        }
        Ok(manifest)
    }

    /// Holds every file against its checksum.
    pub(super) fn verify(&self, folder: &Path) -> Result<(), BackupError> {
        self.parts().try_for_each(|part| part.verify(folder))
    }
}

impl Entry {
    pub(super) fn parts(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.data).chain(&self.files)
    }
}

impl Part {
    /// What is there, when it has been written.
    pub(super) fn of(folder: &Path, path: String) -> Result<Self, BackupError> {
        let (bytes, sha256) = measure(&folder.join(&path))?;
        Ok(Self {
            path,
            bytes,
            sha256,
        })
    }

    pub(super) fn at(&self, folder: &Path) -> PathBuf {
        folder.join(&self.path)
    }

    pub(super) fn verify(&self, folder: &Path) -> Result<(), BackupError> {
        let path = self.at(folder);
        if !path.is_file() {
            return Err(BackupError::Damaged(format!("{} is missing", self.path)));
        }
        match measure(&path)? == (self.bytes, self.sha256.clone()) {
            true => Ok(()),
            false => Err(BackupError::Damaged(format!(
                "{} is not what was written",
                self.path
            ))),
        }
    }
}

fn is_within(path: &str) -> bool {
    let parts = || Path::new(path).components();
    parts().count() > 0 && parts().all(|part| matches!(part, Component::Normal(_)))
}

fn measure(path: &Path) -> Result<(u64, String), BackupError> {
    let mut digest = Sha256::new();
    let mut bytes = 0;
    let mut read = || {
        let mut file = BufReader::new(File::open(path)?);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            bytes += u64::try_from(count).unwrap_or(u64::MAX);
            digest.update(buffer.get(..count).unwrap_or_default());
        }
    };
    read().map_err(BackupError::file(path))?;
    Ok((bytes, hex::encode(digest.finalize())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leaves_the_backup_is_none() {
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "./a"] {
            assert!(!is_within(bad), "{bad}");
        }
        assert!(is_within("tenants/x.db") && is_within("files/a/mail/b.eml"));
    }

    #[test]
    fn a_manifest_that_was_changed_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        Manifest::new(Utc::now()).write(folder.path()).unwrap();
        assert!(Manifest::read(folder.path()).is_ok());
        let path = folder.path().join(NAME);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"tenants\":[]", "\"tenants\": []")).unwrap();
        let read = Manifest::read(folder.path());
        assert!(matches!(read, Err(BackupError::Damaged(_))), "{read:?}");
    }
}
