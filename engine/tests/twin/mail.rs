//! Mail in a store: changing it, and showing all of it.

use engine::crc::SyncCrc;
use engine::flow::Now;
use engine::local::{self, Incoming, MailboxEdit, Moment, NewMailbox};
use engine::model::Mailbox;
use engine::name::Scope;
use engine::ticket::{Change, Reply, Request, Select, Session, StagePart, UidSelect};
use protocol::{Flags, Guid, Record, SystemFlags, Text};
use sha1::{Digest, Sha1};
use store::memory::MemoryStore;

/// A store with a clock.
pub struct Mail {
    /// The store.
    pub store: MemoryStore,
    /// Seconds since the epoch; every change takes one.
    pub now: i64,
    ids: &'static str,
    count: u64,
}

impl Mail {
    /// An empty store whose unique ids begin with `ids`.
    pub fn new(ids: &'static str) -> Self {
        Mail::over(MemoryStore::new(), ids)
    }

    /// A store that is there.
    pub fn over(store: MemoryStore, ids: &'static str) -> Self {
        Mail {
            store,
            now: 1_700_000_000,
            ids,
            count: 0,
        }
    }

    /// One transaction.
    pub fn write(&mut self, scope: Scope, changes: Vec<Change>) {
        let mut session = self.store.session();
        self.write_in(&mut session, scope, changes);
    }

    fn write_in(&mut self, session: &mut dyn Session, scope: Scope, changes: Vec<Change>) {
        self.now += 1;
        session.execute(Request::Begin { scope }).expect("begin");
        session.execute(Request::Write(changes)).expect("write");
        session.execute(Request::Commit).expect("commit");
    }

    fn all(&self, scope: &Scope) -> Vec<Mailbox> {
        let select = match scope {
            Scope::User(user) => Select::User(user.clone()),
            Scope::Shared => Select::Shared,
        };
        mailboxes(&self.store, select)
    }

    fn moment(&self, scope: &Scope) -> Moment {
        let reply = self
            .store
            .session()
            .execute(Request::Tombstones { scope: scope.clone() });
        let Ok(Reply::Tombstones(tombstones)) = reply else {
            panic!("tombstones: {reply:?}")
        };
        Moment::behind(Now(self.now), &self.all(scope), &tombstones)
    }

    /// The mailbox of that name.
    pub fn mailbox(&self, name: &str) -> Mailbox {
        let mut found = mailboxes(&self.store, Select::Names(vec![Text::from(name)]));
        assert_eq!(found.len(), 1, "{name} exists");
        found.remove(0)
    }

    /// All records of the mailbox.
    pub fn records(&self, name: &str) -> Vec<Record> {
        records(&self.store, &self.mailbox(name))
    }

    /// One record.
    pub fn record(&self, name: &str, uid: u32) -> Record {
        self.records(name)
            .into_iter()
            .find(|record| record.uid == uid)
            .expect("the UID exists")
    }

    /// Creates mailboxes.
    pub fn create(&mut self, names: &[&str]) {
        for name in names {
            let scope = Scope::of(name.as_bytes());
            self.count += 1;
            let new = NewMailbox {
                name: Text::from(*name),
                uniqueid: Text::from(format!("{}{:04}", self.ids, self.count)),
                partition: Text::from("default"),
                acl: None,
            };
            let mailbox = local::create(self.moment(&scope), &self.all(&scope), new).expect("a new mailbox");
            self.write(scope, vec![Change::PutMailbox(Box::new(mailbox))]);
        }
    }

    /// Appends messages of these texts.
    pub fn append(&mut self, name: &str, texts: &[&str]) -> Vec<u32> {
        let mailbox = self.mailbox(name);
        let scope = Scope::of(name.as_bytes());
        let mut edit = MailboxEdit::begin(self.moment(&scope), mailbox).expect("not a placeholder");
        let mut session = self.store.session();
        let mut uids = Vec::new();
        for text in texts {
            let guid = stage(&mut session, text.as_bytes());
            let size = text.len() as u64;
            let message = Incoming {
                guid,
                size,
                internaldate: self.now,
                flags: Flags::default(),
                thread: None,
            };
            uids.push(edit.append(message).expect("appended"));
        }
        self.write_in(&mut session, scope, edit.finish());
        uids
    }

    fn edit(&mut self, name: &str, uid: u32, work: impl FnOnce(&mut MailboxEdit, &Record)) {
        let record = self.record(name, uid);
        let scope = Scope::of(name.as_bytes());
        let mut edit =
            MailboxEdit::begin(self.moment(&scope), self.mailbox(name)).expect("not a placeholder");
        work(&mut edit, &record);
        self.write(scope, edit.finish());
    }

    /// Replaces a message's flags.
    pub fn flag(&mut self, name: &str, uid: u32, system: SystemFlags, keywords: &[&str]) {
        let flags = Flags {
            system,
            keywords: keywords.iter().map(|word| Text::from(*word)).collect(),
        };
        self.edit(name, uid, |edit, record| {
            edit.set_flags(record, flags).expect("flagged");
        });
    }

    /// Expunges a message.
    pub fn expunge(&mut self, name: &str, uid: u32) {
        self.edit(name, uid, |edit, record| edit.expunge(record).expect("expunged"));
    }

    /// Annotates a message.
    pub fn annotate(&mut self, name: &str, uid: u32, entry: &str, userid: &str, value: &str) {
        let (entry, userid) = (Text::from(entry), Text::from(userid));
        self.edit(name, uid, |edit, record| {
            edit.annotate(record, &entry, &userid, Some(Text::from(value)))
                .expect("annotated");
        });
    }

    /// Annotates a mailbox.
    pub fn annotate_mailbox(&mut self, name: &str, entry: &str, value: &str) {
        let scope = Scope::of(name.as_bytes());
        let value = Some(Text::from(value));
        let changes = local::annotate(
            self.moment(&scope),
            &self.mailbox(name),
            &Text::from(entry),
            &Text::EMPTY,
            value,
        );
        self.write(scope, changes.expect("annotated"));
    }

    /// Renames a mailbox with what is below.
    pub fn rename(&mut self, from: &str, to: &str) {
        let scope = Scope::of(from.as_bytes());
        let changes = local::rename(
            self.moment(&scope),
            &self.all(&scope),
            &Text::from(from),
            &Text::from(to),
        );
        self.write(scope, changes.expect("renamed"));
    }

    /// Deletes a mailbox.
    pub fn delete(&mut self, name: &str) {
        let scope = Scope::of(name.as_bytes());
        let changes = local::delete(self.moment(&scope), &self.mailbox(name)).expect("deleted");
        self.write(scope, changes);
    }

    /// Writes records as they are and a header that fits them: damage, or another history.
    pub fn force(&mut self, mut mailbox: Mailbox, texts: &[&str], changed: Vec<Record>) {
        let mut session = self.store.session();
        for text in texts {
            stage(&mut session, text.as_bytes());
        }
        let mut all: std::collections::BTreeMap<u32, Record> = records(&self.store, &mailbox)
            .into_iter()
            .map(|record| (record.uid, record))
            .collect();
        all.extend(changed.iter().map(|record| (record.uid, record.clone())));
        mailbox.crc = SyncCrc::EMPTY;
        all.values().for_each(|record| mailbox.crc.toggle(record));
        let (uniqueid, partition) = (mailbox.uniqueid.clone(), mailbox.partition.clone());
        let scope = mailbox.key().scope;
        let changes = vec![
            Change::PutMailbox(Box::new(mailbox)),
            Change::PutRecords {
                uniqueid,
                partition,
                records: changed,
            },
        ];
        self.write_in(&mut session, scope, changes);
    }

    /// Moves a mailbox to another user.
    pub fn move_mailbox(&mut self, from: engine::model::MailboxKey, to: Mailbox) {
        let request = Request::MoveMailbox {
            from,
            to: Box::new(to),
        };
        self.store.session().execute(request).expect("moved");
    }

    /// Everything of the scope as text.
    pub fn dump(&self, scope: &Scope) -> String {
        dump(&self.store, scope)
    }
}

/// Stages a message; its GUID.
pub fn stage(session: &mut dyn Session, bytes: &[u8]) -> Guid {
    let guid = guid_of(bytes);
    let parts = vec![
        StagePart::Open {
            partition: Text::from("default"),
            guid,
            size: bytes.len() as u64,
        },
        StagePart::Data(bytes.to_vec().into()),
        StagePart::Close,
    ];
    session.execute(Request::Stage(parts)).expect("staged");
    guid
}

/// SHA-1 of the bytes.
pub fn guid_of(bytes: &[u8]) -> Guid {
    Guid::from_bytes(Sha1::digest(bytes).into())
}

/// Mailboxes of a store.
pub fn mailboxes(store: &MemoryStore, select: Select) -> Vec<Mailbox> {
    match store.session().execute(Request::Mailboxes(select)) {
        Ok(Reply::Mailboxes(mailboxes)) => mailboxes,
        other => panic!("mailboxes: {other:?}"),
    }
}

/// Records of a mailbox.
pub fn records(store: &MemoryStore, mailbox: &Mailbox) -> Vec<Record> {
    let uids = UidSelect::From {
        uid: 1,
        limit: u32::MAX,
    };
    match store.session().execute(Request::Records {
        mailbox: mailbox.key(),
        uids,
    }) {
        Ok(Reply::Records(records)) => records,
        other => panic!("records: {other:?}"),
    }
}

/// All of a scope that has to be equal on both sides, with every live message's bytes checked against its GUID.
pub fn dump(store: &MemoryStore, scope: &Scope) -> String {
    show(store, scope, true)
}

/// The same without what two histories may leave different: tombstones, when those were cleaned, and keyword names out of use.
pub fn dump_living(store: &MemoryStore, scope: &Scope) -> String {
    show(store, scope, false)
}

fn show(store: &MemoryStore, scope: &Scope, with_past: bool) -> String {
    let mut session = store.session();
    let select = match scope {
        Scope::User(user) => Select::User(user.clone()),
        Scope::Shared => Select::Shared,
    };
    let mut text = String::new();
    for mut mailbox in mailboxes(store, select) {
        mailbox.annotations.sort();
        mailbox
            .annotations
            .iter_mut()
            .for_each(|annotation| annotation.modseq = 0);
        if !with_past {
            mailbox.userflags.clear();
            mailbox.deletedmodseq = 0;
        }
        text.push_str(&format!("{mailbox:#?}\n"));
        for mut record in records(store, &mailbox) {
            if record.is_expunged() && !with_past {
                continue;
            }
            record.flags.keywords.sort();
            record.annotations.sort();
            if !record.is_expunged() {
                let request = Request::ReadMessages {
                    scope: scope.clone(),
                    guids: vec![record.guid],
                    bytes_max: 1 << 30,
                };
                let reply = session.execute(request);
                let Ok(Reply::Messages(messages)) = reply else {
                    panic!("messages: {reply:?}")
                };
                let bytes = messages[0].clone().expect("a live message has bytes");
                assert_eq!(guid_of(&bytes), record.guid);
                assert_eq!(bytes.len() as u64, record.size);
            }
            text.push_str(&format!("  {record:?}\n"));
        }
    }
    let mut ask = |request: Request| match session.execute(request) {
        Ok(Reply::Quotas(mut quotas)) => {
            quotas.iter_mut().for_each(|quota| quota.modseq = 0);
            format!("{quotas:#?}\n")
        }
        Ok(reply) => format!("{reply:#?}\n"),
        Err(error) => panic!("{error}"),
    };
    text.push_str(&ask(Request::Quotas { scope: scope.clone() }));
    text.push_str(&match scope {
        Scope::User(user) => ask(Request::UserMeta { user: user.clone() }),
        Scope::Shared => ask(Request::ServerAnnotations),
    });
    text
}
