//! Bytes of either direction, and what they mean: the same however they are cut, and the same when written again.

use bytes::Bytes;
use protocol::command::Streaming;
use protocol::decode::{CommandDecoder, CommandEvent, ReplyDecoder, ReplyEvent};
use protocol::encode::{Encoder, LiteralStyle};
use protocol::response::{Data, Final};
use protocol::{Limits, Text};

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
pub fn commands_in(input: &[u8], piece: usize, limits: &Limits) -> Vec<CommandEvent> {
    let mut decoder = CommandDecoder::new(limits.clone());
    let mut events: Vec<CommandEvent> = Vec::new();
    for piece in input.chunks(piece.max(1)) {
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

/// The events of commands that arrive at once.
pub fn commands(input: &[u8]) -> Vec<CommandEvent> {
    commands_in(input, input.len(), &Limits::default())
}

/// As [`commands_in`], for replies.
pub fn replies_in(input: &[u8], piece: usize, limits: &Limits) -> Vec<ReplyEvent> {
    let mut decoder = ReplyDecoder::new(limits.clone());
    let mut events: Vec<ReplyEvent> = Vec::new();
    for piece in input.chunks(piece.max(1)) {
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

/// The events of replies that arrive at once.
pub fn replies(input: &[u8]) -> Vec<ReplyEvent> {
    replies_in(input, input.len(), &Limits::default())
}

/// Commands mean the same however they are cut.
pub fn command_decoder(input: &[u8]) {
    let Some((piece, limits, input)) = setting(input) else {
        return;
    };
    assert_eq!(
        commands_in(input, input.len(), &limits),
        commands_in(input, piece, &limits)
    );
}

/// Replies mean the same however they are cut.
pub fn reply_decoder(input: &[u8]) {
    let Some((piece, limits, input)) = setting(input) else {
        return;
    };
    assert_eq!(
        replies_in(input, input.len(), &limits),
        replies_in(input, piece, &limits)
    );
}

/// Raw lines are the lines; and a decoder that takes over at the start of a line says what the first would have said.
/// The first byte is the piece, the second where the layer changes.
pub fn fragmenter(input: &[u8]) {
    let [piece, change, input @ ..] = input else {
        return;
    };
    raw_lines(input, usize::from(*piece) + 1);
    let whole = commands(input);
    let mut decoder = CommandDecoder::new(Limits::default());
    decoder.push(Bytes::copy_from_slice(input));
    let mut events = Vec::new();
    let mut lines_left = usize::from(*change % 8);
    loop {
        let event = decoder.poll();
        let (is_end, is_fatal) = match &event {
            CommandEvent::NeedMore => break,
            CommandEvent::Command(_) | CommandEvent::Bad(_) | CommandEvent::End(_) => (true, false),
            CommandEvent::Fatal(_) => (false, true),
            _ => (false, false),
        };
        // A refused line may go on behind its refusal, and be skipped: no place to change layers.
        let is_place = is_end && !matches!(event, CommandEvent::Bad(_));
        merge(&mut events, event);
        if is_fatal {
            break;
        }
        if is_place && lines_left == 0 {
            let rest = decoder.take_buffered();
            assert!(!decoder.has_buffered(), "what was taken is gone");
            commands(&rest)
                .into_iter()
                .for_each(|event| merge(&mut events, event));
            break;
        }
        lines_left = lines_left.saturating_sub(usize::from(is_place));
    }
    assert_eq!(events, whole);
}

/// Adds an event; file bytes of one file become one event.
fn merge(events: &mut Vec<CommandEvent>, event: CommandEvent) {
    match (event, events.last_mut()) {
        (CommandEvent::FileData(more), Some(CommandEvent::FileData(data))) => {
            *data = [data.as_ref(), &more].concat().into();
        }
        (event, _) => events.push(event),
    }
}

/// As challenges and responses of a login are read: line by line, whatever is in them.
fn raw_lines(input: &[u8], piece: usize) {
    let mut decoder = CommandDecoder::new(Limits::default());
    decoder.set_raw_lines(true);
    let mut lines: Vec<Bytes> = Vec::new();
    for piece in input.chunks(piece) {
        decoder.push(Bytes::copy_from_slice(piece));
        loop {
            match decoder.poll() {
                CommandEvent::NeedMore => break,
                CommandEvent::Raw(line) => lines.push(line),
                other => panic!("no raw line: {other:?}"),
            }
        }
    }
    let mut expected: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let rest = expected.pop().unwrap_or_default();
    let without_cr = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).to_vec();
    assert_eq!(lines, expected.into_iter().map(without_cr).collect::<Vec<_>>());
    assert_eq!(decoder.take_buffered(), rest);
}

/// Commands and replies that were understood are understood the same when written again.
pub fn roundtrip(input: &[u8]) {
    let mut line = Vec::new();
    for event in commands(input) {
        match event {
            CommandEvent::Command(_) => commands_again(&[event]),
            CommandEvent::Bad(_) | CommandEvent::Fatal(_) => line.clear(),
            // Keys behind the records cannot be written there again.
            CommandEvent::End(ref tail) if **tail == Default::default() => {
                line.push(event);
                commands_again(&line);
                line.clear();
            }
            CommandEvent::End(_) => line.clear(),
            event => line.push(event),
        }
    }
    let mut line = Vec::new();
    for event in replies(input) {
        match event {
            ReplyEvent::Data(_) | ReplyEvent::Final(_) => replies_again(&[event]),
            ReplyEvent::Fatal(_) => line.clear(),
            ReplyEvent::End(ref tail) if **tail == Default::default() => {
                line.push(event);
                replies_again(&line);
                line.clear();
            }
            ReplyEvent::End(_) => line.clear(),
            event => line.push(event),
        }
    }
}

/// Events as bytes.
pub fn write_commands(events: &[CommandEvent]) -> Bytes {
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
    encoder.take()
}

/// Events as bytes.
pub fn write_replies(events: &[ReplyEvent], style: LiteralStyle) -> Bytes {
    let mut encoder = Encoder::new(style);
    for event in events {
        match event {
            ReplyEvent::Data(data) => encoder.data(data),
            ReplyEvent::Begin(streaming) => encoder.begin_data(streaming),
            ReplyEvent::Record(record) => encoder.record(record),
            ReplyEvent::FileData(bytes) => encoder.raw(bytes),
            ReplyEvent::End(_) => encoder.end(),
            ReplyEvent::Final(line) => encoder.final_line(line),
            _ => {}
        }
    }
    encoder.take()
}

fn commands_again(events: &[CommandEvent]) {
    let bytes = write_commands(events);
    assert_eq!(commands(&bytes), events, "{}", bytes.escape_ascii());
}

fn replies_again(events: &[ReplyEvent]) {
    // What has no text of its own gets a customary one, and a CR within words becomes a blank.
    let has_cr = |text: &Text| text.contains(&b'\r');
    if let [ReplyEvent::Data(Data::Capability { name, arguments })] = events
        && (has_cr(name) || arguments.iter().any(has_cr))
    {
        return;
    }
    if let [ReplyEvent::Data(Data::Banner(text))] = events
        && has_cr(text)
    {
        return;
    }
    if let [
        ReplyEvent::Final(
            Final::Ok(text)
            | Final::No(_, text)
            | Final::Bad(text)
            | Final::Bye(text)
            | Final::Continue(text),
        ),
    ] = events
        && (text.is_empty() || text.iter().any(|byte| matches!(byte, b'\r' | b'\n')))
    {
        return;
    }
    for style in [LiteralStyle::Client, LiteralStyle::Server] {
        let bytes = write_replies(events, style);
        assert_eq!(replies(&bytes), events, "{}", bytes.escape_ascii());
    }
}
