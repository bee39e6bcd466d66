//! `GET MAILBOXES`, `GET UNIQUEIDS` and `GET FULLMAILBOX`. [CS-GET-8] [CS-GET-9] [CS-GET-10]

use protocol::Text;
use protocol::response::{Code, Data, StreamingData};

use super::super::ask::records_of;
use super::super::fail::Fail;
use super::super::line;
use super::super::session::Conn;
use super::last_uid;
use crate::model::Mailbox;
use crate::name::Scope;
use crate::ticket::{Request, Select, UidSelect};

/// Mailboxes asked of the store at once.
const MAILBOXES_AT_ONCE: usize = 512;
/// Records asked of the store at once.
const RECORDS_AT_ONCE: u32 = 1000;

/// One line for each that exists, in the order asked. An argument that is not a list is an empty answer. [CS-GET-18]
pub(super) async fn by_name(conn: &mut Conn, names: Option<Vec<Text>>) -> Result<(), Fail> {
    for names in names.unwrap_or_default().chunks(MAILBOXES_AT_ONCE) {
        let found = conn.mailboxes(Select::Names(names.to_vec())).await?;
        send(conn, &found).await;
    }
    Ok(())
}

/// As by name.
pub(super) async fn by_uniqueid(conn: &mut Conn, ids: Option<Vec<Text>>) -> Result<(), Fail> {
    for ids in ids.unwrap_or_default().chunks(MAILBOXES_AT_ONCE) {
        let found = conn.mailboxes(Select::Uniqueids(ids.to_vec())).await?;
        send(conn, &found).await;
    }
    Ok(())
}

async fn send(conn: &mut Conn, mailboxes: &[Mailbox]) {
    for mailbox in mailboxes {
        if !conn.shows(mailbox) {
            continue;
        }
        conn.looks.told(mailbox);
        conn.port.room().await;
        conn.port
            .encode(|encoder| encoder.data(&Data::Mailbox(Box::new(line::of_mailbox(mailbox, false)))));
    }
}

/// One mailbox with all its records, expunged ones too, streamed. [CS-GET-25]
pub(super) async fn full(conn: &mut Conn, name: Option<Text>) -> Result<(), Fail> {
    let name = name.ok_or_else(|| Fail::missing("the mailbox name"))?;
    let scope = Scope::of(&name);
    conn.begin_read(&scope).await?;
    let outcome = full_within(conn, &name).await;
    conn.end_read(&scope).await;
    outcome
}

async fn full_within(conn: &mut Conn, name: &Text) -> Result<(), Fail> {
    let mailbox = match conn.mailbox(name).await? {
        Some(mailbox) if conn.shows(&mailbox) && !mailbox.is_placeholder() => mailbox,
        _ => {
            return Err(Fail::Refused(
                Code::MailboxNonexistent,
                format!("no mailbox {name}"),
            ));
        }
    };
    let key = mailbox.key();
    let ask = |uid: u32| {
        let uids = UidSelect::From {
            uid,
            limit: RECORDS_AT_ONCE,
        };
        conn.port.store(Request::Records {
            mailbox: key.clone(),
            uids,
        })
    };
    let mut records = records_of(ask(1).await?)?;
    conn.looks.told(&mailbox);
    conn.port.encode(|encoder| {
        encoder.begin_data(&StreamingData::Mailbox(Box::new(line::of_mailbox(
            &mailbox, true,
        ))));
    });
    while let Some(last) = last_uid(&records) {
        let next = last.checked_add(1).map(&ask);
        for chunk in records.chunks(100) {
            conn.port.room().await;
            conn.port
                .encode(|encoder| chunk.iter().for_each(|record| encoder.record(record)));
        }
        records = match next {
            Some(next) => match next.await.and_then(records_of) {
                Ok(records) => records,
                Err(error) => {
                    // The line has begun: it is ended so that the refusal behind it can be read.
                    conn.port.encode(|encoder| encoder.end());
                    return Err(error.into());
                }
            },
            None => Vec::new(),
        };
    }
    conn.port.encode(|encoder| encoder.end());
    Ok(())
}
