//! The fixed sample: which mutants are judged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::list::{Mutant, hash};

/// Where the sample is kept, from the root of the tree: one line for each mutant, with its id, file and words.
pub const FILE: &str = "xtask/mutants/sample.tsv";

/// What the draw is mixed with.
const SEED: &str = "mailtwin";

/// Mutants of text that only people read: what a value looks like in a log says nothing about what is done with it.
fn for_people(mutant: &Mutant) -> bool {
    mutant.what.contains("Display for") || mutant.what.contains("Debug for")
}

/// Draws so many mutants by the hash of their ids: first one of each file, then any.
pub fn draw(all: &[Mutant], size: usize) -> Vec<Mutant> {
    let mut lots: Vec<&Mutant> = all.iter().filter(|mutant| !for_people(mutant)).collect();
    lots.sort_by_key(|mutant| hash(&format!("{SEED}|{}", mutant.id)));
    let mut files = BTreeSet::new();
    let (first, rest): (Vec<&Mutant>, Vec<&Mutant>) =
        lots.into_iter().partition(|mutant| files.insert(&mutant.file));
    let mut drawn: Vec<Mutant> = first.into_iter().chain(rest).take(size).cloned().collect();
    drawn.sort_by(|a, b| (&a.file, a.start, &a.id).cmp(&(&b.file, b.start, &b.id)));
    drawn
}

/// Writes the sample down.
///
/// # Errors
/// When the file cannot be written.
pub fn write(root: &Path, drawn: &[Mutant]) -> Result<(), String> {
    let lines: Vec<String> = drawn
        .iter()
        .map(|mutant| format!("{}\t{}\t{}\n", mutant.id, mutant.file, mutant.what))
        .collect();
    std::fs::write(root.join(FILE), lines.concat()).map_err(|error| format!("cannot write {FILE}: {error}"))
}

/// Those of the sample that the tree still has, in the sample's order, and the lines of those it has no more.
///
/// # Errors
/// When the file cannot be read.
pub fn read(root: &Path, all: Vec<Mutant>) -> Result<(Vec<Mutant>, Vec<String>), String> {
    let text =
        std::fs::read_to_string(root.join(FILE)).map_err(|error| format!("cannot read {FILE}: {error}"))?;
    let mut by_id: BTreeMap<String, Mutant> = all
        .into_iter()
        .map(|mutant| (mutant.id.clone(), mutant))
        .collect();
    let (mut there, mut gone) = (Vec::new(), Vec::new());
    for line in text.lines() {
        match by_id.remove(line.split('\t').next().unwrap_or_default()) {
            Some(mutant) => there.push(mutant),
            None => gone.push(line.to_owned()),
        }
    }
    Ok((there, gone))
}
