//! What a server has promised by answering OK, and whether it keeps it.

use crate::csync::dlist::{Value, read_named, string};
use crate::csync::{Csync, crc};
use crate::error::readable;
use crate::population::hex;
use crate::proxy::Exchange;
use crate::{Error, Result};
use sha1::{Digest, Sha1};
use std::collections::{BTreeMap, BTreeSet};

/// A record as acknowledged.
#[derive(Debug, Clone)]
struct Record {
    guid: String,
    modseq: u64,
    expunged: bool,
    /// Whether its bytes have been fetched since it was acknowledged.
    fetched: bool,
}

#[derive(Debug, Default)]
struct Mailbox {
    highestmodseq: u64,
    last_uid: u64,
    records: BTreeMap<u64, Record>,
}

/// Acknowledged state. What was sent without an answer may or may not have happened, so a mailbox or
/// subscription whose removal was ever sent is no promise any more.
#[derive(Debug, Default)]
pub struct Promises {
    /// By unique id.
    mailboxes: BTreeMap<String, Mailbox>,
    /// Name of each acknowledged mailbox, for removals, which go by name.
    ids: BTreeMap<String, String>,
    subscriptions: BTreeSet<(String, String)>,
    /// (user, unique id) and the sequence of seen UIDs, with whether the last one sent was acknowledged.
    seen: BTreeMap<(String, String), Option<String>>,
    quotas: BTreeMap<String, Option<u64>>,
}

impl Promises {
    /// Notes a command with its answer, in the order of sending.
    pub fn note(&mut self, exchange: &Exchange) {
        let Some(rest) = exchange.command.strip_prefix(b"APPLY ") else {
            return;
        };
        let Ok((name, value)) = read_named(rest) else {
            return;
        };
        let acknowledged = exchange
            .answer
            .as_deref()
            .is_some_and(|answer| answer.starts_with("OK"));
        let text = |key: &str| value.text(key).unwrap_or_default();
        match name.strip_prefix("LOCAL_").unwrap_or(&name) {
            "MAILBOX" if acknowledged => self.mailbox(&value),
            "RENAME" => {
                if let Some(id) = self.ids.remove(&text("OLDMBOXNAME")) {
                    self.ids.insert(text("NEWMBOXNAME"), id);
                }
            }
            "UNMAILBOX" => {
                let name = String::from_utf8_lossy(value.bytes()).into_owned();
                if let Some(id) = self.ids.remove(&name) {
                    self.mailboxes.remove(&id);
                }
            }
            "EXPUNGE" => {
                if let Some(mailbox) = self.mailboxes.get_mut(&text("UNIQUEID")) {
                    let uids = value.get("UID").map(Value::members).unwrap_or_default();
                    for uid in uids
                        .iter()
                        .filter_map(|uid| String::from_utf8_lossy(uid.bytes()).parse().ok())
                    {
                        mailbox.records.remove(&uid);
                    }
                }
            }
            "SUB" if acknowledged => {
                self.subscriptions.insert((text("USERID"), text("MBOXNAME")));
            }
            "UNSUB" => {
                self.subscriptions.remove(&(text("USERID"), text("MBOXNAME")));
            }
            "SEEN" => {
                let kept = acknowledged.then(|| text("SEENUIDS"));
                self.seen.insert((text("USERID"), text("UNIQUEID")), kept);
            }
            "QUOTA" => {
                let kept = value.number("STORAGE").filter(|_| acknowledged);
                self.quotas.insert(text("ROOT"), kept);
            }
            "UNQUOTA" => {
                self.quotas
                    .remove(&String::from_utf8_lossy(value.bytes()).into_owned());
            }
            _ => {}
        }
    }

    fn mailbox(&mut self, value: &Value) {
        let id = value.text("UNIQUEID").unwrap_or_default();
        self.ids
            .insert(value.text("MBOXNAME").unwrap_or_default(), id.clone());
        let mailbox = self.mailboxes.entry(id).or_default();
        mailbox.highestmodseq = mailbox
            .highestmodseq
            .max(value.number("HIGHESTMODSEQ").unwrap_or_default());
        mailbox.last_uid = mailbox.last_uid.max(value.number("LAST_UID").unwrap_or_default());
        for record in value.get("RECORD").map(Value::members).unwrap_or_default() {
            let kept = Record {
                guid: record.text("GUID").unwrap_or_default().to_ascii_lowercase(),
                modseq: record.number("MODSEQ").unwrap_or_default(),
                expunged: crc::is_expunged(record),
                fetched: false,
            };
            mailbox
                .records
                .insert(record.number("UID").unwrap_or_default(), kept);
        }
    }

    /// Compares with what the server says now. Returns how many records were looked at; the first broken
    /// promise is an error. The bytes of each live record are fetched once after it was acknowledged.
    pub fn check(&mut self, csync: &mut Csync) -> Result<u64> {
        // Without it the mailboxes that hold scripts are hidden.
        csync.enable_sieve_mailbox()?;
        let mut checked = 0;
        for (id, mailbox) in &mut self.mailboxes {
            let answer = csync.run(format!("GET UNIQUEIDS ({id})").as_bytes())?;
            let header = answer.all("MAILBOX").next();
            let name = header.and_then(|header| header.text("MBOXNAME"));
            let name =
                name.ok_or_else(|| broken(format!("mailbox {id} is gone ({:?})", names_of(&self.ids, id))))?;
            let answer = csync.run(&[b"GET FULLMAILBOX ", string(name.as_bytes()).as_slice()].concat())?;
            let full = answer.all("MAILBOX").next();
            let full = full.ok_or_else(|| broken(format!("mailbox {name} has no full form")))?;
            checked += mailbox.check(&name, full, csync)?;
        }
        self.check_users(csync)?;
        Ok(checked)
    }

    fn check_users(&self, csync: &mut Csync) -> Result<()> {
        let users: BTreeSet<&String> = self
            .subscriptions
            .iter()
            .map(|(user, _)| user)
            .chain(self.seen.keys().map(|(user, _)| user))
            .collect();
        for user in users {
            let answer = csync.run(&[b"GET META ", string(user.as_bytes()).as_slice()].concat())?;
            let subscribed: BTreeSet<Vec<u8>> = answer
                .all("LSUB")
                .flat_map(|list| list.members().iter().map(|name| name.bytes().to_vec()))
                .collect();
            for (_, name) in self.subscriptions.iter().filter(|(owner, _)| owner == user) {
                if !subscribed.contains(name.as_bytes()) {
                    return Err(broken(format!("{user} is not subscribed to {name}")));
                }
            }
            for ((_, id), uids) in self.seen.iter().filter(|((owner, _), _)| owner == user) {
                let Some(uids) = uids else { continue };
                let now = answer
                    .all("SEEN")
                    .find(|seen| seen.text("UNIQUEID").as_ref() == Some(id));
                if now.and_then(|seen| seen.text("SEENUIDS")).as_ref() != Some(uids) {
                    return Err(broken(format!(
                        "seen state of {user} in {id} is not {uids}: {now:?}"
                    )));
                }
            }
        }
        for (root, limit) in &self.quotas {
            let Some(limit) = limit else { continue };
            let answer = csync.run(&[b"GET QUOTA ", string(root.as_bytes()).as_slice()].concat())?;
            if answer
                .all("QUOTA")
                .next()
                .and_then(|quota| quota.number("STORAGE"))
                != Some(*limit)
            {
                return Err(broken(format!("quota of {root} is not {limit}: {answer:?}")));
            }
        }
        Ok(())
    }
}

impl Mailbox {
    fn check(&mut self, name: &str, full: &Value, csync: &mut Csync) -> Result<u64> {
        for (key, promised) in [("HIGHESTMODSEQ", self.highestmodseq), ("LAST_UID", self.last_uid)] {
            let now = full.number(key).unwrap_or_default();
            if now < promised {
                return Err(broken(format!("{name}: {key} is {now}, was {promised}")));
            }
        }
        let records = full.get("RECORD").map(Value::members).unwrap_or_default();
        let by_uid: BTreeMap<u64, &Value> = records
            .iter()
            .filter_map(|record| Some((record.number("UID")?, record)))
            .collect();
        for (uid, promised) in &mut self.records {
            let Some(&record) = by_uid.get(uid) else {
                // A replica need not keep a record that was expunged before it ever saw it.
                if promised.expunged {
                    continue;
                }
                return Err(broken(format!("{name} uid {uid} is gone")));
            };
            let guid = record.text("GUID").unwrap_or_default();
            let modseq = record.number("MODSEQ").unwrap_or_default();
            if guid != promised.guid || modseq < promised.modseq {
                let was = format!("{} modseq {}", promised.guid, promised.modseq);
                return Err(broken(format!(
                    "{name} uid {uid} is {guid} modseq {modseq}, was {was}"
                )));
            }
            if !promised.fetched && !crc::is_expunged(record) {
                let bytes = csync.fetch(full, record)?;
                if bytes.as_ref().map(|bytes| hex(&Sha1::digest(bytes))) != Some(guid) {
                    let shown = bytes.map_or("nothing".to_owned(), |bytes| readable(&bytes, 80));
                    return Err(broken(format!("{name} uid {uid} has other bytes: {shown}")));
                }
                promised.fetched = true;
            }
        }
        Ok(self.records.len() as u64)
    }
}

/// The names under which a mailbox was acknowledged.
fn names_of<'a>(ids: &'a BTreeMap<String, String>, id: &str) -> Vec<&'a String> {
    ids.iter()
        .filter(|(_, known)| known.as_str() == id)
        .map(|(name, _)| name)
        .collect()
}

fn broken(what: String) -> Error {
    Error::Process(format!("answered OK, but after a restart: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(promises: &mut Promises, command: &str, answer: Option<&str>) {
        promises.note(&Exchange {
            command: command.as_bytes().to_vec(),
            answer: answer.map(str::to_owned),
        });
    }

    #[test]
    fn only_acknowledged_commands_promise() {
        let mut promises = Promises::default();
        let mailbox = "APPLY MAILBOX %(UNIQUEID u1 MBOXNAME user.a HIGHESTMODSEQ 5 LAST_UID 2 \
            RECORD (%(UID 2 MODSEQ 5 FLAGS () GUID ab)))";
        noted(
            &mut promises,
            mailbox,
            Some("NO IMAP_SYNC_CHECKSUM Checksum Failure"),
        );
        noted(&mut promises, mailbox, None);
        assert!(promises.mailboxes.is_empty());
        noted(&mut promises, mailbox, Some("OK success"));
        assert_eq!(promises.mailboxes["u1"].records[&2].guid, "ab");
        noted(
            &mut promises,
            "APPLY RENAME %(OLDMBOXNAME user.a NEWMBOXNAME user.b PARTITION p)",
            None,
        );
        noted(&mut promises, "APPLY UNMAILBOX user.b", None);
        assert!(promises.mailboxes.is_empty());
    }

    #[test]
    fn an_unanswered_change_withdraws_the_promise() {
        let mut promises = Promises::default();
        noted(
            &mut promises,
            "APPLY SUB %(MBOXNAME user.a USERID a)",
            Some("OK success"),
        );
        noted(
            &mut promises,
            "APPLY SEEN %(USERID a UNIQUEID u LASTUID 1 SEENUIDS 1)",
            Some("OK success"),
        );
        assert_eq!(promises.subscriptions.len(), 1);
        noted(&mut promises, "APPLY UNSUB %(MBOXNAME user.a USERID a)", None);
        noted(
            &mut promises,
            "APPLY SEEN %(USERID a UNIQUEID u LASTUID 2 SEENUIDS 1:2)",
            None,
        );
        assert!(promises.subscriptions.is_empty());
        assert_eq!(promises.seen[&("a".into(), "u".into())], None);
    }
}
