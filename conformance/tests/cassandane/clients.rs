//! How clients begin and end, and what is in their logs.

use crate::chain::{Chain, Outcome, wait};
use conformance::ports::Port;
use conformance::process::{self, Daemon};
use conformance::programs::{self, Twin};
use std::process::Stdio;
use std::time::Duration;

/// The stock client that rolls to our server ends in order when that is stopped.
#[test]
fn a_rolling_stock_client_ends_in_order_when_our_server_stops() -> Outcome {
    let Some(mut chain) = Chain::start("server_stops", &["ann"], |setup| setup)? else {
        return Ok(());
    };
    let mut ann = chain.create("ann", &["a/b"])?;
    let mut command = chain
        .hand
        .sync_client_command(&chain.twin.address(), &["-o", "-R"]);
    let mut client = Daemon::start(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    let log = chain.log();
    let run = chain.hand.directory().join("conf/sync/log-run");
    assert!(wait(|| !log.exists() && !run.exists()), "it never rolled");
    chain.twin.stop()?;
    ann.create("INBOX/a/b/c")?;
    assert!(wait(|| client.ended().is_some()), "it goes on without a server");
    assert_eq!(client.ended().and_then(|status| status.code()), Some(0));
    Ok(())
}

/// Ours, told to connect once, ends when the Cyrus it rolls to is gone, and keeps what it could not send.
#[test]
fn our_rolling_client_ends_when_cyrus_is_gone() -> Outcome {
    let Some(mut chain) = Chain::start("cyrus_stops", &["ann"], |setup| setup)? else {
        return Ok(());
    };
    chain.create("ann", &["a/b"])?;
    chain.there(&["-u", "ann"])?.success("into ours")?;
    let mut command = chain
        .twin
        .sync_client_command(&chain.far_address(), &["-o", "-R"])?;
    let mut client = Daemon::start(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    assert!(wait(|| chain
        .far_names("user/ann/a/b")
        .is_ok_and(|names| names.len() == 1)));
    chain.far.kill()?;
    chain
        .twin
        .mailtwin(&["create", "ann/a/b/c"])?
        .success("a change")?;
    assert!(wait(|| client.ended().is_some()), "it goes on without a server");
    chain.far.restart()?;
    chain.on(&["-1", "-R"])?.success("what was left")?;
    assert_eq!(chain.far_names("user/ann/a/b/c")?.len(), 1);
    Ok(())
}

/// `-o`: one attempt, and it says that nobody listens. A log without a line is nothing to do.
#[test]
fn one_attempt_is_enough_and_an_empty_log_is_no_fault() -> Outcome {
    if !programs::usable("one_attempt") {
        return Ok(());
    }
    let mut twin = Twin::tcp("twin", &[])?;
    let reserved = Port::reserve()?;
    let nobody = reserved.address();
    for what in [["-m", "user.ann"].as_slice(), &["-R"]] {
        let run = twin.sync_client(&nobody, &[&["-o", "-v"], what].concat())?;
        assert_eq!(run.status.code(), Some(75), "{}", run.text());
        assert!(run.text().contains(&nobody), "{}", run.text());
        assert!(!run.text().contains("again in"), "{}", run.text());
    }
    let mut target = Twin::tcp("target", &[])?;
    target.start()?;
    let empty = twin.directory().join("empty-log");
    std::fs::write(&empty, "")?;
    let mut command = twin.sync_client_command(&target.address(), &["-R", "-f"])?;
    process::run(command.arg(&empty), Duration::from_secs(30))?.success("an empty log")?;
    twin.stop()?;
    Ok(())
}

/// Names with blanks are quoted in the log, others are not; ours is line for line the log that Cyrus writes, and each
/// client reads the other's.
#[test]
fn names_with_blanks_are_quoted_in_the_log() -> Outcome {
    let Some(chain) = Chain::start("names_with_blanks", &["ann", "ben"], |setup| setup)? else {
        return Ok(());
    };
    let folders = ["2nd level with blanks", "foo", "foo/3rd level with blanks"];
    chain.create("ann", &folders)?;
    chain.twin.mailtwin(&["create", "user/ann"])?.success("create")?;
    for folder in folders {
        chain
            .twin
            .mailtwin(&["create", &format!("ann/{folder}")])?
            .success("create")?;
    }
    let lines = |path: &std::path::Path| -> Outcome<Vec<String>> {
        let text = std::fs::read_to_string(path)?;
        Ok(text
            .lines()
            .filter(|line| line.starts_with("MAILBOX "))
            .map(str::to_owned)
            .collect())
    };
    let (theirs, mut ours) = (lines(&chain.log())?, lines(&chain.own_log())?);
    ours.dedup();
    assert_eq!(ours, theirs);
    assert!(
        theirs.contains(&"MAILBOX \"user.ann.foo.3rd level with blanks\"".to_owned()),
        "{theirs:?}"
    );
    assert!(theirs.contains(&"MAILBOX user.ann.foo".to_owned()), "{theirs:?}");

    // Ours is given to the stock client, and the stock one to ours.
    let (log, own) = (chain.log(), chain.own_log());
    let swapped = [std::fs::read(&log)?, std::fs::read(&own)?];
    chain
        .twin
        .mailtwin(&["delete", "--user", "ann", "--now"])?
        .success("another ann")?;
    chain.write_log(&String::from_utf8_lossy(&swapped[1]))?;
    let path = log.display().to_string();
    chain
        .there(&["-R", "-f", &path])?
        .success("the stock client and our log")?;
    std::fs::write(&own, &swapped[0])?;
    chain.on(&["-1", "-R"])?.success("our client and Cyrus's log")?;
    chain.end(&["ann"])
}
