//! The logs of changes that rolling replication reads: written as Cyrus writes them, read so that nothing is lost.
#![forbid(unsafe_code)]
