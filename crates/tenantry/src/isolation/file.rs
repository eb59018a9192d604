//! A SQLite file per tenant.
//!
//! A file comes by copying a template to which all migrations are applied: 0.1 ms where migrating
//! an empty file takes many. It appears under its name whole or not at all.

use std::{
    fs, io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use lru::LruCache;
use tokio::sync::OnceCell;

use crate::{
    db::{
        DbError,
        sqlite::{self, Create, Database},
    },
    failpoint::failpoint,
    migrate::{MigrateError, Migrations, apply_to_sqlite},
    tenant::TenantId,
};

/// The folder of all tenants' files, and those of them that are open.
pub(crate) struct Files {
    root: PathBuf,
    templates: PathBuf,
    migrations: Arc<Migrations>,
    template: OnceCell<PathBuf>,
    open: Mutex<Open>,
    most_open: usize,
    /// Whether it is heard when another process removes one of them.
    hearing: AtomicBool,
}

enum Open {
    Files(LruCache<TenantId, Arc<OpenFile>>),
    /// The tenancy was closed.
    Closed,
}

/// Writes a file, into one that is there and empty. It blocks.
pub(crate) type Write = Box<dyn FnOnce(&Path) -> Result<(), DbError> + Send>;

/// A tenant's open file, and whether its migrations have been seen to.
pub(crate) struct OpenFile {
    pub(crate) database: Arc<Database>,
    pub(crate) migrated: OnceCell<()>,
    identity: Identity,
}

/// Which file it is that has a name: its device, and its number there. None where there is none, or the
/// system has no such thing: there nobody can remove a file that is open.
type Identity = Option<(u64, u64)>;

impl Files {
    pub(crate) fn new(data: &Path, migrations: Arc<Migrations>, most_open: NonZeroUsize) -> Self {
        Self {
            root: data.join("tenants"),
            templates: data.join("templates"),
            migrations,
            template: OnceCell::new(),
            open: Mutex::new(Open::Files(LruCache::unbounded())),
            most_open: most_open.get(),
            hearing: AtomicBool::new(true),
        }
    }

    pub(crate) fn path(&self, id: TenantId) -> PathBuf {
        self.root.join(id.shard()).join(format!("{id}.db"))
    }

    /// How many bytes the tenant's file has, with what is still in its log; none when it is missing.
    pub(crate) fn size(&self, id: TenantId) -> Option<u64> {
        let path = self.path(id);
        let file = fs::metadata(&path).ok()?.len();
        let log = fs::metadata(beside(&path, "-wal")).map_or(0, |log| log.len());
        Some(file + log)
    }

    /// Whether it is heard when another process removes files. While it is not, whoever opens one that is
    /// open sees to it that it is still the one of that name.
    pub(crate) fn set_hearing(&self, hearing: bool) {
        if hearing {
            self.look_again();
        }
        self.hearing.store(hearing, Ordering::SeqCst);
    }

    /// Closes those that are no longer the ones of their names: they were removed, and nobody was told.
    pub(crate) fn look_again(&self) {
        let mut guard = self.lock();
        let Open::Files(open) = &mut *guard else {
            return;
        };
        let gone: Vec<TenantId> = open
            .iter()
            .filter(|(_, file)| file.is_gone())
            .map(|(id, _)| *id)
            .collect();
        for file in gone.iter().filter_map(|id| open.pop(id)) {
            file.database.close();
        }
    }

    /// The tenant's file, opened if it is not. It stays open while anybody has it, and then until
    /// others have been used more recently.
    ///
    /// # Errors
    /// [`DbError::Closed`] once the tenancy was closed.
    pub(crate) fn open(&self, id: TenantId) -> Result<Arc<OpenFile>, DbError> {
        let mut guard = self.lock();
        let Open::Files(open) = &mut *guard else {
            return Err(DbError::Closed);
        };
        if let Some(file) = open.get(&id) {
            if self.hearing.load(Ordering::SeqCst) || !file.is_gone() {
                return Ok(file.clone());
            }
            // what is written to it would go where nobody looks any more
            file.database.close();
        }
        let path = self.path(id);
        let file = Arc::new(OpenFile {
            identity: identity(&path),
            database: Database::new(&path, Create::Never),
            migrated: OnceCell::new(),
        });
        open.push(id, file.clone());
        // Only one that nobody else owns may go: its count cannot rise while the lock is held.
        // One in use is put back, and the limit exceeded for as long as it is.
        let mut in_use = 0;
        while open.len() > self.most_open && in_use < 8 {
            let Some((id, file)) = open.pop_lru() else {
                break;
            };
            if Arc::strong_count(&file) > 1 || Arc::strong_count(&file.database) > 1 {
                open.push(id, file);
                in_use += 1;
            }
        }
        Ok(file)
    }

    /// Closes the tenant's file here. Handles that still exist say [`DbError::Closed`].
    pub(crate) fn close(&self, id: TenantId) {
        if let Open::Files(open) = &mut *self.lock()
            && let Some(file) = open.pop(&id)
        {
            file.database.close();
        }
    }

    /// Closes every file, and opens none any more.
    pub(crate) fn close_all(&self) {
        if let Open::Files(open) = std::mem::replace(&mut *self.lock(), Open::Closed) {
            for (_, file) in open {
                file.database.close();
            }
        }
    }

    pub(crate) fn is_open(&self, id: TenantId) -> bool {
        matches!(&*self.lock(), Open::Files(open) if open.contains(&id))
    }

    /// How many files are open here.
    pub(crate) fn count_open(&self) -> usize {
        match &*self.lock() {
            Open::Files(open) => open.len(),
            Open::Closed => 0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the tenant's file, migrated up to the first function and empty of rows.
    pub(crate) async fn provision(&self, id: TenantId) -> Result<(), MigrateError> {
        let template = self
            .template
            .get_or_try_init(|| self.build_template())
            .await?
            .clone();
        let path = self.path(id);
        blocking(move || {
            let folder = path.parent().unwrap_or(&path);
            fs::create_dir_all(folder)?;
            let draft = draft(&path);
            fs::copy(&template, &draft)?;
            fs::File::open(&draft)?.sync_all()?;
            failpoint("create.copied");
            fs::rename(&draft, &path)?;
            sync_folder(folder)
        })
        .await?;
        Ok(())
    }

    /// Makes the tenant's file by `write`, which is told where an empty one is. There is to be none, nor may
    /// any process have one open: what it wrote would go where nobody looks any more.
    pub(crate) async fn bring(&self, id: TenantId, write: Write) -> Result<(), DbError> {
        let path = self.path(id);
        let draft = draft(&path);
        let (folder, to) = (path.parent().unwrap_or(&path).to_owned(), draft.clone());
        blocking(move || {
            fs::create_dir_all(&folder)?;
            // what a process left that was killed
            remove_whole(&to)?;
            fs::File::create_new(&to).map(drop)
        })
        .await?;
        let to = draft.clone();
        elsewhere(move || write(&to)).await?;
        failpoint("file.written");
        blocking(move || {
            fs::File::open(&draft)?.sync_all()?;
            // a log without its file would be taken for this one's
            remove_beside(&path)?;
            fs::rename(&draft, &path)?;
            sync_folder(path.parent().unwrap_or(&path))
        })
        .await
    }

    /// Removes the tenant's file and all that stands beside it. Nothing there is fine too.
    pub(crate) async fn remove(&self, id: TenantId) -> Result<(), DbError> {
        let open = match &mut *self.lock() {
            Open::Files(open) => open.pop(&id),
            Open::Closed => None,
        };
        let path = self.path(id);
        blocking(move || {
            // before there may be another of that name, whose log it would take for its own
            open.inspect(|file| file.database.close_here());
            remove_whole(&draft(&path))?;
            remove_whole(&path)?;
            match path.parent() {
                Some(folder) if folder.exists() => sync_folder(folder),
                _ => Ok(()),
            }
        })
        .await
    }

    async fn build_template(&self) -> Result<PathBuf, MigrateError> {
        let migrations = Arc::new(self.migrations.before_functions());
        let path = self
            .templates
            .join(format!("{}.db", migrations.fingerprint()));
        if path.exists() {
            return Ok(path);
        }
        let templates = self.templates.clone();
        blocking(move || fs::create_dir_all(templates)).await?;
        // two processes may both build it; each its own draft, and either result will do
        let draft = self.templates.join(format!("{}.new", TenantId::generate()));
        let database = Database::new(&draft, Create::IfMissing);
        apply_to_sqlite(&database, &migrations).await?;
        // with everything in the one file that is to be copied
        sqlite::trusted(&database, |connection| {
            connection
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
                .map_err(sqlite::translate)
                .and_then(|busy: i64| {
                    if busy == 0 {
                        Ok(())
                    } else {
                        Err(DbError::Busy)
                    }
                })
        })
        .await?;
        let (from, to) = (draft, path.clone());
        blocking(move || {
            database.close_here();
            for suffix in ["-wal", "-shm"] {
                drop(fs::remove_file(beside(&from, suffix)));
            }
            fs::File::open(&from)?.sync_all()?;
            fs::rename(&from, &to)
        })
        .await?;
        Ok(path)
    }
}

impl OpenFile {
    /// Whether another has its name by now, or none.
    fn is_gone(&self) -> bool {
        identity(self.database.path()) != self.identity
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Identity {
    use std::os::unix::fs::MetadataExt;
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(_: &Path) -> Identity {
    None
}

fn draft(path: &Path) -> PathBuf {
    beside(path, ".new")
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A rename is lasting once its folder is written.
fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// Removes a file and what SQLite has beside it. Nothing there is fine too.
fn remove_whole(path: &Path) -> io::Result<()> {
    // The file itself first: without it nobody can open it any more, and make the others anew.
    remove_file(path)?;
    remove_beside(path)
}

fn remove_beside(path: &Path) -> io::Result<()> {
    let mut suffixes = ["-wal", "-shm", "-journal"].into_iter();
    suffixes.try_for_each(|suffix| remove_file(&beside(path, suffix)))
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> io::Result<R> + Send + 'static,
) -> Result<R, DbError> {
    elsewhere(|| work().map_err(sqlite::failed)).await
}

/// Does what waits for a disk off the threads that serve requests.
async fn elsewhere<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, DbError> + Send + 'static,
) -> Result<R, DbError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(sqlite::not_ended)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_that_was_left_is_taken_for_a_files_own() {
        let folder = tempfile::tempdir().unwrap();
        let most = NonZeroUsize::MIN;
        let files = Files::new(folder.path(), Arc::default(), most);
        let id = TenantId::generate();
        let path = files.path(id);
        let left = [
            "-wal",
            "-shm",
            "-journal",
            ".new",
            ".new-wal",
            ".new-journal",
        ];
        let left = left.map(|suffix| beside(&path, suffix));
        let around = path.parent().unwrap();
        fs::create_dir_all(around).unwrap();
        let names = || -> Vec<PathBuf> {
            let found = fs::read_dir(around).unwrap();
            found.map(|one| one.unwrap().path()).collect()
        };
        let leave = || {
            for path in &left {
                fs::write(path, "left").unwrap();
            }
        };
        leave();
        let write: Write = Box::new(|to| {
            assert_eq!(fs::metadata(to).unwrap().len(), 0);
            fs::write(to, "whole").map_err(sqlite::failed)
        });
        files.bring(id, write).await.unwrap();
        assert_eq!(names(), std::slice::from_ref(&path));
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        leave();
        assert_eq!(names().len(), 7);
        files.remove(id).await.unwrap();
        assert_eq!(names(), [""; 0].map(PathBuf::from));
    }
}
