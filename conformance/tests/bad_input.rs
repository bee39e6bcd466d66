//! Malformed and hostile input against our `sync_server`: always an answer, or a close with a reason;
//! never a panic, a hang, or memory without bound.

use conformance::csync::Csync;
use conformance::error_text as readable;
use conformance::programs::{self, Twin};
use conformance::rng::{self, Rng};
use conformance::vectors;
use std::time::Duration;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Resident memory that no input may push the server beyond, in KiB.
const MEMORY_MAX_KIB: u64 = 64 * 1024;
/// Within this time every answer must come; far below the server's own time limit of 30 minutes.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Mutated sessions in one test run.
const MUTATIONS: u64 = 400;

/// What must come back for one input.
#[derive(Debug, Clone, Copy)]
enum Expect {
    /// One `BAD`.
    Bad,
    /// `BAD`, and perhaps more of them: octets behind a malformed header may be read as commands.
    Bads,
    /// One `NO` that begins with this.
    No(&'static str),
    /// `OK` after any data.
    Ok,
    /// `OK` or `NO`: Cyrus answers one of them in some version and dies in another.
    OkOrNo,
}

/// Inputs of which some Cyrus dies or hangs, and their relatives, with the answers that the spec asks for
/// [CS-EXC-1] [CS-EXC-3] [CS-EXC-4] [CS-EXC-5]. `@` stands for a GUID of 40 digits, `#` for [`FIELDS`].
const TABLE: &[(&[u8], Expect)] = &[
    (b"\r\n", Expect::Bad),
    (b"FOO\r\n", Expect::Bad),
    (b"NOOP extra\r\n", Expect::Bad),
    (b"GET\r\n", Expect::Bad),
    (b"GET \r\n", Expect::Bad),
    (b"GET FOO\r\n", Expect::Bad),
    (b"GET USER\r\n", Expect::Bad),
    (b"GET USER \r\n", Expect::Bad),
    (b"GET MAILBOXES (a b\r\n", Expect::Bad),
    (b"GET USER user1\rX\r\n", Expect::Bad),
    (b"GET USER a b\r\n", Expect::Bad),
    (b"GET USER a \r\n", Expect::Bad),
    (b"GET USER a\"b\r\n", Expect::Bad),
    (b"GET USER a(b\r\n", Expect::Bad),
    (b"GET USER )\r\n", Expect::Bad),
    (b"GET USER \"a\r\n", Expect::Bad),
    (b"GET USER \"a\\\r\n", Expect::Bad),
    (b"GET USER %x\r\n", Expect::Bad),
    (b"GET USER \x80\r\n", Expect::Bad),
    (b"GET USER \xff\r\n", Expect::Bad),
    (b"GET USER {3}\r\nabc\r\n", Expect::Ok),
    (b"GET USER {3+}\r\nabc\r\n", Expect::Ok),
    (b"GET USER {3+}\nabc\r\n", Expect::Bads),
    (b"GET USER {x}\r\n", Expect::Bad),
    (b"GET (USER user1)\r\n", Expect::Bad),
    (b"GET USER user1\n", Expect::Ok),
    (b"get user user1\r\n", Expect::Ok),
    (b"GET \"USER\" user1\r\n", Expect::Ok),
    (b"GET {4+}\r\nUSER user1\r\n", Expect::Ok),
    (b"GET FOO bar\r\n", Expect::No("NO IMAP_PROTOCOL_ERROR ")),
    (b"APPLY FOO bar\r\n", Expect::No("NO IMAP_PROTOCOL_ERROR ")),
    (b"RESTORE FOO bar\r\n", Expect::No("NO IMAP_PROTOCOL_ERROR ")),
    (b"GET USER ()\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"GET USER NIL\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"GET USER \"\"\r\n", Expect::Ok),
    (b"GET USER (user1)\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"GET USER %(A b)\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"GET MAILBOXES (NIL)\r\n", Expect::Ok),
    (b"GET MAILBOXES (())\r\n", Expect::Ok),
    (b"GET MAILBOXES a\r\n", Expect::Ok),
    (b"GET UNIQUEIDS (unknown)\r\n", Expect::Ok),
    (b"GET META ()\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"GET QUOTA ()\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"GET ANNOTATION ()\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"GET FULLMAILBOX ()\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"GET FETCH %()\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"GET FETCH %(MBOXNAME a PARTITION default UNIQUEID b GUID @ UID 1)\r\n", Expect::No("NO IMAP_MAILBOX_NONEXISTENT ")),
    (b"GET FETCH_SIEVE %(USERID a FILENAME ab)\r\n", Expect::No("NO IMAP_MAILBOX_NONEXISTENT ")),
    (b"GET FETCH_SIEVE %(USERID a)\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"APPLY MESSAGE (%{unknownpart @ 3}\r\nabc)\r\n", Expect::No("NO ")),
    (b"APPLY MESSAGE (%{default abcd 3}\r\nabc)\r\n", Expect::Bad),
    (b"APPLY MESSAGE (%{default zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz 3}\r\nabc)\r\n", Expect::Bad),
    (b"APPLY MESSAGE (%{default @ 3}\r\nabc)\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"APPLY MESSAGE NIL\r\n", Expect::OkOrNo),
    (b"APPLY MESSAGE (a NIL ())\r\n", Expect::OkOrNo),
    (b"APPLY RESERVE %(PARTITION NIL MBOXNAME (a) GUID (@))\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"APPLY RESERVE %(PARTITION default MBOXNAME (a) GUID (xyz))\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"APPLY RESERVE %(PARTITION default MBOXNAME a GUID @)\r\n", Expect::Ok),
    (b"APPLY CAPABILITIES (NIL)\r\n", Expect::Ok),
    (b"APPLY CAPABILITIES ()\r\n", Expect::Ok),
    (b"APPLY CAPABILITIES (NONSENSE)\r\n", Expect::Ok),
    (b"APPLY SEEN %(USERID NIL UNIQUEID u LASTREAD 1 LASTUID 1 LASTCHANGE 1 SEENUIDS \"\")\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"APPLY SEEN %(USERID a UNIQUEID u LASTREAD x LASTUID 1 LASTCHANGE 1 SEENUIDS 1)\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"APPLY UNQUOTA ()\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"APPLY QUOTA %(ROOT NIL)\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"APPLY SUB %(MBOXNAME NIL USERID NIL)\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"APPLY UNMAILBOX ()\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"APPLY UNUSER ()\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"APPLY EXPUNGE %(MBOXNAME user.none UNIQUEID x UID (1))\r\n", Expect::No("NO IMAP_MAILBOX_NONEXISTENT ")),
    (b"APPLY RENAME %(OLDMBOXNAME user.none NEWMBOXNAME user.b PARTITION default)\r\n", Expect::No("NO IMAP_MAILBOX_NONEXISTENT ")),
    (b"APPLY MAILBOX %()\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"APPLY MAILBOX NIL\r\n", Expect::No("NO ")),
    (b"APPLY MAILBOX %(UNIQUEID u1 MBOXNAME user.typed MBOXTYPE Q HIGHESTMODSEQ 1 # RECORD ())\r\n", Expect::No("NO ")),
    (b"APPLY MAILBOX %(UNIQUEID u2 MBOXNAME user.unstaged HIGHESTMODSEQ 1 # RECORD (%(UID 1 MODSEQ 1 LAST_UPDATED 1 FLAGS () INTERNALDATE 1 SIZE 3 GUID @)))\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"APPLY MAILBOX %(UNIQUEID u3 MBOXNAME user.broken HIGHESTMODSEQ 1 # RECORD (%(UID 1)))\r\n", Expect::No("NO ")),
    (b"APPLY MAILBOX %(UNIQUEID u4 MBOXNAME user.order HIGHESTMODSEQ x # RECORD ())\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"RESTORE MAILBOX %(MBOXNAME user.restored)\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
    (b"APPLY SIEVE %(USERID none FILENAME a.script LAST_UPDATE 1 CONTENT \"keep;\")\r\n", Expect::OkOrNo),
    (b"APPLY UNSIEVE %(USERID none FILENAME a)\r\n", Expect::OkOrNo),
    (b"APPLY ACTIVATE_SIEVE %(USERID none FILENAME a)\r\n", Expect::OkOrNo),
    (b"APPLY ANNOTATION %(MBOXNAME user.none ENTRY NIL USERID NIL VALUE NIL)\r\n", Expect::No("NO IMAP_PROTOCOL_BAD_PARAMETERS")),
];

/// A GUID that fits no bytes used here.
const GUID: &[u8] = b"00000000000000000000000000000000deadbeef";

/// The fields that a MAILBOX needs beside those in the row.
const FIELDS: &str = "LAST_UID 1 RECENTUID 0 RECENTTIME 0 LAST_APPENDDATE 0 POP3_LAST_LOGIN 0 UIDVALIDITY 1 \
    PARTITION default ACL \"\" OPTIONS \"\"";

fn expand(row: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for &byte in row {
        match byte {
            b'@' => bytes.extend_from_slice(GUID),
            b'#' => bytes.extend_from_slice(FIELDS.as_bytes()),
            _ => bytes.push(byte),
        }
    }
    bytes
}

fn server() -> Outcome<Twin> {
    let mut twin = Twin::tcp("twin", &[])?;
    twin.start()?;
    Ok(twin)
}

/// Still the same process, without a panic in its log, and within its memory.
fn assert_well(twin: &mut Twin, id: u32) -> Outcome {
    let log = twin.log();
    assert!(!log.contains("panicked"), "the server panicked:\n{log}");
    assert!(twin.is_running(), "the server has ended:\n{log}");
    let server = twin.server().ok_or("no server")?;
    assert_eq!(server.id(), id);
    let peak = server.peak_memory_kib().ok_or("no VmHWM")?;
    println!("peak resident memory {peak} KiB");
    assert!(peak <= MEMORY_MAX_KIB, "peak resident memory {peak} KiB");
    Ok(())
}

#[test]
fn each_line_of_the_table_is_answered_and_the_connection_goes_on() -> Outcome {
    if !programs::usable("bad_input_table") {
        return Ok(());
    }
    let mut twin = server()?;
    let id = twin.server().ok_or("no server")?.id();
    let mut wrong = Vec::new();
    for one_by_one in [false, true] {
        // All on one connection, for as long as that holds.
        let mut csync = twin.csync()?;
        csync.limit(ANSWER_LIMIT)?;
        for (row, expect) in TABLE {
            if let Err(problem) = ask(&mut csync, &expand(row), *expect, one_by_one) {
                wrong.push(format!("{} -> {problem}", readable(row, 120)));
                csync = twin.csync()?;
                csync.limit(ANSWER_LIMIT)?;
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} rows\n{}\n{}",
        wrong.len(),
        TABLE.len(),
        wrong.join("\n"),
        twin.log()
    );
    // What was refused has left no trace.
    let answer = twin
        .csync()?
        .run(b"GET MAILBOXES (user.typed user.unstaged user.broken user.order user.restored)")?;
    assert!(answer.data.is_empty(), "{answer:?}");
    assert_well(&mut twin, id)?;
    twin.stop()?;
    Ok(())
}

fn ask(csync: &mut Csync, input: &[u8], expect: Expect, one_by_one: bool) -> Outcome {
    if one_by_one {
        for byte in input {
            csync.send(&[*byte])?;
        }
    } else {
        csync.send(input)?;
    }
    csync.send(b"NOOP\r\n")?;
    let mut answers = Vec::new();
    loop {
        let last = csync.answer("bad input")?.last;
        if last.starts_with("OK Noop") {
            break;
        }
        answers.push(last);
    }
    let starts = |start: &str| answers.iter().all(|answer| answer.starts_with(start));
    let fits = match expect {
        Expect::Bads => starts("BAD "),
        Expect::Bad => starts("BAD ") && answers.len() == 1,
        Expect::No(start) => starts(start) && answers.len() == 1,
        Expect::Ok => starts("OK ") && answers.len() == 1,
        Expect::OkOrNo => (starts("OK ") || starts("NO ")) && answers.len() == 1,
    };
    if fits && !answers.is_empty() {
        Ok(())
    } else {
        Err(format!("{answers:?} instead of {expect:?}").into())
    }
}

/// The peer itself goes away in the middle of a command: nobody is left to be told why.
const INCOMPLETE: &str = "file that never comes";

/// Input beyond every limit: an answer, or a reason and a close.
#[test]
fn what_is_too_big_is_refused_with_a_reason() -> Outcome {
    if !programs::usable("bad_input_limits") {
        return Ok(());
    }
    let mut twin = server()?;
    let id = twin.server().ok_or("no server")?.id();
    let huge = vec![b'a'; 8 << 20];
    let with = |before: &[u8], after: &[u8]| [before, &huge, after].concat();
    let nested = |open: &[u8]| [b"GET MAILBOXES ", open.repeat(200_000).as_slice(), b"\r\n"].concat();
    let inputs: Vec<(&str, Vec<u8>)> = vec![
        ("atom", with(b"GET USER ", b"\r\n")),
        ("quoted", with(b"GET USER \"", b"\"\r\n")),
        ("literal", with(b"GET USER {8388608+}\r\n", b"\r\n")),
        ("command word", with(b"", b"\r\n")),
        ("key", with(b"GET ", b" x\r\n")),
        ("line that never ends", with(b"GET MAILBOXES (a ", b"")),
        (
            "blanks",
            [
                b"GET MAILBOXES (".to_vec(),
                vec![b' '; 8 << 20],
                b")\r\n".to_vec(),
            ]
            .concat(),
        ),
        (
            "literal beyond 64 bits",
            b"GET USER {99999999999999999999999+}\r\nx\r\n".to_vec(),
        ),
        (
            "literal of 2^63",
            b"GET USER {9223372036854775808+}\r\nx\r\n".to_vec(),
        ),
        (
            "file beyond 32 bits",
            expand(b"APPLY MESSAGE (%{default @ 99999999999999999999999}\r\nx)\r\n"),
        ),
        (
            "literal at the limit",
            [
                b"GET USER {4194304+}\r\n".to_vec(),
                vec![b'a'; 4 << 20],
                b"\r\n".to_vec(),
            ]
            .concat(),
        ),
        (
            "very many names",
            [
                b"GET MAILBOXES (".to_vec(),
                b"a ".repeat(1_000_000),
                b"a)\r\n".to_vec(),
            ]
            .concat(),
        ),
        (
            INCOMPLETE,
            expand(b"APPLY MESSAGE (%{default @ 4000000000}\r\nx)\r\n"),
        ),
        (
            "as many empty lists as may be",
            [
                b"GET MAILBOXES (".to_vec(),
                b"() ".repeat(130_000),
                b")\r\n".to_vec(),
            ]
            .concat(),
        ),
        ("lists in lists", nested(b"(")),
        ("maps in maps", nested(b"%(A ")),
        (
            "many empty lists",
            [
                b"GET MAILBOXES (".to_vec(),
                b"() ".repeat(1_000_000),
                b")\r\n".to_vec(),
            ]
            .concat(),
        ),
        (
            "many files",
            [
                b"APPLY MESSAGE (".to_vec(),
                expand(b"%{default @ 1}\r\nx ").repeat(50_000),
                b")\r\n".to_vec(),
            ]
            .concat(),
        ),
        ("NUL", vec![0; 4096]),
        ("NUL in a command", b"GET USER a\0b\r\n".to_vec()),
        (
            "deflate that is none",
            b"COMPRESS DEFLATE\r\nGET USER a\r\nGET USER b\r\n".to_vec(),
        ),
    ];
    for (name, input) in inputs {
        let mut csync = twin.csync()?;
        csync.limit(ANSWER_LIMIT * 2)?;
        let answers = csync.flood(input).map_err(|error| format!("{name}: {error}"))?;
        assert_reason(name, &answers);
        print!("after {name}: ");
        assert_well(&mut twin, id)?;
    }
    for (name, input) in [
        ("before login: a flood", huge.clone()),
        (
            "before login: a literal",
            with(b"GET USER {8388608+}\r\n", b"\r\n"),
        ),
        (
            "before login: commands",
            b"GET USER a\r\nAPPLY UNUSER a\r\nRESTORE MAILBOX %()\r\n".to_vec(),
        ),
    ] {
        let mut csync = twin.connect()?;
        csync.limit(ANSWER_LIMIT * 2)?;
        let answers = csync.flood(input).map_err(|error| format!("{name}: {error}"))?;
        assert_reason(name, &answers);
    }
    assert_well(&mut twin, id)?;
    twin.stop()?;
    Ok(())
}

/// At least one line that says what is wrong, and no line that is no answer at all.
fn assert_reason(name: &str, answers: &[u8]) {
    if name == INCOMPLETE {
        return;
    }
    let text = String::from_utf8_lossy(answers);
    let starts = ["OK ", "NO ", "BAD ", "BYE ", "* "];
    // The last bytes may be deflated once deflate is on.
    let lines: Vec<&str> = text
        .split_terminator("\r\n")
        .take_while(|line| !line.contains('\u{fffd}'))
        .collect();
    assert!(!lines.is_empty(), "{name}: closed without a reason");
    for line in lines {
        let shown = readable(line.as_bytes(), 200);
        assert!(
            starts.iter().any(|start| line.starts_with(start)) || line.starts_with("NO IMAP_"),
            "{name}: {shown}"
        );
    }
}

/// Recorded sessions, bent at random places.
#[test]
fn mutated_sessions_are_answered_or_closed() -> Outcome {
    if !programs::usable("bad_input_mutations") {
        return Ok(());
    }
    let sessions = vectors::client_sides()?;
    assert!(!sessions.is_empty(), "no recorded sessions");
    // A Unix socket needs no login, which costs more time than all the rest.
    let mut twin = Twin::unix("twin", &[])?;
    twin.start()?;
    let id = twin.server().ok_or("no server")?.id();
    let first = rng::seed(1);
    for seed in first..first + MUTATIONS {
        let mut rng = Rng::new(seed);
        let (name, session) = &sessions[rng.below(sessions.len())];
        let input = mutate(session, &mut rng);
        let tell = |what: &str| format!("MAILTWIN_SEED={seed} ({name}): {what}");
        let mut csync = twin.csync()?;
        csync.limit(ANSWER_LIMIT * 2)?;
        csync.flood(input).map_err(|error| tell(&error.to_string()))?;
        assert!(twin.is_running(), "{}", tell(&twin.log()));
    }
    assert_well(&mut twin, id)?;
    // And it still works.
    let mut csync: Csync = twin.csync()?;
    assert!(csync.run(b"GET USER alice")?.is_ok());
    twin.stop()?;
    twin.mailtwin(&["verify"])?.success("mailtwin verify")?;
    Ok(())
}

/// One to six changes at random places.
fn mutate(session: &[u8], rng: &mut Rng) -> Vec<u8> {
    const TOKENS: [&[u8]; 16] = [
        b"\r\n",
        b"\n",
        b"\r",
        b"(",
        b")",
        b"%(",
        b"%{",
        b"{3+}\r\n",
        b"{4294967295+}\r\n",
        b"\"",
        b"\\",
        b" NIL ",
        b"\0",
        b"\xff",
        b"18446744073709551616",
        b"%{default a9993e364706816aba3e25717850c26c9cd0d89d 99}\r\n",
    ];
    let mut bytes = session.to_vec();
    for _ in 0..1 + rng.below(6) {
        let at = rng.below(bytes.len());
        let end = (at + 1 + rng.below(40)).min(bytes.len());
        match rng.below(7) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << rng.below(8),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let copy = bytes[at..end].to_vec();
                let to = rng.below(bytes.len());
                bytes.splice(to..to, copy);
            }
            3 => bytes.truncate(at),
            4 => {
                let digits: Vec<usize> = (0..bytes.len())
                    .filter(|&index| bytes[index].is_ascii_digit())
                    .collect();
                if !digits.is_empty() {
                    bytes[digits[rng.below(digits.len())]] = b'0' + rng.below(10) as u8;
                }
            }
            _ => drop(bytes.splice(at..at, TOKENS[rng.below(TOKENS.len())].iter().copied())),
        }
    }
    bytes
}
