//! Upkeep: index files for full segments, space given back, segments rewritten. The owner decides
//! what is due and takes the results; the work itself is done by chores, on any other thread.

mod compact;
mod gone;
mod punch;
mod repair;
mod reread;
mod rest;
mod rewrite;
mod seal;
mod settle;
mod trust;

use std::collections::BTreeSet;
use std::sync::Arc;

use wire::Lsn;

use crate::log::Log;
use crate::record::layout::Lengths;
use crate::segment::entry::Entry;
use crate::store::Store;

pub(crate) use compact::Compaction;
use punch::Extent;
pub use repair::RepairError;
pub(crate) use reread::{Unread, Whose, listed};
use rest::Rest;

/// A piece of work beside the log. Run it on any thread, and give the outcome back to the store.
#[derive(Debug)]
pub struct Chore(Work);

#[derive(Debug)]
enum Work {
    Seal(seal::Seal),
    Punch(punch::Punch),
    Compact(Compaction),
    Trust(trust::Trust),
    Reread(reread::Reread),
    Repair(Box<repair::Repair>),
}

/// The outcome of a [`Chore`], for the owner.
#[derive(Debug)]
pub struct ChoreDone(Done);

#[derive(Debug)]
enum Done {
    Sealed(seal::Sealed),
    Punched(punch::Punched),
    Compacted(Box<rewrite::Rewritten>),
    Trusted(trust::Trusted),
    Read(reread::Read),
    Repaired(Box<repair::Repaired>),
}

/// Why a chore came to nothing. It is tried again later; nothing is lost.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {error}")]
pub struct ChoreError {
    /// What was tried.
    pub step: &'static str,
    /// Why it failed.
    pub error: std::io::Error,
}

/// What is due, and what is under way.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    /// Payloads of dead records, to be given back.
    extents: Vec<Extent>,
    /// Records that died when nobody could read them.
    unread: Vec<Unread>,
    /// The numbers of the segments in which some of them are being read again.
    rereading: Option<Vec<u32>>,
    sealing: bool,
    punching: bool,
    compacting: Option<Compacting>,
    /// The number of the segment in which a record is being repaired: it stays as it is meanwhile.
    repairing: Option<u32>,
    compacted_bytes: u64,
    rests: Rests,
}

/// What came to nothing, and is not tried again at once.
#[derive(Debug, Default)]
struct Rests {
    seal: Rest,
    punch: Rest,
    compact: Rest,
    trust: Rest,
    reread: Rest,
}

/// A chunk that is needed no more, as far as that matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeadChunk {
    pub(crate) lsn: Lsn,
    /// In bytes.
    pub(crate) start: u64,
    pub(crate) lengths: Lengths,
}

/// A compaction that is under way.
#[derive(Debug)]
struct Compacting {
    /// The numbers of the segments that it rewrites.
    sources: Vec<u32>,
    /// Records of these that died meanwhile.
    died: BTreeSet<Lsn>,
}

impl Chore {
    /// Does the work. `may_go_on` is asked before each piece of a rewriting, with the bytes it will
    /// write: it may wait, to keep a rate; when it says no, the chore ends without an effect.
    pub fn run(self, may_go_on: &mut dyn FnMut(u64) -> bool) -> ChoreDone {
        ChoreDone(match self.0 {
            Work::Seal(seal) => Done::Sealed(seal.run()),
            Work::Punch(punch) => Done::Punched(punch.run()),
            Work::Compact(compaction) => Done::Compacted(Box::new(compaction.run(may_go_on))),
            Work::Trust(trust) => Done::Trusted(trust.run()),
            Work::Reread(reread) => Done::Read(reread.run()),
            Work::Repair(repair) => Done::Repaired(Box::new(repair.run())),
        })
    }
}

impl ChoreDone {
    /// Whether it was a repair.
    pub fn is_repair(&self) -> bool {
        matches!(self.0, Done::Repaired(_))
    }

    /// Whether it is that of a repair that wrote nothing, since the record stood there as it was brought.
    pub fn is_same(&self) -> bool {
        matches!(&self.0, Done::Repaired(repaired) if repaired.is_same())
    }
}

impl Upkeep {
    /// Bytes given back by rewriting, since the log was opened.
    pub(crate) fn compacted_bytes(&self) -> u64 {
        self.compacted_bytes
    }

    /// A record is needed no more; readers of it, if any, hold `pin`.
    pub(crate) fn kill(&mut self, log: &mut Log, number: u32, entry: &Entry, pin: Lsn) {
        let Some(state) = log.state_mut(number) else {
            return;
        };
        state.kill(entry);
        let payload = Extent {
            segment: Arc::clone(&state.segment),
            start: entry.lengths.payload_start(entry.start),
            bytes: entry.punchable_bytes(),
            pin,
        };
        self.note_death(entry.lsn, payload);
    }

    /// As [`Upkeep::kill`], of a chunk.
    pub(crate) fn kill_chunk(&mut self, log: &mut Log, number: u32, chunk: &DeadChunk, pin: Lsn) {
        let Some(state) = log.state_mut(number) else {
            return;
        };
        let DeadChunk {
            lsn,
            start,
            lengths,
        } = *chunk;
        state.kill_bytes(lengths.end(start) - start);
        let payload = Extent {
            segment: Arc::clone(&state.segment),
            start: lengths.payload_start(start),
            bytes: lengths.punchable_bytes(),
            pin,
        };
        self.note_death(lsn, payload);
    }

    fn note_death(&mut self, lsn: Lsn, payload: Extent) {
        if let Some(compacting) = &mut self.compacting
            && compacting.sources.contains(&payload.segment.number)
        {
            compacting.died.insert(lsn);
        }
        if payload.bytes > 0 {
            self.extents.push(payload);
        }
    }

    fn is_compacting(&self, number: u32) -> bool {
        self.compacting
            .as_ref()
            .is_some_and(|compacting| compacting.sources.contains(&number))
    }
}

impl Store {
    /// What is due at this moment, at most one chore of each sort; ask after commits, and about
    /// every second.
    pub fn chores(&mut self, now_ms: u64) -> Vec<Chore> {
        if self.check().is_err() {
            return Vec::new();
        }
        let rests = &mut self.upkeep.rests;
        let may_seal = rests.seal.is_over(now_ms);
        let may_punch = rests.punch.is_over(now_ms);
        let may_compact = rests.compact.is_over(now_ms);
        let may_trust = rests.trust.is_over(now_ms);
        let may_reread = rests.reread.is_long_over(now_ms);
        let mut due = Vec::new();
        if may_seal {
            due.extend(self.next_seal().map(Work::Seal));
        }
        if may_punch {
            due.extend(self.next_punch().map(Work::Punch));
        }
        if may_compact {
            due.extend(self.next_compaction(now_ms).map(Work::Compact));
        }
        if may_trust {
            due.extend(self.next_trust(now_ms).map(Work::Trust));
        }
        if may_reread {
            due.extend(self.next_reread().map(Work::Reread));
        }
        due.into_iter().map(Chore).collect()
    }

    /// Takes a chore's outcome.
    ///
    /// # Errors
    /// When the chore came to nothing.
    pub fn finish(&mut self, done: ChoreDone) -> Result<(), ChoreError> {
        match done.0 {
            Done::Sealed(sealed) => {
                let finished = self.finish_seal(sealed);
                self.upkeep.rests.seal.note(finished.is_ok());
                finished
            }
            Done::Punched(punched) => {
                let finished = self.finish_punch(punched);
                self.upkeep.rests.punch.note(finished.is_ok());
                finished
            }
            Done::Compacted(rewritten) => {
                let finished = self.finish_compaction(*rewritten);
                self.upkeep.rests.compact.note(finished.is_ok());
                finished
            }
            Done::Trusted(trusted) => {
                let finished = self.finish_trust(trusted);
                self.upkeep.rests.trust.note(finished.is_ok());
                finished
            }
            Done::Read(read) => {
                let was_read = self.finish_reread(read);
                self.upkeep.rests.reread.note(was_read);
                Ok(())
            }
            Done::Repaired(repaired) => self.finish_repair(*repaired),
        }
    }
}

#[cfg(test)]
mod tests;
