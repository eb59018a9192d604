//! Large files take little memory: put, read, cloned, and put into an archive and out again.

#![cfg(test)]

use std::{io, path::Path};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tenantry::{
    lifecycle::{Exporting, NewTenant},
    migrate::Migrations,
    scoped::files::{FileName, Files},
    tenant::Isolation,
    testing::Place,
};

const PIECE: usize = 64 * 1024;
const LARGE: u64 = 200 << 20;
/// What is packed takes its time.
const PACKED: u64 = 32 << 20;
const LITTLE: u64 = 12 << 20;

/// How many bytes of memory this process has taken at most.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() * 1024
}

/// Fails unless it took little memory.
#[track_caller]
fn took_little(what: &str, before: u64) {
    let grown = peak() - before;
    println!("{what}: {} KiB", grown / 1024);
    assert!(grown < LITTLE, "{what}: {grown} bytes");
}

/// The piece of that number, which differs from the others.
fn piece(number: u64) -> Bytes {
    let byte = u8::try_from(number % 251).unwrap();
    Bytes::from(vec![byte; PIECE])
}

async fn is_whole(files: &Files, name: &FileName, length: u64) {
    let found = files.find(name).await.unwrap();
    assert_eq!(found.info.bytes, length);
    let mut read = 0_u64;
    let mut bytes = found.read(0..length).await.unwrap();
    while let Some(mut some) = bytes.try_next().await.unwrap() {
        while !some.is_empty() {
            let at = usize::try_from(read % PIECE as u64).unwrap();
            let part = some.split_to(some.len().min(PIECE - at));
            let expected = piece(read / PIECE as u64);
            assert!(part == expected[at..at + part.len()], "at {read}");
            read += part.len() as u64;
        }
    }
    assert_eq!(read, length);
}

#[tokio::test]
async fn large_files_take_little_memory() {
    let place = Place::with(Isolation::File, Migrations::new()).await;
    let acme = place.tenant("acme").await;
    let files = place.tenancy().files(&acme);
    let name: FileName = "large".parse().unwrap();
    // what the process needs anyway is there already
    let little = stream::iter([Ok::<_, io::Error>(piece(0))]);
    files
        .put(&"little".parse().unwrap(), little, LARGE)
        .await
        .unwrap();

    let before = peak();
    let pieces = |length: u64| {
        let numbers = stream::iter(0..length / PIECE as u64);
        numbers.map(|number| Ok::<_, io::Error>(piece(number)))
    };
    let started = std::time::Instant::now();
    files.put(&name, pieces(LARGE), LARGE).await.unwrap();
    println!("put in {:?}", started.elapsed());
    took_little("put", before);
    let started = std::time::Instant::now();
    is_whole(&files, &name, LARGE).await;
    println!("read in {:?}", started.elapsed());
    took_little("read", before);
    let twin = NewTenant::new("twin".parse().unwrap(), "Twin");
    let twin = place.tenancy().clone_tenant(&acme, twin).await.unwrap();
    is_whole(&place.tenancy().files(&twin), &name, LARGE).await;
    took_little("clone", before);
    files.put(&name, pieces(PACKED), LARGE).await.unwrap();
    let archive = place.folder().join("acme.archive");
    export(&place, &archive).await;
    took_little("export", before);
    let copy = "copy".parse().unwrap();
    let copy = place
        .tenancy()
        .import(&archive, Some(copy), |new| new)
        .await
        .unwrap();
    is_whole(&place.tenancy().files(&copy), &name, PACKED).await;
    took_little("import", before);
}

async fn export(place: &Place, to: &Path) {
    let acme = place.tenant("acme").await;
    let exported = place
        .tenancy()
        .export(&acme, to, Exporting::default())
        .await;
    assert_eq!(exported.unwrap().files, 2);
}
