//! What the tests need beside the toolchain: Debian's Cyrus 3.6, and cargo-nextest.

use crate::step;

/// Debian packages of the servers under test; `procps` brings kill(1), by which the suite ends what it started.
const CYRUS: &str =
    "cyrus-imapd cyrus-replication cyrus-common cyrus-admin sasl2-bin libsasl2-modules procps";

/// Whether the runs against real Cyrus can happen, or why not.
pub fn cyrus() -> Result<(), String> {
    if step::succeeds(
        "test -x /usr/sbin/cyrmaster && test -x /usr/lib/cyrus/bin/sync_client && which saslpasswd2",
    ) {
        return root();
    }
    if !step::succeeds("test -f /etc/debian_version && which apt-get") {
        return Err("Cyrus is not installed, and this is not a Debian system that could install it".into());
    }
    root()?;
    // Debian's package starts its services at once, on every address. A policy of "no" keeps them down.
    let install = format!(
        "set -e; p=/usr/sbin/policy-rc.d; if [ ! -e $p ]; then printf '#!/bin/sh\\nexit 101\\n' > $p; chmod 755 $p; \
         trap 'rm -f '$p EXIT; fi; apt-get update -qq; \
         DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends {CYRUS} >/dev/null"
    );
    match step::run("install Debian's Cyrus packages", &install, &[]).ok {
        true => Ok(()),
        false => Err("Debian's Cyrus packages could not be installed".into()),
    }
}

fn root() -> Result<(), String> {
    match step::succeeds("test \"$(id -u)\" = 0") {
        true => Ok(()),
        false => Err("Cyrus has to be started as root, which this is not".into()),
    }
}

/// Makes `cargo nextest` available.
pub fn nextest() -> bool {
    step::succeeds("cargo nextest --version")
        || step::run(
            "install cargo-nextest",
            "cargo install cargo-nextest --locked",
            &[],
        )
        .ok
}

/// Makes a C++ compiler available, with which libFuzzer is built.
pub fn cpp() -> bool {
    let install = "apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++";
    step::succeeds("c++ --version") || step::run("install a C++ compiler", install, &[]).ok
}
