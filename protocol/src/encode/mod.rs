//! Typed commands and replies to bytes, in the form that every Cyrus accepts.

mod command;
mod mailbox;
mod response;
mod value;

use bytes::{BufMut, Bytes, BytesMut};

use crate::command::{Command, FileHead, Streaming};
use crate::grammar::Value;
use crate::response::{Data, Final, StreamingData};
use crate::{Guid, Record};

/// How literals are announced; no one form is accepted by every Cyrus in both directions. `[CS-LIT-2]` `[CS-LIT-3]`
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LiteralStyle {
    /// `{n+}`: what a master sends.
    Client,
    /// `{n}`: what a replica sends.
    Server,
}

/// What is open on the line being written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Open {
    /// Nothing: at the start of a line.
    Nothing,
    /// The list of `APPLY MESSAGE`.
    Files { first: bool },
    /// The keys of a `MAILBOX` line that has no `RECORD` list yet.
    Keys,
    /// The `RECORD` list of a `MAILBOX` line.
    Records { first: bool },
    /// A file of a reply.
    File,
}

/// Writes lines into a buffer that grows until [`Encoder::take`] empties it.
///
/// Between `begin` (or `begin_data`) and `end`, only `record`, `file` and `raw` may be called, as fits the line.
#[derive(Debug)]
pub struct Encoder {
    out: BytesMut,
    style: LiteralStyle,
    open: Open,
}

impl Encoder {
    /// An encoder with an empty buffer.
    pub fn new(style: LiteralStyle) -> Self {
        Encoder {
            out: BytesMut::new(),
            style,
            open: Open::Nothing,
        }
    }

    /// One complete command line.
    pub fn command(&mut self, command: &Command) {
        self.close();
        self.put_command(command);
        self.line_end();
    }

    /// The beginning of a streaming command line, up to where its list opens.
    pub fn begin(&mut self, streaming: &Streaming) {
        self.close();
        match streaming {
            Streaming::Message => {
                self.put(b"APPLY MESSAGE (");
                self.open = Open::Files { first: true };
            }
            Streaming::Mailbox { line, local } => {
                self.put(if *local {
                    b"APPLY LOCAL_MAILBOX %("
                } else {
                    b"APPLY MAILBOX %("
                });
                self.begin_mailbox(line);
            }
            Streaming::Restore { line, local } => {
                self.put(if *local {
                    b"RESTORE LOCAL_MAILBOX %("
                } else {
                    b"RESTORE MAILBOX %("
                });
                self.begin_mailbox(line);
            }
        }
    }

    /// One record of a streaming `MAILBOX` line; opens the `RECORD` list if that has not been done.
    pub fn record(&mut self, record: &Record) {
        match self.open {
            Open::Records { first: true } => {}
            Open::Records { first: false } => self.put(b" "),
            Open::Keys => self.put(b" RECORD ("),
            _ => return,
        }
        self.open = Open::Records { first: false };
        self.put_record(record);
    }

    /// The head of a file in `APPLY MESSAGE`; its bytes follow through [`Encoder::raw`].
    pub fn file(&mut self, head: &FileHead) {
        match self.open {
            Open::Files { first: true } => {}
            Open::Files { first: false } => self.put(b" "),
            _ => return,
        }
        self.open = Open::Files { first: false };
        self.put_file_head(head);
    }

    /// One value of the grammar as it is written in a line, without a line end.
    pub fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Nil => self.put(b"NIL"),
            Value::Text(text) => self.put_string(text),
            Value::List(items) => {
                self.put(b"(");
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        self.put(b" ");
                    }
                    self.value(item);
                }
                self.put(b")");
            }
            Value::KvList(pairs) => {
                self.put(b"%(");
                for (i, (key, value)) in pairs.iter().enumerate() {
                    if i > 0 {
                        self.put(b" ");
                    }
                    self.put_string(key);
                    self.put(b" ");
                    self.value(value);
                }
                self.put(b")");
            }
            Value::File(file) => {
                self.put(b"%{");
                self.put_string(&file.partition);
                self.put(b" ");
                self.put_string(&file.guid);
                self.put(b" ");
                value::unsigned(&mut self.out, file.bytes.len() as u64);
                self.put(b"}\r\n");
                self.put(file.bytes);
            }
        }
    }

    /// Bytes as they are: those of a file, or a SASL line.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.put(bytes);
    }

    /// The end of a streaming line.
    pub fn end(&mut self) {
        self.close();
    }

    /// One complete data line.
    pub fn data(&mut self, data: &Data) {
        self.close();
        self.put(b"* ");
        self.put_data(data);
        self.line_end();
    }

    /// The beginning of a streaming data line.
    pub fn begin_data(&mut self, streaming: &StreamingData) {
        self.close();
        match streaming {
            StreamingData::Mailbox(line) => {
                self.put(b"* MAILBOX %(");
                self.begin_mailbox(line);
            }
            StreamingData::Message(head) => {
                self.put(b"* MESSAGE ");
                self.put_file_head(head);
                self.open = Open::File;
            }
        }
    }

    /// The line that ends an answer. Line breaks in its text become spaces; an empty text is replaced by a
    /// customary one because Cyrus reads no final line without text. `[CS-CONN-8]`
    pub fn final_line(&mut self, line: &Final) {
        self.close();
        self.put_final(line);
        self.line_end();
    }

    /// Bytes written and not taken.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing is written that has not been taken.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes what is written; a line may be taken in parts.
    pub fn take(&mut self) -> Bytes {
        self.out.split().freeze()
    }

    /// Closes whatever streams.
    fn close(&mut self) {
        match self.open {
            Open::Nothing => return,
            Open::Files { .. } | Open::Keys => self.put(b")\r\n"),
            Open::Records { .. } => self.put(b"))\r\n"),
            Open::File => self.line_end(),
        }
        self.open = Open::Nothing;
    }

    fn put(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    fn line_end(&mut self) {
        self.out.put_slice(b"\r\n");
    }

    fn put_string(&mut self, bytes: &[u8]) {
        value::string(&mut self.out, self.style, bytes);
    }

    fn put_nstring(&mut self, bytes: Option<&[u8]>) {
        value::nstring(&mut self.out, self.style, bytes);
    }

    fn put_guid(&mut self, guid: &Guid) {
        self.out.put_slice(&guid.to_hex());
    }

    fn put_file_head(&mut self, head: &FileHead) {
        self.put(b"%{");
        self.put_string(&head.partition);
        self.put(b" ");
        self.put_guid(&head.guid);
        self.put(b" ");
        value::unsigned(&mut self.out, head.size);
        self.put(b"}\r\n");
    }

    /// `(a b c)`
    fn put_strings<T: AsRef<[u8]>>(&mut self, items: impl IntoIterator<Item = T>) {
        self.put(b"(");
        for (i, item) in items.into_iter().enumerate() {
            if i > 0 {
                self.put(b" ");
            }
            self.put_string(item.as_ref());
        }
        self.put(b")");
    }

    /// Opens `%(`; the pairs come through the returned writer, which separates them.
    fn keyed(&mut self) -> Keyed<'_> {
        self.put(b"%(");
        Keyed {
            encoder: self,
            first: true,
        }
    }
}

/// Writes the pairs of a keyed list; what is `None` is left out.
struct Keyed<'e> {
    encoder: &'e mut Encoder,
    first: bool,
}

impl<'e> Keyed<'e> {
    /// A writer of pairs behind an already written `%(`.
    fn inside(encoder: &'e mut Encoder) -> Self {
        Keyed { encoder, first: true }
    }

    fn key(&mut self, key: &str) -> &mut Encoder {
        if !self.first {
            self.encoder.put(b" ");
        }
        self.first = false;
        self.encoder.put(key.as_bytes());
        self.encoder.put(b" ");
        self.encoder
    }

    fn text(&mut self, key: &str, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.key(key).put_string(value);
        }
    }

    fn number(&mut self, key: &str, value: Option<impl Into<u64>>) {
        if let Some(value) = value {
            let value = value.into();
            value::unsigned(&mut self.key(key).out, value);
        }
    }

    fn date(&mut self, key: &str, value: Option<i64>) {
        if let Some(value) = value {
            value::signed(&mut self.key(key).out, value);
        }
    }

    fn guid(&mut self, key: &str, value: Option<&Guid>) {
        if let Some(value) = value {
            self.key(key).put_guid(value);
        }
    }

    fn strings<T: AsRef<[u8]>>(&mut self, key: &str, value: Option<&[T]>) {
        if let Some(items) = value {
            self.key(key).put_strings(items.iter().map(T::as_ref));
        }
    }

    fn close(self) {
        self.encoder.put(b")");
    }
}

#[cfg(test)]
mod tests {
    use super::{Encoder, LiteralStyle};
    use crate::command::{Apply, Command, FileHead, Get, Streaming};
    use crate::response::{Code, Data, Final};
    use crate::{Guid, MailboxLine, Text};

    fn written(style: LiteralStyle, write: impl FnOnce(&mut Encoder)) -> String {
        let mut encoder = Encoder::new(style);
        write(&mut encoder);
        assert_eq!(encoder.len(), encoder.out.len());
        let bytes = encoder.take();
        assert!(encoder.is_empty());
        bytes.escape_ascii().to_string()
    }

    #[test]
    fn literals_follow_the_side() {
        let user = Command::Get(Get::User(Some(Text::from("a%"))));
        assert_eq!(
            written(LiteralStyle::Client, |e| e.command(&user)),
            "GET USER {2+}\\r\\na%\\r\\n"
        );
        let names = Data::Lsub(vec![Text::from("a%"), Text::from("b")]);
        assert_eq!(
            written(LiteralStyle::Server, |e| e.data(&names)),
            "* LSUB ({2}\\r\\na% b)\\r\\n"
        );
    }

    #[test]
    fn no_text_can_forge_a_line() {
        let line = |line: &Final| written(LiteralStyle::Server, |e| e.final_line(line));
        assert_eq!(line(&Final::Bad(Text::from("a\r\nOK b"))), "BAD a  OK b\\r\\n");
        assert_eq!(line(&Final::No(Code::Other, Text::from("\n"))), "NO  \\r\\n");
        assert_eq!(
            line(&Final::No(Code::SyncChanged, Text::from("a\nb"))),
            "NO IMAP_SYNC_CHANGED a b\\r\\n"
        );
        let command = Command::Compress {
            algorithm: Text::from("a\r\nb"),
        };
        assert_eq!(
            written(LiteralStyle::Client, |e| e.command(&command)),
            "COMPRESS a  b\\r\\n"
        );
    }

    #[test]
    fn no_final_line_is_without_text() {
        let line = |line: &Final| written(LiteralStyle::Server, |e| e.final_line(line));
        assert_eq!(line(&Final::Ok(Text::EMPTY)), "OK success\\r\\n");
        assert_eq!(
            line(&Final::No(Code::Other, Text::EMPTY)),
            "NO Unknown error\\r\\n"
        );
        assert_eq!(
            line(&Final::No(Code::BadParameters, Text::EMPTY)),
            "NO IMAP_PROTOCOL_BAD_PARAMETERS\\r\\n"
        );
        assert_eq!(line(&Final::Continue(Text::EMPTY)), "+ \\r\\n");
    }

    #[test]
    fn what_streams_is_closed_by_what_comes_next() {
        let head = FileHead {
            partition: Text::from("default"),
            guid: Guid::NULL,
            size: 3,
        };
        let told = written(LiteralStyle::Client, |e| {
            e.begin(&Streaming::Message);
            e.file(&head);
            e.raw(b"abc");
            e.file(&head);
            e.raw(b"def");
            e.begin(&Streaming::Mailbox {
                line: Box::<MailboxLine>::default(),
                local: true,
            });
            e.command(&Command::Apply(Apply::Force));
        });
        let zeros = "0".repeat(40);
        let expected = format!(
            "APPLY MESSAGE (%{{default {zeros} 3}}\\r\\nabc %{{default {zeros} 3}}\\r\\ndef)\\r\\n\
             APPLY LOCAL_MAILBOX %()\\r\\nAPPLY FORCE %()\\r\\n"
        );
        assert_eq!(told, expected);
    }

    #[test]
    fn numbers_are_decimal() {
        let mut out = bytes::BytesMut::new();
        for number in [0, 7, 10, 4_294_967_295, u64::MAX] {
            super::value::unsigned(&mut out, number);
            assert_eq!(out.split().as_ref(), number.to_string().as_bytes());
        }
        for number in [0, -1, i64::MIN, i64::MAX] {
            super::value::signed(&mut out, number);
            assert_eq!(out.split().as_ref(), number.to_string().as_bytes());
        }
    }
}
