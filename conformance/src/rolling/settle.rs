//! When all servers hold the same.

use super::node::Node;
use crate::compare::{self, Facts, Scope};
use crate::csync::Csync;
use crate::csync::dlist::string;
use crate::cyrus::Cyrus;
use crate::{Error, Result};
use std::collections::BTreeSet;
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

/// Waits at most `limit` until `node` holds what `master` holds.
pub fn wait(what: &str, master: &Cyrus, node: &Node, users: &[&str], limit: Duration) -> Result<()> {
    let end = Instant::now() + limit;
    loop {
        let wanted = sketch(&mut master.csync()?, users)?;
        // Its server may just be starting.
        let found = node.csync().and_then(|mut csync| sketch(&mut csync, users));
        let told = match found {
            Ok(found) if found == wanted => return Ok(()),
            Ok(found) => {
                let missing: Vec<&String> = wanted.difference(&found).take(5).collect();
                let unknown: Vec<&String> = found.difference(&wanted).take(5).collect();
                format!("missing: {missing:#?}\nthere instead: {unknown:#?}")
            }
            Err(error) => error.to_string(),
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

/// Compares everything that `master` and `node` hold for `users`; returns how many facts are equal.
pub fn equal(what: &str, master: &Cyrus, node: &Node, users: &[&str]) -> Result<usize> {
    let mut scope = Scope::all(users);
    scope.shared = false;
    let (left, right) = match node {
        Node::Cyrus(cyrus) => (compare::facts(master, &scope)?, compare::facts(cyrus, &scope)?),
        Node::Twin(twin) => {
            let (mut left, mut right) = (Facts::new(), Facts::new());
            compare::collect_csync(&mut master.csync()?, &scope, &[], &mut left)?;
            compare::collect_csync(&mut twin.csync()?, &scope, &[], &mut right)?;
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
