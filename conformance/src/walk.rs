//! There and back again and again, with random changes in between.

use crate::compare::{self, Facts, Scope};
use crate::cyrus::Cyrus;
use crate::population::{self, USERS};
use crate::programs::Twin;
use crate::rng::Rng;
use crate::{Error, Result};

/// A random walk.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many times changes are made and carried.
    pub rounds: u32,
    /// Changes in a round.
    pub changes: usize,
    /// Decides the changes.
    pub seed: u64,
    /// Whether our server listens on a Unix socket: then scripts come one by one, not as messages.
    pub unix: bool,
}

/// Fills a Cyrus, then `rounds` times: changes it, replicates it by the stock client into our server and by our
/// client into a second Cyrus, and compares all three. Returns how many facts were equal in the last round.
/// The error begins with seed and round.
pub fn run(plan: Plan) -> Result<usize> {
    let first = Cyrus::start(population::setup("cyrus-a"))?;
    let second = Cyrus::start(population::setup("cyrus-b"))?;
    let mut twin = if plan.unix {
        Twin::unix("twin", &[])?
    } else {
        Twin::tcp("twin", &[])?
    };
    let mut scope = Scope::all(&USERS);
    scope.sieve_mailbox = !plan.unix;
    population::fill(&first)?;
    let mut rng = Rng::new(plan.seed);
    let mut facts = 0;
    for round in 0..plan.rounds {
        let tell =
            |error: Error| Error::Process(format!("walk with seed {}, round {round}: {error}", plan.seed));
        if round > 0 {
            population::wander(&first, round, plan.changes, &mut rng).map_err(tell)?;
        }
        facts = carry(&first, &mut twin, &second, &scope).map_err(tell)?;
    }
    Ok(facts)
}

fn carry(first: &Cyrus, twin: &mut Twin, second: &Cyrus, scope: &Scope) -> Result<usize> {
    twin.start()?;
    let there = first
        .sync_client(&twin.address(), &["-A", "-v"])?
        .success("the way there");
    there.map_err(|error| Error::Process(format!("{error}\n{}", twin.log())))?;
    let (mut left, mut right) = (Facts::new(), Facts::new());
    compare::collect_csync(&mut first.csync()?, scope, &[], &mut left)?;
    compare::collect_csync(&mut twin.csync()?, scope, &[], &mut right)?;
    equal("Cyrus and our server", &left, &right)?;
    twin.stop()?;
    twin.sync_client(&second.csync_address(), &["-A"])?
        .success("the way back")?;
    let (left, right) = (compare::facts(first, scope)?, compare::facts(second, scope)?);
    equal("the two Cyrus servers", &left, &right)?;
    twin.mailtwin(&["verify"])?.success("mailtwin verify")?;
    Ok(left.len())
}

fn equal(what: &str, left: &Facts, right: &Facts) -> Result<()> {
    let found = compare::differences(left, right);
    if found.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = found.iter().take(40).map(ToString::to_string).collect();
    Err(Error::Process(format!(
        "{what}: {} differences\n{}",
        found.len(),
        list.join("\n")
    )))
}
