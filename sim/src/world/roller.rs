//! Rolling replication: a log, the queue of what is to be done, a connection that does it.
//!
//! A small stand-in for the daemon's shell and the log's files around the real queue and machines.

use std::sync::Arc;

use engine::master::{Job, TaskResult, Work};
use engine::name::owner;
use engine::rolling::{Entry, QueueState};
use protocol::Text;
use protocol::synclog::Lines;

use super::connection::{MASTER, Owning};
use super::host::{Began, PAUSE_MS_FIRST, PAUSE_MS_MAX};
use super::machine::Machine;
use super::{Due, World};
use crate::judge::{Owner, ScopeView};
use crate::plan::Damage;
use crate::trace::Kind;

/// Until a server is back whose reader died.
const READER_DOWN_MS: u64 = 20;
/// How soon a daemon sees what is new in its log.
const WAKE_MS: u64 = 2;

impl World {
    /// Adds lines to all logs of a host.
    pub(super) fn log(&mut self, host: usize, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        for channel in 0..self.hosts[host].channels.len() {
            append(&mut self.hosts[host].channels[channel].log, lines);
            if self.hosts[host].up {
                self.wake(host, channel, WAKE_MS);
            }
        }
    }

    fn wake(&mut self, host: usize, channel: usize, in_ms: u64) {
        let at_ms = self.now_ms + in_ms;
        let follower = &mut self.hosts[host].channels[channel];
        if follower.tick_at_ms.is_none_or(|due| due > at_ms) {
            follower.tick_at_ms = Some(at_ms);
            self.at(at_ms, Due::Tick(host, channel));
        }
    }

    /// A new process takes up what the one before left.
    pub(super) fn resume(&mut self, host: usize, channel: usize) {
        let now_ms = self.now_ms;
        let follower = &mut self.hosts[host].channels[channel];
        let ward = follower.ward.clone();
        follower.queue.restore(ward);
        let next = std::mem::take(&mut follower.next);
        append(&mut follower.run, &next);
        let left = entries(&follower.run, now_ms);
        follower.queue.add(now_ms, left);
        self.wake(host, channel, WAKE_MS);
    }

    /// Something happens to the files of a link's log.
    pub(super) fn damage(&mut self, link: usize, damage: Damage) {
        let host = self.links.get(link).map_or(0, |way| way.from);
        let channels = &self.hosts[host].channels;
        let Some(channel) = channels.iter().position(|channel| channel.link == link) else {
            return;
        };
        self.tell(host, None, Kind::Fault, || format!("its log: {damage:?}"));
        let is_up = self.hosts[host].up;
        let follower = &mut self.hosts[host].channels[channel];
        match damage {
            Damage::Cut => {
                follower.log.truncate(follower.log.len() / 2);
                self.is_log_lost = true;
            }
            Damage::Lost => {
                follower.log.clear();
                follower.next.clear();
                follower.run.clear();
                self.is_log_lost = true;
            }
            Damage::Twice => {
                let again = [follower.log.as_slice(), follower.run.as_slice()].concat();
                append(&mut follower.log, &again);
                if is_up {
                    self.wake(host, channel, WAKE_MS);
                }
            }
            Damage::Renamed | Damage::Added if is_up => {
                let log = std::mem::take(&mut follower.log);
                append(&mut follower.next, &log);
                if damage == Damage::Added {
                    append(&mut follower.run, &log);
                }
                self.crash(host, READER_DOWN_MS, false);
            }
            Damage::Renamed | Damage::Added => {}
        }
    }

    /// Looks at a channel: takes what is new, gives what can be done, writes down what is left.
    pub(super) fn tick(&mut self, host: usize, channel: usize) {
        let now_ms = self.now_ms;
        let follower = &mut self.hosts[host].channels[channel];
        if follower.tick_at_ms.is_none_or(|due| due > now_ms) {
            return;
        }
        follower.tick_at_ms = None;
        if !self.hosts[host].up {
            return;
        }
        self.take(host, channel);
        self.serve(host, channel);
        self.settle_files(host, channel);
        self.sleep(host, channel);
    }

    fn take(&mut self, host: usize, channel: usize) {
        let now_ms = self.now_ms;
        let follower = &mut self.hosts[host].channels[channel];
        if follower.log.is_empty() {
            return;
        }
        // Renamed behind what is left in the run file: both are on the disk at any moment.
        let log = std::mem::take(&mut follower.log);
        append(&mut follower.run, &log);
        follower.queue.add(now_ms, entries(&log, now_ms));
    }

    fn serve(&mut self, host: usize, channel: usize) {
        let now_ms = self.now_ms;
        if self.hosts[host].channels[channel].connection.is_none() {
            let follower = &self.hosts[host].channels[channel];
            let state = follower.queue.state();
            let due = follower.queue.wake_at().is_some_and(|at| at <= now_ms);
            if (!has_work(&state) && !due) || follower.open_at_ms > now_ms {
                return;
            }
            let link = follower.link;
            let connection = self.connect(link, Job::Tasks, Owning::Channel(host, channel));
            if connection.is_none() {
                self.pause(host, channel);
                return;
            }
            // It may have ended within the call.
            let lives = connection.is_some_and(|id| self.connections.contains_key(&id));
            self.hosts[host].channels[channel].connection = connection.filter(|_| lives);
        }
        self.give_tasks(host, channel);
    }

    fn give_tasks(&mut self, host: usize, channel: usize) {
        let Some(id) = self.hosts[host].channels[channel].connection else {
            return;
        };
        let (now, now_ms) = (self.clock(host), self.now_ms);
        let mut gave = false;
        loop {
            let wants = match self.side(id, MASTER).map(|side| &side.machine) {
                Some(Machine::Master(master)) => master.is_ready() && master.wants_tasks(),
                _ => false,
            };
            if !wants {
                break;
            }
            let Some(task) = self.hosts[host].channels[channel].queue.next(now_ms) else {
                break;
            };
            let began = self.began(host, &task.work);
            self.tell(host, None, Kind::Connection, || {
                format!("task {}: {:?}", task.id.0, task.work)
            });
            let given = (task.work.clone(), began);
            self.hosts[host].channels[channel].given.insert(task.id, given);
            if let Some(Machine::Master(master)) = self.side(id, MASTER).map(|side| &mut side.machine) {
                master.give(now, task);
                gave = true;
            }
        }
        if gave {
            self.pump(id, MASTER);
        }
    }

    /// What a task is about, as the master shows it now.
    fn began(&self, host: usize, work: &Work) -> Began {
        let of = |owner: Owner| {
            let view = self.view_of(host, &owner);
            (owner, view)
        };
        match work {
            Work::User(user) => vec![of(user.clone())],
            Work::Mailboxes(names) => {
                let mut owners: Vec<Owner> = names
                    .iter()
                    .map(|name| owner(name).unwrap_or(Text::EMPTY))
                    .collect();
                owners.sort();
                owners.dedup();
                owners.into_iter().map(of).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A task that is about names says nothing of a mailbox that had another one for a while: it may have looked just then. The
    /// log tells of it again.
    pub(super) fn forget_renamed(
        &mut self,
        host: usize,
        owner: &Owner,
        before: &ScopeView,
        after: &ScopeView,
    ) {
        let renamed = before.mailboxes.iter().filter(|(id, mailbox)| {
            let now = after.mailboxes.get(*id);
            now.is_some_and(|now| now.name != mailbox.name)
        });
        for (id, _) in renamed {
            let given = self.hosts[host]
                .channels
                .iter_mut()
                .flat_map(|channel| channel.given.values_mut());
            for (work, began) in given {
                let is_named = matches!(work, Work::Mailboxes(_));
                for (_, view) in began.iter_mut().filter(|(of, _)| is_named && of == owner) {
                    Arc::make_mut(view).mailboxes.remove(id);
                }
            }
        }
    }

    /// The master of a connection may have results, or room for tasks.
    pub(super) fn master_moved(&mut self, id: u32) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let Owning::Channel(host, channel) = connection.owning else {
            return;
        };
        let Some(Machine::Master(master)) = connection.sides[MASTER].as_mut().map(|side| &mut side.machine)
        else {
            return;
        };
        let results = master.take_results();
        let ready = master.is_ready();
        let findings = master.take_findings();
        for decision in findings.decisions {
            self.report.reached(decision.rule);
        }
        let any = !results.is_empty();
        for result in results {
            self.landed(host, channel, result);
        }
        let waits = has_work(&self.hosts[host].channels[channel].queue.state());
        if any || (ready && waits) {
            self.wake(host, channel, 0);
        }
    }

    fn landed(&mut self, host: usize, channel: usize, result: TaskResult) {
        let now_ms = self.now_ms;
        self.tell(host, None, Kind::Connection, || {
            format!("task {} ends: {:?}", result.id.0, result.outcome)
        });
        let follower = &mut self.hosts[host].channels[channel];
        let given = follower.given.remove(&result.id);
        let link = follower.link;
        follower.pause_ms = PAUSE_MS_FIRST;
        if let (Ok(()), Some((work, began))) = (&result.outcome, given) {
            let names = match &work {
                Work::Mailboxes(names) => Some(names.as_slice()),
                _ => None,
            };
            for (owner, began) in &began {
                self.kept(self.links[link], owner, names, began);
            }
        }
        if let Err(failure) = &result.outcome {
            let name = format!("task failed: {:?}", failure.kind);
            self.report.reached(&name);
        }
        self.hosts[host].channels[channel]
            .queue
            .done(now_ms, result.id, result.outcome);
    }

    /// The connection of a channel is over.
    pub(super) fn channel_lost(&mut self, host: usize, channel: usize, worked: bool) {
        let now_ms = self.now_ms;
        let follower = &mut self.hosts[host].channels[channel];
        follower.connection = None;
        for task in std::mem::take(&mut follower.given).into_keys() {
            follower.queue.lost(now_ms, task);
        }
        if worked {
            follower.pause_ms = PAUSE_MS_FIRST;
        }
        self.pause(host, channel);
        self.sleep(host, channel);
    }

    fn pause(&mut self, host: usize, channel: usize) {
        let now_ms = self.now_ms;
        let follower = &mut self.hosts[host].channels[channel];
        follower.open_at_ms = now_ms + follower.pause_ms;
        follower.pause_ms = (follower.pause_ms * 2).min(PAUSE_MS_MAX);
    }

    /// The run file is brought in line with what is done, now and then: a crash does some of it again.
    fn settle_files(&mut self, host: usize, channel: usize) {
        let lazy = self.chance.one_in(3);
        let follower = &mut self.hosts[host].channels[channel];
        let pending = follower.queue.pending_len();
        if pending > 0 && lazy {
            return;
        }
        follower.ward = follower.queue.quarantined().cloned().collect();
        follower.run.clear();
        for action in follower.queue.pending() {
            // What was read from a log can be written to one.
            let _ = action.print(&mut follower.run);
        }
    }

    /// Arranges for the next look.
    fn sleep(&mut self, host: usize, channel: usize) {
        let now_ms = self.now_ms;
        let follower = &self.hosts[host].channels[channel];
        let state = follower.queue.state();
        let connected = follower.connection.is_some();
        let open = (!connected && has_work(&state)).then_some(follower.open_at_ms);
        let due = follower.queue.wake_at();
        let due = if connected {
            due
        } else {
            due.map(|at| at.max(follower.open_at_ms))
        };
        if let Some(at_ms) = open.into_iter().chain(due).min() {
            self.wake(host, channel, at_ms.saturating_sub(now_ms).max(1));
        }
    }

    /// Lets go of connections that have nothing to do; for the end of a run.
    pub(super) fn retire_all(&mut self) {
        let ids: Vec<u32> = self.connections.keys().copied().collect();
        for id in ids {
            let Some(host) = self.side(id, MASTER).map(|side| side.host) else {
                continue;
            };
            let now = self.clock(host);
            if let Some(Machine::Master(master)) = self.side(id, MASTER).map(|side| &mut side.machine) {
                master.retire(now);
            }
            self.pump(id, MASTER);
        }
    }
}

/// Whether there is something that a connection could do at once.
fn has_work(state: &QueueState) -> bool {
    state.queued + state.probes > 0
}

/// Adds lines to a file. Behind half a line the line end comes first, as all writers have it.
fn append(file: &mut Vec<u8>, lines: &[u8]) {
    if !lines.is_empty() && file.last().is_some_and(|last| *last != b'\n') {
        file.push(b'\n');
    }
    file.extend_from_slice(lines);
}

fn entries(log: &[u8], now_ms: u64) -> Vec<Entry> {
    let actions = Lines::new(log).filter_map(Result::ok);
    actions
        .map(|action| Entry {
            action,
            logged_at_ms: now_ms,
        })
        .collect()
}
