//! `mailtwin list`: who has mail here, and what mailboxes.

use engine::crc::SyncCrc;
use engine::model::Mailbox;
use engine::ticket::Select;
use protocol::Text;
use serde::Serialize;

use crate::access::Access;
use crate::failure::Result;
use crate::names;
use crate::output::{self, print_json};
use crate::table::{self, Align, Table};

/// A user as listed.
#[derive(Serialize)]
struct UserRow {
    user: String,
    mailboxes: u64,
    messages: u64,
    bytes: u64,
    crc_ok: bool,
}

/// A mailbox as listed.
#[derive(Serialize)]
struct MailboxRow {
    mailbox: String,
    name: String,
    uniqueid: String,
    r#type: String,
    partition: String,
    exists: u64,
    expunged: u64,
    bytes: u64,
    uidvalidity: u32,
    last_uid: u32,
    highestmodseq: u64,
    sync_crc: u32,
    sync_crc_annot: u32,
    crc_ok: bool,
}

/// What a walk over a mailbox's records finds.
pub struct Census {
    /// Live records.
    pub exists: u64,
    /// Tombstones.
    pub expunged: u64,
    /// Bytes of the live ones.
    pub bytes: u64,
    /// CRCs made anew.
    pub crc: SyncCrc,
}

impl Census {
    /// Walks over all records of a mailbox.
    pub fn of(access: &mut Access, mailbox: &Mailbox) -> Result<Census> {
        let mut census = Census {
            exists: 0,
            expunged: 0,
            bytes: 0,
            crc: SyncCrc::EMPTY,
        };
        access.for_each_record(&mailbox.key(), |_, record| {
            if record.is_expunged() {
                census.expunged += 1;
            } else {
                census.exists += 1;
                census.bytes += record.size;
            }
            census.crc.toggle(&record);
            Ok(())
        })?;
        Ok(census)
    }
}

/// Lists all users, then the mailboxes of nobody as one row.
pub fn users(access: &mut Access, json: bool) -> Result<()> {
    let mut rows = Vec::new();
    for user in access.users()? {
        let mailboxes = access.mailboxes(Select::User(user.clone()))?;
        rows.push(user_row(access, user.to_string(), &mailboxes)?);
    }
    let shared = access.mailboxes(Select::Shared)?;
    if !shared.is_empty() {
        rows.push(user_row(access, "(shared)".to_owned(), &shared)?);
    }
    if json {
        return print_json(&rows);
    }
    if rows.is_empty() {
        return output::note("no mail here yet; `mailtwin import` or a sync_client brings some");
    }
    let mut table = Table::new(&[
        ("USER", Align::Left),
        ("MAILBOXES", Align::Right),
        ("MESSAGES", Align::Right),
        ("SIZE", Align::Right),
        ("CRC", Align::Left),
    ]);
    for row in &rows {
        table.row(vec![
            names::printable(&row.user),
            table::grouped(row.mailboxes),
            table::grouped(row.messages),
            table::bytes(row.bytes),
            crc_state(row.crc_ok),
        ]);
    }
    print_table(&table)
}

/// Lists the mailboxes of one user.
pub fn mailboxes(access: &mut Access, user: &Text, json: bool) -> Result<()> {
    let mut rows = Vec::new();
    for mailbox in access.mailboxes_of(user)? {
        rows.push(mailbox_row(access, user, &mailbox)?);
    }
    if json {
        return print_json(&rows);
    }
    let mut table = Table::new(&[
        ("MAILBOX", Align::Left),
        ("EXISTS", Align::Right),
        ("SIZE", Align::Right),
        ("UIDVALIDITY", Align::Right),
        ("LAST UID", Align::Right),
        ("MODSEQ", Align::Right),
        ("CRC", Align::Left),
    ]);
    for row in &rows {
        let placeholder = row.r#type.contains('i');
        table.row(vec![
            row.name.clone(),
            if placeholder {
                "-".to_owned()
            } else {
                table::grouped(row.exists)
            },
            if placeholder {
                "-".to_owned()
            } else {
                table::bytes(row.bytes)
            },
            row.uidvalidity.to_string(),
            row.last_uid.to_string(),
            row.highestmodseq.to_string(),
            crc_state(row.crc_ok),
        ]);
    }
    print_table(&table)
}

fn user_row(access: &mut Access, user: String, mailboxes: &[Mailbox]) -> Result<UserRow> {
    let mut row = UserRow {
        user,
        mailboxes: 0,
        messages: 0,
        bytes: 0,
        crc_ok: true,
    };
    for mailbox in mailboxes.iter().filter(|m| !m.is_placeholder()) {
        let census = Census::of(access, mailbox)?;
        row.mailboxes += 1;
        row.messages += census.exists;
        row.bytes += census.bytes;
        row.crc_ok &= census.crc == mailbox.crc;
    }
    Ok(row)
}

fn mailbox_row(access: &mut Access, user: &Text, mailbox: &Mailbox) -> Result<MailboxRow> {
    let census = Census::of(access, mailbox)?;
    Ok(MailboxRow {
        mailbox: mailbox.name.to_string(),
        name: names::shown(user, &mailbox.name),
        uniqueid: mailbox.uniqueid.to_string(),
        r#type: mailbox.mbtype.to_string(),
        partition: mailbox.partition.to_string(),
        exists: census.exists,
        expunged: census.expunged,
        bytes: census.bytes,
        uidvalidity: mailbox.uidvalidity,
        last_uid: mailbox.last_uid,
        highestmodseq: mailbox.highestmodseq,
        sync_crc: mailbox.crc.basic,
        sync_crc_annot: mailbox.crc.annot,
        crc_ok: mailbox.is_placeholder() || census.crc == mailbox.crc,
    })
}

fn crc_state(ok: bool) -> String {
    if ok { "ok" } else { "WRONG" }.to_owned()
}

fn print_table(table: &Table) -> Result<()> {
    output::to_stdout(|out| {
        table
            .lines(table::screen_width())
            .iter()
            .try_for_each(|line| writeln!(out, "{line}"))
    })
}
