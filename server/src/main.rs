//! `sync_server`: keeps a replica of what `sync_client` sends.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    server::main()
}
