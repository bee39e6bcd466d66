//! Connecting to a replica and logging in, and nothing more.

use std::time::Instant;

use engine::master::{Job, MasterConfig};
use net::client::Target;
use net::config::Settings;
use store::memory::MemoryStore;

use super::{Findings, Verdict};
use crate::compare_remote::verdict;

/// Connects to the channel's replica, with TLS and login as a sync_client would.
pub fn try_out(settings: &Settings, findings: &mut Findings) {
    let about = Some(settings.channel.as_deref().unwrap_or_default());
    let Some(peer) = settings.sync_host.clone() else {
        return;
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return findings.add(Verdict::Error, about, format!("cannot start: {error}")),
    };
    let target = Target::from_settings(settings, peer.clone());
    let config = MasterConfig {
        compress: target.compress(settings.sync_compress),
        // Nobody is compared: the run ends after the login.
        ..MasterConfig::new(Job::Compare(Vec::new()))
    };
    let session = Box::new(MemoryStore::new().session());
    let begun = Instant::now();
    let ran = runtime.block_on(net::client::run(
        &target,
        config,
        session,
        std::future::pending(),
        |_| {},
    ));
    let outcome = match &ran {
        Err(error) => Err(error.to_string()),
        Ok(progress) => verdict(progress).map_err(|failure| failure.text),
    };
    match outcome {
        Ok(()) => {
            let took = monitor::health::span(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
            findings.add(
                Verdict::Ok,
                about,
                format!("{peer}: connected and logged in, in {took}"),
            );
        }
        Err(text) if text.contains(&peer.to_string()) => findings.add(Verdict::Error, about, text),
        Err(text) => findings.add(Verdict::Error, about, format!("{peer}: {text}")),
    }
}
