//! `mailtwin compare`: mail here and on a replica, record by record; asks only, and changes neither side. [CS-SPLIT-60]
//! [CS-SPLIT-62]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use engine::Master;
use engine::master::{Compared, Difference, Differs, Ending, Findings, Job, MasterConfig, Progress};
use engine::name::Scope;
use net::client::{ConnectError, Target};
use net::config::{Config, Service, Settings};
use protocol::Text;
use serde_json::{Value, json};
use store::sqlite::{Options, SqliteStore};

use crate::args::CompareArgs;
use crate::failure::{Exit, Failure, Result};
use crate::names;
use crate::output;
use crate::table::{self, Align, Table, screen_width};

/// Differences kept for the output; the rest is counted.
const DIFFERENCES_KEPT_MAX: usize = 100_000;
/// Differences shown to people of one mailbox; the rest is counted.
const SHOWN_MAX: usize = 10;

/// What was found.
#[derive(Default)]
struct Found {
    /// Users who were to be compared.
    users: u64,
    /// Whether shared mailboxes were.
    shared: bool,
    compared: Vec<Compared>,
    differences: Vec<Difference>,
    omitted: u64,
}

impl Found {
    fn take(&mut self, findings: Findings) {
        self.compared.extend(findings.compared);
        for difference in findings.differences {
            if self.differences.len() < DIFFERENCES_KEPT_MAX {
                self.differences.push(difference);
            } else {
                self.omitted += 1;
            }
        }
    }
}

/// Compares and prints.
///
/// # Errors
/// [`Exit::Unequal`] when something differs; the codes of [`Exit`] when a side cannot be asked.
pub fn run(config: &Path, args: &CompareArgs) -> Result<()> {
    let Prepared {
        target,
        store,
        config: master,
    } = prepare(config, args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Io, format!("cannot start: {error}")))?;
    let mut found = Found::default();
    if let Job::Compare(scopes) = &master.job {
        found.shared = scopes.contains(&Scope::Shared);
        found.users = scopes.len() as u64 - u64::from(found.shared);
    }
    let session = Box::new(store.session());
    let observe = |master: &Master| found.take(master.take_findings());
    let never = std::future::pending();
    let mut progress = runtime
        .block_on(net::client::run(&target, master, session, never, observe))
        .map_err(|error| no_connection(&error))?;
    found.take(progress.take_findings());
    found.omitted += progress.differences.lost;
    let ended = verdict(&progress);
    if args.json {
        output::print_json(&as_json(&found, &progress))?;
    } else {
        print(&found, &progress)?;
    }
    ended?;
    if progress.differences_total > 0 {
        let text = table::count(progress.differences_total, "difference");
        return Err(Failure::new(Exit::Unequal, text));
    }
    Ok(())
}

/// What a comparison needs.
struct Prepared {
    target: Target,
    store: SqliteStore,
    config: MasterConfig,
}

fn prepare(path: &Path, args: &CompareArgs) -> Result<Prepared> {
    let wrong = |text: String| Failure::new(Exit::Config, text);
    let config = Config::load(path, Service::SyncClient).map_err(|error| wrong(error.to_string()))?;
    let channel = args.channel.as_deref();
    let settings = Settings::for_channel(&config, channel).map_err(|error| wrong(error.to_string()))?;
    let (peer, users) = match channel {
        Some(channel) => {
            let peer = settings.sync_host.clone().ok_or_else(|| {
                wrong(format!(
                    "{}: channel {channel} has no replica; set `{channel}_sync_host`",
                    path.display()
                ))
            })?;
            (peer, &args.names[..])
        }
        None => {
            let host = &args.names[0];
            let peer = Settings::peer(&config, None, host)
                .map_err(|error| Failure::new(Exit::Usage, format!("{host}: {error}")))?;
            (peer, &args.names[1..])
        }
    };
    if args.all && (args.shared || !users.is_empty()) {
        let text = "-A is everybody and all that is shared; name users or give -A, not both";
        return Err(Failure::new(Exit::Usage, text));
    }
    let mut named = users
        .iter()
        .map(|user| Ok(Scope::User(names::user(user)?)))
        .collect::<Result<Vec<Scope>>>()?;
    if !settings.store.is_dir() {
        let text = format!("there is no store in {}", settings.store.display());
        return Err(Failure::new(Exit::NoInput, text));
    }
    let options = Options {
        read_only: true,
        ..Options::default()
    };
    let store = SqliteStore::open(&settings.store, options)?;
    if named.is_empty() && !args.shared {
        named = store.users()?.into_iter().map(Scope::User).collect();
        named.push(Scope::Shared);
    } else if args.shared {
        named.push(Scope::Shared);
    }
    let target = Target::from_settings(&settings, peer);
    let config = MasterConfig {
        compress: target.compress(settings.sync_compress),
        ..MasterConfig::new(Job::Compare(named))
    };
    Ok(Prepared {
        target,
        store,
        config,
    })
}

/// No connection: try again, unless TLS cannot be had with these files and keys.
pub(crate) fn no_connection(error: &ConnectError) -> Failure {
    let exit = match error {
        ConnectError::Tls(_) => Exit::Config,
        _ => Exit::Locked,
    };
    Failure::new(exit, error.to_string())
}

/// What the end of a run means for the operator. [CS-OPS-1]
///
/// # Errors
/// All but a run that did everything.
pub(crate) fn verdict(progress: &Progress) -> Result<()> {
    let (exit, text) = match progress.ended.as_ref() {
        Some(Ending::Done) => return Ok(()),
        Some(Ending::SomeFailed) => (Exit::NoInput, failures(progress)),
        Some(Ending::AuthenticationFailed(text)) if text.contains("`sync_authname`") => {
            (Exit::NoPermission, format!("login refused: {text}"))
        }
        Some(Ending::AuthenticationFailed(text)) => (
            Exit::NoPermission,
            format!("login refused: {text}; check `sync_authname` and `sync_password`, and `admins` there"),
        ),
        Some(Ending::TlsFailed(text)) => (Exit::Config, format!("TLS: {text}")),
        Some(Ending::Storage(text)) => (Exit::Io, format!("the store failed: {text}")),
        Some(Ending::ConnectionLost(text) | Ending::CompressionUnavailable(text)) => {
            (Exit::Locked, text.clone())
        }
        Some(Ending::Stopped) | None => (Exit::Locked, "stopped before its end".to_owned()),
    };
    Err(Failure::new(exit, text))
}

fn failures(progress: &Progress) -> String {
    let all = progress
        .failures
        .iter()
        .map(|failure| format!("{}: {}", failure.item, failure.reason));
    all.collect::<Vec<_>>().join("; ")
}

fn print(found: &Found, progress: &Progress) -> Result<()> {
    let mut table = Table::new(&[
        ("MAILBOX", Align::Left),
        ("HERE", Align::Right),
        ("THERE", Align::Right),
        ("DIFFER", Align::Right),
        ("", Align::Left),
    ]);
    for compared in &found.compared {
        let word = if compared.is_equal() { "equal" } else { "differs" };
        table.row(vec![
            shown(&compared.user, &compared.mailbox),
            compared.messages_here.to_string(),
            compared.messages_there.to_string(),
            compared.uids_differing.to_string(),
            word.to_owned(),
        ]);
    }
    for only in found.differences.iter().filter(is_whole_mailbox) {
        let word = if only.how == Differs::OnlyHere {
            "only here"
        } else {
            "only there"
        };
        let none = || "-".to_owned();
        table.row(vec![
            shown(&only.user, &only.about),
            none(),
            none(),
            none(),
            word.to_owned(),
        ]);
    }
    let messages: u64 = found.compared.iter().map(|compared| compared.messages_here).sum();
    output::to_stdout(|out| {
        if !found.compared.is_empty() || !found.differences.is_empty() {
            for line in table.lines(screen_width()) {
                writeln!(out, "{line}")?;
            }
        }
        print_differences(found, out)?;
        if progress.differences_total == 0
            && progress.failures.is_empty()
            && progress.ended == Some(Ending::Done)
        {
            writeln!(
                out,
                "equal: {}; {} with {}, record by record, and all that belongs to them",
                whose(found),
                table::count(found.compared.len() as u64, "mailbox"),
                table::count(messages, "message"),
            )?;
        }
        Ok(())
    })
}

fn is_whole_mailbox(difference: &&Difference) -> bool {
    difference.uid.is_none()
        && !difference.uniqueid.is_empty()
        && !matches!(difference.how, Differs::Fields(_))
}

fn print_differences(found: &Found, out: &mut dyn Write) -> io::Result<()> {
    let mut told: BTreeMap<(&Text, &Text), usize> = BTreeMap::new();
    for difference in found.differences.iter().filter(|d| !is_whole_mailbox(d)) {
        let count = told.entry((&difference.user, &difference.about)).or_default();
        *count += 1;
        if *count > SHOWN_MAX {
            continue;
        }
        let about = if difference.uniqueid.is_empty() {
            let about = names::printable(&difference.about.to_lossy());
            let whose = if difference.user.is_empty() {
                String::new()
            } else {
                format!("{}: ", names::printable(&difference.user.to_lossy()))
            };
            format!("{whose}{} {about}", difference.kind.word())
        } else {
            shown(&difference.user, &difference.about)
        };
        let uid = difference
            .uid
            .map_or(String::new(), |uid| format!(" message {uid}"));
        match &difference.how {
            Differs::OnlyHere => writeln!(out, "{about}{uid}: only here")?,
            Differs::OnlyThere => writeln!(out, "{about}{uid}: only there")?,
            Differs::Fields(fields) => {
                for field in fields {
                    let (here, there) = (names::printable(&field.here), names::printable(&field.there));
                    writeln!(
                        out,
                        "{about}{uid}: {} is {here} here and {there} there",
                        field.field
                    )?;
                }
            }
        }
    }
    for ((user, about), count) in told.into_iter().filter(|(_, count)| *count > SHOWN_MAX) {
        writeln!(
            out,
            "{}: and {} more; --json has them",
            shown(user, about),
            count - SHOWN_MAX
        )?;
    }
    Ok(())
}

fn shown(user: &Text, name: &Text) -> String {
    if user.is_empty() {
        return names::shown(user, name);
    }
    format!(
        "{}/{}",
        names::printable(&user.to_lossy()),
        names::shown(user, name)
    )
}

/// Whose mail was compared.
fn whose(found: &Found) -> String {
    let users = table::count(found.users, "user");
    match (found.users, found.shared) {
        (_, false) => users,
        (0, true) => "what is shared".to_owned(),
        (_, true) => format!("{users} and what is shared"),
    }
}

/// A user for programs; `null` is nobody.
fn user_json(user: &Text) -> Value {
    if user.is_empty() {
        Value::Null
    } else {
        user.to_string().into()
    }
}

fn as_json(found: &Found, progress: &Progress) -> Value {
    let mailboxes: Vec<Value> = found.compared.iter().map(compared_json).collect();
    let differences: Vec<Value> = found.differences.iter().map(difference_json).collect();
    let failures: Vec<Value> = progress
        .failures
        .iter()
        .map(|failure| json!({"user": failure.item, "reason": failure.reason}))
        .collect();
    json!({
        "equal": progress.differences_total == 0 && progress.ended == Some(Ending::Done),
        "users": found.users,
        "shared": found.shared,
        "mailboxes": mailboxes,
        "differences_total": progress.differences_total,
        "differences": differences,
        "differences_omitted": found.omitted,
        "failures": failures,
    })
}

fn compared_json(compared: &Compared) -> Value {
    json!({
        "user": user_json(&compared.user),
        "mailbox": compared.mailbox.to_string(),
        "uniqueid": compared.uniqueid.to_string(),
        "equal": compared.is_equal(),
        "messages_here": compared.messages_here,
        "messages_there": compared.messages_there,
        "crc_here": [compared.crc_here.basic, compared.crc_here.annot],
        "crc_there": [compared.crc_there.basic, compared.crc_there.annot],
        "uids_differing": compared.uids_differing,
    })
}

fn difference_json(difference: &Difference) -> Value {
    let (how, fields) = match &difference.how {
        Differs::OnlyHere => ("only_here", Vec::new()),
        Differs::OnlyThere => ("only_there", Vec::new()),
        Differs::Fields(fields) => (
            "fields",
            fields
                .iter()
                .map(|f| json!({"field": f.field, "here": f.here, "there": f.there}))
                .collect(),
        ),
    };
    let mut object = json!({
        "user": user_json(&difference.user),
        "kind": difference.kind.word(),
        "about": difference.about.to_string(),
        "how": how,
    });
    if !difference.uniqueid.is_empty() {
        object["uniqueid"] = difference.uniqueid.to_string().into();
    }
    if let Some(uid) = difference.uid {
        object["uid"] = uid.into();
    }
    if !fields.is_empty() {
        object["fields"] = fields.into();
    }
    object
}
