//! Records that are appended and not known committed: an overlay over the index. Readers do not see
//! it; decisions at the leader do. And the chunked uploads that are still open.

use std::collections::{BTreeMap, HashMap, VecDeque};

use wire::{ContentId, Epoch, Lsn};

use crate::content::Content;
use crate::record::ChunkRef;
use crate::record::kind::Kind;
use crate::segment::entry::Entry;

/// A chunked upload, from its first chunk to its commit, abort, or the next epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Upload {
    /// The lsn of its first chunk: its name.
    pub(crate) first: Lsn,
    pub(crate) id: [u8; 16],
    pub(crate) chunks: Vec<ChunkRef>,
    /// What the chunks add up to.
    pub(crate) bytes: u64,
}

/// A record above the commit.
#[derive(Clone, Debug)]
pub(crate) struct PendingRecord {
    pub(crate) entry: Entry,
    pub(crate) epoch: Epoch,
    /// The number of the segment it is in.
    pub(crate) segment: u32,
    /// What it makes of its content; of a delete, what it ends.
    pub(crate) content: Option<Content>,
    /// Uploads that it ends.
    pub(crate) ended: Vec<Upload>,
}

/// The overlay: all records in `(committed, appended]`.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    queue: VecDeque<PendingRecord>,
    /// The pending records of an id, but for chunks; ascending.
    by_id: HashMap<[u8; 16], Vec<Lsn>>,
}

impl Pending {
    pub(crate) fn push(&mut self, record: PendingRecord) {
        if record.content.is_some() {
            self.by_id
                .entry(record.entry.id)
                .or_default()
                .push(record.entry.lsn);
        }
        self.queue.push_back(record);
    }

    /// The last pending record that changes a content.
    pub(crate) fn latest(&self, id: ContentId) -> Option<&PendingRecord> {
        let lsn = *self.by_id.get(&id.bytes())?.last()?;
        let at = self.queue.partition_point(|record| record.entry.lsn < lsn);
        self.queue.get(at)
    }

    /// The uploads that pending records end: until those are committed, their chunks are needed.
    pub(crate) fn upload_names(&self) -> impl Iterator<Item = Lsn> {
        self.queue
            .iter()
            .flat_map(|record| record.ended.iter().map(|upload| upload.first))
    }

    /// Takes an upload out of those that pending records end.
    pub(crate) fn take_upload(&mut self, first: Lsn) -> Option<Upload> {
        let mut ended = self.queue.iter_mut().map(|record| &mut record.ended);
        ended.find_map(|ended| {
            let at = ended.iter().position(|upload| upload.first == first)?;
            Some(ended.remove(at))
        })
    }

    /// Takes the first record if it is at or below the commit.
    pub(crate) fn pop_committed(&mut self, commit: Lsn) -> Option<PendingRecord> {
        let record = self
            .queue
            .pop_front_if(|record| record.entry.lsn <= commit)?;
        self.forget(&record, |lsns| lsns.remove(0));
        Some(record)
    }

    /// Takes the last record if it is above `lsn`.
    pub(crate) fn pop_above(&mut self, lsn: Lsn) -> Option<PendingRecord> {
        let record = self.queue.pop_back_if(|record| record.entry.lsn > lsn)?;
        self.forget(&record, |lsns| lsns.remove(lsns.len() - 1));
        Some(record)
    }

    fn forget(&mut self, record: &PendingRecord, take: impl Fn(&mut Vec<Lsn>) -> Lsn) {
        if record.content.is_none() {
            return;
        }
        let lsns = self
            .by_id
            .get_mut(&record.entry.id)
            .expect("every pending content is noted");
        assert_eq!(
            take(lsns),
            record.entry.lsn,
            "pending records leave in order"
        );
        if lsns.is_empty() {
            self.by_id.remove(&record.entry.id);
        }
    }
}

/// The open uploads.
#[derive(Debug, Default)]
pub(crate) struct Uploads {
    open: BTreeMap<Lsn, Upload>,
}

impl Uploads {
    pub(crate) fn get(&self, first: Lsn) -> Option<&Upload> {
        self.open.get(&first)
    }

    /// Takes an upload out.
    pub(crate) fn remove(&mut self, first: Lsn) -> Option<Upload> {
        self.open.remove(&first)
    }

    /// Whether an upload of this id is open, other than `except`.
    pub(crate) fn has(&self, id: ContentId, except: Option<Lsn>) -> bool {
        self.open
            .values()
            .any(|upload| upload.id == id.bytes() && Some(upload.first) != except)
    }

    /// The names of all open uploads.
    pub(crate) fn names(&self) -> impl Iterator<Item = Lsn> {
        self.open.keys().copied()
    }

    /// Follows a record at the end of the log; returns the uploads that it ends.
    pub(crate) fn follow(&mut self, entry: &Entry) -> Vec<Upload> {
        match entry.kind {
            Kind::Chunk => {
                self.add_chunk(entry);
                Vec::new()
            }
            Kind::Commit | Kind::Abort => self.open.remove(&entry.upload).into_iter().collect(),
            Kind::Epoch => std::mem::take(&mut self.open).into_values().collect(),
            Kind::Put | Kind::Describe | Kind::Delete => Vec::new(),
        }
    }

    fn add_chunk(&mut self, entry: &Entry) {
        let upload = self.open.entry(entry.upload).or_insert_with(|| Upload {
            first: entry.upload,
            id: entry.id,
            chunks: Vec::new(),
            bytes: 0,
        });
        upload.chunks.push(ChunkRef {
            lsn: entry.lsn,
            offset: upload.bytes,
        });
        upload.bytes += entry.lengths.payload;
    }

    /// Undoes what [`Uploads::follow`] did for the last record.
    pub(crate) fn undo(&mut self, record: &PendingRecord) {
        for upload in &record.ended {
            self.open.insert(upload.first, upload.clone());
        }
        if record.entry.kind != Kind::Chunk {
            return;
        }
        if let Some(upload) = self.open.get_mut(&record.entry.upload) {
            upload.chunks.pop();
            upload.bytes -= record.entry.lengths.payload;
            if upload.chunks.is_empty() {
                self.open.remove(&record.entry.upload);
            }
        }
    }
}

#[cfg(test)]
mod tests;
