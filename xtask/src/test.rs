//! `cargo xtask test`: everything that has to hold before a change lands, in one command.

use std::process::ExitCode;

use crate::tally::Tally;
use crate::{fuzz, packages, step};

/// Whether to run against real servers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cyrus {
    /// When they are installed or can be.
    WhenPossible,
    /// Not at all.
    Never,
}

/// Runs all steps, later ones too when an earlier one failed, and closes with the count.
pub fn run(cyrus: Cyrus) -> ExitCode {
    let mut tally = Tally::default();
    let servers = match cyrus {
        Cyrus::Never => Err("--quick was given".to_string()),
        Cyrus::WhenPossible => packages::cyrus(),
    };
    let nextest = packages::nextest();

    tally.step(step::run("format", "cargo fmt --all --check", &[]).ok);
    tally.step(
        step::run(
            "lint",
            "cargo clippy --workspace --all-targets -- -D warnings",
            &[],
        )
        .ok,
    );
    let strict = [("RUSTDOCFLAGS", "-D warnings")];
    tally.step(
        step::run(
            "document",
            "cargo doc --workspace --no-deps --document-private-items",
            &strict,
        )
        .ok,
    );
    tally.step(
        step::run(
            "build the programs",
            "cargo build -p server -p client -p cli -p cyr_synclog",
            &[],
        )
        .ok,
    );

    if nextest {
        let all = "cargo nextest run --workspace --exclude conformance --no-fail-fast";
        let finished = step::run("unit, property and integration tests", all, &[]);
        tally.tests(&finished.output, finished.ok);
    } else {
        tally.step(false);
    }
    let finished = step::run("documentation examples", "cargo test --workspace --doc", &[]);
    tally.tests(&finished.output, finished.ok);

    simulate(&mut tally);

    fuzz(&mut tally);

    judge(servers, &mut tally);

    println!(
        "\n{} passed, {} failed, {} skipped",
        tally.passed, tally.failed, tally.skipped
    );
    if tally.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What the simulator is asked on every change; longer runs are commands of its own. Built with some optimisation, for what
/// that costs is less than what it saves.
const SIMULATIONS: [(&str, &str); 1] = [(
    "simulator: canaries, determinism, fixed seeds, seeds of the commit",
    "cargo run --quiet -p sim -- check",
)];

fn simulate(tally: &mut Tally) {
    for (title, command) in SIMULATIONS {
        tally.step(step::run(title, command, &[("CARGO_PROFILE_DEV_OPT_LEVEL", "1")]).ok);
    }
}

/// Looks at the fuzz targets, replays the corpus of each, and fuzzes each for a moment.
fn fuzz(tally: &mut Tally) {
    let place = fuzz::Place::new();
    if !packages::cpp() || !place.build() {
        tally.step(false);
        return;
    }
    tally.step(place.lint());
    let replayed = place.replay();
    tally.tests(&replayed.output, replayed.ok);
    // Two at a time: as many as a small machine has cores.
    tally.step(place.fuzz_all(&place.targets(), fuzz::BRIEF_SECONDS, 2));
}

/// Runs the conformance suite: with real servers, every test has to run; without, those that need only our own
/// programs, and each of the others says why it does not.
fn judge(servers: Result<(), String>, tally: &mut Tally) {
    let judged = "cargo nextest run -p conformance --no-fail-fast";
    match servers {
        Ok(()) => {
            let finished = step::run("against real Cyrus", judged, &[("MAILTWIN_REQUIRE_CYRUS", "1")]);
            tally.tests(&finished.output, finished.ok);
        }
        Err(why) => {
            println!("\n── without real Cyrus: {why}");
            let log = std::env::temp_dir().join(format!("mailtwin-skipped-{}", std::process::id()));
            let path = log.to_string_lossy();
            let finished = step::run(
                "conformance, our own programs only",
                judged,
                &[("MAILTWIN_SKIP_LOG", &path)],
            );
            tally.tests(&finished.output, finished.ok);
            let skipped = std::fs::read_to_string(&log).unwrap_or_default();
            print!("{skipped}");
            tally.skip_passed(skipped.lines().count() as u64);
            // The file may not exist, when nothing was skipped.
            let _ = std::fs::remove_file(&log);
        }
    }
}
