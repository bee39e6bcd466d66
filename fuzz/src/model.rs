//! What the commands of a master do to a replica, foretold on plain data: a second reading of the rules that shares nothing with
//! the engine but names of types.

use std::collections::BTreeSet;

use engine::name::Scope;
use protocol::command::Apply;
use protocol::decode::CommandEvent;
use protocol::{Guid, MailboxLine, Record, Text};

use crate::values::guid_of;
use crate::view::{Box_, Mail, View, owner_of};

/// What becomes of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Foretold {
    /// It is answered OK, and the view is as changed.
    Done,
    /// It is answered NO or BAD, and nothing changes.
    Refused,
    /// The model does not know.
    Open,
}

use Foretold::{Done, Open, Refused};

/// What a connection remembers.
#[derive(Default)]
pub struct Context {
    /// FORCE was said.
    pub force: bool,
    sieve_mailbox: bool,
    /// Messages that were uploaded.
    staged: BTreeSet<Guid>,
    /// Messages that an upload or a reservation may have staged.
    perhaps: BTreeSet<Guid>,
}

impl Context {
    /// A command was answered.
    pub fn take(&mut self, events: &[CommandEvent], ok: bool) {
        use protocol::command::Command;
        for event in events {
            match event {
                CommandEvent::File(head) => {
                    self.perhaps.insert(head.guid);
                    if ok {
                        self.staged.insert(head.guid);
                    }
                }
                CommandEvent::Command(Command::Restart) => {
                    self.staged.clear();
                    self.perhaps.clear();
                }
                CommandEvent::Command(Command::Apply(Apply::Force)) => self.force = true,
                CommandEvent::Command(Command::Apply(Apply::Capabilities(Some(names)))) => {
                    let is_it = |name: &Text| name.eq_ignore_ascii_case(b"SIEVE-MAILBOX");
                    self.sieve_mailbox |= names.iter().any(is_it);
                }
                CommandEvent::Command(Command::Apply(Apply::Reserve(reserve))) => {
                    self.perhaps.extend(reserve.guids.iter().flatten());
                }
                _ => {}
            }
        }
    }

    /// Whether a message can be had: staged, or in the mail of those whose mailboxes these are.
    pub fn has(&self, view: &View, names: &[Text], guid: &Guid) -> Option<bool> {
        if self.staged.contains(guid) {
            return Some(true);
        }
        let owners: BTreeSet<Text> = names.iter().map(|name| owner_of(&Scope::of(name))).collect();
        let mail = owners.iter().filter_map(|owner| view.owners.get(owner));
        let records: Vec<&Record> = mail
            .flat_map(|mail| mail.mailboxes.values())
            .flat_map(|mailbox| mailbox.records.values())
            .filter(|record| record.guid == *guid)
            .collect();
        if records.iter().any(|record| !record.is_expunged()) {
            return Some(true);
        }
        let hidden = owners.iter().any(|owner| !view.owners.contains_key(owner));
        (records.is_empty() && !hidden && !self.perhaps.contains(guid)).then_some(false)
    }
}

/// Every value is there.
macro_rules! need {
    ($($value:expr),* $(,)?) => {
        ( $( match &$value { Some(value) => value.clone(), None => return Refused }, )* )
    };
}

/// A user id that can have something. [CS-APPLY-4]
fn is_user(user: &Text) -> bool {
    (1..=255).contains(&user.len()) && !user.iter().any(u8::is_ascii_control)
}

/// What a user or nobody has; `None` for one that the view does not look at.
fn mail<'v>(view: &'v mut View, owner: &Text) -> Option<&'v mut Mail> {
    view.owners.get_mut(owner)
}

/// What a command that does not stream does.
pub fn apply(view: &mut View, context: &Context, apply: &Apply) -> Foretold {
    match apply {
        Apply::Sub { mboxname, userid } | Apply::Unsub { mboxname, userid } => {
            let (name, user) = need!(mboxname, userid);
            if name.is_empty() || !is_user(&user) {
                return Refused;
            }
            let Some(mail) = mail(view, &user) else {
                return Open;
            };
            match apply {
                Apply::Sub { .. } => mail.subscriptions.insert(name),
                _ => mail.subscriptions.remove(&name),
            };
            Done
        }
        Apply::Seen(seen) => {
            let (user, id) = need!(&seen.userid, &seen.uniqueid);
            let state = need!(seen.lastread, seen.lastuid, seen.lastchange, &seen.seenuids);
            if id.is_empty() || !is_user(&user) {
                return Refused;
            }
            let Some(mail) = mail(view, &user) else {
                return Open;
            };
            mail.seen.insert(id, state);
            Done
        }
        Apply::Quota(quota) => {
            let (root,) = need!(&quota.root);
            let Some(mail) = mail(view, &owner_of(&Scope::of(&root))).filter(|_| !root.is_empty()) else {
                return if root.is_empty() { Refused } else { Open };
            };
            let limited = |value: Option<u32>| value.filter(|value| *value != u32::MAX);
            let limits = [
                limited(quota.storage.or(quota.limit)),
                limited(quota.message),
                limited(quota.annotation_storage),
                limited(quota.num_folders),
            ];
            let before = mail.quotas.get(&root).map_or(0, |(_, modseq)| *modseq);
            let modseq = quota.modseq.unwrap_or(before.saturating_add(1));
            mail.quotas.insert(root, (limits, modseq));
            Done
        }
        Apply::Unquota { root } => {
            let (root,) = need!(root);
            let Some(mail) = mail(view, &owner_of(&Scope::of(&root))).filter(|_| !root.is_empty()) else {
                return if root.is_empty() { Refused } else { Open };
            };
            mail.quotas.remove(&root);
            Done
        }
        Apply::Unmailbox { mboxname, .. } => {
            let (name,) = need!(mboxname);
            unmailbox(view, &name)
        }
        Apply::Unuser { userid, .. } => unuser(view, userid),
        Apply::Expunge {
            mboxname,
            uniqueid,
            uids,
        } => {
            let (name, id, uids) = need!(mboxname, uniqueid, uids);
            expunge(view, &name, &id, &uids)
        }
        Apply::Annotation { .. } | Apply::Unannotation { .. } => annotation(view, apply),
        Apply::Sieve { .. }
        | Apply::Unsieve { .. }
        | Apply::ActivateSieve { .. }
        | Apply::UnactivateSieve { .. } => sieve(view, apply),
        Apply::Rename {
            oldmboxname,
            newmboxname,
            partition,
            ..
        } => {
            let (old, new) = need!(oldmboxname, newmboxname);
            rename(view, &old, &new, partition.as_ref())
        }
        Apply::Reserve(reserve) => reservation(view, context, reserve),
        Apply::Force => Done,
        Apply::Capabilities(names) => {
            if names.is_some() {
                Done
            } else {
                Refused
            }
        }
        Apply::Unknown(_) => Refused,
    }
}

fn reservation(view: &View, context: &Context, reserve: &protocol::command::Reserve) -> Foretold {
    let (partition, names, guids) = need!(reserve.partition, reserve.mboxnames, reserve.guids);
    if is_partition(&partition) {
        return Done;
    }
    let found = guids.iter().map(|guid| context.has(view, &names, guid));
    let found: Vec<Option<bool>> = found.collect();
    match () {
        () if found.contains(&Some(true)) => Refused,
        () if found.contains(&None) => Open,
        () => Done,
    }
}

fn is_partition(name: &Text) -> bool {
    *name == "default" || *name == "other"
}

/// [CS-APPLY-21]
fn unmailbox(view: &mut View, name: &Text) -> Foretold {
    let owner = owner_of(&Scope::of(name));
    let Some(mail) = mail(view, &owner) else {
        return Open;
    };
    let found = mail.mailboxes.iter().find(|(_, mailbox)| mailbox.name == *name);
    let Some((id, highest)) = found.map(|(id, mailbox)| (id.clone(), mailbox.highestmodseq)) else {
        return Refused;
    };
    mail.mailboxes.remove(&id);
    mail.tombstones.insert(id, (name.clone(), highest));
    Done
}

/// [CS-APPLY-23]
fn unuser(view: &mut View, userid: &Option<Text>) -> Foretold {
    let (user,) = need!(userid);
    if user.is_empty() {
        return Done;
    }
    if !is_user(&user) {
        return Refused;
    }
    let Some(mail) = mail(view, &user) else {
        return Open;
    };
    let is_kept = |mailbox: &Box_| engine::name::is_deleted(&mailbox.name);
    let all = std::mem::take(&mut mail.mailboxes);
    let (kept, gone): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, mailbox)| is_kept(mailbox));
    let mut tombstones = std::mem::take(&mut mail.tombstones);
    tombstones.extend(gone.into_iter().map(|(id, m)| (id, (m.name, m.highestmodseq))));
    *mail = Mail {
        mailboxes: kept.into_iter().collect(),
        tombstones,
        ..Mail::default()
    };
    Done
}

/// [CS-APPLY-14]
fn expunge(view: &mut View, name: &Text, id: &Text, uids: &[u32]) -> Foretold {
    let owner = owner_of(&Scope::of(name));
    let Some(mail) = mail(view, &owner) else {
        return Open;
    };
    let found = mail
        .mailboxes
        .iter_mut()
        .find(|(_, mailbox)| mailbox.name == *name);
    let Some((there, mailbox)) = found else {
        return Refused;
    };
    if there != id || mailbox.mbtype.contains(&b'i') {
        return Refused;
    }
    for uid in uids {
        if let Some(record) = mailbox.records.get_mut(uid) {
            let system = record.flags.system;
            record.flags.system = system.with(protocol::SystemFlags::EXPUNGED);
        }
    }
    mailbox.crc = crate::view::crcs(mailbox);
    Done
}

/// [CS-APPLY-33] [CS-APPLY-34]
fn annotation(view: &mut View, apply: &Apply) -> Foretold {
    let (name, entry, userid, value) = match apply {
        Apply::Annotation {
            mboxname,
            entry,
            userid,
            value,
        } => {
            let (name, entry, userid, value) = need!(mboxname, entry, userid, value);
            if !entry.starts_with(b"/") {
                return Refused;
            }
            (name, entry, userid, Some(value))
        }
        Apply::Unannotation {
            mboxname,
            entry,
            userid,
        } => {
            let (name, entry, userid) = need!(mboxname, entry, userid);
            (name, entry, userid, None)
        }
        _ => return Open,
    };
    if name.is_empty() {
        match value {
            Some(value) => view.annotations.insert((entry, userid), value),
            None => view.annotations.remove(&(entry, userid)),
        };
        return Done;
    }
    let Some(mail) = mail(view, &owner_of(&Scope::of(&name))) else {
        return Open;
    };
    let Some(mailbox) = mail.mailboxes.values_mut().find(|mailbox| mailbox.name == name) else {
        return Refused;
    };
    let all = &mut mailbox.annotations;
    let there = all.iter().position(|a| a.entry == entry && a.userid == userid);
    match (there, value) {
        (Some(at), Some(value)) => all[at].value = value,
        (None, Some(value)) => all.push(protocol::Annotation {
            entry,
            userid,
            modseq: 0,
            value,
        }),
        // Of several of one name all go.
        (_, None) => all.retain(|a| a.entry != entry || a.userid != userid),
    }
    Done
}

/// [CS-APPLY-26] to [CS-APPLY-31]
fn sieve(view: &mut View, apply: &Apply) -> Foretold {
    let (user, filename) = match apply {
        Apply::Sieve { userid, filename, .. }
        | Apply::Unsieve { userid, filename }
        | Apply::ActivateSieve { userid, filename } => need!(userid, filename),
        Apply::UnactivateSieve { userid } => {
            let (user,) = need!(userid);
            (user, Text::EMPTY)
        }
        _ => return Open,
    };
    if !is_user(&user) {
        return Refused;
    }
    let cut = |end: &[u8]| {
        filename
            .strip_suffix(end)
            .filter(|name| !name.is_empty())
            .map(Text::copy_from)
    };
    let (source, compiled) = (cut(b".script"), cut(b".bc"));
    let Some(mail) = mail(view, &user) else {
        return Open;
    };
    match apply {
        Apply::Sieve {
            last_update, content, ..
        } => {
            let (last_update, content) = need!(last_update, content);
            if let Some(name) = source {
                mail.scripts.insert(name, (last_update, content));
            }
        }
        Apply::Unsieve { .. } => match source {
            Some(name) => {
                if mail.scripts.remove(&name).is_none() {
                    return Refused;
                }
                mail.active.take_if(|active| *active == name);
            }
            None if compiled.is_some() && mail.active == compiled => mail.active = None,
            None => {}
        },
        Apply::ActivateSieve { .. } => match compiled {
            Some(name) if mail.scripts.contains_key(&name) => mail.active = Some(name),
            _ => return Refused,
        },
        _ => mail.active = None,
    }
    Done
}

/// [CS-APPLY-16] to [CS-APPLY-20]
fn rename(view: &mut View, old: &Text, new: &Text, partition: Option<&Text>) -> Foretold {
    if old.is_empty() || new.is_empty() {
        return Refused;
    }
    let (from, to) = (owner_of(&Scope::of(old)), owner_of(&Scope::of(new)));
    if !view.owners.contains_key(&from) || !view.owners.contains_key(&to) {
        return Open;
    }
    let Some((id, source)) = view.named(old).map(|(id, mailbox)| (id.clone(), mailbox.clone())) else {
        return Refused;
    };
    let is_placeholder = |mailbox: &Box_| mailbox.mbtype.contains(&b'i');
    if !is_placeholder(&source) && partition.is_none() {
        return Refused;
    }
    if old == new {
        if partition.is_none_or(|partition| *partition == source.partition) {
            return Refused;
        }
    } else if !is_acceptable(new) || view.named(new).is_some_and(|(_, there)| !is_placeholder(there)) {
        return Refused;
    }
    if partition.is_some_and(|partition| !is_partition(partition)) {
        return Refused;
    }
    let mut target = source;
    target.name = new.clone();
    target.partition = partition.unwrap_or(&target.partition).clone();
    if let Some(mail) = mail(view, &from) {
        mail.mailboxes.remove(&id);
    }
    if let Some(mail) = mail(view, &to) {
        // A placeholder of the name gives way.
        mail.mailboxes.retain(|_, mailbox| mailbox.name != *new);
        mail.tombstones.remove(&id);
        mail.mailboxes.insert(id, target);
    }
    Done
}

/// [CS-NAME-2]
fn is_acceptable(name: &Text) -> bool {
    let local = match name.iter().position(|byte| *byte == b'!') {
        Some(0) => return false,
        Some(at) => &name[at + 1..],
        None => &name[..],
    };
    name.len() <= 1024
        && name.iter().all(|byte| (b' '..=b'~').contains(byte))
        && local.split(|byte| *byte == b'.').all(|part| !part.is_empty())
}

/// Whether an upload is taken: every message on a partition that exists, with the bytes that its GUID says.
pub fn message(_: &Context, events: &[CommandEvent]) -> bool {
    let mut announced = None;
    let mut bytes: &[u8] = &[];
    for event in events {
        match event {
            CommandEvent::File(head) => {
                if !is_partition(&head.partition) {
                    return false;
                }
                (announced, bytes) = (Some(head.guid), &[]);
            }
            CommandEvent::FileData(data) => bytes = data,
            CommandEvent::FileEnd if announced != Some(guid_of(bytes)) => return false,
            _ => {}
        }
    }
    true
}

/// Whether the line is of a name without records.
pub fn is_entry(line: &MailboxLine) -> bool {
    line.mboxtype
        .iter()
        .any(|mbtype| mbtype.contains(&b'i') || mbtype.contains(&b'd'))
}

/// What `APPLY MAILBOX` does when it is done, and whether it is. Where the CRCs decide, or what an expunged record still holds,
/// that is open.
pub fn mailbox(view: &mut View, context: &Context, line: &MailboxLine, records: &[&Record]) -> Foretold {
    let (id, name) = need!(line.uniqueid, line.mboxname);
    if id.is_empty() || name.is_empty() || line.highestmodseq.is_none() {
        return Refused;
    }
    if is_entry(line) {
        return Open;
    }
    let Some(Some(partition)) = line.partition.clone() else {
        return Refused;
    };
    let (last_uid, highest, uidvalidity, _) =
        need!(line.last_uid, line.highestmodseq, line.uidvalidity, line.options);
    let (recentuid, recenttime, appended, login, acl) = need!(
        line.recentuid,
        line.recenttime,
        line.last_appenddate,
        line.pop3_last_login,
        line.acl
    );
    let mbtype = line.mboxtype.clone().unwrap_or_default();
    let is_odd = !mbtype.iter().all(|letter| b"ecabspfjndmrzil".contains(letter));
    if is_odd || (mbtype.contains(&b'f') && !context.sieve_mailbox) {
        return Refused;
    }
    let owner = owner_of(&Scope::of(&name));
    if !view.owners.contains_key(&owner) {
        return Open;
    }
    let there = view
        .named(&name)
        .map(|(id, mailbox)| (id.clone(), mailbox.clone()));
    let there = there.filter(|(_, mailbox)| !mailbox.mbtype.contains(&b'i'));
    let is_other = there.as_ref().is_some_and(|(there, _)| *there != id);
    if is_other && !context.force && there.as_ref().is_some_and(|(_, there)| there.last_uid > 0) {
        return Refused;
    }
    let is_taken = view
        .all()
        .any(|(other, mailbox)| *other == id && mailbox.name != name);
    let is_new = there.is_none() || is_other;
    let lacks_inbox = !is_other && is_new && lacks_inbox(view, &name);
    let cannot_be = is_new && !is_other && (!is_acceptable(&name) || !is_partition(&partition));
    if lacks_inbox || cannot_be || (is_new && is_taken) {
        return Refused;
    }
    let stored = there.map(|(_, mailbox)| mailbox).filter(|_| !is_other);
    let decided = compared(stored.as_ref(), context, line, records);
    if decided == Refused {
        return Refused;
    }
    let empty = Box_::empty(&name, &mbtype, &partition);
    let mut end = stored.unwrap_or(empty);
    let mut open = decided == Open;
    for record in records {
        let old = end.records.get(&record.uid);
        if old.is_some_and(|old| old.is_expunged() && record.is_expunged()) {
            continue;
        }
        let is_past = old.is_none() && record.uid <= end.last_uid;
        if is_past {
            continue;
        }
        let mut kept = Record::clone(record);
        kept.size = old.map_or(kept.size, |old| old.size);
        let has = context.has(view, std::slice::from_ref(&name), &record.guid);
        if old.is_none() && !record.is_expunged() && has != Some(true) {
            match has {
                Some(false) => return Refused,
                _ => open = true,
            }
        }
        end.records.insert(record.uid, kept);
    }
    end.acl = acl.unwrap_or_default();
    end.options = line.options.map_or(0, |options| options.bits());
    end.quotaroot = line.quotaroot.clone();
    (end.uidvalidity, end.last_uid, end.highestmodseq) = (uidvalidity, last_uid, highest);
    if context.force {
        // A UID stays given out. [CS-EXC-41]
        end.last_uid = end.records.keys().fold(end.last_uid, |last, uid| last.max(*uid));
    }
    end.recentuid = recentuid;
    end.dates = [recenttime, appended, login, line.pop3_show_after.unwrap_or(0)];
    end.createdmodseq = line.createdmodseq.unwrap_or(0);
    end.foldermodseq = line.foldermodseq.unwrap_or(highest);
    end.raclmodseq = end.raclmodseq.max(line.raclmodseq.unwrap_or(0));
    end.xconvmodseq = line.xconvmodseq.or(end.xconvmodseq);
    end.annotations = line.annotations.clone().unwrap_or_default();
    end.crc = crate::view::crcs(&end);
    if let Some(mail) = mail(view, &owner) {
        mail.mailboxes.retain(|_, mailbox| mailbox.name != name);
        mail.tombstones.remove(&id);
        mail.mailboxes.insert(id, end);
    }
    if open { Open } else { Done }
}

fn lacks_inbox(view: &View, name: &Text) -> bool {
    if engine::name::is_inbox(name) || engine::name::is_deleted(name) {
        return false;
    }
    let Some(user) = engine::name::owner(name) else {
        return false;
    };
    let inbox = view.named(&engine::name::inbox_of(&user));
    inbox.is_none_or(|(_, inbox)| inbox.mbtype.contains(&b'i'))
}

/// What is sent against what is there. [CS-MBOX-19] to [CS-MBOX-31]
fn compared(stored: Option<&Box_>, context: &Context, line: &MailboxLine, records: &[&Record]) -> Foretold {
    let mbtype = line.mboxtype.clone().unwrap_or_default();
    let letters = |mbtype: &[u8]| {
        let mut letters: Vec<u8> = mbtype
            .iter()
            .copied()
            .filter(|letter| !b"el".contains(letter))
            .collect();
        letters.sort_unstable();
        letters
    };
    if stored.is_some_and(|stored| letters(&stored.mbtype) != letters(&mbtype)) {
        return Refused;
    }
    let highest = line.highestmodseq.unwrap_or(0);
    let last_uid = line.last_uid.unwrap_or(0);
    if let Some(stored) = stored.filter(|_| !context.force) {
        let conversations = line
            .xconvmodseq
            .filter(|modseq| *modseq != 0)
            .zip(stored.xconvmodseq);
        if highest < stored.highestmodseq
            || line.uidvalidity.unwrap_or(0) < stored.uidvalidity
            || last_uid < stored.last_uid
            || conversations.is_some_and(|(sent, here)| sent < here)
        {
            return Refused;
        }
    }
    let mut latest = 0;
    for record in records {
        let is_live = !record.is_expunged();
        if record.uid <= latest
            || record.uid > last_uid
            || record.modseq > highest
            || (is_live && record.guid.is_null())
        {
            return Refused;
        }
        latest = record.uid;
        let Some(stored) = stored else { continue };
        match stored.records.get(&record.uid) {
            None if record.uid > stored.last_uid || !is_live => {}
            None => return Refused,
            Some(old) if old.is_expunged() && !is_live => {}
            Some(old) => {
                let is_back = old.modseq > record.modseq && !context.force;
                if old.guid != record.guid || is_back || old.is_expunged() {
                    return Refused;
                }
            }
        }
    }
    let decides = line.since_modseq.unwrap_or(0) != 0
        || line.sync_crc.unwrap_or(0) != 0
        || line.sync_crc_annot.unwrap_or(0) != 0
        || !line.has_records;
    if decides { Open } else { Done }
}
