//! From a seed to a plan, in swarm style: each seed switches whole kinds of changes and faults off and gives the rest
//! wildly different weights, so that rare mixtures come about.

use super::widen::widen;
use super::{Damage, Deed, Dialect, Link, Moment, Noise, Plan, Profile, Step, What};
use super::{FOLDERS, USERS};
use crate::seeded::Seeded;

/// The plan of a seed.
pub fn generate(seed: u64, profile: Profile) -> Plan {
    let mut seeded = Seeded::new(seed ^ 0x5155_414e_5455_4d00);
    let chosen = match profile {
        Profile::Mixed => *seeded.pick(&Profile::ALL).unwrap_or(&Profile::Pair),
        profile => profile,
    };
    // A source of its own for what came to the plans later, so that the other plans are what they were.
    let mut wide = Seeded::new(seed ^ 0x5749_4445);
    let narrow = topology(chosen, &mut seeded);
    let (hosts, links) = wider(chosen, &mut wide).unwrap_or(narrow);
    let noise = Noise {
        pieces: seeded.one_in(2),
        latency_ms_max: [0, 5, 200][seeded.below(3)],
        store_ms_max: [0, 2, 50][seeded.below(3)],
    };
    let mut swarm = Swarm::new(chosen, hosts, links, &mut seeded);
    let most = [8, 24, 60][seeded.below(3)];
    let length = 4 + seeded.below(most);
    // There is somebody from the beginning, often more; others come later.
    let mut steps = vec![begin(0, 0, 0)];
    for user in 0..swarm.users {
        if seeded.one_in(2) {
            steps.push(begin(swarm.maker(&mut seeded), user, 0));
        }
    }
    for folder in 1..swarm.folders {
        if seeded.one_in(2) {
            steps.push(begin(swarm.maker(&mut seeded), 0, folder));
        }
    }
    let mut at_ms = 10;
    for _ in 0..length {
        at_ms += [0, 1, 40, 900, 20_000][seeded.below(5)] + seeded.below(10) as u64;
        steps.push(swarm.step(at_ms, &mut seeded));
    }
    damage_logs(&mut steps, &swarm.links, at_ms, &mut wide);
    // A source of its own, so that the rest of a seed's plan is what it was.
    let mut peers = Seeded::new(seed ^ 0x4449_414c);
    let dialects = (0..swarm.hosts).map(|_| Dialect::any(&mut peers)).collect();
    let (users, folders) = (swarm.users, swarm.folders);
    let mut plan = Plan {
        seed,
        profile: chosen,
        dialects,
        hosts: swarm.hosts,
        links: swarm.links,
        noise,
        steps,
    };
    super::rare::add(&mut plan);
    widen(&mut plan, users, folders);
    plan
}

/// A mailbox from the beginning.
fn begin(host: usize, user: usize, folder: usize) -> Step {
    Step {
        at_ms: 0,
        host,
        what: What::Client(Deed::Create { user, folder }),
    }
}

fn topology(profile: Profile, seeded: &mut Seeded) -> (usize, Vec<Link>) {
    let link = |from, to, rolling| Link { from, to, rolling };
    match profile {
        Profile::Mixed | Profile::Pair | Profile::Split => (2, vec![link(0, 1, false)]),
        Profile::Rolling | Profile::Backup => match seeded.below(3) {
            0 => (2, vec![link(0, 1, true)]),
            1 => (3, vec![link(0, 1, true), link(1, 2, true)]),
            _ => (3, vec![link(0, 1, true), link(0, 2, true)]),
        },
        Profile::Mesh => {
            let rolling = seeded.one_in(2);
            let mut links = vec![link(0, 1, rolling), link(1, 0, rolling)];
            let offsite = rolling && seeded.one_in(2);
            if offsite {
                links.push(link(0, 2, true));
            }
            (2 + usize::from(offsite), links)
        }
    }
}

/// How many hosts, and who replicates to whom.
type Shape = (usize, &'static [(usize, usize)]);

/// Larger topologies, for some of the seeds.
fn wider(profile: Profile, wide: &mut Seeded) -> Option<(usize, Vec<Link>)> {
    let link = |(from, to): &(usize, usize), rolling| Link {
        from: *from,
        to: *to,
        rolling,
    };
    let (shapes, rolling): (&[Shape], bool) = match profile {
        Profile::Rolling => (
            &[
                // A long chain, a fan, a tree, a chain that ends in a mesh.
                (4, &[(0, 1), (1, 2), (2, 3)]),
                (4, &[(0, 1), (0, 2), (0, 3)]),
                (4, &[(0, 1), (1, 2), (1, 3)]),
                (3, &[(0, 1), (1, 2), (2, 1)]),
            ],
            true,
        ),
        Profile::Mesh => (
            &[
                // Two masters with a chain behind, or a replica each.
                (4, &[(0, 1), (1, 0), (1, 2), (2, 3)]),
                (4, &[(0, 1), (1, 0), (0, 2), (1, 3)]),
            ],
            wide.one_in(2),
        ),
        _ => return None,
    };
    if !wide.one_in(3) {
        return None;
    }
    let (hosts, links) = wide.pick(shapes)?;
    Some((*hosts, links.iter().map(|ends| link(ends, rolling)).collect()))
}

/// Some of the seeds have their logs damaged.
fn damage_logs(steps: &mut Vec<Step>, links: &[Link], end_ms: u64, wide: &mut Seeded) {
    let rolling: Vec<usize> = (0..links.len()).filter(|at| links[*at].rolling).collect();
    if rolling.is_empty() || !wide.one_in(3) {
        return;
    }
    // Lines that are lost change what is demanded in the end, so most seeds lose none.
    let few = if wide.one_in(3) { 5 } else { 3 };
    for _ in 0..1 + wide.below(3) {
        let link = rolling[wide.below(rolling.len())];
        let damage = [
            Damage::Twice,
            Damage::Renamed,
            Damage::Added,
            Damage::Cut,
            Damage::Lost,
        ][wide.below(few)];
        let at_ms = wide.next_u64() % (end_ms + 1);
        let step = Step {
            at_ms,
            host: links[link].from,
            what: What::Log { link, damage },
        };
        let place = steps.partition_point(|step| step.at_ms <= at_ms);
        steps.insert(place, step);
    }
    // Half a line of a log as well.
    for step in steps.iter_mut() {
        if let What::CrashAtTicket { moment, .. } = &mut step.what
            && wide.one_in(3)
        {
            *moment = Moment::Torn;
        }
    }
}

/// The mixture of one seed.
struct Swarm {
    profile: Profile,
    hosts: usize,
    links: Vec<Link>,
    users: usize,
    folders: usize,
    /// Weights by kind: client deeds, runs, faults.
    kinds: [usize; 3],
    deeds: [usize; 8],
    faults: [usize; 10],
    /// Whether bodies are few, so that the same message turns up in several places.
    few_bodies: bool,
    bodies: u32,
}

impl Swarm {
    fn new(profile: Profile, hosts: usize, links: Vec<Link>, seeded: &mut Seeded) -> Self {
        let mut weights = [0; 8];
        for weight in &mut weights {
            *weight = [0, 1, 4, 16][seeded.below(4)];
        }
        weights[0] += 4;
        let mut faults = [0; 10];
        for fault in &mut faults {
            *fault = [0, 0, 1, 6][seeded.below(4)];
        }
        let backups = profile == Profile::Backup;
        faults[8] = if backups { 2 + faults[8] } else { 0 };
        faults[9] = if backups { 1 + faults[9] } else { 0 };
        let rolls = links.iter().any(|link| link.rolling);
        Swarm {
            profile,
            hosts,
            links,
            users: 1 + seeded.below(USERS.len()),
            folders: 1 + seeded.below(FOLDERS.len()),
            kinds: [
                10,
                if rolls {
                    seeded.below(2)
                } else {
                    1 + seeded.below(6)
                },
                [0, 1, 4][seeded.below(3)],
            ],
            deeds: weights,
            faults,
            few_bodies: seeded.one_in(3),
            bodies: 0,
        }
    }

    fn step(&mut self, at_ms: u64, seeded: &mut Seeded) -> Step {
        match weighted(&self.kinds, seeded) {
            1 => {
                let link = seeded.below(self.links.len());
                let user = seeded.one_in(2).then(|| seeded.below(self.users));
                let host = self.links.get(link).map_or(0, |link| link.from);
                Step {
                    at_ms,
                    host,
                    what: What::Run { link, user },
                }
            }
            2 => Step {
                at_ms,
                host: seeded.below(self.hosts),
                what: self.fault(seeded),
            },
            _ => {
                let host = self.writer(seeded);
                let what = What::Client(self.deed(host, seeded));
                Step { at_ms, host, what }
            }
        }
    }

    /// Who changes mail: the first master; also the others of a mesh; and a replica where both sides are changed.
    fn writer(&self, seeded: &mut Seeded) -> usize {
        match self.profile {
            Profile::Split | Profile::Mesh => seeded.below(2),
            _ => 0,
        }
    }

    /// Where mailboxes of the beginning are made.
    fn maker(&self, seeded: &mut Seeded) -> usize {
        match self.profile {
            Profile::Mesh => seeded.below(2),
            _ => 0,
        }
    }

    fn deed(&mut self, host: usize, seeded: &mut Seeded) -> Deed {
        let user = seeded.below(self.users);
        let folder = seeded.below(self.folders);
        // A replica that nothing replicates from keeps mailboxes of its own to itself, which is not what is judged.
        let edits_only = self.profile == Profile::Split && host == 1;
        let kind = weighted(&self.deeds, seeded);
        match if edits_only { kind % 4 } else { kind } {
            1 => Deed::Flag {
                user,
                folder,
                nth: seeded.below(6),
                flags: seeded.below(512) as u16,
            },
            2 => Deed::Expunge {
                user,
                folder,
                nth: seeded.below(6),
            },
            3 => Deed::Annotate {
                user,
                folder,
                nth: seeded.below(6),
                value: seeded.below(4) as u8,
            },
            4 => Deed::Create { user, folder },
            5 => Deed::Rename {
                user,
                from: seeded.below(self.folders),
                to: seeded.below(FOLDERS.len()),
            },
            6 => Deed::Delete { user, folder },
            7 => Deed::Subscribe {
                user,
                folder,
                on: seeded.one_in(2),
            },
            _ => Deed::Append {
                user,
                folder,
                bodies: (0..1 + seeded.below(3)).map(|_| self.body(seeded)).collect(),
                flags: seeded.below(64) as u8,
            },
        }
    }

    fn body(&mut self, seeded: &mut Seeded) -> u32 {
        if self.few_bodies {
            return seeded.below(6) as u32;
        }
        self.bodies += 1;
        1_000 + self.bodies
    }

    fn fault(&self, seeded: &mut Seeded) -> What {
        let link = seeded.below(self.links.len());
        let down_ms = [1, 2_000, 90_000][seeded.below(3)];
        let for_ms = [50, 5_000, 120_000][seeded.below(3)];
        match weighted(&self.faults, seeded) {
            1 => What::CrashAtTicket {
                nth: seeded.below(60) as u64,
                moment: [Moment::Before, Moment::Intended, Moment::Unlogged, Moment::After][seeded.below(4)],
                down_ms,
            },
            2 => What::Cut {
                link,
                for_ms,
                silent: seeded.one_in(3),
            },
            3 => What::BreakAfter {
                link,
                bytes: seeded.below(6_000) as u64,
            },
            4 => What::DiskFull { for_ms },
            5 => What::IoErrors {
                for_ms,
                one_in: 1 + seeded.below(20) as u64,
            },
            6 => What::Corrupt,
            7 => What::ClockJump {
                seconds: [-4_000, -3, 3, 5_000, 40_000_000][seeded.below(5)],
            },
            8 => What::Backup,
            9 => What::Restore,
            _ => What::Crash {
                down_ms,
                silent: seeded.one_in(3),
            },
        }
    }
}

/// An index, each as often as its weight says; 0 when all weights are 0.
pub(super) fn weighted(weights: &[usize], seeded: &mut Seeded) -> usize {
    let total: usize = weights.iter().sum();
    let mut at = seeded.below(total.max(1));
    for (index, weight) in weights.iter().enumerate() {
        if at < *weight {
            return index;
        }
        at -= weight;
    }
    0
}
