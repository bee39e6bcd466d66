//! Whether two servers hold the same mail, asked through csync and through IMAP.
//!
//! Everything a server says becomes flat facts: a place (view, mailbox, UID, field) and a value. Two
//! servers are equal when their facts are. What may differ is dropped while collecting, in one table
//! with a reason for each line, so that nothing is excused by accident.

mod csync_view;
mod imap_view;

pub use csync_view::collect as collect_csync;
pub use imap_view::collect as collect_imap;

use crate::cyrus::{ADMIN, Cyrus};
use crate::error::readable;
use crate::{Result, imap::Value};
use std::collections::BTreeMap;
use std::fmt;

/// Where a fact belongs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// How it was asked, for instance `csync` or `imap as alice`.
    pub view: String,
    /// Mailbox, user or other thing that the fact is about.
    pub object: String,
    /// The message, when it is about one.
    pub uid: Option<u32>,
    /// The name of the fact.
    pub field: String,
}

/// What a server says about itself.
pub type Facts = BTreeMap<Place, Vec<u8>>;

/// A fact that is not the same on both servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub place: Place,
    /// The value on the first server, if any.
    pub left: Option<Vec<u8>>,
    /// The value on the second server, if any.
    pub right: Option<Vec<u8>>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place.view, self.place.object)?;
        if let Some(uid) = self.place.uid {
            write!(f, " uid {uid}")?;
        }
        let show = |value: &Option<Vec<u8>>| {
            value
                .as_ref()
                .map_or("absent".to_owned(), |bytes| readable(bytes, 160))
        };
        write!(
            f,
            " {}: {} | {}",
            self.place.field,
            show(&self.left),
            show(&self.right)
        )
    }
}

/// How a comparison is made.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The users to compare.
    pub users: Vec<String>,
    /// Whether sieve scripts came over as the mailbox `#sieve`. Without that capability (a Unix socket
    /// offers none) each server keeps its scripts in a mailbox of its own making, and only the scripts
    /// and which of them is active can be equal.
    pub sieve_mailbox: bool,
    /// Whether shared mailboxes were replicated.
    pub shared: bool,
}

impl Scope {
    /// Everything of `users` and the shared mailboxes.
    pub fn all(users: &[&str]) -> Scope {
        Scope {
            users: users.iter().map(|&user| user.to_owned()).collect(),
            sieve_mailbox: true,
            shared: true,
        }
    }
}

/// Facts under construction for one view.
#[derive(Debug)]
struct Notes<'a> {
    facts: &'a mut Facts,
    view: String,
}

impl Notes<'_> {
    fn add(&mut self, object: &str, uid: Option<u32>, field: &str, value: impl Into<Vec<u8>>) {
        let place = Place {
            view: self.view.clone(),
            object: object.to_owned(),
            uid,
            field: field.to_owned(),
        };
        self.facts.insert(place, value.into());
    }
}

/// Begins the name of a fact that must not exist: the server contradicts itself.
const BROKEN: &str = "broken: ";

/// All differences between two sets of facts, in the order of their places.
pub fn differences(left: &Facts, right: &Facts) -> Vec<Difference> {
    let mut found = Vec::new();
    for (place, value) in left {
        let other = right.get(place);
        if other != Some(value) || place.field.starts_with(BROKEN) {
            found.push(Difference {
                place: place.clone(),
                left: Some(value.clone()),
                right: other.cloned(),
            });
        }
    }
    for (place, value) in right.iter().filter(|(place, _)| !left.contains_key(place)) {
        found.push(Difference {
            place: place.clone(),
            left: None,
            right: Some(value.clone()),
        });
    }
    found.sort_by(|one, other| one.place.cmp(&other.place));
    found
}

/// What `cyrus` says in both views.
pub fn facts(cyrus: &Cyrus, scope: &Scope) -> Result<Facts> {
    let mut facts = Facts::new();
    let mut admin = cyrus.imap(ADMIN)?;
    let shared = if scope.shared {
        shared_mailboxes(&mut admin)?
    } else {
        Vec::new()
    };
    collect_csync(&mut cyrus.csync()?, scope, &shared, &mut facts)?;
    collect_imap(&mut admin, "admin", scope, &mut facts)?;
    for user in &scope.users {
        collect_imap(&mut cyrus.imap(user)?, user, scope, &mut facts)?;
    }
    Ok(facts)
}

/// The differences between two running servers, empty when they are equal.
pub fn servers(left: &Cyrus, right: &Cyrus, scope: &Scope) -> Result<Vec<Difference>> {
    Ok(differences(&facts(left, scope)?, &facts(right, scope)?))
}

/// Panics with a readable list when there are differences; for tests.
pub fn assert_equal(what: &str, found: &[Difference]) {
    let list: Vec<String> = found.iter().take(25).map(Difference::to_string).collect();
    assert!(
        found.is_empty(),
        "{what}: {} differences\n{}",
        found.len(),
        list.join("\n")
    );
}

/// Wire names of the mailboxes that belong to no user, deleted ones too, as the administrator sees them.
fn shared_mailboxes(admin: &mut crate::imap::Imap) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for line in admin.simple("LIST \"\" \"*\"")?.values()? {
        let [word, attributes, separator, name] = line.as_slice() else {
            continue;
        };
        let hidden = ["\\Noselect", "\\NonExistent"];
        let is_hidden = |value: &Value| hidden.iter().any(|word| value.text().eq_ignore_ascii_case(word));
        if word.text() != "LIST" || attributes.members().iter().any(is_hidden) {
            continue;
        }
        let (name, separator) = (name.text(), separator.text());
        // Inside, the levels are separated by dots, and a dot within a level is a circumflex.
        let wire = if separator == "/" {
            name.replace('.', "^").replace('/', ".")
        } else {
            name
        };
        if !wire.starts_with("user.") && !wire.starts_with("DELETED.user.") {
            names.push(wire);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(object: &str, uid: Option<u32>) -> Place {
        Place {
            view: "csync".into(),
            object: object.into(),
            uid,
            field: "FLAGS".into(),
        }
    }

    #[test]
    fn differences_go_both_ways() {
        let left = Facts::from([
            (place("a", Some(1)), b"x".to_vec()),
            (place("b", None), b"y".to_vec()),
        ]);
        let right = Facts::from([
            (place("a", Some(1)), b"z".to_vec()),
            (place("c", None), b"y".to_vec()),
        ]);
        let found = differences(&left, &right);
        let shown: Vec<String> = found.iter().map(Difference::to_string).collect();
        let expected = [
            "csync: a uid 1 FLAGS: x | z",
            "csync: b FLAGS: y | absent",
            "csync: c FLAGS: absent | y",
        ];
        assert_eq!(shown, expected);
        assert!(differences(&left, &left).is_empty());
    }

    #[test]
    fn what_is_broken_alike_is_still_reported() {
        let mut broken = place("a", Some(1));
        broken.field = format!("{BROKEN}message");
        let facts = Facts::from([(broken, b"x".to_vec())]);
        assert_eq!(differences(&facts, &facts).len(), 1);
    }
}
