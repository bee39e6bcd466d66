//! Data lines and final lines.

use super::apply::{quota, seen};
use super::fields::{Fields, guids, items, texts};
use super::mailbox::mailbox;
use super::words::without_line_end;
use crate::fault::Fault;
use crate::grammar::Value;
use crate::response::{Code, Data, Final, Sieve};
use crate::{MailboxLine, Text};

/// A data line of name and value.
///
/// # Errors
/// A GUID list with something else in it, a mailbox annotation without one of its keys.
pub(crate) fn data(name: &[u8], value: &Value<'_>) -> Result<Data, Fault> {
    let fields = Fields::of(value);
    let list = || items(value).unwrap_or_default();
    Ok(match name {
        // A list of records would have streamed: under that key is something else here.
        b"MAILBOX" => Data::Mailbox(Box::new(MailboxLine {
            has_records: false,
            ..mailbox(fields)?
        })),
        b"MESSAGE" => Data::MessageNil,
        b"QUOTA" => Data::Quota(quota(fields)),
        b"SEEN" => Data::Seen(seen(fields)),
        b"LSUB" => Data::Lsub(texts(&list())),
        b"SIEVE" => Data::Sieve(Sieve {
            userid: fields.text("USERID"),
            filename: fields.text("FILENAME"),
            last_update: fields.date("LAST_UPDATE"),
            guid: fields.guid("GUID"),
            isactive: fields.u64("ISACTIVE").is_some_and(|active| active != 0),
            content: fields.text("CONTENT"),
        }),
        b"ANNOTATION" => Data::Annotation {
            mboxname: fields.text("MBOXNAME"),
            entry: fields.text("ENTRY"),
            userid: fields.text("USERID"),
            value: fields.text("VALUE"),
        },
        b"MISSING" => Data::Missing(guids(&list()).ok_or(Fault::BadGuid)?),
        b"ENABLED" => Data::Enabled(texts(&list())),
        _ => Data::Unknown(Text::copy_from(name)),
    })
}

/// A line of words: final, or a data line without a value.
#[derive(Debug)]
pub(crate) enum Words {
    Data(Data),
    Final(Final),
}

/// Reads a line of words. `[CS-CONN-40]`
///
/// # Errors
/// A first word that is not known, and a peer's `* Fatal error`.
pub(crate) fn words(line: &[u8]) -> Result<Words, Fault> {
    let line = without_line_end(line);
    let (first, rest) = split_word(line);
    let text = || Text::copy_from(rest);
    if first == b"*" {
        return data_words(rest);
    }
    if first == b"+" {
        return Ok(Words::Final(Final::Continue(text())));
    }
    let is = |word: &[u8]| first.eq_ignore_ascii_case(word);
    let reply = match () {
        () if is(b"OK") => Final::Ok(text()),
        () if is(b"BAD") => Final::Bad(text()),
        () if is(b"BYE") => Final::Bye(text()),
        () if is(b"NO") => refusal(rest),
        () => return Err(Fault::UnknownReply),
    };
    Ok(Words::Final(reply))
}

fn data_words(line: &[u8]) -> Result<Words, Fault> {
    let (name, rest) = split_word(line);
    match name {
        b"" => Err(Fault::UnknownReply),
        b"OK" => Ok(Words::Data(Data::Banner(Text::copy_from(rest)))),
        b"BYE" => Ok(Words::Final(Final::Bye(Text::copy_from(rest)))),
        b"Fatal" if rest.starts_with(b"error") => {
            let text = rest.strip_prefix(b"error:").unwrap_or(rest).trim_ascii();
            Err(Fault::PeerFatal(Text::copy_from(text)))
        }
        _ => {
            let arguments = rest
                .split(|&byte| byte == b' ')
                .filter(|word| !word.is_empty())
                .map(Text::copy_from);
            Ok(Words::Data(Data::Capability {
                name: Text::copy_from(name),
                arguments: arguments.collect(),
            }))
        }
    }
}

/// A known code may come with or without text; of an unknown one the word stays in the text. `[CS-CONN-42]`
fn refusal(text: &[u8]) -> Final {
    let (word, rest) = split_word(text);
    match Code::WORDS.iter().find(|(_, known, _)| known.as_bytes() == word) {
        Some((code, ..)) => Final::No(code.clone(), Text::copy_from(rest)),
        None => Final::No(Code::Other, Text::copy_from(text)),
    }
}

/// The bytes before the first space and those behind it.
fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|&byte| byte == b' ') {
        Some(space) => (&line[..space], &line[space + 1..]),
        None => (line, b""),
    }
}
