//! The recipes of docs/OPERATIONS.md, run as they are written.
//!
//! A fenced block whose first line is "```sh NAME" belongs to the recipe NAME; its blocks are one script, in their order.
//! Only places are put elsewhere: `/etc/mailtwin` and `/var/lib/mailtwin` into a folder of the test, `192.0.2.` onto
//! loopback addresses, Cyrus's host and files to those of a running Cyrus. What a service manager would do
//! (`sync_server ... &`, `systemctl restart cyrus-imapd`) is done here, and waited for.

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
    /// The Cyrus that `systemctl` means.
    cyrus: Option<Cyrus>,
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
            cyrus: None,
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
            let daemon = ["sync_client ", "mailtwin "].iter().find_map(|program| {
                let rest = line.strip_prefix(program)?.strip_suffix(" &")?;
                Some((program.trim(), rest))
            });
            if let Some((program, arguments)) = daemon {
                said += &self.script(&std::mem::take(&mut script))?;
                self.daemon(program, arguments)?;
            } else if let Some(arguments) = started.or(restarted) {
                said += &self.script(&std::mem::take(&mut script))?;
                self.serve(arguments)?;
            } else if line == "systemctl restart cyrus-imapd" {
                said += &self.script(&std::mem::take(&mut script))?;
                let cyrus = self.cyrus.as_mut().ok_or("no Cyrus to restart")?;
                cyrus.stop()?;
                cyrus.restart()?;
            } else {
                script += line;
                script.push('\n');
            }
        }
        Ok(said + &self.script(&script)?)
    }

    fn script(&self, script: &str) -> Result<String, Box<dyn std::error::Error>> {
        let text = format!("set -euo pipefail\n{}", self.here(script));
        let path = format!("{}:{}", programs::folder()?.display(), std::env::var("PATH")?);
        let mut bash = Command::new("bash");
        bash.args(["-c", &text])
            .env("PATH", path)
            .current_dir(self.place.path());
        let output = run(&mut bash, LIMIT)?.success(&format!("recipe:\n{text}"))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts a rolling client, which waits for its replica by itself, or what serves a page, which is waited for.
    fn daemon(&mut self, program: &str, arguments: &str) -> Outcome {
        let arguments = self.here(arguments);
        let mut command = Command::new(programs::folder()?.join(program));
        let daemon = Daemon::start(command.args(arguments.split(' ')).current_dir(self.place.path()))?;
        self.servers.push((arguments.clone(), daemon));
        if let Some((_, address)) = arguments.split_once("--listen ") {
            self.wait(address, || Ok(TcpStream::connect(address).is_ok()))?;
        }
        Ok(())
    }

    /// Ends a daemon with these arguments.
    fn end(&mut self, arguments: &str) -> Outcome {
        let arguments = self.here(arguments);
        let at = self.servers.iter().position(|(known, _)| *known == arguments);
        let (_, mut daemon) = self.servers.remove(at.ok_or("no such daemon")?);
        daemon.terminate(Duration::from_secs(15));
        Ok(())
    }

    fn wait(
        &self,
        what: &str,
        mut done: impl FnMut() -> Result<bool, Box<dyn std::error::Error>>,
    ) -> Outcome {
        let end = Instant::now() + LIMIT;
        while !done()? {
            assert!(Instant::now() < end, "waited in vain for {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Live messages of a user, by `list --json`.
    fn messages(&self, conf: &str, user: &str) -> Result<u64, Box<dyn std::error::Error>> {
        let list = self.script(&format!("mailtwin -C /etc/mailtwin/{conf} list --json"))?;
        let users: serde_json::Value = serde_json::from_str(&list)?;
        let rows = users.as_array().cloned().unwrap_or_default();
        let row = rows.iter().find(|row| row["user"] == user);
        Ok(row.and_then(|row| row["messages"].as_u64()).unwrap_or(0))
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
    let services = first.directory().join("cyrus.conf").display().to_string();
    bench.replaced.push(("/etc/cyrus.conf".to_owned(), services));
    bench.replaced.push(("jane".to_owned(), user.to_owned()));
    // The user comes back on a server that has nothing of it.
    bench
        .replaced
        .push(("192.0.2.1:2005".to_owned(), second.csync_address()));
    // The harness has set some of what the recipe sets, and Cyrus takes each key once.
    let own = std::fs::read_to_string(conf(&first))?;
    let own = own.lines().filter(|line| !line.starts_with("sync_try_imap:"));
    std::fs::write(
        conf(&first),
        own.map(|line| format!("{line}\n")).collect::<String>(),
    )?;
    bench.cyrus = Some(first);
    let said = bench.run("offsite")?;
    assert!(said.concat().contains("INBOX"), "{said:?}");
    // A message that arrives at the Cyrus is soon on the replica.
    let before = bench.messages("replica.conf", user)?;
    let first = bench.cyrus.as_ref().ok_or("the Cyrus")?;
    first.imap(user)?.append(
        "INBOX",
        "()",
        population::DATE,
        b"Subject: new\r\n\r\nA new one.\r\n",
    )?;
    bench.wait("the message to travel", || {
        Ok(bench.messages("replica.conf", user)? == before + 1)
    })?;
    let said = bench.run("restore")?;
    assert!(said.concat().contains("equal"), "{said:?}");
    let mut scope = Scope::all(&[user]);
    scope.shared = false;
    let first = bench.cyrus.as_ref().ok_or("the Cyrus")?;
    let mut differences = compare::servers(first, &second, &scope)?;
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
    let compared = compare::facts(first, &scope)?
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

/// Whether these tools are installed.
fn has(tools: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    tools.iter().all(|tool| {
        let there = std::env::split_paths(&path).any(|folder| folder.join(tool).is_file());
        if !there {
            let reason = format!("{tool} is not installed");
            cyrus::skip("recipes", &reason, "MAILTWIN_REQUIRE_CYRUS");
        }
        there
    })
}

/// A master whose replica takes everything but what is on the partition `elsewhere`.
fn master_and_replica(bench: &mut Bench) -> Outcome {
    bench.script(
        "for name in master replica; do
           cat > /etc/mailtwin/$name.conf <<EOF
configdirectory: /var/lib/mailtwin/$name
admins: repladmin
sync_authname: repladmin
sync_password: secret
mailtwin_retry_wait: 1
mailtwin_retry_maxwait: 1
mailtwin_quarantine_after: 2
mailtwin_quarantine_wait: 0
EOF
           mailtwin -C /etc/mailtwin/$name.conf passwd repladmin < /etc/mailtwin/password
         done
         cat >> /etc/mailtwin/replica.conf <<EOF
mailtwin_listen: 192.0.2.20:2005
partition-default: /nowhere
EOF
         mailtwin -C /etc/mailtwin/master.conf create user/jane user/omar jane/Sent
         mailtwin -C /etc/mailtwin/master.conf append jane/INBOX < /etc/mailtwin/message.eml",
    )?;
    bench.serve("-C /etc/mailtwin/replica.conf")
}

#[test]
fn rolling_watched_and_changed_by_hand() -> Outcome {
    if !programs::usable("recipes: rolling") || !has(&["jq", "curl"]) {
        return Ok(());
    }
    let mut bench = Bench::new()?;
    // The port of the page is anybody's on this machine.
    let page = format!("{}9:9205", bench.network);
    bench.replaced.push(("127.0.0.1:9205".to_owned(), page));
    master_and_replica(&mut bench)?;
    bench.run("rolling")?;
    bench.run("hand")?;
    bench.wait("the changes by hand to travel", || {
        Ok(bench.messages("replica.conf", "kim.larsen")? == 1)
    })?;
    let fine = "until mailtwin -C /etc/mailtwin/master.conf status > /etc/mailtwin/shown; do sleep 0.1; done";
    bench.script(fine)?;
    let said = bench.run("watch")?.concat();
    for word in [
        "connected and logged in",
        "connected",
        "mailtwin_channel_lag_seconds{",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    bench.script("mailtwin -C /etc/mailtwin/master.conf compare 192.0.2.20")?;
    Ok(())
}

#[test]
fn a_change_in_quarantine() -> Outcome {
    if !programs::usable("recipes: quarantine") || !has(&["jq"]) {
        return Ok(());
    }
    let mut bench = Bench::new()?;
    master_and_replica(&mut bench)?;
    bench.run("rolling")?;
    bench.script(
        "mailtwin -C /etc/mailtwin/master.conf create --partition elsewhere user/kate user/ole
         mailtwin -C /etc/mailtwin/master.conf quota user/jane --storage 1000",
    )?;
    let count = |bench: &Bench| -> Result<u64, Box<dyn std::error::Error>> {
        let said = bench.script("mailtwin -C /etc/mailtwin/master.conf quarantine list --json")?;
        let held: serde_json::Value = serde_json::from_str(&said)?;
        Ok(held.as_array().map_or(0, Vec::len) as u64)
    };
    bench.wait("the quarantine", || Ok(count(&bench)? == 2))?;
    // The page speaks of jane and omar.
    bench.replaced.push(("jane".to_owned(), "kate".to_owned()));
    bench.replaced.push(("omar".to_owned(), "ole".to_owned()));
    let said = bench.run("quarantine")?.concat();
    assert!(said.contains("user.kate") && said.contains("elsewhere"), "{said}");
    bench.end("-C /etc/mailtwin/master.conf -R")?;
    bench.run("drop")?;
    assert_eq!(count(&bench)?, 1);
    bench.script("echo 'partition-elsewhere: /nowhere' >> /etc/mailtwin/replica.conf")?;
    bench.serve("-C /etc/mailtwin/replica.conf")?;
    bench.run("retry")?;
    bench.daemon("sync_client", "-C /etc/mailtwin/master.conf -R")?;
    bench.wait("the way out of quarantine", || Ok(count(&bench)? == 0))?;
    // It left when it was tried, which is a moment before it is done.
    bench
        .script("until mailtwin -C /etc/mailtwin/master.conf compare 192.0.2.20 jane; do sleep 0.2; done")?;
    Ok(())
}

/// Blocks that no test here runs: they need a system with units, or its packages.
const NOT_RUN: [&str; 2] = ["units", "package"];

/// Blocks that tests/service.rs runs.
const RUN_THERE: [&str; 1] = ["alone"];

#[test]
fn each_block_is_known() {
    let known = [
        "offsite",
        "restore",
        "failover",
        "mesh",
        "rolling",
        "hand",
        "watch",
        "quarantine",
        "retry",
        "drop",
    ];
    for line in PAGE.lines() {
        if let Some(name) = line.trim_start().strip_prefix("```sh") {
            let name = name.trim();
            assert!(
                known.contains(&name) || RUN_THERE.contains(&name) || NOT_RUN.contains(&name),
                "no test runs the recipe {name:?}; a block is begun by ```sh NAME"
            );
        }
    }
    assert!(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../docs/images/status-1280.webp")
            .exists()
    );
}
