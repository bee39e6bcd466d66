//! What a running replication tells the world about itself: status files, metrics, and a page for people.
#![forbid(unsafe_code)]

pub mod health;
pub mod http;
pub mod metrics;
pub mod page;
pub mod serving;
pub mod status;
pub mod view;
