//! The servers of a run, the ways between them, and what goes wrong there.

use super::lag::{Lags, Ledger, Phase, Watch};
use super::node::{Node, Roller, Side, kill_stock_client, twin_channels};
use super::operator::{Operator, Promised};
use super::report::Row;
use super::settle::{equal, wait};
use super::traffic::{self, Traffic, mailboxes};
use super::{Fault, Plan, Shape, USERS};
use crate::cyrus::{Cyrus, Setup};
use crate::link::Link;
use crate::programs::Twin;
use crate::rng::Rng;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long everything may take to catch up when the faults are over. Not a promise, only the end of patience.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);
/// How long before a fault a message may be delivered and still meet it: Cyrus looks at its log once a second.
const BEFORE: Duration = Duration::from_millis(1500);
/// Users of the mesh whom the Cyrus feeds.
const FED: &[&str] = &["ada", "ben", "cleo"];
/// Users of the mesh whom an operator changes in the store of the west, in that of the east, and in both.
const WANDA: &str = "wanda";
const EGON: &str = "egon";
const UMA: &str = "uma";
/// The west, the east and the offsite server of the mesh.
const WEST: usize = 0;
const EAST: usize = 1;

/// A server that is watched.
struct Server {
    name: &'static str,
    node: Node,
    /// The server before it in a chain.
    behind: Option<usize>,
}

/// A way from one server to another.
struct Hop {
    label: &'static str,
    channel: &'static str,
    link: Link,
    to: usize,
    /// The client, and the server from whose store it rolls; `None`: the stock client of the master, which cyrmaster
    /// looks after.
    roller: Option<(Roller, usize)>,
    /// The servers that mail reaches over it.
    way_of: &'static [usize],
}

/// Everything that takes part in a run.
pub(super) struct Stage {
    shape: Shape,
    master: Cyrus,
    servers: Vec<Server>,
    hops: Vec<Hop>,
    promised: Promised,
}

/// What changes the servers.
pub(super) struct Sources {
    traffic: Traffic,
    operators: Vec<Operator>,
}

impl Sources {
    /// Ends all of it. Returns how many changes were made.
    pub(super) fn end(self) -> Result<u64> {
        let mut changes = self.traffic.end()?;
        for operator in self.operators {
            changes += operator.end()?;
        }
        Ok(changes)
    }
}

fn setup(name: &str) -> Setup {
    let mut setup = Setup::new(name, &USERS);
    setup.in_memory = true;
    setup
}

fn master(channels: &[(&str, &str)]) -> Result<Cyrus> {
    let mut setup = setup("master").rolling(channels);
    setup.lmtp = true;
    Cyrus::start(setup)
}

fn twin(name: &str, lines: &[String]) -> Result<Twin> {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let mut twin = Twin::tcp(name, &lines)?;
    twin.start()?;
    Ok(twin)
}

fn server(name: &'static str, twin: Twin, behind: Option<usize>) -> Server {
    Server {
        name,
        node: Node::Twin(Box::new(twin)),
        behind,
    }
}

fn two() -> Result<Stage> {
    let (mut servers, mut hops) = (Vec::new(), Vec::new());
    let ways: [(_, _, _, &[usize]); 2] = [
        ("first mailtwin", "first", "Cyrus to the first", &[0]),
        ("second mailtwin", "second", "Cyrus to the second", &[1]),
    ];
    for (name, channel, label, way_of) in ways {
        let twin = twin(channel, &[])?;
        hops.push(Hop {
            label,
            channel,
            link: Link::start(&twin.address())?,
            to: servers.len(),
            roller: None,
            way_of,
        });
        servers.push(server(name, twin, None));
    }
    let channels: Vec<(&str, &str)> = hops.iter().map(|hop| (hop.channel, hop.link.address())).collect();
    let master = master(&channels)?;
    Ok(Stage {
        shape: Shape::Two,
        master,
        servers,
        hops,
        promised: Promised::default(),
    })
}

fn chain() -> Result<Stage> {
    let last = twin("last", &[])?;
    let cyrus = Cyrus::start(setup("replica"))?;
    let (to_last, to_cyrus) = (
        Link::start(&last.address())?,
        Link::start(&cyrus.csync_address())?,
    );
    let onward = [("twin", to_last.address()), ("cyrus", to_cyrus.address())];
    let middle = twin("middle", &twin_channels(&onward, true))?;
    let to_middle = Link::start(&middle.address())?;
    let master = master(&[("middle", to_middle.address())])?;
    let to_twin = Roller::start(&middle, "twin", &[])?;
    let onto_cyrus = Roller::start(&middle, "cyrus", &[])?;
    let hop = |label, channel, link, to, roller: Option<Roller>, way_of| Hop {
        label,
        channel,
        link,
        to,
        roller: roller.map(|roller| (roller, 0)),
        way_of,
    };
    let hops = vec![
        hop(
            "Cyrus to the middle",
            "middle",
            to_middle,
            0,
            None,
            &[0, 1, 2][..],
        ),
        hop("the middle to mailtwin", "twin", to_last, 1, Some(to_twin), &[1]),
        hop(
            "the middle to Cyrus",
            "cyrus",
            to_cyrus,
            2,
            Some(onto_cyrus),
            &[2],
        ),
    ];
    let servers = vec![
        server("mailtwin in the middle", middle, None),
        server("mailtwin at the end", last, Some(0)),
        Server {
            name: "Cyrus at the end",
            node: Node::Cyrus(Box::new(cyrus)),
            behind: Some(0),
        },
    ];
    Ok(Stage {
        shape: Shape::Chain,
        master,
        servers,
        hops,
        promised: Promised::default(),
    })
}

/// The west logs what it takes, for the Cyrus's mail has to go on to the east and the east's to the third; the east does
/// not, so that nothing goes in circles.
fn mesh() -> Result<Stage> {
    let offsite = twin("offsite", &[])?;
    let to_offsite = Link::start(&offsite.address())?;
    // Each of the two needs the way to the other: the link's address is known before its target listens.
    let to_west = Link::open()?;
    let east = twin("east", &twin_channels(&[("west", to_west.address())], false))?;
    let to_east = Link::start(&east.address())?;
    let onward = [("east", to_east.address()), ("offsite", to_offsite.address())];
    let west = twin("west", &twin_channels(&onward, true))?;
    to_west.lead(&west.address());
    let fed = Link::start(&west.address())?;
    let master = master(&[("west", fed.address())])?;
    let rollers = [
        (Roller::start(&west, "east", &[])?, WEST),
        (Roller::start(&west, "offsite", &[])?, WEST),
        (Roller::start(&east, "west", &[])?, EAST),
    ];
    let [west_east, west_offsite, east_west] = rollers;
    let hop = |label, channel, link, to, roller, way_of| Hop {
        label,
        channel,
        link,
        to,
        roller,
        way_of,
    };
    let hops = vec![
        hop("Cyrus to the west", "west", fed, WEST, None, &[0, 1, 2][..]),
        hop("west to east", "east", to_east, EAST, Some(west_east), &[1]),
        hop("east to west", "west", to_west, WEST, Some(east_west), &[0, 2]),
        hop(
            "west to offsite",
            "offsite",
            to_offsite,
            2,
            Some(west_offsite),
            &[2],
        ),
    ];
    let servers = vec![
        server("west", west, None),
        server("east", east, None),
        server("offsite", offsite, None),
    ];
    Ok(Stage {
        shape: Shape::Mesh,
        master,
        servers,
        hops,
        promised: Promised::default(),
    })
}

impl Stage {
    /// Starts all servers and clients of a shape.
    pub(super) fn build(shape: Shape) -> Result<Stage> {
        match shape {
            Shape::Two => two(),
            Shape::Chain => chain(),
            Shape::Mesh => mesh(),
        }
    }

    /// The users whom the Cyrus has.
    fn fed(&self) -> &'static [&'static str] {
        match self.shape {
            Shape::Two | Shape::Chain => &USERS,
            Shape::Mesh => FED,
        }
    }

    /// Makes the users.
    pub(super) fn prepare(&mut self) -> Result<Ledger> {
        traffic::prepare(&self.master, self.fed())?;
        let mut watched = mailboxes(self.fed());
        if self.shape == Shape::Mesh {
            self.operator_s_users()?;
            watched.extend([WANDA, EGON].map(traffic::inbox));
        }
        Ok(Ledger::new(watched, self.servers.len()))
    }

    fn operator_s_users(&self) -> Result<()> {
        let make = |server: usize, user: &str| match &self.servers[server].node {
            Node::Twin(twin) => twin
                .mailtwin(&["create", &format!("user/{user}")])?
                .success("mailtwin create")
                .map(drop),
            Node::Cyrus(_) => Ok(()),
        };
        make(WEST, WANDA)?;
        make(EAST, EGON)?;
        make(WEST, UMA)?;
        // Both must know her before both change her.
        let west = self.servers[WEST].node.side();
        wait("the east", west, &self.servers[EAST].node, &[UMA], SETTLE_LIMIT)
    }

    /// Asks all servers what has arrived.
    pub(super) fn watch(&self, ledger: &Ledger) -> Vec<Watch> {
        let servers = self.servers.iter().enumerate();
        servers
            .map(|(index, server)| Watch::start(ledger, index, &server.node.address()))
            .collect()
    }

    /// Lets mail arrive and operators work.
    pub(super) fn begin_traffic(&mut self, ledger: &Ledger, rate: u32, rng: &mut Rng) -> Result<Sources> {
        let plan = traffic::Plan {
            rate,
            seed: rng.next_u64(),
        };
        let traffic = Traffic::start(&self.master, self.fed(), ledger, plan);
        let mut operators = Vec::new();
        if self.shape == Shape::Mesh {
            for (server, own) in [(WEST, WANDA), (EAST, EGON)] {
                let Node::Twin(twin) = &self.servers[server].node else {
                    continue;
                };
                operators.push(Operator::start(
                    twin,
                    server,
                    [own, UMA],
                    (ledger, &self.promised),
                    traffic::Plan {
                        // A process a change is a lot of work for a small machine.
                        rate: (rate / 4).max(1),
                        seed: rng.next_u64(),
                    },
                ));
            }
        }
        Ok(Sources { traffic, operators })
    }

    /// Faults and calm in turn until the time is over and each fault has happened at each hop. Returns how many faults
    /// there were.
    pub(super) fn suffer(&mut self, plan: &Plan, ledger: &Ledger, rng: &mut Rng) -> Result<u32> {
        let end = Instant::now() + plan.time;
        let mut count = 0;
        std::thread::sleep(plan.fault);
        if plan.faults.is_empty() {
            std::thread::sleep(end.saturating_duration_since(Instant::now()));
            return self.check_rollers().map(|()| 0);
        }
        loop {
            let mut left: Vec<(usize, Fault)> = (0..self.hops.len())
                .flat_map(|hop| plan.faults.iter().map(move |&fault| (hop, fault)))
                .collect();
            let first_round = count == 0;
            while !left.is_empty() && (first_round || Instant::now() < end) {
                let (hop, fault) = left.swap_remove(rng.below(left.len()));
                ledger.phase(Phase::Fault { hop, fault });
                self.inflict(hop, fault, plan.fault)?;
                // What is delivered now may still wait for the way to come back.
                ledger.phase(Phase::After);
                std::thread::sleep(plan.fault / 2);
                ledger.phase(Phase::Calm);
                std::thread::sleep(plan.fault / 2);
                ledger.phase(Phase::Before);
                std::thread::sleep(BEFORE.min(plan.fault / 2));
                self.check_rollers()?;
                count += 1;
            }
            if Instant::now() >= end {
                return Ok(count);
            }
        }
    }

    fn inflict(&mut self, at: usize, fault: Fault, time: Duration) -> Result<()> {
        let hop = &mut self.hops[at];
        let node = &mut self.servers[hop.to].node;
        match fault {
            Fault::Stop => node.stop()?,
            Fault::Kill => node.kill()?,
            Fault::Cut => hop.link.cut(),
            Fault::Stall => hop.link.stall(),
            Fault::HalfClose => hop.link.half_close(),
            Fault::KillClient => match &mut hop.roller {
                Some((roller, _)) => roller.kill()?,
                None => drop(kill_stock_client(&self.master, hop.channel)),
            },
        }
        std::thread::sleep(time);
        match fault {
            Fault::Stop | Fault::Kill => self.servers[hop.to].node.start(),
            Fault::Cut | Fault::Stall => {
                hop.link.restore();
                Ok(())
            }
            Fault::HalfClose => Ok(()),
            Fault::KillClient => match &mut hop.roller {
                Some((roller, from)) => match &self.servers[*from].node {
                    Node::Twin(twin) => roller.again(twin, &[]),
                    Node::Cyrus(_) => Ok(()),
                },
                None => Ok(()),
            },
        }
    }

    /// Our rolling client never ends by itself, whatever happens to its peer.
    fn check_rollers(&mut self) -> Result<()> {
        for hop in &mut self.hops {
            let Some((roller, _)) = &mut hop.roller else {
                continue;
            };
            if let Some(status) = roller.ended() {
                let text = format!("sync_client -R, {}, ended: {status}\n{}", hop.label, roller.log());
                return Err(Error::Process(text));
            }
        }
        Ok(())
    }

    /// What has to be equal at the end: the model, the server, and whose mail.
    fn pairs(&self) -> Vec<(Side<'_>, &Server, &'static [&'static str])> {
        let fed = self.fed();
        let servers = self.servers.iter();
        let mut pairs: Vec<_> = servers
            .map(|server| (Side::Cyrus(&self.master), server, fed))
            .collect();
        if self.shape == Shape::Mesh {
            let west = self.servers[WEST].node.side();
            let others = self.servers.iter().skip(1);
            pairs.extend(others.map(|server| (west, server, &[WANDA, EGON, UMA][..])));
        }
        pairs
    }

    /// Waits until everything has arrived everywhere. Returns how many facts are equal.
    pub(super) fn settle(&mut self, ledger: &Ledger) -> Result<usize> {
        let told = |error: Error| Error::Process(format!("{error}\nour clients said:\n{}", self.said()));
        // A change that goes round may reach a server after it was looked at.
        for _ in 0..2 {
            for (model, server, users) in self.pairs() {
                wait(server.name, model, &server.node, users, SETTLE_LIMIT).map_err(told)?;
            }
        }
        // The watches have a last look before they end.
        let end = Instant::now() + Duration::from_secs(20);
        for (index, server) in self.servers.iter().enumerate() {
            while ledger.missing(index) > 0 {
                if Instant::now() > end {
                    let text = format!(
                        "{} messages never showed on {}",
                        ledger.missing(index),
                        server.name
                    );
                    return Err(Error::Process(text));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            self.promised
                .check(server.name, server.node.side(), &traffic::inbox(UMA))?;
        }
        let mut facts = 0;
        for (model, server, users) in self.pairs() {
            facts += equal(server.name, model, server.node.side(), users).map_err(told)?;
        }
        self.check_rollers()?;
        Ok(facts)
    }

    fn said(&self) -> String {
        let rollers = self
            .hops
            .iter()
            .filter_map(|hop| Some((hop.label, &hop.roller.as_ref()?.0)));
        let said = |(label, roller): (&str, &Roller)| {
            let log = roller.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(60)..].join("\n");
            format!("{label}:\n{last}\n")
        };
        rollers.map(said).collect()
    }

    /// Messages of mailboxes that two servers changed at once.
    pub(super) fn kept(&self) -> usize {
        self.promised.count()
    }

    /// The lags, server by server.
    pub(super) fn rows(&self, ledger: &Ledger) -> Vec<Row> {
        let mut rows = Vec::new();
        for (index, server) in self.servers.iter().enumerate() {
            rows.extend(self.rows_of(index, "delivery", ledger.lags(index, None)));
            if let Some(behind) = server.behind {
                let lags = ledger.lags(index, Some(behind));
                rows.extend(self.rows_of(index, self.servers[behind].name, lags));
            }
        }
        rows
    }

    fn rows_of(&self, index: usize, since: &'static str, lags: BTreeMap<Phase, Lags>) -> Vec<Row> {
        let mut found = BTreeMap::<(usize, &'static str), Lags>::new();
        for (phase, lags) in lags {
            let during = match phase {
                Phase::Calm => (0, "calm"),
                Phase::After => (1, "just after a fault"),
                Phase::Before => (10, "just before a fault"),
                Phase::Fault { hop, .. } if !self.hops[hop].way_of.contains(&index) => {
                    (9, "faults elsewhere")
                }
                Phase::Fault { fault, .. } => (2 + fault as usize, fault.name()),
            };
            let before = found.remove(&during).unwrap_or_default();
            found.insert(during, before.and(&lags));
        }
        let row = |((_, during), lags)| Row {
            server: self.servers[index].name,
            since,
            during,
            lags,
        };
        found.into_iter().map(row).collect()
    }

    /// An orderly end of everything, and a last look at the stores.
    pub(super) fn end(mut self) -> Result<()> {
        self.master.stop().or_else(|_| self.master.kill())?;
        for hop in &mut self.hops {
            if let Some((roller, _)) = &mut hop.roller {
                roller.stop()?;
            }
        }
        for server in &mut self.servers {
            server.node.stop()?;
            server.node.verify()?;
        }
        Ok(())
    }
}
