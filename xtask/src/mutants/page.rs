//! The figures, on the terminal and in docs/MUTANTS.md, and the verdicts and answers they come from.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::results::{self, Judged};
use super::sample;

/// The page.
const PAGE: &str = "docs/MUTANTS.md";
/// The last verdict on each mutant, as committed.
pub const VERDICTS: &str = "xtask/mutants/verdicts.jsonl";
/// Answers to mutants that were caught by nothing: id, kind and text.
const ANSWERS: &str = "xtask/mutants/answers.tsv";
/// What stands above and below the figures.
const FRAME: &str = include_str!("page.md");

/// Mutants by what became of them.
#[derive(Default, Clone, Copy)]
struct Count {
    unviable: usize,
    unjudged: usize,
    both: usize,
    tests: usize,
    ring1: usize,
    neither: usize,
    equivalent: usize,
}

impl Count {
    fn add(&mut self, judged: Option<&Judged>, equivalent: bool) {
        let Some(judged) = judged else {
            self.unjudged += 1;
            return;
        };
        let slot = match (judged.viable, judged.tests.caught(), judged.ring1.caught()) {
            (false, ..) => &mut self.unviable,
            (true, true, true) => &mut self.both,
            (true, true, false) => &mut self.tests,
            (true, false, true) => &mut self.ring1,
            (true, false, false) if equivalent => &mut self.equivalent,
            (true, false, false) => &mut self.neither,
        };
        *slot += 1;
    }

    fn caught(&self) -> usize {
        self.both + self.tests + self.ring1
    }

    fn viable(&self) -> usize {
        self.caught() + self.neither + self.equivalent
    }
}

/// One line of the sample with what is known of it.
struct Line {
    id: String,
    file: String,
    what: String,
    judged: Option<Judged>,
    /// Kind and text.
    answer: Option<(String, String)>,
}

impl Line {
    fn equivalent(&self) -> bool {
        self.answer.as_ref().is_some_and(|(kind, _)| kind == "equivalent")
    }

    fn uncaught(&self) -> bool {
        let nobody = |judged: &Judged| judged.viable && !judged.tests.caught() && !judged.ring1.caught();
        self.judged.as_ref().is_some_and(nobody)
    }
}

/// Prints the figures.
///
/// # Errors
/// When the sample cannot be read.
pub fn print(root: &Path, scratch: &Path) -> Result<(), String> {
    let lines = lines(root, scratch)?;
    println!("\n{}", table(&lines));
    for line in lines.iter().filter(|line| line.uncaught()) {
        let answer = line.answer.as_ref().map_or("no answer yet", |(kind, _)| kind);
        println!("uncaught {} {}: {} ({answer})", line.id, line.file, line.what);
    }
    Ok(())
}

/// Writes the page, and the verdicts it comes from.
///
/// # Errors
/// When something cannot be read or written.
pub fn write(root: &Path, scratch: &Path) -> Result<(), String> {
    let lines = lines(root, scratch)?;
    let verdicts: String = lines
        .iter()
        .filter_map(|line| line.judged.as_ref())
        .map(results::line)
        .collect();
    put(root, VERDICTS, &verdicts)?;
    let page = FRAME
        .replace("{{figures}}\n", &table(&lines))
        .replace("{{commits}}", &commits(&lines))
        .replace("{{tests}}\n", &answered(&lines, "test"))
        .replace("{{equivalent}}\n", &answered(&lines, "equivalent"))
        .replace("{{reasons}}\n", &answered(&lines, "reason"))
        .replace("{{ring1}}\n", &only_ring1(&lines));
    put(root, PAGE, &page)?;
    print(root, scratch)
}

fn put(root: &Path, name: &str, text: &str) -> Result<(), String> {
    std::fs::write(root.join(name), text).map_err(|error| format!("cannot write {name}: {error}"))
}

/// The sample with the committed verdicts, and those of the scratch folder over them.
fn lines(root: &Path, scratch: &Path) -> Result<Vec<Line>, String> {
    let name = sample::FILE;
    let text =
        std::fs::read_to_string(root.join(name)).map_err(|error| format!("cannot read {name}: {error}"))?;
    let mut verdicts = results::read(&root.join(VERDICTS));
    verdicts.extend(results::read(&scratch.join("verdicts.jsonl")));
    let answers = std::fs::read_to_string(root.join(ANSWERS)).unwrap_or_default();
    let mut answers: BTreeMap<&str, (String, String)> = answers
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, '\t').map(str::to_owned);
            let id = line.split('\t').next()?;
            fields.next()?;
            Some((id, (fields.next()?, fields.next()?)))
        })
        .collect();
    let fields = text.lines().filter_map(|line| {
        let mut fields = line.splitn(3, '\t');
        Some((fields.next()?, fields.next()?, fields.next()?))
    });
    Ok(fields
        .map(|(id, file, what)| Line {
            id: id.to_owned(),
            file: file.to_owned(),
            what: what.to_owned(),
            judged: verdicts.remove(id),
            answer: answers.remove(id),
        })
        .collect())
}

fn table(lines: &[Line]) -> String {
    let count = |package: &str| {
        let mut count = Count::default();
        for line in lines.iter().filter(|line| line.file.starts_with(package)) {
            count.add(line.judged.as_ref(), line.equivalent());
        }
        count
    };
    let columns = [count("engine/"), count("store/"), count("")];
    let mut text = String::from("| mutants | engine | store | all | share |\n|---|--:|--:|--:|--:|\n");
    let mut row = |name: &str, of: &dyn Fn(&Count) -> usize| {
        let [engine, store, all] = columns.each_ref().map(of);
        let share = match columns[2].viable() {
            _ if all == 0 && name == "not judged" => return,
            0 => String::new(),
            _ if name == "do not compile" || name == "not judged" => String::new(),
            viable => format!("{:.1} %", 100.0 * all as f64 / viable as f64),
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {name} | {engine} | {store} | {all} | {share} |");
    };
    row("do not compile", &|count| count.unviable);
    row("not judged", &|count| count.unjudged);
    row("judged", &Count::viable);
    row("caught by tests and by ring 1", &|count| count.both);
    row("caught by tests only", &|count| count.tests);
    row("caught by ring 1 only", &|count| count.ring1);
    row("**caught**", &Count::caught);
    row("caught by neither: equivalent", &|count| count.equivalent);
    row("caught by neither: others", &|count| count.neither);
    let all = columns[2];
    if all.viable() > all.equivalent {
        let share = 100.0 * all.caught() as f64 / (all.viable() - all.equivalent) as f64;
        let _ = writeln!(
            text,
            "\nOf those that are not equivalent, {share:.1} % are caught."
        );
    }
    text
}

/// The commits that verdicts were given at, with how many each.
fn commits(lines: &[Line]) -> String {
    let mut commits: BTreeMap<&str, usize> = BTreeMap::new();
    for judged in lines.iter().filter_map(|line| line.judged.as_ref()) {
        *commits.entry(&judged.commit).or_default() += 1;
    }
    let texts: Vec<String> = commits
        .iter()
        .map(|(commit, count)| format!("{count} at {commit}"))
        .collect();
    texts.join(", ")
}

/// What stands in a cell must not end it.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn answered(lines: &[Line], wanted: &str) -> String {
    let mut text = String::from("| mutant | where | answer |\n|---|---|---|\n");
    for line in lines {
        if let Some((kind, answer)) = line.answer.as_ref().filter(|(kind, _)| kind == wanted) {
            let caught = match (kind.as_str(), line.uncaught()) {
                ("test", true) => " (not caught yet)",
                _ => "",
            };
            let _ = writeln!(
                text,
                "| `{}` | {} | {}{caught} |",
                cell(&line.what),
                line.file,
                cell(answer)
            );
        }
    }
    text
}

fn only_ring1(lines: &[Line]) -> String {
    let mut text = String::from("| mutant | where | caught by seeds |\n|---|---|---|\n");
    for line in lines {
        let Some(judged) = line
            .judged
            .as_ref()
            .filter(|judged| judged.viable && !judged.tests.caught())
        else {
            continue;
        };
        if let results::Said::Caught { by, .. } = &judged.ring1 {
            let _ = writeln!(text, "| `{}` | {} | {by} |", cell(&line.what), line.file);
        }
    }
    text
}
