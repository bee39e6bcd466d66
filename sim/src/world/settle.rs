//! The second half of a run: faults are off, and everything has to come to rest, equal.

use std::collections::BTreeSet;

use engine::flow::Waiting;
use engine::master::{Ending, Job};
use protocol::Text;

use super::World;
use super::connection::{MASTER, Owning, job_of};
use crate::judge::{End, Owner, ScopeView};
use crate::plan::{HOST_NAMES, Link};
use crate::report::Verdict;
use crate::trace::Kind;

/// Rounds of runs over all links within which everything is equal.
pub const RUNS_MAX: usize = 4;
/// Simulated time within which logs are empty: what is in quarantine is tried once an hour.
pub const SETTLE_MS_MAX: u64 = 6 * 3_600_000;

impl World {
    /// Faults end; then all is demanded.
    pub(super) fn settle(&mut self) {
        self.tell(0, None, Kind::Fault, || "all faults are over".to_owned());
        self.is_calm = true;
        self.noise.latency_ms_max = self.noise.latency_ms_max.min(5);
        for host in &mut self.hosts {
            host.disk = super::host::Disk::default();
            host.clock_s = 0;
        }
        self.ways.iter_mut().for_each(|way| *way = super::Way::default());
        let patience_ms = self.now_ms + SETTLE_MS_MAX;
        for host in 0..self.hosts.len() {
            for channel in 0..self.hosts[host].channels.len() {
                self.resume_quietly(host, channel);
            }
        }
        self.until_nothing_is_due();
        self.run_again();
        if self.finding.is_some() {
            return;
        }
        if self.now_ms > patience_ms {
            let text = format!("the logs were not empty after {} h", SETTLE_MS_MAX / 3_600_000);
            return self.found(Verdict::Liveness, "logs are worked off", text);
        }
        self.nothing_is_stuck();
        self.logs_are_empty();
        self.retire_all();
        self.until_nothing_is_due();
        if self.finding.is_some() {
            return;
        }
        if self.logs_suffice() {
            // A log is enough: nobody has to run anything by hand.
            self.all_equal();
        }
        self.rounds();
        self.all_equal();
    }

    /// Who runs something by hand reads how it ended, and runs it again when it failed: it may have told something old over what
    /// a log has told, and not have come to put that right. [CS-MASTER-66]
    fn run_again(&mut self) {
        for (link, user) in std::mem::take(&mut self.unfinished) {
            for round in 0..RUNS_MAX {
                match self.calm_run(round, link, job_of(user)) {
                    None => return,
                    Some(0) => break,
                    Some(_) => {}
                }
            }
        }
    }

    /// Whether logs alone make all equal. What a server takes from one of two masters the other one hears of only where a
    /// way leads back to it.
    fn logs_suffice(&self) -> bool {
        let hears = |link: &Link| {
            let is_fed_elsewhere = |other: &Link| other.to == link.to && other.from != link.from;
            !self.links.iter().any(is_fed_elsewhere) || self.leads(link.to, link.from)
        };
        self.links.iter().all(|link| link.rolling && hears(link))
            && self.restored.is_empty()
            && !self.is_log_lost
    }

    fn leads(&self, from: usize, to: usize) -> bool {
        let mut reached = BTreeSet::from([from]);
        for _ in 0..self.hosts.len() {
            let next = self.links.iter().filter(|link| reached.contains(&link.from));
            let next: Vec<usize> = next.map(|link| link.to).collect();
            reached.extend(next);
        }
        reached.contains(&to)
    }

    fn resume_quietly(&mut self, host: usize, channel: usize) {
        let follower = &mut self.hosts[host].channels[channel];
        follower.open_at_ms = 0;
        follower.tick_at_ms = Some(self.now_ms);
        self.at(self.now_ms, super::Due::Tick(host, channel));
    }

    /// When nothing is due any more, whoever is still connected must wait for its owner.
    fn nothing_is_stuck(&mut self) {
        let stuck = self.connections.iter().find_map(|(id, connection)| {
            let side = connection.sides[MASTER].as_ref()?;
            (!side.is_idle()).then_some((*id, side.waiting))
        });
        if let Some((id, waiting)) = stuck {
            let reason: Option<Waiting> = waiting;
            let text = format!("connection {id} waits for ever: {reason:?}");
            self.found(Verdict::Liveness, "nobody waits for ever", text);
        }
    }

    fn logs_are_empty(&mut self) {
        let left = self.hosts.iter().enumerate().find_map(|(at, host)| {
            let channel = host.channels.iter().find(|channel| !channel.is_done())?;
            Some((at, channel.queue.state(), channel.log.len()))
        });
        if let Some((host, state, log)) = left {
            let text = format!("{} still has {state:?} and {log} bytes of log", HOST_NAMES[host]);
            self.found(Verdict::Liveness, "logs are worked off", text);
        }
    }

    /// Runs over all links until a round has nothing to do.
    fn rounds(&mut self) {
        for round in 0..RUNS_MAX {
            let mut sent = 0;
            let before = self.report.commits;
            for link in 0..self.links.len() {
                let all = Job::AllUsers { prefix: Text::EMPTY };
                let departed = self.departed(link);
                // A run over all users knows those who have an INBOX; who has gone is named.
                let named = (!departed.is_empty()).then_some(Job::Users(departed));
                for job in [Some(all), named].into_iter().flatten() {
                    let Some(count) = self.calm_run(round, link, job) else {
                        return;
                    };
                    sent += count;
                }
            }
            // A master that takes a value over sends nothing, and those behind it have to hear of it.
            if sent == 0 && self.report.commits == before {
                return;
            }
        }
        let text = format!("after {RUNS_MAX} rounds there still was something to send");
        self.found(Verdict::Liveness, "a further run does nothing", text);
    }

    /// Users of whom a replica has something, and its master no INBOX.
    fn departed(&self, link: usize) -> Vec<Text> {
        let link = self.links[link];
        let there = self.views_of(link.to).into_iter();
        let there = there.filter(|(owner, view)| !owner.is_empty() && **view != ScopeView::default());
        let owners = there.map(|(owner, _)| owner);
        let has_inbox = |owner: &Owner| {
            let inbox = super::client::folder_name(owner, 0);
            let view = self.view_of(link.from, owner);
            view.mailboxes.values().any(|mailbox| mailbox.name == inbox)
        };
        owners.filter(|owner| !has_inbox(owner)).collect()
    }

    /// One run without faults; answers how much it sent, or nothing when a rule is broken.
    fn calm_run(&mut self, round: usize, link: usize, job: Job) -> Option<u64> {
        self.last_run = None;
        let began = self.shown(self.links[link].from, &job);
        self.connect(link, job, Owning::Run(began));
        self.until_nothing_is_due();
        if self.finding.is_some() {
            return None;
        }
        let Some(ended) = self.last_run.take() else {
            let text = format!("run {round} over link {link} never ended");
            self.found(Verdict::Liveness, "nobody waits for ever", text);
            return None;
        };
        let done = ended.progress.ended == Some(Ending::Done);
        if !done && round + 1 == RUNS_MAX {
            let text = format!("run {round} over link {link}: {:?}", ended.progress);
            self.found(Verdict::Liveness, "a calm run succeeds", text);
            return None;
        }
        let progress = &ended.progress;
        Some(progress.records_sent + progress.messages_sent + progress.mailboxes_sent + u64::from(!done))
    }

    fn all_equal(&mut self) {
        if self.finding.is_some() {
            return;
        }
        // A mailbox that only a replica has, and its master knows nothing of any more, stays. [CS-SPLIT-16]
        let equal: Vec<(usize, usize, bool)> = self
            .links
            .iter()
            .map(|link| (link.from, link.to, self.restored.contains(&link.from)))
            .collect();
        let end = End {
            views: &self.views,
            equal: &equal,
            hosts: self.hosts.len(),
            restored: &self.restored,
            ledger: &self.ledger,
        };
        let judgement = self.judge.ask(|checker| checker.settled(&end));
        self.judged(judgement);
    }
}
