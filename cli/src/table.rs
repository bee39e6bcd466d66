//! Tables for people: aligned columns that fit the screen, and numbers one can read.

use console::{Alignment, measure_text_width, pad_str, truncate_str};

/// Smallest width the first column is cut to, columns of the screen.
const FIRST_WIDTH_MIN: usize = 12;

/// Where a column's text stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Align {
    /// Names.
    Left,
    /// Numbers.
    Right,
}

/// A table; the first column gives way when the screen is too narrow.
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With these headings.
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Table {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// One more row, a cell a column.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The lines, none longer than `width` if that can be had by cutting the first column; `None` cuts nothing.
    pub fn lines(&self, width: Option<usize>) -> Vec<String> {
        let heading: Vec<String> = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let all = || std::iter::once(&heading).chain(&self.rows);
        let mut widths: Vec<usize> = (0..self.columns.len())
            .map(|c| {
                all()
                    .filter_map(|row| row.get(c))
                    .map(|cell| measure_text_width(cell))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let total = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        if let (Some(width), Some(first)) = (width, widths.first_mut()) {
            *first = first
                .saturating_sub(total.saturating_sub(width))
                .max(FIRST_WIDTH_MIN.min(*first));
        }
        all().map(|row| self.line(row, &widths)).collect()
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let cells = row
            .iter()
            .zip(widths)
            .zip(&self.columns)
            .map(|((cell, &width), (_, align))| {
                let alignment = if *align == Align::Left {
                    Alignment::Left
                } else {
                    Alignment::Right
                };
                pad_str(&truncate_str(cell, width, "…"), width, alignment, None).into_owned()
            });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    }
}

/// The width of the screen, if standard output is one.
pub fn screen_width() -> Option<usize> {
    let terminal = console::Term::stdout();
    terminal.is_term().then(|| {
        terminal
            .size_checked()
            .map_or(80, |(_, columns)| usize::from(columns))
    })
}

/// `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes in the largest unit that leaves a digit before the point: `12.3 kB`, decimal units.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if number < 1000 {
        return format!("{number} B");
    }
    let (mut value, mut unit) = (number as f64 / 1000.0, 0);
    // What rounds to 1000.0 belongs to the next unit.
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `1 message`, `2 messages`.
pub fn count(number: u64, what: &str) -> String {
    format!(
        "{} {what}{}",
        grouped(number),
        if number == 1 {
            ""
        } else if what.ends_with('x') {
            "es"
        } else {
            "s"
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"],
            [0, 999, 1000, 1_234_567].map(grouped).each_ref().map(|s| &s[..])
        );
        for (number, text) in [
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(bytes(number), text);
        }
        assert_eq!(count(1, "mailbox"), "1 mailbox");
        assert_eq!(count(2000, "mailbox"), "2,000 mailboxes");
        assert_eq!(count(0, "message"), "0 messages");
    }

    #[test]
    fn the_first_column_gives_way() {
        let mut table = Table::new(&[("MAILBOX", Align::Left), ("MESSAGES", Align::Right)]);
        table.row(vec!["台北日台北日台北日台北日".to_owned(), "7".to_owned()]);
        assert_eq!(table.lines(None)[1], "台北日台北日台北日台北日         7");
        assert_eq!(
            table.lines(Some(24)),
            ["MAILBOX         MESSAGES", "台北日台北日…          7"]
        );
        let narrow = table.lines(Some(3));
        assert_eq!(narrow[1], "台北日台北…          7", "no narrower than readable");
    }
}
