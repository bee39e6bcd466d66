//! What a server shows an IMAP client.

use super::{Facts, Notes, Scope};
use crate::Result;
use crate::error::Error;
use crate::imap::{Command, Imap, Value};

/// What is asked of every message. BODY.PEEK leaves the seen state alone.
const ITEMS: &str = "(UID FLAGS INTERNALDATE RFC822.SIZE MODSEQ EMAILID THREADID SAVEDATE ENVELOPE BODYSTRUCTURE \
    BODY.PEEK[] ANNOTATION (/* (value.shared value.priv)))";

/// Metadata that says something about the machine or its own history, not about mail.
const OWN_METADATA: [&str; 1] = [
    // When this server last wrote its own index file.
    "/shared/vendor/cmu/cyrus-imapd/lastupdate",
];

/// Adds everything that `account` sees.
pub fn collect(imap: &mut Imap, account: &str, scope: &Scope, facts: &mut Facts) -> Result<()> {
    let mut notes = Notes {
        facts,
        view: format!("imap as {account}"),
    };
    for line in imap.simple("LSUB \"\" \"*\"")?.values()? {
        if let [word, attributes, _, name] = line.as_slice()
            && word.text() == "LSUB"
        {
            notes.add(&name.text(), None, "LSUB", sorted(attributes));
        }
    }
    let list = imap.simple("LIST \"\" \"*\" RETURN (CHILDREN SPECIAL-USE SUBSCRIBED)")?;
    for line in list.values()? {
        let [word, attributes, _, name, ..] = line.as_slice() else {
            continue;
        };
        if word.text() != "LIST" {
            continue;
        }
        let name = name.text();
        notes.add(&name, None, "LIST", sorted(attributes));
        let is_place_holder = ["\\noselect", "\\nonexistent"].iter().any(|word| {
            attributes
                .members()
                .iter()
                .any(|attribute| attribute.text().eq_ignore_ascii_case(word))
        });
        // Each server's own mailbox for scripts, when they came over one by one.
        let is_own_sieve = !scope.sieve_mailbox && name.ends_with("#sieve");
        if !is_place_holder && !is_own_sieve {
            mailbox(imap, &name, &mut notes)?;
        }
    }
    Ok(())
}

fn sorted(list: &Value) -> Vec<u8> {
    let mut members: Vec<Vec<u8>> = list.members().iter().map(Value::canonical).collect();
    members.sort();
    members.join(&b' ')
}

fn mailbox(imap: &mut Imap, name: &str, notes: &mut Notes<'_>) -> Result<()> {
    let on_mailbox = |command: &str| Command::new(command).string(name.as_bytes());
    // MAILBOXID is left out: imapd 3.6 answers it with bytes of freed memory. csync shows the same id.
    let status = "(MESSAGES UIDNEXT UIDVALIDITY UNSEEN HIGHESTMODSEQ SIZE)";
    for (field, command) in [
        ("STATUS", on_mailbox("STATUS").raw(status)),
        ("GETACL", on_mailbox("GETACL")),
        ("MYRIGHTS", on_mailbox("MYRIGHTS")),
        ("GETQUOTAROOT", on_mailbox("GETQUOTAROOT")),
    ] {
        let value = lines(imap, command)?;
        notes.add(name, None, field, value);
    }
    metadata(imap, name, notes)?;
    match imap.run(on_mailbox("EXAMINE")) {
        Ok(_) => messages(imap, name, notes),
        Err(Error::Refused { answer, .. }) => {
            notes.add(name, None, "EXAMINE", answer);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// The untagged lines of a command in a sorted form, or its refusal: both servers must refuse alike.
fn lines(imap: &mut Imap, command: Command) -> Result<Vec<u8>> {
    match imap.run(command) {
        Ok(answer) => {
            let line = |values: Vec<Value>| Value::List(values).canonical();
            let mut lines: Vec<Vec<u8>> = answer.values()?.into_iter().map(line).collect();
            lines.sort();
            Ok(lines.join(&b'\n'))
        }
        Err(Error::Refused { answer, .. }) => Ok(answer.into_bytes()),
        Err(error) => Err(error),
    }
}

fn metadata(imap: &mut Imap, name: &str, notes: &mut Notes<'_>) -> Result<()> {
    let command = Command::new("GETMETADATA")
        .string(name.as_bytes())
        .raw("(DEPTH infinity) (/shared /private)");
    let answer = match imap.run(command) {
        Ok(answer) => answer,
        Err(Error::Refused { answer, .. }) => {
            notes.add(name, None, "GETMETADATA", answer);
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    for line in answer.values()? {
        let [word, _, pairs] = line.as_slice() else {
            continue;
        };
        if word.text() != "METADATA" {
            continue;
        }
        for pair in pairs.members().chunks(2) {
            let [entry, value] = pair else { continue };
            if !OWN_METADATA.contains(&entry.text().as_str()) {
                notes.add(
                    name,
                    None,
                    &format!("metadata {}", entry.text()),
                    value.canonical(),
                );
            }
        }
    }
    Ok(())
}

fn messages(imap: &mut Imap, name: &str, notes: &mut Notes<'_>) -> Result<()> {
    let answer = imap.simple(&format!("UID FETCH 1:* {ITEMS}"))?;
    for line in answer.values()? {
        let [_, word, items] = line.as_slice() else {
            continue;
        };
        if word.text() != "FETCH" {
            continue;
        }
        let pairs: Vec<(String, &Value)> = items
            .members()
            .chunks(2)
            .filter_map(|pair| Some((pair.first()?.text(), pair.get(1)?)))
            .collect();
        let uid = pairs
            .iter()
            .find(|(key, _)| key == "UID")
            .and_then(|(_, value)| value.number());
        let uid = uid.and_then(|uid| u32::try_from(uid).ok());
        for (key, value) in &pairs {
            match key.as_str() {
                "FLAGS" => notes.add(name, uid, key, sorted(value)),
                "ANNOTATION" => annotations(name, uid, value, notes),
                _ => notes.add(name, uid, key, value.canonical()),
            }
        }
    }
    Ok(())
}

fn annotations(name: &str, uid: Option<u32>, list: &Value, notes: &mut Notes<'_>) {
    for pair in list.members().chunks(2) {
        let [entry, attributes] = pair else { continue };
        for attribute in attributes.members().chunks(2) {
            let [kind, value] = attribute else { continue };
            // Entries that Cyrus knows are listed with NIL even when they hold nothing.
            if *value != Value::Nil {
                notes.add(
                    name,
                    uid,
                    &format!("annotation {} {}", entry.text(), kind.text()),
                    value.canonical(),
                );
            }
        }
    }
}
