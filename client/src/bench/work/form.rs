//! Uploads of several contents a request: `POST /store` of a prepared form.

use serde::Deserialize;

use super::upload::{Answered, Receipt};
use super::{Known, Receiving, Sending, Undone, Worker};
use crate::bench::mix::Operation;

/// Random bodies contain no line of these.
const BOUNDARY: &str = "acequia-bench-7f3c1d0a95e84b26";

/// The answer to a form of several files.
#[derive(Deserialize)]
struct Answer {
    items: Vec<Receipt>,
}

impl Worker<'_> {
    /// The node mints the ids: those of a place name shards of other nodes as well.
    pub(super) async fn form(&mut self) -> Result<(), Undone> {
        if self.thread.is_plain() {
            return Err("a_plain_server_takes_no_forms".into());
        }
        let (node, _) = self.place().await?;
        let waiting = self.waiting();
        let sampled = self.thread.is_sampled(Operation::Upload);
        let (form, sums) = self.write_form(sampled);
        self.begin("POST", node, format_args!("/store{}", waiting.query()));
        let head = format!(
            "Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {}\r\n\r\n",
            form.len()
        );
        self.request.extend_from_slice(head.as_bytes());
        self.request.extend_from_slice(&form);
        let (_, took) = self
            .exchange(node, Sending::Nothing, Receiving::Kept)
            .await?;
        let answer: Answer =
            serde_json::from_slice(&self.body.kept).map_err(|_| "unreadable_receipt")?;
        let sizes = answer.items.iter().map(|receipt| receipt.size);
        if !sizes.eq(sums.iter().map(|sum| sum.0)) {
            return Err("wrong_size".into());
        }
        for (receipt, sum) in answer.items.iter().zip(&sums) {
            if let Some(expected) = sum.1 {
                let equal = receipt.checksum == expected;
                self.thread
                    .count(Operation::Upload, |tally| tally.compared(equal));
            }
            let expected = Some((receipt.size, receipt.checksum));
            self.remember(Known {
                node,
                id: receipt.id,
                expected,
            });
        }
        let answered = Answered { waiting, took };
        let statuses = answer.items.iter().map(|receipt| receipt.status);
        self.count_status(Operation::Upload, answered, statuses);
        let bytes = sums.iter().map(|sum| sum.0).sum();
        self.count_change(Operation::Upload, answered, (sums.len() as u64, bytes));
        Ok(())
    }

    /// A form of as many files as asked for; the size of each, and its hash where it is compared.
    fn write_form(&mut self, sampled: bool) -> (Vec<u8>, Vec<(u64, Option<wire::Checksum>)>) {
        let files = self.thread.shared.load.files_per_request;
        let (mut form, mut sums) = (Vec::new(), Vec::with_capacity(files));
        for number in 0..files {
            self.payload.vary(&mut self.random);
            let part = format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; \
                 filename=\"bench-{number}\"\r\n\r\n"
            );
            form.extend_from_slice(part.as_bytes());
            form.extend_from_slice(self.payload.head());
            form.extend_from_slice(self.payload.tail());
            form.extend_from_slice(b"\r\n");
            let checksum = (sampled && number == 0).then(|| self.payload.checksum());
            sums.push((self.payload.bytes(), checksum));
        }
        form.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        (form, sums)
    }
}
