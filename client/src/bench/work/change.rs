//! Changes of contents that are there: `PUT /update/{id}` and `DELETE /delete/{id}`.

use rand::Rng;

use super::upload::Answered;
use super::{Known, Receiving, Sending, Undone, Worker};
use crate::bench::mix::Operation;

impl Worker<'_> {
    /// In a mixed load one of its own, so that what others read stays as it was; without one it
    /// uploads one instead.
    pub(super) async fn update(&mut self) -> Result<(), Undone> {
        let place = match (self.thread.is_mixed(), self.own.len()) {
            (false, _) => None,
            (true, 0) => return self.upload().await,
            (true, count) => Some(self.random.random_range(0..count)),
        };
        let content = match place {
            Some(place) => self.own[place],
            None => self.any(),
        };
        self.payload.vary(&mut self.random);
        let waiting = self.waiting();
        let query = waiting.query();
        let id = content.id;
        match self.thread.is_plain() {
            true => self.begin("PUT", content.node, format_args!("/{id}")),
            false => self.begin("PUT", content.node, format_args!("/update/{id}{query}")),
        }
        let sampled = self.thread.is_sampled(Operation::Update);
        let took = self.send_payload(content.node).await?;
        self.check_receipt(Operation::Update, sampled, Answered { waiting, took })?;
        if let Some(place) = place {
            self.own[place].expected = Some(self.sent());
        }
        Ok(())
    }

    /// In a mixed load the last of its own; else the next content that nobody has taken.
    pub(super) async fn delete(&mut self) -> Result<(), Undone> {
        let content = match self.thread.is_mixed() {
            true => match self.own.pop() {
                Some(content) => content,
                None => return self.upload().await,
            },
            false => {
                let place = self.thread.shared.take().ok_or(Undone::Exhausted)?;
                self.thread.contents[place]
            }
        };
        let Known { node, id, .. } = content;
        let waiting = self.waiting();
        let query = waiting.query();
        match self.thread.is_plain() {
            true => self.begin("DELETE", node, format_args!("/{id}")),
            false => self.begin("DELETE", node, format_args!("/delete/{id}{query}")),
        }
        self.request.extend_from_slice(b"\r\n");
        let (_, took) = self
            .exchange(node, Sending::Nothing, Receiving::Kept)
            .await?;
        let answered = Answered { waiting, took };
        if !self.thread.is_plain() {
            let receipt = self.receipt().ok_or("unreadable_receipt")?;
            let equal = receipt.id == id && content.expected.is_none_or(|e| e.0 == receipt.size);
            self.thread
                .count(Operation::Delete, |tally| tally.compared(equal));
            self.count_status(Operation::Delete, answered, [receipt.status].into_iter());
        }
        self.count_change(Operation::Delete, answered, (1, 0));
        Ok(())
    }
}
