use std::{fs, io, path::PathBuf};

use uuid::Uuid;

use super::CENTRAL;
use crate::{Tenancy, tenant::Tenant};

/// The mail of one tenant, or of the deployment, that was written to files instead of being sent, for
/// those who develop an application to read. There are links and codes in it that let people in.
#[derive(Debug, Clone)]
pub struct Outbox {
    folder: PathBuf,
}

impl Tenancy {
    /// The mail that was written for the tenant, or for none; only where mail is written to files and
    /// this is [for development](crate::Config::development).
    #[must_use]
    pub fn outbox(&self, tenant: Option<&Tenant>) -> Option<Outbox> {
        if !self.0.development || !self.0.writes_mail {
            return None;
        }
        let scope = tenant.map_or_else(|| CENTRAL.to_owned(), |tenant| tenant.id().to_string());
        Some(Outbox {
            folder: self.0.data.join("mail").join(scope),
        })
    }
}

impl Outbox {
    /// The latest messages, the last first: each by its id, whose first bits are when it was written.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn list(&self, most: usize) -> io::Result<Vec<Uuid>> {
        let folder = self.folder.clone();
        blocking(move || {
            let entries = match fs::read_dir(folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                entries => entries?,
            };
            let names = entries.flatten().map(|entry| entry.file_name());
            let id = |name: std::ffi::OsString| name.to_str()?.strip_suffix(".eml")?.parse().ok();
            let mut ids: Vec<Uuid> = names.filter_map(id).collect();
            ids.sort_unstable_by(|a, b| b.cmp(a));
            ids.truncate(most);
            Ok(ids)
        })
        .await
    }

    /// A message as it would go over the wire.
    ///
    /// # Errors
    /// When it cannot be read; that there is none is none.
    pub async fn read(&self, id: Uuid) -> io::Result<Option<Vec<u8>>> {
        let path = self.folder.join(format!("{id}.eml"));
        blocking(move || match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            bytes => bytes.map(Some),
        })
        .await
    }
}

async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> io::Result<R> + Send + 'static,
) -> io::Result<R> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
