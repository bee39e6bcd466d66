//! The main job: a real Cyrus replicates into our `sync_server`, our `sync_client` restores into a
//! second, empty Cyrus, and both Cyrus servers hold the same; initially and after changes.

use conformance::compare::{self, Scope};
use conformance::cyrus::{self, Cyrus};
use conformance::population::{self, USERS};
use conformance::programs::{self, Twin};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// How the two legs run.
struct Route {
    name: &'static str,
    /// Whether our server listens on a Unix socket.
    unix_there: bool,
    /// Whether our client restores over one.
    unix_back: bool,
    /// Whether both legs must be deflated; else neither is.
    deflate: bool,
    conversations: bool,
}

const PLAIN: Route = Route {
    name: "there_and_back",
    unix_there: false,
    unix_back: false,
    deflate: false,
    conversations: false,
};

#[test]
fn plain() -> Outcome {
    run(&PLAIN)
}

#[test]
fn with_deflate() -> Outcome {
    run(&Route {
        name: "there_and_back_deflate",
        deflate: true,
        ..PLAIN
    })
}

#[test]
fn over_unix_sockets() -> Outcome {
    run(&Route {
        name: "there_and_back_unix",
        unix_there: true,
        unix_back: true,
        ..PLAIN
    })
}

#[test]
fn over_a_unix_socket_there_and_tcp_back() -> Outcome {
    run(&Route {
        name: "there_and_back_unix_tcp",
        unix_there: true,
        ..PLAIN
    })
}

#[test]
fn over_tcp_there_and_a_unix_socket_back() -> Outcome {
    run(&Route {
        name: "there_and_back_tcp_unix",
        unix_back: true,
        ..PLAIN
    })
}

#[test]
fn with_conversations() -> Outcome {
    run(&Route {
        name: "there_and_back_conversations",
        conversations: true,
        ..PLAIN
    })
}

fn run(route: &Route) -> Outcome {
    if !cyrus::usable(route.name) || !programs::usable(route.name) {
        return Ok(());
    }
    let start = |name: &str| {
        let mut setup = population::setup(name);
        setup.conversations = route.conversations;
        Cyrus::start(setup)
    };
    // The names are equally long because Cyrus writes them into the headers of sieve scripts, whose sizes
    // count for the quota.
    let (first, second) = (start("cyrus-a")?, start("cyrus-b")?);
    let compress = if route.deflate {
        "mailtwin_compress: yes"
    } else {
        "mailtwin_compress: no"
    };
    let mut twin = if route.unix_there {
        Twin::unix("twin", &[compress])?
    } else {
        Twin::tcp("twin", &[compress])?
    };
    let mut scope = Scope::all(&USERS);
    // A Unix socket offers no capabilities, so scripts travel one by one.
    scope.sieve_mailbox = !route.unix_there && !route.unix_back;

    population::fill(&first)?;
    pass_on(route, &first, &mut twin, &second, &["-A"])?;
    compare::assert_equal(
        "after the initial way",
        &compare::servers(&first, &second, &scope)?,
    );
    verify(&twin)?;

    population::change(&first)?;
    pass_on(route, &first, &mut twin, &second, &["-A"])?;
    compare::assert_equal(
        "after the incremental way",
        &compare::servers(&first, &second, &scope)?,
    );
    verify(&twin)?;

    let names = population::rename_shared(&first)?;
    pass_on(route, &first, &mut twin, &second, &["-m", names[0], names[1]])?;
    compare::assert_equal(
        "after the way by mailbox",
        &compare::servers(&first, &second, &scope)?,
    );
    verify(&twin)
}

/// One run of each client: Cyrus into our store, our store into Cyrus.
fn pass_on(route: &Route, first: &Cyrus, twin: &mut Twin, second: &Cyrus, what: &[&str]) -> Outcome {
    let mut arguments = what.to_vec();
    if route.deflate {
        arguments.insert(0, "-z");
    }
    twin.start()?;
    let there = first.sync_client(&twin.address(), &arguments)?;
    let log = twin.log();
    there
        .success("the way there")
        .map_err(|error| format!("{error}\nthe server said:\n{log}"))?;
    twin.stop()?;
    let target = if route.unix_back {
        second.csync_socket().display().to_string()
    } else {
        second.csync_address()
    };
    twin.sync_client(&target, &arguments)?.success("the way back")?;
    Ok(())
}

fn verify(twin: &Twin) -> Outcome {
    twin.mailtwin(&["verify"])?.success("mailtwin verify")?;
    Ok(())
}

/// The store itself, asked through csync, holds what Cyrus holds.
#[test]
fn our_server_answers_as_cyrus_does() -> Outcome {
    if !cyrus::usable("our_server_answers") || !programs::usable("our_server_answers") {
        return Ok(());
    }
    let first = Cyrus::start(population::setup("first"))?;
    let mut twin = Twin::tcp("twin", &[])?;
    population::fill(&first)?;
    twin.start()?;
    let there = first.sync_client(&twin.address(), &["-A"])?;
    let log = twin.log();
    there
        .success("the way there")
        .map_err(|error| format!("{error}\nthe server said:\n{log}"))?;
    let scope = Scope::all(&USERS);
    let shared = ["shared", "shared.board", "shared.team", "shared.team.Old stuff"].map(str::to_owned);
    let (mut left, mut right) = (compare::Facts::new(), compare::Facts::new());
    compare::collect_csync(&mut first.csync()?, &scope, &shared, &mut left)?;
    compare::collect_csync(&mut twin.csync()?, &scope, &shared, &mut right)?;
    compare::assert_equal("Cyrus and our server", &compare::differences(&left, &right));
    twin.stop()?;
    Ok(())
}
