//! Faults made on purpose: each is a small change of the sources, kept as data, and whoever judges has to find it.
//!
//! What finds none of them cannot be trusted when it finds nothing else. They are built into a copy of the sources, never into
//! the sources themselves, and all at once: each is behind a switch, and a program is started with one of them on. The simulator's
//! bugs (`sim/planted`) and the mutated servers and clients of the suite (`conformance/mutants`) are of this kind.
//!
//! ```text
//! title: An OK goes out before the commit
//! breaks: CS-APPLY-2
//! any other key: a value, for whoever reads the file
//!
//! file: engine/src/replica/batch.rs
//! <<<
//! lines as they are
//! ===
//! lines as they become, where PLANTED is a condition that is true when the fault is on
//! >>>
//! ```
//!
//! As all are built at once, no two may be in the same lines, and each has to leave the code as it was while it is off.
//!
//! Lines are compared without the space around them, so that a change of indentation does no harm; any other change of
//! these lines makes the edit fail, and [`unfit`] says so.
#![forbid(unsafe_code)]

mod edit;
mod fault;
mod tree;

pub use edit::Edit;
pub use fault::{Fault, all};
pub use tree::{Tree, unfit};

/// The environment's variable that switches a fault on in programs of the copy: its name, or `NAME@PROGRAM` for that program
/// alone.
pub const SWITCH_VARIABLE: &str = "MAILTWIN_PLANTED";
/// The file that gets the switch: of a crate that all others with faults in them use.
const SWITCH_FILE: &str = "protocol/src/lib.rs";

/// The condition that a fault is on.
fn switch(name: &str) -> String {
    format!("::protocol::planted::is_on(\"{name}\")")
}

/// The code behind the condition, which only the copy of the sources has.
fn switch_code() -> String {
    format!(
        "\n{}",
        include_str!("switch.txt").replace("SWITCH_VARIABLE", SWITCH_VARIABLE)
    )
}
