//! Where messages go: standard error, or the system's log under Cyrus's master; as text, or one JSON object a line.

use std::io::IsTerminal as _;

use net::config::{LogFormat, Settings};
use net::shown::Straight;
use tracing::Level;

use crate::args::Args;
use crate::supervisor::Supervisor;
use crate::syslog::Syslog;

/// Starts the log; says whether it is the system's. Services of Cyrus's master have no standard error that anybody reads,
/// and their administrators look where Cyrus writes. [CS-SVC-19]
pub(crate) fn start(args: &Args, supervisor: Option<&Supervisor>, settings: Option<&Settings>) -> bool {
    let level = match args.verbose.max(supervisor.map_or(0, Supervisor::verbose)) {
        0 => Level::WARN,
        1 => Level::INFO,
        _ => Level::DEBUG,
    };
    let builder = tracing_subscriber::fmt().with_max_level(level).with_target(false);
    let keys = settings.map(|settings| &settings.service);
    let syslog = supervisor.and_then(Supervisor::service).and_then(|service| {
        let prefix = keys.and_then(|keys| keys.syslog_prefix.as_deref());
        let facility = keys.and_then(|keys| keys.syslog_facility.as_deref());
        Syslog::open(prefix, service, facility)
    });
    let json = keys.is_some_and(|keys| keys.log_format == LogFormat::Json);
    let in_syslog = syslog.is_some();
    match (syslog, json) {
        (Some(syslog), true) => {
            let builder = builder.json().flatten_event(true).with_span_list(false);
            builder.without_time().with_writer(syslog).init();
        }
        (Some(syslog), false) => {
            let builder = builder.with_ansi(false).without_time().with_level(false);
            builder.with_writer(syslog).init();
        }
        (None, true) => {
            let builder = builder.json().flatten_event(true).with_span_list(false);
            builder.with_writer(|| Straight(std::io::stderr())).init();
        }
        (None, false) => {
            let builder = builder.with_ansi(std::io::stderr().is_terminal());
            builder.with_writer(|| Straight(std::io::stderr())).init();
        }
    }
    in_syslog
}
