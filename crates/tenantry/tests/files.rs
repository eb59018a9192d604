//! Large files take little memory: put, read, cloned, put into an archive and out again, and streamed
//! up and down over HTTP. How large they are, in MiB, `TENANTRY_TEST_LARGE_MIB` says.

#![cfg(test)]

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Instant,
};

use axum::{
    body::Body,
    http::{HeaderMap, Method, StatusCode},
    response::Response,
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tenantry::{
    lifecycle::{Exporting, NewTenant},
    migrate::Migrations,
    routing::{self, Resolvers, Result, Routes},
    scoped::files::{FileName, Files},
    tenant::Isolation,
    testing::Place,
};
use tokio::sync::Mutex;

const PIECE: usize = 64 * 1024;
/// What is packed takes its time.
const PACKED: u64 = 32 << 20;
const LITTLE: u64 = 12 << 20;

/// They measure what the whole process takes, so one waits for the other.
static MEASURED: Mutex<()> = Mutex::const_new(());

/// How many bytes a large file has.
fn large() -> u64 {
    let told = std::env::var("TENANTRY_TEST_LARGE_MIB").unwrap_or_else(|_| "200".into());
    let mebibytes: u64 = told.parse().expect("TENANTRY_TEST_LARGE_MIB is a number");
    (mebibytes << 20).max(PACKED)
}

/// How many bytes of memory this process has taken at most.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<u64>().unwrap() * 1024
}

/// Forgets what was taken before and given back, and says how much it is now.
fn measure_anew() -> u64 {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    peak()
}

/// Fails unless it took little memory.
#[track_caller]
fn took_little(what: &str, before: u64) {
    let grown = peak().saturating_sub(before);
    println!("{what}: {} KiB, of {} in all", grown / 1024, peak() / 1024);
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
    let _measured = MEASURED.lock().await;
    let large = large();
    let place = Place::with(Isolation::File, Migrations::new()).await;
    let acme = place.tenant("acme").await;
    let files = place.tenancy().files(&acme);
    let name: FileName = "large".parse().unwrap();
    // what the process needs anyway is there already
    let little = stream::iter([Ok::<_, io::Error>(piece(0))]);
    files
        .put(&"little".parse().unwrap(), little, large)
        .await
        .unwrap();

    let before = measure_anew();
    let pieces = |length: u64| {
        let numbers = stream::iter(0..length / PIECE as u64);
        numbers.map(|number| Ok::<_, io::Error>(piece(number)))
    };
    let started = Instant::now();
    files.put(&name, pieces(large), large).await.unwrap();
    println!("put in {:?}", started.elapsed());
    took_little("put", before);
    let started = Instant::now();
    is_whole(&files, &name, large).await;
    println!("read in {:?}", started.elapsed());
    took_little("read", before);
    let twin = NewTenant::new("twin".parse().unwrap(), "Twin");
    let twin = place.tenancy().clone_tenant(&acme, twin).await.unwrap();
    is_whole(&place.tenancy().files(&twin), &name, large).await;
    took_little("clone", before);
    files.put(&name, pieces(PACKED), large).await.unwrap();
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

async fn upload(
    files: Files,
    routing::Path(name): routing::Path<FileName>,
    body: Body,
) -> Result<StatusCode> {
    routing::files::receive(&files, &name, body.into_data_stream(), u64::MAX).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn download(
    files: Files,
    routing::Path(name): routing::Path<FileName>,
    headers: HeaderMap,
) -> Result<Response> {
    routing::files::answer(&files, &name, &headers).await
}

/// Sends the head of a request about a file of `acme`.
fn ask(server: SocketAddr, method: &str, name: &str, length: u64) -> TcpStream {
    let mut stream = TcpStream::connect(server).unwrap();
    let head = format!(
        "{method} /files/{name} HTTP/1.1\r\nHost: localhost\r\nTenant-Code: acme\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

fn send_up(server: SocketAddr, name: &str, length: u64) {
    let mut stream = ask(server, "PUT", name, length);
    for number in 0..length / PIECE as u64 {
        stream.write_all(&piece(number)).unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
}

fn take_down(server: SocketAddr, name: &str, length: u64) {
    let mut answer = BufReader::new(ask(server, "GET", name, 0));
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(answer.read_line(&mut head).unwrap(), 0, "{head}");
    }
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(
        head.contains(&format!("content-length: {length}\r\n")),
        "{head}"
    );
    let mut read = vec![0; PIECE];
    for number in 0..length / PIECE as u64 {
        answer.read_exact(&mut read).unwrap();
        assert!(piece(number) == read, "piece {number}");
    }
    assert_eq!(answer.read(&mut read).unwrap(), 0, "more than it has");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_files_take_little_memory_over_http() {
    let _measured = MEASURED.lock().await;
    let large = large();
    let place = Place::with(Isolation::File, Migrations::new()).await;
    place.tenant("acme").await;
    let routes = Routes::new()
        .tenant(Method::PUT, "/files/{*name}", upload)
        .tenant(Method::GET, "/files/{*name}", download);
    let resolvers = Resolvers::new().header("Tenant-Code");
    let router = routes.into_router(place.tenancy().clone(), resolvers, ());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = |work: fn(SocketAddr, &str, u64), name: &'static str, length| async move {
        let done = tokio::task::spawn_blocking(move || work(server, name, length));
        done.await.unwrap();
    };
    // what the process needs anyway is there already
    client(send_up, "little", PACKED).await;
    client(take_down, "little", PACKED).await;

    let before = measure_anew();
    let started = Instant::now();
    client(send_up, "large", large).await;
    println!("{} MiB up in {:?}", large >> 20, started.elapsed());
    took_little("up", before);
    // some ask for it and read nothing: what they are sent does not pile up
    let lazy: Vec<_> = (0..4).map(|_| ask(server, "GET", "large", 0)).collect();
    let started = Instant::now();
    client(take_down, "large", large).await;
    println!("{} MiB down in {:?}", large >> 20, started.elapsed());
    took_little("down", before);
    drop(lazy);
}
