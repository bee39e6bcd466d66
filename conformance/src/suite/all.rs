//! `conformance all`: every subject, as server and as client, and the matrix, in one report.

use super::client::command as clients;
use super::command;
use super::report::{html, json, table};
use super::subjects::Kind;
use crate::cyrus;
use crate::matrix::{self, Subject};
use crate::{Error, Result};
use clap::Args;
use serde_json::Value;
use std::path::PathBuf;

/// The options of `conformance all`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Whom to judge; several with commas.
    #[arg(long, value_name = "SUBJECT", value_delimiter = ',', default_value = "cyrus-3.2,cyrus-3.6,cyrus-3.10,cyrus-3.12,mailtwin", value_parser = command::kind)]
    subjects: Vec<Kind>,
    /// Tries every pair of them as well (ten minutes and more).
    #[arg(long)]
    matrix: bool,
    /// How often each scenario is played; a verdict that changes is an error.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Writes everything as one page.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Writes everything as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the command; the text is for standard output.
///
/// # Errors
/// When a subject cannot be set up, or after a report that somebody has to look at, which is printed before.
pub fn all(arguments: &Arguments) -> Result<String> {
    let say = |text: &str| eprintln!("{text} ...");
    for kind in &arguments.subjects {
        if let Kind::Cyrus(version) = kind {
            cyrus::install(*version, &say)?;
        }
    }
    let (mut reports, mut text, mut good) = (Vec::new(), String::new(), true);
    for kind in &arguments.subjects {
        let name = kind.name();
        say(&format!("{name} as server"));
        let server = command::judge(*kind, arguments.repeat)?;
        say(&format!("{name} as client"));
        let client = clients::judge(*kind, arguments.repeat)?;
        for report in [server, client] {
            good &= report.is_good();
            text.push_str(&table::text(&report, false));
            text.push('\n');
            reports.push((name.clone(), json::value(&report)));
        }
    }
    let mut squares = Value::Null;
    if arguments.matrix {
        let subjects: Vec<Subject> = arguments.subjects.iter().map(|kind| subject(*kind)).collect();
        let cells = matrix::run(&subjects, &subjects, &say)?;
        good &= cells.iter().all(matrix::Cell::expected);
        text.push_str(&matrix::table(&cells));
        squares = matrix::json(&cells);
    }
    let write = |file: &PathBuf, text: String| {
        std::fs::write(file, text).map_err(Error::io(format!("writing {}", file.display())))
    };
    if let Some(file) = &arguments.html {
        write(file, html::page(&reports, &squares))?;
    }
    if let Some(file) = &arguments.json {
        let reports: Vec<&Value> = reports.iter().map(|(_, report)| report).collect();
        let value = serde_json::json!({ "reports": reports, "matrix": squares });
        write(file, format!("{value:#}\n"))?;
    }
    if good {
        return Ok(text);
    }
    println!("{text}");
    Err(Error::Process(
        "not everything is as the spec asks or the profiles say".to_owned(),
    ))
}

fn subject(kind: Kind) -> Subject {
    match kind {
        Kind::Mailtwin => Subject::Mailtwin,
        Kind::Cyrus(version) => Subject::Cyrus(version),
    }
}
