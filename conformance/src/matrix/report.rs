//! The matrix for people and for machines.

use super::{Cell, Outcome, Stage};
use serde_json::{Value, json as value};
use std::fmt::Write as _;

/// A square as one short word; `!` marks what nobody expected.
fn word(cell: &Cell) -> String {
    let mark = if cell.expected() { "" } else { "!" };
    format!("{mark}{}", cell.outcome.name())
}

/// One line for each pair, one column for each stage, then every square that is not equal with its reason or evidence.
pub fn table(cells: &[Cell]) -> String {
    let mut out = format!("{:<9} {:<9}", "master", "replica");
    for stage in Stage::ALL {
        let _ = write!(out, " {:<12}", stage.name());
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    for pair in cells.chunk_by(|one, other| (one.master, one.replica) == (other.master, other.replica)) {
        let mut line = format!("{:<9} {:<9}", pair[0].master.name(), pair[0].replica.name());
        for cell in pair {
            let _ = write!(line, " {:<12}", word(cell));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    for cell in cells {
        if cell.expected() && cell.known.is_none() {
            continue;
        }
        let _ = write!(
            out,
            "\n{} to {}, {}: {}",
            cell.master,
            cell.replica,
            cell.stage.name(),
            cell.outcome.name()
        );
        match cell.known {
            Some(known) if cell.expected() => {
                let _ = writeln!(out, ", as known: {}", known.reason);
            }
            Some(known) => {
                let _ = writeln!(out, ", but known is: {}", known.reason);
            }
            None => out.push('\n'),
        }
        if !cell.expected() {
            for line in cell.outcome.evidence().lines() {
                let _ = writeln!(out, "  {line}");
            }
        }
    }
    let equal = cells
        .iter()
        .filter(|cell| matches!(cell.outcome, Outcome::Equal(_)));
    let surprises = cells.iter().filter(|cell| !cell.expected()).count();
    let _ = writeln!(
        out,
        "\n{} squares: {} equal, {} not equal for a known reason, {surprises} not expected",
        cells.len(),
        equal.count(),
        cells
            .iter()
            .filter(|cell| cell.expected() && cell.known.is_some())
            .count(),
    );
    out
}

/// The same as a list of objects.
pub fn json(cells: &[Cell]) -> Value {
    let square = |cell: &Cell| {
        value!({
            "master": cell.master.name(),
            "replica": cell.replica.name(),
            "stage": cell.stage.name(),
            "outcome": cell.outcome.name(),
            "evidence": cell.outcome.evidence(),
            "expected": cell.expected(),
            "reason": cell.known.map(|known| known.reason.clone()),
        })
    };
    Value::Array(cells.iter().map(square).collect())
}
