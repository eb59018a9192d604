//! The shop's program: `shop`, with no arguments, serves.

use std::process::ExitCode;

fn main() -> ExitCode {
    tenantry_manage::run::<shop::Shop>()
}
