//! The second ring: the whole shell, `net`'s driver, clients and servers, on a simulated network in simulated time.
//!
//! Real programs' code runs on tokio here, with turmoil's network, a store in memory and a clock of the simulation's
//! below it (see `net::platform`). One thread carries everything, so a seed is a run. The network carries each write as one
//! piece and never sends anything again, so streams are cut by the simulation itself, and a partition is the silent death
//! of the connections over it.

mod client;
pub mod court;
mod generate;
pub mod plan;
mod platform;
pub mod rules;
mod run;
pub mod sabotage;
mod server;
mod session;
mod strangers;
pub mod stream;
mod world;

pub use generate::generate;
pub use run::{Outcome, execute, execute_with, many, seed, story};

/// Where servers listen.
pub const PORT: u16 = 2005;

/// The name of a machine on the network: that of a server, or of a link's client.
pub fn name_of(place: plan::Place) -> String {
    match place {
        plan::Place::Server(host) => format!("server{host}"),
        plan::Place::Client(link) => format!("client{link}"),
    }
}
