//! Reads: contents at the nodes, rows and pages of the catalog at the distributor.

use serde::Deserialize;
use wire::{Checksum, ContentId};

use super::{Receiving, Sending, Undone, Worker};
use crate::bench::Target;
use crate::bench::mix::Operation;

/// What is read of a content's row.
#[derive(Deserialize)]
struct Row {
    id: ContentId,
    size: u64,
    checksum: Checksum,
}

/// A page of the catalog.
#[derive(Deserialize)]
struct Page {
    items: Vec<Row>,
}

impl Worker<'_> {
    /// One of the contents, at random. Its size and ETag are compared always, its bytes sometimes.
    pub(super) async fn get(&mut self) -> Result<(), Undone> {
        let content = self.any();
        let id = content.id;
        match self.thread.is_plain() {
            true => self.begin("GET", content.node, format_args!("/{id}")),
            false => self.begin("GET", content.node, format_args!("/retrieve/{id}")),
        }
        self.request.extend_from_slice(b"\r\n");
        let receiving = match self.thread.is_sampled(Operation::Get) {
            true => Receiving::Hashed,
            false => Receiving::Counted,
        };
        let (head, took) = self
            .exchange(content.node, Sending::Nothing, receiving)
            .await?;
        if content
            .expected
            .is_some_and(|(size, _)| size != self.body.bytes)
        {
            return Err("wrong_size".into());
        }
        let stored = content.expected.map(|(_, checksum)| checksum);
        let found = [self.body.checksum(), head.etag];
        let mut found = found.into_iter().flatten().peekable();
        // A plain server's ETag is no hash; of what was not hashed, nothing can be said then.
        let expected = match stored {
            Some(stored) => found.peek().map(|_| stored),
            // One hash alone is compared with nothing.
            None => found.next().filter(|_| found.peek().is_some()),
        };
        if let Some(expected) = expected {
            let equal = found.all(|hash| hash == expected);
            self.thread
                .count(Operation::Get, |tally| tally.compared(equal));
        }
        let bytes = self.body.bytes;
        self.thread
            .count(Operation::Get, |tally| tally.success(took, 1, bytes));
        Ok(())
    }

    pub(super) async fn metadata(&mut self) -> Result<(), Undone> {
        let (content, dist) = (self.any(), self.distributor()?);
        self.begin("GET", dist, format_args!("/content/{}", content.id));
        self.request.extend_from_slice(b"\r\n");
        let (_, took) = self
            .exchange(dist, Sending::Nothing, Receiving::Kept)
            .await?;
        let row: Row = serde_json::from_slice(&self.body.kept).map_err(|_| "unreadable_row")?;
        let stored = content.expected.unwrap_or((row.size, row.checksum));
        let equal = (row.id, row.size, row.checksum) == (content.id, stored.0, stored.1);
        self.thread.count(Operation::Metadata, |tally| {
            tally.compared(equal);
            tally.success(took, 1, 0);
        });
        Ok(())
    }

    /// A page behind one of the contents. Its rows must lie behind it, in order.
    pub(super) async fn list(&mut self) -> Result<(), Undone> {
        let (after, dist) = (self.any().id, self.distributor()?);
        let limit = self.thread.shared.load.page_rows;
        self.begin(
            "GET",
            dist,
            format_args!("/content?limit={limit}&after={after}"),
        );
        self.request.extend_from_slice(b"\r\n");
        let (_, took) = self
            .exchange(dist, Sending::Nothing, Receiving::Kept)
            .await?;
        let page: Page = serde_json::from_slice(&self.body.kept).map_err(|_| "unreadable_page")?;
        let ids = page.items.iter().map(|row| row.id);
        let in_order = std::iter::once(after).chain(ids).is_sorted_by(|a, b| a < b);
        let rows = page.items.len() as u64;
        self.thread.count(Operation::List, |tally| {
            tally.compared(in_order && rows <= limit as u64);
            tally.success(took, rows, 0);
        });
        Ok(())
    }

    fn distributor(&self) -> Result<usize, Undone> {
        match &self.thread.shared.load.target {
            Target::Cluster(uri) => {
                let uri = uri.trim_end_matches('/');
                self.thread
                    .nodes
                    .number(uri)
                    .map_err(|_| Undone::from("no_distributor"))
            }
            Target::Plain(_) => Err("a_plain_server_has_no_catalog".into()),
        }
    }
}
