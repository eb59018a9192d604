//! The cases about files, with S3 in place of the data folder; and what is different there.
#![cfg(test)]

use std::{fs, io, path::Path, path::PathBuf};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tenantry::{
    Config, Tenancy, Tenant,
    lifecycle::{LifecycleError, NewTenant},
    scoped::files::{FileError, FileName, FileStore, Files},
    tenant::Isolation,
    testing::{Place, conformance},
};
use tenantry_trial::S3Server;

/// What is in no bucket: a folder's own remains.
const OF_FOLDERS: &[&str] = &["files::what_died_is_swept"];

/// The cases that the data folder passes as well.
async fn the_cases_hold(isolation: Isolation) {
    let server = S3Server::start();
    let of_files = conformance::cases().filter(|case| case.name.starts_with("files::"));
    let (left_out, cases): (Vec<_>, Vec<_>) =
        of_files.partition(|case| OF_FOLDERS.contains(&case.name));
    assert_eq!(left_out.len(), OF_FOLDERS.len(), "{left_out:?}");
    assert!(cases.len() > 15, "{cases:?}");
    for case in cases {
        let prefix = format!("{isolation}/{}", case.name.replace("::", "-"));
        let place = conformance::place(isolation).await;
        let place = place.with_files(server.files(&prefix)).await;
        let data = place.folder().join("files");
        println!("{isolation}: {}", case.name);
        (case.run)(place).await;
        assert!(
            !data.exists(),
            "{}: it has put something into the data folder",
            case.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cases_hold_in_file() {
    the_cases_hold(Isolation::File).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cases_hold_in_rows() {
    the_cases_hold(Isolation::Rows).await;
}

fn name(text: &str) -> FileName {
    text.parse().unwrap()
}

async fn put(files: &Files, at: &str, bytes: Vec<u8>) {
    let bytes = stream::iter([Ok::<_, io::Error>(Bytes::from(bytes))]);
    files.put(&name(at), bytes, u64::MAX).await.unwrap();
}

async fn read(files: &Files, at: &str) -> Result<Vec<u8>, FileError> {
    let found = files.find(&name(at)).await?;
    let bytes = found.read(0..found.info.bytes).await?;
    Ok(bytes.try_collect::<Vec<_>>().await?.concat())
}

/// The paths of all files below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(below(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

async fn place(server: &S3Server, prefix: &str) -> Place {
    let place = conformance::place(Isolation::File).await;
    place.with_files(server.files(prefix)).await
}

/// Something of every length that is sent in another way: none, one that is whole at once, several
/// parts, and parts that end where the file does.
#[tokio::test(flavor = "multi_thread")]
async fn each_is_at_its_tenants_id_as_it_was_put() {
    let server = S3Server::start();
    let place = place(&server, "a/b").await;
    let acme = place.tenant("acme").await;
    let files = place.tenancy().files(&acme);
    let at = server.bucket().join("a/b").join(acme.id().to_string());
    let lengths = [0, 1, (8 << 20) - 1, 8 << 20, (8 << 20) + 1, 17 << 20];
    for length in lengths {
        let bytes: Vec<u8> = (0..length)
            .map(|at| u8::try_from(at % 251).unwrap())
            .collect();
        let text = format!("of/{length}.bin");
        put(&files, &text, bytes.clone()).await;
        assert!(fs::read(at.join(&text)).unwrap() == bytes, "{length}");
        assert!(read(&files, &text).await.unwrap() == bytes, "{length}");
        let found = files.find(&name(&text)).await.unwrap();
        assert_eq!(found.info.bytes, length);
        let tag = &found.info.etag;
        assert!(
            tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2,
            "{tag}"
        );
        if length > 20 {
            let part = found.read(7..20).await.unwrap();
            let part = part.try_collect::<Vec<_>>().await.unwrap().concat();
            assert_eq!(part, bytes[7..20]);
        }
    }
    assert_eq!(below(&server.bucket()).len(), lengths.len());
    assert_eq!((server.files("a/b").unfinished)(), Vec::<PathBuf>::new());
    assert_eq!(
        place.tenancy().files_location(&acme),
        format!("{}/{}", server.url("a/b"), acme.id())
    );
}

/// What is told to be one tenant's is no other's, though all are in one bucket; and one tenant's prefix
/// is not the beginning of another's name.
#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_object_is_none() {
    let server = S3Server::start();
    let place = place(&server, "own").await;
    let (acme, globex) = (place.tenant("acme").await, place.tenant("globex").await);
    let (ours, theirs) = (place.tenancy().files(&acme), place.tenancy().files(&globex));
    put(&ours, "secret", b"ours".to_vec()).await;
    put(&ours, "a/secret", b"ours".to_vec()).await;
    assert_eq!(read(&ours, "secret").await.unwrap(), b"ours", "the control");
    let id = acme.id();
    for way in [
        "secret".to_owned(),
        "a/secret".to_owned(),
        format!("{id}/secret"),
        format!("own/{id}/secret"),
        format!("trial/own/{id}/secret"),
    ] {
        let read = read(&theirs, &way).await;
        assert!(matches!(read, Err(FileError::NotFound)), "{way}: {read:?}");
        assert!(!theirs.delete(&name(&way)).await.unwrap(), "{way}");
    }
    for way in [
        format!("../{id}/secret"),
        format!("/{id}/secret"),
        format!("a/../../{id}/secret"),
    ] {
        assert!(way.parse::<FileName>().is_err(), "{way}");
    }
    assert_eq!(theirs.list(None, None, 9).await.unwrap(), []);
    assert_eq!(theirs.usage().await.unwrap().files, 0);
    place.tenancy().erase(&globex).await.unwrap();
    assert_eq!(read(&ours, "secret").await.unwrap(), b"ours");
    assert_eq!(ours.usage().await.unwrap().files, 2);
}

/// The copies that go from the folder into the bucket and back.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_goes_from_the_one_to_the_other() {
    let server = S3Server::start();
    let here = conformance::place(Isolation::File).await;
    let acme = here.tenant("acme").await;
    put(&here.tenancy().files(&acme), "a/b", b"as it was".to_vec()).await;
    let first = here.folder().join("first");
    here.tenancy().backup(&first, None, |_| {}).await.unwrap();

    let there = place(&server, "there").await;
    there
        .tenancy()
        .restore_backup(&first, |_| {})
        .await
        .unwrap();
    let tenant = there.tenant("acme").await;
    let files = there.tenancy().files(&tenant);
    assert_eq!(read(&files, "a/b").await.unwrap(), b"as it was");
    assert_eq!(below(&server.bucket()).len(), 1);
    assert!(!there.folder().join("files").exists());
    put(&files, "c", vec![7; 9 << 20]).await;
    let second = there.folder().join("second");
    there.tenancy().backup(&second, None, |_| {}).await.unwrap();

    let back = conformance::place(Isolation::File).await;
    back.tenancy()
        .restore_backup(&second, |_| {})
        .await
        .unwrap();
    let files = back.tenancy().files(&back.tenant("acme").await);
    assert_eq!(read(&files, "a/b").await.unwrap(), b"as it was");
    assert_eq!(read(&files, "c").await.unwrap(), vec![7; 9 << 20]);
}

/// What was in the data folder before is nobody's any more, and goes with the tenant.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_left_in_the_data_folder_is_erased_too() {
    let server = S3Server::start();
    let place = conformance::place(Isolation::File).await;
    let acme = place.tenant("acme").await;
    put(&place.tenancy().files(&acme), "before", b"12".to_vec()).await;
    let place = place.with_files(server.files("x")).await;
    let tenancy = place.tenancy();
    let files = tenancy.files(&acme);
    assert_eq!(files.usage().await.unwrap().files, 0);
    put(&files, "after", b"345".to_vec()).await;
    assert_eq!(tenancy.count_files(&acme).await.unwrap().files, 1);
    let removed = tenancy.erase(&acme).await.unwrap().removed;
    assert_eq!((removed.files, removed.file_bytes), (2, 5));
    assert_eq!(below(&server.bucket()), Vec::<PathBuf>::new());
    assert_eq!(below(&place.folder().join("files")), Vec::<PathBuf>::new());
}

/// Files of nobody are told, and left to people: the prefix could be another deployment's.
#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_nobody_is_told_and_left() {
    let server = S3Server::start();
    let (ours, others) = (place(&server, "same").await, place(&server, "same").await);
    let acme = ours.tenant("acme").await;
    put(&ours.tenancy().files(&acme), "a", b"x".to_vec()).await;
    assert_eq!(ours.tenancy().orphans().await.unwrap(), []);
    let orphans = others.tenancy().orphans().await.unwrap();
    let [orphan] = orphans.as_slice() else {
        panic!("{orphans:?}");
    };
    assert_eq!((orphan.tenant, orphan.is_removable), (acme.id(), false));
    assert!(orphan.what.contains(&server.url("same")), "{orphan:?}");
    assert!(!others.tenancy().remove_orphan(orphan).await.unwrap());
    assert_eq!(read(&ours.tenancy().files(&acme), "a").await.unwrap(), b"x");
}

/// While nobody answers, nothing is taken for gone, and a tenant's erasure does not begin.
#[tokio::test(flavor = "multi_thread")]
async fn without_it_nothing_is_done_by_half() {
    let server = S3Server::start();
    let place = place(&server, "away").await;
    let acme = place.tenant("acme").await;
    let files = place.tenancy().files(&acme);
    put(&files, "a", b"x".to_vec()).await;
    let missing = missing_bucket(&server, &place).await;
    let there: Tenant = missing.tenant(acme.code()).await.unwrap().unwrap();
    let none = missing.files(&there);
    let listed = none.list(None, None, 9).await;
    assert!(matches!(listed, Err(FileError::Store(_))), "{listed:?}");
    let bytes = stream::iter([Ok::<_, io::Error>(Bytes::from("x"))]);
    let stored = none.put(&name("b"), bytes.boxed(), 9).await;
    assert!(matches!(stored, Err(FileError::Store(_))), "{stored:?}");
    let erased = missing.erase(&there).await;
    assert!(
        matches!(erased, Err(LifecycleError::Files(_))),
        "{erased:?}"
    );
    let new = NewTenant::new("twin".parse().unwrap(), "Twin");
    assert!(missing.clone_tenant(&there, new).await.is_err());
    assert!(missing.count_files(&there).await.is_err());
    let archive = place.folder().join("acme.archive");
    assert!(
        missing
            .export(&there, &archive, Default::default())
            .await
            .is_err()
    );
    assert!(!archive.exists());
    let backup = place.folder().join("backup");
    assert!(missing.backup(&backup, Some(&there), |_| {}).await.is_err());
    missing.close();
    // and it is as it was
    assert_eq!(read(&files, "a").await.unwrap(), b"x");
    place.tenancy().erase(&acme).await.unwrap();
    assert_eq!(below(&server.bucket()), Vec::<PathBuf>::new());
}

/// The same deployment, told of a bucket that is not there.
async fn missing_bucket(server: &S3Server, place: &Place) -> Tenancy {
    let options = server.environment();
    let options: Vec<_> = options
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .collect();
    let options = options
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let store = FileStore::at_with("s3://no-such-bucket/away", options).unwrap();
    let config: Config = place.config().files_in(store);
    Tenancy::open(config).await.unwrap()
}
