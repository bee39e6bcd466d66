//! The configuration files of a Cyrus under test.

use super::{ADMIN, PASSWORD, Setup, TOOLS};
use crate::ports::Port;
use std::path::Path;

/// imapd.conf; `directory` is what the server calls its folder.
pub(super) fn imapd_conf(directory: &Path, setup: &Setup) -> String {
    let place = directory.display();
    let yes = |value: bool| if value { "yes" } else { "no" };
    let text = format!(
        "configdirectory: {place}/conf
partition-default: {place}/spool
partition-second: {place}/spool2
defaultpartition: default
sievedir: {place}/sieve
servername: {name}
admins: {ADMIN}
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {place}/conf/sasldb2
sasl_mech_list: PLAIN
allowplaintext: yes
failedloginpause: 0
sync_try_imap: no
sync_authname: {ADMIN}
sync_password: {PASSWORD}
annotation_allow_undefined: yes
unixhierarchysep: {sep}
altnamespace: {alt}
virtdomains: off
conversations: {conversations}
duplicatesuppression: no
idlesocket: {place}/conf/socket/idle
lmtpsocket: {place}/conf/socket/lmtp
notifysocket: {place}/conf/socket/notify
",
        name = setup.name,
        sep = yes(setup.unix_hierarchy_sep),
        alt = yes(setup.alt_namespace),
        conversations = yes(setup.conversations),
    );
    let own = |line: &&str| {
        let key = line.split(':').next();
        setup.extra.iter().all(|(extra, _)| Some(extra.as_str()) != key)
    };
    let mut text: String = text.lines().filter(own).map(|line| format!("{line}\n")).collect();
    for (key, value) in &setup.extra {
        let value = value.replace("{place}", &place.to_string());
        text.push_str(&format!("{key}: {value}\n"));
    }
    text
}

/// cyrus.conf, with its services on loopback.
pub(super) fn cyrus_conf(directory: &Path, setup: &Setup, [imap, csync, sieve, lmtp]: [&Port; 4]) -> String {
    let place = directory.display();
    let conf = format!("-C {place}/imapd.conf");
    let lmtp = if setup.lmtp {
        let address = lmtp.address();
        format!("  lmtp cmd=\"lmtpd {conf} -a\" listen=\"{address}\" prefork=0\n")
    } else {
        String::new()
    };
    let daemon = |(name, command): &(String, String)| {
        let (tool, arguments) = command.split_once(' ').unwrap_or((command, ""));
        format!("  {name} cmd=\"{tool} {conf} {arguments}\"\n")
    };
    let daemons: String = setup.daemons.iter().map(daemon).collect();
    let service = |(name, command, listen): &(String, String, String)| {
        let (program, arguments) = command.split_once(' ').unwrap_or((command, ""));
        format!("  {name} cmd=\"{program} {conf} {arguments}\" listen=\"{listen}\" prefork=0\n")
    };
    let services: String = setup.services.iter().map(service).collect();
    format!(
        "START {{
  recover cmd=\"{TOOLS}/ctl_cyrusdb {conf} -r\"
}}
SERVICES {{
  imap cmd=\"imapd {conf}\" listen=\"{}\" prefork=0
  csync cmd=\"sync_server {conf}\" listen=\"{}\" prefork=0
  csyncunix cmd=\"sync_server {conf}\" listen=\"{place}/csync\" prefork=0
  sieve cmd=\"timsieved {conf}\" listen=\"{}\" prefork=0
{lmtp}{services}}}
DAEMON {{
{daemons}}}
EVENTS {{
}}
",
        imap.address(),
        csync.address(),
        sieve.address()
    )
}
