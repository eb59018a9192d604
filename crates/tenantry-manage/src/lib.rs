//! The management command line that an application of tenantry embeds: its binary *is* its
//! management command.
//!
//! An application says what it is made of in an [`Application`], and hands over:
//!
//! ```no_run
//! # use std::process::ExitCode;
//! # use tenantry_manage::Application;
//! # fn program<Shop: Application>() -> ExitCode {
//! tenantry_manage::run::<Shop>()
//! # }
//! ```
//!
//! in `main`, and so has `serve`, `tenant`, `migrate`, `check`, `user`, `run`, `sql` and `demo`. A small one to
//! copy from is `examples/hello.rs`.
//!
//! # For those who script it
//!
//! Data goes to stdout, everything else to stderr. The exit code is 0 when it is done; 1 it failed;
//! 2 wrong usage or settings; 3 no such tenant; 4 refused (a check, a confirmation); 5 partly done:
//! some tenants failed, and each is named.
//!
//! Settings come from the flag, then the environment (`NAME_DATA`, …), then `NAME.toml`, then a
//! default; `--help` lists them.

mod application;
mod arguments;
mod commands;
mod confirm;
mod context;
mod error;
mod exit;
mod harmless;
mod logging;
mod password;
mod pattern;
mod printer;
mod progress;
mod settings;
mod table;
#[cfg_attr(not(feature = "otlp"), path = "traces/none.rs")]
mod traces;
mod whom;

use std::{process::ExitCode, time::Duration};

pub use application::{Application, Owner, People, Task};

use crate::{
    arguments::Arguments, commands::Command, context::Context, error::Error, exit::Exit,
    settings::Settings, traces::Traces,
};

/// How long the end of the process waits for files that are being closed.
const CLOSING: Duration = Duration::from_secs(10);

/// The application's `main`: reads the command line, does what it says, and tells the process' exit
/// code.
///
/// It makes its own tokio runtime, so it must not be called from within one.
#[must_use]
pub fn run<A: Application>() -> ExitCode {
    let arguments = match Arguments::read::<A>(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(told) => {
            printer::usage(&told);
            return if told.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            }
            .into();
        }
    };
    match start::<A>(arguments) {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            printer::error(&error, A::NAME);
            Exit::from(&error).into()
        }
    }
}

fn start<A: Application>(arguments: Arguments) -> Result<(), Error> {
    let command = arguments.command.unwrap_or(Command::Serve);
    let settings = Settings::read(A::NAME, &arguments.flags)?;
    let (level, collector) = match command {
        Command::Serve | Command::Worker(_) => ("info", settings.otlp_endpoint.as_ref()),
        _ => ("warn", None),
    };
    let traces = Traces::begin::<A>(collector)?;
    logging::start(level, settings.log_format, traces.as_ref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let context = Context::new(settings);
    let done = runtime.block_on(commands::run::<A>(command, &context));
    match done {
        Err(Error::Interrupted) => runtime.shutdown_background(),
        _ => {
            runtime.shutdown_timeout(CLOSING);
            if let Some(traces) = traces {
                traces.end();
            }
        }
    }
    done
}
