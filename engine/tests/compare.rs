//! Comparing by asking only: what belongs to nobody, refusals, and what is left behind.

mod twin;

use std::sync::{Arc, Mutex};

use engine::master::{Differs, Ending, Job};
use engine::model::{Mailbox, QuotaLimits, ServerAnnotation};
use engine::name::Scope;
use engine::ticket::{Change, Reply, Request, Session, StoreError};
use protocol::Text;
use store::memory::MemorySession;
use twin::mail::Mail;
use twin::pair::{self, Outcome, Wire};
use twin::{jane, script};

/// What differs, in short.
fn told(progress: &engine::master::Progress) -> Vec<String> {
    progress
        .differences
        .iter()
        .map(|d| {
            let how = match &d.how {
                Differs::OnlyHere => "only here".to_owned(),
                Differs::OnlyThere => "only there".to_owned(),
                Differs::Fields(fields) => {
                    let fields: Vec<String> = fields
                        .iter()
                        .map(|f| format!("{} {} | {}", f.field, f.here, f.there))
                        .collect();
                    fields.join(", ")
                }
            };
            let uid = d.uid.map_or(String::new(), |uid| format!(" {uid}"));
            format!("{} {}{uid}: {how}", d.kind.word(), d.about)
        })
        .collect()
}

fn limits(root: &str, message: u32) -> Change {
    Change::PutQuota(QuotaLimits {
        root: Text::from(root),
        message: Some(message),
        ..QuotaLimits::default()
    })
}

fn annotation(entry: &str, value: &str) -> Change {
    Change::PutServerAnnotation(ServerAnnotation {
        entry: Text::from(entry),
        userid: Text::EMPTY,
        value: Text::from(value),
    })
}

/// Two servers with the same shared mailboxes, quota roots and annotations.
fn shared_pair() -> (Mail, Mail) {
    let (mut master, replica) = (Mail::new("m"), Mail::new("r"));
    master.create(&["news", "news.local"]);
    master.append("news.local", &["one"]);
    let rooted = Mailbox {
        quotaroot: Some(Text::from("extra")),
        ..master.mailbox("news.local")
    };
    master.force(rooted, &[], Vec::new());
    let values = vec![
        limits("news", 9),
        limits("other", 5),
        annotation("/motd", "hello"),
    ];
    master.write(Scope::Shared, values);
    let outcome = pair::sync(
        Job::AllUsers { prefix: Text::EMPTY },
        &master.store,
        &replica.store,
    );
    assert_eq!(
        outcome.progress.ended,
        Some(Ending::Done),
        "{:?}",
        outcome.progress
    );
    (master, replica)
}

fn compare_shared(master: &Mail, replica: &Mail) -> Outcome {
    let outcome = pair::sync(Job::Compare(vec![Scope::Shared]), &master.store, &replica.store);
    assert_eq!(outcome.changing(), Vec::<String>::new());
    assert_eq!(
        outcome.progress.ended,
        Some(Ending::Done),
        "{:?}",
        outcome.progress
    );
    outcome
}

#[test]
fn equal_shared_data_compares_equal() {
    let (master, replica) = shared_pair();
    let outcome = compare_shared(&master, &replica);
    assert_eq!(told(&outcome.progress), Vec::<String>::new());
    assert_eq!(outcome.progress.mailboxes, 2);
    let compared: Vec<_> = outcome
        .progress
        .compared
        .iter()
        .map(|c| c.mailbox.to_string())
        .collect();
    assert_eq!(compared, ["news", "news.local"]);
}

#[test]
fn quota_roots_and_annotations_of_nobody_are_compared_both_ways() {
    let (mut master, mut replica) = shared_pair();
    master.write(Scope::Shared, vec![limits("ours", 1), annotation("/ours", "x")]);
    let theirs = [limits("news", 8), limits("extra", 3), annotation("/motd", "bye")];
    replica.write(Scope::Shared, theirs.into());
    replica.write(Scope::Shared, vec![annotation("/theirs", "x")]);
    let outcome = compare_shared(&master, &replica);
    let expected = [
        "quota extra: only there",
        "quota news: MESSAGE 9 | 8",
        "quota ours: only here",
        "annotation /motd: VALUE hello | bye",
        "annotation /ours: only here",
        "annotation /theirs: only there",
    ];
    assert_eq!(told(&outcome.progress), expected);
}

/// A session that counts what it begins and ends reading.
struct Counting {
    inner: MemorySession,
    reads: Arc<Mutex<(u32, u32)>>,
}

impl Session for Counting {
    fn execute(&mut self, request: Request) -> Result<Reply, StoreError> {
        let mut reads = self.reads.lock().expect("no panic");
        match request {
            Request::BeginRead { .. } => reads.0 += 1,
            Request::EndRead { .. } => reads.1 += 1,
            _ => {}
        }
        drop(reads);
        self.inner.execute(request)
    }
}

#[test]
fn every_read_that_a_comparison_begins_is_ended() {
    let (mut master, replica) = (Mail::new("m"), Mail::new("r"));
    master.create(&["user.bob", "user.jane", "news"]);
    let reads = Arc::new(Mutex::new((0, 0)));
    let ours = Counting {
        inner: master.store.session(),
        reads: Arc::clone(&reads),
    };
    let scopes = vec![Scope::User(Text::from("bob")), jane(), Scope::Shared];
    let theirs = Box::new(replica.store.session());
    let config = pair::master_config(Job::Compare(scopes));
    let outcome = pair::connect_sessions(config, Box::new(ours), theirs, "mailtwin 0.1.0", Wire::default());
    assert_eq!(
        outcome.progress.ended,
        Some(Ending::Done),
        "{:?}",
        outcome.progress
    );
    assert_eq!(outcome.progress.mailboxes, 3);
    assert_eq!(*reads.lock().expect("no panic"), (3, 3));
}

#[test]
fn only_an_unknown_user_is_taken_for_one_without_mail() {
    let mut master = Mail::new("m");
    master.create(&["user.jane"]);
    let compare = |code: &str| {
        script::converse(
            pair::master_config(Job::Compare(vec![jane()])),
            &master.store,
            "* OK twin.example.org mailtwin 0.1.0 server ready\r\n",
            |command| match command.starts_with("GET USER") {
                true => script::say(&format!("NO {code} no")),
                false => script::agree(command),
            },
        )
        .progress
    };
    let unknown = compare("IMAP_INVALID_USER");
    assert_eq!(told(&unknown), ["mailbox user.jane: only here"]);
    assert_eq!(unknown.failures.len(), 0, "{unknown:?}");
    let locked = compare("IMAP_MAILBOX_LOCKED");
    assert_eq!(told(&locked), Vec::<String>::new());
    assert_eq!(locked.failures.len(), 1, "{locked:?}");
}
