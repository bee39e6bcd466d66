//! A master's folder and a replica for it: the program under test runs against our own server in this process.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::flow::Now;
use engine::local::{self, Incoming, MailboxEdit, Moment, NewMailbox};
use engine::model::Mailbox;
use engine::name::Scope;
use engine::ticket::{Change, Reply, Request, Select, Session, StagePart};
use net::address::ListenAddress;
use net::config::{Service, Settings};
use net::listener::Listener;
use net::sasl::{Hash, Verifier, Verifiers, derive};
use net::secret::Secret;
use net::server::{NewSession, Server, ServerConfig};
use net::tls::ServerTls;
use protocol::synclog::Action;
use protocol::{Flags, Guid, Text};
use rustix::process::{Pid, Signal, kill_process};
use sha1::{Digest, Sha1};
use store::sqlite::{Options, SqliteStore};
use synclog::{ChannelName, Writer};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// How long anything may take on a machine that has other things to do as well.
const PATIENCE: Duration = Duration::from_secs(60);

/// The password of `repl` on every replica.
pub const PASSWORD: &str = "pencil";

struct One;

impl Verifiers for One {
    fn verifier(&self, user: &str, hash: Hash) -> Result<Option<Verifier>, String> {
        let verifier = || derive(hash, &Secret::new(PASSWORD), 4096).map_err(|error| error.to_string());
        (user == "repl").then(verifier).transpose()
    }
}

/// A replica: its store outlives its server, which can be stopped and started.
pub struct Replica {
    folder: tempfile::TempDir,
    running: Option<(Runtime, oneshot::Sender<()>, tokio::task::JoinHandle<()>)>,
    /// Where it listens with TCP, while it runs.
    pub tcp: String,
    /// Lines of its configuration.
    lines: String,
}

impl Replica {
    /// A running one.
    pub fn start() -> Replica {
        Replica::with("")
    }

    /// A running one with these lines in its configuration.
    pub fn with(lines: &str) -> Replica {
        let mut replica = Replica {
            folder: tempfile::tempdir().expect("a folder"),
            running: None,
            tcp: String::new(),
            lines: lines.to_owned(),
        };
        replica.begin();
        replica
    }

    /// Its Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn conf(&self) -> PathBuf {
        let path = self.folder.path().join("imapd.conf");
        let dir = self.folder.path().display();
        let text = format!(
            "configdirectory: {dir}\nadmins: repl\nfailedloginpause: 0\nservername: replica\n{}",
            self.lines
        );
        fs::write(&path, text).expect("a file");
        path
    }

    /// Its store.
    pub fn store(&self) -> SqliteStore {
        SqliteStore::open(self.folder.path().join("mailtwin"), Options::default()).expect("a store")
    }

    /// Starts the server.
    pub fn begin(&mut self) {
        let settings = Settings::load(&self.conf(), Service::SyncServer).expect("a configuration");
        let store = self.store();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (stop, stopped) = oneshot::channel();
        let socket = self.socket();
        let (shown, task) = runtime.block_on(async {
            let any = ListenAddress::parse("127.0.0.1:0").expect("an address");
            let tcp = Listener::bind(&any, 0o600).await.expect("binds");
            let unix = Listener::bind(&ListenAddress::Unix(socket), 0o600)
                .await
                .expect("binds");
            let shown = tcp.shown().to_owned();
            let sessions: NewSession = Arc::new(move || Box::new(store.session()));
            let mut config = ServerConfig::from_settings(&settings);
            config.tls = ServerTls::new(&settings.tls).expect("sound files");
            let server = Server::new(config, vec![tcp, unix], sessions, Arc::new(One));
            let task = tokio::spawn(async move {
                server
                    .run(async {
                        let _ = stopped.await;
                    })
                    .await;
            });
            (shown, task)
        });
        self.tcp = shown;
        self.running = Some((runtime, stop, task));
    }

    /// Stops the server.
    pub fn end(&mut self) {
        if let Some((runtime, stop, task)) = self.running.take() {
            let _ = stop.send(());
            runtime.block_on(task).expect("no panic");
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.end();
    }
}

/// A master's folder: configuration, store, logs.
pub struct Master {
    folder: tempfile::TempDir,
    /// Its store.
    pub store: SqliteStore,
    clock: i64,
}

impl Master {
    /// An empty one; DIR in the configuration is its folder.
    pub fn new(conf: &str) -> Master {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(folder.path().join("mailtwin"), Options::default()).expect("a store");
        let master = Master {
            folder,
            store,
            clock: 1_700_000_000,
        };
        master.configure(conf);
        master
    }

    /// One for a replica, by its Unix socket, that loses no time.
    pub fn of(replica: &Replica) -> Master {
        Master::new(&format!(
            "sync_host: {}\nsync_reconnect_maxwait: 1\nmailtwin_retry_wait: 1\nmailtwin_retry_maxwait: 1\n\
             mailtwin_quarantine_after: 2\nmailtwin_quarantine_wait: 0\n",
            replica.socket().display()
        ))
    }

    /// Writes the configuration anew.
    pub fn configure(&self, conf: &str) {
        let dir = self.folder.path().display().to_string();
        let text = format!("configdirectory: DIR\n{conf}").replace("DIR", &dir);
        fs::write(self.path("imapd.conf"), text).expect("a file");
    }

    /// A path in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file's content, empty when it is not there.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Delivers a message to a user, making INBOX when there is none.
    pub fn deliver(&mut self, user: &str, text: &str) {
        self.deliver_on(user, text, "default");
    }

    /// The same, with the INBOX on a partition.
    pub fn deliver_on(&mut self, user: &str, text: &str, partition: &str) {
        self.clock += 1;
        deliver_into(&self.store, self.clock, user, text, partition);
    }

    /// Notes in a channel's log that the user's INBOX changed.
    pub fn log_in(&self, channel: &str, users: &[&str]) {
        let actions: Vec<Action> = users
            .iter()
            .map(|user| Action::Mailbox(engine::name::inbox_of(user.as_bytes())))
            .collect();
        let channel = ChannelName::parse(channel).expect("a name");
        Writer::new(&self.path("sync"), vec![channel])
            .append(&actions)
            .expect("logged");
    }

    /// The same in the default channel's log.
    pub fn log(&self, users: &[&str]) {
        self.log_in("", users);
    }

    /// The program with its configuration and these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sync_client"));
        command
            .arg("-C")
            .arg(self.path("imapd.conf"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it to its end: exit code, stdout, stderr.
    pub fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command(arguments).output().expect("runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    /// Runs it to the end of the process that was started: a daemon in the background goes on, with stderr in a file.
    pub fn run_detached(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let log = fs::File::create(self.path("stderr")).expect("a file");
        let output = self.command(arguments).stderr(log).output().expect("runs");
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), out, self.read("stderr"))
    }

    /// Starts it as a daemon in the foreground.
    pub fn daemon(&self, arguments: &[&str]) -> Daemon {
        let log = self.path("stderr");
        let mut command = self.command(arguments);
        command
            .arg("-R")
            .arg("-l")
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).expect("a file"));
        Daemon {
            child: command.spawn().expect("starts"),
            log,
        }
    }

    /// Waits until the user's mail is on the replica.
    pub fn wait_equal(&self, replica: &Replica, users: &[&str]) {
        let store = replica.store();
        for user in users {
            wait(&format!("{user} to be equal"), || {
                show(&self.store, user) == show(&store, user)
            });
        }
    }
}

/// A daemon; killed when it is dropped.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }

    /// Waits for its end: exit code and stderr.
    pub fn end(mut self) -> (Option<i32>, String) {
        let mut status = None;
        wait("the daemon to end", || {
            status = self.child.try_wait().expect("waited for");
            status.is_some()
        });
        (status.and_then(|status| status.code()), self.said())
    }

    /// What it said so far.
    pub fn said(&self) -> String {
        let mut text = String::new();
        fs::File::open(&self.log)
            .and_then(|mut file| file.read_to_string(&mut text))
            .expect("read");
        text
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("asked").is_none()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the daemon said:\n{}", self.said());
        }
    }
}

/// Waits for a condition.
pub fn wait(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Delivers a message to a user of a store at `clock`, making INBOX when there is none.
pub fn deliver_into(store: &SqliteStore, clock: i64, user: &str, text: &str, partition: &str) {
    let scope = Scope::User(Text::from(user));
    let name = engine::name::inbox_of(user.as_bytes());
    let mut session = store.session();
    let mut changes = Vec::new();
    let mut all = mailboxes(store, user);
    let moment = Moment::behind(Now(clock), &all, &[]);
    if all.is_empty() {
        let new = NewMailbox {
            name: name.clone(),
            uniqueid: Text::from(format!("{user:0>24}")),
            partition: Text::from(partition),
            acl: None,
        };
        let inbox = local::create(moment, &[], new).expect("created");
        changes.push(Change::PutMailbox(Box::new(inbox.clone())));
        all.push(inbox);
    }
    let mut edit = MailboxEdit::begin(moment, all.remove(0)).expect("no placeholder");
    let guid = Guid::from_bytes(Sha1::digest(text.as_bytes()).into());
    let size = text.len() as u64;
    let parts = vec![
        StagePart::Open {
            partition: Text::from("default"),
            guid,
            size,
        },
        StagePart::Data(text.as_bytes().to_vec().into()),
        StagePart::Close,
    ];
    session.execute(Request::Stage(parts)).expect("staged");
    edit.append(Incoming {
        guid,
        size,
        internaldate: clock,
        flags: Flags::default(),
        thread: None,
    })
    .expect("appended");
    changes.extend(edit.finish());
    session.execute(Request::Begin { scope }).expect("begin");
    session.execute(Request::Write(changes)).expect("write");
    session.execute(Request::Commit).expect("commit");
}

fn mailboxes(store: &SqliteStore, user: &str) -> Vec<Mailbox> {
    let request = Request::Mailboxes(Select::User(Text::from(user)));
    match store.session().execute(request) {
        Ok(Reply::Mailboxes(mailboxes)) => mailboxes,
        other => panic!("mailboxes: {other:?}"),
    }
}

/// What has to be equal of a user; empty when there is nothing.
pub fn show(store: &SqliteStore, user: &str) -> String {
    mailboxes(store, user)
        .iter()
        .map(|m| format!("{} {} {} {:?}\n", m.name, m.uniqueid, m.last_uid, m.crc))
        .collect()
}

/// The process that a pid file names.
pub fn process_of(path: &Path) -> Option<Pid> {
    let text = fs::read_to_string(path).ok()?;
    Pid::from_raw(text.trim().parse().ok()?)
}
