//! Compaction: choosing sealed segments that are worth rewriting, and putting the result in place.
//!
//! Rewriting keeps the order of lsns, and so the meaning of every position.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use wire::Lsn;

use super::rewrite::{Kept, Rewritten};
use super::{ChoreError, Compacting};
use crate::disk::Disk;
use crate::index::Place;
use crate::log::SegmentState;
use crate::log::marker::CommitMarker;
use crate::poison::Poisoned;
use crate::record::kind::Kind;
use crate::segment::Segment;
use crate::segment::name::SegmentName;
use crate::shared::Shared;
use crate::store::Store;

/// A segment is rewritten when this share of its bytes would come back.
const DROPPABLE_SHARE: f64 = 0.3;

/// Neighbours are joined while what is in them fits this share of a segment: a log whose contents
/// were mostly deleted does not keep a file for each of its former segments. What must stay of them as
/// a hole counts too: a hole takes no space on the disk, but places behind it are beyond it.
const JOINED_SHARE: f64 = 0.5;

/// A run of neighbouring segments to be rewritten as one.
#[derive(Debug)]
pub(crate) struct Compaction {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) shared: Arc<Shared>,
    pub(super) marker: Arc<CommitMarker>,
    pub(super) sources: Vec<Arc<Segment>>,
    /// What the rewritten segment covers.
    pub(super) first: Lsn,
    pub(super) last: Lsn,
    pub(super) generation: u32,
    /// The highest commit lsn in the sources' headers.
    pub(super) commit: Lsn,
    pub(super) horizon: Lsn,
    /// Uploads that are open, or whose commit is pending: their chunks are needed.
    pub(super) uploads: BTreeSet<Lsn>,
    pub(super) now_ms: u64,
    /// The number of the rewritten segment.
    pub(super) number: u32,
}

impl Store {
    pub(super) fn next_compaction(&mut self, now_ms: u64) -> Option<Compaction> {
        if self.upkeep.compacting.is_some() || self.upkeep.punching {
            return None;
        }
        let run = self.choose(now_ms)?;
        let states = &self.log.segments[run];
        let sources: Vec<Arc<Segment>> = states
            .iter()
            .map(|state| Arc::clone(&state.segment))
            .collect();
        let (first, last) = (sources.first()?.name.first, states.last()?.last);
        let generation = sources.iter().map(|source| source.name.generation).max()? + 1;
        let commit = states.iter().map(|state| state.commit).max()?;
        let uploads = self
            .uploads
            .names()
            .chain(self.pending.upload_names())
            .collect();
        let number = self.log.take_number();
        self.upkeep.compacting = Some(Compacting {
            sources: sources.iter().map(|source| source.number).collect(),
            died: BTreeSet::new(),
        });
        Some(Compaction {
            disk: Arc::clone(&self.log.disk),
            dir: self.log.dir.clone(),
            shared: Arc::clone(&self.shared),
            marker: Arc::clone(&self.log.marker),
            sources,
            first,
            last,
            generation,
            commit,
            horizon: self.log.horizon,
            uploads,
            now_ms,
            number,
        })
    }

    /// The segments to rewrite: the first that is worth it, and neighbours that fit in with it; or
    /// small neighbours.
    fn choose(&self, now_ms: u64) -> Option<std::ops::Range<usize>> {
        let committed = self.shared.committed();
        let full = self.log.segments.len() - 1;
        let ready = |state: &SegmentState| {
            state.index_bytes.is_some()
                && state.last <= committed
                && self.upkeep.repairing != Some(state.segment.number)
                && !self.upkeep.is_rereading(state.segment.number)
                && !state.is_unread(now_ms)
        };
        let joined = (self.log.geometry.segment_bytes as f64 * JOINED_SHARE) as u64;
        for first in 0..full {
            if !ready(&self.log.segments[first]) {
                continue;
            }
            let mut bytes = 0;
            let run = self.log.segments[first..full].iter().take_while(|state| {
                bytes += state.rewritten_bytes_max();
                ready(state) && bytes <= joined
            });
            let end = first + run.count();
            if end > first + 1 {
                return Some(first..end);
            }
            if self.log.segments[first].droppable_share(now_ms) > DROPPABLE_SHARE {
                return Some(first..first + 1);
            }
        }
        None
    }

    pub(super) fn finish_compaction(&mut self, rewritten: Rewritten) -> Result<(), ChoreError> {
        let compacting = self
            .upkeep
            .compacting
            .take()
            .expect("one compaction is under way");
        let Some(file) = rewritten.file.clone() else {
            // Others must not wait for it.
            let unread = rewritten
                .unread
                .and_then(|source| self.log.state_mut(source));
            if let Some(state) = unread {
                state.unread_ms = Some(rewritten.begun_ms);
            }
            let step = "rewrite a segment";
            return match rewritten.error {
                None => Ok(()),
                Some(error) if rewritten.is_left => {
                    let kind = error.kind();
                    let error = io::Error::new(kind, self.log.poison(Poisoned::new(step, error)));
                    Err(ChoreError { step, error })
                }
                Some(error) => Err(ChoreError { step, error }),
            };
        };
        let name = SegmentName {
            first: rewritten.first,
            generation: rewritten.generation,
        };
        let segment = Arc::new(Segment::new(rewritten.number, name, file));
        let at = self.replace_states(&compacting, &segment, &rewritten.kept);
        let state = &mut self.log.segments[at];
        segment.seal(rewritten.last, state.end);
        state.last = rewritten.last;
        state.commit = state.commit.max(rewritten.commit);
        state.length = state.end;
        state.index_bytes = rewritten.index_bytes;
        self.shared.raise_horizon(rewritten.horizon);
        self.shared.add_segment(&segment);
        self.relocate(&rewritten, &compacting.died);
        let (sources, kept) = (&compacting.sources, &rewritten.kept);
        self.upkeep.move_unread(sources, kept, rewritten.number);
        // What later segments had to keep because of these may go now.
        for later in &mut self.log.segments[at + 1..] {
            later.kept_dead = 0;
            later.kept_deletes = 0;
        }
        self.forget_deletes(&rewritten);
        self.remove_sources(&rewritten.sources)
    }

    /// Puts the rewritten segment's accounts in the place of those of its sources; all its records
    /// count as live at first.
    fn replace_states(
        &mut self,
        compacting: &Compacting,
        segment: &Arc<Segment>,
        kept: &[Kept],
    ) -> usize {
        let is_source = |state: &SegmentState| compacting.sources.contains(&state.segment.number);
        let at = self
            .log
            .segments
            .iter()
            .position(is_source)
            .expect("sources stay until now");
        let before: u64 = self
            .log
            .segments
            .iter()
            .filter(|s| is_source(s))
            .map(in_use)
            .sum();
        self.log.segments.retain(|state| !is_source(state));
        let mut state = SegmentState::empty(Arc::clone(segment));
        for kept in kept {
            state.append(&kept.entry, Lsn::ZERO);
        }
        self.upkeep.compacted_bytes += before.saturating_sub(in_use(&state));
        self.log.segments.insert(at, state);
        at
    }

    /// Leads the index to the moved records, and tells those dead that died meanwhile, or were kept
    /// only because an older record still needs them.
    fn relocate(&mut self, rewritten: &Rewritten, died: &BTreeSet<Lsn>) {
        self.upkeep.extents.retain(|extent| {
            !rewritten
                .sources
                .iter()
                .any(|source| source.number == extent.segment.number)
        });
        let (mut kept_dead, mut kept_deletes) = (0, 0);
        for kept in &rewritten.kept {
            let entry = &kept.entry;
            let live = match entry.kind {
                Kind::Chunk | Kind::Epoch => !died.contains(&entry.lsn),
                // It was dead from its commit on.
                Kind::Abort => false,
                Kind::Put | Kind::Commit | Kind::Describe | Kind::Delete => {
                    let from = Place::new(entry.kind, kept.source, kept.start);
                    let to = Place::new(entry.kind, rewritten.number, entry.start);
                    self.shared.index.relocate(&entry.id, from, to)
                }
            };
            if live && entry.kind == Kind::Delete && rewritten.stuck.contains(&entry.lsn) {
                kept_deletes += entry.bytes();
            }
            if !live {
                kept_dead += entry.bytes() - entry.punchable_bytes();
                self.upkeep
                    .kill(&mut self.log, rewritten.number, entry, kept.pin);
            }
        }
        if let Some(state) = self.log.state_mut(rewritten.number) {
            state.kept_dead = kept_dead;
            state.kept_deletes = kept_deletes;
        }
    }

    fn forget_deletes(&mut self, rewritten: &Rewritten) {
        for dropped in &rewritten.dropped_deletes {
            self.shared.index.remove(&dropped.id, dropped.place);
        }
        self.log.horizon = self.log.horizon.max(rewritten.horizon);
    }

    /// Nobody looks for anything in the sources any more, even if one cannot be removed: a start does it.
    fn remove_sources(&mut self, sources: &[Arc<Segment>]) -> Result<(), ChoreError> {
        let mut outcome = Ok(());
        for source in sources {
            self.shared.remove_segment(source);
        }
        for source in sources {
            // Index file first: a segment without one is scanned, an index file without its segment
            // is nothing.
            for path in [
                source.name.index_path(&self.log.dir),
                source.name.path(&self.log.dir),
            ] {
                let removed = self.log.disk.remove(&path);
                outcome = outcome.and(removed.or_else(ignore_missing));
            }
        }
        let outcome = outcome.and(self.log.disk.sync_dir(&self.log.dir));
        outcome.map_err(|error| ChoreError {
            step: "remove a rewritten segment",
            error,
        })
    }
}

pub(super) fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

fn in_use(state: &SegmentState) -> u64 {
    state.end - state.holes
}
