//! Writing to logs: modes, every channel, several writers, and a reader that takes the log away meanwhile. [CS-LOG-2]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use protocol::Text;
use protocol::synclog::{Action, Lines};
use synclog::{Channel, ChannelName, LogError, Writer};

fn mailbox(name: &str) -> Action {
    Action::Mailbox(Text::from(name))
}

fn read(path: &Path) -> String {
    String::from_utf8(std::fs::read(path).expect("there")).expect("UTF-8")
}

/// [CS-LOG-1]
#[test]
fn every_channel_gets_the_lines_and_files_have_cyrus_s_modes() {
    let place = tempfile::tempdir().expect("a folder");
    let sync = place.path().join("sync");
    let channels = ["\"\"", "far"].map(|name| ChannelName::parse(name).expect("a name"));
    let writer = Writer::new(&sync, channels.to_vec());
    writer.append(&[]).expect("nothing to do");
    assert!(!sync.exists());
    writer
        .append(&[mailbox("user.a b"), Action::Annotation(Text::EMPTY)])
        .expect("written");
    for path in ["log", "far/log"] {
        assert_eq!(read(&sync.join(path)), "MAILBOX \"user.a b\"\nANNOTATION \"\"\n");
        let mode = std::fs::metadata(sync.join(path))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o137, 0, "{mode:o}");
    }
    let error = writer.append(&[mailbox("good"), mailbox("a\nb")]);
    assert!(matches!(error, Err(LogError::Unprintable(_))));
    assert!(!read(&sync.join("log")).contains("good"));
}

#[test]
fn half_a_line_of_another_writer_does_not_spoil_the_next() {
    let place = tempfile::tempdir().expect("a folder");
    std::fs::write(place.path().join("log"), "MAILBOX user.ha").expect("written");
    let writer = Writer::new(place.path(), vec![ChannelName::DEFAULT]);
    writer.append(&[mailbox("user.b")]).expect("written");
    assert_eq!(
        read(&place.path().join("log")),
        "MAILBOX user.ha\nMAILBOX user.b\n"
    );
}

#[test]
fn names_that_would_lead_elsewhere_are_refused() {
    let long = "x".repeat(201);
    for name in [
        "..",
        ".",
        "a/b",
        "log",
        "log-run",
        "intents",
        "a b",
        "a\0",
        "a\nb",
        "\u{1b}[31m",
        ".hidden",
        "a\"b",
        "mailtwin-quarantine",
        &long,
    ] {
        assert!(
            matches!(ChannelName::parse(name), Err(LogError::BadChannel { .. })),
            "{name:?}"
        );
    }
    assert!(ChannelName::parse("mailtwin-offsite").is_ok());
    assert_eq!(ChannelName::parse("").expect("default"), ChannelName::DEFAULT);
    assert_eq!(ChannelName::DEFAULT.to_string(), "\"\"");
}

#[test]
fn channels_as_a_configuration_names_them() {
    let place = tempfile::tempdir().expect("a folder");
    let some = |name: &str| Some(name.to_owned());
    let writer = Writer::for_channels(place.path(), &[some("far"), None]).expect("good names");
    let writer = writer.expect("two channels");
    let names: Vec<String> = writer.channels().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["far", "\"\""]);
    assert!(
        Writer::for_channels(place.path(), &[])
            .expect("no names")
            .is_none()
    );
    assert!(matches!(
        Writer::for_channels(place.path(), &[some("../x")]),
        Err(LogError::BadChannel { .. })
    ));
}

#[test]
fn several_writers_and_a_reader_lose_nothing() {
    const WRITERS: usize = 4;
    const EACH: usize = 150;
    let place = tempfile::tempdir().expect("a folder");
    let writer = Writer::new(place.path(), vec![ChannelName::DEFAULT]);
    let mut channel = Channel::open(place.path(), None).expect("the only reader");
    let over = AtomicBool::new(false);
    let mut taken = BTreeSet::new();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|who| {
                let writer = writer.clone();
                scope.spawn(move || {
                    for n in 0..EACH {
                        writer
                            .append(&[mailbox(&format!("user.{who}.{n}"))])
                            .expect("written");
                    }
                })
            })
            .collect();
        let reading = scope.spawn(|| {
            let mut taken = Vec::new();
            loop {
                let last = over.load(Ordering::SeqCst);
                let more = channel.take().expect("taken");
                assert!(more.bad.is_empty(), "{:?}", more.bad);
                taken.extend(more.entries.into_iter().map(|entry| entry.action));
                if last {
                    return taken;
                }
                std::thread::yield_now();
            }
        });
        for writer in writers {
            writer.join().expect("wrote");
        }
        over.store(true, Ordering::SeqCst);
        taken.extend(reading.join().expect("read"));
    });
    assert_eq!(taken.len(), WRITERS * EACH);
    // All of it is in the working file too, for nothing has been done.
    let run = std::fs::read(place.path().join("log-run")).expect("there");
    let held: BTreeSet<Action> = Lines::new(&run).map(|line| line.expect("good")).collect();
    assert_eq!(held, taken);
}
