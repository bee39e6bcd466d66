//! A connection from banner to close.

use protocol::decode::CommandDecoder;

use super::ReplicaConfig;
use crate::flow::Port;

/// Runs a connection to its end.
pub(super) async fn run(_port: Port<CommandDecoder>, _config: ReplicaConfig) {}
