//! The second half of a run: faults are off, and everything has to come to rest, equal.

use engine::flow::Waiting;
use engine::master::{Ending, Job};
use protocol::Text;

use super::World;
use super::connection::{MASTER, Owning};
use crate::judge::End;
use crate::plan::HOST_NAMES;
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
        if self.links.iter().all(|link| link.rolling) && self.restored.is_empty() && !self.is_log_lost {
            // A log is enough: nobody has to run anything by hand.
            self.all_equal();
        }
        self.rounds();
        self.all_equal();
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
            for link in 0..self.links.len() {
                self.last_run = None;
                let job = Job::AllUsers { prefix: Text::EMPTY };
                let began = self.views_of(self.links[link].from);
                self.connect(link, job, Owning::Run(began));
                self.until_nothing_is_due();
                if self.finding.is_some() {
                    return;
                }
                let Some(ended) = self.last_run.take() else {
                    let text = format!("run {round} over link {link} never ended");
                    return self.found(Verdict::Liveness, "nobody waits for ever", text);
                };
                let done = ended.progress.ended == Some(Ending::Done);
                if !done && round + 1 == RUNS_MAX {
                    let text = format!("run {round} over link {link}: {:?}", ended.progress);
                    return self.found(Verdict::Liveness, "a calm run succeeds", text);
                }
                sent += ended.progress.records_sent + ended.progress.messages_sent + u64::from(!done);
                sent += ended.progress.mailboxes_sent;
            }
            if sent == 0 {
                return;
            }
        }
        let text = format!("after {RUNS_MAX} rounds there still was something to send");
        self.found(Verdict::Liveness, "a further run does nothing", text);
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
