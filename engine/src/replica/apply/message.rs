//! `APPLY MESSAGE`: message bytes, staged as they come. [CS-APPLY-11] [CS-APPLY-12] [CS-EXC-5]

use bytes::Bytes;
use protocol::command::FileHead;
use protocol::decode::{CommandDecoder, CommandEvent};

use super::super::fail::{Fail, Stop};
use super::super::session::Conn;
use crate::flow::StoreCall;
use crate::ticket::{RefusedMessage, Reply, Request, StagePart, StoreError};

/// Bytes that make a storage request of their own.
const REQUEST_BYTES: usize = 512 * 1024;
/// Parts that make a storage request of their own, for messages that are tiny.
const REQUEST_PARTS: usize = 3 * 1024;

/// The stream of one command to the store: one request is worked on while the next fills.
struct Upload {
    parts: Vec<StagePart>,
    bytes: usize,
    call: Option<StoreCall<CommandDecoder>>,
    refused: Vec<RefusedMessage>,
    fail: Option<Fail>,
    /// The file that is being received is not kept.
    skips: bool,
    /// Files that are here whole.
    files: u64,
    /// Their bytes.
    files_bytes: u64,
}

/// Receives the line's files. `OK` only when the store has taken, and hashed, every one of them.
pub(in super::super) async fn run(conn: &mut Conn) -> Result<Result<(), Fail>, Stop> {
    let mut upload = Upload {
        parts: Vec::new(),
        bytes: 0,
        call: None,
        refused: Vec::new(),
        fail: None,
        skips: false,
        files: 0,
        files_bytes: 0,
    };
    let mut in_file = false;
    let malformed = loop {
        let event = match conn.inside_files().await {
            Ok(event) => event,
            Err(stop) => {
                upload.break_off(conn, in_file).await;
                return Err(stop);
            }
        };
        match event {
            CommandEvent::File(head) => {
                in_file = true;
                upload.files_bytes += head.size;
                upload.open(conn, head).await;
            }
            CommandEvent::FileData(bytes) => upload.data(conn, bytes).await,
            CommandEvent::FileEnd => {
                in_file = false;
                upload.files += 1;
                upload.push(StagePart::Close);
            }
            CommandEvent::End(_) => break None,
            CommandEvent::Bad(malformed) => break Some(malformed),
            _ => {}
        }
    };
    upload.break_off(conn, in_file).await;
    Ok(match malformed {
        Some(malformed) => Err(Fail::Malformed(malformed)),
        None => {
            let (files, bytes) = (upload.files, upload.files_bytes);
            let outcome = upload.outcome();
            if outcome.is_ok() {
                conn.count_messages(files, bytes);
            }
            outcome
        }
    })
}

impl Upload {
    /// A file begins; one for a partition that does not exist is stepped over. [CS-APPLY-13]
    async fn open(&mut self, conn: &Conn, head: FileHead) {
        let known = conn.takes_file(&head);
        if !known && self.fail.is_none() {
            let text = format!(
                "unknown partition {}; message {} is not kept",
                head.partition, head.guid
            );
            self.fail = Some(Fail::other(text));
        }
        self.skips = !known || matches!(self.fail, Some(Fail::Storage(_)));
        self.push(StagePart::Open {
            partition: head.partition,
            guid: head.guid,
            size: head.size,
        });
        self.send_when_full(conn).await;
    }

    async fn data(&mut self, conn: &Conn, bytes: Bytes) {
        self.bytes += bytes.len();
        self.push(StagePart::Data(bytes));
        self.send_when_full(conn).await;
    }

    fn push(&mut self, part: StagePart) {
        if !self.skips {
            self.parts.push(part);
        }
    }

    async fn send_when_full(&mut self, conn: &Conn) {
        if self.bytes >= REQUEST_BYTES || self.parts.len() >= REQUEST_PARTS {
            self.send(conn).await;
        }
    }

    /// Hands the parts over, behind the request before them.
    async fn send(&mut self, conn: &Conn) {
        self.collect().await;
        self.bytes = 0;
        let parts = std::mem::take(&mut self.parts);
        if !parts.is_empty() {
            self.call = Some(conn.port.store(Request::Stage(parts)));
        }
    }

    /// Waits for the request under way.
    async fn collect(&mut self) {
        let Some(call) = self.call.take() else { return };
        let error = match call.await {
            Ok(Reply::Staged { refused }) => {
                self.refused.extend(refused);
                return;
            }
            Ok(_) => StoreError::Misuse {
                what: "the answer does not fit the question",
            },
            Err(error) => error,
        };
        // What comes of the message still is skipped.
        self.fail = Some(Fail::Storage(error));
        self.skips = true;
        self.parts.clear();
    }

    /// Ends the stream, an incomplete file dropped.
    async fn break_off(&mut self, conn: &Conn, in_file: bool) {
        if in_file {
            self.push(StagePart::Abort);
        }
        self.send(conn).await;
        self.collect().await;
        if matches!(self.fail, Some(Fail::Storage(_))) {
            // Whether a message is still open there depends on where it failed; it is none the next time.
            let _ = conn.port.store(Request::Stage(vec![StagePart::Abort])).await;
        }
    }

    fn outcome(self) -> Result<(), Fail> {
        if let Some(fail) = self.fail {
            return Err(fail);
        }
        let Some(first) = self.refused.first() else {
            return Ok(());
        };
        let others = match self.refused.len() {
            1 => String::new(),
            count => format!(", and {} other messages likewise", count - 1),
        };
        Err(Fail::bad(format!(
            "message {} is not what it was announced as: its bytes hash to {}{others}",
            first.announced, first.actual
        )))
    }
}
