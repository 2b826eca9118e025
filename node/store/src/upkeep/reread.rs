//! Records that died while nobody could read them, so that nobody could tell what died with them. They are
//! read again later, and told dead then: a disk that failed for a moment keeps no space for ever.

use std::collections::BTreeSet;
use std::sync::Arc;

use wire::Lsn;

use super::Upkeep;
use super::rewrite::Kept;
use crate::fetch::{FetchError, Fetched, Patience};
use crate::record::decode_chunks;
use crate::record::kind::Kind;
use crate::segment::Segment;
use crate::shared::Shared;
use crate::store::Store;

/// How many are remembered, at 40 bytes each. The space of those beyond comes back with their segment's
/// rewriting, or after the next start.
const UNREAD_MAX: usize = 1 << 16;

/// How many one chore reads: a disk may take seconds to refuse one.
const READS_PER_CHORE: usize = 64;

/// Where a record died that could not be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unread {
    /// The number of its segment.
    pub(crate) segment: u32,
    /// In bytes.
    pub(crate) start: u64,
    pub(crate) whose: Whose,
}

/// What must stand there for it to be the dead record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    /// A record of this content.
    Content([u8; 16]),
    /// A commit of this content, which itself was told dead when it was moved, and not its chunks.
    List([u8; 16]),
    /// This chunk, the readers of which hold `pin`.
    Chunk { lsn: Lsn, pin: Lsn },
}

#[derive(Debug)]
pub(super) struct Reread {
    shared: Arc<Shared>,
    places: Vec<Unread>,
}

#[derive(Debug)]
pub(super) struct Read {
    read: Vec<(Unread, Fetched, Vec<Lsn>)>,
    unread: Vec<Unread>,
}

impl Reread {
    pub(super) fn run(self) -> Read {
        let (mut read, mut unread) = (Vec::new(), Vec::new());
        for place in self.places {
            // A segment that was cut off took its dead with it.
            let Some(segment) = self.shared.segment(place.segment) else {
                continue;
            };
            match fetch(&segment, self.shared.log, place.start) {
                Ok((fetched, chunks)) => read.push((place, fetched, chunks)),
                Err(_) => unread.push(place),
            }
        }
        Read { read, unread }
    }
}

/// Reads the record at `start`, and which chunks it names.
fn fetch(segment: &Segment, log: u64, start: u64) -> Result<(Fetched, Vec<Lsn>), FetchError> {
    let fetched = Fetched::head(&*segment.file, log, start, Patience::Wait)?;
    let chunks = match fetched.head.kind {
        Kind::Commit => listed(segment, &fetched)?,
        _ => Vec::new(),
    };
    Ok((fetched, chunks))
}

/// The chunks that a commit names.
///
/// # Errors
/// When its list cannot be read.
pub(crate) fn listed(segment: &Segment, commit: &Fetched) -> Result<Vec<Lsn>, FetchError> {
    let length = usize::try_from(commit.head.payload_bytes).expect("a payload fits memory");
    let list = commit.payload(&*segment.file, 0, length, Patience::Wait)?;
    let chunks = decode_chunks(&list).into_iter();
    Ok(chunks.map(|chunk| chunk.lsn).collect())
}

impl Upkeep {
    /// A record died that cannot be read.
    pub(crate) fn note_unread(&mut self, unread: Unread) {
        if self.unread.len() < UNREAD_MAX {
            self.unread.push(unread);
        }
    }

    /// Whether records of this segment are being read again.
    pub(super) fn is_rereading(&self, number: u32) -> bool {
        self.rereading
            .iter()
            .flatten()
            .any(|other| *other == number)
    }

    /// These segments were rewritten. Their dead went with them; but where a commit was kept, nobody knows
    /// yet which chunks died with it.
    pub(super) fn move_unread(&mut self, sources: &[u32], kept: &[Kept], to: u32) {
        let is_source = |unread: &mut Unread| sources.contains(&unread.segment);
        let unread = self.unread.extract_if(.., is_source);
        let unread: BTreeSet<_> = unread.map(|place| (place.segment, place.start)).collect();
        if unread.is_empty() {
            return;
        }
        let kept = kept.iter().filter(|kept| kept.entry.kind == Kind::Commit);
        let moved = kept.filter(|kept| unread.contains(&(kept.source, kept.start)));
        self.unread.extend(moved.map(|kept| Unread {
            segment: to,
            start: kept.entry.start,
            whose: Whose::List(kept.entry.id),
        }));
    }
}

impl Store {
    pub(super) fn next_reread(&mut self) -> Option<Reread> {
        if self.upkeep.rereading.is_some() {
            return None;
        }
        let mut unread = std::mem::take(&mut self.upkeep.unread);
        // What is being moved is read where it comes to.
        let stays = |place: &mut Unread| !self.upkeep.is_compacting(place.segment);
        let places: Vec<Unread> = unread.extract_if(.., stays).take(READS_PER_CHORE).collect();
        self.upkeep.unread = unread;
        if places.is_empty() {
            return None;
        }
        self.upkeep.rereading = Some(places.iter().map(|place| place.segment).collect());
        Some(Reread {
            shared: Arc::clone(&self.shared),
            places,
        })
    }

    /// Tells dead what was read; the rest waits behind the others. Returns whether anything was read.
    pub(super) fn finish_reread(&mut self, done: Read) -> bool {
        self.upkeep.rereading = None;
        let has_read = !done.read.is_empty() || done.unread.is_empty();
        for (place, fetched, chunks) in done.read {
            self.kill_read(place, &fetched, chunks);
        }
        for place in done.unread {
            self.upkeep.note_unread(place);
        }
        has_read
    }
}
