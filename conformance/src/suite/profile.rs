//! Profiles: what a known implementation does instead of what the spec asks for, each with a reason and evidence.
//!
//! A profile is a text file of blocks of `key: value` lines, divided by blank lines. The first block names it; the others are
//! deviations and skips. The crate's README shows one.

use super::pattern;
use super::scenario::{Scenario, joined, rule_ids};
use super::template;
use std::path::Path;
use std::time::Duration;

/// How long a server that is known not to answer is waited for.
const SILENCE: Duration = Duration::from_secs(2);

/// One implementation, in one version.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// Its name, which is its file's.
    pub name: String,
    /// Which software it is about.
    pub about: String,
    /// What a banner's last line contains if it is this software; empty: not to be known by its banner.
    pub banner: String,
    deviations: Vec<Deviation>,
    skips: Vec<Skip>,
}

/// What it does instead.
#[derive(Debug, Clone)]
pub struct Deviation {
    /// Names of scenarios, with `*` for anything.
    pub scenarios: Vec<String>,
    /// What comes in place of what a scenario expects; one of them.
    pub does: Vec<pattern::Line>,
    /// The patterns as they are written.
    pub does_text: String,
    /// Why.
    pub reason: String,
    /// Rules that tell of it.
    pub rules: Vec<String>,
    /// What shows it besides the scenario.
    pub evidence: String,
    /// The profile it was found in.
    pub profile: String,
}

impl Deviation {
    /// How long an answer is waited for.
    pub fn patience(&self, usual: Duration) -> Duration {
        let waits = self.does.iter().any(pattern::Line::may_wait);
        if waits { SILENCE } else { usual }
    }
}

/// A scenario that makes no sense there.
#[derive(Debug, Clone)]
struct Skip {
    scenarios: Vec<String>,
    reason: String,
}

/// Whether `name` fits `glob`, in which `*` stands for anything. A name without its `@variant` fits all variants.
pub fn fits(glob: &str, name: &str) -> bool {
    let whole = name.split_once('@').map_or(name, |(whole, _)| whole);
    is_glob(glob.as_bytes(), name.as_bytes()) || is_glob(glob.as_bytes(), whole.as_bytes())
}

fn is_glob(glob: &[u8], name: &[u8]) -> bool {
    match (glob.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => is_glob(rest, name),
        (Some((b'*', rest)), Some((_, others))) => is_glob(rest, name) || is_glob(glob, others),
        (Some((wanted, rest)), Some((found, others))) if wanted == found => is_glob(rest, others),
        _ => false,
    }
}

impl Profile {
    /// The profile called `name` in `folder`, with what it extends.
    ///
    /// # Errors
    /// A file that cannot be read or understood.
    pub fn load(folder: &Path, name: &str) -> Result<Profile, String> {
        let path = folder.join(format!("{name}.profile"));
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let known = names(folder).join(", ");
            format!("{}: {error}; there are: {known}", path.display())
        })?;
        Profile::parse(folder, name, &text).map_err(|fault| format!("{}:{fault}", path.display()))
    }

    fn parse(folder: &Path, name: &str, text: &str) -> Result<Profile, String> {
        let mut profile = Profile {
            name: name.to_owned(),
            ..Profile::default()
        };
        for block in blocks(text) {
            let line = block.first().map_or(1, |(line, _, _)| *line);
            let first = block.first().map_or("", |(_, key, _)| key.as_str());
            match first {
                "about" => profile.head(folder, &block)?,
                "scenario" => {
                    let deviation = deviation(name, &block)?;
                    profile.replace(&deviation.scenarios);
                    profile.deviations.push(deviation);
                }
                "conforms" => profile.replace(&words(&block[0].2)),
                "skip" => {
                    let reason = one(&block, "reason").unwrap_or_default();
                    if reason.is_empty() {
                        return Err(format!("{line}: a skip has no reason"));
                    }
                    profile.skips.push(Skip {
                        scenarios: words(&block[0].2),
                        reason,
                    });
                }
                other => {
                    return Err(format!(
                        "{line}: a block begins with about, scenario, conforms or skip, not `{other}`"
                    ));
                }
            }
        }
        Ok(profile)
    }

    fn head(&mut self, folder: &Path, block: &Block) -> Result<(), String> {
        for (line, key, value) in block {
            match key.as_str() {
                "about" => self.about.clone_from(value),
                "banner" => self.banner.clone_from(value),
                "extends" => {
                    let base = Profile::load(folder, value).map_err(|fault| format!("{line}: {fault}"))?;
                    self.deviations = base.deviations;
                    self.skips = base.skips;
                }
                _ => return Err(format!("{line}: the first block knows no key `{key}`")),
            }
        }
        Ok(())
    }

    /// What was said so far of exactly these scenarios counts no more.
    fn replace(&mut self, scenarios: &[String]) {
        for deviation in &mut self.deviations {
            deviation.scenarios.retain(|known| !scenarios.contains(known));
        }
        for skip in &mut self.skips {
            skip.scenarios.retain(|known| !scenarios.contains(known));
        }
    }

    /// What it does instead in this scenario.
    pub fn deviation(&self, scenario: &Scenario) -> Option<&Deviation> {
        let fits_one =
            |deviation: &&Deviation| deviation.scenarios.iter().any(|glob| fits(glob, &scenario.name));
        self.deviations.iter().rev().find(fits_one)
    }

    /// Why this scenario is left out.
    pub fn skip(&self, scenario: &Scenario) -> Option<&str> {
        let fits_one = |skip: &&Skip| skip.scenarios.iter().any(|glob| fits(glob, &scenario.name));
        self.skips
            .iter()
            .rev()
            .find(fits_one)
            .map(|skip| skip.reason.as_str())
    }

    /// Names, of scenarios that it speaks of and that do not exist, and rules of each deviation.
    pub fn unknown(&self, scenarios: &[Scenario]) -> Vec<String> {
        let deviations = self.deviations.iter().flat_map(|deviation| &deviation.scenarios);
        let globs = deviations.chain(self.skips.iter().flat_map(|skip| &skip.scenarios));
        let is_unknown = |glob: &&String| !scenarios.iter().any(|scenario| fits(glob, &scenario.name));
        globs.filter(is_unknown).cloned().collect()
    }

    /// All deviations.
    pub fn deviations(&self) -> &[Deviation] {
        &self.deviations
    }
}

/// The names of all profiles in `folder`.
pub fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "profile"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

/// The profile whose software says `greeting`, the last line of its banner.
///
/// # Errors
/// A profile that cannot be understood.
pub fn recognised(folder: &Path, greeting: &str) -> Result<Option<Profile>, String> {
    for name in names(folder) {
        let profile = Profile::load(folder, &name)?;
        if !profile.banner.is_empty() && greeting.contains(&profile.banner) {
            return Ok(Some(profile));
        }
    }
    Ok(None)
}

type Block = Vec<(usize, String, String)>;

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = vec![Block::new()];
    for (number, line) in joined(text) {
        if line.is_empty() {
            blocks.push(Block::new());
        } else if let Some(block) = blocks.last_mut() {
            let (key, value) = line.split_once(':').unwrap_or((line.as_str(), ""));
            block.push((number, key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn one(block: &Block, key: &str) -> Option<String> {
    block
        .iter()
        .find(|(_, found, _)| found == key)
        .map(|(_, _, value)| value.clone())
}

fn deviation(profile: &str, block: &Block) -> Result<Deviation, String> {
    let (line, _, names) = &block[0];
    let mut found = Deviation {
        scenarios: words(names),
        does: Vec::new(),
        does_text: String::new(),
        reason: String::new(),
        rules: Vec::new(),
        evidence: String::new(),
        profile: profile.to_owned(),
    };
    for (line, key, value) in &block[1..] {
        let place = |fault: String| format!("{line}: {fault}");
        match key.as_str() {
            "does" => {
                let text = template::parse(value).map_err(place)?;
                found.does.push(pattern::line(&text, false).map_err(place)?);
                if !found.does_text.is_empty() {
                    found.does_text.push_str(" | ");
                }
                found.does_text.push_str(value);
            }
            "reason" => found.reason.clone_from(value),
            "rules" => found.rules = rule_ids(value).map_err(place)?,
            "evidence" => found.evidence.clone_from(value),
            _ => return Err(format!("{line}: a deviation knows no key `{key}`")),
        }
    }
    let missing = [
        ("does", found.does.is_empty()),
        ("reason", found.reason.is_empty()),
        ("rules", found.rules.is_empty()),
        ("evidence", found.evidence.is_empty()),
    ];
    if let Some((key, _)) = missing.iter().find(|(_, is_missing)| *is_missing) {
        return Err(format!("{line}: a deviation has a line `{key}:`"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(name: &str) -> Scenario {
        let text = "about: x\nrules: [CS-GET-6]\n\nC: x\nS: *\n";
        let path = format!("/s/{name}.csync");
        super::super::scenario::parse(Path::new("/s"), Path::new(&path), text).expect("readable")[0].clone()
    }

    #[test]
    fn names_and_globs() {
        assert!(fits("get/user", "get/user"));
        assert!(fits("get/*", "get/user@3"));
        assert!(fits("get/user", "get/user@3"));
        assert!(fits("get/user@3", "get/user@3"));
        assert!(!fits("get/user@4", "get/user@3"));
        assert!(!fits("get/us", "get/user"));
    }

    #[test]
    fn a_deviation_has_a_reason_rules_and_evidence() {
        let whole =
            "scenario: get/a\ndoes: <closed>\nreason: dies\nrules: [CS-EXC-3]\nevidence: seen 1: x -> y\n";
        let parse = |text: &str| Profile::parse(Path::new("/nowhere"), "x", &format!("about: x\n\n{text}"));
        assert!(parse(whole).is_ok());
        for key in ["does", "reason", "rules", "evidence"] {
            let without: Vec<&str> = whole.lines().filter(|line| !line.starts_with(key)).collect();
            let fault = parse(&without.join("\n")).expect_err(key);
            assert!(fault.contains(key), "{fault}");
        }
    }

    #[test]
    fn what_is_nearer_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let base = "about: all\n\nscenario: get/a get/b\ndoes: <closed>\nreason: dies\nrules: [CS-EXC-3]\nevidence: seen 1: x -> y\n\nskip: sieve/*\nreason: none\n";
        let own = "about: one\nextends: base\nbanner: v1\n\nscenario: get/a\ndoes: NO *\ndoes: <waits>\nreason: later\nrules: [CS-EXC-3]\nevidence: seen 2: x -> y\n\nconforms: get/b\n";
        std::fs::write(folder.path().join("base.profile"), base).expect("written");
        std::fs::write(folder.path().join("own.profile"), own).expect("written");
        let profile = Profile::load(folder.path(), "own").expect("readable");
        assert_eq!(
            profile
                .deviation(&scenario("get/a"))
                .map(|found| found.reason.as_str()),
            Some("later")
        );
        assert!(profile.deviation(&scenario("get/b")).is_none());
        assert_eq!(profile.skip(&scenario("sieve/x")), Some("none"));
        let patience = profile
            .deviation(&scenario("get/a"))
            .map(|found| found.patience(Duration::from_secs(60)));
        assert_eq!(patience, Some(SILENCE));
        let known = recognised(folder.path(), "* OK x server v1").expect("readable");
        assert_eq!(known.map(|profile| profile.name).as_deref(), Some("own"));
        assert_eq!(profile.unknown(&[scenario("sieve/x")]), ["get/a"]);
    }
}
