//! What goes wrong in a run, as one word that repeats it.

use std::fmt;
use std::str::FromStr;

use sim_vfs::{Fault, Loss, Plan, Point};

use crate::server::Again;

/// What goes wrong in a run.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Scenario {
    /// On which disk: 0 the master's, 1 the replica's.
    pub disk: usize,
    /// The first thing.
    pub plan: Plan,
    /// A crash behind it, soon after the restart, or right at the failure.
    pub again: Option<Again>,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.plan {
            Plan::Calm => write!(f, "calm")?,
            Plan::Crash { at, loss } => {
                match at {
                    Point::Sync(nth) => write!(f, "sync-{nth}")?,
                    Point::Change(nth) => write!(f, "change-{nth}")?,
                }
                write!(f, "-{}", Word(loss))?;
            }
            Plan::Fail {
                operation,
                fault,
                lasting,
            } => {
                let fault = match fault {
                    Fault::Io => "io",
                    Fault::Full => "full",
                    Fault::Short => "short",
                };
                let how = if lasting { "on" } else { "once" };
                write!(f, "fail-{operation}-{fault}-{how}")?;
            }
        }
        if let Some(Again { delay, loss }) = self.again {
            write!(f, "-then-{delay}-{}", Word(loss))?;
        }
        if self.disk > 0 {
            write!(f, "@{}", self.disk)?;
        }
        Ok(())
    }
}

struct Word(Loss);

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Loss::Kept => write!(f, "kept"),
            Loss::Lost => write!(f, "lost"),
            Loss::Killed => write!(f, "killed"),
            Loss::Torn(seed) => write!(f, "torn{seed}"),
        }
    }
}

fn loss(word: &str) -> Option<Loss> {
    match word {
        "kept" => Some(Loss::Kept),
        "lost" => Some(Loss::Lost),
        "killed" => Some(Loss::Killed),
        _ => word.strip_prefix("torn")?.parse().ok().map(Loss::Torn),
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read(text).ok_or_else(|| format!("{text} is no scenario as a finding names it"))
    }
}

fn read(text: &str) -> Option<Scenario> {
    let (text, disk) = match text.split_once('@') {
        Some((text, disk)) => (text, disk.parse().ok()?),
        None => (text, 0),
    };
    let (first, again) = match text.split_once("-then-") {
        Some((first, again)) => {
            let (delay, word) = again.split_once('-')?;
            let delay = delay.parse().ok()?;
            let loss = loss(word)?;
            (first, Some(Again { delay, loss }))
        }
        None => (text, None),
    };
    let words: Vec<&str> = first.split('-').collect();
    let plan = match words.as_slice() {
        ["calm"] => Plan::Calm,
        ["sync", nth, word] => Plan::Crash {
            at: Point::Sync(nth.parse().ok()?),
            loss: loss(word)?,
        },
        ["change", nth, word] => Plan::Crash {
            at: Point::Change(nth.parse().ok()?),
            loss: loss(word)?,
        },
        ["fail", operation, fault, how] => Plan::Fail {
            operation: operation.parse().ok()?,
            fault: match *fault {
                "io" => Fault::Io,
                "full" => Fault::Full,
                "short" => Fault::Short,
                _ => return None,
            },
            lasting: *how == "on",
        },
        _ => return None,
    };
    Some(Scenario { disk, plan, again })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_all() {
        for word in [
            "calm",
            "sync-3-lost",
            "change-70-torn12@1",
            "sync-5-killed-then-40-lost",
            "fail-9-io-once",
            "fail-9-full-on-then-0-torn8@1",
        ] {
            let scenario: Scenario = word.parse().expect("a scenario");
            assert_eq!(scenario.to_string(), word);
        }
        assert!("sync-x-lost".parse::<Scenario>().is_err());
        assert!("".parse::<Scenario>().is_err());
    }
}
