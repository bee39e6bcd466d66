//! Whole sessions of a replica: any bytes, and typed commands whose effect a plain model foretells.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use engine::Replica;
use engine::flow::Input;
use engine::name::Scope;
use protocol::command::{Apply, Command, Streaming};
use protocol::decode::{CommandEvent, ReplyEvent};
use protocol::response::{Code, Data, Final};
use protocol::{Guid, MailboxLine, Record, Text};
use store::memory::MemoryStore;

use crate::drive::{Side, replica, show, store_error};
use crate::model::{self, Foretold};
use crate::values::{BODIES, IDS, Maker, NAMES, USERS, guid_of};
use crate::view::{Mail, View, check, check_step, owner_of, view};
use crate::wire::{self, replies, write_commands};

/// Commands of one input, at most.
const COMMANDS_MAX: usize = 24;
/// Bytes that one answer to a small command may have, as long as the store holds what an input can bring.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What is in a store before anything is said.
const FILLED: [&str; 10] = [
    "APPLY MESSAGE (%{default GUID1 1}\r\na %{default GUID2 15}\r\nSubject: b\r\n\r\nb %{default GUID4 4}\r\ndddd)\r\n",
    "APPLY MAILBOX %(UNIQUEID id1 MBOXNAME user.jane LAST_UID 4 HIGHESTMODSEQ 6 RECENTUID 0 RECENTTIME 0 LAST_APPENDDATE 0 \
     POP3_LAST_LOGIN 0 UIDVALIDITY 3 PARTITION default ACL \"jane\tlrs\t\" OPTIONS P RECORD (%(UID 1 MODSEQ 2 LAST_UPDATED \
     1700000000 FLAGS (\\Seen) INTERNALDATE 1700000000 SIZE 1 GUID GUID1) %(UID 2 MODSEQ 5 LAST_UPDATED 1700000000 FLAGS \
     (\\Expunged) INTERNALDATE 1700000000 SIZE 15 GUID GUID2) %(UID 3 MODSEQ 6 LAST_UPDATED 1700000000 FLAGS ($Junk) \
     INTERNALDATE 1700000000 SIZE 15 GUID GUID2 ANNOTATIONS (%(ENTRY /comment USERID \"\" MODSEQ 0 VALUE v)))))\r\n",
    "APPLY MAILBOX %(UNIQUEID id2 MBOXNAME user.jane.a LAST_UID 2 HIGHESTMODSEQ 4 RECENTUID 0 RECENTTIME 0 LAST_APPENDDATE 0 \
     POP3_LAST_LOGIN 0 UIDVALIDITY 2 PARTITION other ACL \"jane\tlrs\t\" OPTIONS \"\" RECORD (%(UID 2 MODSEQ 3 LAST_UPDATED \
     1700000000 FLAGS () INTERNALDATE 1700000000 SIZE 4 GUID GUID4)))\r\n",
    "APPLY MAILBOX %(UNIQUEID id5 MBOXNAME user.joe LAST_UID 0 HIGHESTMODSEQ 1 RECENTUID 0 RECENTTIME 0 LAST_APPENDDATE 0 \
     POP3_LAST_LOGIN 0 UIDVALIDITY 1 PARTITION default ACL \"\" OPTIONS \"\" RECORD ())\r\n",
    "APPLY SUB %(USERID jane MBOXNAME user.jane.a)\r\n",
    "APPLY SEEN %(USERID jane UNIQUEID id1 LASTREAD 1 LASTUID 2 LASTCHANGE 3 SEENUIDS 1)\r\n",
    "APPLY QUOTA %(ROOT user.jane LIMIT 8)\r\n",
    "APPLY SIEVE %(USERID jane FILENAME one.script LAST_UPDATE 5 CONTENT keep;)\r\n",
    "APPLY ACTIVATE_SIEVE %(USERID jane FILENAME one.bc)\r\n",
    "APPLY ANNOTATION %(MBOXNAME \"\" ENTRY /comment USERID \"\" VALUE x)\r\n",
];

/// A store with a little of everything.
pub fn filled() -> MemoryStore {
    static FILLED: LazyLock<MemoryStore> = LazyLock::new(fill);
    FILLED.fork()
}

fn fill() -> MemoryStore {
    let store = MemoryStore::new();
    let mut side = Side::new(replica(true), &store);
    for line in FILLED {
        let mut line = line.to_owned();
        for (number, body) in BODIES.iter().enumerate() {
            line = line.replace(&format!("GUID{number}"), &guid_of(body.as_bytes()).to_string());
        }
        side.take();
        side.feed(line.as_bytes(), line.len());
        let said = side.take();
        assert!(said.starts_with(b"OK"), "{line}: {}", said.escape_ascii());
    }
    store
}

fn users() -> BTreeSet<Text> {
    USERS.map(Text::from).into()
}

/// The last line to a peer whose bytes in clear came along with STARTTLS.
const INJECTED: &str = "* Fatal error: bytes in clear behind STARTTLS";

/// What a session left.
struct Outcome {
    said: Vec<u8>,
    closed: bool,
    after: View,
}

/// Any bytes, cut anywhere: no panic, bounded output, one final line a command, and the same as at once. The first byte says
/// whom the replica takes us for, what it holds, and whether a storage ticket fails; the second is the piece, the third the
/// ticket.
pub fn session(input: &[u8]) {
    let [how, piece, ticket, said @ ..] = input else {
        return;
    };
    let trusted = how & 1 == 0;
    let failing = (how & 12 == 12).then(|| (usize::from(*ticket), store_error(how >> 4)));
    let run = |piece: usize| {
        let store = if how & 2 == 0 {
            MemoryStore::new()
        } else {
            filled()
        };
        let before = view(&store, &users());
        let mut side = Side::new(replica(trusted), &store);
        side.failing = failing.clone();
        side.feed(said, piece);
        side.give(Input::Eof);
        assert!(side.closed, "the peer has closed");
        let answers = 2 + said.iter().filter(|byte| **byte == b'\n').count();
        let most = answers * (ANSWER_BYTES_MAX + 8 * said.len());
        assert!(
            side.said_bytes <= most,
            "{} bytes said to {}",
            side.said_bytes,
            said.len()
        );
        let after = view(&store, &users());
        let forced = said.windows(5).any(|word| word.eq_ignore_ascii_case(b"FORCE"));
        check(&store, &after, forced);
        let is_known = trusted
            || said
                .windows(8)
                .any(|word| word == b"YWRtaW4=" || word == b"c2NyYW0=");
        assert!(is_known || before == after, "a stranger changed something");
        Outcome {
            said: side.take(),
            closed: side.closed,
            after,
        }
    };
    let whole = run(said.len());
    let cut = run(usize::from(*piece) + 1);
    if failing.is_none() {
        let (whole_said, cut_said) = (whole.said.escape_ascii(), cut.said.escape_ascii());
        let (whole_said, cut_said) = (whole_said.to_string(), cut_said.to_string());
        // What comes along with STARTTLS is in clear and ends the connection; what comes later is inside. [CS-AUTH-12]
        if let Some((before, _)) = whole_said.split_once(INJECTED) {
            assert!(
                cut_said.starts_with(before),
                "cutting changes what was answered before"
            );
        } else {
            assert_eq!(whole_said, cut_said, "cutting changes the answers");
            assert_eq!(whole.after, cut.after, "cutting changes the outcome");
        }
    }
    if trusted {
        for outcome in [&whole, &cut] {
            check_finals(said, outcome, failing.is_some());
        }
    }
}

/// Each complete command has exactly one final line.
fn check_finals(said: &[u8], outcome: &Outcome, failing: bool) {
    let mut expected = 0;
    let mut is_fatal = false;
    for event in wire::commands(said) {
        match event {
            // Its answer is a client's of another protocol.
            CommandEvent::Command(Command::TaggedProbe { .. }) => return,
            CommandEvent::Command(Command::Exit) => {
                expected += 1;
                break;
            }
            CommandEvent::Command(_) | CommandEvent::Bad(_) | CommandEvent::End(_) => expected += 1,
            CommandEvent::Fatal(_) => is_fatal = true,
            _ => {}
        }
    }
    let answers = replies(&outcome.said);
    let finals = answers
        .iter()
        .filter(|event| matches!(event, ReplyEvent::Final(_)))
        .count();
    let fatals = answers
        .iter()
        .filter(|event| matches!(event, ReplyEvent::Fatal(_)))
        .count();
    if failing {
        assert!(finals <= expected && outcome.closed);
        return;
    }
    assert_eq!(finals, expected, "{}", outcome.said.escape_ascii());
    assert_eq!(fatals, usize::from(is_fatal), "{}", outcome.said.escape_ascii());
}

fn run(maker: &mut Maker<'_>) {
    let is_filled = maker.seldom(2);
    let start = || if is_filled { filled() } else { MemoryStore::new() };
    let store = start();
    let mut session = Session::new(&store);
    let mut all = Vec::new();
    for _ in 0..COMMANDS_MAX {
        if maker.is_done() {
            break;
        }
        let events = line(maker);
        let bytes = write_commands(&events);
        all.extend_from_slice(&bytes);
        session.say(&events, &bytes);
    }
    let one_by_one = (session.answers, view(&store, &users()));
    let store = start();
    let mut side = Side::new(replica(true), &store);
    side.take();
    side.feed(&all, all.len());
    let at_once = (side.take(), view(&store, &users()));
    assert_eq!(
        one_by_one.0.escape_ascii().to_string(),
        at_once.0.escape_ascii().to_string(),
        "what waits for nobody is answered otherwise"
    );
    assert_eq!(one_by_one.1, at_once.1);
}

/// A session of typed commands, one after the other, each held against what the model foretells; then all of them at once,
/// which must come to the same.
pub fn commands(input: &[u8]) {
    run(&mut Maker::new(input, true));
}

/// A line that has a fair chance to be done.
pub fn line(maker: &mut Maker<'_>) -> Vec<CommandEvent> {
    match maker.below(8) {
        0 => upload(maker),
        1..5 => mailbox(maker),
        _ => vec![CommandEvent::Command(maker.command())],
    }
}

fn upload(maker: &mut Maker<'_>) -> Vec<CommandEvent> {
    let mut events = vec![CommandEvent::Begin(Streaming::Message)];
    for _ in 0..=maker.below(4) {
        let body = BODIES[maker.below(BODIES.len())].as_bytes();
        let guid = if maker.seldom(30) {
            maker.guid()
        } else {
            guid_of(body)
        };
        let partition = Text::from(if maker.seldom(30) { "nowhere" } else { "default" });
        let size = body.len() as u64;
        events.push(CommandEvent::File(protocol::command::FileHead {
            partition,
            guid,
            size,
        }));
        if !body.is_empty() {
            events.push(CommandEvent::FileData(body.into()));
        }
        events.push(CommandEvent::FileEnd);
    }
    events.push(CommandEvent::End(Box::default()));
    events
}

/// Mostly a line whose identity goes with its name, whose records ascend, and whose numbers are not below theirs.
fn mailbox(maker: &mut Maker<'_>) -> Vec<CommandEvent> {
    let mut line = Box::new(maker.mailbox_line());
    let mut records: Vec<Record> = (0..maker.below(4)).map(|_| maker.record()).collect();
    if !maker.seldom(10) {
        let at = NAMES
            .iter()
            .position(|name| line.mboxname.as_deref() == Some(name.as_bytes()));
        if let Some(at) = at.filter(|_| !maker.seldom(6)) {
            line.uniqueid = Some(Text::from(IDS[at % (IDS.len() - 1)]));
        }
        records.sort_by_key(|record| record.uid);
        records.dedup_by_key(|record| record.uid);
        let last_uid = records.iter().map(|record| record.uid).max().unwrap_or(0);
        let modseq = records.iter().map(|record| record.modseq).max().unwrap_or(0);
        line.last_uid = line.last_uid.map(|uid| uid.max(last_uid));
        line.highestmodseq = line.highestmodseq.map(|highest| highest.max(modseq));
        (line.sync_crc, line.sync_crc_annot) = (None, None);
        if !maker.seldom(6) {
            (line.since_modseq, line.mboxtype) = (None, None);
        }
    }
    let local = maker.seldom(4);
    let streaming = match maker.seldom(8) {
        true => Streaming::Restore { line, local },
        false => Streaming::Mailbox { line, local },
    };
    std::iter::once(CommandEvent::Begin(streaming))
        .chain(records.into_iter().map(CommandEvent::Record))
        .chain([CommandEvent::End(Box::default())])
        .collect()
}

/// A session of which every command is foretold.
struct Session<'s> {
    store: &'s MemoryStore,
    side: Side<Replica>,
    before: View,
    context: model::Context,
    answers: Vec<u8>,
}

impl<'s> Session<'s> {
    fn new(store: &'s MemoryStore) -> Self {
        let mut side = Side::new(replica(true), store);
        side.take();
        Session {
            store,
            side,
            before: view(store, &users()),
            context: model::Context::default(),
            answers: Vec::new(),
        }
    }

    fn say(&mut self, events: &[CommandEvent], bytes: &[u8]) {
        let shown = || bytes.escape_ascii().to_string();
        self.side.feed(bytes, bytes.len());
        let said = self.side.take();
        show("C", bytes);
        show("S", &said);
        self.answers.extend_from_slice(&said);
        if let [CommandEvent::Command(Command::TaggedProbe { .. })] = events {
            return;
        }
        let mut answers = replies(&said);
        let Some(ReplyEvent::Final(last)) = answers.pop() else {
            panic!("{} has no final line: {}", shown(), said.escape_ascii())
        };
        let is_single = !answers
            .iter()
            .any(|event| matches!(event, ReplyEvent::Final(_) | ReplyEvent::Fatal(_)));
        assert!(is_single, "{}: {}", shown(), said.escape_ascii());
        let after = view(self.store, &users());
        check(self.store, &after, self.context.force);
        check_step(&self.before, &after, self.context.force);
        let ok = matches!(last, Final::Ok(_));
        if !ok {
            assert_eq!(self.before, after, "{} was refused and left something", shown());
        }
        self.foretold(events, &last, &answers, &after);
        self.context.take(events, ok);
        self.before = after;
    }

    fn foretold(&self, events: &[CommandEvent], last: &Final, answers: &[ReplyEvent], after: &View) {
        let shown = || write_commands(events).escape_ascii().to_string();
        let ok = matches!(last, Final::Ok(_));
        match events {
            // Decided by an older look: the model does not know what this connection was told. [CS-APPLY-53] [CS-APPLY-54]
            [
                CommandEvent::Command(Command::Apply(
                    Apply::Unmailbox { .. } | Apply::Unuser { .. } | Apply::Rename { .. },
                )),
            ] if matches!(last, Final::No(Code::SyncChanged, _)) => {}
            [CommandEvent::Command(Command::Apply(apply))] => {
                let mut expected = self.before.clone();
                match model::apply(&mut expected, &self.context, apply) {
                    Foretold::Done => {
                        assert!(ok, "{}: {last:?}", shown());
                        // Users that the store knows by now, and the view did not: they have nothing yet.
                        assert_eq!(&expected, after, "{}", shown());
                    }
                    Foretold::Refused => assert!(!ok, "{} was done", shown()),
                    Foretold::Open => {}
                }
                self.missing(apply, answers, ok);
            }
            [
                CommandEvent::Command(Command::Get(_) | Command::Noop | Command::Restart),
                ..,
            ] => {
                assert_eq!(&self.before, after, "{} changed something", shown());
            }
            [
                CommandEvent::Begin(Streaming::Mailbox { line, .. }),
                records @ ..,
                CommandEvent::End(_),
            ] => {
                let records: Vec<&Record> = records.iter().filter_map(record).collect();
                let mut expected = self.before.clone();
                match model::mailbox(&mut expected, &self.context, line, &records) {
                    Foretold::Done => assert!(ok, "{}: {last:?}", shown()),
                    Foretold::Refused => assert!(!ok, "{} was done", shown()),
                    Foretold::Open => {}
                }
                if ok && !model::is_entry(line) {
                    self.updated(&mut expected, line, after, &shown());
                }
            }
            [CommandEvent::Begin(Streaming::Message), ..] => {
                assert_eq!(&self.before, after, "{} changed something", shown());
                let expected = model::message(&self.context, events);
                assert_eq!(ok, expected, "{}: {last:?}", shown());
            }
            _ => {}
        }
    }

    /// The mailbox is as foretold, and nothing else has changed but another one of its name, which made way.
    fn updated(&self, expected: &mut View, line: &MailboxLine, after: &View, shown: &str) {
        let name = line.mboxname.clone().unwrap_or_default();
        let id = line.uniqueid.clone().unwrap_or_default();
        let mut after = after.clone();
        let owner = owner_of(&Scope::of(&name));
        let was_deleted = |mail: &Mail| mail.tombstones.contains_key(&id);
        if self.before.owners.get(&owner).is_some_and(was_deleted)
            && let Some(mail) = expected.owners.get_mut(&owner)
            && let Some(mailbox) = mail.mailboxes.get_mut(&id)
            && let Some(now) = after.owners.get(&owner).and_then(|mail| mail.mailboxes.get(&id))
            && now.uidvalidity > mailbox.uidvalidity
        {
            // Back from the dead with other messages. [CS-MBOX-52]
            mailbox.uidvalidity = now.uidvalidity;
        }
        if let Some((other, there)) = self.before.named(&name).filter(|(other, _)| **other != id) {
            let kept = after.owners.get_mut(&owner).and_then(|mail| {
                mail.tombstones.remove(other);
                mail.mailboxes.remove(other)
            });
            let is_empty = there.live().next().is_none();
            let kept = kept.map(|kept| kept.records == there.records);
            assert!(is_empty || kept == Some(true), "{shown}: mail of {other} is gone");
            if let Some(mail) = expected.owners.get_mut(&owner) {
                mail.mailboxes.remove(other);
                mail.tombstones.remove(other);
            }
        }
        assert_eq!(*expected, after, "{shown}");
    }

    /// What a reservation says is missing: all that nobody can know of, and nothing that is certainly there.
    fn missing(&self, apply: &Apply, answers: &[ReplyEvent], ok: bool) {
        let Apply::Reserve(reserve) = apply else {
            return;
        };
        let (Some(names), Some(guids), true) = (&reserve.mboxnames, &reserve.guids, ok) else {
            return;
        };
        let missing: BTreeSet<Guid> = match answers {
            [] => BTreeSet::new(),
            [ReplyEvent::Data(Data::Missing(missing))] => missing.iter().copied().collect(),
            other => panic!("{other:?}"),
        };
        for guid in guids {
            match self.context.has(&self.before, names, guid) {
                Some(true) => assert!(!missing.contains(guid), "{guid} is there"),
                Some(false) => assert!(missing.contains(guid), "{guid} is not there"),
                None => {}
            }
        }
        assert!(
            missing.iter().all(|guid| guids.contains(guid)),
            "nobody asked for it"
        );
    }
}

fn record(event: &CommandEvent) -> Option<&Record> {
    match event {
        CommandEvent::Record(record) => Some(record),
        _ => None,
    }
}
