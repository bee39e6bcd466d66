//! What a server says through csync: GET USER, GET MAILBOXES, GET FULLMAILBOX, GET META, GET FETCH,
//! GET FETCH_SIEVE, GET ANNOTATION.

use super::{Facts, Notes, Scope};
use crate::csync::dlist::{Value, string};
use crate::csync::{Csync, crc};
use crate::population::hex;
use crate::{Error, Result};
use sha1::{Digest, Sha1};

/// Adds everything that the users of `scope` and the mailboxes `shared` hold.
///
/// The server's own claims are checked on the way: both CRCs against the records, each GUID against the
/// bytes. A claim that does not hold becomes a `broken:` fact, which counts as a difference on its own.
pub fn collect(csync: &mut Csync, scope: &Scope, shared: &[String], facts: &mut Facts) -> Result<()> {
    if scope.sieve_mailbox {
        csync.enable_sieve_mailbox()?;
    }
    let mut notes = Notes {
        facts,
        view: "csync".to_owned(),
    };
    for user in &scope.users {
        let quoted = string(user.as_bytes());
        let answer = csync.run(&[b"GET USER ", quoted.as_slice()].concat())?;
        for header in answer.all("MAILBOX") {
            mailbox(csync, header, scope, &mut notes)?;
        }
        for quota in answer.all("QUOTA") {
            let Value::Map(pairs) = quota else { continue };
            let root = quota.text("ROOT").unwrap_or_default();
            // The modseq of a quota root counts changes of one server only; no Cyrus compares it.
            for (key, value) in pairs.iter().filter(|(key, _)| key != "MODSEQ") {
                let (field, value) = (old_resource_name(key), value.canonical());
                let twice = quota.get(field).is_some_and(|other| other.canonical() != value);
                if twice {
                    notes.add(
                        &format!("quota {root}"),
                        None,
                        &format!("broken: {key} is not {field}"),
                        value.clone(),
                    );
                }
                notes.add(&format!("quota {root}"), None, field, value);
            }
        }
        let answer = csync.run(&[b"GET META ", quoted.as_slice()].concat())?;
        meta(csync, user, &answer, scope, &mut notes)?;
    }
    for name in shared {
        let answer = csync.run(&[b"GET MAILBOXES (", string(name.as_bytes()).as_slice(), b")"].concat())?;
        for header in answer.all("MAILBOX") {
            mailbox(csync, header, scope, &mut notes)?;
        }
    }
    Ok(())
}

/// From 3.10 on two resources are sent under two names each; earlier servers know the old ones only.
fn old_resource_name(key: &str) -> &str {
    match key {
        "ANNOTATION-STORAGE" => "X-ANNOTATION-STORAGE",
        "MAILBOX" => "X-NUM-FOLDERS",
        other => other,
    }
}

fn mailbox(csync: &mut Csync, header: &Value, scope: &Scope, notes: &mut Notes<'_>) -> Result<()> {
    let name = header
        .text("MBOXNAME")
        .ok_or_else(|| Error::Unreadable("MAILBOX without MBOXNAME".into()))?;
    if name.ends_with(".#sieve") && !scope.sieve_mailbox {
        return Ok(());
    }
    let is_place_holder = header
        .text("MBOXTYPE")
        .is_some_and(|letters| letters.contains('i'));
    if is_place_holder {
        notes.add(&name, None, "MBOXTYPE", "place holder");
        return Ok(());
    }
    let answer = csync.run(&[b"GET FULLMAILBOX ", string(name.as_bytes()).as_slice()].concat())?;
    let full = answer
        .all("MAILBOX")
        .next()
        .ok_or_else(|| Error::Unreadable(format!("no FULLMAILBOX {name}")))?;
    let Value::Map(pairs) = full else {
        return Err(Error::Unreadable(format!("FULLMAILBOX {name} is not a map")));
    };
    for (key, value) in pairs.iter().filter(|(key, _)| key != "RECORD") {
        match (key.as_str(), value) {
            ("ANNOTATIONS", list) => annotations(&name, None, list, notes),
            // Follows from the quota roots, which are compared; no replica takes it from the wire and no master looks
            // at it, so it is as old as the mailbox's last change.
            ("QUOTAROOT", _) => continue,
            // Sent from 3.12 on only; which keywords are in use shows in the records.
            ("USERFLAGS", _) => {}
            _ => notes.add(&name, None, key, value.canonical()),
        }
        if header.get(key) != Some(value) {
            let short = header.get(key).map(Value::canonical).unwrap_or_default();
            notes.add(
                &name,
                None,
                &format!("broken: {key} differs in the short form"),
                short,
            );
        }
    }
    let records = full.get("RECORD").map(Value::members).unwrap_or_default();
    let (basic, annotation) = crc::mailbox(records);
    for (key, computed) in [("SYNC_CRC", basic), ("SYNC_CRC_ANNOT", annotation)] {
        if full.number(key) != Some(u64::from(computed)) {
            notes.add(
                &name,
                None,
                &format!("broken: {key} does not fit the records"),
                computed.to_string(),
            );
        }
    }
    for record in records {
        message(csync, full, &name, record, notes)?;
    }
    Ok(())
}

fn message(
    csync: &mut Csync,
    mailbox: &Value,
    name: &str,
    record: &Value,
    notes: &mut Notes<'_>,
) -> Result<()> {
    let uid = record.number("UID").and_then(|uid| u32::try_from(uid).ok());
    let Value::Map(pairs) = record else {
        return Err(Error::Unreadable(format!("a record of {name} is not a map")));
    };
    for (key, value) in pairs {
        match key.as_str() {
            "ANNOTATIONS" => annotations(name, uid, value, notes),
            "FLAGS" => {
                // Keywords come in the order in which each server first saw them.
                let mut flags = crc::flags(record);
                flags.sort();
                notes.add(name, uid, key, flags.join(" "));
            }
            _ => notes.add(name, uid, key, value.canonical()),
        }
    }
    // The file of an expunged message may be gone on one server and not yet on the other.
    if crc::is_expunged(record) {
        return Ok(());
    }
    let Some(bytes) = csync.fetch(mailbox, record)? else {
        notes.add(name, uid, "broken: message", "cannot be fetched");
        return Ok(());
    };
    let digest = hex(&Sha1::digest(&bytes));
    if record.text("GUID") != Some(digest.clone()) {
        notes.add(name, uid, "broken: bytes do not fit the GUID", digest);
    }
    if record.number("SIZE") != Some(bytes.len() as u64) {
        notes.add(
            name,
            uid,
            "broken: bytes do not fit the SIZE",
            bytes.len().to_string(),
        );
    }
    notes.add(name, uid, "message", bytes);
    Ok(())
}

fn annotations(object: &str, uid: Option<u32>, list: &Value, notes: &mut Notes<'_>) {
    for annotation in list.members() {
        let user = annotation.get("USERID").map(Value::bytes).unwrap_or_default();
        let entry = annotation.text("ENTRY").unwrap_or_default();
        let field = format!("annotation {entry} of {:?}", String::from_utf8_lossy(user));
        let modseq = annotation.text("MODSEQ").unwrap_or_default();
        notes.add(
            object,
            uid,
            &field,
            annotation.get("VALUE").map(Value::canonical).unwrap_or_default(),
        );
        notes.add(object, uid, &format!("modseq of {field}"), modseq);
    }
}

fn meta(
    csync: &mut Csync,
    user: &str,
    answer: &crate::csync::Answer,
    scope: &Scope,
    notes: &mut Notes<'_>,
) -> Result<()> {
    let object = format!("user {user}");
    for seen in answer.all("SEEN") {
        let id = seen.text("UNIQUEID").unwrap_or_default();
        for key in ["LASTREAD", "LASTUID", "LASTCHANGE", "SEENUIDS"] {
            notes.add(
                &object,
                None,
                &format!("seen {id} {key}"),
                seen.text(key).unwrap_or_default(),
            );
        }
    }
    for list in answer.all("LSUB") {
        for name in list.members() {
            notes.add(
                &object,
                None,
                &format!("subscribed {}", String::from_utf8_lossy(name.bytes())),
                "yes",
            );
        }
    }
    if scope.sieve_mailbox {
        return Ok(());
    }
    for script in answer.all("SIEVE") {
        let file = script.text("FILENAME").unwrap_or_default();
        // LAST_UPDATE is the time of storing on each server.
        notes.add(
            &object,
            None,
            &format!("script {file} GUID"),
            script.text("GUID").unwrap_or_default(),
        );
        notes.add(
            &object,
            None,
            &format!("script {file} ISACTIVE"),
            script.text("ISACTIVE").unwrap_or_default(),
        );
        if file.ends_with(".script") {
            let command = [
                b"GET FETCH_SIEVE %(USERID ".as_slice(),
                &string(user.as_bytes()),
                b" FILENAME ",
                &string(file.as_bytes()),
                b")",
            ];
            let fetched = csync.run(&command.concat())?;
            let content = fetched
                .all("SIEVE")
                .next()
                .and_then(|script| script.get("CONTENT"))
                .map(Value::canonical);
            notes.add(
                &object,
                None,
                &format!("script {file} CONTENT"),
                content.unwrap_or_default(),
            );
        }
    }
    Ok(())
}
