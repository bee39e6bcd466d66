//! Benchmarks: criterion for the protocol, and whole runs side by side with Cyrus.
