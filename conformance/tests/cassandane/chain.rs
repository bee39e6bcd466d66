//! Cyrus, then ours, then Cyrus.

use conformance::compare::{self, Facts, Scope};
use conformance::cyrus::{self, ADMIN, Cyrus, Setup};
use conformance::imap::{Imap, Value};
use conformance::population::{DATE, mail};
use conformance::process::Output;
use conformance::programs::{self, Twin};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What a test ends with.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// All rights that an administrator takes to delete a user.
pub const ALL_RIGHTS: &str = "lrswipkxtecda";

/// Three servers in a row, and one beside the last.
pub struct Chain {
    /// The Cyrus that is changed.
    pub hand: Cyrus,
    /// Ours: the replica of `hand` and the master of `far`.
    pub twin: Twin,
    /// The Cyrus at the end.
    pub far: Cyrus,
    /// A replica of `twin` that is ours as well.
    pub next: Twin,
    unix: bool,
}

impl Chain {
    /// `None` when it cannot run here. `change` may change the setup of both Cyrus servers, told apart by their names.
    pub fn start(test: &str, users: &[&str], change: impl Fn(Setup) -> Setup) -> Outcome<Option<Chain>> {
        Chain::start_over(test, users, false, change)
    }

    /// The same over Unix sockets, where neither server offers capabilities.
    pub fn start_over(
        test: &str,
        users: &[&str],
        unix: bool,
        change: impl Fn(Setup) -> Setup,
    ) -> Outcome<Option<Chain>> {
        if !cyrus::usable(test) || !programs::usable(test) {
            return Ok(None);
        }
        let setup = |name: &str| {
            let mut setup = change(Setup::new(name, users));
            setup.in_memory = true;
            setup.with("allowusermoves", "yes").with("delete_mode", "delayed")
        };
        let hand = Cyrus::start(setup("cyrus-h").with("sync_log", "yes"))?;
        let far = Cyrus::start(setup("cyrus-f"))?;
        let keys = ["sync_log: yes", "sync_log_chain: yes"];
        let ours = |name: &str| -> Outcome<Twin> {
            let mut twin = if unix {
                Twin::unix(name, &keys)?
            } else {
                Twin::tcp(name, &keys)?
            };
            twin.start()?;
            Ok(twin)
        };
        let (twin, next) = (ours("twin")?, ours("next")?);
        Ok(Some(Chain {
            hand,
            twin,
            far,
            next,
            unix,
        }))
    }

    /// Creates a user and folders below INBOX at the hand, and logs in as the user.
    pub fn create(&self, user: &str, folders: &[&str]) -> Outcome<Imap> {
        let separator = self.separator();
        self.hand.imap(ADMIN)?.create(&format!("user{separator}{user}"))?;
        let mut imap = self.hand.imap(user)?;
        for folder in folders {
            imap.create(&format!("INBOX{separator}{folder}"))?;
        }
        Ok(imap)
    }

    /// Between the levels of a name.
    pub fn separator(&self) -> char {
        if self.hand.setup().unix_hierarchy_sep {
            '/'
        } else {
            '.'
        }
    }

    /// What a client passes to `-S` to reach the far end.
    pub fn far_address(&self) -> String {
        if self.unix {
            self.far.csync_socket().display().to_string()
        } else {
            self.far.csync_address()
        }
    }

    /// The hand's log, that its stock client reads.
    pub fn log(&self) -> PathBuf {
        self.hand.directory().join("conf/sync/log")
    }

    /// The log of our store.
    pub fn own_log(&self) -> PathBuf {
        self.twin.directory().join("conf/sync/log")
    }

    /// A run of the stock client from the hand into our store, however it ends.
    pub fn there(&self, arguments: &[&str]) -> Outcome<Output> {
        Ok(self.hand.sync_client(&self.twin.address(), arguments)?)
    }

    /// A run of our client from our store to the far end, however it ends.
    pub fn on(&self, arguments: &[&str]) -> Outcome<Output> {
        Ok(self.twin.sync_client(&self.far_address(), arguments)?)
    }

    /// One run of each client by arguments. What was logged until then is done by that.
    pub fn carry(&self, arguments: &[&str]) -> Outcome {
        self.succeed(self.there(arguments)?, "the stock client into our store")?;
        self.succeed(self.on(arguments)?, "our client into the far Cyrus")?;
        self.forget_logs()
    }

    /// Both clients work off what was logged.
    pub fn roll(&self) -> Outcome {
        if self.log().exists() {
            let path = self.log().display().to_string();
            let run = self.there(&["-v", "-v", "-R", "-f", &path])?;
            self.succeed(run, "the stock client rolls")?;
            std::fs::remove_file(path)?;
        }
        self.succeed(self.on(&["-v", "-1", "-R"])?, "our client rolls")
    }

    /// Works off a log of these lines, at both.
    pub fn roll_lines(&self, lines: &str) -> Outcome {
        self.write_log(lines)?;
        self.roll()
    }

    /// Makes these lines the hand's log, which its client, another user, may read.
    pub fn write_log(&self, lines: &str) -> Outcome {
        std::fs::write(self.log(), lines)?;
        std::fs::set_permissions(self.log(), std::fs::Permissions::from_mode(0o666))?;
        Ok(())
    }

    /// What is logged until now is not replicated by rolling any more.
    pub fn forget_logs(&self) -> Outcome {
        for log in [self.log(), self.own_log()] {
            match std::fs::remove_file(log) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    fn succeed(&self, run: Output, what: &str) -> Outcome {
        run.success(what)
            .map_err(|error| format!("{error}\nour server: {}", self.twin.log()))?;
        Ok(())
    }

    /// All hold the same for `users`, by csync and, at the Cyrus servers, as the users see it.
    pub fn equal(&self, users: &[&str]) -> Outcome {
        self.equal_in(&Scope {
            shared: false,
            ..Scope::all(users)
        })
    }

    /// The same, and our other server is made equal too: where a test ends.
    pub fn end(&self, users: &[&str]) -> Outcome {
        self.equal(users)?;
        self.equal_next(users)
    }

    /// The same with more to say about what is compared.
    pub fn equal_in(&self, scope: &Scope) -> Outcome {
        self.equal_here(scope)?;
        let mut sides = [(&self.hand, Facts::new()), (&self.far, Facts::new())];
        for (server, facts) in &mut sides {
            compare::collect_csync(&mut server.csync()?, scope, &[], facts)?;
            for user in &scope.users {
                compare::collect_imap(&mut server.imap(user)?, user, scope, facts)?;
            }
        }
        let [(_, hand), (_, far)] = sides;
        compare::assert_equal("the two Cyrus servers", &compare::differences(&hand, &far));
        Ok(())
    }

    /// A run of our client to our other server makes that equal, and a second one sends nothing.
    pub fn equal_next(&self, users: &[&str]) -> Outcome {
        let arguments = [&["-u"], users].concat();
        let run = || self.twin.sync_client(&self.next.address(), &arguments);
        self.succeed(run()?, "our client into our server")?;
        let again = run()?.success("our client into our server, again")?;
        let text = again.text();
        assert!(text.contains("(0 sent), messages 0 (0 B)"), "{text}");
        let scope = Scope {
            shared: false,
            ..Scope::all(users)
        };
        let (mut left, mut right) = (Facts::new(), Facts::new());
        compare::collect_csync(&mut self.twin.csync()?, &scope, &[], &mut left)?;
        compare::collect_csync(&mut self.next.csync()?, &scope, &[], &mut right)?;
        compare::assert_equal("our two servers", &compare::differences(&left, &right));
        self.next.mailtwin(&["verify"])?.success("mailtwin verify")?;
        Ok(())
    }

    /// The hand and our store hold the same.
    pub fn equal_here(&self, scope: &Scope) -> Outcome {
        let (mut left, mut right) = (Facts::new(), Facts::new());
        compare::collect_csync(&mut self.hand.csync()?, scope, &[], &mut left)?;
        compare::collect_csync(&mut self.twin.csync()?, scope, &[], &mut right)?;
        compare::assert_equal("Cyrus and our server", &compare::differences(&left, &right));
        Ok(())
    }

    /// Names that the administrator sees at the far end.
    pub fn far_names(&self, pattern: &str) -> Outcome<Vec<String>> {
        names(&self.far, pattern)
    }

    /// Has both replicas lose a user behind their masters' backs.
    pub fn lose(&self, user: &str) -> Outcome {
        let gone = format!("APPLY UNUSER {user}");
        self.far.csync()?.run(gone.as_bytes())?;
        self.twin.csync()?.run(gone.as_bytes())?;
        Ok(())
    }
}

/// A folder that the user cyrus may write to.
pub fn open_folder(prefix: &str) -> Outcome<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix(prefix).tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777))?;
    Ok(folder)
}

/// Names that the administrator of a Cyrus sees.
pub fn names(cyrus: &Cyrus, pattern: &str) -> Outcome<Vec<String>> {
    let answer = cyrus.imap(ADMIN)?.simple(&format!("LIST \"\" \"{pattern}\""))?;
    let lines = answer.values()?;
    Ok(lines
        .iter()
        .filter_map(|line| Some(line.last()?.text()))
        .collect())
}

/// Appends the plain messages of these numbers.
pub fn append(imap: &mut Imap, mailbox: &str, numbers: &[usize]) -> Outcome {
    for &number in numbers {
        imap.append(mailbox, "()", DATE, &mail::plain(number))?;
    }
    Ok(())
}

/// UIDs and sorted flags of all messages in a mailbox.
pub fn flags(imap: &mut Imap, mailbox: &str) -> Outcome<Vec<(String, Vec<String>)>> {
    imap.run(conformance::imap::Command::new("EXAMINE").string(mailbox.as_bytes()))?;
    let mut messages = Vec::new();
    for line in imap.simple("UID FETCH 1:* (FLAGS)")?.values()? {
        let Some(items) = line.iter().find(|value| !value.members().is_empty()) else {
            continue;
        };
        let value = |name: &str| {
            items
                .members()
                .chunks(2)
                .find(|pair| pair[0].text() == name)
                .and_then(|pair| pair.get(1))
        };
        let uid = value("UID").map(Value::text).unwrap_or_default();
        let mut flags: Vec<String> = value("FLAGS")
            .map(|list| list.members().iter().map(Value::text).collect())
            .unwrap_or_default();
        flags.retain(|flag| flag != "\\Recent");
        flags.sort();
        messages.push((uid, flags));
    }
    Ok(messages)
}

/// Waits for a condition, half a minute at most, and says whether it came.
pub fn wait(mut until: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if until() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
