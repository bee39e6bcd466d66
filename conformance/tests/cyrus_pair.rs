//! The judge itself on trial: a pure Cyrus pair, replicated by the stock `sync_client`, must be found
//! equal, and planted differences must be found.

use conformance::Error;
use conformance::compare::{self, Difference, Scope};
use conformance::cyrus::{self, ADMIN, Cyrus};
use conformance::population::{self, USERS};
use std::path::{Path, PathBuf};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Fewer facts than this would mean that the comparison looks away.
const FACTS_MIN: usize = 5_000;

#[test]
fn a_cyrus_pair_is_equal_after_initial_and_incremental_runs() -> Outcome {
    if !cyrus::usable("cyrus_pair") {
        return Ok(());
    }
    pair(false, false)
}

#[test]
fn a_cyrus_pair_with_conversations_is_equal() -> Outcome {
    if !cyrus::usable("cyrus_pair_conversations") {
        return Ok(());
    }
    pair(true, false)
}

#[test]
fn a_cyrus_pair_over_a_unix_socket_is_equal() -> Outcome {
    if !cyrus::usable("cyrus_pair_unix") {
        return Ok(());
    }
    pair(false, true)
}

fn pair(conversations: bool, unix: bool) -> Outcome {
    let start = |name: &str| {
        let mut setup = population::setup(name);
        setup.conversations = conversations;
        Cyrus::start(setup)
    };
    // Equally long names: Cyrus writes them into sieve scripts' headers, whose sizes count for the quota.
    let (master, replica) = (start("cyrus-a")?, start("cyrus-b")?);
    let target = if unix {
        replica.csync_socket().display().to_string()
    } else {
        replica.csync_address()
    };
    let mut scope = Scope::all(&USERS);
    // A Unix socket offers no capabilities, so scripts travel one by one.
    scope.sieve_mailbox = !unix;
    population::fill(&master)?;
    master.sync_client(&target, &["-A"])?.success("the initial run")?;
    let facts = compare::facts(&master, &scope)?;
    assert!(facts.len() >= FACTS_MIN, "only {} facts", facts.len());
    let found = compare::differences(&facts, &compare::facts(&replica, &scope)?);
    compare::assert_equal("after the initial run", &found);

    population::change(&master)?;
    assert!(
        !compare::servers(&master, &replica, &scope)?.is_empty(),
        "the changes must show"
    );
    master
        .sync_client(&target, &["-A"])?
        .success("the incremental run")?;
    compare::assert_equal(
        "after the incremental run",
        &compare::servers(&master, &replica, &scope)?,
    );
    Ok(())
}

#[test]
fn planted_differences_are_found() -> Outcome {
    if !cyrus::usable("cyrus_pair_canary") {
        return Ok(());
    }
    let master = Cyrus::start(population::setup("master"))?;
    let replica = Cyrus::start(population::setup("replica"))?;
    let scope = Scope::all(&USERS);
    population::fill(&master)?;
    master
        .sync_client(&replica.csync_address(), &["-A"])?
        .success("the initial run")?;
    let before = compare::facts(&master, &scope)?;
    plant(&replica)?;
    let found = compare::differences(&before, &compare::facts(&replica, &scope)?);
    for (object, uid, field) in [
        ("user.alice.Archive", Some(1), "FLAGS"),
        ("user.alice.Archive", None, "SYNC_CRC"),
        ("user.alice.two  spaces", Some(2), "broken: message"),
        ("user.alice.Empty", None, "annotation /comment of \"\""),
        ("user.alice.Projects", None, "ACL"),
        ("user.alice.nil", None, "LAST_UID"),
        ("user.bob.Extra", None, "MBOXNAME"),
        ("user alice", None, "subscribed user.alice.Projects"),
        ("user bob", None, "SEENUIDS"),
        ("quota user.bob", None, "STORAGE"),
        ("user.alice.#sieve", None, "HIGHESTMODSEQ"),
        ("INBOX/Archive", Some(1), "FLAGS"),
    ] {
        let matches = |difference: &&Difference| {
            let place = &difference.place;
            place.object == object && place.uid == uid && place.field.contains(field)
        };
        assert!(
            found.iter().any(|difference| matches(&difference)),
            "{object} {uid:?} {field} is not reported"
        );
    }
    // And nothing is reported where nothing was planted.
    let innocent = |difference: &&Difference| difference.place.object.starts_with("user.dave^dots");
    assert_eq!(found.iter().find(innocent), None);
    Ok(())
}

/// One difference of each kind.
fn plant(replica: &Cyrus) -> Outcome {
    let mut alice = replica.imap("alice")?;
    alice.select("INBOX/Archive")?;
    alice.store("1", "+FLAGS", "(planted)")?;
    alice.set_metadata("INBOX/Empty", "/shared/comment", Some(b"planted"))?;
    alice.set_acl("INBOX/Projects", "bob", "lr")?;
    alice.append("INBOX/nil", "()", population::DATE, &population::mail::plain(9))?;
    alice.unsubscribe("INBOX/Projects")?;
    let mut bob = replica.imap("bob")?;
    bob.create("INBOX/Extra")?;
    bob.select("shared/team")?;
    bob.store("1", "-FLAGS", "(\\Seen)")?;
    replica.imap(ADMIN)?.set_quota("user/bob", "(STORAGE 4000001)")?;
    replica
        .csync()?
        .run(b"APPLY ACTIVATE_SIEVE %(USERID alice FILENAME vacation.bc)")?;
    let id = unique_id(replica, "user.alice.two  spaces")?;
    let file =
        find(replica.directory(), &format!("{id}/2.")).ok_or("no file of the message to be damaged")?;
    let mut bytes = std::fs::read(&file)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes)?;
    Ok(())
}

fn unique_id(cyrus: &Cyrus, mailbox: &str) -> conformance::Result<String> {
    let answer = cyrus
        .csync()?
        .run(format!("GET MAILBOXES (\"{mailbox}\")").as_bytes())?;
    let id = answer
        .all("MAILBOX")
        .next()
        .and_then(|header| header.text("UNIQUEID"));
    id.ok_or_else(|| Error::Unreadable(format!("no UNIQUEID of {mailbox}")))
}

/// The file below `directory` whose path ends in `ending`.
fn find(directory: &Path, ending: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(directory).ok()?.flatten() {
        let path = entry.path();
        let found = if path.is_dir() {
            find(&path, ending)
        } else {
            Some(path)
        };
        if let Some(found) = found.filter(|path| path.to_string_lossy().ends_with(ending)) {
            return Some(found);
        }
    }
    None
}
