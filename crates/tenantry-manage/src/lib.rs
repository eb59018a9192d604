//! The management command line that an application of tenantry embeds: its binary *is* its
//! management command.

mod application;

pub use application::{Application, Owner};
