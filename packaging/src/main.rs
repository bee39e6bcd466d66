//! Writes what is made from the programs' arguments: manual pages and completions for shells.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: packaging man|completions DIRECTORY\n";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let written = match words.as_slice() {
        ["man", folder] => packaging::write_man_pages(Path::new(folder)),
        ["completions", folder] => packaging::write_completions(Path::new(folder)),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(64);
        }
    };
    match written {
        Ok(paths) => {
            let mut stdout = std::io::stdout().lock();
            for path in paths {
                // Nobody reading the list is no reason to fail.
                let _ = writeln!(stdout, "{}", path.display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("packaging: {}: {error}", words[1]);
            ExitCode::from(74)
        }
    }
}
