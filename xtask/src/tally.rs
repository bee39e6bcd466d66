//! Counting what passed, failed and was skipped over all steps.

/// The count.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Tests and steps that passed.
    pub passed: u64,
    /// Tests and steps that failed.
    pub failed: u64,
    /// Tests and steps that could not run here; each said why.
    pub skipped: u64,
}

impl Tally {
    /// Counts a step that is one check of its own.
    pub fn step(&mut self, ok: bool) {
        if ok { self.passed += 1 } else { self.failed += 1 }
    }

    /// Counts tests as skipped that the runner took for passed, because they said so themselves.
    pub fn skip_passed(&mut self, count: u64) {
        let count = count.min(self.passed);
        self.passed -= count;
        self.skipped += count;
    }

    /// Adds what a nextest or libtest run said of itself; a failed run that counted no failure counts as one.
    pub fn tests(&mut self, output: &str, ok: bool) {
        let before = self.failed;
        // nextest shows the output of a failed test, which holds a libtest summary of its own.
        let nextest = output
            .lines()
            .any(|line| strip_colours(line).trim_start().starts_with("Summary ["));
        for line in output.lines() {
            let line = strip_colours(line);
            // nextest: "Summary [   1.2s] 12 tests run: 11 passed, 1 failed, 3 skipped"
            // libtest: "test result: ok. 5 passed; 0 failed; 1 ignored; ..."
            let counts = match (line.split_once(" tests run: "), line.split_once("test result: ")) {
                (Some((head, counts)), _) if head.trim_start().starts_with("Summary") => counts,
                (_, Some((_, counts))) if !nextest => counts,
                _ => continue,
            };
            self.passed += number_before(counts, " passed");
            self.failed += number_before(counts, " failed") + number_before(counts, " timed out");
            self.skipped += number_before(counts, " skipped") + number_before(counts, " ignored");
        }
        if !ok && self.failed == before {
            self.failed += 1;
        }
    }
}

fn number_before(text: &str, word: &str) -> u64 {
    let Some(at) = text.find(word) else { return 0 };
    let digits = text[..at]
        .chars()
        .rev()
        .take_while(char::is_ascii_digit)
        .collect::<Vec<_>>();
    digits.into_iter().rev().collect::<String>().parse().unwrap_or(0)
}

fn strip_colours(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('\u{1b}') {
        out.push_str(&rest[..at]);
        rest = rest[at..].split_once('m').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nextest_and_libtest_summaries_are_read() {
        let mut tally = Tally::default();
        tally.tests(
            "     Summary [   1.234s] 12 tests run: 11 passed (1 slow), 1 failed, 3 skipped\n",
            false,
        );
        assert_eq!(
            tally,
            Tally {
                passed: 11,
                failed: 1,
                skipped: 3
            }
        );
        tally.tests(
            "test result: ok. 5 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out\n",
            true,
        );
        assert_eq!(
            tally,
            Tally {
                passed: 16,
                failed: 1,
                skipped: 5
            }
        );
    }

    #[test]
    fn the_shown_output_of_a_failed_test_is_not_counted_again() {
        let mut tally = Tally::default();
        let shown = "    test result: FAILED. 0 passed; 1 failed; 0 ignored\n";
        let summary = "     Summary [ 1s] 43 tests run: 42 passed, 1 failed, 0 skipped\n";
        tally.tests(&format!("{shown}{summary}{shown}"), false);
        assert_eq!(
            tally,
            Tally {
                passed: 42,
                failed: 1,
                skipped: 0
            }
        );
    }

    #[test]
    fn a_run_that_dies_without_a_summary_counts_as_a_failure() {
        let mut tally = Tally::default();
        tally.tests("error: could not compile\n", false);
        assert_eq!(
            tally,
            Tally {
                passed: 0,
                failed: 1,
                skipped: 0
            }
        );
    }

    #[test]
    fn colours_do_not_hide_a_summary() {
        let mut tally = Tally::default();
        tally.tests("\u{1b}[32;1m     Summary\u{1b}[0m [ 1s] \u{1b}[1m2\u{1b}[0m tests run: \u{1b}[1m2\u{1b}[0m \u{1b}[32mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m \u{1b}[33mskipped\u{1b}[0m\n", true);
        assert_eq!(
            tally,
            Tally {
                passed: 2,
                failed: 0,
                skipped: 0
            }
        );
    }
}
