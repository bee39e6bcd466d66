//! A run from the banner to the last answer.

use std::sync::{Arc, Mutex};

use protocol::decode::ReplyDecoder;

use super::{MasterConfig, Progress};
use crate::flow::Port;

/// Runs to the end.
pub(super) async fn run(_port: Port<ReplyDecoder>, _config: MasterConfig, _progress: Arc<Mutex<Progress>>) {}
