//! One run: a workload, with or without something that goes wrong in it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use engine::ticket::StoreError;
use sim_vfs::{Counts, Fault, Lies, Plan};

use crate::finding::{Finding, Halt, Rule};
use crate::replicate::{Ended, equal, replicate};
use crate::scenario::Scenario;
use crate::server::{Again, LINK, Server};
use crate::workload::{Step, Workload};

/// What came of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// What each disk was asked.
    pub counts: Vec<Counts>,
    /// Transactions acknowledged.
    pub commits: u64,
    /// Times a server began again after a crash.
    pub crashes: u64,
    /// The operation that was hit, if any was, in words.
    pub hit: Option<String>,
    /// Whether the store said so: what it does for itself may fail without anybody being told.
    pub told: bool,
    /// The broken rule.
    pub finding: Option<Finding>,
}

/// Runs a workload; a panic is a finding.
pub fn run(seed: u64, workload: &Workload, scenario: Scenario, lies: Lies) -> Outcome {
    let done = catch_unwind(AssertUnwindSafe(|| {
        Run::new(seed, workload, scenario, lies).run()
    }));
    done.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let text = text.unwrap_or_else(|| "a panic without a text".to_owned());
        Outcome {
            counts: Vec::new(),
            commits: 0,
            crashes: 0,
            hit: None,
            told: false,
            finding: Some(Finding::new(Rule::NoPanic, text)),
        }
    })
}

/// A server behind a calm workload, at rest.
///
/// # Errors
/// A finding.
pub fn at_rest(seed: u64, workload: &Workload) -> Result<Server, Finding> {
    let mut run = Run::new(seed, workload, Scenario::default(), Lies::default());
    run.work()?;
    Ok(run.servers.swap_remove(0))
}

struct Run<'a> {
    servers: Vec<Server>,
    workload: &'a Workload,
    scenario: Scenario,
    again: Vec<Again>,
    hit: Option<String>,
    told: bool,
}

impl<'a> Run<'a> {
    fn new(seed: u64, workload: &'a Workload, scenario: Scenario, lies: Lies) -> Self {
        let replicates = workload.steps.contains(&Step::Replicate);
        let servers: Vec<Server> = (0..=u64::from(replicates))
            .map(|nth| Server::new(seed + nth, workload))
            .collect();
        for server in &servers {
            server.disk.lie(lies);
        }
        if let Some(server) = servers.get(scenario.disk) {
            server.disk.plan(scenario.plan);
        }
        Run {
            servers,
            workload,
            scenario,
            again: scenario.again.into_iter().collect(),
            hit: None,
            told: false,
        }
    }

    fn run(mut self) -> Outcome {
        let finding = self.work().err().map(|finding| self.plain(finding));
        let counts = self.servers.iter().map(|server| server.disk.counts()).collect();
        for server in &mut self.servers {
            server.stop();
        }
        Outcome {
            counts,
            commits: self.servers.iter().map(|server| server.commits).sum(),
            crashes: self.servers.iter().map(|server| server.crashes).sum(),
            hit: self.hit,
            told: self.told,
            finding,
        }
    }

    /// Paths without the number of the disk, which is another in each run.
    fn plain(&self, mut finding: Finding) -> Finding {
        for server in &self.servers {
            let root = server.disk.root().display().to_string();
            finding.text = finding.text.replace(&root, "");
        }
        finding
    }

    fn work(&mut self) -> Result<(), Finding> {
        for nth in 0..self.servers.len() {
            self.start(nth)?;
        }
        for (nth, step) in self.workload.steps.iter().enumerate() {
            self.step(nth, step).map_err(|finding| Finding {
                text: format!("step {nth} ({step:?}): {}", finding.text),
                ..finding
            })?;
        }
        self.finish()
    }

    /// The first start of a server.
    fn start(&mut self, nth: usize) -> Result<(), Finding> {
        match self.servers[nth].open() {
            Ok(_) => self.aftermath(nth),
            Err(halt) => self.halted(nth, halt, |server| server.open().map(drop)),
        }
    }

    fn step(&mut self, nth: usize, step: &Step) -> Result<(), Finding> {
        if *step == Step::Replicate {
            return self.replicate();
        }
        let plan = self.plan_of(0);
        match self.servers[0].perform(nth, step, plan) {
            Ok(()) => self.aftermath(0),
            Err(halt) => self.halted(0, halt, |server| server.perform(nth, step, Plan::Calm)),
        }
    }

    /// What the disk of a server is in for still.
    fn plan_of(&self, nth: usize) -> Plan {
        if nth == self.scenario.disk && self.hit.is_none() {
            self.scenario.plan
        } else {
            Plan::Calm
        }
    }

    /// Behind a step that was done: the disk may have failed where nobody needed it.
    fn aftermath(&mut self, nth: usize) -> Result<(), Finding> {
        let Some(faulted) = self.servers[nth].disk.faulted() else {
            return Ok(());
        };
        let is_lasting = matches!(self.scenario.plan, Plan::Fail { lasting: true, .. });
        if self.servers[nth].disk.is_down() {
            self.hit.get_or_insert(faulted);
            return self.servers[nth].recover(&mut self.again);
        }
        if !is_lasting {
            self.hit.get_or_insert(faulted);
            self.servers[nth].disk.plan(Plan::Calm);
        }
        Ok(())
    }

    /// A step ended early: the server begins again, or the disk works again, and the step is repeated.
    fn halted(
        &mut self,
        nth: usize,
        halt: Halt,
        repeat: impl Fn(&mut Server) -> Result<(), Halt>,
    ) -> Result<(), Finding> {
        let error = match halt {
            Halt::Finding(finding) => return Err(finding),
            Halt::Refused(error) => return Err(Finding::new(Rule::Answers, error.to_string())),
            Halt::Disk(error) => error,
        };
        let server = &mut self.servers[nth];
        let faulted = server.disk.faulted().unwrap_or_default();
        self.told = true;
        if server.disk.is_down() {
            self.hit.get_or_insert(faulted);
            return server.recover(&mut self.again);
        }
        let Plan::Fail { fault, lasting, .. } = self.scenario.plan else {
            return Err(Finding::new(Rule::WorksAgain, error.to_string()));
        };
        self.hit.get_or_insert(faulted.clone());
        is_told(fault, &faulted, &error)?;
        if lasting {
            server.give_up()?;
            if let Err(Halt::Finding(finding)) = repeat(server) {
                return Err(finding);
            }
        }
        if let Some(Again { loss, .. }) = self.again.pop() {
            server.disk.crash(loss);
            return server.recover(&mut self.again);
        }
        server.mend()?;
        match repeat(server) {
            Ok(()) | Err(Halt::Refused(_)) => Ok(()),
            Err(Halt::Finding(finding)) => Err(finding),
            Err(Halt::Disk(error)) => Err(Finding::new(Rule::WorksAgain, error.to_string())),
        }
    }

    /// One session between the two; a disk that fails ends it.
    fn replicate(&mut self) -> Result<(), Finding> {
        let ended = {
            let [master, replica] = self.servers.as_mut_slice() else {
                return Ok(());
            };
            let (ours, theirs) = (master.session(LINK), replica.session(LINK));
            match (ours, theirs) {
                (Ok(ours), Ok(theirs)) => replicate(ours, theirs)?,
                (Err(Halt::Finding(finding)), _) | (_, Err(Halt::Finding(finding))) => {
                    return Err(finding);
                }
                _ => Ended::Cut,
            }
        };
        if let Ended::Done(failures) = &ended
            && let Some(failure) = failures.first()
            && self.servers.iter().all(|server| server.disk.faulted().is_none())
        {
            return Err(Finding::new(Rule::Equal, failure.clone()));
        }
        for nth in 0..self.servers.len() {
            self.servers[nth].close(LINK);
            let server = &mut self.servers[nth];
            let Some(faulted) = server.disk.faulted() else {
                continue;
            };
            self.hit.get_or_insert(faulted);
            if server.disk.is_down() {
                server.recover(&mut self.again)?;
            } else if let Some(Again { loss, .. }) = self.again.pop() {
                server.disk.crash(loss);
                server.recover(&mut self.again)?;
            } else {
                server.mend()?;
            }
        }
        Ok(())
    }

    /// Faults are over: all is checked, replicated, and checked after an orderly end once more.
    fn finish(&mut self) -> Result<(), Finding> {
        for server in &mut self.servers {
            for nth in 0..=LINK {
                server.close(nth);
            }
            if server.disk.is_down() {
                server.recover(&mut self.again)?;
            }
            self.again.clear();
            server.mend()?;
        }
        if self.servers.len() > 1 {
            self.replicate()?;
            self.replicate()?;
        }
        for server in &mut self.servers {
            server.stop();
            server.mend()?;
            server.stop();
        }
        if let [master, replica] = self.servers.as_slice() {
            equal(&mut master.model.session(), &mut replica.model.session())?;
        }
        Ok(())
    }
}

/// Whether an error says what was wrong, in a way that has an operator do the right thing.
fn is_told(fault: Fault, faulted: &str, error: &StoreError) -> Result<(), Finding> {
    // What has no room to be written is full; of what cannot be opened, mapped or synced the system says less.
    let needs_words = faulted.starts_with("Write") || faulted.starts_with("Truncate");
    let is_told = match error {
        StoreError::Full { .. } => fault == Fault::Full,
        StoreError::Io { detail, .. } => !(detail.is_empty() || fault == Fault::Full && needs_words),
        _ => false,
    };
    if is_told {
        Ok(())
    } else {
        Err(Finding::new(
            Rule::Told,
            format!("{fault:?} at {faulted} became: {error}"),
        ))
    }
}
