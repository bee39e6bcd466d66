//! `mailtwin status --listen`: the page and the metrics of all channels.

use std::net::SocketAddr;
use std::sync::Arc;

use monitor::health::Thresholds;
use monitor::http::{self, Source};
use monitor::view::ChannelView;
use net::config::Settings;
use tokio::net::TcpListener;

use super::gather::{self, look};
use crate::failure::{Exit, Failure, Result};
use crate::output;

/// Looks at the files for each request.
struct Files {
    settings: Vec<Settings>,
    limits: Thresholds,
}

impl Source for Files {
    fn now_ms(&self) -> u64 {
        gather::now_ms()
    }

    fn channels(&self) -> Vec<ChannelView> {
        self.settings
            .iter()
            .map(|settings| look(settings, &self.limits))
            .collect()
    }

    fn metrics(&self) -> String {
        let views = self.channels();
        let known = views
            .iter()
            .filter_map(|view| Some((view.status.as_ref()?, view.running)));
        monitor::metrics::of_channels(known, gather::now_ms())
    }
}

/// Serves until it is killed.
pub fn run(address: SocketAddr, settings: Vec<Settings>, limits: Thresholds) -> Result<()> {
    let failed =
        |error: std::io::Error| Failure::new(Exit::Io, format!("cannot listen on {address}: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    if !address.ip().is_loopback() {
        output::note(
            "anybody who can reach this address can see the page; it shows names of users in trouble",
        )?;
    }
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        output::note(&format!(
            "http://{bound}/ shows all channels; http://{bound}/metrics is for Prometheus"
        ))?;
        http::serve(listener, Arc::new(Files { settings, limits }))
            .await
            .map_err(failed)
    })
}
