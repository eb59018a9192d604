//! A tenant in one file, whatever keeps it apart: lines of JSON, compressed with gzip.
//!
//! The format is described in `docs/archive.md`.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::carried::Source;
use crate::{
    db::{
        DbError,
        transfer::{Cell, Kind, LoadError},
    },
    scoped::{
        files::{FileError, FileName},
        settings::Fields,
    },
    tenant::TenantId,
};

const FORMAT: &str = "tenantry";
/// The latest that is read: one with settings. One with files and without settings is of version 2,
/// one without both of version 1.
const VERSION: u32 = 3;

/// How much of a file is on a line.
const PIECE: usize = 192 * 1024;

/// The longest line that is read: a row.
const LONGEST: u64 = 1 << 30;

/// Why an archive cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no archive of a tenant.
    #[error("it is not a tenant's archive")]
    NotOne,
    /// It was written by a later version of the library.
    #[error("it is of version {0}, and this program reads up to {VERSION}")]
    Newer(u32),
    /// It ends before its end, or is not what was written.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// The program has no place for what is in it.
    #[error("it does not fit this program: {0}")]
    Misfit(String),
    /// A trigger would hear of what is in it, in tables that others write to: what it is, and what it can say.
    #[error("{0}")]
    Trigger(String),
    /// A database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The tenant's files cannot be listed.
    #[error(transparent)]
    Files(FileError),
}

impl From<FileError> for ArchiveError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Db(error) => Self::Db(error),
            other => Self::Files(other),
        }
    }
}

impl From<LoadError> for ArchiveError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Trigger { .. } => Self::Trigger(error.to_string()),
            LoadError::NoPlace(_) | LoadError::Table { .. } | LoadError::TooFar { .. } => {
                Self::Misfit(error.to_string())
            }
            LoadError::Db(error) => Self::Db(error),
        }
    }
}

/// The first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) archive: String,
    pub(super) version: u32,
    pub(super) tenant: Who,
    pub(super) schema_version: String,
    pub(super) anonymised: bool,
    /// What the tenant has said of its settings, but for secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) settings: BTreeMap<String, Fields>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Who {
    pub(super) id: TenantId,
    pub(super) code: String,
    pub(super) name: String,
}

impl Head {
    pub(super) fn new(tenant: Who, schema_version: &str, anonymised: bool) -> Self {
        Self {
            archive: FORMAT.into(),
            version: 1,
            tenant,
            schema_version: schema_version.into(),
            anonymised,
            settings: BTreeMap::new(),
        }
    }

    /// Of an archive with files.
    pub(super) fn with_files(self) -> Self {
        let version = self.version.max(2);
        Self { version, ..self }
    }

    /// Of an archive with settings, if there are any.
    pub(super) fn with_settings(self, settings: BTreeMap<String, Fields>) -> Self {
        if settings.is_empty() {
            return self;
        }
        Self {
            version: 3,
            settings,
            ..self
        }
    }
}

/// A line that is no row.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Mark {
    Table {
        table: String,
        columns: Vec<ColumnHead>,
    },
    End {
        end: String,
        rows: u64,
        sha256: String,
    },
    Done {
        tables: u64,
        rows: u64,
        #[serde(default, skip_serializing_if = "is_none")]
        files: u64,
        sha256: String,
    },
    File {
        file: FileName,
    },
    EndFile {
        end_file: FileName,
        bytes: u64,
        sha256: String,
    },
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ColumnHead {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// How much is in an archive.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    pub(super) tables: u64,
    pub(super) rows: u64,
    pub(super) files: u64,
}

/// Writes an archive beside its place, and puts it there when it is whole.
pub(super) struct Writer {
    out: GzEncoder<BufWriter<File>>,
    path: PathBuf,
    draft: PathBuf,
    all: Sha256,
    counted: Counted,
    table: Option<(String, u64, Sha256)>,
}

impl Writer {
    pub(super) fn create(path: &Path, head: &Head) -> Result<Self, ArchiveError> {
        let mut draft = path.as_os_str().to_owned();
        draft.push(".part");
        let draft = PathBuf::from(draft);
        let failed = |source| ArchiveError::File {
            path: draft.clone(),
            source,
        };
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        // it has everybody's data
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&draft).map_err(failed)?;
        let mut writer = Self {
            out: GzEncoder::new(BufWriter::new(file), Compression::default()),
            path: path.into(),
            draft,
            all: Sha256::new(),
            counted: Counted::default(),
            table: None,
        };
        writer.line(head)?;
        Ok(writer)
    }

    fn line(&mut self, line: &impl Serialize) -> Result<Vec<u8>, ArchiveError> {
        let mut text = serde_json::to_vec(line).map_err(|error| self.failed(error.into()))?;
        text.push(b'\n');
        self.all.update(&text);
        match self.out.write_all(&text) {
            Ok(()) => Ok(text),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn failed(&self, source: io::Error) -> ArchiveError {
        ArchiveError::File {
            path: self.draft.clone(),
            source,
        }
    }

    pub(super) fn table(
        &mut self,
        name: &str,
        columns: Vec<ColumnHead>,
    ) -> Result<(), ArchiveError> {
        self.end_table()?;
        self.line(&Mark::Table {
            table: name.into(),
            columns,
        })?;
        self.counted.tables += 1;
        self.table = Some((name.into(), 0, Sha256::new()));
        Ok(())
    }

    pub(super) fn row(&mut self, row: &[Cell]) -> Result<(), ArchiveError> {
        let cells: Vec<serde_json::Value> = row.iter().map(Cell::to_json).collect();
        let text = self.line(&cells)?;
        if let Some((_, rows, digest)) = &mut self.table {
            *rows += 1;
            digest.update(text);
        }
        self.counted.rows += 1;
        Ok(())
    }

    fn end_table(&mut self) -> Result<(), ArchiveError> {
        let Some((end, rows, digest)) = self.table.take() else {
            return Ok(());
        };
        let sha256 = hex::encode(digest.finalize());
        self.line(&Mark::End { end, rows, sha256 }).map(drop)
    }

    /// Adds a file; one that is gone by now is left out.
    pub(super) fn file(&mut self, name: FileName, from: &Source) -> Result<(), ArchiveError> {
        self.end_table()?;
        let failed = |source| ArchiveError::File {
            path: from.place(),
            source,
        };
        let Some(mut from) = from.open().map_err(failed)? else {
            return Ok(());
        };
        self.line(&Mark::File { file: name.clone() })?;
        let (mut bytes, mut digest) = (0, Sha256::new());
        let mut piece = Vec::with_capacity(PIECE);
        loop {
            piece.clear();
            let read = (&mut from).take(PIECE as u64).read_to_end(&mut piece);
            if read.map_err(failed)? == 0 {
                break;
            }
            bytes += piece.len() as u64;
            digest.update(&piece);
            self.line(&BASE64_STANDARD.encode(&piece))?;
        }
        self.counted.files += 1;
        let sha256 = hex::encode(digest.finalize());
        let end_file = name;
        let end = Mark::EndFile {
            end_file,
            bytes,
            sha256,
        };
        self.line(&end).map(drop)
    }

    pub(super) fn finish(mut self) -> Result<Counted, ArchiveError> {
        self.end_table()?;
        let sha256 = hex::encode(self.all.clone().finalize());
        let Counted {
            tables,
            rows,
            files,
        } = self.counted;
        self.line(&Mark::Done {
            tables,
            rows,
            files,
            sha256,
        })?;
        let (path, draft, counted) = (self.path, self.draft, self.counted);
        let written = || {
            let file = self.out.finish()?.into_inner()?;
            file.sync_all()?;
            fs::rename(&draft, &path)
        };
        written().map_err(|source| ArchiveError::File {
            path: path.clone(),
            source,
        })?;
        Ok(counted)
    }

    /// Leaves nothing of it.
    pub(super) fn abandon(self) {
        drop(fs::remove_file(&self.draft));
    }
}

/// A piece of an archive, in order.
#[derive(Debug)]
pub(super) enum Piece {
    Table(String, Vec<String>),
    Row(Vec<Cell>),
    File(PieceOfFile),
    /// All that was written has been read, as it was written.
    End,
}

/// A piece of a file, in order.
#[derive(Debug)]
pub(super) enum PieceOfFile {
    Begin(FileName),
    Bytes(Vec<u8>),
    End,
}

/// Reads an archive, and looks at every checksum on the way.
pub(super) struct Reader {
    lines: BufReader<GzDecoder<BufReader<File>>>,
    path: PathBuf,
    all: Sha256,
    counted: Counted,
    table: Option<(String, usize, u64, Sha256)>,
    file: Option<(FileName, u64, Sha256)>,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<(Self, Head), ArchiveError> {
        let file = File::open(path).map_err(|source| ArchiveError::File {
            path: path.into(),
            source,
        })?;
        let mut reader = Self {
            lines: BufReader::new(GzDecoder::new(BufReader::new(file))),
            path: path.into(),
            all: Sha256::new(),
            counted: Counted::default(),
            table: None,
            file: None,
        };
        let line = reader.line().map_err(|_| ArchiveError::NotOne)?;
        reader.all.update(&line);
        #[derive(Deserialize)]
        struct Which {
            archive: String,
            version: u32,
        }
        let which: Which = serde_json::from_slice(&line).map_err(|_| ArchiveError::NotOne)?;
        if which.archive != FORMAT {
            return Err(ArchiveError::NotOne);
        }
        if which.version > VERSION {
            return Err(ArchiveError::Newer(which.version));
        }
        let head = serde_json::from_slice(&line).map_err(damaged)?;
        Ok((reader, head))
    }

    fn line(&mut self) -> Result<Vec<u8>, ArchiveError> {
        let mut line = Vec::new();
        let read = (&mut self.lines).take(LONGEST).read_until(b'\n', &mut line);
        match read {
            Ok(_) if line.ends_with(b"\n") => Ok(line),
            Ok(_) => Err(ArchiveError::Damaged("it ends too early".into())),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof
                        | io::ErrorKind::InvalidData
                        | io::ErrorKind::InvalidInput
                ) =>
            {
                Err(damaged(error))
            }
            Err(source) => Err(ArchiveError::File {
                path: self.path.clone(),
                source,
            }),
        }
    }

    pub(super) fn next(&mut self) -> Result<Piece, ArchiveError> {
        loop {
            let line = self.line()?;
            let before = self.all.clone();
            self.all.update(&line);
            if line.starts_with(b"[") {
                return self.row(&line);
            }
            if line.starts_with(b"\"") {
                return self.piece(&line);
            }
            match serde_json::from_slice(&line).map_err(damaged)? {
                Mark::Table { table, columns } => {
                    if self.table.is_some() || self.file.is_some() {
                        return Err(damaged("a table within a table"));
                    }
                    self.counted.tables += 1;
                    self.table = Some((table.clone(), columns.len(), 0, Sha256::new()));
                    let columns = columns.into_iter().map(|one| one.name).collect();
                    return Ok(Piece::Table(table, columns));
                }
                Mark::End { end, rows, sha256 } => {
                    let is_it = self.table.take().is_some_and(|(name, _, counted, digest)| {
                        name == end && counted == rows && hex::encode(digest.finalize()) == sha256
                    });
                    if !is_it {
                        return Err(damaged(format!("table {end} is not what was written")));
                    }
                }
                Mark::File { file } => {
                    if self.table.is_some() || self.file.is_some() {
                        return Err(damaged("a file within something else"));
                    }
                    self.counted.files += 1;
                    self.file = Some((file.clone(), 0, Sha256::new()));
                    return Ok(Piece::File(PieceOfFile::Begin(file)));
                }
                Mark::EndFile {
                    end_file,
                    bytes,
                    sha256,
                } => {
                    let is_it = self.file.take().is_some_and(|(name, counted, digest)| {
                        name == end_file
                            && counted == bytes
                            && hex::encode(digest.finalize()) == sha256
                    });
                    if !is_it {
                        return Err(damaged(format!("file {end_file} is not what was written")));
                    }
                    return Ok(Piece::File(PieceOfFile::End));
                }
                Mark::Done {
                    tables,
                    rows,
                    files,
                    sha256,
                } => {
                    let Counted {
                        tables: counted,
                        rows: counted_rows,
                        files: counted_files,
                    } = self.counted;
                    if self.table.is_some()
                        || self.file.is_some()
                        || (counted, counted_rows, counted_files) != (tables, rows, files)
                        || hex::encode(before.finalize()) != sha256
                    {
                        return Err(damaged("its checksum is another"));
                    }
                    return Ok(Piece::End);
                }
            }
        }
    }

    fn piece(&mut self, line: &[u8]) -> Result<Piece, ArchiveError> {
        let text: String = serde_json::from_slice(line).map_err(damaged)?;
        let bytes = BASE64_STANDARD.decode(text).map_err(damaged)?;
        let Some((_, length, digest)) = &mut self.file else {
            return Err(damaged("bytes of no file"));
        };
        *length += bytes.len() as u64;
        digest.update(&bytes);
        Ok(Piece::File(PieceOfFile::Bytes(bytes)))
    }

    fn row(&mut self, line: &[u8]) -> Result<Piece, ArchiveError> {
        let cells: Vec<serde_json::Value> = serde_json::from_slice(line).map_err(damaged)?;
        let Some((_, width, rows, digest)) = &mut self.table else {
            return Err(damaged("rows of no table"));
        };
        if cells.len() != *width {
            return Err(damaged("a row of another length"));
        }
        *rows += 1;
        digest.update(line);
        self.counted.rows += 1;
        let cells: Option<Vec<Cell>> = cells.into_iter().map(Cell::from_json).collect();
        cells
            .map(Piece::Row)
            .ok_or_else(|| damaged("a value of no kind"))
    }
}

fn damaged(error: impl ToString) -> ArchiveError {
    ArchiveError::Damaged(error.to_string())
}
