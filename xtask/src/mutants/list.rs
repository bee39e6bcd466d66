//! The mutants there are, as cargo-mutants lists them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What kind of text a mutant changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Genre {
    /// A whole function body becomes one value.
    Body,
    /// A binary operator becomes another.
    Binary,
    /// A `!` or `-` goes.
    Unary,
    /// An arm goes of a match that has one for everything.
    Arm,
    /// A guard becomes `true` or `false`.
    Guard,
    /// A field of a struct expression is taken from its base.
    Field,
}

impl Genre {
    fn parse(word: &str) -> Option<Genre> {
        match word {
            "FnValue" => Some(Genre::Body),
            "BinaryOperator" => Some(Genre::Binary),
            "UnaryOperator" => Some(Genre::Unary),
            "MatchArm" => Some(Genre::Arm),
            "MatchArmGuard" => Some(Genre::Guard),
            "StructField" => Some(Genre::Field),
            _ => None,
        }
    }
}

/// One change of the source that a test should notice.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// Ten hex digits of file, description and which of that description it is: the same while the function keeps its shape, wherever its lines are.
    pub id: String,
    /// The file, from the root of the tree.
    pub file: String,
    /// What is changed, in cargo-mutants' words.
    pub what: String,
    /// The kind of text.
    pub genre: Genre,
    /// The text that takes the place; empty when something is deleted.
    pub replacement: String,
    /// Line and column where the text begins, both from 1.
    pub start: (usize, usize),
    /// Line and column behind the text.
    pub end: (usize, usize),
    /// Whether the function it stands in returns an `impl Trait`, whose one type the rest of the body decides.
    pub opaque: bool,
}

/// Lists the mutants of `engine` and `store` in a tree.
///
/// # Errors
/// When cargo-mutants cannot be run, or answers in a way this does not know.
pub fn list(tree: &Path) -> Result<Vec<Mutant>, String> {
    let output = Command::new("cargo")
        .args(["mutants", "--list", "--json", "-p", "engine", "-p", "store"])
        .current_dir(tree)
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("cargo mutants --list failed: {said}"));
    }
    let all: Vec<Value> =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo mutants --list: {error}"))?;
    let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
    Ok(all.iter().filter_map(|value| read(value, &mut seen)).collect())
}

fn read(value: &Value, seen: &mut BTreeMap<(String, String), usize>) -> Option<Mutant> {
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let number = |name: &str| usize::try_from(value.pointer(name)?.as_u64()?).ok();
    let file = text("file")?;
    // The name begins with the file, a line and a column, which move.
    let what = text("name")?.splitn(4, ':').nth(3)?.trim().to_owned();
    let count = seen.entry((file.clone(), what.clone())).or_default();
    let nth = *count;
    *count += 1;
    Some(Mutant {
        id: format!("{:010x}", hash(&format!("{file}|{what}|{nth}")) >> 24),
        file,
        what,
        genre: Genre::parse(&text("genre")?)?,
        replacement: plain(text("replacement")?),
        start: (number("/span/start/line")?, number("/span/start/column")?),
        end: (number("/span/end/line")?, number("/span/end/column")?),
        opaque: value["function"]["return_type"]
            .as_str()
            .is_some_and(|text| text.starts_with("-> impl")),
    })
}

/// cargo-mutants does not look behind a type's other name, and so builds the project's own names for `Result` in ways
/// that never compile. One of them is read as what was meant.
fn plain(replacement: String) -> String {
    let aliased = ["Tried", "Stored", "Outcome"].into_iter();
    let value = aliased
        .filter_map(|alias| replacement.strip_prefix(alias)?.strip_prefix("::from("))
        .next();
    value.map_or(replacement.clone(), |value| format!("Ok({value}"))
}

/// FNV-1a over 64 bits, with the bits stirred once more: a number that is the same everywhere and always.
pub fn hash(text: &str) -> u64 {
    let folded = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let stirred = (folded ^ (folded >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    stirred ^ (stirred >> 29)
}
