//! What becomes of runs and daemons when TLS cannot be had: no retry cures a wrong certificate, so whoever starts the
//! program is told at once what to do, with the exit status of a wrong configuration. [CS-OPS-1]

#[path = "../../net/tests/support/certificates.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod certificates;
#[allow(dead_code, reason = "other tests use more of it")]
mod twin;

use std::fs;
use std::path::Path;

use certificates::{Authority, Files, Oddity};
use monitor::status::{State, StatusFile};
use rustix::process::Signal;
use twin::{Master, PASSWORD, Replica, wait};

/// Certificates, and a replica that shows one of them.
struct Place {
    folder: tempfile::TempDir,
    replica: Replica,
}

impl Place {
    fn new(hosts: &[&str], oddity: Oddity) -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::new(folder.path(), "ca");
        let files = authority.issue("server", "replica", hosts, oddity);
        let Files { cert, key } = files;
        let lines = format!(
            "tls_server_cert: {}\ntls_server_key: {}\n",
            cert.display(),
            key.display()
        );
        Place {
            replica: Replica::with(&lines),
            folder,
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Lines of a master that demands TLS and believes the authority `ca`.
    fn lines(&self, ca: &str) -> String {
        let port = self.replica.tcp.rsplit_once(':').expect("a port").1;
        let ca = self.path().join(ca);
        format!(
            "sync_host: localhost:{port}/tls\nsync_authname: repl\nsync_password: {PASSWORD}\ntls_server_ca_file: {}\n",
            ca.display()
        )
    }
}

/// In one run, with `-j`, as a daemon and with `-o`: exit status 78, and these words.
fn refused_with(lines: &str, words: &[&str]) {
    let mut master = Master::new(lines);
    master.deliver("jane", "one");
    master.log(&["jane"]);
    for arguments in [
        &["-u", "jane"][..],
        &["-A", "-j", "2"],
        &["-R"],
        &["-R", "-o"],
        &["-R", "-1"],
    ] {
        let (code, out, said) = master.run(arguments);
        assert_eq!(code, Some(78), "{arguments:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{arguments:?}: {word}: {said}");
        }
        assert!(!out.contains("users 1"), "{arguments:?}: {out}");
    }
    let status = StatusFile::read(&master.path("sync/mailtwin-status.json")).expect("read");
    let state = status.expect("a status").state;
    assert!(
        matches!(&state, State::Stopped { reason: Some(reason) } if reason.contains(words[0])),
        "{state:?}"
    );
    let log = master.read("sync/log-run") + &master.read("sync/log");
    assert!(log.contains("user.jane"), "what was logged stays: {log}");
}

#[test]
fn a_wrong_name() {
    let place = Place::new(&["mail.example.org"], Oddity::None);
    refused_with(&place.lines("ca.pem"), &["mail.example.org", "mailtwin_tls_name"]);
}

#[test]
fn an_expired_certificate() {
    let place = Place::new(&["localhost"], Oddity::Expired);
    refused_with(
        &place.lines("ca.pem"),
        &["expired on 2020-02-29", "renew it on the replica"],
    );
}

#[test]
fn an_unknown_authority() {
    let place = Place::new(&["localhost"], Oddity::None);
    Authority::new(place.path(), "other");
    refused_with(
        &place.lines("other.pem"),
        &["is vouched for by none of", "tls_server_ca_file"],
    );
}

#[test]
fn files_of_no_use() {
    let place = Place::new(&["localhost"], Oddity::None);
    let lines = place.lines("gone.pem");
    refused_with(
        &lines,
        &["`tls_server_ca_file`: cannot read", "is the path right?"],
    );
    let shown = place.path().join("server.cert");
    let lines = format!(
        "{}tls_client_cert: {}\ntls_client_key: {}\n",
        place.lines("ca.pem"),
        shown.display(),
        place.path().join("ca.pem").display()
    );
    refused_with(&lines, &["`tls_client_key`", "there is no private key in it"]);
}

/// TLS that is demanded and not offered is a matter of the configuration as well.
#[test]
fn none_offered() {
    let replica = Replica::start();
    let port = replica.tcp.rsplit_once(':').expect("a port").1;
    let lines = format!("sync_host: localhost:{port}/tls\nsync_authname: repl\nsync_password: {PASSWORD}\n");
    refused_with(&lines, &["does not offer STARTTLS"]);
}

/// A daemon that has worked stays when the certificate becomes wrong, and goes on when it is right again.
#[test]
fn a_daemon_that_has_worked_waits_for_a_better_certificate() {
    let mut place = Place::new(&["localhost"], Oddity::None);
    let mut master = Master::new(&place.lines("trusted.pem"));
    let path = |name: &str| place.folder.path().join(name);
    fs::copy(path("ca.pem"), path("trusted.pem")).expect("copied");
    Authority::new(place.path(), "other");
    master.deliver("jane", "one");
    master.log(&["jane"]);
    let mut daemon = master.daemon(&[]);
    master.wait_equal(&place.replica, &["jane"]);

    fs::copy(path("other.pem"), path("trusted.pem")).expect("copied");
    place.replica.end();
    place.replica.begin();
    // It comes back at another port.
    master.configure(&place.lines("trusted.pem"));
    daemon.signal(Signal::HUP);
    wait("the fault to be told", || {
        daemon.said().contains("no TLS; trying again")
    });
    assert!(daemon.runs());
    let path = |name: &str| place.folder.path().join(name);
    fs::copy(path("ca.pem"), path("trusted.pem")).expect("copied");
    master.deliver("jane", "two");
    master.log(&["jane"]);
    master.wait_equal(&place.replica, &["jane"]);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.end().0, Some(0));
}
