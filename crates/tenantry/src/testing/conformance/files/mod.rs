//! A tenant's files: what they are, that nobody else has them, and that they go where it goes.

mod http;
mod kept;
mod lifecycle;

use std::{fs, io, path::PathBuf, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::{Case, Place, list, soon};
use crate::{
    Tenancy, Tenant,
    lifecycle::{Exporting, GRACE, LifecycleError},
    routing::{self, Path, Resolvers, Routes},
    scoped::files::{FileError, FileName, Files, Signature, Usage},
    tenant::{Isolation, Placement, TenantCode},
};

pub(super) const CASES: [&[Case]; 3] = [http::CASES, lifecycle::CASES, kept::CASES];

const MOST: u64 = 1 << 20;

fn name(text: &str) -> FileName {
    text.parse().unwrap()
}

fn code(text: &str) -> TenantCode {
    text.parse().unwrap()
}

fn pieces(text: &str) -> BoxStream<'static, io::Result<Bytes>> {
    let pieces: Vec<_> = text
        .as_bytes()
        .chunks(3)
        .map(Bytes::copy_from_slice)
        .collect();
    stream::iter(pieces.into_iter().map(Ok)).boxed()
}

async fn put(files: &Files, at: &str, text: &str) {
    let stored = files.put(&name(at), pieces(text), MOST).await.unwrap();
    assert_eq!(stored.bytes, text.len() as u64);
}

async fn read(files: &Files, at: &str) -> Option<String> {
    let found = match files.find(&name(at)).await {
        Ok(found) => found,
        Err(FileError::NotFound) => return None,
        Err(error) => panic!("{at}: {error:?}"),
    };
    let bytes = found.read(0..found.info.bytes).await.unwrap();
    let bytes: Vec<Bytes> = bytes.try_collect().await.unwrap();
    Some(String::from_utf8(bytes.concat()).unwrap())
}

async fn names(files: &Files) -> Vec<String> {
    let listed = files.list(None, None, usize::MAX).await.unwrap();
    listed.into_iter().map(|file| file.name.into()).collect()
}

async fn files_of(place: &Place, text: &str) -> Files {
    place.tenancy().files(&place.tenant(text).await)
}

async fn found(place: &Place, text: &str) -> Tenant {
    place.tenancy().tenant(&code(text)).await.unwrap().unwrap()
}

/// Everything that a tenant has on the disk, unfinished or not: a path for each file.
fn on_disk(place: &Place, tenant: &Tenant) -> Vec<PathBuf> {
    let mut folders = vec![folder_of(place, tenant)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.extend(place.unfinished());
    found
}

/// Where a tenant's files are on the disk, as the store has them.
fn folder_of(place: &Place, tenant: &Tenant) -> PathBuf {
    place.files().join(tenant.id().to_string())
}

const HOUR: Duration = Duration::from_secs(60 * 60);

async fn is_good(files: &Files, at: &str, signature: &Signature) -> bool {
    match files.verify(&name(at), signature).await {
        Ok(()) => true,
        Err(FileError::Signature) => false,
        Err(error) => panic!("{at}: {error:?}"),
    }
}
