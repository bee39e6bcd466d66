//! From a seed to a plan, in swarm style: whole kinds of faults are off, the others have wildly different weights.

use super::plan::{Chop, Manner, Place, Plan, Step, Trouble, Tuning, What};
use crate::plan::{Deed, FOLDERS, Link, USERS};
use crate::seeded::Seeded;

/// Kinds of faults that are chosen from.
const FAULTS: usize = 13;

/// The plan of a seed.
pub fn generate(seed: u64) -> Plan {
    let mut seeded = Seeded::new(seed ^ 0x5249_4e47_3200);
    let (hosts, links) = shape(&mut seeded);
    let tuning = tuning(&mut seeded);
    let mut swarm = Swarm::new(hosts, links.len(), &mut seeded);
    let most = [6, 16, 40][seeded.below(3)];
    let length = 3 + seeded.below(most);
    let mut steps: Vec<Step> = (0..swarm.users)
        .map(|user| deed(0, Deed::Create { user, folder: 0 }))
        .collect();
    for folder in 1..swarm.folders {
        if seeded.one_in(2) {
            steps.push(deed(0, Deed::Create { user: 0, folder }));
        }
    }
    let mut at_ms = 10;
    for _ in 0..length {
        at_ms += [0, 20, 200, 1_500, 6_000][seeded.below(5)] + seeded.below(30) as u64;
        let what = swarm.step(&mut seeded);
        steps.push(Step { at_ms, what });
    }
    Plan {
        ring: 2,
        seed,
        hosts,
        links,
        tuning,
        steps,
    }
}

fn deed(at_ms: u64, deed: Deed) -> Step {
    Step {
        at_ms,
        what: What::Deed(deed),
    }
}

fn shape(seeded: &mut Seeded) -> (usize, Vec<Link>) {
    let mut link = |from, to| Link {
        from,
        to,
        rolling: seeded.one_in(2),
    };
    let (first, second, third) = (link(0, 1), link(0, 2), link(1, 2));
    match seeded.below(5) {
        0 => (3, vec![first, second]),
        // What comes over the first link has to be found by the second, which no log of deeds tells of.
        1 => (
            3,
            vec![
                first,
                Link {
                    rolling: false,
                    ..third
                },
            ],
        ),
        _ => (2, vec![first]),
    }
}

fn tuning(seeded: &mut Seeded) -> Tuning {
    // Single bytes cost the most time.
    let sizes = [0, 0, 0, 0, 1, 7, 7, 100, 100, 100, 2_000, 2_000];
    let rarely = [0, 2, 5, 30];
    let chop = Chop {
        read_bytes_max: sizes[seeded.below(12)],
        write_bytes_max: sizes[seeded.below(12)],
        pending_one_in: rarely[seeded.below(4)],
        slow_flush_one_in: rarely[seeded.below(4)],
    };
    Tuning {
        tick_ms: [10, 25, 50][seeded.below(3)],
        latency_ms_max: [5, 30, 150][seeded.below(3)],
        any_order: seeded.one_in(2),
        bytes_per_ms: [0, 0, 4, 50][seeded.below(4)],
        chop,
        store_ms_max: [0, 2, 40][seeded.below(3)],
        peer_timeout_ms: [2_000, 3_000, 6_000][seeded.below(3)],
        login_timeout_ms: [2_000, 5_000][seeded.below(2)],
        connect_timeout_ms: [1_500, 3_000][seeded.below(2)],
        grace_ms: [50, 500, 3_000][seeded.below(3)],
        interval_ms: [10, 300, 2_000][seeded.below(3)],
        server_deflate: seeded.below(3) > 0,
        client_deflate: seeded.below(3) > 0,
        connections_max: [2, 4, 64][seeded.below(3)],
        busy_max: [1, 2, 64][seeded.below(3)],
        guests_max: [1, 3, 64][seeded.below(3)],
        guests_each_max: [1, 3, 16][seeded.below(3)],
        pause_ms: [100, 1_000][seeded.below(2)],
        pipeline_bytes_max: [64, 4_000, 1 << 20][seeded.below(3)],
        step_messages_max: [1, 3, 4096][seeded.below(3)],
        items_at_once: [1, 2, 64][seeded.below(3)],
    }
}

/// The mixture of one seed.
struct Swarm {
    hosts: usize,
    links: usize,
    users: usize,
    folders: usize,
    deeds: [usize; 8],
    faults: [usize; FAULTS],
    /// Weight of faults beside deeds.
    trouble: usize,
    bodies: u32,
}

impl Swarm {
    fn new(hosts: usize, links: usize, seeded: &mut Seeded) -> Self {
        let mut deeds = [0; 8];
        for weight in &mut deeds {
            *weight = [0, 1, 4][seeded.below(3)];
        }
        deeds[0] += 6;
        let mut faults = [0; FAULTS];
        for weight in &mut faults {
            *weight = [0, 0, 1, 6][seeded.below(4)];
        }
        Swarm {
            hosts,
            links,
            users: 1 + seeded.below(USERS.len()),
            folders: 1 + seeded.below(FOLDERS.len()),
            deeds,
            faults,
            trouble: [2, 8, 20][seeded.below(3)],
            bodies: 0,
        }
    }

    fn step(&mut self, seeded: &mut Seeded) -> What {
        if weighted(&[10, self.trouble], seeded) == 0 {
            What::Deed(self.deed(seeded))
        } else {
            self.fault(seeded)
        }
    }

    fn deed(&mut self, seeded: &mut Seeded) -> Deed {
        let user = seeded.below(self.users);
        let folder = seeded.below(self.folders);
        match weighted(&self.deeds, seeded) {
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
            6 if folder > 0 => Deed::Delete { user, folder },
            7 => Deed::Subscribe {
                user,
                folder,
                on: seeded.one_in(2),
            },
            _ => {
                let count = 1 + seeded.below(3) as u32;
                self.bodies += count;
                Deed::Append {
                    user,
                    folder,
                    bodies: (0..count).map(|nth| 1_000 + self.bodies - nth).collect(),
                    flags: seeded.below(64) as u8,
                }
            }
        }
    }

    fn server(&self, seeded: &mut Seeded) -> usize {
        1 + seeded.below(self.hosts - 1)
    }

    fn place(&self, seeded: &mut Seeded) -> Place {
        if seeded.one_in(2) {
            Place::Server(self.server(seeded))
        } else {
            Place::Client(seeded.below(self.links))
        }
    }

    fn fault(&self, seeded: &mut Seeded) -> What {
        let link = seeded.below(self.links);
        let for_ms = [60, 900, 12_000][seeded.below(3)];
        let down_ms = [1, 700, 9_000][seeded.below(3)];
        let far = [40, 900, 9_000][seeded.below(3)];
        let bytes = seeded.below(far) as u64;
        match weighted(&self.faults, seeded) {
            1 => What::Deafness {
                link,
                to_server: seeded.one_in(2),
                for_ms,
            },
            2 => What::Hold { link, for_ms },
            3 => What::Slow {
                link,
                latency_ms_max: [100, 700, 5_000][seeded.below(3)],
                for_ms,
            },
            4 | 5 => What::Crash {
                place: self.place(seeded),
                silent: seeded.one_in(2),
                down_ms,
            },
            6 => What::Stop {
                host: self.server(seeded),
                drain_ms: [0, 0, 400, 5_000][seeded.below(4)],
                down_ms,
            },
            7 => What::Interrupt { link, down_ms },
            8 => What::Trouble {
                place: self.place(seeded),
                trouble: [Trouble::Reset, Trouble::Deaf, Trouble::Hole, Trouble::Stuck][seeded.below(4)],
                bytes,
            },
            9 => What::StoreErrors {
                host: seeded.below(self.hosts),
                one_in: 1 + seeded.below(20),
                for_ms,
            },
            10 => What::StoreSlow {
                host: seeded.below(self.hosts),
                ms: [100, 1_000, 4_000][seeded.below(3)],
                for_ms,
            },
            11 => What::Stranger {
                host: self.server(seeded),
                manner: Manner::ALL[seeded.below(Manner::ALL.len())],
            },
            12 => What::ClockJump {
                host: seeded.below(self.hosts),
                seconds: [-4_000, -3, 3, 5_000][seeded.below(4)],
            },
            _ => What::Partition { link, for_ms },
        }
    }
}

/// An index, each as often as its weight says; 0 when all weights are 0.
fn weighted(weights: &[usize], seeded: &mut Seeded) -> usize {
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
