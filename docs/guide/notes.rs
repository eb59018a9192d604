//! The program of the guide's first chapter.

include!(concat!(env!("OUT_DIR"), "/program.rs"));
