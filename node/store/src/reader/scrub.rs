//! Scrubbing: reading everything that is needed again, from the disk, before somebody asks for it.

use std::io;
use std::sync::Arc;

use wire::{ContentId, Lsn};

use super::{ReadError, Reader};
use crate::fetch::{Fetched, Patience};
use crate::index::Place;
use crate::record::head::DecodeHeadError;
use crate::record::kind::Kind;
use crate::segment::Segment;
use crate::segment::entry::Entry;
use crate::segment::header::SEGMENT_HEADER_BYTES;
use crate::segment::scan::{Found, Scan, Suspect};

/// What a piece of a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Everything up to here was looked at: where the next piece begins.
    pub covered: Lsn,
    /// Records that were read and verified, or found damaged.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Damaged records, in the order of lsns. The contents answer `damaged` from now on.
    pub damaged: Vec<DamagedRecord>,
}

/// A record that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRecord {
    /// The content that needs it; none for a leader's epoch, and where the damage hides it.
    pub content: Option<ContentId>,
    /// Its position; where the header is damaged, as far as it can be told.
    pub lsn: Lsn,
    /// What does not agree.
    pub what: String,
}

/// The state of the work.
struct Scrub<'a> {
    reader: &'a Reader,
    segment: &'a Arc<Segment>,
    found: Scrubbed,
    /// The upload of the last chunk, and what commit it belongs to.
    upload: Option<(Lsn, Option<Lsn>)>,
}

/// Whether to go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    On,
    End,
}

impl Reader {
    /// Reads all records after `after` that are needed, to the end of their segment or of what is
    /// committed, from the disk and not from the cache; and verifies every byte. Run it on any
    /// thread, again and again from [`Scrubbed::covered`], until that is the commit: so a cycle can
    /// go on after a restart. `may_go_on` is asked before each record, with the bytes that it will
    /// read: it may wait, to keep a rate; when it says no, this piece ends there.
    ///
    /// # Errors
    /// When the disk fails; sectors that it cannot read are damage.
    pub fn scrub(
        &self,
        after: Lsn,
        may_go_on: &mut dyn FnMut(u64) -> bool,
    ) -> io::Result<Scrubbed> {
        let segment = self.shared.segment_of(after.next());
        self.scrub_from(segment, after, may_go_on)
    }

    /// As [`Reader::scrub`], in this segment; or in the one that it was rewritten to before anything of it
    /// was read.
    pub(super) fn scrub_from(
        &self,
        mut segment: Option<Arc<Segment>>,
        after: Lsn,
        may_go_on: &mut dyn FnMut(u64) -> bool,
    ) -> io::Result<Scrubbed> {
        let upto = self.shared.committed();
        while let (true, Some(opened)) = (after < upto, segment) {
            let mut is_stopped = false;
            let found = self.scrub_segment(&opened, (after, upto), &mut |bytes| {
                is_stopped = !may_go_on(bytes);
                !is_stopped
            })?;
            let is_gone = self.shared.segment(opened.number).is_none();
            if found.covered > after || is_stopped || !is_gone {
                return Ok(found);
            }
            segment = self.shared.segment_of(after.next());
        }
        Ok(Scrubbed {
            covered: after,
            ..Scrubbed::default()
        })
    }

    fn scrub_segment(
        &self,
        segment: &Arc<Segment>,
        (after, upto): (Lsn, Lsn),
        may_go_on: &mut dyn FnMut(u64) -> bool,
    ) -> io::Result<Scrubbed> {
        let found = Scrubbed {
            covered: after,
            ..Scrubbed::default()
        };
        let mut scrub = Scrub {
            reader: self,
            segment,
            found,
            upload: None,
        };
        let length = segment.file.len()?;
        segment.file.begin_write_back(0, length);
        let scrubbed = scrub.run(upto, may_go_on);
        // What nobody else asks for does not stay in the cache.
        segment.file.begin_write_back(0, length);
        scrubbed.map(|()| scrub.found)
    }
}

impl Scrub<'_> {
    fn run(&mut self, upto: Lsn, may_go_on: &mut dyn FnMut(u64) -> bool) -> io::Result<()> {
        let file = &*self.segment.file;
        let mut scan = Scan::new(file, self.reader.shared.log, SEGMENT_HEADER_BYTES)?;
        let mut last = self.segment.name.first.previous();
        loop {
            let start = scan.position();
            match scan.next()? {
                Found::Record { entry, .. } if entry.lsn <= upto => {
                    last = entry.lsn;
                    if self.look_at(&entry, may_go_on)? == Step::End {
                        return Ok(());
                    }
                }
                Found::Damage(error) => {
                    let mut suspects = Vec::new();
                    let next = scan.resynchronise(start, last, &mut suspects)?;
                    let next_lsn = next.map_or(self.end(upto).next(), |(_, lsn)| lsn);
                    let damage = self.reader.shared.damage();
                    let is_settled = damage.is_settled_between(last, next_lsn);
                    drop(damage);
                    let is_new = last.next() <= upto && next_lsn > self.found.covered.next();
                    if is_new && !is_settled {
                        self.damaged_heads(last, next_lsn, &suspects, &error);
                    }
                    if next.is_none() {
                        break;
                    }
                }
                Found::Record { .. } | Found::End => break,
            }
        }
        self.cover(self.end(upto));
        Ok(())
    }

    /// The last lsn that this piece can cover.
    fn end(&self, upto: Lsn) -> Lsn {
        self.segment.sealed_at().map_or(upto, |last| last.min(upto))
    }

    fn cover(&mut self, lsn: Lsn) {
        self.found.covered = self.found.covered.max(lsn);
    }

    fn look_at(
        &mut self,
        entry: &Entry,
        may_go_on: &mut dyn FnMut(u64) -> bool,
    ) -> io::Result<Step> {
        if entry.lsn <= self.found.covered {
            return Ok(Step::On);
        }
        if self.is_needed(entry)? {
            if !may_go_on(entry.bytes()) {
                return Ok(Step::End);
            }
            self.verify(entry)?;
        } else if self.reader.shared.segment(self.segment.number).is_none() {
            // It was rewritten meanwhile: the next piece finds the new one.
            return Ok(Step::End);
        }
        self.cover(entry.lsn);
        Ok(Step::On)
    }

    /// Whether a record is live. Chunks of uploads that are not committed are looked at when they
    /// are; where damage hides what a chunk belongs to, it counts as needed.
    fn is_needed(&mut self, entry: &Entry) -> io::Result<bool> {
        match entry.kind {
            Kind::Epoch => Ok(true),
            Kind::Abort => Ok(false),
            Kind::Chunk => {
                if let Some((upload, commit)) = self.upload
                    && upload == entry.upload
                {
                    return Ok(commit.is_some());
                }
                let commit = match self.reader.commit_of(entry) {
                    Ok(commit) => commit,
                    Err(ReadError::Disk(error)) => return Err(error),
                    Err(_) => Some(entry.upload),
                };
                self.upload = Some((entry.upload, commit));
                Ok(commit.is_some())
            }
            Kind::Put | Kind::Commit | Kind::Describe | Kind::Delete => {
                let place = Place::new(entry.kind, self.segment.number, entry.start);
                Ok(self.reader.shared.index.contains(&entry.id, place))
            }
        }
    }

    fn verify(&mut self, entry: &Entry) -> io::Result<()> {
        self.found.records += 1;
        self.found.bytes += entry.bytes();
        let shared = &self.reader.shared;
        let file = &*self.segment.file;
        let whole = Fetched::head(file, shared.log, entry.start, Patience::Wait);
        let error = match whole.and_then(|fetched| fetched.verify(file)) {
            Ok(()) => return Ok(()),
            // What the disk cannot read is damage of what lies there.
            Err(error) => error,
        };
        // It may have been superseded, and given back, while it was read.
        self.upload = None;
        if self.is_needed(entry)? {
            let content = ContentId::from_bytes(entry.id).ok();
            let content = content.filter(|_| entry.kind != Kind::Epoch);
            if let Some(content) = content {
                self.reader.shared.damage().note(content.bytes(), entry.lsn);
            }
            self.report(content, entry.lsn, &error.to_string());
        }
        Ok(())
    }

    /// Headers between two lsns are damaged.
    fn damaged_heads(
        &mut self,
        last: Lsn,
        next: Lsn,
        suspects: &[Suspect],
        error: &DecodeHeadError,
    ) {
        let what = &error.to_string();
        let before = self.found.damaged.len();
        for suspect in suspects {
            let Some(content) = self.identify(suspect) else {
                continue;
            };
            self.found.records += 1;
            let chunk = self.segment.chunk_at(suspect.start);
            let is_plausible = last < suspect.lsn && suspect.lsn < next;
            let told = is_plausible.then_some(suspect.lsn);
            let lsn = chunk.or(told).unwrap_or(last.next());
            self.report(Some(content), lsn, what);
            let shared = &self.reader.shared;
            // Which record it is, is sure only of a chunk.
            let sure = chunk.unwrap_or(Lsn::ZERO);
            shared.damage().note(content.bytes(), sure);
        }
        // A page that cannot be read may hold many heads, and nothing is left of any.
        let hides_others = *error == DecodeHeadError::Unreadable;
        if hides_others || self.found.damaged.len() == before {
            self.reader.shared.damage().hide(last, next);
            self.found.records += 1;
            self.report(None, last.next(), what);
        }
        self.cover(next.previous());
    }

    /// The content that needs the record whose damaged header stands there; none when it cannot be
    /// told, or no content needs it.
    fn identify(&self, suspect: &Suspect) -> Option<ContentId> {
        let content = ContentId::from_bytes(suspect.id).ok()?;
        let places = self.reader.shared.index.find(&suspect.id);
        let is_indexed = places
            .iter()
            .any(|place| (place.segment(), place.start()) == (self.segment.number, suspect.start));
        let is_needed = is_indexed
            || self.segment.chunk_at(suspect.start).is_some()
                && self.reader.data_lsn(content).is_some();
        is_needed.then_some(content)
    }

    fn report(&mut self, content: Option<ContentId>, lsn: Lsn, what: &str) {
        self.found.damaged.push(DamagedRecord {
            content,
            lsn,
            what: what.to_owned(),
        });
    }
}
