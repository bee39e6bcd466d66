//! When all servers hold the same.

use super::node::{Node, Side};
use crate::compare::{self, Facts, Scope};
use crate::csync::Csync;
use crate::csync::dlist::string;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// What of a mailbox shows that something is still under way.
const FIELDS: [&str; 8] = [
    "UNIQUEID",
    "MBOXNAME",
    "LAST_UID",
    "HIGHESTMODSEQ",
    "UIDVALIDITY",
    "SYNC_CRC",
    "SYNC_CRC_ANNOT",
    "ACL",
];

/// A short description of what a server holds for `users`, cheap enough to be asked for again and again.
pub fn sketch(csync: &mut Csync, users: &[&str]) -> Result<BTreeSet<String>> {
    let mut lines = BTreeSet::new();
    for user in users {
        let name = string(user.as_bytes());
        let answer = csync.run(&[b"GET USER ", name.as_slice()].concat())?;
        for header in answer.all("MAILBOX") {
            let fields = FIELDS.map(|field| header.text(field).unwrap_or_default());
            lines.insert(fields.join(" "));
        }
        let answer = csync.run(&[b"GET META ", name.as_slice()].concat())?;
        for list in answer.all("LSUB") {
            let names = list
                .members()
                .iter()
                .map(|name| String::from_utf8_lossy(name.bytes()));
            lines.extend(names.map(|name| format!("{user} subscribes {name}")));
        }
    }
    Ok(lines)
}

/// Waits at most `limit` until `node` holds what `model` holds.
pub fn wait(what: &str, model: Side<'_>, node: &Node, users: &[&str], limit: Duration) -> Result<()> {
    let end = Instant::now() + limit;
    loop {
        // A server may just be starting.
        let wanted = model.csync().and_then(|mut csync| sketch(&mut csync, users));
        let found = node
            .side()
            .csync()
            .and_then(|mut csync| sketch(&mut csync, users));
        let told = match (wanted, found) {
            (Ok(wanted), Ok(found)) if found == wanted => return Ok(()),
            (Ok(wanted), Ok(found)) => {
                let missing: Vec<&String> = wanted.difference(&found).take(5).collect();
                let unknown: Vec<&String> = found.difference(&wanted).take(5).collect();
                format!("missing: {missing:#?}\nthere instead: {unknown:#?}")
            }
            (Err(error), _) | (_, Err(error)) => error.to_string(),
        };
        if Instant::now() >= end {
            return Err(Error::Process(format!(
                "{what} did not catch up within {limit:?}: {told}\n{}",
                node.log()
            )));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Compares everything that two servers hold for `users`; returns how many facts are equal.
pub fn equal(what: &str, model: Side<'_>, other: Side<'_>, users: &[&str]) -> Result<usize> {
    let mut scope = Scope::all(users);
    scope.shared = false;
    let (left, right) = match (model, other) {
        (Side::Cyrus(model), Side::Cyrus(other)) => {
            (compare::facts(model, &scope)?, compare::facts(other, &scope)?)
        }
        _ => {
            let (mut left, mut right) = (Facts::new(), Facts::new());
            compare::collect_csync(&mut model.csync()?, &scope, &[], &mut left)?;
            compare::collect_csync(&mut other.csync()?, &scope, &[], &mut right)?;
            if let (Side::Twin(_), Side::Twin(_)) = (model, other) {
                forget_contested(&mut left, &mut right);
            }
            (left, right)
        }
    };
    let found = compare::differences(&left, &right);
    if found.is_empty() {
        return Ok(left.len());
    }
    let list: Vec<String> = found.iter().take(30).map(ToString::to_string).collect();
    Err(Error::Process(format!(
        "{what}: {} differences\n{}",
        found.len(),
        list.join("\n")
    )))
}

/// Drops what is said about UIDs that both sides once gave to messages of their own: both messages got new ones, and each
/// side remembers its own at the old one as expunged, as [CS-MASTER-35] leaves it. No replica looks at them again.
fn forget_contested(left: &mut Facts, right: &mut Facts) {
    let expunged = |facts: &Facts| -> BTreeMap<(String, Option<u32>), Vec<u8>> {
        let is_flag = |place: &compare::Place, value: &Vec<u8>| {
            place.field == "FLAGS" && value.windows(9).any(|window| window == b"\\Expunged")
        };
        let places = facts.iter().filter(|(place, value)| is_flag(place, value));
        let guid = |place: &compare::Place| {
            let field = "GUID".to_owned();
            facts
                .get(&compare::Place {
                    field,
                    ..place.clone()
                })
                .cloned()
        };
        places
            .filter_map(|(place, _)| Some(((place.object.clone(), place.uid), guid(place)?)))
            .collect()
    };
    let (here, there) = (expunged(left), expunged(right));
    let contested = |place: &compare::Place| {
        let key = (place.object.clone(), place.uid);
        matches!((here.get(&key), there.get(&key)), (Some(one), Some(other)) if one != other)
    };
    // When something was last appended is each side's own once both appended, and no run compares it.
    let differs: BTreeSet<compare::Place> = left
        .iter()
        .filter(|(place, value)| place.field == "LAST_APPENDDATE" && right.get(place) != Some(value))
        .map(|(place, _)| place.clone())
        .collect();
    left.retain(|place, _| !contested(place) && !differs.contains(place));
    right.retain(|place, _| !contested(place) && !differs.contains(place));
}
