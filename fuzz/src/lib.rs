//! What the fuzz targets check; plain functions, so that a saved input can be run by a test or under a debugger.
//!
//! A body takes any bytes, and panics when what it checks does not hold. [`TARGETS`] names all of them.
#![forbid(unsafe_code)]

pub mod conf;
pub mod deflate;
pub mod drive;
pub mod grammar;
pub mod log;
pub mod master;
pub mod model;
pub mod replica;
pub mod typed;
pub mod values;
pub mod view;
pub mod wire;

/// A target's body.
pub type Body = fn(&[u8]);

/// Every target by the name of its program.
pub const TARGETS: [(&str, Body); 15] = [
    ("command_decoder", wire::command_decoder),
    ("reply_decoder", wire::reply_decoder),
    ("fragmenter", wire::fragmenter),
    ("roundtrip", wire::roundtrip),
    ("grammar", grammar::grammar),
    ("typed_commands", typed::commands),
    ("typed_replies", typed::replies),
    ("deflate", deflate::deflate),
    ("imapd_conf", conf::imapd_conf),
    ("synclog_line", log::line),
    ("synclog_files", log::files),
    ("replica_session", replica::session),
    ("replica_commands", replica::commands),
    ("master_session", master::session),
    ("master_answers", master::answers),
];
