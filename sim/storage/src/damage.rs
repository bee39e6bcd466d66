//! Bits that turn over where they lie: told, or shown nowhere.

use std::collections::BTreeMap;

use engine::name::Scope;
use sim_vfs::chance::Chance;
use store::verify;

use crate::deeds::owner;
use crate::finding::{Finding, Rule};
use crate::run::at_rest;
use crate::server::Server;
use crate::show::{difference, show};
use crate::sweep::{Effort, workload};
use crate::workload::OWNERS;

/// What became of one bit.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Fate {
    /// An answer was an error, and nothing wrong was shown.
    Refused,
    /// The store's check tells of it.
    Verified,
    /// All answers are as before, and the check has nothing to say.
    Nowhere,
    /// An answer is wrong and nobody says so.
    Shown(String),
}

/// What became of bits.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Damages {
    /// Bits turned over, each alone.
    pub bits: u64,
    /// Those that made an answer an error.
    pub refused: u64,
    /// Those that only the check told of.
    pub verified: u64,
    /// Those that changed nothing that anybody can ask for.
    pub nowhere: u64,
    /// Those that made an answer wrong without a word, by what was wrong.
    pub shown: BTreeMap<String, u64>,
}

impl Damages {
    /// Adds the counts of another.
    pub fn add(&mut self, other: Damages) {
        self.bits += other.bits;
        self.refused += other.refused;
        self.verified += other.verified;
        self.nowhere += other.nowhere;
        for (what, bits) in other.shown {
            *self.shown.entry(what).or_default() += bits;
        }
    }
}

/// Turns over so many bits of a seed's databases, one at a time.
///
/// # Errors
/// A finding of the workload itself.
pub fn damage(seed: u64, effort: &Effort, bits: u64) -> Result<Damages, Finding> {
    let workload = workload(
        seed,
        &Effort {
            replica: Some(false),
            ..*effort
        },
    );
    let server = at_rest(seed, &workload)?;
    let mut chance = Chance::new(seed);
    let mut damages = Damages::default();
    let files = server.disk.list();
    let databases: Vec<_> = files
        .iter()
        .filter(|(path, len)| *len > 0 && path.extension().is_some_and(|extension| extension == "db"))
        .collect();
    for _ in 0..bits {
        let Some((path, len)) = databases.get(chance.below(databases.len())) else {
            return Err(Finding::new(Rule::Damage, "the workload left no database"));
        };
        let (offset, bit) = (chance.below(*len), chance.below(8) as u8);
        server.disk.flip(path, offset, bit);
        let fate = fate(&server);
        server.disk.flip(path, offset, bit);
        damages.bits += 1;
        match fate {
            Fate::Refused => damages.refused += 1,
            Fate::Verified => damages.verified += 1,
            Fate::Nowhere => damages.nowhere += 1,
            Fate::Shown(what) => *damages.shown.entry(what).or_default() += 1,
        }
    }
    Ok(damages)
}

fn fate(server: &Server) -> Fate {
    let Ok(store) = server.read_only() else {
        return Fate::Refused;
    };
    let (mut real, mut model) = (store.session(), server.model.session());
    let (mut refused, mut wrong) = (false, None);
    for scope in (0..OWNERS).map(owner) {
        match show(&mut real, &scope) {
            Ok(found) => {
                let expected = show(&mut model, &scope).unwrap_or_default();
                if let Some(text) = difference(&found, &expected) {
                    wrong.get_or_insert(text);
                }
            }
            Err(_) => refused = true,
        }
    }
    let damages = verify::verify(&store, None::<&Scope>, &mut |_| {}).damages;
    match wrong {
        _ if damages > 0 && !refused => Fate::Verified,
        _ if refused => Fate::Refused,
        Some(text) => Fate::Shown(text),
        None => Fate::Nowhere,
    }
}
