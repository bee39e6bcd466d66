//! The tokio driver: sockets, deflate, SASL, deadlines, configuration. Moves bytes and tickets, decides nothing.
#![forbid(unsafe_code)]

pub mod address;
pub mod config;
pub mod deflate;
pub mod sasl;
pub mod secret;
