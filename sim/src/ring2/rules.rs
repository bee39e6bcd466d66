//! What must hold of programs, connections and time, beside what must hold of mail. Plain data in, a broken rule out.

use super::plan::Tuning;

/// A closed connection waits so long for its peer to close too; somebody turned away has so long to read why.
const LINGER_MS: u64 = 1_000;
/// The longest pause of a failed login, in times of the first.
pub const PAUSES_MAX: u64 = 4;
/// A client that is told to stop has so long.
pub const CLIENT_GRACE_MS: u64 = 10_000;
/// Times a stream may be asked in one moment without a byte moving.
pub const POLLS_MAX: u32 = 20_000;

/// Names of the rules.
pub const RULES: [&str; 8] = [
    OUTLIVES,
    STRANGERS,
    SERVER_STOPS,
    CLIENT_STOPS,
    LEFTOVERS,
    SPINS,
    PANICS,
    SETTLES,
];

/// The name of a rule.
pub const OUTLIVES: &str = "no connection outlives its time-outs";
/// The name of a rule.
pub const STRANGERS: &str = "nobody stays without a login";
/// The name of a rule.
pub const SERVER_STOPS: &str = "a server stops within its grace";
/// The name of a rule.
pub const CLIENT_STOPS: &str = "a client stops within its grace";
/// The name of a rule.
pub const LEFTOVERS: &str = "nothing is left of a server that has stopped";
/// The name of a rule.
pub const SPINS: &str = "nobody spins";
/// The name of a rule.
pub const PANICS: &str = "nothing panics";
/// The name of a rule.
pub const SETTLES: &str = "in calm a few runs make all equal";

/// A broken rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Its name.
    pub rule: &'static str,
    /// What was seen.
    pub text: String,
}

fn broken(rule: &'static str, text: String) -> Result<(), Broken> {
    Err(Broken { rule, text })
}

/// One end of a connection that one of our programs holds. Times are milliseconds of the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// When it began.
    pub opened_ms: u64,
    /// When a byte moved last, or its program's store did something.
    pub moved_ms: u64,
    /// Whether the peer is somebody who never logs in.
    pub stranger: bool,
}

/// How long ends of connections may last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// Without anything happening.
    pub idle_ms: u64,
    /// Without a login.
    pub login_ms: u64,
}

impl Patience {
    /// What the settings of the programs come to. `store_ms` is the longest that a storage request takes.
    pub fn of(tuning: &Tuning, store_ms: u64) -> Self {
        // What the network is looked at rarely for, and a slow flush.
        let slack_ms = 10 * tuning.tick_ms + 100;
        Patience {
            // The second time is that for saying goodbye.
            idle_ms: 2 * tuning.peer_timeout_ms.max(tuning.connect_timeout_ms)
                + LINGER_MS
                + PAUSES_MAX * tuning.pause_ms
                + store_ms
                + slack_ms,
            login_ms: tuning.login_timeout_ms + LINGER_MS + slack_ms,
        }
    }
}

/// A connection on which nothing happens ends by itself, and one without a login ends whatever happens on it.
///
/// # Errors
/// It did not.
pub fn outlives(end: &End, now_ms: u64, patience: Patience) -> Result<(), Broken> {
    let (idle_ms, age_ms) = (
        now_ms.saturating_sub(end.moved_ms),
        now_ms.saturating_sub(end.opened_ms),
    );
    if idle_ms > patience.idle_ms {
        return broken(
            OUTLIVES,
            format!(
                "nothing happened on it for {idle_ms} ms, of {} ms allowed",
                patience.idle_ms
            ),
        );
    }
    if end.stranger && age_ms > patience.login_ms {
        return broken(
            STRANGERS,
            format!(
                "still connected after {age_ms} ms, of {} ms allowed",
                patience.login_ms
            ),
        );
    }
    Ok(())
}

/// How long a server may go on that was told to stop. The request that its store works on is not cut short.
pub fn server_grace_ms(tuning: &Tuning, store_ms: u64) -> u64 {
    tuning.grace_ms + LINGER_MS + store_ms + 10 * tuning.tick_ms + 100
}

/// A server that was told to stop has stopped, or there is time left.
///
/// # Errors
/// It has not.
pub fn server_stops(told_ms: u64, now_ms: u64, grace_ms: u64) -> Result<(), Broken> {
    let after_ms = now_ms.saturating_sub(told_ms);
    if after_ms > grace_ms {
        return broken(
            SERVER_STOPS,
            format!("it goes on after {after_ms} ms, of {grace_ms} ms allowed"),
        );
    }
    Ok(())
}

/// A client that was told to stop has stopped, or there is time left.
///
/// # Errors
/// It has not.
pub fn client_stops(told_ms: u64, now_ms: u64, tuning: &Tuning, store_ms: u64) -> Result<(), Broken> {
    let grace_ms = CLIENT_GRACE_MS + LINGER_MS + store_ms + 10 * tuning.tick_ms + 100;
    let after_ms = now_ms.saturating_sub(told_ms);
    if after_ms > grace_ms {
        return broken(
            CLIENT_STOPS,
            format!("it goes on after {after_ms} ms, of {grace_ms} ms allowed"),
        );
    }
    Ok(())
}

/// What there still is when a server has stopped.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Left {
    /// Connections that were told of as begun and not as ended.
    pub connections: i64,
    /// Streams.
    pub streams: usize,
    /// Store sessions.
    pub sessions: i64,
    /// Tasks, beyond those that there were before.
    pub tasks: i64,
}

/// Nothing is left of a server that has stopped.
///
/// # Errors
/// Something is.
pub fn leftovers(left: &Left) -> Result<(), Broken> {
    if *left == Left::default() {
        return Ok(());
    }
    broken(LEFTOVERS, format!("{left:?}"))
}

/// A stream is not asked on and on while nothing moves and no time passes.
///
/// # Errors
/// It is.
pub fn spins(polls: u32) -> Result<(), Broken> {
    if polls > POLLS_MAX {
        return broken(SPINS, format!("a stream was asked {polls} times in one moment"));
    }
    Ok(())
}

/// How far a link is since calm began.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Progress {
    /// Runs or connections begun.
    pub runs: u64,
    /// Whether all is done, and a further run did nothing.
    pub done: bool,
}

/// In calm a link is done after so many runs and so much time.
///
/// # Errors
/// It is not.
pub fn settles(link: &Progress, runs_max: u64, after_ms: u64, within_ms: u64) -> Result<(), Broken> {
    if !link.done && (link.runs > runs_max || after_ms > within_ms) {
        return broken(
            SETTLES,
            format!(
                "after {} runs and {after_ms} ms of calm there still is something to do",
                link.runs
            ),
        );
    }
    Ok(())
}
