//! `cargo xtask mutants`: which changes of `engine` and `store` nobody notices.
//!
//! The mutants are those of cargo-mutants, a fixed sample of them. All are compiled into one scratch copy of the last
//! commit, each behind a switch; so a mutant costs a few runs, not a build. Which tests and seeds come by a mutant is
//! known from a rehearsal, and only these are tried with it.

mod build;
mod judge;
mod list;
mod page;
mod process;
mod results;
mod rewrite;
mod sample;
mod tree;
mod trials;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use list::Mutant;
use results::{Judged, Results, Said};
use trials::{Kind, Trial};

/// What `cargo xtask mutants --help` prints.
pub const USAGE: &str = "\
usage: cargo xtask mutants sample [--size N]     draw the sample anew (default: 500)
       cargo xtask mutants run [OPTIONS]         judge the last commit
       cargo xtask mutants page                  write docs/MUTANTS.md from verdicts and answers

options of run:
  --resume     only those that have no verdict yet
  --uncaught   only those that no test has caught so far
  --only ID    only this one; may be given more than once
  --commit C   another commit than the last
  --tests C    with engine/tests and store/tests of this commit, so that nothing else is built again
  --unit       with unit tests only, which are quick to build; what else is known stays
  --test NAME  and with this test file; may be given more than once
  --jobs N     so many at a time (default: 1)
  --scratch D  where the copy, its build and the verdicts are (default: target/mutants)
";

/// What `run` is asked for.
struct Asked {
    resume: bool,
    uncaught: bool,
    only: Vec<String>,
    commit: String,
    tests: Option<String>,
    /// Unit tests only, and these test files.
    unit: Option<Vec<String>>,
    jobs: usize,
    scratch: PathBuf,
}

/// Does what the words after `mutants` say.
pub fn main(words: &[&str]) -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let root = root.canonicalize().unwrap_or(root);
    let done = match words {
        ["-h" | "--help"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        ["sample"] => draw(&root, 500),
        ["sample", "--size", size] => match size.parse() {
            Ok(size) => draw(&root, size),
            Err(_) => return usage(),
        },
        ["run", options @ ..] => match parse(&root, options) {
            Some(asked) => run(&root, &asked),
            None => return usage(),
        },
        ["page"] => page::write(&root, &root.join("target/mutants")),
        ["page", "--scratch", scratch] => page::write(&root, Path::new(scratch)),
        _ => return usage(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mutants: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprint!("{USAGE}");
    ExitCode::from(64)
}

fn parse(root: &Path, options: &[&str]) -> Option<Asked> {
    let mut asked = Asked {
        resume: false,
        uncaught: false,
        only: Vec::new(),
        commit: "HEAD".to_owned(),
        tests: None,
        unit: None,
        jobs: 1,
        scratch: root.join("target/mutants"),
    };
    let mut options = options.iter();
    while let Some(option) = options.next() {
        match *option {
            "--resume" => asked.resume = true,
            "--uncaught" => asked.uncaught = true,
            "--only" => asked.only.push((*options.next()?).to_owned()),
            "--commit" => asked.commit = (*options.next()?).to_owned(),
            "--tests" => asked.tests = Some((*options.next()?).to_owned()),
            "--unit" => drop(asked.unit.get_or_insert_default()),
            "--test" => asked
                .unit
                .get_or_insert_default()
                .push((*options.next()?).to_owned()),
            "--jobs" => asked.jobs = options.next()?.parse().ok()?,
            "--scratch" => asked.scratch = options.next()?.into(),
            _ => return None,
        }
    }
    Some(asked)
}

fn draw(root: &Path, size: usize) -> Result<(), String> {
    let all = list::list(root)?;
    let drawn = sample::draw(&all, size);
    sample::write(root, &drawn)?;
    println!("{} of {} mutants are in {}", drawn.len(), all.len(), sample::FILE);
    Ok(())
}

fn run(root: &Path, asked: &Asked) -> Result<(), String> {
    let scratch = &asked.scratch;
    std::fs::create_dir_all(scratch)
        .map_err(|error| format!("cannot make {}: {error}", scratch.display()))?;
    let tree = tree::Tree::copy(root, &asked.commit, asked.tests.as_deref(), scratch.join("tree"))?;
    let (mutants, gone) = sample::read(root, list::list(&tree.pristine())?)?;
    let (commit, count) = (&tree.commit, mutants.len());
    println!(
        "{commit}: {count} mutants, {} that the sources have no more",
        gone.len()
    );
    let numbered: Vec<(u32, &Mutant)> = (1..).zip(&mutants).collect();
    let results = Results::at(scratch.join("verdicts.jsonl"), commit.clone());
    let here = results::read(&scratch.join("verdicts.jsonl"));
    let refused = |mutant: &Mutant| {
        let known = here.get(&mutant.id);
        known.is_some_and(|judged| !judged.viable && judged.commit == *commit)
    };
    let refused = numbered.iter().filter(|(_, mutant)| refused(mutant));
    let refused = refused.map(|(number, _)| *number).collect();
    let unit = asked.unit.as_deref();
    let built = build::build(&tree, &scratch.join("build"), &numbered, refused, unit)?;
    note_unviable(&built, &numbered, &results)?;

    let desks = judge::desks(scratch, &tree, asked.jobs)?;
    println!("   rehearsing");
    let (trials, bad) = judge::rehearse(trials::all(&built, &tree, scratch)?, &desks)?;
    tell(&trials, &bad);
    let mut before = results::read(&root.join(page::VERDICTS));
    before.extend(here.clone());
    let wanted: Vec<(u32, &Mutant)> = numbered
        .iter()
        .filter(|(number, mutant)| {
            let known = before.get(&mutant.id);
            !built.unviable.contains(number)
                && (asked.only.is_empty() || asked.only.contains(&mutant.id))
                && (!asked.resume || here.get(&mutant.id).is_none_or(|judged| !judged.viable))
                && (!asked.uncaught || known.is_none_or(|judged| !judged.tests.caught()))
        })
        .copied()
        .collect();
    let unviable = built.unviable.len();
    println!("   {unviable} do not compile; {} to judge", wanted.len());
    judge::judge(&wanted, &trials, &desks, &results, unit.map(|_| &before))?;
    page::print(root, scratch)
}

fn note_unviable(built: &build::Built, numbered: &[(u32, &Mutant)], results: &Results) -> Result<(), String> {
    let mut unviable = numbered
        .iter()
        .filter(|(number, _)| built.unviable.contains(number));
    unviable.try_for_each(|(_, mutant)| {
        results.append(&Judged {
            id: mutant.id.clone(),
            commit: results.commit.clone(),
            viable: false,
            tests: Said::Unreached,
            ring1: Said::Unreached,
        })
    })
}

/// Tells what the rehearsal showed.
fn tell(trials: &[Trial], bad: &[String]) {
    for name in bad {
        println!("   left out, fails without a mutant: {name}");
    }
    for kind in [Kind::Test, Kind::Ring1] {
        let own: Vec<_> = trials.iter().filter(|trial| trial.kind == kind).collect();
        let took: f64 = own.iter().map(|trial| trial.took.as_secs_f64()).sum();
        let reached = judge::reach(trials, kind).len();
        println!(
            "   {kind:?}: {} trials in {took:.0} s come by {reached} mutants",
            own.len()
        );
    }
}
