//! Writes every mutant of a file into its source, each behind a switch that is off until a run turns it on.
//!
//! One build then serves all mutants. Nothing but insertions is made, so that what the compiler says of the result can be
//! mapped back to the mutant whose text it dislikes.

use std::collections::BTreeMap;
use std::ops::Range;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::list::{Genre, Mutant};

/// A source with its mutants in it.
pub struct Rewritten {
    /// The text to compile.
    pub text: String,
    /// Where in it the words of each mutant stand, as byte ranges, by switch number.
    pub words: Vec<(Range<usize>, u32)>,
    /// The expressions that were wrapped for the sake of mutants, with all their switch numbers.
    pub wrapped: Vec<(Range<usize>, Vec<u32>)>,
    /// Switch numbers that found no place in the source.
    pub homeless: Vec<u32>,
}

/// What is put around a range of the source.
#[derive(Default)]
struct Wrap {
    before: Vec<(Option<u32>, String)>,
    after: String,
}

/// A mutant and its switch number.
type Switched<'a> = (u32, &'a Mutant);

/// Start, end, and which of two wraps of the same range is the outer one.
type Place = (usize, usize, u8);

struct Finder<'a> {
    source: &'a str,
    lines: Vec<usize>,
    switch: &'a str,
    /// By genre, line and column (both from 1), what stands there: a switch number and the mutant.
    wanted: BTreeMap<(Genre, usize, usize), Vec<Switched<'a>>>,
    wraps: BTreeMap<Place, Wrap>,
    /// Where, for which mutant, which text.
    inserts: Vec<(usize, u32, String)>,
}

/// Writes mutants into a source; `switch` is the path of the function that tells whether a number is on.
///
/// # Errors
/// When the source cannot be parsed.
pub fn rewrite(source: &str, switch: &str, mutants: &[(u32, &Mutant)]) -> Result<Rewritten, String> {
    let file = syn::parse_file(source).map_err(|error| error.to_string())?;
    let mut wanted: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (number, mutant) in mutants {
        let at = (mutant.genre, mutant.start.0, mutant.start.1);
        wanted.entry(at).or_default().push((*number, *mutant));
    }
    let mut lines = vec![0];
    lines.extend(source.match_indices('\n').map(|(at, _)| at + 1));
    let mut finder = Finder {
        source,
        lines,
        switch,
        wanted,
        wraps: BTreeMap::new(),
        inserts: Vec::new(),
    };
    finder.bodies();
    finder.visit_file(&file);
    Ok(finder.write())
}

impl<'a> Finder<'a> {
    fn on(&self, number: u32) -> String {
        format!("{}({number})", self.switch)
    }

    fn take(&mut self, genre: Genre, span: proc_macro2::Span) -> Vec<(u32, &'a Mutant)> {
        let start = span.start();
        self.wanted
            .remove(&(genre, start.line, start.column + 1))
            .unwrap_or_default()
    }

    fn text(&self, of: &impl Spanned) -> &'a str {
        self.source.get(of.span().byte_range()).unwrap_or_default()
    }

    /// Bodies are named by where their first statement begins: an early return there is all they need. Where that would
    /// be of another type than the rest, an iterator can still be cut to nothing.
    fn bodies(&mut self) {
        let bodies = self.wanted.keys().filter(|at| at.0 == Genre::Body).copied();
        for at in bodies.collect::<Vec<_>>() {
            let Some(offset) = self.offset(at.1, at.2) else {
                continue;
            };
            let mut homeless = Vec::new();
            for (number, mutant) in self.wanted.remove(&at).unwrap_or_default() {
                let on = self.on(number);
                let end = self.offset(mutant.end.0, mutant.end.1);
                match (mutant.opaque, mutant.replacement.as_str(), end) {
                    (false, ..) => {
                        let text = format!("if {on} {{ return {}; }} ", mutant.replacement);
                        self.inserts.push((offset, number, text));
                    }
                    (true, "::std::iter::empty()", Some(end)) => {
                        let wrap = self.wraps.entry((offset, end, 0)).or_default();
                        wrap.before.push((Some(number), "({ ".to_owned()));
                        wrap.after = format!(" }}).take(if {on} {{ 0 }} else {{ usize::MAX }})");
                    }
                    _ => homeless.push((number, mutant)),
                }
            }
            if !homeless.is_empty() {
                self.wanted.insert(at, homeless);
            }
        }
    }

    fn offset(&self, line: usize, column: usize) -> Option<usize> {
        let start = *self.lines.get(line.checked_sub(1)?)?;
        let rest = self.source.get(start..)?;
        let (at, _) = rest.char_indices().nth(column.checked_sub(1)?)?;
        Some(start + at)
    }

    /// `whole` becomes an `if` whose last branch is itself.
    fn branch(&mut self, whole: Range<usize>, branches: Vec<(u32, String)>) {
        if branches.is_empty() {
            return;
        }
        let wrap = self.wraps.entry((whole.start, whole.end, 1)).or_default();
        wrap.before.push((None, "(".to_owned()));
        for (number, text) in branches {
            let branch = format!("if {}({number}) {{ {text} }} else ", self.switch);
            wrap.before.push((Some(number), branch));
        }
        wrap.before.push((None, "{ (".to_owned()));
        wrap.after.insert_str(0, ") })");
    }

    fn write(mut self) -> Rewritten {
        let mut pieces: Vec<(Order, Option<u32>, String)> = Vec::new();
        for (at, number, text) in std::mem::take(&mut self.inserts) {
            pieces.push((Order::insert(at), Some(number), text));
        }
        for (place, wrap) in &self.wraps {
            for (number, text) in &wrap.before {
                pieces.push((Order::open(*place), *number, text.clone()));
            }
            pieces.push((Order::close(*place), None, wrap.after.clone()));
        }
        pieces.sort_by_key(|(order, ..)| *order);
        let mut text = String::new();
        let mut words = Vec::new();
        let mut open: BTreeMap<Place, usize> = BTreeMap::new();
        let mut wrapped = Vec::new();
        let mut done = 0;
        for (order, number, piece) in pieces {
            text.push_str(&self.source[done..order.at]);
            done = order.at;
            if order.kind == OPEN {
                open.entry(order.place).or_insert(text.len());
            }
            let start = text.len();
            text.push_str(&piece);
            if let Some(number) = number {
                words.push((start..text.len(), number));
            }
            if order.kind == CLOSE
                && let (Some(start), Some(wrap)) = (open.remove(&order.place), self.wraps.get(&order.place))
            {
                let numbers = wrap.before.iter().filter_map(|(number, _)| *number).collect();
                wrapped.push((start..text.len(), numbers));
            }
        }
        text.push_str(&self.source[done..]);
        let homeless = self.wanted.values().flatten().map(|(number, _)| *number);
        Rewritten {
            text,
            words,
            wrapped,
            homeless: homeless.collect(),
        }
    }
}

/// At one place: what ends there, inner before outer; what is put between; what begins there, outer before inner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    at: usize,
    kind: u8,
    nesting: (usize, u8),
    place: Place,
}

const CLOSE: u8 = 0;
const INSERT: u8 = 1;
const OPEN: u8 = 2;

impl Order {
    fn close(place: Place) -> Order {
        let nesting = (usize::MAX - place.0, u8::MAX - place.2);
        Order {
            at: place.1,
            kind: CLOSE,
            nesting,
            place,
        }
    }

    fn insert(at: usize) -> Order {
        Order {
            at,
            kind: INSERT,
            nesting: (0, 0),
            place: (at, at, 0),
        }
    }

    fn open(place: Place) -> Order {
        let nesting = (usize::MAX - place.1, place.2);
        Order {
            at: place.0,
            kind: OPEN,
            nesting,
            place,
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_expr_binary(&mut self, node: &'ast syn::ExprBinary) {
        let found = self.take(Genre::Binary, node.op.span());
        let (left, right) = (self.text(&node.left), self.text(&node.right));
        let branches = found
            .into_iter()
            .map(|(number, mutant)| (number, format!("(({left}) {} ({right}))", mutant.replacement)))
            .collect();
        self.branch(node.span().byte_range(), branches);
        visit::visit_expr_binary(self, node);
    }

    fn visit_expr_unary(&mut self, node: &'ast syn::ExprUnary) {
        let found = self.take(Genre::Unary, node.op.span());
        let inner = self.text(&node.expr);
        let branches = found
            .into_iter()
            .map(|(number, mutant)| (number, format!("({} {inner})", mutant.replacement)))
            .collect();
        self.branch(node.span().byte_range(), branches);
        visit::visit_expr_unary(self, node);
    }

    fn visit_arm(&mut self, node: &'ast syn::Arm) {
        for (number, _) in self.take(Genre::Arm, node.span()) {
            let off = format!("!{}", self.on(number));
            match &node.guard {
                Some((_, guard)) => self.guard(guard.span().byte_range(), number, format!("{off} && (")),
                None => {
                    let end = node.pat.span().byte_range().end;
                    self.inserts.push((end, number, format!(" if {off}")));
                }
            }
        }
        if let Some((_, guard)) = &node.guard {
            for (number, mutant) in self.take(Genre::Guard, guard.span()) {
                let on = self.on(number);
                let before = match mutant.replacement.as_str() {
                    "true" => format!("{on} || ("),
                    _ => format!("!{on} && ("),
                };
                self.guard(guard.span().byte_range(), number, before);
            }
        }
        visit::visit_arm(self, node);
    }

    fn visit_expr_struct(&mut self, node: &'ast syn::ExprStruct) {
        for field in &node.fields {
            let found = self.take(Genre::Field, field.span());
            let Some(base) = &node.rest else { continue };
            let (path, base) = (self.text(&node.path), self.text(base));
            let name = self.text(&field.member);
            let value = format!("(({path} {{ ..{base} }}).{name})");
            let branches: Vec<_> = found
                .into_iter()
                .map(|(number, _)| (number, value.clone()))
                .collect();
            if field.colon_token.is_none() && !branches.is_empty() {
                let start = field.span().byte_range().start;
                self.inserts.push((start, branches[0].0, format!("{name}: ")));
            }
            self.branch(field.expr.span().byte_range(), branches);
        }
        visit::visit_expr_struct(self, node);
    }
}

impl Finder<'_> {
    fn guard(&mut self, whole: Range<usize>, number: u32, before: String) {
        let wrap = self.wraps.entry((whole.start, whole.end, 0)).or_default();
        wrap.before.push((Some(number), before));
        wrap.after.push(')');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(genre: Genre, start: (usize, usize), replacement: &str) -> Mutant {
        Mutant {
            id: String::new(),
            file: String::new(),
            what: String::new(),
            genre,
            replacement: replacement.to_owned(),
            start,
            end: (start.0, start.1 + 1),
            opaque: false,
        }
    }

    fn written(source: &str, mutants: &[Mutant]) -> Rewritten {
        let numbered: Vec<(u32, &Mutant)> = (1..).zip(mutants).collect();
        let done = rewrite(source, "on", &numbered).expect("source");
        syn::parse_file(&done.text).expect("what is written can be read");
        done
    }

    #[test]
    fn operators_become_branches_and_nest() {
        let source = "fn f() -> bool {\n    !a && b == c\n}\n";
        let mutants = [
            mutant(Genre::Binary, (2, 8), "||"),
            mutant(Genre::Unary, (2, 5), ""),
            mutant(Genre::Binary, (2, 13), "!="),
        ];
        let inner = "(if on(2) { ( a) } else { (!a) }) && (if on(3) { ((b) != (c)) } else { (b == c) })";
        let done = written(source, &mutants);
        let whole = format!("(if on(1) {{ ((!a) || (b == c)) }} else {{ ({inner}) }})");
        assert_eq!(done.text, format!("fn f() -> bool {{\n    {whole}\n}}\n"));
        assert!(done.homeless.is_empty());
    }

    #[test]
    fn the_words_of_a_mutant_are_found_in_the_text() {
        let mutants = [
            mutant(Genre::Binary, (1, 19), "-"),
            mutant(Genre::Body, (1, 17), "7"),
        ];
        let done = written("fn f() -> u32 { a + b }\n", &mutants);
        let words: Vec<(&str, u32)> = done
            .words
            .iter()
            .map(|(range, number)| (&done.text[range.clone()], *number))
            .collect();
        let expected = [
            ("if on(2) { return 7; } ", 2),
            ("if on(1) { ((a) - (b)) } else ", 1),
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn arms_guards_and_fields_are_switched_off() {
        let source =
            "fn f() { match x {\n    A => 1,\n    B if y => 2,\n    _ => { S { z, ..base } }\n}; }\n";
        let mutants = [
            mutant(Genre::Arm, (2, 5), ""),
            mutant(Genre::Guard, (3, 10), "true"),
            mutant(Genre::Arm, (3, 5), ""),
            mutant(Genre::Field, (4, 16), ""),
        ];
        let done = written(source, &mutants);
        assert!(done.text.contains("A if !on(1) => 1"), "{}", done.text);
        assert!(
            done.text.contains("B if !on(3) && (on(2) || (y)) => 2"),
            "{}",
            done.text
        );
        let field = "S { z: (if on(4) { ((S { ..base }).z) } else { (z) }), ..base }";
        assert!(done.text.contains(field), "{}", done.text);
    }

    #[test]
    fn what_has_no_place_is_said() {
        let done = written("fn f() {}\n", &[mutant(Genre::Binary, (1, 3), "+")]);
        assert_eq!(done.homeless, [1]);
    }
}
