//! Fills a Cyrus with everything that replication has to carry, then changes it.
//!
//! Place holders (a name without a mailbox, kept for its children) are left out: Cyrus 3.6 makes a real
//! mailbox of the missing parent when the child arrives, so not even a Cyrus pair is equal with one.
//!
//! All of it is deterministic but for what Cyrus chooses itself (unique ids, UIDVALIDITY, times).

mod change;
pub mod mail;
mod replay;
mod wander;

pub use change::{change, rename_shared};
pub use wander::wander;

use crate::Result;
use crate::csync::Csync;
use crate::cyrus::{ADMIN, Cyrus, Setup};
use crate::imap::{Command, Imap};
use mail::{appendable, common, plain, raw};

/// The users. The dot in the last name is `^` on the wire.
pub const USERS: [&str; 4] = ["alice", "bob", "carol", "dave.dots"];

/// INTERNALDATE of appended messages.
pub const DATE: &str = "17-Jul-2020 02:44:25 -0700";

/// More than 40 keywords, with the characters that an atom may hold.
pub fn keywords() -> Vec<String> {
    let odd = [
        "$Forwarded",
        "NonJunk",
        "k&k",
        "a.b/c",
        "x:y;z",
        "Schl^ssel",
        "#hash",
        "~tilde",
        "-",
        "UPPER",
        "nil.not",
    ];
    odd.iter()
        .map(|&word| word.to_owned())
        .chain((0..40).map(|n| format!("keyword{n}")))
        .collect()
}

/// How a server that is to be filled, or to receive the fill, is set up.
pub fn setup(name: &str) -> Setup {
    let mut setup = Setup::new(name, &USERS);
    setup.in_memory = true;
    setup
}

/// Fills `cyrus`, which must be empty and set up by [`setup`].
pub fn fill(cyrus: &Cyrus) -> Result<()> {
    let mut admin = cyrus.imap(ADMIN)?;
    let mut csync = cyrus.csync()?;
    for user in USERS {
        admin.create(&format!("user/{user}"))?;
    }
    shared_mailboxes(&mut admin, &mut csync)?;
    admin.run(Command::new("CREATE").string(b"user/alice/Second").raw("second"))?;
    alice(&mut cyrus.imap("alice")?)?;
    bob(&mut cyrus.imap("bob")?)?;
    dave(&mut cyrus.imap("dave.dots")?)?;
    quotas(&mut admin)?;
    replay::append(&mut csync, "user.alice.Raw", &raw())?;
    sieve(&mut csync)
}

fn shared_mailboxes(admin: &mut Imap, csync: &mut Csync) -> Result<()> {
    for name in ["shared", "shared/team", "shared/team/Old stuff", "shared/board"] {
        admin.create(name)?;
        for (identifier, rights) in [
            (ADMIN, "lrswipkxtecdan"),
            ("alice", "lrswipkxtecdan"),
            ("bob", "lrswipten"),
            ("anyone", "lrsp"),
            ("-carol", "w"),
        ] {
            admin.set_acl(name, identifier, rights)?;
        }
    }
    for name in ["shared/team", "shared/team/Old stuff", "shared/board"] {
        for number in 100..106 {
            admin.append(name, "()", DATE, &plain(number))?;
        }
        admin.append(name, "(\\Flagged common)", DATE, &common())?;
    }
    // imapd 3.6 refuses annotations and options on mailboxes outside user.*, or crashes over them;
    // replication carries them.
    let note =
        |user: &str, value: &str| format!("%(ENTRY /comment USERID \"{user}\" MODSEQ 0 VALUE \"{value}\")");
    let notes = format!("({} {})", note("", "the team's mail"), note("bob", "bob's own"));
    replay::set(
        csync,
        "shared.team",
        &[("OPTIONS", "PD"), ("ANNOTATIONS", &notes)],
    )?;
    // Shared seen state: the flag lies in the record and not in the readers' seen files.
    replay::set(csync, "shared.board", &[("OPTIONS", "PS")])?;
    admin.select("shared/board")?;
    admin.store("2,4", "+FLAGS", "(\\Seen)")
}

/// Odd names below INBOX that Cyrus allows: spaces, the single quote, list and wildcard characters,
/// modified UTF-7, a dot (`^` on the wire), long ones, deep ones.
pub fn odd_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "Projects",
        "Projects/2026 Q1",
        "Projects/2026 Q1/Client's list",
        "Projects/(brackets) #1 $+,=?@:*",
        "two  spaces",
        "&AOk-t&AOk-",
        "&ZeVnLIqe-",
        "&ZeVnLIqe-/&U,BTFw-",
        "v1.2.release",
        "nil",
        "NIL",
        "Empty",
        "ToDelete",
        "ToDelete/child",
        "ToRename",
        "ToRename/child one",
        "ToRename/child one/grandchild",
        "Raw",
    ]
    .iter()
    .map(|&name| name.to_owned())
    .collect();
    names.push(format!("long {}", "name ".repeat(40).trim_end()));
    names.push("L".repeat(380));
    let mut deep = "deep".to_owned();
    for level in 0..12 {
        names.push(deep.clone());
        deep.push_str(&format!("/{level}"));
    }
    names
}

fn alice(imap: &mut Imap) -> Result<()> {
    for name in odd_names() {
        imap.create(&format!("INBOX/{name}"))?;
    }
    imap.run(
        Command::new("CREATE")
            .string(b"INBOX/Archive")
            .raw("(USE (\\Archive))"),
    )?;
    for sample in appendable() {
        imap.append("INBOX", "()", DATE, &sample.bytes)?;
    }
    for name in odd_names()
        .iter()
        .filter(|name| *name != "Empty" && *name != "Raw")
        .map(String::as_str)
        .chain(["Second"])
    {
        imap.append(&format!("INBOX/{name}"), "(\\Seen)", DATE, &common())?;
        imap.append(&format!("INBOX/{name}"), "()", DATE, &plain(name.len()))?;
    }
    imap.append("INBOX", "()", "01-Jan-1990 00:00:00 +1345", &common())?;
    flags(imap)?;
    many_and_expunged(imap)?;
    annotations(imap)?;
    for name in [
        "INBOX",
        "INBOX/Projects",
        "INBOX/&ZeVnLIqe-/&U,BTFw-",
        "INBOX/v1.2.release",
        "shared/team",
    ] {
        imap.subscribe(name)?;
    }
    imap.set_acl("INBOX/Projects", "bob", "lrswn")?;
    imap.set_acl("INBOX/Projects", "anyone", "l")?;
    imap.set_acl("INBOX/Projects", "-dave.dots", "l")?;
    imap.select("shared/team")?;
    imap.store("1:2", "+FLAGS", "(\\Seen)")
}

fn flags(imap: &mut Imap) -> Result<()> {
    imap.select("INBOX")?;
    let words = keywords().join(" ");
    for (set, flags) in [
        ("1", "(\\Seen)"),
        ("2", "(\\Answered)"),
        ("3", "(\\Flagged)"),
        ("4", "(\\Draft)"),
        ("5", "(\\Deleted)"),
        ("6", "(\\Seen \\Answered \\Flagged \\Draft \\Deleted)"),
        ("7", &format!("({words})")),
        ("8", "(\\Seen keyword7 keyword3 $Forwarded)"),
    ] {
        imap.store(set, "+FLAGS.SILENT", flags)?;
    }
    Ok(())
}

/// Sixty messages of which some are expunged, among them the first, a run and the last.
fn many_and_expunged(imap: &mut Imap) -> Result<()> {
    for number in 200..260 {
        let flags = if number % 3 == 0 { "(\\Seen)" } else { "(Work)" };
        imap.append("INBOX/Projects", flags, DATE, &plain(number))?;
    }
    imap.select("INBOX/Projects")?;
    imap.expunge("1,10:14,62")?;
    imap.simple("UID COPY 20:24 \"INBOX/Archive\"").map(drop)
}

fn annotations(imap: &mut Imap) -> Result<()> {
    imap.select("INBOX")?;
    let binary: Vec<u8> = (0u8..=255).collect();
    let long = vec![b'v'; 5000];
    let entries: [(&str, &str, &str, &[u8]); 10] = [
        ("1", "/comment", "value.shared", b"shared note"),
        ("1", "/comment", "value.priv", b"private note"),
        ("1", "/altsubject", "value.priv", "\u{e9}\u{65e5}".as_bytes()),
        ("2", "/vendor/example/binary", "value.shared", &binary),
        ("2", "/vendor/example/binary", "value.priv", b"\0"),
        (
            "3",
            "/comment",
            "value.shared",
            b"line\r\nline\n\"quoted\" \\ %{x} (list)",
        ),
        ("3", "/comment", "value.priv", b"NIL"),
        ("4", "/vendor/example/long", "value.shared", &long),
        ("5", "/comment", "value.shared", b"on a deleted message"),
        ("6:7", "/comment", "value.shared", b"on two messages"),
    ];
    for (set, entry, attribute, value) in entries {
        imap.annotate(set, entry, attribute, Some(value))?;
    }
    let metadata: [(&str, &str, &[u8]); 7] = [
        ("INBOX", "/shared/comment", b"shared on INBOX"),
        ("INBOX", "/private/comment", b"private on INBOX"),
        ("INBOX", "/shared/vendor/example/binary", &binary),
        (
            "INBOX",
            "/private/vendor/example/text",
            "\u{e9} \"q\" % \\ {5}".as_bytes(),
        ),
        ("INBOX/Projects", "/shared/vendor/example/long", &long),
        ("INBOX/&ZeVnLIqe-", "/private/comment", b"NIL"),
        ("INBOX/Empty", "/shared/comment", b"on an empty mailbox"),
    ];
    for (mailbox, entry, value) in metadata {
        imap.set_metadata(mailbox, entry, Some(value))?;
    }
    Ok(())
}

fn bob(imap: &mut Imap) -> Result<()> {
    imap.append("INBOX", "(\\Seen)", DATE, &common())?;
    imap.append("INBOX", "()", DATE, &plain(300))?;
    imap.create("INBOX/Sent")?;
    imap.append("INBOX/Sent", "(\\Seen \\Answered)", DATE, &common())?;
    // Seen state and private annotations of another user on mailboxes that are not his.
    imap.select("shared/team")?;
    imap.store("1,3:4,7", "+FLAGS.SILENT", "(\\Seen)")?;
    imap.annotate("2", "/comment", "value.priv", Some(b"bob's view"))?;
    imap.annotate("2", "/comment", "value.shared", Some(b"everybody's view"))?;
    imap.select("user/alice/Projects")?;
    imap.store("2:9,20", "+FLAGS.SILENT", "(\\Seen)")?;
    imap.annotate("3", "/comment", "value.priv", Some(b"bob on alice's message"))?;
    for name in ["INBOX", "INBOX/Sent", "shared/team", "user/alice/Projects"] {
        imap.subscribe(name)?;
    }
    Ok(())
}

fn dave(imap: &mut Imap) -> Result<()> {
    imap.create("INBOX/a.b")?;
    imap.create("INBOX/a.b/c d")?;
    imap.append("INBOX/a.b/c d", "(\\Flagged dotted)", DATE, &common())?;
    imap.subscribe("INBOX/a.b/c d")
}

fn quotas(admin: &mut Imap) -> Result<()> {
    admin.set_quota(
        "user/alice",
        "(STORAGE 100000 MESSAGE 5000 X-ANNOTATION-STORAGE 9000 X-NUM-FOLDERS 400)",
    )?;
    admin.set_quota("user/alice/Projects", "(MESSAGE 1000)")?;
    admin.set_quota("user/bob", "(STORAGE 4000000)")
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Stores a script through replication, as a master with file based sieve does.
pub fn put_script(csync: &mut Csync, user: &str, name: &str, content: &str) -> Result<()> {
    let command = format!(
        "APPLY SIEVE %(USERID {user} FILENAME {name}.script LAST_UPDATE 1600000000 CONTENT {{{}+}}\r\n{content})",
        content.len()
    );
    csync.run(command.as_bytes()).map(drop)
}

/// Makes a stored script the active one.
pub fn activate_script(csync: &mut Csync, user: &str, name: &str) -> Result<()> {
    csync
        .run(format!("APPLY ACTIVATE_SIEVE %(USERID {user} FILENAME {name}.bc)").as_bytes())
        .map(drop)
}

fn sieve(csync: &mut Csync) -> Result<()> {
    let long = format!("# {}\r\nkeep;\r\n", "comment ".repeat(400));
    let quoted = "require \"fileinto\";\r\nif header :contains \"subject\" \"\u{e9}\" { fileinto \"INBOX.Archive\"; }\r\n";
    put_script(csync, "alice", "default", quoted)?;
    put_script(csync, "alice", "vacation", "keep;\r\n")?;
    put_script(csync, "alice", "long", &long)?;
    activate_script(csync, "alice", "default")?;
    put_script(csync, "bob", "only", "discard;\r\n")
}
