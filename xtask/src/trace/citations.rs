//! Who cites a rule: a walk over everything that the project wrote.

use std::io;
use std::path::Path;

/// What a citation stands in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// Code that implements.
    Code,
    /// A test, the simulator, a fuzz target, the suite.
    Test,
    /// A scenario or a profile of the suite.
    Scenario,
    /// A recording, a vector or a probe under `spec/`.
    Evidence,
    /// A page.
    Page,
}

/// One place that cites a rule.
#[derive(Clone, Debug)]
pub struct Citation {
    /// Below the project's folder, with `/`.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// What it stands in.
    pub kind: Kind,
}

/// Folders that hold nothing that was written.
const SKIPPED: [&str; 5] = ["target", ".git", "corpus", "artifacts", "made"];
/// Crates that judge others: all that they cite, they check.
const JUDGES: [&str; 4] = ["sim/", "conformance/", "fuzz/", "benches/"];
/// Larger files are data.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Every citation, by rule id, in the order of the files' names.
///
/// # Errors
/// When a folder or file cannot be read.
pub fn all(root: &Path) -> io::Result<Vec<(String, Citation)>> {
    let mut found = Vec::new();
    walk(root, "", &mut found)?;
    Ok(found)
}

fn walk(root: &Path, below: &str, found: &mut Vec<(String, Citation)>) -> io::Result<()> {
    let mut entries = std::fs::read_dir(root.join(below))?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() {
            name.clone()
        } else {
            format!("{below}/{name}")
        };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !SKIPPED.contains(&name.as_str()) {
                walk(root, &path, found)?;
            }
        } else if kind.is_file() && entry.metadata()?.len() <= FILE_BYTES_MAX {
            if path == super::PAGE {
                continue;
            }
            // What is not text cites nothing.
            if let Ok(text) = String::from_utf8(std::fs::read(root.join(&path))?) {
                read(&path, &text, found);
            }
        }
    }
    Ok(())
}

fn read(path: &str, text: &str, found: &mut Vec<(String, Citation)>) {
    let mut kind = kind(path);
    for (number, line) in text.lines().enumerate() {
        if kind == Kind::Code && line.trim_start() == "#[cfg(test)]" && !text_declares(text, number) {
            kind = Kind::Test;
        }
        for id in ids(line) {
            let citation = Citation {
                file: path.to_owned(),
                line: number + 1,
                kind,
            };
            found.push((id.to_owned(), citation));
        }
    }
}

/// Whether the `#[cfg(test)]` at this line is of a declaration, with code below it, and not of a module with its body.
fn text_declares(text: &str, number: usize) -> bool {
    let mut rest = text.lines().skip(number + 1);
    rest.find(|line| !line.trim_start().starts_with("#["))
        .is_some_and(|line| line.trim_end().ends_with(';'))
}

fn kind(path: &str) -> Kind {
    if path.starts_with("conformance/scenarios/") || path.starts_with("conformance/profiles/") {
        return Kind::Scenario;
    }
    let page = Path::new(path)
        .extension()
        .is_some_and(|extension| extension == "md");
    if page {
        return Kind::Page;
    }
    if path.starts_with("spec/") {
        return Kind::Evidence;
    }
    let file = path.rsplit('/').next().unwrap_or(path);
    let test = path.contains("/tests/") || file == "tests.rs" || file.ends_with("_tests.rs");
    if test || JUDGES.iter().any(|judge| path.starts_with(judge)) {
        Kind::Test
    } else {
        Kind::Code
    }
}

/// The ids that a line names, in brackets or not.
fn ids(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("CS-").filter_map(|(at, _)| {
        let inside = line[..at].chars().next_back();
        if inside.is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '_') {
            return None;
        }
        let rest = &line[at + 3..];
        let area = rest.bytes().take_while(u8::is_ascii_uppercase).count();
        let digits = rest
            .get(area + 1..)?
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        let dash = rest.as_bytes().get(area) == Some(&b'-');
        (area > 0 && digits > 0 && dash).then(|| &line[at..at + 3 + area + 1 + digits])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_of_tests_is_a_test_and_a_declared_one_has_code_below() {
        let id = format!("{}-A-1", "CS");
        let kinds = |text: &str| {
            let mut found = Vec::new();
            read("toy/src/lib.rs", text, &mut found);
            found
                .into_iter()
                .map(|(_, citation)| citation.kind)
                .collect::<Vec<_>>()
        };
        let inside = format!(
            "/// {id}\nfn a() {{}}\n#[cfg(test)]\nmod tests {{\n    use super::*;\n    /// {id}\n}}\n"
        );
        assert_eq!(kinds(&inside), [Kind::Code, Kind::Test]);
        let declared = format!("#[cfg(test)]\n#[path = \"b.rs\"]\nmod tests;\n/// {id}\nfn a() {{}}\n");
        assert_eq!(kinds(&declared), [Kind::Code]);
    }

    #[test]
    fn ids_are_found_in_any_words() {
        let line = format!("see [{0}-A-1], {0}-BC-22 and {0}-x-1, X{0}-A-1, {0}-A-n", "CS");
        let found: Vec<_> = ids(&line).collect();
        assert_eq!(found, [format!("{}-A-1", "CS"), format!("{}-BC-22", "CS")]);
    }

    #[test]
    fn what_a_test_cites_is_told_from_code() {
        let id = format!("CS-{}-1", "TOY");
        let text = format!("// [{id}]\n#[cfg(test)]\nmod tests {{\n// [{id}]\n}}\n");
        let mut found = Vec::new();
        read("engine/src/x.rs", &text, &mut found);
        let kinds: Vec<_> = found.iter().map(|(_, citation)| citation.kind).collect();
        assert_eq!(kinds, [Kind::Code, Kind::Test]);

        let text = format!("#[cfg(test)]\nmod tests;\n// [{id}]\n");
        found.clear();
        read("engine/src/x.rs", &text, &mut found);
        assert_eq!(found[0].1.kind, Kind::Code);
        assert_eq!(kind("engine/tests/x.rs"), Kind::Test);
        assert_eq!(kind("conformance/scenarios/get/x.txt"), Kind::Scenario);
        assert_eq!(kind("spec/tools/x.py"), Kind::Evidence);
    }
}
