//! The guide's chapters: each of their examples is built and run with the tests of documentation.
//!
//! The first chapter's program is the binary `notes`, whose source is the chapter.

#[doc = include_str!("src/isolation.md")]
pub mod isolation {}

#[doc = include_str!("src/users.md")]
pub mod users {}

#[doc = include_str!("src/routing.md")]
pub mod routing {}

#[doc = include_str!("src/policies.md")]
pub mod policies {}

#[doc = include_str!("src/jobs.md")]
pub mod jobs {}

#[doc = include_str!("src/files.md")]
pub mod files {}

#[doc = include_str!("src/testing.md")]
pub mod testing {}
