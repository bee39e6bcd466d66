//! The other direction: a client is run against a replica that mostly does what a replica does, and now and then what the
//! scenario says.
//!
//! [`script`] reads the files, `replica` stands between the client and a real replica, `running` is one run, [`play`] plays one scenario, [`command`] all
//! of them.

pub mod command;
pub mod play;
mod replica;
mod running;
pub mod script;
