//! What the fuzz targets check; plain functions, so that a saved input can be run by a test or under a debugger.
#![forbid(unsafe_code)]

use bytes::Bytes;
use protocol::Limits;
use protocol::command::Streaming;
use protocol::decode::{CommandDecoder, CommandEvent, ReplyDecoder, ReplyEvent};
use protocol::encode::{Encoder, LiteralStyle};
use protocol::synclog::Lines;

/// The first two bytes of an input say how it is cut and how tight the limits are; the rest is what arrives.
fn setting(input: &[u8]) -> Option<(usize, Limits, &[u8])> {
    let [cut, tight, rest @ ..] = input else {
        return None;
    };
    let limits = match tight % 3 {
        0 => Limits::default(),
        1 => Limits {
            depth_max: 7,
            ..Limits::default()
        },
        _ => Limits {
            line_bytes_max: 64,
            depth_max: 3,
            list_entries_max: 8,
            word_bytes_max: 8,
            literal_bytes_max: 16,
            element_bytes_max: 40,
            file_bytes_max: 4,
        },
    };
    Some((usize::from(*cut) + 1, limits, rest))
}

/// The events of commands that arrive in pieces of this many bytes; file bytes of one file in one event.
fn commands(input: &[u8], piece: usize, limits: &Limits) -> Vec<CommandEvent> {
    let mut decoder = CommandDecoder::new(limits.clone());
    let mut events: Vec<CommandEvent> = Vec::new();
    for piece in input.chunks(piece) {
        decoder.push(Bytes::copy_from_slice(piece));
        loop {
            match (decoder.poll(), events.last_mut()) {
                (CommandEvent::NeedMore, _) => break,
                (CommandEvent::FileData(more), Some(CommandEvent::FileData(data))) => {
                    *data = [data.as_ref(), &more].concat().into();
                }
                (event @ CommandEvent::Fatal(_), _) => {
                    events.push(event);
                    return events;
                }
                (event, _) => events.push(event),
            }
            assert!(
                events.len() <= 2 * input.len() + 2,
                "more events than bytes can make"
            );
        }
    }
    events
}

/// As [`commands`], for replies.
fn replies(input: &[u8], piece: usize, limits: &Limits) -> Vec<ReplyEvent> {
    let mut decoder = ReplyDecoder::new(limits.clone());
    let mut events: Vec<ReplyEvent> = Vec::new();
    for piece in input.chunks(piece) {
        decoder.push(Bytes::copy_from_slice(piece));
        loop {
            match (decoder.poll(), events.last_mut()) {
                (ReplyEvent::NeedMore, _) => break,
                (ReplyEvent::FileData(more), Some(ReplyEvent::FileData(data))) => {
                    *data = [data.as_ref(), &more].concat().into();
                }
                (event @ ReplyEvent::Fatal(_), _) => {
                    events.push(event);
                    return events;
                }
                (event, _) => events.push(event),
            }
            assert!(
                events.len() <= 2 * input.len() + 2,
                "more events than bytes can make"
            );
        }
    }
    events
}

/// Commands mean the same however they are cut.
pub fn command_decoder(input: &[u8]) {
    let Some((piece, limits, input)) = setting(input) else {
        return;
    };
    assert_eq!(
        commands(input, input.len().max(1), &limits),
        commands(input, piece, &limits)
    );
}

/// Replies mean the same however they are cut.
pub fn reply_decoder(input: &[u8]) {
    let Some((piece, limits, input)) = setting(input) else {
        return;
    };
    assert_eq!(
        replies(input, input.len().max(1), &limits),
        replies(input, piece, &limits)
    );
}

/// Commands that were understood are understood the same when written again.
pub fn roundtrip(input: &[u8]) {
    let limits = Limits::default();
    let mut line = Vec::new();
    for event in commands(input, input.len().max(1), &limits) {
        match event {
            CommandEvent::Command(_) => written_again(&[event]),
            CommandEvent::Bad(_) | CommandEvent::Fatal(_) => line.clear(),
            // Keys behind the records cannot be written there again.
            CommandEvent::End(ref tail) if **tail == Default::default() => {
                line.push(event);
                written_again(&line);
                line.clear();
            }
            CommandEvent::End(_) => line.clear(),
            event => line.push(event),
        }
    }
}

/// A log of any bytes is read to its end, and what was understood is understood the same when written again.
pub fn synclog_line(input: &[u8]) {
    let mut lines = Lines::new(input);
    let mut log = Vec::new();
    let mut understood = Vec::new();
    for action in lines.by_ref().filter_map(Result::ok) {
        action.print(&mut log).expect("what was read can be written");
        understood.push(action);
    }
    assert!(!lines.rest().contains(&b'\n'), "read to the last line end");
    let again: Vec<_> = Lines::new(&log)
        .map(|line| line.expect("what was written is read"))
        .collect();
    assert_eq!(again, understood, "{}", log.escape_ascii());
}

fn written_again(events: &[CommandEvent]) {
    let mut encoder = Encoder::new(LiteralStyle::Client);
    for event in events {
        match event {
            CommandEvent::Command(command) => encoder.command(command),
            CommandEvent::Begin(Streaming::Message) => encoder.begin(&Streaming::Message),
            CommandEvent::Begin(streaming) => encoder.begin(streaming),
            CommandEvent::Record(record) => encoder.record(record),
            CommandEvent::File(head) => encoder.file(head),
            CommandEvent::FileData(bytes) => encoder.raw(bytes),
            CommandEvent::End(_) => encoder.end(),
            _ => {}
        }
    }
    let bytes = encoder.take();
    assert_eq!(
        commands(&bytes, bytes.len().max(1), &Limits::default()),
        events,
        "{}",
        bytes.escape_ascii()
    );
}

#[cfg(test)]
mod tests {
    /// A saved input is a file name on the command line of the target; these keep the bodies themselves running.
    #[test]
    fn the_bodies_accept_good_and_bad_input() {
        let inputs: [&[u8]; 5] = [
            b"",
            b"\0\0GET USER user1\r\nAPPLY MESSAGE (%{default a9993e364706816aba3e25717850c26c9cd0d89d 3}\r\nabc)\r\n",
            b"\x01\x02APPLY MAILBOX %(RECORD (x) A b)\r\n* MAILBOX %(RECORD (\r\n",
            b"\x02\x01* MISSING ()\r\nOK success\r\n",
            b"MAILBOX \"user.a b\"\nSEEN {1}\r\nu id\nODD\nUSER \"open\nUSER",
        ];
        for input in inputs {
            super::command_decoder(input);
            super::reply_decoder(input);
            super::roundtrip(input);
            super::synclog_line(input);
        }
    }
}
