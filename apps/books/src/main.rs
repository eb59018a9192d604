//! The program: `books`, with no arguments, serves.

use std::process::ExitCode;

fn main() -> ExitCode {
    tenantry_manage::run::<books::Books>()
}
