//! The only place that prints: data on stdout, everything else on stderr.
//!
//! When nobody reads on (`… | head -1`), what is left is not printed and the command goes on to its
//! end: what it does must not depend on who watches.

use std::{
    fmt::Display,
    io::{self, ErrorKind, IsTerminal, Write, stderr, stdout},
};

use serde::Serialize;

use crate::{
    Error,
    harmless::{escaped, harmless},
    logging,
    table::Table,
};

/// Prints lines of data.
pub(crate) fn data(lines: impl Display) -> Result<(), Error> {
    print(&harmless(&lines.to_string()))
}

/// Prints data as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Error> {
    print(&escaped(&serde_json::to_string_pretty(value)?))
}

fn print(text: &str) -> Result<(), Error> {
    let mut out = stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::Output(error)),
        _ => Ok(()),
    }
}

/// Prints a table, on a terminal as wide as that is and else as wide as it needs. Without rows
/// there is nothing to print.
pub(crate) fn table(table: &Table) -> Result<(), Error> {
    if table.is_empty() {
        return Ok(());
    }
    let width = stdout()
        .is_terminal()
        .then(|| terminal_size::terminal_size().map_or(80, |(width, _)| width.0.into()));
    data(table.render(width))
}

/// Tells people something that is no data.
pub(crate) fn note(line: impl Display) {
    if logging::tell("INFO", &line.to_string()) {
        return;
    }
    tell(writeln!(stderr().lock(), "{}", harmless(&line.to_string())));
}

/// Asks people something, on the line that they answer on.
pub(crate) fn ask(question: impl Display) {
    let mut err = stderr().lock();
    tell(write!(err, "{} ", harmless(&question.to_string())).and_then(|()| err.flush()));
}

/// Tells what went wrong and what to do next.
pub(crate) fn error(error: &Error, app: &str) {
    if logging::tell("ERROR", error.to_string().trim_end()) {
        if let Some(hint) = error.hint(app) {
            logging::tell("INFO", &format!("hint: {hint}"));
        }
        return;
    }
    note(format_args!("error: {}", error.to_string().trim_end()));
    if let Some(hint) = error.hint(app) {
        note(format_args!("hint: {hint}"));
    }
}

/// Prints what clap has to say: help, the version, or what is wrong with the command line.
pub(crate) fn usage(told: &clap::Error) {
    tell(told.print());
}

/// There is nobody left to tell about a failure to tell.
fn tell(told: io::Result<()>) {
    drop(told);
}
