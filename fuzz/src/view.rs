//! What a store shows, as plain data, and what must always hold of it.

use std::collections::{BTreeMap, BTreeSet};

use engine::model::Mailbox;
use engine::name::Scope;
use engine::ticket::{Reply, Request, Select, Session, UidSelect};
use protocol::{Annotation, Guid, Record, SystemFlags, Text};
use store::memory::MemoryStore;

use crate::values::guid_of;

/// Annotations of the server by entry and owner.
pub type Annotations = BTreeMap<(Text, Text), Text>;

/// A store.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct View {
    /// What each user has, and under the empty name what belongs to nobody.
    pub owners: BTreeMap<Text, Mail>,
    /// Annotations of the server.
    pub annotations: Annotations,
}

/// What belongs to one user, or to nobody.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Mail {
    /// Mailboxes by identity.
    pub mailboxes: BTreeMap<Text, Box_>,
    /// Names.
    pub subscriptions: BTreeSet<Text>,
    /// Last read, last UID, last change and seen UIDs by the mailbox's identity.
    pub seen: BTreeMap<Text, (i64, u32, i64, Text)>,
    /// Last update and content by name.
    pub scripts: BTreeMap<Text, (i64, Text)>,
    /// Name of the active script.
    pub active: Option<Text>,
    /// Limits (KiB, messages, KiB, folders) and modseq by root.
    pub quotas: BTreeMap<Text, ([Option<u32>; 4], u64)>,
    /// Name and last modseq of deleted mailboxes by identity.
    pub tombstones: BTreeMap<Text, (Text, u64)>,
}

/// A mailbox.
#[derive(Clone, PartialEq, Debug)]
#[allow(missing_docs, reason = "fields are named by the wire keys")]
pub struct Box_ {
    pub name: Text,
    pub mbtype: Text,
    pub partition: Text,
    pub acl: Text,
    pub options: u8,
    pub quotaroot: Option<Text>,
    pub uidvalidity: u32,
    pub last_uid: u32,
    pub highestmodseq: u64,
    pub recentuid: u32,
    pub dates: [i64; 4],
    pub createdmodseq: u64,
    pub foldermodseq: u64,
    pub raclmodseq: u64,
    pub xconvmodseq: Option<u64>,
    pub annotations: Vec<Annotation>,
    pub crc: (u32, u32),
    pub records: BTreeMap<u32, Record>,
}

impl Box_ {
    /// A mailbox with nothing in it.
    pub fn empty(name: &Text, mbtype: &Text, partition: &Text) -> Box_ {
        Box_ {
            name: name.clone(),
            mbtype: mbtype.clone(),
            partition: partition.clone(),
            acl: Text::EMPTY,
            options: 0,
            quotaroot: None,
            uidvalidity: 0,
            last_uid: 0,
            highestmodseq: 0,
            recentuid: 0,
            dates: [0; 4],
            createdmodseq: 0,
            foldermodseq: 0,
            raclmodseq: 0,
            xconvmodseq: None,
            annotations: Vec::new(),
            crc: (0, 12_345_678),
            records: BTreeMap::new(),
        }
    }

    /// Records that a reader sees.
    pub fn live(&self) -> impl Iterator<Item = &Record> {
        self.records.values().filter(|record| !record.is_expunged())
    }
}

impl View {
    /// The mailbox of that name with its identity.
    pub fn named(&self, name: &[u8]) -> Option<(&Text, &Box_)> {
        let mail = self.owners.get(&owner_of(&Scope::of(name)))?;
        mail.mailboxes
            .iter()
            .find(|(_, mailbox)| mailbox.name.as_bytes() == name)
    }

    /// Everybody's mailboxes with their identities.
    pub fn all(&self) -> impl Iterator<Item = (&Text, &Box_)> {
        self.owners.values().flat_map(|mail| &mail.mailboxes)
    }

    /// Messages that a reader sees, by their owner.
    pub fn messages(&self) -> BTreeSet<(Text, Guid)> {
        let owned = |(owner, mail): (&Text, &Mail)| -> Vec<(Text, Guid)> {
            let live = mail.mailboxes.values().flat_map(Box_::live);
            live.map(|record| (owner.clone(), record.guid)).collect()
        };
        self.owners.iter().flat_map(owned).collect()
    }
}

/// The name of an owner; empty for nobody.
pub fn owner_of(scope: &Scope) -> Text {
    match scope {
        Scope::User(user) => user.clone(),
        Scope::Shared => Text::EMPTY,
    }
}

/// Reads a store, as far as it belongs to these users, those who have an INBOX, and nobody.
pub fn view(store: &MemoryStore, users: &BTreeSet<Text>) -> View {
    let mut session = store.session();
    let mut users = users.clone();
    if let Ok(Reply::Names(names)) = session.execute(Request::Users { prefix: Text::EMPTY }) {
        users.extend(names);
    }
    let mut view = View::default();
    for user in users {
        view.owners
            .insert(user.clone(), mail(&mut session, Scope::User(user)));
    }
    view.owners.insert(Text::EMPTY, mail(&mut session, Scope::Shared));
    if let Ok(Reply::ServerAnnotations(all)) = session.execute(Request::ServerAnnotations) {
        view.annotations = all.into_iter().map(|a| ((a.entry, a.userid), a.value)).collect();
    }
    view
}

fn mail(session: &mut dyn Session, scope: Scope) -> Mail {
    let mut mail = Mail::default();
    let select = match &scope {
        Scope::User(user) => Select::User(user.clone()),
        Scope::Shared => Select::Shared,
    };
    let Ok(Reply::Mailboxes(mailboxes)) = session.execute(Request::Mailboxes(select)) else {
        panic!("the store has no mailboxes to list");
    };
    for mailbox in mailboxes {
        let records = Request::Records {
            mailbox: mailbox.key(),
            uids: UidSelect::From {
                uid: 1,
                limit: u32::MAX,
            },
        };
        let Ok(Reply::Records(records)) = session.execute(records) else {
            panic!("{} has no records to list", mailbox.name);
        };
        mail.mailboxes
            .insert(mailbox.uniqueid.clone(), plain(mailbox, records));
    }
    if let Scope::User(user) = &scope
        && let Ok(Reply::UserMeta(meta)) = session.execute(Request::UserMeta { user: user.clone() })
    {
        mail.subscriptions = meta.subscriptions.into_iter().collect();
        let seen = meta.seen.into_iter();
        mail.seen = seen
            .map(|s| (s.uniqueid, (s.lastread, s.lastuid, s.lastchange, s.seenuids)))
            .collect();
        mail.scripts = meta
            .scripts
            .into_iter()
            .map(|s| (s.name, (s.last_update, s.content)))
            .collect();
        mail.active = meta.active_script;
    }
    if let Ok(Reply::Quotas(quotas)) = session.execute(Request::Quotas { scope: scope.clone() }) {
        for q in quotas {
            let limits = [q.storage, q.message, q.annotation_storage, q.num_folders];
            mail.quotas.insert(q.root, (limits, q.modseq));
        }
    }
    if let Ok(Reply::Tombstones(tombstones)) = session.execute(Request::Tombstones { scope }) {
        let tombstones = tombstones.into_iter();
        mail.tombstones = tombstones
            .map(|t| (t.uniqueid, (t.name, t.highestmodseq)))
            .collect();
    }
    mail
}

fn plain(mailbox: Mailbox, records: Vec<Record>) -> Box_ {
    Box_ {
        name: mailbox.name,
        mbtype: mailbox.mbtype,
        partition: mailbox.partition,
        acl: mailbox.acl,
        options: mailbox.options.bits(),
        quotaroot: mailbox.quotaroot,
        uidvalidity: mailbox.uidvalidity,
        last_uid: mailbox.last_uid,
        highestmodseq: mailbox.highestmodseq,
        recentuid: mailbox.recentuid,
        dates: [
            mailbox.recenttime,
            mailbox.last_appenddate,
            mailbox.pop3_last_login,
            mailbox.pop3_show_after,
        ],
        createdmodseq: mailbox.createdmodseq,
        foldermodseq: mailbox.foldermodseq,
        raclmodseq: mailbox.raclmodseq,
        xconvmodseq: mailbox.xconvmodseq,
        annotations: mailbox.annotations,
        crc: (mailbox.crc.basic, mailbox.crc.annot),
        records: records.into_iter().map(|record| (record.uid, record)).collect(),
    }
}

/// What holds of every store at rest: names and identities are unique and where they belong, CRCs are those of the records,
/// no UID is above the last and, unless forced, no modseq above the highest, and every live message can be read and is what
/// its GUID says.
pub fn check(store: &MemoryStore, view: &View, forced: bool) {
    let mut ids = BTreeSet::new();
    for (owner, mail) in &view.owners {
        let mut names = BTreeSet::new();
        for (id, mailbox) in &mail.mailboxes {
            assert!(names.insert(&mailbox.name), "two mailboxes {}", mailbox.name);
            assert!(ids.insert(id), "two mailboxes with the identity {id}");
            assert_eq!(
                &owner_of(&Scope::of(&mailbox.name)),
                owner,
                "{} is elsewhere",
                mailbox.name
            );
            assert_eq!(mailbox.crc, crcs(mailbox), "CRCs of {}", mailbox.name);
            for (uid, record) in &mailbox.records {
                assert!(
                    (1..=mailbox.last_uid).contains(uid),
                    "UID {uid} of {}",
                    mailbox.name
                );
                assert!(
                    forced || record.modseq <= mailbox.highestmodseq,
                    "MODSEQ of UID {uid} of {}",
                    mailbox.name
                );
            }
            for record in mailbox.live() {
                let request = Request::ReadMessages {
                    scope: Scope::of(&mailbox.name),
                    guids: vec![record.guid],
                    bytes_max: 1 << 24,
                };
                let Ok(Reply::Messages(messages)) = store.session().execute(request) else {
                    panic!("messages cannot be read")
                };
                let bytes = messages[0].clone().expect("a live message has bytes");
                assert_eq!(guid_of(&bytes), record.guid);
            }
        }
    }
}

/// What no step may do to a mailbox that is there before and after it: give a UID to another message, bring back what was
/// expunged; and unless forced, have UIDs or modseqs go back.
pub fn check_step(before: &View, after: &View, forced: bool) {
    let there: BTreeMap<_, _> = after.all().collect();
    for (id, old) in before.all() {
        let Some(new) = there.get(id) else { continue };
        for (uid, record) in &old.records {
            let Some(now) = new.records.get(uid) else {
                panic!("UID {uid} of {} is gone without a trace", old.name)
            };
            assert!(
                !record.is_expunged() || now.is_expunged(),
                "UID {uid} of {} is back",
                old.name
            );
            assert_eq!(
                record.guid, now.guid,
                "UID {uid} of {} is another message",
                old.name
            );
            assert!(
                forced || record.modseq <= now.modseq,
                "MODSEQ of UID {uid} of {}",
                old.name
            );
        }
        // A name that only stands between others has what its line says. [CS-MBOX-13]
        if new.mbtype.contains(&b'i') {
            continue;
        }
        assert!(forced || old.last_uid <= new.last_uid, "LAST_UID of {}", old.name);
        assert!(
            forced || old.highestmodseq <= new.highestmodseq,
            "HIGHESTMODSEQ of {}",
            old.name
        );
    }
}

/// The CRCs that the records make. [CS-CRC-1]
pub fn crcs(mailbox: &Box_) -> (u32, u32) {
    mailbox.live().fold((0, 12_345_678), |(basic, annot), record| {
        (basic ^ basic_of(record), annot ^ annot_of(record))
    })
}

/// [CS-CRC-3]
fn basic_of(record: &Record) -> u32 {
    let named = SystemFlags::ALL
        .iter()
        .filter(|(flag, _)| record.flags.system.contains(*flag) && *flag != SystemFlags::EXPUNGED);
    let system = named.fold(0, |sum, (_, name)| {
        sum ^ crc32(name.to_ascii_lowercase().as_bytes())
    });
    let keywords = record.flags.keywords.iter();
    let flags = keywords.fold(system, |sum, word| sum ^ crc32(&word.to_ascii_lowercase()));
    let text = format!(
        "{} {} {} ({flags}) {} {}",
        record.uid, record.modseq, record.last_updated, record.internaldate, record.guid
    );
    crc32(text.as_bytes())
}

/// [CS-CRC-5] [CS-CRC-6]
fn annot_of(record: &Record) -> u32 {
    record.annotations.iter().fold(0, |sum, a| {
        let is_thread = a.entry.as_bytes() == Annotation::THRID;
        let zeros = a
            .value
            .iter()
            .take_while(|byte| is_thread && **byte == b'0')
            .count();
        let value: &[u8] = match &a.value[zeros..] {
            b"" if is_thread => b"0",
            value => value,
        };
        let head = format!("{} ", record.uid).into_bytes();
        sum ^ crc32(&[&head[..], a.entry.as_bytes(), b" ", &a.userid[..], b" ", value].concat())
    })
}

/// [CS-CRC-2], bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg())
        })
    })
}
