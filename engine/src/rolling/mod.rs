//! Rolling replication without files, sockets and clocks: which change is synced when, and what becomes of one that
//! fails.
