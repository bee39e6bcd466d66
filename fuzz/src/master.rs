//! Whole sessions of a master: any bytes as answers, and a real replica's answers made wrong.

use std::collections::BTreeSet;

use bytes::Bytes;
use engine::Master;
use engine::flow::Input;
use engine::master::{Compress, Ending, Job, MasterConfig, Task, TaskId, Tls, Work};
use engine::name::Scope;
use protocol::command::{Apply, Command};
use protocol::decode::{CommandEvent, ReplyEvent};
use protocol::encode::LiteralStyle;
use protocol::response::StreamingData;
use protocol::{Guid, Record, SystemFlags, Text};
use store::memory::MemoryStore;

use crate::drive::{NOW, Side, replica, show};
use crate::replica::{filled, line};
use crate::values::{Maker, NAMES, USERS};
use crate::view::{View, check, check_step, view};
use crate::wire::{commands, replies, write_commands, write_replies};

/// Turns of a conversation, at most.
const TURNS_MAX: usize = 4000;
/// Bytes that a master may say for each byte it hears, and without hearing any.
const SAID_PER_HEARD: usize = 64;
const SAID_FREE: usize = 256 * 1024;

/// What a replica says first.
const BANNER: &[u8] = b"* SASL PLAIN\r\n* COMPRESS DEFLATE\r\n* SIEVE-MAILBOX\r\n* OK twin.example.org Cyrus sync server mailtwin 0.1.0\r\n";

fn users() -> BTreeSet<Text> {
    USERS.map(Text::from).into()
}

/// A job and its options, out of two bytes.
fn config(job: u8, options: u8) -> MasterConfig {
    let jane = || Text::from("jane");
    let names = || {
        vec![
            Text::from("user.jane"),
            Text::from("user.jane.a"),
            Text::from("shared.news"),
        ]
    };
    let job = match job % 8 {
        0 | 1 => Job::Users(vec![jane(), Text::from("joe")]),
        2 => Job::Mailboxes(names()),
        3 => Job::AllUsers { prefix: Text::EMPTY },
        4 => Job::Meta(vec![jane()]),
        5 => Job::Compare(vec![Scope::User(jane()), Scope::Shared]),
        _ => Job::Tasks,
    };
    let has = |bit: u8| options & bit != 0;
    MasterConfig {
        authenticate: has(1),
        compress: if has(2) {
            Compress::WhenOffered
        } else {
            Compress::No
        },
        tls: Tls::Never,
        // Tasks know no dry run.
        dry_run: options & 12 == 12 && job != Job::Tasks,
        copyback: options & 48 != 48,
        local_only: has(64),
        stage_to_archive: has(128),
        step_messages_max: if has(16) { 1 } else { 8192 },
        items_at_once: if has(32) { 1 } else { 64 },
        ..MasterConfig::new(job)
    }
}

/// A master with its work.
fn master(config: &MasterConfig, store: &MemoryStore) -> Side<Master> {
    let mut machine = Master::new(config.clone());
    if config.job == Job::Tasks {
        let text = Text::from;
        let works = [
            Work::Mailboxes(vec![text("user.jane"), text("user.jane.a")]),
            Work::Unmailbox(text("user.jane.a.b")),
            Work::Quota(text("user.jane")),
            Work::Annotation(Text::EMPTY),
            Work::Seen {
                user: text("jane"),
                uniqueid: text("id1"),
            },
            Work::Subscription {
                user: text("jane"),
                mailbox: text("user.jane.a"),
            },
            Work::Meta(text("jane")),
            Work::Unuser(text("joe")),
            Work::User(text("jane.doe")),
            Work::Shared,
        ];
        for (id, work) in (0..).map(TaskId).zip(works) {
            machine.give(NOW, Task { id, work });
        }
        machine.retire(NOW);
    }
    Side::new(machine, store)
}

/// Any bytes as answers: no panic, an end, and nothing of the master's mail is gone that no answer called expunged. The first
/// two bytes are the job and its options, the third the piece, the fourth what the master has.
pub fn session(input: &[u8]) {
    let [job, options, piece, has, said @ ..] = input else {
        return;
    };
    let config = config(*job, *options);
    let store = if has & 1 == 0 {
        filled()
    } else {
        MemoryStore::new()
    };
    let before = view(&store, &users());
    let mut side = master(&config, &store);
    let mut heard = Vec::new();
    if has & 2 == 0 {
        heard.extend_from_slice(BANNER);
    }
    heard.extend_from_slice(said);
    side.feed(&heard, usize::from(*piece) + 1);
    side.give(Input::Eof);
    finish(side, &config, &heard, &before, &store);
}

/// The end of a master: it has ended, has said nothing malformed and not too much, and has destroyed nothing.
fn finish(mut side: Side<Master>, config: &MasterConfig, heard: &[u8], before: &View, store: &MemoryStore) {
    assert!(side.closed, "the replica has closed: {:?}", side.waiting);
    let progress = side.machine.progress();
    assert!(progress.ended.is_some(), "a run ends with a word");
    assert!(
        side.said_bytes <= SAID_FREE + SAID_PER_HEARD * heard.len(),
        "{} bytes said",
        side.said_bytes
    );
    let said = side.take();
    kept(config, &said, heard, before, store);
}

fn kept(config: &MasterConfig, said: &[u8], heard: &[u8], before: &View, store: &MemoryStore) {
    let after = view(store, &users());
    check(store, &after, false);
    check_step(before, &after, false);
    let is_quiet = config.dry_run || matches!(config.job, Job::Compare(_));
    for event in commands(said) {
        match event {
            // Lines of a login are no commands.
            CommandEvent::Bad(_) if config.authenticate => {}
            CommandEvent::Bad(fault) | CommandEvent::Fatal(fault) => {
                panic!("the master said nonsense: {fault}: {}", said.escape_ascii())
            }
            CommandEvent::Begin(_) | CommandEvent::Command(Command::Apply(_)) if is_quiet => {
                let is_harmless = matches!(
                    event,
                    CommandEvent::Command(Command::Apply(Apply::Capabilities(_)))
                );
                assert!(is_harmless, "a dry run says {event:?}");
            }
            _ => {}
        }
    }
    if is_quiet || !config.copyback {
        assert_eq!(before, &after, "nothing was to change here");
    }
    let called_expunged: BTreeSet<Guid> = replies(heard)
        .into_iter()
        .filter_map(|event| match event {
            ReplyEvent::Record(record) if record.is_expunged() => Some(record.guid),
            _ => None,
        })
        .collect();
    let there = after.messages();
    for mail in before.messages() {
        let may_go = called_expunged.contains(&mail.1);
        assert!(
            may_go || there.contains(&mail),
            "{} of {} is gone here",
            mail.1,
            mail.0
        );
    }
}

/// A replica's answers, made wrong by the input. Both stores have a common past, and each changes on its own first.
pub fn answers(input: &[u8]) {
    let mut maker = Maker::new(input, true);
    let config = config(maker.below(256) as u8, maker.below(256) as u8 & !1);
    let ours = filled();
    let theirs = if maker.seldom(4) {
        MemoryStore::new()
    } else {
        filled()
    };
    changed(&mut maker, &ours);
    changed(&mut maker, &theirs);
    let (before, there_before) = (view(&ours, &users()), view(&theirs, &users()));
    let mut talk = Talk {
        master: master(&config, &ours),
        replica: Side::new(replica(true), &theirs),
        said: Vec::new(),
        heard: Vec::new(),
        is_wrong: false,
        is_cut: false,
    };
    talk.run(&mut maker);
    let ended = talk.master.machine.progress();
    assert!(ended.ended.is_some(), "a run ends with a word");
    kept(&config, &talk.said, &talk.heard, &before, &ours);
    let after = view(&ours, &users());
    let there = view(&theirs, &users());
    check(&theirs, &there, !config.copyback);
    if !talk.is_wrong && !talk.is_cut {
        honest(&config, &ended.ended, (&before, &there_before), (&after, &there));
    }
}

/// Changes a store by some commands, done or refused.
fn changed(maker: &mut Maker<'_>, store: &MemoryStore) {
    let mut side = Side::new(replica(true), store);
    for _ in 0..maker.below(6) {
        let events = line(maker);
        if let [CommandEvent::Command(Command::Apply(Apply::Force))] = events[..] {
            continue;
        }
        let bytes = write_commands(&events);
        side.feed(&bytes, bytes.len());
        show("before", &bytes);
    }
}

/// A master and a replica that hear each other.
struct Talk {
    master: Side<Master>,
    replica: Side<engine::Replica>,
    said: Vec<u8>,
    heard: Vec<u8>,
    is_wrong: bool,
    is_cut: bool,
}

impl Talk {
    fn run(&mut self, maker: &mut Maker<'_>) {
        for _ in 0..TURNS_MAX {
            if self.master.closed {
                self.said.extend(self.master.take());
                return;
            }
            let said = self.master.take();
            self.said.extend_from_slice(&said);
            show("C", &said);
            let has_spoken = !said.is_empty();
            if has_spoken {
                self.replica.give(Input::Bytes(said.into()));
            }
            let answer = self.replica.take();
            if answer.is_empty() && !has_spoken || self.is_cut || (self.replica.closed && answer.is_empty()) {
                // Nobody has anything to say any more: a line that was lost is waited for until the time is out.
                self.is_cut |= !self.replica.closed;
                self.master.give(Input::Eof);
                continue;
            }
            show("S", &answer);
            let answer = self.wrong(maker, answer);
            show("S, as heard", &answer);
            self.heard.extend_from_slice(&answer);
            self.master.give(Input::Bytes(Bytes::from(answer)));
        }
        panic!("no end after {TURNS_MAX} turns: {}", self.said.escape_ascii());
    }

    /// The answer, or what the input makes of it.
    fn wrong(&mut self, maker: &mut Maker<'_>, mut answer: Vec<u8>) -> Vec<u8> {
        let how = maker.below(16);
        if how < 8 || answer.is_empty() {
            return answer;
        }
        self.is_wrong = true;
        match how {
            8 => {
                let at = maker.below(256) % answer.len();
                answer[at] ^= 1 << maker.below(8);
                return answer;
            }
            9 => {
                answer.truncate(maker.below(256) % answer.len());
                self.is_cut = true;
                return answer;
            }
            10 => {
                let mut events: Vec<ReplyEvent> = (0..maker.below(3))
                    .map(|_| ReplyEvent::Data(maker.data()))
                    .collect();
                events.push(ReplyEvent::Final(maker.final_line()));
                return write_replies(&events, LiteralStyle::Server).to_vec();
            }
            _ => {}
        }
        let mut events = replies(&answer);
        if events.is_empty() {
            return answer;
        }
        let at = maker.below(events.len().min(255));
        match how {
            11 => drop(events.remove(at)),
            12 => events.insert(at, events[at].clone()),
            13 => events.insert(at, ReplyEvent::Data(maker.data())),
            _ => twist(maker, &mut events, at),
        }
        write_replies(&events, LiteralStyle::Server).to_vec()
    }
}

/// Changes a value in one of the events from there on.
fn twist(maker: &mut Maker<'_>, events: &mut [ReplyEvent], at: usize) {
    for event in events.iter_mut().skip(at) {
        match event {
            ReplyEvent::Record(record) => return twist_record(maker, record),
            ReplyEvent::Begin(StreamingData::Mailbox(line))
            | ReplyEvent::Data(protocol::response::Data::Mailbox(line)) => {
                match maker.below(10) {
                    0 => line.highestmodseq = Some(maker.small()),
                    1 => line.last_uid = u32::try_from(maker.small()).ok(),
                    2 => line.uidvalidity = u32::try_from(maker.small()).ok(),
                    3 => line.sync_crc = Some(0),
                    4 => line.uniqueid = Some(Text::from(crate::values::IDS[maker.below(6)])),
                    5 => line.mboxname = Some(Text::from(NAMES[maker.below(NAMES.len())])),
                    6 => line.foldermodseq = Some(maker.small()),
                    7 => line.deletedmodseq = Some(maker.small()),
                    8 => line.mboxtype = Some(Text::from(["i", "e", "d", "f"][maker.below(4)])),
                    _ => **line = maker.mailbox_line(),
                }
                return;
            }
            ReplyEvent::Final(line) => {
                *line = maker.final_line();
                return;
            }
            _ => {}
        }
    }
}

fn twist_record(maker: &mut Maker<'_>, record: &mut Record) {
    match maker.below(6) {
        0 => record.flags.system = record.flags.system.with(SystemFlags::EXPUNGED),
        1 => record.guid = maker.guid(),
        2 => record.uid = u32::try_from(maker.small()).unwrap_or(u32::MAX).max(1),
        3 => record.modseq = maker.small(),
        4 => record.flags.system = SystemFlags::from_bits(maker.below(64) as u8),
        _ => *record = maker.record(),
    }
}

/// With nothing wrong, a run that says it is done has done it; and what both sides had and neither had expunged, both have.
fn honest(config: &MasterConfig, ended: &Option<Ending>, before: (&View, &View), after: (&View, &View)) {
    let is_whole = matches!(config.job, Job::Users(_) | Job::AllUsers { .. });
    let is_live = !config.dry_run && config.copyback;
    if !is_whole || !is_live || *ended != Some(Ending::Done) {
        return;
    }
    let jane = Text::from("jane");
    let (Some(here), Some(there)) = (after.0.owners.get(&jane), after.1.owners.get(&jane)) else {
        return;
    };
    if after.0.named(b"user.jane").is_none() {
        return;
    }
    for (id, mailbox) in &here.mailboxes {
        let Some(other) = there.mailboxes.get(id) else {
            panic!("{} was said to be there", mailbox.name)
        };
        assert_eq!(mailbox.name, other.name);
        let live: Vec<&Record> = mailbox.live().collect();
        let others: Vec<&Record> = other.live().collect();
        assert_eq!(live.len(), others.len(), "{} was said to be equal", mailbox.name);
        for (one, two) in live.iter().zip(&others) {
            assert_eq!(
                (one.uid, one.guid, one.modseq),
                (two.uid, two.guid, two.modseq),
                "{}",
                mailbox.name
            );
        }
    }
    let gone = |view: &View| -> BTreeSet<Guid> {
        let records = view.all().flat_map(|(_, mailbox)| mailbox.records.values());
        records
            .filter(|record| record.is_expunged())
            .map(|record| record.guid)
            .collect()
    };
    let (gone_here, gone_there) = (gone(before.0), gone(before.1));
    let has_deleted = before
        .0
        .owners
        .get(&jane)
        .is_some_and(|mail| !mail.tombstones.is_empty());
    // Whosever it is by now: a mailbox may have another owner's name here.
    let now: BTreeSet<Guid> = after.1.messages().into_iter().map(|(_, guid)| guid).collect();
    for (owner, guid) in before.1.messages() {
        let is_sure =
            owner == jane && !has_deleted && !gone_here.contains(&guid) && !gone_there.contains(&guid);
        assert!(!is_sure || now.contains(&guid), "{guid} is gone there");
    }
}
