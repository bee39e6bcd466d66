//! Records in the form every Cyrus prints them, straight to [`Record`].
//!
//! `RECORD` lists are most of what a sync of many small messages sends, so they have a parser of their own that looks
//! at every byte once and allocates nothing but the result. It takes only the usual form; for anything else it says
//! `None` and the general parser decides. A test holds the two against each other.

use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_while1};
use nom::combinator::{map, map_opt, opt, value, verify};
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

use crate::convert::fields::annotation_entry;
use crate::decode::scan::ATOM;
use crate::limits::Limits;
use crate::{Annotation, Flags, Guid, Record, SystemFlags, Text};

type Parsed<'a, T> = IResult<&'a [u8], T, ()>;

/// Longest string taken here; longer ones count against limits.
const WORD_BYTES_MAX: usize = 1024;
/// Most keywords, and most annotations, of a record taken here.
const ENTRIES_MAX: usize = 64;

/// Whether no limit is so low that a record taken here could break it.
pub(crate) fn fits(limits: &Limits) -> bool {
    limits.depth_max >= 8 && limits.list_entries_max >= 1024 && limits.word_bytes_max >= WORD_BYTES_MAX
}

/// A record at the beginning of `input`, and how many bytes it takes.
pub(crate) fn eager(input: &[u8]) -> Option<(usize, Record)> {
    let (rest, record) = record(input).ok()?;
    Some((input.len() - rest.len(), record))
}

/// ```text
/// record = "%(UID " number " MODSEQ " number " LAST_UPDATED " number " FLAGS " flags
///          " INTERNALDATE " number " SIZE " number " GUID " guid [" ANNOTATIONS " annotations] ")"
/// ```
fn record(input: &[u8]) -> Parsed<'_, Record> {
    let (input, uid) =
        preceded(tag("%(UID "), map_opt(number, |uid| u32::try_from(uid).ok())).parse(input)?;
    let (input, modseq) = preceded(tag(" MODSEQ "), number).parse(input)?;
    let (input, last_updated) = preceded(tag(" LAST_UPDATED "), date).parse(input)?;
    let (input, flags) = preceded(tag(" FLAGS ("), flags).parse(input)?;
    let (input, internaldate) = preceded(tag(" INTERNALDATE "), date).parse(input)?;
    let (input, size) = preceded(tag(" SIZE "), number).parse(input)?;
    let (input, guid) = preceded(tag(" GUID "), map_opt(take(40usize), Guid::parse)).parse(input)?;
    let (input, annotations) = opt(preceded(tag(" ANNOTATIONS ("), annotations)).parse(input)?;
    let (input, _) = tag(")")(input)?;
    if uid == 0 {
        return Err(nom::Err::Error(()));
    }
    let annotations = annotations.unwrap_or_default();
    Ok((
        input,
        Record {
            uid,
            modseq,
            last_updated,
            flags,
            internaldate,
            size,
            guid,
            annotations,
        },
    ))
}

/// `number = 1*19DIGIT`, which cannot overflow
fn number(input: &[u8]) -> Parsed<'_, u64> {
    let mut number = 0u64;
    let mut digits = 0;
    while let Some(digit) = input
        .get(digits)
        .map(|byte| byte.wrapping_sub(b'0'))
        .filter(|&digit| digit < 10)
    {
        if digits == 19 {
            return Err(nom::Err::Error(()));
        }
        number = number * 10 + u64::from(digit);
        digits += 1;
    }
    match digits {
        0 => Err(nom::Err::Error(())),
        _ => Ok((&input[digits..], number)),
    }
}

/// A number that fits a signed one.
fn date(input: &[u8]) -> Parsed<'_, i64> {
    map_opt(number, |number| i64::try_from(number).ok()).parse(input)
}

/// `flags = *( ["\"] atom SP ) ")"`, a known system flag or a plain keyword each
fn flags(mut input: &[u8]) -> Parsed<'_, Flags> {
    let mut flags = Flags::default();
    if let Some((b')', rest)) = input.split_first() {
        return Ok((rest, flags));
    }
    loop {
        let (rest, flag) = word(input)?;
        match flag {
            [b'\\', ..] => match system_flag(flag) {
                Some(flag) => flags.system = flags.system.with(flag),
                None => return Err(nom::Err::Error(())),
            },
            _ if flags.keywords.len() == ENTRIES_MAX => return Err(nom::Err::Error(())),
            _ => flags.keywords.push(Text::copy_from(flag)),
        }
        match rest.split_first() {
            Some((b' ', rest)) => input = rest,
            Some((b')', rest)) => return Ok((rest, flags)),
            _ => return Err(nom::Err::Error(())),
        }
    }
}

fn system_flag(flag: &[u8]) -> Option<SystemFlags> {
    Some(match flag {
        b"\\Seen" => SystemFlags::SEEN,
        b"\\Deleted" => SystemFlags::DELETED,
        b"\\Answered" => SystemFlags::ANSWERED,
        b"\\Flagged" => SystemFlags::FLAGGED,
        b"\\Draft" => SystemFlags::DRAFT,
        b"\\Expunged" => SystemFlags::EXPUNGED,
        _ => return None,
    })
}

/// An atom of moderate length that begins with nothing special.
fn word(input: &[u8]) -> Parsed<'_, &[u8]> {
    let end = input
        .iter()
        .position(|&byte| !ATOM[usize::from(byte)])
        .unwrap_or(input.len());
    match input[..end].first() {
        None | Some(b'{' | b'%' | 0x80..) => Err(nom::Err::Error(())),
        _ if end > WORD_BYTES_MAX || end == input.len() => Err(nom::Err::Error(())),
        _ => Ok((&input[end..], &input[..end])),
    }
}

/// `text = atom / DQUOTE *<any byte except DQUOTE, "\", NUL, CR, LF> DQUOTE`, but for `NIL`
fn text(input: &[u8]) -> Parsed<'_, &[u8]> {
    let plain = |byte: u8| !matches!(byte, b'"' | b'\\' | b'\r' | b'\n' | 0);
    let filled = verify(take_while1(plain), |text: &[u8]| text.len() <= WORD_BYTES_MAX);
    alt((
        verify(word, |text: &[u8]| text != b"NIL"),
        value(&b""[..], tag("\"\"")),
        delimited(tag("\""), filled, tag("\"")),
    ))
    .parse(input)
}

/// `annotations = annotation *( SP annotation ) ")"`
fn annotations(mut input: &[u8]) -> Parsed<'_, Vec<Annotation>> {
    let mut all = Vec::with_capacity(4);
    loop {
        let (rest, annotation) = annotation(input)?;
        all.push(annotation);
        match rest.split_first() {
            Some((b' ', rest)) if all.len() < ENTRIES_MAX => input = rest,
            Some((b')', rest)) => return Ok((rest, all)),
            _ => return Err(nom::Err::Error(())),
        }
    }
}

/// `annotation = "%(ENTRY " text " USERID " text " MODSEQ " number " VALUE " text ")"`
fn annotation(input: &[u8]) -> Parsed<'_, Annotation> {
    let (input, entry) = preceded(tag("%(ENTRY "), map(text, annotation_entry)).parse(input)?;
    let (input, userid) = preceded(tag(" USERID "), map(text, Text::copy_from)).parse(input)?;
    let (input, modseq) = preceded(tag(" MODSEQ "), number).parse(input)?;
    let (input, value) = delimited(tag(" VALUE "), map(text, Text::copy_from), tag(")")).parse(input)?;
    Ok((
        input,
        Annotation {
            entry,
            userid,
            modseq,
            value,
        },
    ))
}
