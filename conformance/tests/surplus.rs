//! What a server says beyond what a scenario asks for is found, whatever its words.

use conformance::suite::play::{self, Outcome};
use conformance::suite::scenario;
use conformance::suite::target::Target;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

type Done = Result<(), Box<dyn std::error::Error>>;

/// A server that knows just what these scenarios need, and says `surplus` behind every BAD.
fn serve(stream: &TcpStream, surplus: &str) -> std::io::Result<()> {
    let mut out = stream;
    out.write_all(b"* SASL PLAIN\r\n* OK twin.example Cyrus sync server none\r\n")?;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        let answer = match line.split(' ').next().unwrap_or_default() {
            "AUTHENTICATE" => "OK Success (no protection)\r\n".to_owned(),
            "NOOP" => "OK Noop completed\r\n".to_owned(),
            "APPLY" => "OK success\r\n".to_owned(),
            "EXIT" => {
                out.write_all(b"OK Finished\r\n")?;
                return Ok(());
            }
            _ => format!("BAD IMAP_PROTOCOL_ERROR Unrecognized command\r\n{surplus}"),
        };
        out.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// Plays `steps` against such a server.
fn play(steps: &str, surplus: &'static str) -> Result<Outcome, Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let target = Target::new(&listener.local_addr()?.to_string(), "admin", "secret");
    // It serves until the test's process ends.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(&stream, surplus));
        }
    });
    let text = format!("about: x\nrules: [CS-LIT-8]\n\n{steps}");
    let scenarios = scenario::parse(Path::new("/s"), Path::new("/s/surplus/x.csync"), &text)?;
    Ok(play::play(&scenarios[0], &target, "surplus", None, false).outcome)
}

/// What an answer too many looks like: a word of NOOP, of EXIT, of any command; a refusal; a data line.
const TOO_MANY: [&str; 5] = [
    "OK Noop completed\r\n",
    "OK Finished\r\n",
    "OK success\r\n",
    "BAD Null command\r\n",
    "* MAILBOX x\r\n",
];

#[test]
fn one_answer_for_each_command_passes() -> Done {
    let outcome = play(
        "C: FOO\nS: BAD *\nQ: FOO\nA: BAD *\nQ: NOOP\nA: OK *\nC2: NOOP\nS2: OK *\n",
        "",
    )?;
    assert!(matches!(outcome, Outcome::Passed), "{outcome:?}");
    Ok(())
}

#[test]
fn an_answer_too_many_is_found_on_every_connection() -> Done {
    for surplus in TOO_MANY {
        for steps in [
            "C: FOO\nS: BAD *\n",
            "C: NOOP\nS: OK *\nC2: FOO\nS2: BAD *\n",
            "Q: FOO\nA: BAD *\n",
            "Q: FOO\nA: BAD *\nQ: NOOP\nA: OK *\n",
        ] {
            let outcome = play(steps, surplus)?;
            let Outcome::Failed(failure) = outcome else {
                panic!("{surplus:?} after {steps:?}: {outcome:?}");
            };
            assert_eq!(failure.heard.shown(), surplus.trim_end(), "after {steps:?}");
        }
    }
    Ok(())
}
