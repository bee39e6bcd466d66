//! `cyr_synclog`: notes in the logs of all channels that something is to be replicated.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    cyr_synclog::main()
}
