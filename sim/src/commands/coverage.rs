//! `coverage`: what seeds reach.

use std::collections::BTreeMap;

use anyhow::Result;
use sim::plan::Profile;
use sim::run::many;

/// Everything that a run can reach, so that what was never reached is shown as well.
const ALL: [(&str, &[&str]); 6] = [
    (
        "runs and changes of clients",
        &[
            "run",
            "append",
            "flag",
            "expunge",
            "annotate",
            "create",
            "rename",
            "delete",
            "subscribe",
            "seen",
            "script",
            "script removed",
            "script activated",
            "quota",
            "quota removed",
            "acl",
            "mailbox annotation",
            "special use",
            "copy",
            "move",
            "rename of an INBOX",
            "another UIDVALIDITY",
            "another partition",
            "server annotation",
            "user removed",
        ],
    ),
    (
        "peers",
        &[
            "peer: mailtwin",
            "peer: Cyrus 3.2",
            "peer: Cyrus 3.6",
            "peer: Cyrus 3.10",
            "peer: Cyrus 3.12",
        ],
    ),
    (
        "faults",
        &[
            "crash",
            "crash, silent",
            "crash before a ticket",
            "crash before a commit",
            "crash between commit and log",
            "crash before an answer",
            "cut",
            "cut, silent",
            "break at a byte",
            "log cut",
            "log lost",
            "log twice",
            "crash in a line of the log",
            "reader dies behind a renamed log",
            "reader dies behind an added log",
            "disk full",
            "I/O errors",
            "a bit read wrong",
            "clock back",
            "clock forward",
            "backup",
            "store of a backup",
        ],
    ),
    (
        "answers of stores and tasks",
        &[
            "store: locked",
            "store: full",
            "store: I/O error",
            "store: not found",
            "store: not staged",
            "store: conflict",
            "store: other error",
            "task failed: Locked",
            "task failed: Refused",
            "task failed: Local",
        ],
    ),
    (
        "rules where both sides had changed",
        &[
            "CS-SPLIT-11",
            "CS-SPLIT-13",
            "CS-SPLIT-14",
            "CS-SPLIT-15",
            "CS-SPLIT-16",
            "CS-SPLIT-21",
            "CS-SPLIT-22",
            "CS-SPLIT-23",
            "CS-SPLIT-24",
            "CS-SPLIT-28",
            "CS-SPLIT-29",
            "CS-SPLIT-31",
        ],
    ),
    (
        "decisions of masters",
        &[
            "CS-MASTER-23",
            "CS-MASTER-35",
            "CS-MASTER-37",
            "CS-MASTER-38",
            "CS-MASTER-39",
            "CS-MASTER-47",
        ],
    ),
];

pub fn run(seeds: u64, json: bool) -> Result<u8> {
    let mut total: BTreeMap<String, u64> = BTreeMap::new();
    let mut worst = 0;
    for profile in Profile::ALL {
        let all = many(0, profile, super::threads(None), |nth| nth < seeds);
        for (what, count) in all.total.reached {
            *total.entry(what).or_default() += count;
        }
        let codes = all.found.iter().map(|(_, finding)| finding.verdict.exit_code());
        worst = worst.max(codes.max().unwrap_or(0));
    }
    if json {
        println!("{}", serde_json::to_string(&total)?);
        return Ok(worst);
    }
    let mut known: Vec<&str> = Vec::new();
    for (title, names) in ALL {
        println!("{title}");
        for name in names {
            let count = total.get(*name).copied().unwrap_or(0);
            let mark = if count == 0 { "  never" } else { "" };
            println!("  {name:<32} {count:>9}{mark}");
        }
        known.extend(names);
    }
    let others: Vec<_> = total
        .iter()
        .filter(|(name, _)| !known.contains(&name.as_str()))
        .collect();
    if !others.is_empty() {
        println!("others");
        for (name, count) in others {
            println!("  {name:<32} {count:>9}");
        }
    }
    Ok(worst)
}
