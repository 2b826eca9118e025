//! What one client does with contents that others use at the same time. Nothing is sent twice: what has
//! no answer stays open.

use std::sync::atomic::{AtomicBool, Ordering};

use rand::Rng;
use reqwest::RequestBuilder;
use tokio::time::{Instant, sleep};
use wire::content::Receipt;
use wire::error::Retry;
use wire::{Code, ContentId, routes};

use super::history::{Action, Answer, Bytes, Operation};
use super::{Contended, Target, Turn, may_be_behind};
use crate::http::{self, Outcome};
use crate::torture::ledger::Version;
use crate::torture::look::{self, Seen};
use crate::torture::worker::{BACK_OFF, Worker};

/// Operations that a client does at a stretch: while others do the same, they meet.
const STRETCH: u32 = 8;

impl Worker {
    /// A few operations on what is everybody's.
    pub(in crate::torture) async fn contend(&mut self, contended: &Contended, stop: &AtomicBool) {
        for _ in 0..STRETCH {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            match contended.turn(&mut self.chance) {
                Turn::New => self.make_contended(contended).await,
                Turn::On(target) => self.contend_for(contended, target).await,
            }
        }
    }

    async fn make_contended(&mut self, contended: &Contended) {
        let body = self.body();
        let Some((id, node)) = self.place(body.len() as u64).await else {
            return;
        };
        contended.store(id, &node);
        let action = Action::Store(bytes_of(&body));
        let request = self.client.put(routes::store(&node, id)).body(body);
        self.send(contended, id, action, request).await;
        self.locate(contended, id).await;
    }

    async fn contend_for(&mut self, contended: &Contended, target: Target) {
        let Target { id, ref node, .. } = target;
        // Half of all changes demand the version that this client believes to be there.
        let known = target.known.filter(|_| self.chance.random_bool(0.5));
        let demanded = known.map(|version| version.checksum);
        let request = match self.chance.random_range(0..100) {
            0..45 => return self.read_contended(contended, &target).await,
            45..98 => {
                let body = self.body();
                let action = Action::Update(demanded, bytes_of(&body));
                (action, self.client.put(routes::update(node, id)).body(body))
            }
            _ => {
                let action = Action::Delete(demanded);
                (action, self.client.delete(routes::delete(node, id)))
            }
        };
        let (action, request) = match demanded {
            Some(checksum) => {
                let tag = format!("\"{}\"", checksum.hex());
                (request.0, request.1.header("if-match", tag))
            }
            None => request,
        };
        self.send(contended, id, action, request).await;
    }

    /// Sends a change once, and notes what came of it.
    async fn send(
        &mut self,
        contended: &Contended,
        id: ContentId,
        action: Action,
        request: RequestBuilder,
    ) {
        contended.sends(match action {
            Action::Store(bytes) | Action::Update(_, bytes) => Some(bytes.version(0)),
            Action::Delete(_) | Action::Read => None,
        });
        let begun = Instant::now();
        let outcome = http::send::<Receipt>(request).await;
        let ended = Instant::now();
        let note = |answer| {
            let operation = Operation {
                action,
                answer,
                begun,
                ended,
            };
            contended.note(id, operation);
        };
        match outcome {
            Outcome::Done(receipt) => {
                self.counts.acknowledged += 1;
                self.failovers.acknowledged(id.shard(), begun);
                return note(Answer::Version(Version {
                    number: receipt.version,
                    size: receipt.size,
                    checksum: receipt.checksum,
                }));
            }
            // Another client was there first.
            Outcome::Refused(Code::PreconditionFailed | Code::NotFound | Code::Deleted, _) => {
                return;
            }
            Outcome::Refused(code, body) if code.retry() == Retry::Never => {
                let why = format!("{id}: {code:?} {}: {action:?}", body.message);
                return self.violations.push(why);
            }
            Outcome::Refused(code, body) => {
                if code.may_have_changed() {
                    self.counts.lost += 1;
                    note(Answer::Lost);
                }
                if let Some(leader) = body.leader {
                    return contended.found(id, Some(leader), Vec::new());
                }
            }
            Outcome::Unsent(_) => {}
            Outcome::Lost(_) => {
                self.counts.lost += 1;
                note(Answer::Lost);
            }
        }
        sleep(BACK_OFF).await;
        self.locate(contended, id).await;
    }

    /// Reads any copy.
    async fn read_contended(&mut self, contended: &Contended, target: &Target) {
        let any = self.chance.random_range(0..target.copies.len().max(1));
        let node = target.copies.get(any).unwrap_or(&target.node);
        let sent = Instant::now();
        let answer = match look::around(&self.client, node, target.id).await {
            Seen::State(seen) => seen.map_or(Answer::Nothing, Answer::Version),
            Seen::Wrong(why) => {
                return self.violations.push(format!("{}: {why}", target.id));
            }
            Seen::Damaged(_) | Seen::Away(_) | Seen::Elsewhere(_) => {
                self.counts.unread += 1;
                sleep(BACK_OFF).await;
                return self.locate(contended, target.id).await;
            }
        };
        let operation = Operation {
            action: Action::Read,
            answer,
            begun: may_be_behind(sent),
            ended: Instant::now(),
        };
        contended.note(target.id, operation);
    }

    async fn locate(&mut self, contended: &Contended, id: ContentId) {
        if let Some((leader, copies)) = self.whereabouts(id).await {
            contended.found(id, leader, copies);
        }
    }

    /// Bytes that no other change has: a read tells which one it saw.
    fn body(&mut self) -> bytes::Bytes {
        let mut made = self.bytes();
        made.size = made.size.max(32);
        made.make().into()
    }
}

fn bytes_of(body: &[u8]) -> Bytes {
    Bytes {
        size: body.len() as u64,
        checksum: wire::Checksum(*blake3::hash(body).as_bytes()),
    }
}
