use std::{
    collections::{HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::mpsc;

use super::{
    LifecycleError, NewTenant, SeedError,
    archive::{ArchiveError, ColumnHead, Counted, Head, Piece, PieceOfFile, Reader, Who, Writer},
    carried::{Sink, Source},
    folders,
    snapshot::Snapshot,
    transfer::read,
};
use crate::{
    Tenancy,
    db::{
        TenantDb, is_among,
        transfer::{Cell, Item, Loader, Neighbours, Selection},
    },
    scoped::{files::FileName, settings::without_secrets},
    tenancy::Inner,
    tenant::{Tenant, TenantCode, TenantId},
};

/// How a tenant is put into an archive.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Exporting {
    /// Whether everything that tells who somebody is has something else in its place.
    pub anonymise: bool,
}

impl Exporting {
    /// With nothing in it that tells who somebody is.
    #[must_use]
    pub fn anonymised() -> Self {
        Self { anonymise: true }
    }
}

/// What is in an archive that was written.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Exported {
    /// How many tables.
    pub tables: u64,
    /// How many rows in all of them.
    pub rows: u64,
    /// How many files.
    pub files: u64,
}

/// Of an archive that tells nobody's, these stay empty besides.
const PERSONAL_TABLES: &[&str] = &["known_addresses", "recovery_codes", "second_factors"];

/// And in these stands something else.
const PERSONAL_COLUMNS: &[(&str, &str)] = &[
    ("audit_log", "actor"),
    ("audit_log", "address"),
    ("audit_log", "detail"),
    ("audit_log", "operator"),
    ("audit_log", "subject"),
    ("users", "email"),
    ("users", "first_name"),
    ("users", "last_name"),
    ("users", "password_hash"),
];

impl Tenancy {
    /// Writes a tenant into an archive, as it is at one moment, while it goes on. The archive can be
    /// brought [into](Self::import) any deployment of the program, with any isolation. It has the
    /// people with their passwords' hashes, but nothing else that lets anybody in; and the tenant's
    /// files, and its settings without their secrets, as they are just after that moment, unless it is
    /// to tell nobody's.
    ///
    /// The file appears under its name when it is whole.
    ///
    /// # Errors
    /// When the tenant cannot be read, or the file not be written.
    pub async fn export(
        &self,
        tenant: &Tenant,
        path: &Path,
        how: Exporting,
    ) -> Result<Exported, ArchiveError> {
        self.db(tenant).await?;
        let snapshot = Snapshot::of(&self.0, tenant).await?;
        let mut without = self.0.credentials();
        if how.anonymise {
            without.extend(PERSONAL_TABLES.iter().map(|table| (*table).into()));
        }
        let items = read(&snapshot, Selection { without }).await?;
        let (code, name) = match how.anonymise {
            false => (tenant.code().to_string(), tenant.name().to_owned()),
            true => ("anonymous".into(), "Anonymous".into()),
        };
        let who = Who {
            id: tenant.id(),
            code,
            name,
        };
        let files = match how.anonymise {
            // what a file tells, nobody here can know
            true => Vec::new(),
            false => folders::own(&self.0, tenant.id()).await?,
        };
        let mut head = Head::new(who, self.tenant_version(), how.anonymise);
        if !files.is_empty() {
            head = head.with_files();
        }
        // nor what a setting tells
        if !how.anonymise {
            let settings = self.0.catalog.store().settings_of(tenant.id()).await?;
            head = head.with_settings(without_secrets(settings));
        }
        let others = how
            .anonymise
            .then(|| Pseudonyms::of(&self.0.personal_columns));
        let counted = into_file(path.to_owned(), head, items, others, files).await?;
        Ok(Exported {
            tables: counted.tables,
            rows: counted.rows,
            files: counted.files,
        })
    }

    /// Makes a tenant from an archive: a new one, with an id of its own. Its code and name are the
    /// archive's unless told, and what is in the archive is looked at, checksums and all, before
    /// anybody sees the tenant. It has no domains.
    ///
    /// # Errors
    /// [`LifecycleError::Archive`] when the archive is none, damaged, or does not fit the program;
    /// and as [`create_with`](Self::create_with).
    pub async fn import(
        &self,
        path: &Path,
        code: Option<TenantCode>,
        placed: impl FnOnce(NewTenant) -> NewTenant,
    ) -> Result<Tenant, LifecycleError> {
        let path = path.to_owned();
        let opening = tokio::task::spawn_blocking(move || Reader::open(&path));
        let (reader, head) = opening.await.map_err(|_| LifecycleError::ShuttingDown)??;
        let code = match code {
            Some(code) => code,
            None => TenantCode::new(&head.tenant.code)
                .map_err(|error| ArchiveError::Damaged(error.to_string()))?,
        };
        let new = placed(NewTenant::new(code, head.tenant.name));
        let without = self.0.credentials();
        let inner = self.0.clone();
        // whatever the archive has
        let settings = without_secrets(head.settings);
        let loading = move |made: Tenant, _: TenantDb| async move {
            // on nobody's account
            let db = inner.places.handle(&made)?;
            let keep: Keep = Box::new(move |table, _, _| !is_among(&without, table));
            let files = FilesOf::new(inner.clone(), made.id());
            load(reader, &db, keep, files)
                .await
                .map_err(SeedError::from)?;
            inner.bring_settings(made.id(), &settings).await?;
            crate::failpoint::failpoint("import.loaded");
            Ok(())
        };
        match self.create_for(new, None, loading).await {
            Ok((tenant, ())) => Ok(tenant),
            Err(LifecycleError::Seed(error)) => Err(match error.downcast::<ArchiveError>() {
                Ok(error) => LifecycleError::Archive(*error),
                Err(error) => LifecycleError::Seed(error),
            }),
            Err(other) => Err(other),
        }
    }
}

/// Writes what is read into a file.
pub(super) async fn into_file(
    path: PathBuf,
    head: Head,
    mut items: mpsc::Receiver<Result<Item, crate::db::DbError>>,
    mut others: Option<Pseudonyms>,
    files: Vec<(FileName, Source)>,
) -> Result<Counted, ArchiveError> {
    tokio::task::spawn_blocking(move || {
        let mut writer = Writer::create(&path, &head)?;
        let written = write(&mut writer, &mut items, others.as_mut()).and_then(|()| {
            let mut files = files.into_iter();
            files.try_for_each(|(name, from)| writer.file(name, &from))
        });
        match written {
            Ok(()) => writer.finish(),
            Err(error) => {
                writer.abandon();
                Err(error)
            }
        }
    })
    .await
    .map_err(|_| crate::db::DbError::Closed)?
}

fn write(
    writer: &mut Writer,
    items: &mut mpsc::Receiver<Result<Item, crate::db::DbError>>,
    mut others: Option<&mut Pseudonyms>,
) -> Result<(), ArchiveError> {
    loop {
        match items.blocking_recv() {
            None => return Err(crate::db::DbError::Closed.into()),
            Some(item) => match item? {
                Item::Table(table) => {
                    let columns: Vec<ColumnHead> = table
                        .columns
                        .iter()
                        .map(|column| ColumnHead {
                            name: column.name.clone(),
                            kind: column.kind,
                        })
                        .collect();
                    if let Some(others) = &mut others {
                        others.table(&table.name, columns.iter().map(|one| one.name.as_str()));
                    }
                    writer.table(&table.name, columns)?;
                }
                Item::Rows(rows) => {
                    for mut row in rows {
                        if let Some(others) = &mut others {
                            others.put(&mut row);
                        }
                        writer.row(&row)?;
                    }
                }
                Item::End => return Ok(()),
            },
        }
    }
}

const ROWS_AT_ONCE: usize = 200;

/// Which rows are taken, by the table, its columns and the row.
pub(super) type Keep = Box<dyn Fn(&str, &[String], &[Cell]) -> bool + Send + Sync>;

async fn load(
    reader: Reader,
    db: &TenantDb,
    keep: Keep,
    files: FilesOf,
) -> Result<(), ArchiveError> {
    let mut loader = Loader::begin(db, Neighbours::GoOn).await?;
    pour_with(reader, &mut loader, keep, Some(files)).await?;
    Ok(loader.commit().await?)
}

/// Writes what an archive has, and looks at its checksums on the way. Nothing is lasting before the
/// loader says so.
pub(super) async fn pour(
    reader: Reader,
    loader: &mut Loader,
    keep: Keep,
) -> Result<(), ArchiveError> {
    pour_with(reader, loader, keep, None).await
}

async fn pour_with(
    mut reader: Reader,
    loader: &mut Loader,
    keep: Keep,
    mut files: Option<FilesOf>,
) -> Result<(), ArchiveError> {
    let (sender, mut pieces) = mpsc::channel(2 * ROWS_AT_ONCE);
    let reading = tokio::task::spawn_blocking(move || {
        loop {
            let piece = match (reader.next(), &mut files) {
                (Ok(Piece::File(piece)), Some(files)) => match files.take(piece) {
                    Ok(()) => continue,
                    Err(error) => Err(error),
                },
                (Ok(Piece::File(_)), None) => continue,
                (other, _) => other,
            };
            let is_last = !matches!(piece, Ok(Piece::Table(..) | Piece::Row(_)));
            if sender.blocking_send(piece).is_err() || is_last {
                return;
            }
        }
    });
    let mut rows = Vec::new();
    let mut table = (String::new(), Vec::new());
    loop {
        let piece = pieces
            .recv()
            .await
            .unwrap_or(Err(crate::db::DbError::Closed.into()))?;
        if let Piece::Row(row) = piece {
            if keep(&table.0, &table.1, &row) {
                rows.push(row);
            }
            if rows.len() >= ROWS_AT_ONCE {
                loader.rows(std::mem::take(&mut rows)).await?;
            }
            continue;
        }
        if !rows.is_empty() {
            loader.rows(std::mem::take(&mut rows)).await?;
        }
        match piece {
            Piece::Table(name, columns) => {
                loader.table(&name, &columns)?;
                table = (name, columns);
            }
            _ => break,
        }
    }
    drop(reading.await);
    Ok(())
}

/// Writes an archive's files to where those of a tenant that is being made are.
struct FilesOf {
    inner: Arc<Inner>,
    id: TenantId,
    seen: HashSet<FileName>,
    now: Option<(FileName, Sink)>,
}

impl FilesOf {
    fn new(inner: Arc<Inner>, id: TenantId) -> Self {
        Self {
            inner,
            id,
            seen: HashSet::new(),
            now: None,
        }
    }

    fn take(&mut self, piece: PieceOfFile) -> Result<(), ArchiveError> {
        match piece {
            PieceOfFile::Begin(name) => {
                if !self.seen.insert(name.clone()) {
                    return Err(ArchiveError::Damaged(format!(
                        "it has the file {name} twice"
                    )));
                }
                let sink = Sink::create(&self.inner, self.id, &name).map_err(failed(&name))?;
                self.now = Some((name, sink));
            }
            PieceOfFile::Bytes(bytes) => {
                if let Some((name, sink)) = &mut self.now {
                    sink.write(&bytes).map_err(failed(name))?;
                }
            }
            PieceOfFile::End => {
                if let Some((name, sink)) = self.now.take() {
                    sink.end().map_err(failed(&name))?;
                }
            }
        }
        Ok(())
    }
}

fn failed(name: &FileName) -> impl FnOnce(io::Error) -> ArchiveError + use<> {
    let path = PathBuf::from(name.as_str());
    move |source| ArchiveError::File { path, source }
}

/// What stands in place of who somebody is.
pub(super) struct Pseudonyms {
    columns: HashMap<String, Vec<String>>,
    /// The positions in the rows of this table, and whether it is a user's address there.
    now: Vec<(usize, &'static str)>,
    number: u64,
}

impl Pseudonyms {
    fn of(applications: &[(String, String)]) -> Self {
        let mut columns: HashMap<String, Vec<String>> = HashMap::new();
        let ours = PERSONAL_COLUMNS
            .iter()
            .map(|(table, column)| ((*table).to_owned(), (*column).to_owned()));
        for (table, column) in ours.chain(applications.iter().cloned()) {
            columns.entry(table).or_default().push(column);
        }
        Self {
            columns,
            now: Vec::new(),
            number: 0,
        }
    }

    fn table<'a>(&mut self, table: &str, columns: impl Iterator<Item = &'a str>) {
        self.number = 0;
        let personal = self.columns.get(table);
        self.now = columns
            .enumerate()
            .filter(|(_, name)| personal.is_some_and(|all| all.iter().any(|one| one == name)))
            .map(|(at, name)| {
                let ending = match (table, name) {
                    ("users", "email") => "@example.invalid",
                    // nobody can have a password whose hash this is
                    ("users", "password_hash") => "!",
                    _ => "",
                };
                (at, ending)
            })
            .collect();
    }

    /// Puts something else into a row: NULL stays NULL, and what has to differ does.
    fn put(&mut self, row: &mut [Cell]) {
        self.number += 1;
        for (at, ending) in &self.now {
            let Some(cell) = row.get_mut(*at) else {
                continue;
            };
            *cell = match cell {
                Cell::Null => Cell::Null,
                Cell::Text(_) => Cell::Text(format!("anonymous-{}{ending}", self.number)),
                Cell::Int(_) => Cell::Int(0),
                Cell::Real(_) => Cell::Real(0.0),
                Cell::Bool(_) => Cell::Bool(false),
                Cell::Bytes(_) => Cell::Bytes(Vec::new()),
            };
        }
    }
}
