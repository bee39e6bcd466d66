//! What is known not to be equal, with the reason: the file `matrix-known.txt`.

use super::{Outcome, Stage, Subject};
use std::sync::LazyLock;

/// One thing that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    masters: Vec<String>,
    replicas: Vec<String>,
    stages: Vec<String>,
    outcome: String,
    shows: String,
    /// Why.
    pub reason: String,
}

static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| {
    parse(include_str!("../../matrix-known.txt")).unwrap_or_else(|error| panic!("matrix-known.txt: {error}"))
});

/// Everything that is known.
pub fn known() -> &'static [Known] {
    &KNOWN
}

impl Known {
    /// Whether it is about this square.
    pub fn is_about(&self, master: Subject, replica: Subject, stage: Stage) -> bool {
        let names = |words: &[String], name: &str| words.iter().any(|word| word == "*" || word == name);
        names(&self.masters, master.name())
            && names(&self.replicas, replica.name())
            && names(&self.stages, stage.name())
    }

    /// Whether that is what became of it.
    pub fn fits(&self, outcome: &Outcome) -> bool {
        self.outcome == outcome.name() && outcome.evidence().contains(&self.shows)
    }
}

/// A line that begins with `known` has masters, replicas, stages (with commas, `*` for any) and an outcome; the line `shows`
/// after it says what the evidence must hold, and the line `because` why it is so.
fn parse(text: &str) -> Result<Vec<Known>, String> {
    let mut all: Vec<Known> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |text: &str| format!("line {}: {text}", number + 1);
        let (word, rest) = line.split_once(' ').ok_or_else(|| at("one word only"))?;
        match word {
            "known" => {
                let [masters, replicas, stages, outcome] = rest.split_whitespace().collect::<Vec<_>>()[..]
                else {
                    return Err(at("known MASTERS REPLICAS STAGES OUTCOME"));
                };
                let words = |text: &str| text.split(',').map(str::to_owned).collect();
                all.push(Known {
                    masters: words(masters),
                    replicas: words(replicas),
                    stages: words(stages),
                    outcome: outcome.to_owned(),
                    shows: String::new(),
                    reason: String::new(),
                });
            }
            "shows" | "because" => {
                let last = all.last_mut().ok_or_else(|| at("before any known"))?;
                let field = if word == "shows" {
                    &mut last.shows
                } else {
                    &mut last.reason
                };
                rest.clone_into(field);
            }
            _ => return Err(at("known, shows or because")),
        }
    }
    match all
        .iter()
        .position(|known| known.reason.is_empty() || known.shows.is_empty())
    {
        Some(index) => Err(format!("entry {} lacks `shows` or `because`", index + 1)),
        None => Ok(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_and_names_what_there_is() {
        for known in known() {
            let subject = |name: &String| name == "*" || Subject::named(name).is_some();
            let stage = |name: &String| name == "*" || Stage::ALL.iter().any(|stage| stage.name() == name);
            assert!(known.masters.iter().all(subject), "{known:?}");
            assert!(known.replicas.iter().all(subject), "{known:?}");
            assert!(known.stages.iter().all(stage), "{known:?}");
            assert!(
                ["lost", "differ", "failed"].contains(&known.outcome.as_str()),
                "{known:?}"
            );
        }
    }

    #[test]
    fn nothing_is_known_without_a_reason() {
        assert!(parse("known 3.2 * split lost\nshows x\n").is_err());
        assert!(parse("known 3.2 * split\n").is_err());
        let known = parse("known 3.2,3.6 * split lost\nshows message 25\nbecause so\n").expect("reads");
        let split = |master| {
            known[0].is_about(
                Subject::named(master).expect("known"),
                Subject::Mailtwin,
                Stage::Split,
            )
        };
        assert!(split("3.6") && !split("3.10"));
        assert!(known[0].fits(&Outcome::Lost(vec!["message 25 is on neither side".to_owned()])));
        assert!(!known[0].fits(&Outcome::Equal(7)));
        assert!(!known[0].fits(&Outcome::Lost(vec!["message 21 is on neither side".to_owned()])));
    }
}
