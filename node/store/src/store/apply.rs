//! How committed records move the index, at commit and at recovery: the same code for both.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use wire::{ContentId, Lsn, Position};

use super::{Change, Committed, Store};
use crate::content::Content;
use crate::fetch::{FetchError, Fetched, Patience};
use crate::index::Place;
use crate::log::Log;
use crate::pending::{Pending, PendingRecord, Upload, Uploads};
use crate::record::kind::Kind;
use crate::record::layout::Lengths;
use crate::segment::Segment;
use crate::segment::entry::Entry;
use crate::segment::index_file::SegmentIndex;
use crate::segment::scan::{Found, Scan};
use crate::upkeep::{DeadChunk, Unread, Upkeep, Whose, listed};

impl Store {
    /// Moves the commit up to `lsn`: the records up to there enter the index, and are given to
    /// `committed` in order. Readers see them from now on.
    pub fn commit_to(&mut self, lsn: Lsn, committed: &mut Vec<Committed>) {
        assert!(
            lsn <= self.log.synced(),
            "only synced records are committed"
        );
        while let Some(record) = self.pending.pop_committed(lsn) {
            let number = record.segment;
            self.contents = self.index().apply(&record.entry, number, &record.ended);
            committed.push(Committed {
                position: Position {
                    epoch: record.epoch,
                    lsn: record.entry.lsn,
                },
                time_ms: record.entry.time_ms,
                change: Change::new(record.entry.kind, record.content),
            });
        }
        self.shared.set_committed(self.shared.committed().max(lsn));
    }

    /// Tells a record dead that could not be read when it died, and the chunks that it names.
    pub(crate) fn kill_read(&mut self, place: Unread, fetched: &Fetched, chunks: Vec<Lsn>) {
        self.index().kill_read(place, fetched, chunks);
    }

    pub(super) fn index(&mut self) -> Applying<'_> {
        Applying {
            log: &mut self.log,
            upkeep: &mut self.upkeep,
            contents: self.contents,
            long_lists: None,
        }
    }
}

/// The chunks of commits, by the commits' lsns.
type Lists = BTreeMap<Lsn, Vec<Lsn>>;

/// What a record touches when it is committed.
pub(super) struct Applying<'a> {
    log: &'a mut Log,
    upkeep: &'a mut Upkeep,
    pub(super) contents: u64,
    /// The long lists that a replay saw itself.
    long_lists: Option<&'a Lists>,
}

impl Applying<'_> {
    /// Applies a committed record; returns the number of live contents after it.
    pub(super) fn apply(mut self, entry: &Entry, segment: u32, ended: &[Upload]) -> u64 {
        match entry.kind {
            Kind::Put | Kind::Commit => {
                let existed = self.replace(entry, segment, |_| true);
                self.contents += u64::from(!existed);
                // Only now that the index leads to its chunks.
                if entry.kind == Kind::Commit {
                    self.log.shared.end_upload(entry.upload);
                }
                self.log.shared.damage().forget(&entry.id);
            }
            Kind::Describe => {
                self.replace(entry, segment, |kind| kind == Kind::Describe);
            }
            Kind::Delete => {
                let existed = self.replace(entry, segment, |_| true);
                self.contents -= u64::from(existed);
                self.log.shared.damage().forget(&entry.id);
            }
            Kind::Abort | Kind::Epoch => {
                for upload in ended {
                    self.log.shared.end_upload(upload.first);
                    if !self.has_ended(upload, entry) {
                        continue;
                    }
                    let chunks = upload.chunks.iter().map(|chunk| chunk.lsn);
                    self.kill_chunks(chunks.collect(), upload.first);
                }
                if entry.kind == Kind::Abort {
                    self.upkeep.kill(self.log, segment, entry, entry.lsn);
                }
            }
            Kind::Chunk => {}
        }
        self.contents
    }

    /// Whether an upload surely ended without a content. What closed it may be a record that is
    /// lost: its chunks are needed then, when that one was repaired.
    fn has_ended(&self, upload: &Upload, end: &Entry) -> bool {
        let shared = &self.log.shared;
        end.kind == Kind::Abort || !shared.damage().is_lost_between(upload.first, end.lsn)
    }

    /// Puts a record into the index, takes this id's earlier places of certain kinds out, and tells
    /// their records dead. Returns whether one of them was a content's data.
    ///
    /// The new place goes in first, so that no reader ever finds nothing.
    fn replace(&mut self, entry: &Entry, segment: u32, which: impl Fn(Kind) -> bool) -> bool {
        let shared = Arc::clone(&self.log.shared);
        let new = Place::new(entry.kind, segment, entry.start);
        let old = shared.index.find(&entry.id);
        shared.index.insert(&entry.id, new);
        let (mut had_data, mut newest, mut is_known) = (false, Lsn::ZERO, true);
        let older = old.iter().filter(|place| !shared.is_behind(*place, new));
        let (goes, stays) = (older.clone(), older);
        for place in goes.filter(|place| which(place.kind())) {
            let segment = shared.segment(place.segment());
            let fetched = segment.as_ref().map(|segment| {
                Fetched::head(&*segment.file, shared.log, place.start(), Patience::Wait)
            });
            match (segment, fetched) {
                (Some(_), Some(Ok(fetched))) if fetched.head.id != entry.id => continue,
                (Some(segment), Some(Ok(fetched))) => {
                    newest = newest.max(fetched.head.lsn);
                    self.kill(&segment, &fetched);
                }
                // A record that cannot be read, be it the disk that fails, cannot say whose it is:
                // its hash of 64 secret bits does. That undoes nothing that is committed. Its
                // space comes back when it can be read, or its segment is rewritten.
                (Some(segment), _) => {
                    is_known = false;
                    let whose = Whose::Content(entry.id);
                    self.note_unread(&segment, place.start(), whose);
                    self.tell_unreadable(&segment, place, entry);
                }
                // Its segment was rewritten without it.
                (None, _) => is_known = false,
            }
            had_data |= place.kind().is_data();
            shared.index.remove(&entry.id, place);
        }
        for place in stays.filter(|place| !which(place.kind())) {
            // What stays is older than what goes: it is read only where that was not the predecessor.
            if !is_known || newest == entry.supersedes {
                break;
            }
            let head = |segment: Arc<Segment>| {
                Fetched::head(&*segment.file, shared.log, place.start(), Patience::Wait).ok()
            };
            match shared.segment(place.segment()).and_then(head) {
                Some(fetched) if fetched.head.id != entry.id => {}
                Some(fetched) => newest = newest.max(fetched.head.lsn),
                None => is_known = false,
            }
        }
        // A damaged record may be any of this content's, and may be repaired.
        if !is_known || (newest > Lsn::ZERO && newest != entry.supersedes) {
            shared.note_gap(entry.id);
        }
        had_data
    }

    /// A record died whose head cannot be read. No content needs it, and yet nobody can pass it until
    /// it was repaired.
    fn tell_unreadable(&self, segment: &Segment, place: Place, successor: &Entry) {
        let (log, start) = (&*self.log, place.start());
        let index = SegmentIndex::load(&*log.disk, &log.dir, log.shared.log, segment.name);
        let entries = index.map(|index| index.entries).unwrap_or_default();
        let dead = entries.iter().find(|entry| entry.start == start);
        let around = dead.map_or_else(
            || {
                let sealed = segment.sealed_at().map(Lsn::next);
                let end = sealed.map_or(successor.lsn, |end| end.min(successor.lsn));
                around(segment, log.shared.log, start, end)
            },
            |entry| Ok((entry.lsn.previous(), entry.lsn.next())),
        );
        // Where its neighbours cannot be read either, whoever reads them next tells of them all.
        if let Ok((after, before)) = around {
            log.shared.damage().hide(after, before);
        }
    }

    /// Whether a later record of its content is in the index that leaves nothing of this one.
    pub(super) fn is_superseded(&self, entry: &Entry, segment: &Segment) -> bool {
        let shared = &self.log.shared;
        let here = Place::new(entry.kind, segment.number, entry.start);
        let places = shared.index.find(&entry.id);
        places.iter().any(|place| {
            let replaces = entry.kind == Kind::Describe || place.kind() != Kind::Describe;
            replaces && shared.is_behind(place, here) && !self.is_of_other(place, entry)
        })
    }

    /// Whether a place is of another id, whose hash is the same. A damaged record cannot say.
    fn is_of_other(&self, place: Place, entry: &Entry) -> bool {
        let shared = &self.log.shared;
        let segment = shared.segment(place.segment());
        segment.is_some_and(|segment| {
            let file = &*segment.file;
            let fetched = Fetched::head(file, shared.log, place.start(), Patience::Wait);
            fetched.is_ok_and(|fetched| fetched.head.id != entry.id)
        })
    }

    /// Tells the record of this content at `start` dead.
    pub(super) fn kill_at(&mut self, id: [u8; 16], segment: &Segment, start: u64) {
        let file = &*segment.file;
        match Fetched::head(file, self.log.shared.log, start, Patience::Wait) {
            Ok(fetched) => self.kill(segment, &fetched),
            Err(_) => self.note_unread(segment, start, Whose::Content(id)),
        }
    }

    fn note_unread(&mut self, segment: &Segment, start: u64, whose: Whose) {
        self.upkeep.note_unread(Unread {
            segment: segment.number,
            start,
            whose,
        });
    }

    /// Another record than was expected is none of our concern.
    fn kill_read(&mut self, place: Unread, fetched: &Fetched, chunks: Vec<Lsn>) {
        let entry = fetched.entry();
        match place.whose {
            Whose::Content(id) if entry.id == id && entry.kind != Kind::Chunk => {
                self.kill_chunks(chunks, entry.lsn);
                self.upkeep.kill(self.log, place.segment, &entry, entry.lsn);
            }
            Whose::Chunk { lsn, pin } if entry.lsn == lsn => {
                self.upkeep.kill(self.log, place.segment, &entry, pin);
            }
            Whose::List(id) if entry.id == id => self.kill_chunks(chunks, entry.lsn),
            Whose::Content(_) | Whose::List(_) | Whose::Chunk { .. } => {}
        }
    }

    fn kill(&mut self, segment: &Segment, fetched: &Fetched) {
        let entry = fetched.entry();
        if entry.kind == Kind::Commit {
            match self.chunks_of(segment, fetched) {
                Ok(chunks) => self.kill_chunks(chunks, entry.lsn),
                // It is told dead together with them.
                Err(_) => {
                    let whose = Whose::Content(entry.id);
                    return self.note_unread(segment, entry.start, whose);
                }
            }
        }
        self.upkeep
            .kill(self.log, segment.number, &entry, entry.lsn);
    }

    /// The chunks that a commit names.
    fn chunks_of(&self, segment: &Segment, commit: &Fetched) -> Result<Vec<Lsn>, FetchError> {
        let seen = self.long_lists.and_then(|seen| seen.get(&commit.head.lsn));
        seen.map_or_else(|| listed(segment, commit), |chunks| Ok(chunks.clone()))
    }

    /// Tells chunks dead; `pin` is the record that readers of them hold. No disk is asked: there may
    /// be ten thousand of them, and everything else of the shard waits.
    fn kill_chunks(&mut self, chunks: Vec<Lsn>, pin: Lsn) {
        let shared = Arc::clone(&self.log.shared);
        for lsn in chunks {
            let Some(segment) = shared.segment_of(lsn) else {
                continue;
            };
            let Some(place) = segment.chunk_place(lsn) else {
                continue;
            };
            let (start, lengths) = (place.start(), place.lengths());
            let Some(lengths) = lengths.or_else(|| self.lengths_at(&segment, start)) else {
                self.note_unread(&segment, start, Whose::Chunk { lsn, pin });
                continue;
            };
            let chunk = DeadChunk {
                lsn,
                start,
                lengths,
            };
            self.upkeep
                .kill_chunk(self.log, segment.number, &chunk, pin);
        }
    }

    /// What a record's head tells of its lengths.
    fn lengths_at(&self, segment: &Segment, start: u64) -> Option<Lengths> {
        let log = self.log.shared.log;
        let fetched = Fetched::head(&*segment.file, log, start, Patience::Wait);
        fetched.ok().map(|fetched| fetched.head.lengths())
    }
}

/// Between which lsns the record lies that begins at `start`, where no head can be read; all records of
/// its segment are before `end`.
fn around(segment: &Segment, log: u64, start: u64, end: Lsn) -> io::Result<(Lsn, Lsn)> {
    let (mut last, from) = segment.before(start);
    let mut scan = Scan::new(&*segment.file, log, from)?;
    loop {
        let at = scan.position();
        match scan.next()? {
            Found::Record { entry, .. } if at < start => last = entry.lsn,
            Found::Record { entry, .. } if at > start => return Ok((last, entry.lsn)),
            // It can be read after all.
            Found::Record { entry, .. } => return Ok((entry.lsn.previous(), entry.lsn.next())),
            Found::End => return Ok((last, end)),
            Found::Damage(_) if scan.pass(last)?.is_none() => return Ok((last, end)),
            Found::Damage(_) => {}
        }
    }
}

/// A log's records on their way into a new store.
#[derive(Default)]
pub(super) struct Replay {
    pending: Pending,
    uploads: Uploads,
    upkeep: Upkeep,
    contents: u64,
    /// What long lists name, as far as it is here: an earlier version gave them back when their
    /// commits died.
    long_lists: Lists,
}

impl Replay {
    /// Takes the next record; `commit` is the highest known commit.
    pub(super) fn follow(
        &mut self,
        log: &mut Log,
        segment: &Arc<Segment>,
        entry: &Entry,
        commit: Lsn,
    ) -> io::Result<()> {
        let ended = self.uploads.follow(entry);
        if entry.lsn <= commit {
            self.remember_list(entry, &ended);
            let applying = Applying {
                log,
                upkeep: &mut self.upkeep,
                contents: self.contents,
                long_lists: Some(&self.long_lists),
            };
            self.contents = applying.apply(entry, segment.number, &ended);
            return Ok(());
        }
        let fetched = Fetched::head(&*segment.file, log.shared.log, entry.start, Patience::Wait)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        self.pending.push(PendingRecord {
            entry: *entry,
            epoch: fetched.head.epoch,
            segment: segment.number,
            content: Content::from_fetched(&fetched)?,
            ended,
        });
        Ok(())
    }

    fn remember_list(&mut self, entry: &Entry, ended: &[Upload]) {
        if entry.kind == Kind::Commit && entry.lengths.is_punchable() {
            let chunks = ended.iter().flat_map(|upload| &upload.chunks);
            let chunks = chunks.map(|chunk| chunk.lsn).collect();
            self.long_lists.insert(entry.lsn, chunks);
        }
    }

    pub(super) fn into_store(self, log: Log) -> Store {
        let shared = Arc::clone(&log.shared);
        let unended = self.uploads.names().chain(self.pending.upload_names());
        unended.for_each(|first| shared.begin_upload(first));
        Store {
            log,
            shared,
            pending: self.pending,
            uploads: self.uploads,
            upkeep: self.upkeep,
            leads: None,
            contents: self.contents,
            kept: None,
        }
    }
}

impl Content {
    /// The content that a record is about; none for chunks, aborts and epochs.
    pub(crate) fn from_fetched(fetched: &Fetched) -> io::Result<Option<Content>> {
        if matches!(fetched.head.kind, Kind::Chunk | Kind::Abort | Kind::Epoch) {
            return Ok(None);
        }
        Content::decode(&fetched.head, fetched.metadata_bytes()).map(Some)
    }

    /// The content that a record's head and metadata tell.
    pub(crate) fn decode(head: &crate::record::Head, metadata: &[u8]) -> io::Result<Content> {
        let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidData, error);
        let id = ContentId::from_bytes(head.id).map_err(|error| invalid(error.to_string()))?;
        let metadata = crate::record::metadata::Metadata::decode(metadata)
            .map_err(|error| invalid(error.to_string()))?;
        Ok(Content {
            id,
            version: head.version,
            filename: metadata.filename,
            content_type: metadata.content_type,
            collection: metadata.collection,
            attributes: metadata.attributes,
            size: head.size,
            checksum: metadata.checksum,
            created_ms: metadata.created_ms,
            updated_ms: head.time_ms,
            created_size: metadata.creation.0,
            created_checksum: metadata.creation.1,
            base_checksum: metadata.base,
        })
    }
}
