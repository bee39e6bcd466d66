//! The grammar of values, over bytes that are complete.
//!
//! The decoders hand whole lines and list elements to these parsers; what may still grow never gets here. Values
//! borrow from the bytes, strings with escapes excepted. `[CS-DLIST-1]`

pub mod record;

use std::borrow::Cow;

use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_while, take_while1};
use nom::character::complete::{char, digit1};
use nom::combinator::{eof, map, map_res, opt, recognize, value as as_value, verify};
use nom::multi::{fold_many0, many0};
use nom::sequence::{delimited, preceded, separated_pair, terminated};
use nom::{IResult, Parser};

use crate::decode::scan::{in_atom, is_blank};

/// An atom, a quoted string or a literal; owned only where escapes had to be taken out.
pub type Word<'a> = Cow<'a, [u8]>;

/// A value of a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// Unquoted `NIL`.
    Nil,
    /// An atom, a flag, a quoted string or a literal.
    Text(Word<'a>),
    /// `(...)`
    List(Vec<Value<'a>>),
    /// `%(...)`
    KvList(Vec<Pair<'a>>),
    /// `%{...}` and its bytes; boxed because it is rare and large.
    File(Box<File<'a>>),
}

/// A key and its value.
pub type Pair<'a> = (Word<'a>, Value<'a>);

/// A file literal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File<'a> {
    /// Partition name.
    pub partition: Word<'a>,
    /// GUID as sent.
    pub guid: Word<'a>,
    /// The bytes; their number is what the head announced.
    pub bytes: &'a [u8],
}

type Parsed<'a, T> = IResult<&'a [u8], T>;

/// `[CS-DLIST-4]` `ws = *( SP / HTAB / VT / FF )`
fn ws(input: &[u8]) -> Parsed<'_, &[u8]> {
    take_while(is_blank)(input)
}

/// `atom = 1*<any byte except NUL, ws, CR, LF, "(", ")", DQUOTE>`; where it begins, not an 8-bit byte or `{` either
fn atom(input: &[u8]) -> Parsed<'_, &[u8]> {
    verify(take_while1(in_atom), |text: &[u8]| {
        !matches!(text[0], b'{' | 0x80..)
    })
    .parse(input)
}

/// `quoted = DQUOTE *( <any byte except DQUOTE, "\", NUL, CR, LF> / "\" <any byte except NUL, CR, LF> ) DQUOTE`
fn quoted(input: &[u8]) -> Parsed<'_, Word<'_>> {
    let plain = |byte: u8| !matches!(byte, b'"' | b'\\' | b'\r' | b'\n' | 0);
    let (rest, first) = preceded(char('"'), take_while(plain)).parse(input)?;
    if let Some((b'"', rest)) = rest.split_first() {
        return Ok((rest, Cow::Borrowed(first)));
    }
    let escaped = preceded(
        char('\\'),
        verify(take(1usize), |byte: &[u8]| !matches!(byte[0], b'\r' | b'\n' | 0)),
    );
    let part = alt((escaped, take_while1(plain)));
    let all = fold_many0(
        part,
        || first.to_vec(),
        |mut all: Vec<u8>, part: &[u8]| {
            all.extend_from_slice(part);
            all
        },
    );
    terminated(map(all, Cow::Owned), char('"')).parse(rest)
}

/// `number = 1*DIGIT`
fn number(input: &[u8]) -> Parsed<'_, usize> {
    map_res(map_res(digit1, std::str::from_utf8), str::parse).parse(input)
}

/// `[CS-LIT-1]` `literal = "{" number ["+"] "}" CRLF <number bytes>`
fn literal(input: &[u8]) -> Parsed<'_, &[u8]> {
    let (rest, size) = delimited(
        char('{'),
        terminated(number, opt(char('+'))),
        tag("}\r\n".as_bytes()),
    )
    .parse(input)?;
    take(size)(rest)
}

/// `string = atom / quoted / literal`
fn string(input: &[u8]) -> Parsed<'_, Word<'_>> {
    alt((quoted, map(literal, Cow::Borrowed), map(atom, Cow::Borrowed))).parse(input)
}

/// `key = string`
fn key(input: &[u8]) -> Parsed<'_, Word<'_>> {
    string(input)
}

/// `[CS-DLIST-7]` `nil = "NIL"`, in capitals and not part of a longer atom
fn nil(input: &[u8]) -> Parsed<'_, &[u8]> {
    verify(take_while1(in_atom), |text: &[u8]| text == b"NIL").parse(input)
}

/// `[CS-LIT-5]` `file-head = "%{" string SP string SP number "}" [CR] LF`
fn file_head_parts(input: &[u8]) -> Parsed<'_, (Word<'_>, Word<'_>, usize)> {
    let names = separated_pair(string, char(' '), string);
    let parts = map(
        separated_pair(names, char(' '), number),
        |((partition, guid), size)| (partition, guid, size),
    );
    let close = (char('}'), opt(char('\r')), char('\n'));
    delimited(tag("%{".as_bytes()), parts, close).parse(input)
}

/// `file = file-head <number bytes>`
fn file(input: &[u8]) -> Parsed<'_, File<'_>> {
    let (rest, (partition, guid, size)) = file_head_parts(input)?;
    map(take(size), |bytes| File {
        partition: partition.clone(),
        guid: guid.clone(),
        bytes,
    })
    .parse(rest)
}

/// `list = "(" ws *( value ws ) ")"`; white space may be left out where a token ends by itself
fn list(depth: usize) -> impl Fn(&[u8]) -> Parsed<'_, Vec<Value<'_>>> {
    move |input| {
        let items = many0(terminated(value(depth), ws));
        delimited((char('('), ws), items, char(')')).parse(input)
    }
}

/// `kvlist = "%(" pairs ")"`
fn kvlist(depth: usize) -> impl Fn(&[u8]) -> Parsed<'_, Vec<Pair<'_>>> {
    move |input| delimited(tag("%(".as_bytes()), pairs(depth), char(')')).parse(input)
}

/// `pairs = ws *( key ws value ws )`
fn pairs(depth: usize) -> impl Fn(&[u8]) -> Parsed<'_, Vec<Pair<'_>>> {
    move |input| {
        let pair = (terminated(key, ws), terminated(value(depth), ws));
        preceded(ws, many0(pair)).parse(input)
    }
}

/// `value = nil / list / kvlist / file / string`; an atom that begins with `%` is no value
fn value(depth: usize) -> impl Fn(&[u8]) -> Parsed<'_, Value<'_>> {
    move |input| match (input, depth.checked_sub(1)) {
        ([b'(', ..], Some(inner)) => map(list(inner), Value::List).parse(input),
        ([b'%', b'(', ..], Some(inner)) => map(kvlist(inner), Value::KvList).parse(input),
        ([b'%', b'{', ..], _) => map(file, |file| Value::File(Box::new(file))).parse(input),
        ([b'(' | b'%', ..], _) => Err(nom::Err::Error(nom::error::Error::new(
            input,
            nom::error::ErrorKind::Alt,
        ))),
        _ => alt((as_value(Value::Nil, nil), map(string, Value::Text))).parse(input),
    }
}

/// `line-end = [CR] LF`
fn line_end(input: &[u8]) -> Parsed<'_, &[u8]> {
    recognize((opt(char('\r')), char('\n'))).parse(input)
}

/// `verb = 1*<any byte an atom may go on with>`, and the one blank behind it
fn verb(input: &[u8]) -> Parsed<'_, &[u8]> {
    terminated(take_while1(in_atom), alt((char(' '), char('\t')))).parse(input)
}

/// One value that is the whole input, white space around it allowed. `depth_max` bounds lists inside lists.
pub fn parse_value(input: &[u8], depth_max: usize) -> Option<Value<'_>> {
    complete(delimited(ws, value(depth_max), ws), input)
}

/// `command = verb blank key ws value line-end`; also a data line, whose verb is `*`.
pub fn parse_line(input: &[u8], depth_max: usize) -> Option<(Word<'_>, Value<'_>)> {
    let line = preceded(
        verb,
        (terminated(key, ws), terminated(value(depth_max), line_end)),
    );
    complete(line, input)
}

/// `open-line = verb blank key ws "%(" pairs`: a line up to where one of its values begins to stream.
pub(crate) fn parse_open_line(input: &[u8], depth_max: usize) -> Option<(Word<'_>, Vec<Pair<'_>>)> {
    let open = preceded(
        verb,
        (
            terminated(key, ws),
            preceded(tag("%(".as_bytes()), pairs(depth_max)),
        ),
    );
    complete(open, input)
}

/// `tail = [ pairs ")" ] line-end`: a line behind its streaming list.
pub(crate) fn parse_tail(input: &[u8], depth_max: usize) -> Option<Vec<Pair<'_>>> {
    let keyed = terminated(pairs(depth_max), (char(')'), line_end));
    let tail = alt((map(line_end, |_| Vec::new()), keyed));
    complete(tail, input)
}

/// `( ws / verb blank key ws ) file-head`: a file as an element of a list, or as the value of a line.
pub(crate) fn parse_file_head(input: &[u8]) -> Option<(Word<'_>, Word<'_>)> {
    let (partition, guid, _) = complete(preceded(ws, file_head_parts), input)
        .or_else(|| complete(preceded((verb, key, ws), file_head_parts), input))?;
    Some((partition, guid))
}

fn complete<'a, T>(
    parser: impl Parser<&'a [u8], Output = T, Error = nom::error::Error<&'a [u8]>>,
    input: &'a [u8],
) -> Option<T> {
    terminated(parser, eof)
        .parse(input)
        .ok()
        .map(|(_, output)| output)
}
