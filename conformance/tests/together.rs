//! Our server among several clients, stopped in the middle of its work, and with what Cyrus itself cannot carry.

use conformance::compare::{self, Facts, Scope};
use conformance::cyrus::{self, Cyrus};
use conformance::population::{self, USERS};
use conformance::programs::{self, Twin};
use conformance::proxy::Proxy;
use std::process::Stdio;
use std::time::{Duration, Instant};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const SHARED: [&str; 4] = ["shared", "shared.board", "shared.team", "shared.team.Old stuff"];

fn start(test: &str) -> Result<Option<(Cyrus, Twin)>, Box<dyn std::error::Error>> {
    if !cyrus::usable(test) || !programs::usable(test) {
        return Ok(None);
    }
    let master = Cyrus::start(population::setup("cyrus-a"))?;
    population::fill(&master)?;
    let mut twin = Twin::tcp("twin", &["mailtwin_compress: no"])?;
    twin.start()?;
    Ok(Some((master, twin)))
}

fn assert_holds(master: &Cyrus, twin: &Twin) -> Outcome {
    let scope = Scope::all(&USERS);
    let shared = SHARED.map(str::to_owned);
    let (mut left, mut right) = (Facts::new(), Facts::new());
    compare::collect_csync(&mut master.csync()?, &scope, &shared, &mut left)?;
    compare::collect_csync(&mut twin.csync()?, &scope, &shared, &mut right)?;
    compare::assert_equal("Cyrus and our server", &compare::differences(&left, &right));
    Ok(())
}

#[test]
fn several_clients_at_once() -> Outcome {
    let Some((master, mut twin)) = start("several_clients_at_once")? else {
        return Ok(());
    };
    for round in 0..2 {
        let runs: [&[&str]; 5] = [
            &["-u", "alice"],
            &["-u", "bob", "carol"],
            &["-u", "dave.dots"],
            &["-A"],
            &["-u", "alice"],
        ];
        let mut clients = Vec::new();
        for arguments in runs {
            let mut command = master.sync_client_command(&twin.address(), arguments);
            clients.push(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        }
        // Two that work on the same user may well see each other's changes and give up; nothing breaks.
        for mut client in clients {
            client.wait()?;
        }
        assert!(twin.is_running(), "{}", twin.log());
        master
            .sync_client(&twin.address(), &["-A"])?
            .success("the last run")?;
        assert_holds(&master, &twin)?;
        if round == 0 {
            population::change(&master)?;
        }
    }
    assert!(!twin.log().contains("panicked"), "{}", twin.log());
    twin.stop()?;
    twin.mailtwin(&["verify"])?.success("mailtwin verify")?;
    Ok(())
}

#[test]
fn a_stop_in_the_middle_is_orderly() -> Outcome {
    let Some((master, mut twin)) = start("a_stop_in_the_middle")? else {
        return Ok(());
    };
    let proxy = Proxy::start(&twin.address())?;
    let mut stops = 0;
    for bytes in [2_000, 300_000, 900_000] {
        proxy.set_alarm(bytes);
        let mut command = master.sync_client_command(proxy.address(), &["-A"]);
        let mut client = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        // What a server finished before it stopped is not sent again, so a later client may have less to send.
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut ended = false;
        while !ended && !proxy.wait_alarm(Duration::from_millis(50)) {
            ended = client.try_wait()?.is_some();
            assert!(Instant::now() < deadline, "the client neither sends nor ends");
        }
        if ended {
            break;
        }
        stops += 1;
        // Fails when the server does not end by itself, with exit code 0.
        twin.stop()?;
        // The stock client would go on trying to connect.
        client.kill()?;
        client.wait()?;
        twin.mailtwin(&["verify"])?
            .success("mailtwin verify after a stop")?;
        twin.start()?;
    }
    assert!(stops > 0, "no stop fell into a run");
    master
        .sync_client(&twin.address(), &["-A"])?
        .success("the last run")?;
    assert_holds(&master, &twin)
}

/// A pair of Cyrus servers fails such a user for ever [CS-EXC-9].
#[test]
fn a_keyword_named_nil_passes() -> Outcome {
    let Some((master, mut twin)) = start("a_keyword_named_nil")? else {
        return Ok(());
    };
    let mut alice = master.imap("alice")?;
    alice.select("INBOX")?;
    alice.store("1:2", "+FLAGS", "(NIL before)")?;
    master
        .sync_client(&twin.address(), &["-A"])?
        .success("the way there")?;
    assert_holds(&master, &twin)?;
    twin.stop()?;
    let second = Cyrus::start(population::setup("cyrus-b"))?;
    twin.sync_client(&second.csync_address(), &["-A"])?
        .success("the way back")?;
    let found = compare::servers(&master, &second, &Scope::all(&USERS))?;
    compare::assert_equal("the two Cyrus servers", &found);
    Ok(())
}
