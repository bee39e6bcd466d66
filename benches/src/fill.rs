//! Filling a mailtwin store without a network: what a master has before a run.

use std::ops::Range;

use anyhow::{Context, Result, bail};
use engine::flow::Now;
use engine::local::{self, Incoming, MailboxEdit, Moment, NewMailbox};
use engine::model::Mailbox;
use engine::name::Scope;
use engine::ticket::{Change, Reply, Request, Select, Session, StagePart, UidSelect};
use protocol::{Flags, Guid, SystemFlags, Text};
use sha1::{Digest, Sha1};

use crate::mail::{self, Sizes};

/// Messages written in one transaction.
const BATCH: u64 = 2_000;
/// A date for everything, seconds since the epoch.
pub const DATE: i64 = 1_790_000_000;

/// Adds `count` generated messages to a user's INBOX, making it when it is missing.
pub fn append(session: &mut dyn Session, user: &str, series: u64, count: u64, sizes: Sizes) -> Result<()> {
    let mut done = 0;
    while done < count {
        let n = BATCH.min(count - done);
        let first = done;
        append_batch(session, user, n, |i| mail::message(series, first + i, sizes))?;
        done += n;
    }
    Ok(())
}

/// Adds `count` messages in one transaction.
pub fn append_batch(
    session: &mut dyn Session,
    user: &str,
    count: u64,
    bytes_of: impl Fn(u64) -> Vec<u8>,
) -> Result<()> {
    let mut edit = begin(session, user)?;
    for i in 0..count {
        let bytes = bytes_of(i);
        let (guid, size) = (Guid::from_bytes(Sha1::digest(&bytes).into()), bytes.len() as u64);
        edit.append(incoming(guid, size))?;
        let partition = edit.mailbox().partition.clone();
        let open = StagePart::Open {
            partition,
            guid,
            size,
        };
        run(
            session,
            Request::Stage(vec![open, StagePart::Data(bytes.into()), StagePart::Close]),
        )?;
    }
    commit(session, edit)
}

/// A message of the benchmarks, to append.
pub fn incoming(guid: Guid, size: u64) -> Incoming {
    Incoming {
        guid,
        size,
        internaldate: DATE,
        flags: Flags::default(),
        thread: None,
    }
}

/// Opens a transaction and begins to edit a user's INBOX, making it when it is missing.
pub fn begin(session: &mut dyn Session, user: &str) -> Result<MailboxEdit> {
    run(
        session,
        Request::Begin {
            scope: Scope::User(Text::from(user)),
        },
    )?;
    let name = engine::name::inbox_of(user.as_bytes());
    let Reply::Mailboxes(found) = run(session, Request::Mailboxes(Select::Names(vec![name.clone()])))? else {
        bail!("the store answered something else");
    };
    let moment = Moment::behind(Now(DATE), &found, &[]);
    let mailbox = match found.into_iter().next() {
        Some(mailbox) => mailbox,
        None => {
            let uniqueid = Text::from(format!("{:024x}", 0xbe0c_0000_u64 + user.len() as u64));
            let new = NewMailbox {
                name,
                uniqueid,
                partition: Text::from("default"),
                acl: None,
            };
            local::create(moment, &[], new)?
        }
    };
    Ok(MailboxEdit::begin(moment, mailbox)?)
}

/// Writes what was planned, and makes it durable.
pub fn commit(session: &mut dyn Session, edit: MailboxEdit) -> Result<()> {
    run(session, Request::Write(edit.finish()))?;
    run(session, Request::Commit)?;
    run(session, Request::ForgetStaged)?;
    Ok(())
}

/// Toggles `\Flagged` on `count` messages spread evenly over a user's INBOX.
pub fn flag(session: &mut dyn Session, user: &str, count: u32) -> Result<()> {
    let mut edit = begin(session, user)?;
    let last_uid = edit.mailbox().last_uid;
    let step = (last_uid / count).max(1);
    let uids = UidSelect::List(
        (1..=count)
            .map(|i| i * step)
            .filter(|&uid| uid <= last_uid)
            .collect(),
    );
    let Reply::Records(records) = run(
        session,
        Request::Records {
            mailbox: edit.mailbox().key(),
            uids,
        },
    )?
    else {
        bail!("the store answered something else");
    };
    for record in &records {
        let mut flags = record.flags.clone();
        flags.system = SystemFlags::from_bits(flags.system.bits() ^ SystemFlags::FLAGGED.bits());
        edit.set_flags(record, flags)?;
    }
    commit(session, edit)
}

/// Makes a user with an INBOX and so many folders, `user` and numbers being their names; one transaction.
pub fn make_user(session: &mut dyn Session, user: &str, folders: usize) -> Result<()> {
    make_user_with_mail(session, user, folders, 0, 0)
}

/// The same with so many small messages in each mailbox.
pub fn make_user_with_mail(
    session: &mut dyn Session,
    user: &str,
    folders: usize,
    series: u64,
    messages: u64,
) -> Result<()> {
    let scope = Scope::User(Text::from(user));
    run(session, Request::Begin { scope })?;
    let mut made = Vec::new();
    for n in 0..=folders {
        let new = new_mailbox(user, n);
        made.push(local::create(Moment::behind(Now(DATE), &made, &[]), &made, new)?);
    }
    let moment = Moment::behind(Now(DATE), &made, &[]);
    for (n, mailbox) in made.into_iter().enumerate() {
        run(
            session,
            Request::Write(vec![Change::PutMailbox(Box::new(mailbox.clone()))]),
        )?;
        if messages > 0 {
            let first = n as u64 * messages;
            append_small(session, moment, mailbox, series, first..first + messages)?;
        }
    }
    run(session, Request::Commit)?;
    run(session, Request::ForgetStaged)?;
    Ok(())
}

/// A user's mailbox number `n`, 0 being the INBOX.
fn new_mailbox(user: &str, n: usize) -> NewMailbox {
    let mut name = engine::name::inbox_of(user.as_bytes()).as_bytes().to_vec();
    if n > 0 {
        name.extend_from_slice(format!(".f{n:05}").as_bytes());
    }
    let guid: [u8; 20] = Sha1::digest(&name).into();
    let uniqueid: String = guid[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    NewMailbox {
        name: Text::from(name),
        uniqueid: Text::from(uniqueid),
        partition: Text::from("default"),
        acl: None,
    }
}

/// Appends small messages of a series to a mailbox, within the open transaction.
fn append_small(
    session: &mut dyn Session,
    moment: Moment,
    mailbox: Mailbox,
    series: u64,
    numbers: Range<u64>,
) -> Result<()> {
    let partition = mailbox.partition.clone();
    let mut edit = MailboxEdit::begin(moment, mailbox)?;
    for n in numbers {
        let bytes = mail::message(series, n, Sizes::Tiny);
        let (guid, size) = (Guid::from_bytes(Sha1::digest(&bytes).into()), bytes.len() as u64);
        let open = StagePart::Open {
            partition: partition.clone(),
            guid,
            size,
        };
        run(
            session,
            Request::Stage(vec![open, StagePart::Data(bytes.into()), StagePart::Close]),
        )?;
        edit.append(incoming(guid, size))?;
    }
    run(session, Request::Write(edit.finish()))?;
    Ok(())
}

/// Appends one generated message to each of a user's mailboxes; one transaction.
pub fn append_to_each(session: &mut dyn Session, user: &str, series: u64) -> Result<()> {
    let scope = Scope::User(Text::from(user));
    run(session, Request::Begin { scope })?;
    let Reply::Mailboxes(mailboxes) = run(session, Request::Mailboxes(Select::User(Text::from(user))))?
    else {
        bail!("the store answered something else");
    };
    let moment = Moment::behind(Now(DATE), &mailboxes, &[]);
    for (n, mailbox) in mailboxes.into_iter().enumerate() {
        append_small(session, moment, mailbox, series, n as u64..n as u64 + 1)?;
    }
    run(session, Request::Commit)?;
    run(session, Request::ForgetStaged)?;
    Ok(())
}

fn run(session: &mut dyn Session, request: Request) -> Result<Reply> {
    session
        .execute(request)
        .context("the store refused a benchmark's change")
}
