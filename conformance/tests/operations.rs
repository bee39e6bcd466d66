//! What an operator does between two of ours: compares, asks what a run would do before doing it, renames a user.

use conformance::csync::dlist::Value;
use conformance::cyrus::{self, Cyrus, Setup};
use conformance::process::Output;
use conformance::programs::{self, Twin};
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::Stdio;

type Outcome = Result<()>;
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A master and a replica, the replica's server running.
struct Pair {
    here: Twin,
    there: Twin,
}

impl Pair {
    fn new() -> Result<Pair> {
        let here = Twin::unix("here", &["sync_log: yes"])?;
        let mut there = Twin::unix("there", &[])?;
        there.start()?;
        Ok(Pair { here, there })
    }

    fn sync(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.here.sync_client(&self.there.address(), arguments)?)
    }

    /// Exit code and the JSON of `mailtwin compare` without changing either side.
    fn compare(&self, arguments: &[&str]) -> Result<(Option<i32>, Json)> {
        let address = self.there.address();
        let before = (fingerprint(&self.here)?, fingerprint(&self.there)?);
        let said = self
            .here
            .mailtwin(&[&["compare", "--json", &address], arguments].concat())?;
        assert_eq!(
            before,
            (fingerprint(&self.here)?, fingerprint(&self.there)?),
            "a comparison changed something"
        );
        let json = serde_json::from_slice(&said.stdout)
            .map_err(|error| format!("{error}: {}", text(&said.stderr)))?;
        Ok((said.status.code(), json))
    }
}

/// All that `mailtwin list` tells of all users, ids and CRCs included.
fn fingerprint(twin: &Twin) -> Result<String> {
    let mut text = String::new();
    let users: Json = serde_json::from_str(&run(twin, &["list", "--json"])?)?;
    text += &users.to_string();
    for row in users.as_array().into_iter().flatten() {
        let user = row["user"].as_str().unwrap_or_default();
        if !user.starts_with('(') {
            text += &run(twin, &["list", user, "--json"])?;
        }
    }
    Ok(text)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(twin: &Twin, arguments: &[&str]) -> Result<String> {
    let said = twin.mailtwin(arguments)?.success(&arguments.join(" "))?;
    Ok(text(&said.stdout))
}

/// `mailtwin append` of a message whose text is `text`.
fn append(twin: &Twin, mailbox: &str, text: &str) -> Outcome {
    let mut command = twin.command("mailtwin")?;
    command
        .args(["append", mailbox])
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    let mut child = command.spawn()?;
    let mut stdin = child.stdin.take().ok_or("stdin")?;
    write!(stdin, "Subject: {text}\n\n{text}\n")?;
    drop(stdin);
    assert!(child.wait()?.success(), "append to {mailbox}");
    Ok(())
}

/// The differences of a report as `KIND ABOUT UID HOW`.
fn differences(report: &Json) -> Vec<String> {
    let mut all: Vec<String> = report["differences"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| {
            let word = |key: &str| one[key].as_str().unwrap_or("-").to_owned();
            let uid = one["uid"].as_u64().map_or("-".to_owned(), |uid| uid.to_string());
            format!("{} {} {uid} {}", word("kind"), word("about"), word("how"))
        })
        .collect();
    all.sort();
    all
}

/// [CS-SPLIT-60] [CS-SPLIT-62]
#[test]
fn a_comparison_finds_what_differs_and_changes_nothing() -> Outcome {
    if !programs::usable("operations: compare") {
        return Ok(());
    }
    let pair = Pair::new()?;
    let here = &pair.here;
    run(
        here,
        &[
            "create",
            "user/jane",
            "user/omar",
            "jane/Sent",
            "shared.news",
            "shared.old",
        ],
    )?;
    for number in 0..3 {
        append(here, "jane/INBOX", &format!("message {number}"))?;
        append(here, "shared.news", &format!("news {number}"))?;
    }
    run(here, &["annotate", "", "/comment", "ours"])?;
    run(here, &["quota", "shared.news", "--storage", "1000"])?;
    run(here, &["subscribe", "jane", "Sent"])?;
    pair.sync(&["-A"])?.success("the common past")?;
    for arguments in [
        &[][..],
        &["-A"],
        &["jane", "omar"],
        &["--shared"],
        &["jane", "--shared"],
    ] {
        let (code, report) = pair.compare(arguments)?;
        assert_eq!(
            (code, &report["equal"]),
            (Some(0), &Json::Bool(true)),
            "{arguments:?}: {report}"
        );
    }
    let said = here
        .mailtwin(&["compare", &pair.there.address()])?
        .success("compare")?;
    assert!(
        text(&said.stdout).contains("equal: 2 users and what is shared; 5 mailboxes with 6 messages"),
        "{}",
        text(&said.stdout)
    );

    append(here, "shared.news", "only here")?;
    run(here, &["flag", "shared.news", "1", "+\\Flagged"])?;
    run(here, &["rename", "shared.old", "shared.older"])?;
    run(here, &["annotate", "", "/comment", "changed"])?;
    run(here, &["quota", "shared.news", "--storage", "2000"])?;
    run(here, &["expunge", "jane/INBOX", "2"])?;
    run(&pair.there, &["subscribe", "jane", "INBOX"])?;
    let (code, report) = pair.compare(&[])?;
    assert_eq!((code, &report["equal"]), (Some(1), &Json::Bool(false)));
    let found = differences(&report);
    for wanted in [
        "annotation /comment - fields",
        "mailbox shared.news - fields",
        "mailbox shared.news 1 fields",
        "mailbox shared.news 4 only_here",
        "mailbox shared.older - fields",
        "mailbox user.jane 2 fields",
        "quota shared.news - fields",
        "subscription user.jane - only_there",
    ] {
        assert!(found.iter().any(|line| line == wanted), "{wanted}: {found:#?}");
    }
    let (code, report) = pair.compare(&["omar"])?;
    assert_eq!(code, Some(0), "{report}");
    let (code, report) = pair.compare(&["--shared"])?;
    assert_eq!(code, Some(1));
    assert!(
        !differences(&report).iter().any(|line| line.contains("user.")),
        "{report}"
    );
    let nobody = here.mailtwin(&["compare", &pair.there.address(), "nobody"])?;
    assert_eq!(nobody.status.code(), Some(66), "{}", text(&nobody.stderr));

    pair.sync(&["-A"])?.success("the differences")?;
    let (code, report) = pair.compare(&[])?;
    assert_eq!(code, Some(0), "{report}");
    Ok(())
}

/// One record as a replica tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Row {
    guid: String,
    /// Everything but MODSEQ and LAST_UPDATED.
    flags: Vec<String>,
    modseq: u64,
}

impl Row {
    fn is_live(&self) -> bool {
        !self
            .flags
            .iter()
            .any(|flag| flag.eq_ignore_ascii_case("\\Expunged"))
    }
}

/// All mailboxes of a store by unique id: name, and records by UID.
type Holdings = BTreeMap<String, (String, BTreeMap<u64, Row>)>;

fn holdings(twin: &Twin, users: &[&str]) -> Result<Holdings> {
    let mut all = Holdings::new();
    let mut csync = twin.csync()?;
    for user in users {
        let answer = csync.run(format!("GET USER {user}").as_bytes())?;
        let names: Vec<String> = answer
            .all("MAILBOX")
            .filter_map(|line| line.text("MBOXNAME"))
            .collect();
        for name in names {
            let answer = csync.run(format!("GET FULLMAILBOX \"{name}\"").as_bytes())?;
            let Some(full) = answer.all("MAILBOX").next() else {
                continue;
            };
            let records = full.get("RECORD").map(Value::members).unwrap_or_default();
            let rows = records.iter().filter_map(|record| {
                let flags = record.get("FLAGS").map(Value::members).unwrap_or_default();
                let mut flags: Vec<String> = flags
                    .iter()
                    .map(|flag| String::from_utf8_lossy(flag.bytes()).into_owned())
                    .collect();
                flags.sort();
                let row = Row {
                    guid: record.text("GUID")?,
                    flags,
                    modseq: record.number("MODSEQ")?,
                };
                Some((record.number("UID")?, row))
            });
            all.insert(full.text("UNIQUEID").unwrap_or_default(), (name, rows.collect()));
        }
    }
    Ok(all)
}

/// What a run did or would do, in numbers by mailbox.
#[derive(Default, PartialEq, Eq, Debug)]
struct Effect {
    created: BTreeSet<String>,
    deleted: BTreeSet<String>,
    renamed: BTreeSet<(String, String)>,
    /// Records that change or are added here.
    here: BTreeMap<String, u64>,
    /// Messages that come here.
    fetched: BTreeMap<String, u64>,
    /// Decisions, in order.
    decisions: Vec<String>,
    /// Everything that is not about mailboxes.
    others: BTreeSet<String>,
}

fn json_lines(output: &Output) -> Result<Vec<Json>> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn word(line: &Json, key: &str) -> String {
    line[key].as_str().unwrap_or_default().to_owned()
}

fn decisions(lines: &[Json]) -> Vec<String> {
    let mut all: Vec<String> = lines
        .iter()
        .filter(|line| line["type"] == "decision")
        .map(|line| {
            format!(
                "{} {} {} {} {}",
                line["mailbox"], line["uid"], line["rule"], line["what"], line["new_uid"]
            )
        })
        .collect();
    all.sort();
    all
}

/// What a dry run announces.
fn announced(lines: &[Json]) -> Effect {
    let mut effect = Effect {
        decisions: decisions(lines),
        ..Effect::default()
    };
    for line in lines.iter().filter(|line| line["type"] == "plan") {
        let about = word(line, "about");
        let number = |key: &str| line[key].as_u64().unwrap_or(0);
        match line["what"].as_str().unwrap_or_default() {
            "create_mailbox" => {
                effect.created.insert(about);
            }
            "delete_mailbox" => {
                effect.deleted.insert(about);
            }
            "rename_mailbox" => {
                effect.renamed.insert((word(line, "from"), about));
            }
            "merge_mailbox" => {
                effect.here.insert(about.clone(), number("records_changed_here"));
                effect.fetched.insert(about, number("messages_fetched"));
            }
            "send_mailbox" => {}
            what => {
                let other = format!("{what} {} {about}", word(line, "user"));
                effect.others.insert(other);
            }
        }
    }
    effect.here.retain(|_, count| *count > 0);
    effect.fetched.retain(|_, count| *count > 0);
    effect
}

/// What happened, from both sides before and after.
fn happened(lines: &[Json], here: (&Holdings, &Holdings), there: (&Holdings, &Holdings)) -> Effect {
    let mut effect = Effect {
        decisions: decisions(lines),
        ..Effect::default()
    };
    for (id, (name, _)) in there.1 {
        match there.0.get(id) {
            None => {
                effect.created.insert(name.clone());
            }
            Some((before, _)) if before != name => {
                effect.renamed.insert((before.clone(), name.clone()));
            }
            Some(_) => {}
        }
    }
    for (id, (name, _)) in there.0 {
        if !there.1.contains_key(id) {
            effect.deleted.insert(name.clone());
        }
    }
    for (id, (name, after)) in here.1 {
        let nothing = BTreeMap::new();
        let before = here.0.get(id).map_or(&nothing, |(_, rows)| rows);
        let changed = after
            .iter()
            .filter(|(uid, row)| before.get(uid) != Some(row))
            .count();
        let known: BTreeSet<&str> = before.values().map(|row| row.guid.as_str()).collect();
        let came = after
            .values()
            .filter(|row| row.is_live() && !known.contains(row.guid.as_str()));
        let came: BTreeSet<&str> = came.map(|row| row.guid.as_str()).collect();
        effect.here.insert(name.clone(), changed as u64);
        effect.fetched.insert(name.clone(), came.len() as u64);
    }
    effect.here.retain(|_, count| *count > 0);
    effect.fetched.retain(|_, count| *count > 0);
    effect
}

/// Changes to both sides of a user who was the same on both; names the case.
fn split(pair: &Pair, user: &str) -> Outcome {
    let (here, there) = (&pair.here, &pair.there);
    let inbox = &format!("{user}/INBOX");
    let folder = |name: &str| format!("{user}/{name}");
    let (a, b) = (&folder("a"), &folder("b"));
    match user {
        "flags" => {
            run(here, &["flag", inbox, "1:2", "+\\Flagged"])?;
            run(there, &["flag", inbox, "2:3", "+\\Answered", "+theirs"])?;
        }
        "expunge" => {
            run(here, &["expunge", inbox, "1"])?;
            run(there, &["expunge", inbox, "2"])?;
            run(there, &["flag", inbox, "1", "+\\Seen"])?;
        }
        "append" => {
            append(here, inbox, "ours")?;
            append(there, inbox, "theirs one")?;
            append(there, inbox, "theirs two")?;
        }
        "theirs" => {
            append(there, inbox, "only theirs")?;
            append(there, a, "only theirs as well")?;
        }
        "same" => {
            append(here, inbox, "the same on both")?;
            append(there, inbox, "the same on both")?;
        }
        "created" => {
            run(here, &["create", &folder("new"), &folder("new/below")])?;
            append(here, &folder("new"), "in a new mailbox")?;
            run(there, &["create", &folder("theirs")])?;
            append(there, &folder("theirs"), "in a mailbox of theirs")?;
        }
        "clash" => {
            run(here, &["create", &folder("new")])?;
            append(here, &folder("new"), "ours in new")?;
            run(there, &["create", &folder("new")])?;
            append(there, &folder("new"), "theirs in new")?;
        }
        "deleted" => {
            run(here, &["delete", "--now", a])?;
            run(there, &["delete", "--now", b])?;
        }
        "revived" => {
            run(here, &["delete", "--now", a])?;
            append(there, a, "came after")?;
        }
        "renamed" => {
            run(here, &["rename", a, &folder("c")])?;
            run(there, &["rename", b, &folder("d")])?;
            append(there, &folder("d"), "into the renamed one")?;
        }
        "swapped" => {
            run(here, &["rename", a, &folder("x")])?;
            run(here, &["rename", b, a])?;
            run(here, &["rename", &folder("x"), b])?;
        }
        "rest" => {
            run(here, &["subscribe", user, "a"])?;
            run(there, &["subscribe", user, "b"])?;
            run(here, &["quota", &format!("user/{user}"), "--storage", "1000"])?;
            run(here, &["annotate", a, "/comment", "ours"])?;
        }
        _ => {}
    }
    Ok(())
}

const CASES: [&str; 13] = [
    "flags", "expunge", "append", "theirs", "same", "created", "clash", "deleted", "revived", "renamed",
    "swapped", "rest", "quiet",
];

/// What a dry run announces is what the run then does; and a second dry run announces nothing. [CS-SPLIT-50]
#[test]
fn a_dry_run_tells_what_a_run_does() -> Outcome {
    if !programs::usable("operations: dry run") {
        return Ok(());
    }
    let mut pair = Pair::new()?;
    pair.here.start()?;
    for user in CASES {
        run(
            &pair.here,
            &[
                "create",
                &format!("user/{user}"),
                &format!("{user}/a"),
                &format!("{user}/b"),
            ],
        )?;
        for number in 0..3 {
            append(&pair.here, &format!("{user}/INBOX"), &format!("message {number}"))?;
        }
        append(&pair.here, &format!("{user}/a"), "in a")?;
        append(&pair.here, &format!("{user}/b"), "in b")?;
    }
    pair.sync(&["-A"])?.success("the common past")?;
    for user in CASES {
        split(&pair, user)?;
    }
    let mut wrong = Vec::new();
    for user in CASES {
        let sides = |pair: &Pair| {
            Ok::<_, Box<dyn std::error::Error>>((
                holdings(&pair.here, &[user])?,
                holdings(&pair.there, &[user])?,
            ))
        };
        let before = sides(&pair)?;
        let dry = pair.sync(&["-u", user, "--dry-run", "--json"])?.success(user)?;
        assert_eq!(sides(&pair)?, before, "{user}: a dry run changed something");
        let lines = json_lines(&dry)?;
        let plan = announced(&lines);
        let real = pair.sync(&["-u", user, "--json"])?.success(user)?;
        let after = sides(&pair)?;
        let mut effect = happened(&json_lines(&real)?, (&before.0, &after.0), (&before.1, &after.1));
        effect.others.clone_from(&plan.others);
        if plan != effect {
            wrong.push(format!("{user}:\nannounced {plan:#?}\nhappened {effect:#?}"));
        }
        let bound: u64 = lines
            .iter()
            .map(|line| line["messages"].as_u64().unwrap_or(0))
            .sum();
        let sent = json_lines(&real)?
            .last()
            .and_then(|line| line["messages_sent"].as_u64());
        assert!(
            plan.here.is_empty() && sent <= Some(bound) || !plan.here.is_empty(),
            "{user}: {sent:?} of {bound}"
        );
        let again = json_lines(&pair.sync(&["-u", user, "--dry-run", "--json"])?.success(user)?)?;
        let rest = announced(&again);
        // What is left there on purpose is told each time.
        let left = rest.decisions.iter().all(|one| one.contains("leave_mailbox"));
        let nothing = Effect {
            decisions: rest.decisions.clone(),
            ..Effect::default()
        };
        if !left || rest != nothing || again.iter().any(|line| line["type"] == "plan") {
            wrong.push(format!("{user}: still to do {again:#?}"));
        }
        // The same message at once on both sides may be no difference at all.
        if user != "same" && (user == "quiet") != (plan == Effect::default() && bound == 0) {
            wrong.push(format!("{user}: announced {plan:?}, {bound} messages"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let all: Vec<&str> = CASES
        .into_iter()
        // Mailboxes that only the replica had stay there.
        .filter(|user| !["created", "clash"].contains(user))
        .collect();
    let (code, report) = pair.compare(&all)?;
    assert_eq!(code, Some(0), "{report:#}");
    Ok(())
}

/// [CS-OPS-9]
#[test]
fn a_renamed_user_is_renamed_on_the_replica() -> Outcome {
    if !programs::usable("operations: rename") {
        return Ok(());
    }
    let pair = Pair::new()?;
    let here = &pair.here;
    for user in ["jane", "omar"] {
        run(
            here,
            &["create", &format!("user/{user}"), &format!("{user}/Sent")],
        )?;
        append(here, &format!("{user}/INBOX"), "one")?;
        append(here, &format!("{user}/Sent"), "two")?;
        run(here, &["subscribe", user, "Sent"])?;
        run(here, &["quota", &format!("user/{user}"), "--storage", "1000"])?;
    }
    pair.sync(&["-A"])?.success("the common past")?;
    let _ = pair.sync(&["-R", "-1"])?.success("what was logged")?;

    // By the log.
    run(here, &["rename", "--user", "jane", "june"])?;
    pair.sync(&["-R", "-1"])?.success("rolling")?;
    let (code, report) = pair.compare(&[])?;
    assert_eq!(code, Some(0), "{report:#}");
    let users: Json = serde_json::from_str(&run(&pair.there, &["list", "--json"])?)?;
    assert_eq!(
        (&users[0]["user"], &users[1]["user"]),
        (&"june".into(), &"omar".into()),
        "{users}"
    );
    assert!(users[2].is_null(), "{users}");

    // By a run over everybody.
    run(here, &["rename", "--user", "omar", "abel"])?;
    pair.sync(&["-A"])?.success("all users")?;
    pair.sync(&["-u", "omar"])?.success("the one who is gone")?;
    let (code, report) = pair.compare(&["abel", "june"])?;
    assert_eq!(code, Some(0), "{report:#}");
    let users: Json = serde_json::from_str(&run(&pair.there, &["list", "--json"])?)?;
    assert_eq!(
        (&users[0]["user"], &users[1]["user"]),
        (&"abel".into(), &"june".into()),
        "{users}"
    );
    assert!(users[2].is_null(), "{users}");
    Ok(())
}

/// The same with a Cyrus as the replica, which takes no INBOX for another user's. [CS-EXC-36]
#[test]
fn a_renamed_user_is_renamed_on_a_cyrus() -> Outcome {
    let name = "operations: rename with Cyrus";
    if !cyrus::usable(name) || !programs::usable(name) {
        return Ok(());
    }
    let there = Cyrus::start(Setup::new("cyrus", &["jane", "june"]))?;
    let here = Twin::unix("here", &["sync_log: yes"])?;
    let address = there.csync_address();
    run(&here, &["create", "user/jane", "jane/Sent", "jane/Sent/below"])?;
    append(&here, "jane/INBOX", "one")?;
    append(&here, "jane/Sent/below", "two")?;
    run(&here, &["subscribe", "jane", "Sent"])?;
    here.sync_client(&address, &["-A"])?.success("the common past")?;
    here.sync_client(&address, &["-R", "-1"])?
        .success("what was logged")?;
    run(&here, &["rename", "--user", "jane", "june"])?;
    here.sync_client(&address, &["-R", "-1"])?.success("rolling")?;
    let said = here
        .mailtwin(&["compare", &address, "june"])?
        .success("compare")?;
    assert!(
        text(&said.stdout).contains("3 mailboxes with 2 messages"),
        "{}",
        text(&said.stdout)
    );
    let mut imap = there.imap("june")?;
    // The rights are june's as well.
    imap.select("INBOX/Sent/below")?;
    let gone = here.mailtwin(&["compare", &address, "jane"])?;
    assert_eq!(
        gone.status.code(),
        Some(0),
        "of jane nothing is left on either side: {}",
        text(&gone.stderr)
    );
    Ok(())
}
