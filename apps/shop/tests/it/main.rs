//! The shop as its users have it: the program itself, over HTTP, in a browser and on the command
//! line. What it must do is promised to clients and scripts; how it does it may change without any
//! of this knowing.

#![cfg(test)]

mod api;
mod backup;
mod bad_input;
mod browser;
mod commands;
mod crash;
mod domains;
mod files_in_s3;
mod jobs;
mod leaks;
mod limits;
mod live;
mod logs;
mod mail;
mod matrix;
#[cfg(feature = "otlp")]
mod otlp;
mod picture_links;
mod pictures;
mod processes;
#[cfg(feature = "redis")]
mod redis;
mod settings;
mod support;
mod themes;
mod usage;
