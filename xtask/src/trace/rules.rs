//! The rules that the pages of `spec/` define.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// One rule.
pub struct Rule {
    /// Such as `CS-DLIST-7`.
    pub id: String,
    /// File name of its page.
    pub page: String,
    /// The beginning of its text, without markup.
    pub text: String,
    /// Whether it fell away.
    pub withdrawn: bool,
}

impl Rule {
    /// The middle of its id.
    pub fn area(&self) -> &str {
        self.id.split('-').nth(1).unwrap_or_default()
    }
}

/// Characters of a rule's text that the page shows.
const SHOWN_CHARS: usize = 90;

/// All rules in the order of the pages, and what is wrong with them.
///
/// # Errors
/// When a page cannot be read.
pub fn all(spec: &Path) -> io::Result<(Vec<Rule>, Vec<String>)> {
    let mut pages: Vec<_> = std::fs::read_dir(spec)?
        .collect::<io::Result<Vec<_>>>()?
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    let mut rules = Vec::new();
    let mut faults = Vec::new();
    let mut ids = BTreeSet::new();
    for path in pages {
        let page = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for line in std::fs::read_to_string(&path)?.lines() {
            let Some((id, text)) = definition(line) else {
                continue;
            };
            if !ids.insert(id.to_owned()) {
                faults.push(format!("{page} defines {id}, which is defined already"));
                continue;
            }
            rules.push(Rule {
                id: id.to_owned(),
                page: page.clone(),
                withdrawn: text.trim_start().starts_with("*withdrawn*"),
                text: beginning(text),
            });
        }
    }
    Ok((rules, faults))
}

/// The id in bold at the start of a paragraph or of a table row, and what follows.
fn definition(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix("| ").unwrap_or(line).strip_prefix("**[")?;
    let (id, text) = rest.split_once("]**")?;
    id.starts_with("CS-").then_some((id, text))
}

fn beginning(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !matches!(c, '*' | '`')).collect();
    let plain = plain.trim_matches(|c: char| c == '|' || c.is_whitespace());
    let plain = plain.replace(" | ", "; ").replace('|', "/");
    if plain.chars().count() <= SHOWN_CHARS {
        return plain;
    }
    let cut: String = plain.chars().take(SHOWN_CHARS).collect();
    let end = cut.rfind(' ').unwrap_or(cut.len());
    format!("{} …", &cut[..end])
}

#[cfg(test)]
mod tests {
    use super::{beginning, definition};

    #[test]
    fn a_definition_is_bold_at_the_start() {
        let id = format!("CS-{}-1", "TOY");
        assert_eq!(
            definition(&format!("**[{id}]** text")),
            Some((id.as_str(), " text"))
        );
        assert_eq!(
            definition(&format!("| **[{id}]** | a |")),
            Some((id.as_str(), " | a |"))
        );
        assert_eq!(definition(&format!("see [{id}]")), None);
        assert_eq!(definition("**bold** text"), None);
    }

    #[test]
    fn a_beginning_ends_at_a_word() {
        assert_eq!(beginning(" | *a* | `b` |"), "a; b");
        let long = beginning(&"word ".repeat(40));
        assert!(long.ends_with("word …"), "{long}");
    }
}
