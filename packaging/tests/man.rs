//! Manual pages and completions: made from the programs, with what a reader looks for, and sound for their readers.

use std::path::Path;
use std::process::{Command, Stdio};

use packaging::pages::{PAGES, Page};

fn pages() -> (tempfile::TempDir, Vec<(String, String)>) {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = packaging::write_man_pages(folder.path()).expect("written");
    let read = |path: &std::path::PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, std::fs::read_to_string(path).expect("read"))
    };
    let pages = paths.iter().map(read).collect();
    (folder, pages)
}

/// Whether a program is there to check with; says so when not.
fn there(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        eprintln!("{program} is not installed; what it would check is not checked");
    }
    found
}

/// The text of a section.
fn section<'a>(page: &'a str, title: &str) -> Option<&'a str> {
    let (_, rest) = page
        .split_once(&format!(".SH {title}\n"))
        .or_else(|| page.split_once(&format!(".SH \"{title}\"\n")))?;
    Some(rest.split("\n.SH ").next().unwrap_or(rest))
}

#[test]
fn each_program_and_command_has_a_page_with_all_that_is_looked_for() {
    let (_folder, pages) = pages();
    let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
    for name in ["sync_client.8", "sync_server.8", "cyr_synclog.8", "mailtwin.8"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert_eq!(
        pages.len(),
        PAGES.len(),
        "`packaging::pages` has a page of what is no command any more"
    );
    for (name, text) in &pages {
        for title in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "FILES",
            "EXIT STATUS",
            "EXAMPLES",
            "SEE ALSO",
        ] {
            let body = section(text, title).unwrap_or_else(|| panic!("{name} has no {title}"));
            assert!(body.trim().len() > 5, "{name}: {title} is empty");
        }
        let zero = section(text, "EXIT STATUS").expect("checked above");
        assert!(zero.contains("\\fB0\\fR"), "{name} does not say what 0 means");
    }
    let text = |wanted: &str| {
        let found = pages.iter().find(|(name, _)| name == wanted);
        found.map(|(_, text)| text.as_str()).expect(wanted)
    };
    let client = text("sync_client.8");
    for word in [
        "\\-\\-no\\-copyback",
        "\\-\\-rolling\\-once",
        "SIGHUP",
        "skipuser",
        "\\fB75\\fR",
    ] {
        assert!(client.contains(word), "sync_client.8 has no {word}");
    }
    assert!(
        section(text("mailtwin.8"), "SUBCOMMANDS")
            .expect("a section")
            .contains("mailtwin\\-status(8)")
    );
    assert!(
        section(text("mailtwin-sieve.8"), "COMMANDS")
            .expect("a section")
            .contains("mailtwin sieve put")
    );
}

#[test]
fn other_pages_that_are_named_exist() {
    let names: Vec<&str> = PAGES.iter().map(|page| page.name).collect();
    for page in PAGES {
        for other in page.see_also {
            let name = other
                .strip_suffix("(8)")
                .or_else(|| other.strip_suffix("(5)"))
                .expect(other);
            assert!(
                names.contains(&name) || name.starts_with("systemd."),
                "{} names {other}",
                page.name
            );
            assert_ne!(name, page.name);
        }
    }
}

/// Words of a shell line up to what is the shell's own.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '\'' => quoted = !quoted,
            '<' | '>' | '|' | '&' if !quoted => break,
            ' ' if !quoted => words.push(String::new()),
            other => words.last_mut().expect("never empty").push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn examples_are_lines_that_the_programs_take() {
    let programs = packaging::programs();
    let mut tried = 0;
    for Page { name, examples, .. } in PAGES {
        assert!(!examples.is_empty(), "{name}");
        for line in examples.iter().flat_map(|(_, lines)| lines.lines()) {
            let words = words(line);
            let Some(program) = programs.iter().find(|program| program.get_name() == words[0]) else {
                continue;
            };
            tried += 1;
            if let Err(error) = program.clone().try_get_matches_from(&words) {
                panic!("{name}: {line}: {error}");
            }
        }
    }
    assert!(tried > PAGES.len(), "{tried} lines were tried");
}

#[test]
fn mandoc_finds_no_fault() {
    if !there("mandoc") {
        return;
    }
    let (folder, pages) = pages();
    let output = Command::new("mandoc")
        .args(["-T", "lint", "-W", "style"])
        .args(pages.iter().map(|(name, _)| folder.path().join(name)))
        .output()
        .expect("runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    assert!(output.status.success());
}

#[test]
fn completions_know_every_long_option() {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = packaging::write_completions(folder.path()).expect("written");
    assert_eq!(paths.len(), 12, "four programs, three shells");
    for program in packaging::programs() {
        let name = program.get_name().to_owned();
        for file in [
            format!("bash/{name}.bash"),
            format!("zsh/_{name}"),
            format!("fish/{name}.fish"),
        ] {
            let text = std::fs::read_to_string(folder.path().join(&file)).expect(&file);
            let options = program.get_arguments().filter(|option| !option.is_hide_set());
            for long in options.filter_map(|option| option.get_long()) {
                assert!(text.contains(long), "{file} does not know --{long}");
            }
        }
    }
    check_syntax("bash", folder.path(), ".bash");
    check_syntax("zsh", folder.path(), "");
    check_syntax("fish", folder.path(), ".fish");
}

fn check_syntax(shell: &str, folder: &Path, ending: &str) {
    if !there(shell) {
        return;
    }
    for entry in folder.join(shell).read_dir().expect("a folder") {
        let path = entry.expect("an entry").path();
        assert!(path.to_string_lossy().ends_with(ending));
        let output = Command::new(shell).arg("-n").arg(&path).output().expect("runs");
        assert!(
            output.status.success(),
            "{}: {}",
            path.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
