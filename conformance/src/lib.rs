//! The conformance suite: it judges any csync server or client from outside, over sockets.
//!
//! Everything here is deliberately simple and shares no code with the programs it judges: its own dlist
//! reader, its own CRCs, its own IMAP client. A mistake made twice in the same way would otherwise stay
//! invisible. Real Cyrus is both a partner in the runs and the first thing that is judged, so a wrong
//! expectation shows up there before it blames our programs.
//!
//! * [`cyrus`] runs a real Cyrus 3.6 in a temporary directory.
//! * [`imap`] and [`csync`] are blocking clients.
//! * [`population`] fills a server with everything replication has to carry, and then changes it.
//! * [`compare`] collects what a server says about itself as flat facts and lists the differences.
//! * [`programs`] starts our own programs as child processes.
//! * [`walk`] carries random changes there and back, round after round.
//! * [`link`] and [`lmtp`]: a network that fails on command, and mail that arrives from outside.
//! * [`rolling`] lets mail arrive while servers, clients and links fail.
//! * [`kill`] kills our server at random moments and checks what it had promised.
//! * [`suite`] plays scenario files against any server and judges it by the spec.
//! * [`mutants`]: servers and clients with one rule broken, which the suite has to name.
#![forbid(unsafe_code)]

pub mod compare;
pub mod csync;
pub mod cyrus;
mod error;
pub mod imap;
pub mod kill;
pub mod link;
pub mod lmtp;
pub mod matrix;
pub mod mutants;
pub mod place;
pub mod population;
pub mod ports;
pub mod process;
pub mod programs;
pub mod proxy;
pub mod rng;
pub mod rolling;
mod settings;
pub mod suite;
pub mod vectors;
pub mod walk;

pub use error::{Error, Result, readable as error_text};
