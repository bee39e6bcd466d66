//! Records on their way into a mailbox: written in batches within the open transaction, one batch being stored while
//! the next is received, so that a list of any length needs little memory. [CS-MBOX-32] [CS-MBOX-33]

use protocol::decode::CommandDecoder;
use protocol::{Record, Text};

use super::super::fail::Fail;
use super::super::session::Conn;
use crate::flow::StoreCall;
use crate::model::Mailbox;
use crate::ticket::Change;

/// Records compared and written at once.
pub(in super::super) const RECORDS_AT_ONCE: usize = 512;

/// Writes the records of one mailbox.
pub(in super::super) struct Writer {
    uniqueid: Text,
    partition: Text,
    is_new: bool,
    /// What has to come before the mailbox, when it is new.
    before: Vec<Change>,
    ready: Vec<Record>,
    call: Option<StoreCall<CommandDecoder>>,
    has_written: bool,
}

impl Writer {
    /// A writer for this mailbox. `before` is written in front of it when it is new.
    pub(in super::super) fn new(mailbox: &Mailbox, is_new: bool, before: Vec<Change>) -> Self {
        Writer {
            is_new,
            uniqueid: mailbox.uniqueid.clone(),
            partition: mailbox.partition.clone(),
            before,
            ready: Vec::new(),
            call: None,
            has_written: false,
        }
    }

    /// Adds a record to be written.
    pub(in super::super) fn push(&mut self, record: Record) {
        self.ready.push(record);
    }

    /// Starts writing what is ready, behind what is being written; `start` is what the mailbox is until its end is
    /// known.
    pub(in super::super) async fn write(&mut self, conn: &mut Conn, start: &Mailbox) -> Result<(), Fail> {
        self.wait().await?;
        if self.ready.is_empty() {
            return Ok(());
        }
        let mut changes = std::mem::take(&mut self.before);
        if self.is_new && !self.has_written {
            changes.push(Change::PutMailbox(Box::new(start.clone())));
        }
        changes.push(self.put());
        self.has_written = true;
        self.call = Some(conn.write_later(changes));
        Ok(())
    }

    /// Writes the rest, and the mailbox as it ends up.
    pub(in super::super) async fn finish(mut self, conn: &mut Conn, end: Mailbox) -> Result<(), Fail> {
        self.wait().await?;
        let mut changes = std::mem::take(&mut self.before);
        // A new mailbox has to be there before its records; one that is there is best touched once, at the end.
        changes.push(Change::PutMailbox(Box::new(end)));
        if !self.ready.is_empty() {
            let put = self.put();
            changes.push(put);
        }
        conn.write(changes).await
    }

    /// Waits for what is being written. To be called before the command ends, also when it has failed.
    pub(in super::super) async fn wait(&mut self) -> Result<(), Fail> {
        if let Some(call) = self.call.take() {
            call.await?;
        }
        Ok(())
    }

    fn put(&mut self) -> Change {
        Change::PutRecords {
            uniqueid: self.uniqueid.clone(),
            partition: self.partition.clone(),
            records: std::mem::take(&mut self.ready),
        }
    }
}
