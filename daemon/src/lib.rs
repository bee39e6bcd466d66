//! What a long-running program does to its process before it works: who started it and what it was handed, as which
//! user it runs, how many files it may open, and the file that says its process id.
//!
//! All of it is to be done early, while the process has one thread; nothing here starts one.
#![forbid(unsafe_code)]

pub mod handed;
pub mod open_files;
pub mod pidfile;
pub mod user;
