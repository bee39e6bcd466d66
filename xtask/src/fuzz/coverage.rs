//! How much of the code that a target can reach its corpus does reach, in libFuzzer's own counters.

use super::Place;
use crate::step;

/// A table of all targets on stdout.
pub fn report(place: &Place, targets: &[String]) -> bool {
    let mut rows = Vec::new();
    let mut ok = true;
    for target in targets {
        let command = format!(
            "{} -runs=0 {} {} {} 2>&1 | grep -E 'PC tables|INITED|DONE'",
            place.program(target).display(),
            place.options(),
            place.kept(target).display(),
            // A target that never ran here has grown nothing.
            Some(place.grown(target))
                .filter(|folder| folder.is_dir())
                .map_or(String::new(), |f| f.display().to_string()),
        );
        let finished = step::run(&format!("coverage of {target}"), &command, &[]);
        match row(&finished.output) {
            Some(row) => rows.push((target, row)),
            None => ok = false,
        }
    }
    println!(
        "\n{:<18} {:>7} {:>10} {:>8} {:>8} {:>6} {:>9}",
        "target", "inputs", "bytes", "edges", "linked", "%", "features"
    );
    for (target, row) in &rows {
        println!(
            "{target:<18} {:>7} {:>10} {:>8} {:>8} {:>5.1} {:>9}",
            row.inputs,
            row.bytes,
            row.edges,
            row.linked,
            100.0 * row.edges as f64 / row.linked.max(1) as f64,
            row.features
        );
    }
    println!(
        "edges: of the control flow of our own crates; linked: all that the program has of them, of which much belongs to other\n\
         targets; features: edges with how often they were passed"
    );
    ok
}

#[derive(PartialEq, Debug)]
struct Row {
    inputs: u64,
    bytes: String,
    edges: u64,
    linked: u64,
    features: u64,
}

/// Reads what libFuzzer says when it has gone through a corpus.
fn row(output: &str) -> Option<Row> {
    let linked = output.lines().filter_map(|line| {
        let (_, rest) = line.split_once(" PC tables (")?;
        rest.split_once(" PCs")?.0.parse::<u64>().ok()
    });
    let last = output.lines().rfind(|line| line.contains(" cov: "))?;
    let after = |word: &str| last.split_once(word)?.1.split_whitespace().next();
    let (inputs, bytes) = after("corp: ")?.split_once('/')?;
    Some(Row {
        inputs: inputs.parse().ok()?,
        bytes: bytes.to_owned(),
        edges: after("cov: ")?.parse().ok()?,
        linked: linked.sum(),
        features: after("ft: ")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read() {
        let said = "INFO: Loaded 1 PC tables (23417 PCs): 23417 [0x1,0x2),\n\
                    #2\tINITED cov: 12 ft: 13 corp: 1/1b exec/s: 0 rss: 28Mb\n\
                    #84488\tDONE   cov: 1384 ft: 3853 corp: 490/12Kb lim: 116 exec/s: 6499 rss: 29Mb\n";
        let expected = Row {
            inputs: 490,
            bytes: "12Kb".to_owned(),
            edges: 1384,
            linked: 23417,
            features: 3853,
        };
        assert_eq!(row(said), Some(expected));
        assert_eq!(row("no such program"), None);
    }
}
