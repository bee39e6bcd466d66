//! The recipes of docs/OPERATIONS.md, run as they are written.
//!
//! A fenced block whose first line is "```sh NAME" belongs to the recipe NAME; its blocks are one script, in their order.
//! Only places are put elsewhere: `/etc/mailtwin` and `/var/lib/mailtwin` into a folder of the test, `192.0.2.` onto
//! loopback addresses, Cyrus's host and file to those of a running Cyrus. What a service manager would do
//! (`sync_server ... &`) is done here, and waited for.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use conformance::compare::{self, Scope};
use conformance::cyrus::{self, Cyrus, PASSWORD};
use conformance::population::{self, USERS};
use conformance::process::{Daemon, run};
use conformance::programs;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const PAGE: &str = include_str!("../../docs/OPERATIONS.md");

/// How long one recipe may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The blocks of a recipe, in order.
fn blocks(name: &str) -> Vec<String> {
    let fence = format!("```sh {name}");
    let mut found = Vec::new();
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        if line == fence {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            found.push(block.join("\n"));
        }
    }
    assert!(!found.is_empty(), "docs/OPERATIONS.md has no recipe {name}");
    found
}

/// Where a recipe runs.
struct Bench {
    place: tempfile::TempDir,
    /// Loopback addresses stand for `192.0.2.`.
    network: String,
    replaced: Vec<(String, String)>,
    servers: Vec<(String, Daemon)>,
    /// What functions of earlier blocks the later ones need.
    functions: String,
}

impl Bench {
    fn new() -> Result<Bench, Box<dyn std::error::Error>> {
        let place = tempfile::tempdir()?;
        let id = std::process::id();
        let network = format!("127.{}.{}.", 20 + id % 200, id / 200 % 250);
        let folder = place.path().display().to_string();
        for name in ["etc", "var"] {
            std::fs::create_dir_all(place.path().join(name))?;
        }
        std::fs::write(place.path().join("etc/password"), format!("{PASSWORD}\n"))?;
        std::fs::write(
            place.path().join("etc/message.eml"),
            "Subject: a message\n\nIts text.\n",
        )?;
        let replaced = vec![
            ("/etc/mailtwin".to_owned(), format!("{folder}/etc")),
            ("/var/lib/mailtwin".to_owned(), format!("{folder}/var")),
            (
                "sudo -u cyrus".to_owned(),
                "setpriv --reuid=cyrus --regid=mail --clear-groups".to_owned(),
            ),
        ];
        Ok(Bench {
            place,
            network,
            replaced,
            servers: Vec::new(),
            functions: String::new(),
        })
    }

    fn here(&self, text: &str) -> String {
        let replaced = self
            .replaced
            .iter()
            .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        replaced.replace("192.0.2.", &self.network)
    }

    /// Runs a recipe; answers with what each block printed on standard output.
    fn run(&mut self, name: &str) -> Result<Vec<String>, Box<dyn std::error::Error>> {
        blocks(name).iter().map(|block| self.block(block)).collect()
    }

    fn block(&mut self, block: &str) -> Result<String, Box<dyn std::error::Error>> {
        let (mut said, mut script) = (String::new(), String::new());
        for line in block.lines() {
            let started = line
                .strip_prefix("sync_server ")
                .and_then(|rest| rest.strip_suffix(" &"));
            let restarted = line.strip_prefix("restart sync_server ");
            let rolling = line
                .strip_prefix("sync_client ")
                .and_then(|rest| rest.strip_suffix(" &"));
            if let Some(arguments) = rolling {
                said += &self.script(&std::mem::take(&mut script))?;
                self.roll(arguments)?;
            } else if let Some(arguments) = started.or(restarted) {
                said += &self.script(&std::mem::take(&mut script))?;
                self.serve(arguments)?;
            } else {
                if line.starts_with("users() ") {
                    self.functions = format!("{line}\n");
                }
                script += line;
                script.push('\n');
            }
        }
        Ok(said + &self.script(&script)?)
    }

    fn script(&self, script: &str) -> Result<String, Box<dyn std::error::Error>> {
        let text = format!("set -euo pipefail\n{}{}", self.functions, self.here(script));
        let path = format!("{}:{}", programs::folder()?.display(), std::env::var("PATH")?);
        let mut bash = Command::new("bash");
        bash.args(["-c", &text])
            .env("PATH", path)
            .current_dir(self.place.path());
        let output = run(&mut bash, LIMIT)?.success(&format!("recipe:\n{text}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts a rolling client, which waits for its replica by itself.
    fn roll(&mut self, arguments: &str) -> Outcome {
        let arguments = self.here(arguments);
        let mut command = Command::new(programs::folder()?.join("sync_client"));
        let daemon = Daemon::start(command.args(arguments.split(' ')).current_dir(self.place.path()))?;
        self.servers.push((arguments, daemon));
        Ok(())
    }

    /// What a service manager does: ends the server of this configuration if one runs, starts it, waits for it.
    fn serve(&mut self, arguments: &str) -> Outcome {
        let arguments = self.here(arguments);
        if let Some(at) = self.servers.iter().position(|(known, _)| *known == arguments) {
            let _ = self.servers.remove(at).1.terminate(Duration::from_secs(15));
        }
        let words: Vec<&str> = arguments.split(' ').collect();
        let conf = std::fs::read_to_string(words.last().ok_or("a configuration")?)?;
        let listen = conf
            .lines()
            .find_map(|line| line.strip_prefix("mailtwin_listen: "));
        let address: SocketAddr = listen.ok_or("mailtwin_listen")?.parse()?;
        let mut command = Command::new(programs::folder()?.join("sync_server"));
        let mut daemon = Daemon::start(command.args(&words).current_dir(self.place.path()))?;
        let end = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(address).is_err() {
            assert!(
                daemon.ended().is_none() && Instant::now() < end,
                "sync_server {arguments} does not listen"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        self.servers.push((arguments, daemon));
        Ok(())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for (_, mut daemon) in self.servers.drain(..).rev() {
            let _ = daemon.terminate(Duration::from_secs(15));
        }
    }
}

#[test]
fn an_offsite_replica_and_a_restored_user() -> Outcome {
    let name = "recipes: off-site replica and restored user";
    if !cyrus::usable(name) || !programs::usable(name) {
        return Ok(());
    }
    let first = Cyrus::start(population::setup("cyrus-a"))?;
    let second = Cyrus::start(population::setup("cyrus-b"))?;
    population::fill(&first)?;
    let user = USERS[0];
    let mut bench = Bench::new()?;
    let conf = |cyrus: &Cyrus| cyrus.directory().join("imapd.conf").display().to_string();
    bench.replaced.push(("/etc/imapd.conf".to_owned(), conf(&first)));
    bench.replaced.push(("jane".to_owned(), user.to_owned()));
    // The user comes back on a server that has nothing of it.
    bench
        .replaced
        .push(("192.0.2.1:2005".to_owned(), second.csync_address()));
    let said = bench.run("offsite")?;
    assert!(said.concat().contains("INBOX"), "{said:?}");
    let said = bench.run("restore")?;
    assert!(said.concat().contains("equal"), "{said:?}");
    let mut scope = Scope::all(&[user]);
    scope.shared = false;
    let mut differences = compare::servers(&first, &second, &scope)?;
    // An administrator sees the others' mailboxes too, which stayed where they were.
    let of_user = [
        format!("csync: user.{user}"),
        format!("imap as {user}: user"),
        format!("imap as {user}: INBOX"),
        format!("imap as admin: user/{user}"),
    ];
    let counts = |place: &compare::Place| {
        let text = format!("{}: {}", place.view, place.object);
        of_user.iter().any(|start| text.starts_with(start))
    };
    let compared = compare::facts(&first, &scope)?
        .keys()
        .filter(|place| counts(place))
        .count();
    differences.retain(|one| counts(&one.place));
    assert!(compared > 100, "only {compared} facts were compared");
    compare::assert_equal("after the restore", &differences);
    assert!(
        bench
            .place
            .path()
            .join(format!("var/{user}-maildir/cur"))
            .is_dir()
    );
    Ok(())
}

#[test]
fn failover_failback_and_a_new_replica() -> Outcome {
    if !programs::usable("recipes: failover") {
        return Ok(());
    }
    for tool in ["bash", "jq"] {
        let there = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .any(|folder| folder.join(tool).is_file());
        if !there {
            cyrus::skip(
                "recipes: failover",
                &format!("{tool} is not installed"),
                "MAILTWIN_REQUIRE_CYRUS",
            );
            return Ok(());
        }
    }
    let mut bench = Bench::new()?;
    let said = bench.run("failover")?;
    assert!(said.iter().all(|text| !text.is_empty()), "{said:?}");
    let list = bench.script("mailtwin -C /etc/mailtwin/host10.conf list --json")?;
    let users: serde_json::Value = serde_json::from_str(&list)?;
    assert_eq!(
        (&users[0]["messages"], &users[1]["messages"]),
        (&2.into(), &1.into()),
        "{list}"
    );
    Ok(())
}

#[test]
fn a_mesh_with_an_offsite_channel() -> Outcome {
    if !programs::usable("recipes: mesh") {
        return Ok(());
    }
    let mut bench = Bench::new()?;
    let said = bench.run("mesh")?;
    let status = said.last().cloned().unwrap_or_default();
    assert!(status.contains("connected"), "{status}");
    for host in [20, 30] {
        let list = bench.script(&format!("mailtwin -C /etc/mailtwin/mesh{host}.conf list --json"))?;
        let users: serde_json::Value = serde_json::from_str(&list)?;
        assert_eq!(
            (&users[0]["messages"], &users[1]["messages"]),
            (&1.into(), &1.into()),
            "{host}: {list}"
        );
    }
    Ok(())
}

#[test]
fn each_block_is_known() {
    let known = ["offsite", "restore", "failover", "mesh"];
    for line in PAGE.lines() {
        if let Some(name) = line.strip_prefix("```sh ") {
            assert!(known.contains(&name), "no test runs the recipe {name}");
        }
    }
    assert!(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../docs/images/status-1280.webp")
            .exists()
    );
}
