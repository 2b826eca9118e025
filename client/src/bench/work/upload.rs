//! Uploads of one content a request: `PUT /store/{id}` of a prepared body.

use std::time::Duration;

use serde::Deserialize;
use wire::content::Status;
use wire::{Checksum, ContentId};

use super::{Known, Receiving, Sending, Undone, Waiting, Worker};
use crate::bench::mix::Operation;
use crate::bench::{BenchError, Keep, Stored};

/// What the load reads of a receipt.
#[derive(Deserialize)]
pub(super) struct Receipt {
    pub(super) id: ContentId,
    pub(super) status: Status,
    pub(super) size: u64,
    pub(super) checksum: Checksum,
}

/// What was asked of a change's answer, and when it came.
#[derive(Clone, Copy)]
pub(super) struct Answered {
    pub(super) waiting: Waiting,
    pub(super) took: Duration,
}

impl Worker<'_> {
    pub(super) async fn upload(&mut self) -> Result<(), Undone> {
        let (node, id) = self.place().await?;
        self.payload.vary(&mut self.random);
        let waiting = self.waiting();
        let rest = waiting.rest();
        match self.thread.is_plain() {
            true => self.begin("PUT", node, format_args!("/{id}")),
            false => self.begin(
                "PUT",
                node,
                format_args!("/store/{id}?filename=bench{rest}"),
            ),
        }
        let sampled = self.thread.is_sampled(Operation::Upload);
        let took = self.send_payload(node).await?;
        self.check_receipt(Operation::Upload, sampled, Answered { waiting, took })?;
        if self.remembers() {
            let expected = Some(self.sent());
            self.remember(Known { node, id, expected });
        }
        Ok(())
    }

    /// The size and the hash of what was sent last, as its receipt says.
    pub(super) fn sent(&self) -> (u64, Checksum) {
        let receipt = self.receipt().map(|receipt| receipt.checksum);
        let checksum = receipt.unwrap_or_else(|| self.payload.checksum());
        (self.payload.bytes(), checksum)
    }

    pub(super) async fn place(&mut self) -> Result<(usize, ContentId), Undone> {
        let place = self.thread.places.next(&self.thread.nodes).await;
        place.map_err(|error| match error {
            BenchError::Refused { word, .. } => Undone::Failed(word),
            _ => Undone::from("no_place"),
        })
    }

    /// Sends what was written with the prepared body behind it.
    pub(super) async fn send_payload(&mut self, node: usize) -> Result<Duration, Undone> {
        let length = format!("Content-Length: {}\r\n\r\n", self.payload.bytes());
        self.request.extend_from_slice(length.as_bytes());
        self.request.extend_from_slice(self.payload.head());
        let (_, took) = self.exchange(node, Sending::Tail, Receiving::Kept).await?;
        Ok(took)
    }

    /// The receipt in the last answer.
    pub(super) fn receipt(&self) -> Option<Receipt> {
        serde_json::from_slice(&self.body.kept).ok()
    }

    /// Counts a change whose answer is there, once its receipt is of what was sent. A plain server
    /// gives none.
    pub(super) fn check_receipt(
        &self,
        operation: Operation,
        sampled: bool,
        answered: Answered,
    ) -> Result<(), Undone> {
        let bytes = self.payload.bytes();
        if !self.thread.is_plain() {
            let receipt = self.receipt().ok_or("unreadable_receipt")?;
            if receipt.size != bytes {
                return Err("wrong_size".into());
            }
            if sampled {
                let equal = receipt.checksum == self.payload.checksum();
                self.thread.count(operation, |tally| tally.compared(equal));
            }
            self.count_status(operation, answered, [receipt.status].into_iter());
        }
        self.count_change(operation, answered, (1, bytes));
        Ok(())
    }

    /// Counts what receipts say of the catalog, where the answer waited for it.
    pub(super) fn count_status(
        &self,
        operation: Operation,
        answered: Answered,
        of: impl Iterator<Item = Status>,
    ) {
        if answered.waiting != Waiting::Commit {
            self.thread.count(operation, |tally| {
                of.for_each(|status| tally.receipt(status))
            });
        }
    }

    /// Counts a change of so many contents and bytes.
    pub(super) fn count_change(
        &self,
        operation: Operation,
        Answered { waiting, took }: Answered,
        (contents, bytes): (u64, u64),
    ) {
        self.thread.count(operation, |tally| match waiting {
            Waiting::Commit => tally.committed(took, contents, bytes),
            Waiting::Catalog | Waiting::Listing => tally.success(took, contents, bytes),
        });
    }

    fn remembers(&self) -> bool {
        self.thread.is_mixed() || self.thread.shared.keep == Keep::All
    }

    /// Keeps what was stored, where that is wanted.
    pub(super) fn remember(&mut self, known: Known) {
        if self.thread.is_mixed() {
            self.own.push(known);
        } else if self.thread.shared.keep == Keep::All {
            self.thread.stored.borrow_mut().push(Stored {
                id: known.id,
                node: self.thread.nodes.uri(known.node),
                expected: known.expected,
            });
        }
    }
}
