//! The seldom changes of clients.

use engine::local::{self, Incoming, LocalError, MailboxEdit, Moment};
use engine::model::{Mailbox, QuotaLimits, SeenState, ServerAnnotation};
use engine::ticket::{Change, Reply, Request, Session};
use protocol::{Guid, Record, Text};
use sha1::{Digest, Sha1};

use super::client::{Doing, folder_name, user_of};
use crate::plan::{Deed, SHARED, Wide};

/// Rights that a client may give.
const RIGHTS: [&str; 4] = ["anyone\tlrs\t", "cold\tlrswi\t", "hot\tlrswipkxtecdan\t", ""];
/// Special uses.
const USES: [&str; 3] = ["\\Archive", "\\Junk", "\\Sent"];

impl Deed {
    /// The id of the user whose mail it is about; empty for mailboxes of nobody.
    pub(crate) fn owner(&self) -> Text {
        let of_nobody = matches!(
            self,
            Deed::Wide {
                what: Wide::Server { .. },
                ..
            }
        );
        if self.user() == SHARED || of_nobody {
            Text::EMPTY
        } else {
            user_of(self.user())
        }
    }
}

impl Doing<'_> {
    pub(super) fn wide(&mut self, what: &Wide) -> Result<Vec<Change>, LocalError> {
        // A run over all users knows those who have an INBOX.
        if !self.user.is_empty() && self.mailbox(0).is_none() {
            return Ok(Vec::new());
        }
        match what {
            Wide::Seen { folder, upto } => Ok(self.seen(*folder, *upto)),
            Wide::Script { nth, value } => Ok(self.script(*nth, *value)),
            Wide::Activate { nth } => Ok(self.activate(*nth)),
            Wide::Quota { folder, storage } => Ok(self.quota(*folder, *storage)),
            Wide::Acl { folder, value } => match self.mailbox(*folder) {
                Some(mailbox) => {
                    let acl = Text::from(RIGHTS[usize::from(*value) % RIGHTS.len()]);
                    local::set_acl(self.moment, &mailbox, acl)
                }
                None => Ok(Vec::new()),
            },
            Wide::Note {
                folder,
                value,
                special,
            } => self.note_mailbox(*folder, *value, *special),
            Wide::Copy { from, nth, to, moves } => self.copy(*from, *nth, *to, *moves),
            Wide::RenameInbox { to } => self.rename_inbox(*to),
            Wide::Uidvalidity { folder } => Ok(self.touch(*folder, |mailbox| {
                mailbox.uidvalidity = mailbox.uidvalidity.saturating_add(1);
            })),
            Wide::Partition { folder, nth } => Ok(self.touch(*folder, |mailbox| {
                mailbox.partition = Text::from(["default", "second"][usize::from(*nth) % 2]);
            })),
            Wide::Server { value } => Ok(vec![note_server(*value)]),
            Wide::RemoveUser => Ok(self.remove_user()),
        }
    }

    fn seen(&self, folder: usize, upto: u32) -> Vec<Change> {
        let Some(mailbox) = self.mailbox(folder).filter(|mailbox| mailbox.last_uid > 0) else {
            return Vec::new();
        };
        let upto = upto.clamp(1, mailbox.last_uid);
        vec![Change::PutSeen(SeenState {
            uniqueid: mailbox.uniqueid,
            lastread: self.moment.now.0,
            lastuid: upto,
            lastchange: self.moment.now.0,
            seenuids: Text::from(format!("1:{upto}")),
        })]
    }

    fn scripts(&mut self) -> Vec<Text> {
        let user = self.user.clone();
        match self.session.execute(Request::UserMeta { user }) {
            Ok(Reply::UserMeta(meta)) => meta.scripts.into_iter().map(|script| script.name).collect(),
            _ => Vec::new(),
        }
    }

    fn script(&mut self, nth: u8, value: u8) -> Vec<Change> {
        let name = script_name(nth);
        if value > 0 {
            let content = format!("keep; # {value}\r\n");
            let guid = Guid::from_bytes(Sha1::digest(&content).into());
            return local::put_script(self.moment.now, name, Text::from(content), guid);
        }
        if self.scripts().contains(&name) {
            local::remove_script(name)
        } else {
            Vec::new()
        }
    }

    fn activate(&mut self, nth: Option<u8>) -> Vec<Change> {
        let name = nth.map(script_name);
        match &name {
            Some(script) if !self.scripts().contains(script) => Vec::new(),
            _ => local::activate_script(name),
        }
    }

    fn quota(&mut self, folder: usize, storage: Option<u32>) -> Vec<Change> {
        let root = folder_name(&self.user, folder);
        let request = Request::Quotas {
            scope: super::read::scope_of(&self.user),
        };
        let Ok(Reply::Quotas(existing)) = self.session.execute(request) else {
            return Vec::new();
        };
        match storage {
            Some(storage) => local::put_quota(
                &existing,
                QuotaLimits {
                    root,
                    storage: Some(storage),
                    message: None,
                    annotation_storage: None,
                    num_folders: None,
                    modseq: 0,
                },
            ),
            None if existing.iter().any(|limits| limits.root == root) => local::remove_quota(root),
            None => Vec::new(),
        }
    }

    fn note_mailbox(&self, folder: usize, value: u8, special: bool) -> Result<Vec<Change>, LocalError> {
        let Some(mailbox) = self.mailbox(folder) else {
            return Ok(Vec::new());
        };
        let (entry, userid) = if special {
            (Text::from("/specialuse"), self.user.clone())
        } else {
            (Text::from("/comment"), Text::EMPTY)
        };
        let text = match (value, special) {
            (0, _) => None,
            (value, true) => Some(USES[usize::from(value) % USES.len()].to_owned()),
            (value, false) => Some(format!("about {value}")),
        };
        local::annotate(self.moment, &mailbox, &entry, &userid, text.map(Text::from))
    }

    /// Changes a mailbox's own values.
    fn touch(&self, folder: usize, change: impl FnOnce(&mut Mailbox)) -> Vec<Change> {
        let Some(mailbox) = self.mailbox(folder) else {
            return Vec::new();
        };
        let mut changed = mailbox.clone();
        change(&mut changed);
        if changed == mailbox {
            return Vec::new();
        }
        let modseq = self.moment.modseq_after.max(mailbox.highestmodseq) + 1;
        changed.highestmodseq = modseq;
        changed.foldermodseq = modseq;
        vec![Change::PutMailbox(Box::new(changed))]
    }

    fn copy(&mut self, from: usize, nth: usize, to: usize, moves: bool) -> Result<Vec<Change>, LocalError> {
        let (Some((source, record)), Some(target)) = (self.nth(from, nth), self.mailbox(to)) else {
            return Ok(Vec::new());
        };
        if source.uniqueid == target.uniqueid {
            return Ok(Vec::new());
        }
        self.carry(source, &[record], target, moves)
    }

    /// Copies messages to another mailbox, and expunges them where they were.
    fn carry(
        &mut self,
        source: Mailbox,
        records: &[Record],
        target: Mailbox,
        moves: bool,
    ) -> Result<Vec<Change>, LocalError> {
        let mut edit = MailboxEdit::begin(self.moment, target)?;
        for record in records {
            edit.append(Incoming {
                guid: record.guid,
                size: record.size,
                internaldate: record.internaldate,
                flags: record.flags.clone(),
                thread: None,
            })?;
            self.note.added.push(record.guid);
        }
        let moment = Moment {
            modseq_after: edit.mailbox().highestmodseq.max(self.moment.modseq_after),
            ..self.moment
        };
        let mut changes = edit.finish();
        if moves {
            let mut edit = MailboxEdit::begin(moment, source)?;
            for record in records {
                edit.expunge(record)?;
                self.note.removed.push(record.guid);
            }
            changes.extend(edit.finish());
        }
        Ok(changes)
    }

    fn rename_inbox(&mut self, to: usize) -> Result<Vec<Change>, LocalError> {
        let Some(inbox) = self.mailbox(0) else {
            return Ok(Vec::new());
        };
        let made = self.made(to)?;
        let records = self.live(&inbox);
        let moment = self.moment;
        self.moment.modseq_after = made.highestmodseq.max(moment.modseq_after);
        let mut changes = vec![Change::PutMailbox(Box::new(made.clone()))];
        if !records.is_empty() {
            changes.extend(self.carry(inbox, &records, made, true)?);
        }
        Ok(changes)
    }

    fn remove_user(&mut self) -> Vec<Change> {
        for mailbox in self.all.clone() {
            let live = self.live(&mailbox);
            self.note.removed.extend(live.iter().map(|record| record.guid));
        }
        local::remove_user(self.moment.now)
    }
}

fn script_name(nth: u8) -> Text {
    Text::from(["main", "other", "away"][usize::from(nth) % 3])
}

fn note_server(value: u8) -> Change {
    let (entry, userid) = (Text::from("/motd"), Text::EMPTY);
    if value == 0 {
        return Change::RemoveServerAnnotation { entry, userid };
    }
    Change::PutServerAnnotation(ServerAnnotation {
        entry,
        userid,
        value: Text::from(format!("today {value}")),
    })
}
