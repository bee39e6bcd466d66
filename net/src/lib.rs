//! The tokio driver: sockets, deflate, SASL, deadlines, configuration. Moves bytes and tickets, decides nothing.
#![forbid(unsafe_code)]

pub mod address;
pub mod client;
pub mod config;
pub mod deflate;
pub mod driver;
pub mod guests;
pub mod listener;
pub mod meter;
pub mod platform;
pub mod sasl;
pub mod secret;
pub mod server;
pub mod shown;
pub mod stream;
pub mod tls;
pub mod trace;
pub mod traffic;
