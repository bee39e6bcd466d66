mod cases;
mod model;

use protocol::Text;
use protocol::synclog::{Action, parse_line};

use super::{Entry, Queue, QueueConfig};
use crate::master::{FailureKind, Task, TaskFailure, Work};

/// An action as a line of the log.
fn action(line: &str) -> Action {
    parse_line(line.as_bytes()).unwrap().unwrap()
}

fn entry(line: &str, logged_at_ms: u64) -> Entry {
    Entry {
        action: action(line),
        logged_at_ms,
    }
}

fn queue_of(lines: &[&str]) -> Queue {
    let mut queue = Queue::new(QueueConfig::default());
    queue.add(0, lines.iter().map(|line| entry(line, 0)));
    queue
}

fn failed(kind: FailureKind) -> Result<(), TaskFailure> {
    Err(TaskFailure {
        kind,
        reason: "no".to_owned(),
    })
}

fn mailboxes(names: &[&str]) -> Work {
    Work::Mailboxes(names.iter().copied().map(Text::from).collect())
}

/// All tasks that may begin now.
fn tasks(queue: &mut Queue, now: u64) -> Vec<Task> {
    std::iter::from_fn(|| queue.next(now)).collect()
}

/// Their work; each is done at once, which lets the next of its scope begin.
fn work_in_turn(queue: &mut Queue, now: u64) -> Vec<Work> {
    std::iter::from_fn(|| {
        let task = queue.next(now)?;
        queue.done(now, task.id, Ok(()));
        Some(task.work)
    })
    .collect()
}
