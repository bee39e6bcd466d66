//! Scripts as the SIEVE lines list and fetch them. [CS-GET-31] [CS-MBOX-50]
//!
//! Scripts that came by SIEVE commands are listed as kept. A user who has none, but has a `#sieve` mailbox, is listed
//! from its messages, so that a peer of either kind sees the scripts that a peer of the other kind has sent.

use protocol::response::{Code, Data, Sieve};
use protocol::{Guid, SystemFlags, Text};
use sha1::{Digest, Sha1};

use super::super::fail::Fail;
use super::super::session::Conn;
use crate::model::{Mailbox, SieveScript, UserMeta};
use crate::name::{Scope, inbox_of};
use crate::ticket::{Select, StoreError, UidSelect};

/// Extension of a script's source.
pub(in super::super) const SOURCE: &[u8] = b".script";
/// Extension of a compiled script; it exists here only as the mark of the active one.
pub(in super::super) const COMPILED: &[u8] = b".bc";
/// Largest message of a `#sieve` mailbox that is looked into, bytes.
const SCRIPT_BYTES_MAX: u32 = 1 << 20;
/// Most messages of a `#sieve` mailbox that are looked into.
const SCRIPTS_MAX: u32 = 1000;

/// Name of a user's `#sieve` mailbox.
pub(in super::super) fn mailbox_of(user: &Text) -> Text {
    let mut name = inbox_of(user).into_bytes();
    name.extend_from_slice(b".#sieve");
    Text::from(name)
}

/// SHA-1 of a script's text.
pub(in super::super) fn guid_of(content: &[u8]) -> Guid {
    Guid::from_bytes(Sha1::digest(content).into())
}

/// `name` with the extension.
fn with_extension(name: &Text, extension: &[u8]) -> Text {
    Text::from([name.as_bytes(), extension].concat())
}

/// The name in front of the extension, if the file name has it and a name in front of it.
pub(in super::super) fn strip_extension(filename: &Text, extension: &[u8]) -> Option<Text> {
    filename
        .strip_suffix(extension)
        .filter(|name| !name.is_empty())
        .map(Text::copy_from)
}

/// Sends a line for each script, and for the active one a second with its compiled name.
pub(super) async fn list(
    conn: &mut Conn,
    user: &Text,
    meta: &UserMeta,
    mailboxes: &[Mailbox],
) -> Result<(), Fail> {
    let (scripts, active) = scripts(conn, user, meta, mailboxes).await?;
    for script in &scripts {
        conn.port.room().await;
        let line = Sieve {
            filename: Some(with_extension(&script.name, SOURCE)),
            last_update: Some(script.last_update),
            guid: Some(script.guid),
            ..Sieve::default()
        };
        conn.port.encode(|encoder| encoder.data(&Data::Sieve(line)));
    }
    if let Some(active) = active {
        let line = Sieve {
            filename: Some(with_extension(&active, COMPILED)),
            last_update: Some(0),
            guid: Some(Guid::NULL),
            isactive: true,
            ..Sieve::default()
        };
        conn.port.encode(|encoder| encoder.data(&Data::Sieve(line)));
    }
    Ok(())
}

/// `GET FETCH_SIEVE`. [CS-GET-14] [CS-GET-21] [CS-GET-34]
pub(super) async fn fetch(conn: &mut Conn, userid: Option<Text>, filename: Option<Text>) -> Result<(), Fail> {
    let user = userid.ok_or_else(|| Fail::missing("USERID"))?;
    let filename = filename.ok_or_else(|| Fail::missing("FILENAME"))?;
    conn.begin_read(&Scope::User(user.clone())).await?;
    let outcome = fetch_within(conn, &user, &filename).await;
    conn.end_read(&Scope::User(user.clone())).await;
    outcome
}

async fn fetch_within(conn: &mut Conn, user: &Text, filename: &Text) -> Result<(), Fail> {
    let nonexistent = || {
        Fail::Refused(
            Code::MailboxNonexistent,
            format!("no script {filename} of {user}"),
        )
    };
    let name = strip_extension(filename, SOURCE).ok_or_else(nonexistent)?;
    let meta = conn.user_meta(user).await?;
    let mailboxes = conn.mailboxes(Select::Names(vec![mailbox_of(user)])).await?;
    let (scripts, _) = scripts(conn, user, &meta, &mailboxes).await?;
    let script = scripts
        .into_iter()
        .find(|script| script.name == name)
        .ok_or_else(nonexistent)?;
    let line = Sieve {
        userid: Some(user.clone()),
        filename: Some(filename.clone()),
        content: Some(script.content),
        ..Sieve::default()
    };
    conn.port.encode(|encoder| encoder.data(&Data::Sieve(line)));
    Ok(())
}

/// A user's scripts and the name of the active one.
async fn scripts(
    conn: &Conn,
    user: &Text,
    meta: &UserMeta,
    mailboxes: &[Mailbox],
) -> Result<(Vec<SieveScript>, Option<Text>), Fail> {
    let name = mailbox_of(user);
    match mailboxes
        .iter()
        .find(|mailbox| mailbox.name == name && !mailbox.is_placeholder())
    {
        Some(mailbox) if meta.scripts.is_empty() => from_messages(conn, mailbox).await,
        _ => Ok((meta.scripts.clone(), meta.active_script.clone())),
    }
}

async fn from_messages(conn: &Conn, mailbox: &Mailbox) -> Result<(Vec<SieveScript>, Option<Text>), Fail> {
    let key = mailbox.key();
    let records = conn
        .records(
            &key,
            UidSelect::From {
                uid: 1,
                limit: SCRIPTS_MAX,
            },
        )
        .await?;
    let mut scripts: Vec<SieveScript> = Vec::new();
    let mut active = None;
    for record in records.iter().filter(|record| !record.is_expunged()) {
        let bytes = match conn
            .message_part(&key.scope, record.guid, 0, SCRIPT_BYTES_MAX)
            .await
        {
            Ok((size, bytes)) if bytes.len() as u64 == size => bytes,
            Ok(_) | Err(StoreError::NotFound { .. } | StoreError::Corrupt { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let Some((name, content)) = script_of_message(&bytes) else {
            continue;
        };
        if record.flags.system.contains(SystemFlags::FLAGGED) {
            active = Some(name.clone());
        }
        let guid = guid_of(&content);
        scripts.retain(|script| script.name != name);
        scripts.push(SieveScript {
            name,
            last_update: record.internaldate,
            guid,
            content,
        });
    }
    Ok((scripts, active))
}

/// Name (`Subject`) and text (body) of a script's message.
fn script_of_message(message: &[u8]) -> Option<(Text, Text)> {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (&message[..end + 2], &message[end + 4..]);
    let mut name: Option<Vec<u8>> = None;
    let mut in_subject = false;
    for line in head
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
    {
        let is_folded = line.first().is_some_and(|byte| b" \t".contains(byte));
        match &mut name {
            Some(name) if in_subject && is_folded => name.extend_from_slice(line),
            None if line
                .get(..8)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"subject:")) =>
            {
                in_subject = true;
                name = Some(line[8..].to_vec());
            }
            _ => in_subject = false,
        }
    }
    let name = name?;
    let name = name.trim_ascii();
    (!name.is_empty()).then(|| (Text::copy_from(name), Text::copy_from(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_read_from_its_message() {
        let message = b"From: <a@b>\r\nsubject: my\r\n rules\r\nX: 1\r\n\r\nkeep;\r\n";
        assert_eq!(
            script_of_message(message),
            Some((Text::from("my rules"), Text::from("keep;\r\n")))
        );
        assert_eq!(script_of_message(b"From: x\r\n\r\nkeep;"), None);
        assert_eq!(script_of_message(b"Subject: x\r\n"), None);
    }

    #[test]
    fn extensions() {
        assert_eq!(
            strip_extension(&Text::from("a.script"), SOURCE),
            Some(Text::from("a"))
        );
        assert_eq!(strip_extension(&Text::from(".script"), SOURCE), None);
        assert_eq!(strip_extension(&Text::from("a.bc"), SOURCE), None);
    }
}
