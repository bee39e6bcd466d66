//! `cargo run --release -p sim -- run --seeds N`, or `--seed S` to repeat one.
#![forbid(unsafe_code)]

mod commands;

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::main()
}
