//! A fixed set of seeds, and that a seed is a run.

#[test]
fn fixed_seeds_converge() {
    for seed in 0..150 {
        if let Err(error) = sim::run::run(seed) {
            panic!("seed {seed}: {error:#}");
        }
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..10 {
        assert_eq!(sim::run::run(seed).ok(), sim::run::run(seed).ok());
    }
}
