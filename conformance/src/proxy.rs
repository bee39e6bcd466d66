//! A recording proxy.
