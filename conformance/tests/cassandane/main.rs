//! Situations that Cyrus's own test-suite names for replication, with real Cyrus on both sides of a store of ours:
//! changed by IMAP at `hand`, carried by the stock client into ours, and by our client into the Cyrus at the far end and
//! into another server of ours.
//!
//! docs/CASSANDANE.md says which case is answered where.

mod chain;
mod clients;
mod faults;
mod messages;
mod names;
mod own;
mod scripts;
mod split;
mod table;
mod users;
