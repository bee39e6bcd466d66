//! Every input of the corpus, through the body of its target.

// Crates that were built with counters need who counts.
use libfuzzer_sys as _;

#[test]
fn the_corpus_replays() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, body) in bodies::TARGETS {
        let folder = std::fs::read_dir(corpus.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut count = 0;
        for entry in folder {
            let path = entry.expect("an entry").path();
            let input = std::fs::read(&path).expect("an input is read");
            let result = std::panic::catch_unwind(|| body(&input));
            assert!(result.is_ok(), "{} fails", path.display());
            count += 1;
        }
        assert!(count > 0, "{name} has no corpus");
    }
}
