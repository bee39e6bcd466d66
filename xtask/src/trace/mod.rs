//! `cargo xtask trace`: ties every rule of `spec/` to the code, tests and scenarios that cite it, and writes the result as a
//! page of the docs.

mod citations;
mod page;
mod rules;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::citations::{Citation, Kind};
use self::rules::Rule;

/// Where the page is, below the project's folder.
const PAGE: &str = "docs/TRACE.md";

/// Everything known about all rules.
pub struct Trace {
    /// By id, in the order of the spec's pages.
    rules: Vec<Rule>,
    /// By rule id.
    cited: BTreeMap<String, Vec<Citation>>,
    /// What is wrong: one sentence each.
    faults: Vec<String>,
}

impl Trace {
    /// Reads the spec and all that may cite it.
    fn read(root: &Path) -> std::io::Result<Trace> {
        let (rules, mut faults) = rules::all(&root.join("spec"))?;
        let mut cited: BTreeMap<String, Vec<Citation>> = BTreeMap::new();
        for (id, citation) in citations::all(root)? {
            if !rules.iter().any(|rule| rule.id == id) {
                faults.push(format!(
                    "{}:{} cites {id}, which no page of spec/ defines",
                    citation.file, citation.line
                ));
            } else {
                cited.entry(id).or_default().push(citation);
            }
        }
        Ok(Trace { rules, cited, faults })
    }

    /// The citations of a rule of one kind.
    fn of<'a>(&'a self, id: &str, kind: Kind) -> impl Iterator<Item = &'a Citation> + use<'a> {
        self.cited
            .get(id)
            .into_iter()
            .flatten()
            .filter(move |citation| citation.kind == kind)
    }

    fn has(&self, id: &str, kind: Kind) -> bool {
        self.of(id, kind).next().is_some()
    }

    /// Whether something runs that would show a breach of the rule.
    fn shown(&self, id: &str) -> bool {
        [Kind::Test, Kind::Scenario, Kind::Evidence]
            .into_iter()
            .any(|kind| self.has(id, kind))
    }

    /// Rules that `page` says are shown and that nothing shows any more.
    fn lost(&self, page: &str) -> Vec<String> {
        let before = page::shown(page);
        let known = |id: &String| self.rules.iter().any(|rule| rule.id == *id && !rule.withdrawn);
        before
            .into_iter()
            .filter(|id| known(id) && !self.shown(id))
            .map(|id| format!("{id} was cited by a test, a scenario or a recording and is no more"))
            .collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Writes the page, or with `check` only looks.
///
/// Fails on ids that no page defines, on ids that two places define, and on rules that were shown and are no more.
pub fn run(check: bool) -> ExitCode {
    let root = root();
    let trace = match Trace::read(&root) {
        Ok(trace) => trace,
        Err(error) => {
            eprintln!("cannot read the project: {error}");
            return ExitCode::from(74);
        }
    };
    let before = std::fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    let mut faults = trace.faults.clone();
    if check {
        faults.extend(trace.lost(&before));
    } else if let Err(error) = std::fs::write(root.join(PAGE), page::write(&trace)) {
        eprintln!("cannot write {PAGE}: {error}");
        return ExitCode::from(74);
    }
    print!("{}", page::summary(&trace));
    if !check {
        println!("written: {PAGE}");
    }
    for fault in &faults {
        eprintln!("{fault}");
    }
    if faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_that_is_cited_is_defined_once() {
        let trace = Trace::read(&root()).expect("reads");
        assert!(trace.rules.len() > 500, "{} rules", trace.rules.len());
        assert_eq!(trace.faults, Vec::<String>::new());
    }

    #[test]
    fn no_rule_loses_what_shows_it() {
        let trace = Trace::read(&root()).expect("reads");
        let page = std::fs::read_to_string(root().join(PAGE)).expect("the page is there: cargo xtask trace");
        assert_eq!(trace.lost(&page), Vec::<String>::new());
    }

    #[test]
    fn an_unknown_id_and_a_lost_test_are_seen() {
        let folder = tempfile::tempdir().expect("folder");
        let put = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            std::fs::write(path, text).expect("writes");
        };
        let id = |number: u8| format!("CS-{}-{number}", "TOY");
        put(
            "spec/01-toy.md",
            format!("**[{}]** A toy.\n\n| **[{}]** | b |\n", id(1), id(2)),
        );
        put(
            "toy/src/lib.rs",
            format!("/// [{}] [{}]\nfn x() {{}}\n", id(1), id(9)),
        );
        put("toy/tests/toy.rs", format!("/// [{}]\n", id(1)));
        put("docs/ARCHITECTURE.md", String::new());
        let trace = Trace::read(folder.path()).expect("reads");
        assert_eq!(trace.rules.len(), 2);
        assert_eq!(trace.faults.len(), 1, "{:?}", trace.faults);
        assert!(trace.faults[0].contains(&id(9)), "{:?}", trace.faults);
        let page = page::write(&trace);
        assert_eq!(trace.lost(&page), Vec::<String>::new());
        put("toy/tests/toy.rs", String::new());
        let later = Trace::read(folder.path()).expect("reads");
        assert_eq!(later.lost(&page).len(), 1);
    }
}
