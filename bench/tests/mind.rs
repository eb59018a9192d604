//! What the benchmark starts ends with it.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// A process, unless it has ended.
fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/stat")));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_program_and_what_it_started_end_when_the_input_does() {
    let mut mind = Command::new(env!("CARGO_BIN_EXE_tenantry-bench"))
        .args(["mind", "--", "sh", "-c", "sleep 600 & echo $! $$; wait"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(mind.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let pids: Vec<&str> = line.split_ascii_whitespace().collect();
    assert_eq!(pids.len(), 2, "{line}");
    assert!(pids.iter().all(|pid| is_running(pid)), "{line}");

    drop(mind.stdin.take());
    assert!(mind.wait().unwrap().success());
    let begun = Instant::now();
    while pids.iter().any(|pid| is_running(pid)) {
        assert!(begun.elapsed() < Duration::from_secs(30), "still: {line}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_program_that_ends_by_itself_is_told_of() {
    let mut mind = Command::new(env!("CARGO_BIN_EXE_tenantry-bench"))
        .args(["mind", "--", "true"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // held open, so that it is not this that ends it
    let input = mind.stdin.take();
    assert_eq!(mind.wait().unwrap().code(), Some(1));
    drop(input);
}
