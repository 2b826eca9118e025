//! Uploads in chunks: they are committed, aborted, or left behind by a client that went away.

use store::Payload;
use wire::{Checksum, Epoch, Lsn};

use replica::Standing;

use crate::clients::{Change, body, described, hash};
use crate::cluster::Cluster;
use crate::judge::State;
use crate::queue::Happening;

/// An upload that is under way.
#[derive(Debug)]
pub(crate) struct Upload {
    node: usize,
    process: u64,
    /// Another epoch's first record ends it.
    epoch: Epoch,
    change: Change,
    upload: Lsn,
    /// What was sent so far.
    bytes: Vec<u8>,
    chunks_left: u64,
}

impl Cluster {
    /// A client sends the first chunk.
    pub(crate) fn begin_upload(&mut self, node: usize, change: Change) {
        let Change { id, how, .. } = &change;
        let shard = id.shard();
        let piece = body(self.random.bits(), self.random.between(1, 900) as usize);
        let wall_ms = self.wall_ms + self.now_ms;
        let Some(live) = self.nodes[node].live.get_mut(&shard) else {
            return;
        };
        let Standing::Leading(epoch) = live.core.standing() else {
            return;
        };
        let payload = Payload::new(piece.clone());
        let Ok(upload) = live.store.first_chunk(*id, how, payload, wall_ms) else {
            return;
        };
        self.note(|| format!("{} shard {shard}: upload {upload} begins", node + 1));
        self.judge.begin_operation(*id, change.operation);
        self.tell_appended(node, shard);
        let upload = Upload {
            node,
            process: self.nodes[node].process,
            epoch,
            change,
            upload,
            bytes: piece.to_vec(),
            chunks_left: self.random.between(0, 3),
        };
        self.upload_goes_on(upload);
    }

    fn upload_goes_on(&mut self, upload: Upload) {
        let usual_ms = if self.random.chance(1, 10) { 900 } else { 40 };
        let delay_ms = self.random.between(1, usual_ms);
        self.after(delay_ms, Happening::Chunk(Box::new(upload)));
    }

    /// The next chunk comes, or the upload ends.
    pub(crate) fn chunk(&mut self, upload: Upload) {
        let (node, process, operation) = (upload.node, upload.process, upload.change.operation);
        let (id, shard) = (upload.change.id, upload.change.id.shard());
        let at = &self.nodes[node];
        if at.up && at.process == process && self.now_ms < at.paused_until_ms {
            let until_ms = at.paused_until_ms;
            return self
                .queue
                .push(until_ms, Happening::Chunk(Box::new(upload)));
        }
        let standing = at.live.get(&shard).map(|live| live.core.standing());
        let leads = standing == Some(Standing::Leading(upload.epoch));
        // A client in twelve goes away without a word.
        if at.process != process || !leads || self.random.chance(1, 12) {
            return self.give_up(operation, id);
        }
        if upload.chunks_left > 0 {
            self.add_chunk(upload);
        } else if self.random.chance(1, 8) {
            let wall_ms = self.wall_ms + self.now_ms;
            if let Some(live) = self.nodes[node].live.get_mut(&shard) {
                // Whether or not it could be appended, the client is not told that it was stored.
                let _aborted = live.store.abort(upload.upload, wall_ms);
            }
            self.tell_appended(node, shard);
            self.give_up(operation, id);
        } else {
            self.close_upload(upload);
        }
    }

    fn add_chunk(&mut self, mut upload: Upload) {
        let (node, id) = (upload.node, upload.change.id);
        let piece = body(self.random.bits(), self.random.between(1, 900) as usize);
        let wall_ms = self.wall_ms + self.now_ms;
        let Some(live) = self.nodes[node].live.get_mut(&id.shard()) else {
            return;
        };
        let offset = upload.bytes.len() as u64;
        let payload = Payload::new(piece.clone());
        let sent = live.store.chunk(upload.upload, offset, payload, wall_ms);
        self.tell_appended(node, id.shard());
        if sent.is_err() {
            return self.give_up(upload.change.operation, id);
        }
        upload.bytes.extend_from_slice(&piece);
        upload.chunks_left -= 1;
        self.upload_goes_on(upload);
    }

    fn close_upload(&mut self, upload: Upload) {
        let (node, change) = (upload.node, upload.change);
        let wall_ms = self.wall_ms + self.now_ms;
        let Some(live) = self.nodes[node].live.get_mut(&change.id.shard()) else {
            return;
        };
        let checksum = Checksum(hash(&upload.bytes));
        let new = described(upload.bytes.len() as u64, checksum);
        let closed = live
            .store
            .commit_upload(upload.upload, new, change.how, wall_ms);
        match closed {
            Ok(outcome) if !outcome.repeated => {
                let state = State {
                    version: outcome.version,
                    checksum: Some(checksum),
                };
                self.await_commit(node, &change, (state, outcome.lsn));
            }
            // What may not be committed was aborted.
            _ => {
                self.tell_appended(node, change.id.shard());
                self.give_up(change.operation, change.id);
            }
        }
    }
}
