//! `sync_client`: makes a replica equal to the store.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    client::main()
}
