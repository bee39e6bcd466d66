//! Both sides changed, with real Cyrus on the other side: [CS-SPLIT-1] to [CS-SPLIT-33].
//!
//! Three servers hold the same: `hand`, a Cyrus with whose IMAP our side is changed (it replicates into our store), our
//! own, and `peer`, a Cyrus that is changed by IMAP itself. Then ours and `peer` meet, one as master of the other.
//! Every case is a user of its own, so that one set of servers does for all.

use conformance::compare::{self, Facts, Scope};
use conformance::csync::Csync;
use conformance::csync::dlist::Value;
use conformance::cyrus::{self, ADMIN, Cyrus, Setup};
use conformance::imap::Imap;
use conformance::population::{DATE, hex, mail};
use conformance::programs::{self, Twin};
use sha1::{Digest, Sha1};
use std::collections::BTreeSet;

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// The cases; the last one's user is made on both sides separately.
const CASES: [&str; 14] = [
    "flags", "expunge", "append", "theirs", "made", "unused", "gone", "revive", "reuse", "rename",
    "twonames", "left", "again", "inbox",
];

/// A user, and GUIDs of what must be there.
type Case = (&'static str, BTreeSet<String>);

struct Servers {
    hand: Cyrus,
    peer: Cyrus,
    twin: Twin,
}

fn setup(name: &str) -> Setup {
    let mut setup = Setup::new(name, &CASES).with("delete_mode", "immediate");
    setup.in_memory = true;
    setup
}

fn message(number: usize) -> Vec<u8> {
    mail::plain(number)
}

fn guid(number: usize) -> String {
    hex(&Sha1::digest(message(number)))
}

fn append(imap: &mut Imap, mailbox: &str, numbers: &[usize]) -> Outcome {
    for number in numbers {
        imap.append(mailbox, "()", DATE, &message(*number))?;
    }
    Ok(())
}

/// Makes the user with an INBOX of three messages and a folder of two.
fn fill(cyrus: &Cyrus, user: &str) -> Outcome {
    cyrus.imap(ADMIN)?.create(&format!("user/{user}"))?;
    let mut imap = cyrus.imap(user)?;
    append(&mut imap, "INBOX", &[1, 2, 3])?;
    imap.create("INBOX/a")?;
    append(&mut imap, "INBOX/a", &[11, 12])
}

fn start(test: &str) -> Result<Option<Servers>, Box<dyn std::error::Error>> {
    if !cyrus::usable(test) || !programs::usable(test) {
        return Ok(None);
    }
    // Equally long names: Cyrus writes them into what it makes.
    let (hand, peer) = (Cyrus::start(setup("cyrus-h"))?, Cyrus::start(setup("cyrus-p"))?);
    let mut twin = Twin::tcp("twin", &["mailtwin_compress: no"])?;
    twin.start()?;
    for user in &CASES[..CASES.len() - 1] {
        fill(&hand, user)?;
    }
    hand.sync_client(&peer.csync_address(), &["-A"])?
        .success("the common past")?;
    fill(&hand, "inbox")?;
    let servers = Servers { hand, peer, twin };
    servers.take_over()?;
    Ok(Some(servers))
}

impl Servers {
    /// Brings what `hand` has into our store.
    fn take_over(&self) -> Outcome {
        self.hand
            .sync_client(&self.twin.address(), &["-A"])?
            .success("from the hand to our store")?;
        Ok(())
    }

    /// Deletes a user with the hand and on our side. A Cyrus master tells this in rolling replication only.
    fn delete_user(&self, user: &str) -> Outcome {
        let mut admin = self.hand.imap(ADMIN)?;
        admin.set_acl(&format!("user/{user}"), ADMIN, "lrswipkxtecda")?;
        admin.delete(&format!("user/{user}"))?;
        self.twin
            .csync()?
            .run(format!("APPLY UNUSER {user}").as_bytes())?;
        Ok(())
    }

    /// What happens on both sides; the answer says which messages must be there afterwards.
    fn split(&self) -> Result<Vec<Case>, Box<dyn std::error::Error>> {
        let numbers = |list: &[usize]| list.iter().map(|number| guid(*number)).collect();
        let past = [1, 2, 3, 11, 12];
        let mut expected = Vec::new();
        for user in CASES {
            if user == "inbox" {
                self.peer.imap(ADMIN)?.create("user/inbox")?;
            }
            let (mut ours, mut theirs) = (self.hand.imap(user)?, self.peer.imap(user)?);
            ours.select("INBOX")?;
            theirs.select("INBOX")?;
            let mut left: Vec<usize> = past.to_vec();
            match user {
                "flags" => {
                    ours.store("1", "+FLAGS", "(\\Flagged ours)")?;
                    theirs.store("1:2", "+FLAGS", "(\\Answered theirs)")?;
                    theirs.store("2", "+FLAGS", "(twice)")?;
                }
                "expunge" => {
                    ours.store("1", "+FLAGS", "(\\Deleted)")?;
                    ours.expunge("1")?;
                    theirs.store("1", "+FLAGS", "(\\Answered)")?;
                    theirs.store("2", "+FLAGS", "(\\Deleted)")?;
                    theirs.expunge("2")?;
                    left = vec![3, 11, 12];
                }
                "append" => {
                    append(&mut ours, "INBOX", &[21, 22])?;
                    append(&mut theirs, "INBOX", &[23])?;
                    left.extend([21, 22, 23]);
                }
                "theirs" => {
                    append(&mut theirs, "INBOX", &[24, 25])?;
                    left.extend([24, 25]);
                }
                "made" => {
                    for (imap, number) in [(&mut ours, 26), (&mut theirs, 27)] {
                        imap.create("INBOX/b")?;
                        append(imap, "INBOX/b", &[number])?;
                    }
                    left.extend([26, 27]);
                }
                "unused" => {
                    ours.create("INBOX/b")?;
                    append(&mut ours, "INBOX/b", &[28])?;
                    theirs.create("INBOX/b")?;
                    left.push(28);
                }
                "gone" => {
                    ours.delete("INBOX/a")?;
                    left = vec![1, 2, 3];
                }
                "revive" => {
                    append(&mut ours, "INBOX/a", &[29])?;
                    ours.delete("INBOX/a")?;
                    append(&mut theirs, "INBOX/a", &[30])?;
                    left = vec![1, 2, 3, 30];
                }
                "reuse" => {
                    ours.delete("INBOX/a")?;
                    // Cyrus forgets who had a name as soon as it is used again.
                    self.hand
                        .sync_client(&self.twin.address(), &["-u", user])?
                        .success("the delete")?;
                    ours.create("INBOX/a")?;
                    append(&mut ours, "INBOX/a", &[31])?;
                    append(&mut theirs, "INBOX/a", &[32])?;
                    left = vec![1, 2, 3, 31, 32];
                }
                "rename" => {
                    ours.rename("INBOX/a", "INBOX/z")?;
                    append(&mut theirs, "INBOX/a", &[33])?;
                    theirs.create("INBOX/z")?;
                    append(&mut theirs, "INBOX/z", &[34])?;
                    left.extend([33, 34]);
                }
                "twonames" => {
                    ours.rename("INBOX/a", "INBOX/p")?;
                    theirs.rename("INBOX/a", "INBOX/q")?;
                }
                "left" => {
                    self.delete_user(user)?;
                    left = Vec::new();
                }
                "again" => {
                    append(&mut theirs, "INBOX", &[36])?;
                    append(&mut theirs, "INBOX/a", &[37])?;
                    self.delete_user(user)?;
                    self.hand.imap(ADMIN)?.create("user/again")?;
                    append(&mut self.hand.imap(user)?, "INBOX", &[38])?;
                    left = vec![36, 37, 38];
                }
                _ => {
                    append(&mut theirs, "INBOX", &[35, 1])?;
                    left.push(35);
                }
            }
            expected.push((user, numbers(&left)));
        }
        self.take_over()?;
        Ok(expected)
    }

    fn facts(&self, user: &str) -> Result<(Facts, Facts), Box<dyn std::error::Error>> {
        let mut scope = Scope::all(&[user]);
        scope.shared = false;
        let (mut ours, mut theirs) = (Facts::new(), Facts::new());
        compare::collect_csync(&mut self.twin.csync()?, &scope, &[], &mut ours)?;
        compare::collect_csync(&mut self.peer.csync()?, &scope, &[], &mut theirs)?;
        Ok((ours, theirs))
    }

    /// Both sides are equal, and hold what has to be there, each message once.
    fn check(&self, user: &str, expected: &BTreeSet<String>) -> Outcome {
        for (who, csync) in [("ours", self.twin.csync()?), ("theirs", self.peer.csync()?)] {
            let live = live_messages(csync, user)?;
            let found: BTreeSet<String> = live.iter().cloned().collect();
            assert_eq!(&found, expected, "{user}: messages of {who}");
            // Both sides of "inbox" got one message by themselves.
            let twice = usize::from(user == "inbox");
            assert!(
                live.len() <= found.len() + twice,
                "{user}: {who} has messages twice"
            );
        }
        let (ours, theirs) = self.facts(user)?;
        let (ours, theirs) = (without_expunged(&ours), without_expunged(&theirs));
        compare::assert_equal(user, &compare::differences(&ours, &theirs));
        Ok(())
    }
}

/// Of messages that are gone each side may remember something else. [CS-MASTER-34]
fn without_expunged(facts: &Facts) -> Facts {
    let gone: BTreeSet<(String, Option<u32>)> = facts
        .iter()
        .filter(|(place, value)| place.field == "FLAGS" && value.windows(9).any(|word| word == b"\\Expunged"))
        .map(|(place, _)| (place.object.clone(), place.uid))
        .collect();
    let stays =
        |place: &compare::Place| place.uid.is_none() || !gone.contains(&(place.object.clone(), place.uid));
    facts
        .iter()
        .filter(|(place, _)| stays(place))
        .map(|(place, value)| (place.clone(), value.clone()))
        .collect()
}

/// GUIDs of a user's live messages.
fn live_messages(mut csync: Csync, user: &str) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let answer = csync.run(format!("GET USER {user}").as_bytes())?;
    let names: Vec<String> = answer
        .all("MAILBOX")
        .filter_map(|header| header.text("MBOXNAME"))
        .collect();
    let mut live = Vec::new();
    for name in names {
        let answer = csync.run(format!("GET FULLMAILBOX \"{name}\"").as_bytes())?;
        let full = answer.all("MAILBOX").next();
        for record in full
            .and_then(|full| full.get("RECORD"))
            .map(Value::members)
            .unwrap_or_default()
        {
            let flags = record.get("FLAGS").map(Value::members).unwrap_or_default();
            if !flags
                .iter()
                .any(|flag| flag.bytes().eq_ignore_ascii_case(b"\\Expunged"))
            {
                live.extend(record.text("GUID"));
            }
        }
    }
    Ok(live)
}

#[test]
fn our_master_settles_it_with_cyrus_as_replica() -> Outcome {
    let Some(servers) = start("split_brain_our_master")? else {
        return Ok(());
    };
    let expected = servers.split()?;
    let before: Vec<_> = CASES
        .iter()
        .map(|user| servers.facts(user))
        .collect::<Result<_, _>>()?;
    let target = servers.peer.csync_address();
    let users: Vec<&str> = std::iter::once("-u").chain(CASES).collect();
    // A dry run changes neither side.
    let dry: Vec<&str> = std::iter::once("--dry-run")
        .chain(users.iter().copied())
        .collect();
    let plan = servers.twin.sync_client(&target, &dry)?.success("the dry run")?;
    for rule in [
        "CS-MASTER-35",
        "CS-SPLIT-11",
        "CS-SPLIT-13",
        "CS-SPLIT-23",
        "CS-SPLIT-24",
    ] {
        assert!(plan.text().contains(rule), "{rule} in the plan:\n{}", plan.text());
    }
    for (user, (ours, theirs)) in CASES.iter().zip(&before) {
        let (ours_now, theirs_now) = servers.facts(user)?;
        compare::assert_equal("ours after a dry run", &compare::differences(ours, &ours_now));
        compare::assert_equal(
            "theirs after a dry run",
            &compare::differences(theirs, &theirs_now),
        );
    }
    let differs = servers.twin.mailtwin(&["compare", &target, "flags"])?;
    assert_eq!(differs.status.code(), Some(1), "{}", differs.text());
    assert!(differs.text().contains("FLAGS is "), "{}", differs.text());
    servers
        .twin
        .sync_client(&target, &users)?
        .success("ours to theirs")?;
    // What only the replica has comes when it is the master.
    servers
        .peer
        .sync_client(&servers.twin.address(), &users)?
        .success("theirs to ours")?;
    servers
        .twin
        .sync_client(&target, &users)?
        .success("ours to theirs again")?;
    for (user, expected) in &expected {
        servers.check(user, expected)?;
    }
    let all: Vec<&str> = ["compare", target.as_str()]
        .into_iter()
        .chain(CASES)
        .filter(|user| *user != "left")
        .collect();
    let equal = servers.twin.mailtwin(&all)?.success("mailtwin compare")?;
    assert!(equal.text().contains("equal: "), "{}", equal.text());
    Ok(())
}

#[test]
fn a_cyrus_master_meets_our_replica() -> Outcome {
    let Some(servers) = start("split_brain_cyrus_master")? else {
        return Ok(());
    };
    let expected = servers.split()?;
    for (user, expected) in &expected {
        let there = servers.peer.sync_client(&servers.twin.address(), &["-u", user])?;
        // Where the two sides disagree about names a Cyrus master gives up; nothing is lost by that, and ours settles it.
        let settles = ["flags", "expunge", "append", "theirs", "gone", "twonames"];
        if settles.contains(user) {
            there.success(user)?;
        }
        let target = servers.peer.csync_address();
        servers.twin.sync_client(&target, &["-u", user])?.success(user)?;
        servers
            .peer
            .sync_client(&servers.twin.address(), &["-u", user])?
            .success(user)?;
        servers.twin.sync_client(&target, &["-u", user])?.success(user)?;
        let mut expected = expected.clone();
        if ["gone", "revive"].contains(user) {
            // It was first sent by a master that still has it. [CS-SPLIT-18]
            expected.extend([guid(11), guid(12)]);
        }
        if *user == "left" {
            expected.extend([1, 2, 3, 11, 12].map(guid));
        }
        servers.check(user, &expected)?;
    }
    Ok(())
}

/// A MAILBOX line; `records` are UID, MODSEQ, flags and the number of the message.
fn line(id: &str, name: &str, values: [u64; 3], records: &[(u32, u64, &str, usize)]) -> Vec<u8> {
    let records: Vec<String> = records
        .iter()
        .map(|(uid, modseq, flags, number)| {
            let (guid, size) = (guid(*number), message(*number).len());
            format!(
                "%(UID {uid} MODSEQ {modseq} LAST_UPDATED 1700000000 FLAGS ({flags}) INTERNALDATE 1700000000 SIZE {size} GUID {guid})"
            )
        })
        .collect();
    let [last_uid, modseq, uidvalidity] = values;
    format!(
        "APPLY MAILBOX %(UNIQUEID {id} MBOXNAME {name} SYNC_CRC 0 LAST_UID {last_uid} HIGHESTMODSEQ {modseq} RECENTUID 0 \
         RECENTTIME 0 LAST_APPENDDATE 0 POP3_LAST_LOGIN 0 UIDVALIDITY {uidvalidity} PARTITION default \
         ACL \"rep\tlrswipkxtecdan\t\" OPTIONS P RECORD ({}))",
        records.join(" ")
    )
    .into_bytes()
}

fn upload(number: usize) -> Vec<u8> {
    let bytes = message(number);
    let head = format!("APPLY MESSAGE (%{{default {} {}}}\r\n", guid(number), bytes.len());
    [head.into_bytes(), bytes, b")".to_vec()].concat()
}

/// `OK`, or `NO` and its code.
fn verdict(csync: &mut Csync, command: &[u8]) -> Result<String, Box<dyn std::error::Error>> {
    let last = csync.ask(command)?.last;
    let words: Vec<&str> = last
        .split(' ')
        .take(if last.starts_with("NO IMAP_") { 2 } else { 1 })
        .collect();
    Ok(words.join(" "))
}

/// What a replica says to a name of another identity, and to values and records that go back, with and without FORCE.
#[test]
fn our_replica_answers_as_cyrus() -> Outcome {
    const MOVED: &str = "NO IMAP_MAILBOX_MOVED";
    const CHECKSUM: &str = "NO IMAP_SYNC_CHECKSUM";
    if !cyrus::usable("split_brain_answers") || !programs::usable("split_brain_answers") {
        return Ok(());
    }
    let mut setup = Setup::new("cyrus-r", &["rep"]);
    setup.in_memory = true;
    let cyrus = Cyrus::start(setup)?;
    let mut twin = Twin::tcp("twin", &[])?;
    twin.start()?;
    let live = [(1, 2, "", 1), (2, 3, "", 2)];
    let steps: Vec<(&str, Vec<u8>, &str)> = vec![
        ("INBOX", line("id1", "user.rep", [0, 1, 1000], &[]), "OK"),
        ("a mailbox", line("id2", "user.rep.a", [0, 1, 1000], &[]), "OK"),
        (
            "unused gives way",
            line("id3", "user.rep.a", [0, 1, 1000], &[]),
            "OK",
        ),
        (
            "emptied",
            line("id4", "user.rep.b", [1, 2, 1000], &[(1, 2, "\\Expunged", 1)]),
            "OK",
        ),
        (
            "emptied does not give way",
            line("id5", "user.rep.b", [1, 2, 1000], &[]),
            MOVED,
        ),
        ("a message", upload(1), "OK"),
        ("another message", upload(2), "OK"),
        ("with mail", line("id6", "user.rep.c", [2, 3, 1000], &live), "OK"),
        (
            "with mail does not give way",
            line("id7", "user.rep.c", [2, 3, 1000], &[]),
            MOVED,
        ),
        (
            "an identity of another name",
            line("id6", "user.rep.d", [2, 3, 1000], &[]),
            MOVED,
        ),
        (
            "UIDVALIDITY goes back",
            line("id6", "user.rep.c", [2, 3, 999], &[]),
            CHECKSUM,
        ),
        (
            "UIDVALIDITY goes on",
            line("id6", "user.rep.c", [2, 3, 1001], &[]),
            "OK",
        ),
        (
            "HIGHESTMODSEQ goes back",
            line("id6", "user.rep.c", [2, 2, 1001], &[]),
            CHECKSUM,
        ),
        (
            "LAST_UID goes back",
            line("id6", "user.rep.c", [1, 3, 1001], &[]),
            CHECKSUM,
        ),
        (
            "a record goes back",
            line("id6", "user.rep.c", [2, 4, 1001], &[(2, 2, "", 2)]),
            CHECKSUM,
        ),
        (
            "another message",
            line("id6", "user.rep.c", [2, 4, 1001], &[(2, 4, "", 1)]),
            CHECKSUM,
        ),
        (
            "expunged",
            line("id6", "user.rep.c", [2, 4, 1001], &[(2, 4, "\\Expunged", 2)]),
            "OK",
        ),
        (
            "live again",
            line("id6", "user.rep.c", [2, 5, 1001], &[(2, 5, "", 2)]),
            CHECKSUM,
        ),
        ("FORCE", b"APPLY FORCE %()".to_vec(), "OK"),
        ("forced back", line("id6", "user.rep.c", [2, 3, 900], &[]), "OK"),
        (
            "live again by force",
            line("id6", "user.rep.c", [2, 5, 900], &[(2, 5, "", 2)]),
            CHECKSUM,
        ),
        (
            "another message by force",
            line("id6", "user.rep.c", [2, 5, 900], &[(1, 5, "", 2)]),
            CHECKSUM,
        ),
        (
            "emptied gives way by force",
            line("id5", "user.rep.b", [0, 2, 1000], &[]),
            "OK",
        ),
        (
            "with mail gives way by force",
            line("id7", "user.rep.c", [0, 2, 1000], &[]),
            "OK",
        ),
    ];
    let (mut theirs, mut ours) = (cyrus.csync()?, twin.csync()?);
    for (what, command, expected) in &steps {
        assert_eq!(&verdict(&mut theirs, command)?, expected, "Cyrus: {what}");
        assert_eq!(&verdict(&mut ours, command)?, expected, "ours: {what}");
    }
    // Where Cyrus has nothing left of it, ours keeps the mail. [CS-EXC-27]
    assert!(live_messages(cyrus.csync()?, "rep")?.is_empty());
    assert_eq!(live_messages(twin.csync()?, "rep")?, [guid(1)]);
    Ok(())
}
