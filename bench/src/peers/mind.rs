//! Minds a program that does not know when to end: it is stopped, with all that it started, when the
//! benchmark ends in whatever way.

use std::{ffi::OsString, io::Read, process::Stdio};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Command;

use crate::{Error, told_to_stop};

#[derive(Args)]
pub(crate) struct Mind {
    /// The program, and what it is told
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

pub(crate) async fn mind(mind: Mind) -> Result<(), Error> {
    let doing = Error::io("starting a peer's program");
    let mut command = Command::new(mind.command.first().cloned().unwrap_or_default());
    command
        .args(mind.command.iter().skip(1))
        // one that all its own processes are in
        .process_group(0)
        .stdin(Stdio::null());
    let mut child = command.spawn().map_err(&doing)?;
    let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    let input = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let ended = tokio::select! {
        _ = input => false,
        result = told_to_stop() => result.map(|()| false)?,
        _ = child.wait() => true,
    };
    if let Some(group) = group {
        // there is nothing that any of them would have to finish; none may be left
        let _ = kill_process_group(group, Signal::KILL);
    }
    drop(child.wait().await);
    // whoever told it to stop may hold its input still, and nothing else is left to do
    std::process::exit(i32::from(ended));
}
