//! The rules of `spec/`: their ids and texts.

use std::collections::BTreeMap;
use std::path::Path;

/// Text of each rule by its id, markup included.
pub type Rules = BTreeMap<String, String>;

/// Reads all pages of `folder`. A rule is a paragraph, or the row of a table, that begins with its id in bold.
///
/// # Errors
/// When a page cannot be read.
pub fn load(folder: &Path) -> std::io::Result<Rules> {
    let mut rules = Rules::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            read(&std::fs::read_to_string(&path)?, &mut rules);
        }
    }
    Ok(rules)
}

fn read(page: &str, rules: &mut Rules) {
    let mut open: Option<String> = None;
    for line in page.lines() {
        let is_row = line.starts_with("| ");
        let start = line.strip_prefix("| ").unwrap_or(line);
        let found = start.strip_prefix("**[").and_then(|rest| rest.split_once("]**"));
        match found.filter(|(id, _)| id.starts_with("CS-")) {
            Some((id, text)) => {
                let text = text.trim().trim_matches('|').replace(" | ", " — ");
                rules.insert(id.to_owned(), text.trim().to_owned());
                open = (!is_row).then(|| id.to_owned());
            }
            None if line.trim().is_empty() || is_row || line.starts_with('#') => open = None,
            None => {
                if let Some(text) = open.as_ref().and_then(|id| rules.get_mut(id)) {
                    text.push(' ');
                    text.push_str(line.trim());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_and_rows() {
        let mut rules = Rules::new();
        let id = |number: u8| format!("CS-{}-{number}", "TOY");
        let page = format!(
            "**[{}]** one\ntwo\n\nthree\n\n| **[{}]** | a | b |\n| x | y |\n",
            id(1),
            id(2)
        );
        read(&page, &mut rules);
        assert_eq!(rules.get(&id(1)).map(String::as_str), Some("one two"));
        assert_eq!(rules.get(&id(2)).map(String::as_str), Some("a — b"));
    }
}
