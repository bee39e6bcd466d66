//! What the benchmark programs share: generated mail, filled stores, measured processes, a counting proxy.
#![forbid(unsafe_code)]

pub mod cyrus_side;
pub mod fill;
pub mod mail;
pub mod measure;
pub mod own_side;
pub mod proxy;
