//! Playing a replication master, for what Cyrus takes through csync only.

use super::hex;
use super::mail::Sample;
use crate::csync::Csync;
use crate::csync::dlist::{Value, string};
use crate::{Error, Result};
use sha1::{Digest, Sha1};

/// Appends messages to an empty mailbox; `APPEND` refuses bare newlines, replication does not.
pub fn append(csync: &mut Csync, mailbox: &str, samples: &[Sample]) -> Result<()> {
    let header = header(csync, mailbox)?;
    let modseq = header.number("HIGHESTMODSEQ").unwrap_or_default() + 1;
    let mut upload = b"APPLY MESSAGE (".to_vec();
    let mut records = Vec::new();
    for (index, sample) in samples.iter().enumerate() {
        let guid = hex(&Sha1::digest(&sample.bytes));
        let size = sample.bytes.len();
        let separator = if index == 0 { "" } else { " " };
        upload.extend_from_slice(format!("{separator}%{{default {guid} {size}}}\r\n").as_bytes());
        upload.extend_from_slice(&sample.bytes);
        let dates = "LAST_UPDATED 1600000000 FLAGS (raw) INTERNALDATE 1600000000";
        records.push(format!(
            "%(UID {} MODSEQ {modseq} {dates} SIZE {size} GUID {guid})",
            index + 1
        ));
    }
    upload.push(b')');
    csync.run(&upload)?;
    let last = samples.len().to_string();
    let records = format!("({})", records.join(" "));
    apply(csync, &header, &[("LAST_UID", &last), ("RECORD", &records)])
}

/// Changes fields of the mailbox itself; values are given as they go on the wire.
pub fn set(csync: &mut Csync, mailbox: &str, fields: &[(&str, &str)]) -> Result<()> {
    let header = header(csync, mailbox)?;
    apply(csync, &header, fields)
}

fn header(csync: &mut Csync, mailbox: &str) -> Result<Value> {
    let answer = csync.run(&[b"GET MAILBOXES (", string(mailbox.as_bytes()).as_slice(), b")"].concat())?;
    let header = answer.all("MAILBOX").next().cloned();
    header.ok_or_else(|| Error::Unreadable(format!("no mailbox {mailbox}")))
}

/// `APPLY MAILBOX` with the fields of `header`, some of them replaced, and the next modseq.
fn apply(csync: &mut Csync, header: &Value, replaced: &[(&str, &str)]) -> Result<()> {
    let Value::Map(pairs) = header else {
        return Err(Error::Unreadable("MAILBOX is not a map".into()));
    };
    let modseq = (header.number("HIGHESTMODSEQ").unwrap_or_default() + 1).to_string();
    let mut fields: Vec<(&str, Vec<u8>)> = vec![("HIGHESTMODSEQ", modseq.into_bytes())];
    fields.extend(
        replaced
            .iter()
            .map(|&(key, value)| (key, value.as_bytes().to_vec())),
    );
    // The CRCs would be those of the old state; without them nothing is checked.
    let dropped = |key: &str| key.starts_with("SYNC_CRC") || key == "QUOTAROOT";
    for (key, value) in pairs {
        if !dropped(key) && fields.iter().all(|(taken, _)| taken != key) {
            fields.push((key, value.canonical()));
        }
    }
    if fields.iter().all(|(key, _)| *key != "RECORD") {
        fields.push(("RECORD", b"()".to_vec()));
    }
    let mut command = b"APPLY MAILBOX %(".to_vec();
    for (index, (key, value)) in fields.iter().enumerate() {
        let separator: &[u8] = if index == 0 { b"" } else { b" " };
        command.extend_from_slice(&[separator, key.as_bytes(), b" ", value].concat());
    }
    command.push(b')');
    csync.run(&command).map(drop)
}
