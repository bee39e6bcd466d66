//! A replica that cannot write one message.

use crate::chain::{Chain, Outcome, append, flags};
use conformance::cyrus::Setup;
use conformance::population::{hex, mail};
use sha1::{Digest, Sha1};

/// Cyrus can be told that one message cannot be written. What comes behind it in the same upload is not taken for
/// commands, other users are not held up, the run fails and says why, and the next one does what is left.
#[test]
fn a_message_that_cannot_be_written_there() -> Outcome {
    let bad = mail::plain(3);
    let guid = hex(&Sha1::digest(&bad));
    let users = ["a_early", "m_alone", "middle", "z_late"];
    let change = |setup: Setup| {
        if setup.name == "cyrus-f" {
            setup.with("debug_writefail_guid", &guid)
        } else {
            setup
        }
    };
    let Some(chain) = Chain::start("cannot_be_written", &users, change)? else {
        return Ok(());
    };
    for user in users {
        append(&mut chain.create(user, &[])?, "INBOX", &[1])?;
    }
    chain.carry(&["-A"])?;
    for user in users {
        let numbers: &[usize] = match user {
            "m_alone" => &[3],
            "middle" => &[2, 3, 4],
            _ => &[2],
        };
        append(&mut chain.hand.imap(user)?, "INBOX", numbers)?;
    }
    chain
        .there(&["-A"])?
        .success("into our store, which can write it")?;
    for _ in 0..2 {
        let run = chain.on(&["-A"])?;
        assert_eq!(run.status.code(), Some(1), "{}", run.text());
        for user in ["m_alone", "middle"] {
            assert!(run.text().contains(user), "it is told which: {}", run.text());
            let there = flags(&mut chain.far.imap(user)?, "INBOX")?;
            assert_eq!(there.len(), 1, "half an upload is none: {there:?}");
        }
        assert!(!run.text().contains("a_early"), "{}", run.text());
        chain.equal(&["a_early", "z_late"])?;
    }
    // In a log it is one entry among others, and kept.
    chain.forget_logs()?;
    append(&mut chain.hand.imap("z_late")?, "INBOX", &[5])?;
    let path = chain.log().display().to_string();
    chain.write_log("USER middle\nMAILBOX user.z_late\n")?;
    chain.there(&["-R", "-f", &path])?.success("into ours again")?;
    std::fs::write(chain.own_log(), "USER middle\nMAILBOX user.z_late\n")?;
    let run = chain.on(&["-1", "-R"])?;
    assert_eq!(run.status.code(), Some(1), "{}", run.text());
    chain.end(&["z_late"])
}
