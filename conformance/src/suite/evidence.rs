//! What a profile brings forward for a deviation: an entry of the spec's recordings, or what was seen of the wire.

use serde_json::Value;
use std::path::Path;

/// Checks the text behind `evidence:`, which has one of two forms.
///
/// `spec/observed.jsonl NAME, NAME`, `spec/vectors/FILE NAME` and `spec/sessions/FILE NAME` name entries, by their `check`, `id`, `fault` or
/// `session`, of a file below `root`;
/// `seen 3.2 3.6: WHAT -> ANSWER` names the versions and what they said. With `version` one of the recordings, or of the versions seen,
/// must be of that version.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn check(text: &str, version: Option<&str>, root: &Path) -> Result<(), String> {
    if let Some(seen) = text.strip_prefix("seen ") {
        let (versions, what) = seen
            .split_once(": ")
            .ok_or("`seen` names versions, then a colon and what they said")?;
        if !what.contains(" -> ") {
            return Err(format!(
                "`{what}` does not say what the answer was (WHAT -> ANSWER)"
            ));
        }
        let versions: Vec<&str> = versions.split_whitespace().collect();
        return names(&versions, version);
    }
    let (file, entries) = text
        .split_once(' ')
        .filter(|(file, _)| file.starts_with("spec/"))
        .ok_or("evidence is `spec/FILE ENTRY` or `seen VERSIONS: WHAT -> ANSWER`")?;
    let lines = std::fs::read_to_string(root.join(file)).map_err(|error| format!("{file}: {error}"))?;
    let mut versions = Vec::new();
    for entry in entries.split(',').map(str::trim) {
        let found = lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| {
                ["check", "id", "fault", "session"]
                    .iter()
                    .any(|key| line[*key] == entry)
            })
            .ok_or_else(|| format!("{file} has no entry {entry}"))?;
        versions.extend(versions_of(&found));
    }
    let versions: Vec<&str> = versions.iter().map(String::as_str).collect();
    names(&versions, version)
}

/// The versions that an entry of a recording, of the vectors or of a session is of.
fn versions_of(entry: &Value) -> Vec<String> {
    let observed = entry["observed"].as_array().into_iter().flatten();
    let recorded = observed.flat_map(|one| one["versions"].as_array().cloned().unwrap_or_default());
    let recorded = recorded.filter_map(|version| version.as_str().map(str::to_owned));
    let vectors = entry["cyrus"].as_object().into_iter().flatten();
    let session = entry["version"].as_str().map(str::to_owned);
    recorded
        .chain(vectors.map(|(version, _)| version.clone()))
        .chain(session)
        .collect()
}

fn names(versions: &[&str], wanted: Option<&str>) -> Result<(), String> {
    if versions.is_empty() {
        return Err("it names no version".to_owned());
    }
    match wanted {
        Some(wanted) if !versions.contains(&wanted) => Err(format!("it says nothing of {wanted}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, version: Option<&str>) -> Result<(), String> {
        check(text, version, &super::super::spec_folder().join(".."))
    }

    #[test]
    fn what_is_there_counts() {
        assert_eq!(
            of("spec/observed.jsonl limits, stepping-over", Some("3.10")),
            Ok(())
        );
        assert_eq!(
            of("spec/vectors/grammar-invalid.jsonl missing-key", Some("3.2")),
            Ok(())
        );
        assert_eq!(of("seen 3.2 3.6: GET USER u -> OK success", Some("3.6")), Ok(()));
    }

    #[test]
    fn what_is_not_there_or_says_nothing_is_refused() {
        for (text, version) in [
            ("", None),
            ("everybody knows", None),
            ("spec/observed.jsonl no-such-check", None),
            ("spec/no-such-file.jsonl limits", None),
            ("spec/observed.jsonl limits", Some("2.4")),
            ("seen : x -> y", None),
            ("seen 3.2 3.6", None),
            ("seen 3.2: it is so", None),
            ("seen 3.2 3.6: GET USER u -> OK success", Some("3.12")),
        ] {
            assert!(of(text, version).is_err(), "{text}");
        }
    }
}
