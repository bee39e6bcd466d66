//! The log of changes: single lines, and the files of a channel.

use std::path::Path;

use engine::rolling::{Queue, QueueConfig};
use protocol::synclog::{Action, Lines};
use synclog::Channel;

/// A log of any bytes is read to its end, and what was understood is understood the same when written again.
pub fn line(input: &[u8]) {
    let mut lines = Lines::new(input);
    let mut log = Vec::new();
    let mut understood = Vec::new();
    for action in lines.by_ref().filter_map(Result::ok) {
        action.print(&mut log).expect("what was read can be written");
        understood.push(action);
    }
    assert!(!lines.rest().contains(&b'\n'), "read to the last line end");
    let again: Vec<_> = Lines::new(&log)
        .map(|line| line.expect("what was written is read"))
        .collect();
    assert_eq!(again, understood, "{}", log.escape_ascii());
}

fn read(log: &[u8]) -> Vec<Action> {
    Lines::new(log).filter_map(Result::ok).collect()
}

/// What a channel's files hold comes out of them, in order, also for a reader that comes after one that died. The first byte
/// says how the first reader ends; zeros part the files: what an earlier reader left, a log half taken, the log, the list of
/// the quarantine.
pub fn files(input: &[u8]) {
    let [how, text @ ..] = input else {
        return;
    };
    let mut parts = text.split(|byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (run, next, log, list) = (part(), part(), part(), part());
    let sync_dir = super::conf::folder().join("sync");
    // Whatever the last input left; that there is none is fine.
    let _ = std::fs::remove_dir_all(&sync_dir);
    std::fs::create_dir_all(&sync_dir).expect("a folder");
    for (name, bytes) in [
        ("log-run", run),
        ("log-next", next),
        ("log", log),
        ("mailtwin-quarantine", list),
    ] {
        if !bytes.is_empty() {
            std::fs::write(sync_dir.join(name), bytes).expect("the file is written");
        }
    }
    let expected: Vec<Action> = [run, next, log].into_iter().flat_map(read).collect();
    let first = taken(&sync_dir, *how);
    assert_eq!(first.0, expected, "all lines, in order");
    // A reader that died leaves everything to the next one; one that ended well leaves what was not done.
    let second = taken(&sync_dir, 0);
    let left = match how % 3 {
        0 => expected,
        _ => first.1,
    };
    assert_eq!(second.0, left, "nothing is lost between two readers");
    assert_eq!(first.2, second.2, "the quarantine stays");
}

/// Opens the channel, takes all, and ends: 0 dies, 1 keeps what is pending, 2 settles what is done. Answers the lines, what
/// is pending in the end, and what is in quarantine.
fn taken(sync_dir: &Path, how: u8) -> (Vec<Action>, Vec<Action>, Vec<Action>) {
    let mut channel = Channel::open(sync_dir, None).expect("the channel opens");
    let quarantined = channel.quarantined();
    let mut queue = Queue::new(QueueConfig::default());
    queue.restore(quarantined);
    let lines = channel.take().expect("the log is read");
    let actions: Vec<Action> = lines.entries.iter().map(|entry| entry.action.clone()).collect();
    queue.add(0, lines.entries);
    assert!(
        channel.take().expect("the log is read").entries.is_empty(),
        "taken once"
    );
    let mut pending: Vec<Action> = queue.pending().cloned().collect();
    match how % 3 {
        0 => pending.clone_from(&actions),
        1 => channel.keep(&queue).expect("kept"),
        _ => {
            channel.settle(&queue).expect("settled");
            pending.clone_from(&actions);
            if queue.pending_len() == 0 {
                pending.clear();
            }
        }
    }
    let mut held: Vec<Action> = queue.quarantined().map(|entry| entry.action.clone()).collect();
    held.sort();
    (actions, pending, held)
}
