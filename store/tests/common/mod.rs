//! Builders and helpers for the tests of both stores.
#![allow(dead_code, reason = "each test binary uses its own part")]

use bytes::Bytes;
use engine::crc::SyncCrc;
use engine::model::{Mailbox, MailboxKey};
use engine::name::Scope;
use engine::ticket::{Change, Reply, Request, Select, Session, StagePart, StoreError, UidSelect};
use protocol::{Annotation, Flags, Guid, MailboxOptions, Record, SystemFlags, Text};
use sha1::{Digest, Sha1};

pub fn text(text: &str) -> Text {
    Text::from(text)
}

pub fn user(id: &str) -> Scope {
    Scope::User(text(id))
}

pub fn guid(data: &[u8]) -> Guid {
    Guid::from_bytes(Sha1::digest(data).into())
}

/// A mailbox with a value of its own in every field.
pub fn mailbox(name: &str, uniqueid: &str) -> Mailbox {
    Mailbox {
        name: text(name),
        uniqueid: text(uniqueid),
        jmapid: Some(text("J1")),
        mbtype: Text::EMPTY,
        partition: text("default"),
        acl: text("jane\tlrs\t"),
        options: MailboxOptions::parse(b"PS"),
        quotaroot: Some(text("user.jane")),
        uidvalidity: 1_795_408_569,
        last_uid: 4_000_000_000,
        highestmodseq: u64::MAX - 1,
        recentuid: 3,
        recenttime: 1_795_408_570,
        last_appenddate: -5,
        pop3_last_login: 7,
        pop3_show_after: 8,
        xconvmodseq: Some(u64::MAX),
        raclmodseq: 10,
        createdmodseq: 11,
        foldermodseq: 12,
        deletedmodseq: 13,
        usergroups: Some(text("group:a\tgroup:b")),
        compact_emailids: Some(1),
        version: Some(19),
        annotations: vec![
            annotation("/specialuse", "jane", 5, b"\\Sent"),
            annotation("/comment", "", 0, b"\0\r\n\xff"),
        ],
        userflags: vec![text("$Junk"), text("Zeta"), text("alpha")],
        crc: SyncCrc {
            basic: 4_240_797_161,
            annot: 12_345_678,
        },
    }
}

pub fn placeholder(name: &str, uniqueid: &str) -> Mailbox {
    Mailbox {
        mbtype: text("ei"),
        ..mailbox(name, uniqueid)
    }
}

pub fn key(name: &str, uniqueid: &str) -> MailboxKey {
    MailboxKey {
        scope: Scope::of(name.as_bytes()),
        uniqueid: text(uniqueid),
    }
}

pub fn annotation(entry: &str, userid: &str, modseq: u64, value: &[u8]) -> Annotation {
    Annotation {
        entry: text(entry),
        userid: text(userid),
        modseq,
        value: Text::copy_from(value),
    }
}

/// A live record of these bytes.
pub fn record(uid: u32, modseq: u64, data: &[u8]) -> Record {
    Record {
        uid,
        modseq,
        last_updated: 1_795_408_569,
        flags: Flags::default(),
        internaldate: 1_795_000_000 + i64::from(uid),
        size: data.len() as u64,
        guid: guid(data),
        annotations: Vec::new(),
    }
}

pub fn expunged(mut record: Record) -> Record {
    record.flags.system = record.flags.system.with(SystemFlags::EXPUNGED);
    record
}

pub fn upload(data: &[u8]) -> Vec<StagePart> {
    let mut parts = vec![StagePart::Open {
        partition: text("default"),
        guid: guid(data),
        size: data.len() as u64,
    }];
    parts.extend(
        data.chunks(100_000)
            .map(|part| StagePart::Data(Bytes::copy_from_slice(part))),
    );
    parts.push(StagePart::Close);
    parts
}

pub fn put_records(uniqueid: &str, records: Vec<Record>) -> Change {
    Change::PutRecords {
        uniqueid: text(uniqueid),
        partition: text("default"),
        records,
    }
}

pub fn put_mailbox(name: &str, uniqueid: &str) -> Change {
    Change::PutMailbox(Box::new(mailbox(name, uniqueid)))
}

/// A session that rests whenever it can: nothing that is answered may depend on it.
pub struct Weary(pub Box<dyn Session>);

impl Session for Weary {
    fn execute(&mut self, request: Request) -> Result<Reply, StoreError> {
        self.0.rest();
        self.0.execute(request)
    }
}

/// Requests in the words of a test; a wrong kind of answer fails it.
pub struct Client(pub Box<dyn Session>);

impl Client {
    pub fn ask(&mut self, request: Request) -> Result<Reply, StoreError> {
        self.0.execute(request)
    }

    pub fn done(&mut self, request: Request) {
        assert_eq!(self.ask(request), Ok(Reply::Done));
    }

    pub fn stage(&mut self, data: &[u8]) {
        assert_eq!(
            self.ask(Request::Stage(upload(data))),
            Ok(Reply::Staged { refused: vec![] })
        );
    }

    pub fn begin(&mut self, scope: Scope) {
        self.done(Request::Begin { scope });
    }

    pub fn write(&mut self, changes: Vec<Change>) -> Result<(), StoreError> {
        self.ask(Request::Write(changes))
            .map(|reply| assert_eq!(reply, Reply::Done))
    }

    /// A whole transaction that has to succeed.
    pub fn transact(&mut self, scope: Scope, changes: Vec<Change>) {
        self.begin(scope);
        self.write(changes).expect("the changes are fine");
        self.done(Request::Commit);
    }

    pub fn mailboxes(&mut self, select: Select) -> Vec<Mailbox> {
        match self.ask(Request::Mailboxes(select)) {
            Ok(Reply::Mailboxes(found)) => found,
            other => panic!("{other:?}"),
        }
    }

    pub fn names(&mut self, select: Select) -> Vec<String> {
        self.mailboxes(select)
            .iter()
            .map(|mailbox| mailbox.name.to_lossy().into_owned())
            .collect()
    }

    pub fn users(&mut self, prefix: &str) -> Vec<Text> {
        match self.ask(Request::Users { prefix: text(prefix) }) {
            Ok(Reply::Names(names)) => names,
            other => panic!("{other:?}"),
        }
    }

    pub fn records(&mut self, mailbox: &MailboxKey, uids: UidSelect) -> Vec<Record> {
        match self.ask(Request::Records {
            mailbox: mailbox.clone(),
            uids,
        }) {
            Ok(Reply::Records(records)) => records,
            other => panic!("{other:?}"),
        }
    }

    pub fn all_records(&mut self, mailbox: &MailboxKey) -> Vec<Record> {
        self.records(
            mailbox,
            UidSelect::From {
                uid: 0,
                limit: u32::MAX,
            },
        )
    }

    pub fn changed(&mut self, mailbox: &MailboxKey, since_modseq: u64) -> Vec<u32> {
        match self.ask(Request::ChangedUids {
            mailbox: mailbox.clone(),
            since_modseq,
        }) {
            Ok(Reply::Uids(uids)) => uids,
            other => panic!("{other:?}"),
        }
    }

    pub fn part(
        &mut self,
        scope: Scope,
        guid: Guid,
        offset: u64,
        len_max: u32,
    ) -> Result<(u64, Bytes), StoreError> {
        match self.ask(Request::ReadMessage {
            scope,
            guid,
            offset,
            len_max,
        })? {
            Reply::Bytes { size, data } => Ok((size, data)),
            other => panic!("{other:?}"),
        }
    }

    pub fn messages(&mut self, scope: Scope, guids: Vec<Guid>, bytes_max: u32) -> Vec<Option<Bytes>> {
        match self.ask(Request::ReadMessages {
            scope,
            guids,
            bytes_max,
        }) {
            Ok(Reply::Messages(messages)) => messages,
            other => panic!("{other:?}"),
        }
    }

    /// The bytes of one message, or `None`.
    pub fn message(&mut self, scope: Scope, guid: Guid) -> Option<Bytes> {
        self.messages(scope, vec![guid], u32::MAX).pop().flatten()
    }

    pub fn reserve(&mut self, mailboxes: &[&str], guids: Vec<Guid>) -> Vec<Guid> {
        let mailboxes = mailboxes.iter().map(|name| text(name)).collect();
        match self.ask(Request::Reserve {
            partition: text("default"),
            mailboxes,
            guids,
        }) {
            Ok(Reply::Missing(missing)) => missing,
            other => panic!("{other:?}"),
        }
    }
}
