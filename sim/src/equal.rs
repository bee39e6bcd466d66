//! Whether two stores hold the same mail; by plain comparison, without the engine's own CRCs.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use engine::model::Mailbox;
use engine::ticket::{Reply, Request, Select, Session, UidSelect};
use protocol::{Record, Text};

/// Everything of a user that has to arrive: mailboxes by identity, records by UID, subscriptions.
#[derive(PartialEq, Debug)]
pub struct View {
    mailboxes: BTreeMap<Text, (Text, u32, u32, Text)>,
    records: BTreeMap<(Text, u32), Record>,
    subscriptions: Vec<Text>,
}

/// Reads a user out of a store.
pub fn view(session: &mut dyn Session, user: &Text) -> Result<View> {
    let Reply::Mailboxes(mailboxes) = session.execute(Request::Mailboxes(Select::User(user.clone())))? else {
        bail!("the store answered something else than mailboxes");
    };
    let mut view = View {
        mailboxes: BTreeMap::new(),
        records: BTreeMap::new(),
        subscriptions: Vec::new(),
    };
    for mailbox in mailboxes {
        for record in records(session, &mailbox)? {
            view.records
                .insert((mailbox.uniqueid.clone(), record.uid), sorted(record));
        }
        let values = (mailbox.name, mailbox.uidvalidity, mailbox.last_uid, mailbox.acl);
        view.mailboxes.insert(mailbox.uniqueid, values);
    }
    let Reply::UserMeta(meta) = session.execute(Request::UserMeta { user: user.clone() })? else {
        bail!("the store answered something else than a user's own data");
    };
    view.subscriptions = meta.subscriptions;
    Ok(view)
}

/// All records of a mailbox.
pub fn records(session: &mut dyn Session, mailbox: &Mailbox) -> Result<Vec<Record>> {
    let uids = UidSelect::From {
        uid: 1,
        limit: u32::MAX,
    };
    match session.execute(Request::Records {
        mailbox: mailbox.key(),
        uids,
    })? {
        Reply::Records(records) => Ok(records),
        _ => bail!("the store answered something else than records"),
    }
}

/// Keyword order says nothing.
fn sorted(mut record: Record) -> Record {
    record.flags.keywords.sort();
    record.annotations.sort();
    record
}

impl View {
    /// Without tombstones of records: after a split brain each side keeps its own, and no reader sees them.
    pub fn live(mut self) -> View {
        self.records.retain(|_, record| !record.is_expunged());
        self
    }

    /// The first difference, for people; `None` when equal.
    pub fn difference(&self, other: &View) -> Option<String> {
        if self.mailboxes != other.mailboxes {
            return Some(format!(
                "mailboxes differ:\n{:?}\n{:?}",
                self.mailboxes, other.mailboxes
            ));
        }
        for (key, record) in &self.records {
            match other.records.get(key) {
                Some(same) if same == record => {}
                there => return Some(format!("record {key:?} differs:\n{record:?}\n{there:?}")),
            }
        }
        if let Some((key, record)) = other
            .records
            .iter()
            .find(|(key, _)| !self.records.contains_key(*key))
        {
            return Some(format!("only the replica has {key:?}: {record:?}"));
        }
        (self.subscriptions != other.subscriptions).then(|| {
            format!(
                "subscriptions differ: {:?}, {:?}",
                self.subscriptions, other.subscriptions
            )
        })
    }
}
