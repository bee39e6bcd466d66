//! Durable stores that answer the engine's storage tickets.
#![forbid(unsafe_code)]
