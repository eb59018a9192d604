//! Takes the program out of the first chapter.

use std::{env, fs, path::Path};

fn main() {
    let chapter = "src/ten-minutes.md";
    println!("cargo::rerun-if-changed={chapter}");
    let text = fs::read_to_string(chapter).expect("the chapter can be read");
    let (_, rest) = text
        .split_once("```rust,program\n")
        .expect("the chapter has a program");
    let (program, _) = rest.split_once("```\n").expect("the program has an end");
    let out = env::var("OUT_DIR").expect("cargo says where to");
    fs::write(Path::new(&out).join("program.rs"), program).expect("the program can be written");
}
