//! The second pass: records go into the log in order, up to where it ends or must be cut.

use std::io;
use std::sync::Arc;

use wire::{Lsn, Position};

use super::survey::{Damage, Item, Surveyed};
use super::{Log, OpenError, Opening, Recovery, Visit};
use crate::disk::unreadable;
use crate::fetch::{FetchError, Fetched, Patience, verify_payload};
use crate::log::SegmentState;
use crate::record::kind::Kind;
use crate::segment::Segment;
use crate::segment::entry::Entry;
use crate::segment::header::{SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::segment::index_file::SegmentIndex;
use crate::segment::name::SegmentName;
use crate::segment::scan::{Scan, Suspect};

pub(super) struct Loader<'a> {
    opening: &'a Opening<'a>,
    log: Log,
    commit: Lsn,
    report: Recovery,
    cut: Option<Cut>,
    /// The first of the records that were just lost: an epoch may have begun there.
    lost: Option<Lsn>,
}

/// What goes.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Everything: the log's beginning is missing, and nothing is known committed behind it.
    All,
    /// Everything from this byte of this segment on.
    From(usize, u64),
}

/// What an index file tells of itself.
struct Indexed {
    bytes: u64,
    /// The last lsn that it covers.
    last: Lsn,
}

/// What comes after an item.
enum Next {
    Item,
    Cut(u64),
}

impl<'a> Loader<'a> {
    pub(super) fn new(opening: &'a Opening<'a>, log: Log, commit: Lsn) -> Loader<'a> {
        Loader {
            opening,
            log,
            commit,
            report: Recovery::default(),
            cut: None,
            lost: None,
        }
    }

    pub(super) fn load(
        &mut self,
        pieces: Vec<Surveyed>,
        visit: Visit<'_>,
    ) -> Result<(), OpenError> {
        let first = pieces.first().map_or(Lsn::ZERO, |piece| piece.name.first);
        if first > Lsn::ZERO.next() {
            // The first segment is gone: lost, or, if nothing in it was committed, never synced.
            if self.commit > Lsn::ZERO {
                self.lose(Lsn::ZERO.next(), first.previous());
            }
            self.cut = (first > self.commit.next()).then_some(Cut::All);
        }
        let firsts: Vec<Lsn> = pieces.iter().map(|piece| piece.name.first).collect();
        for (at, mut piece) in pieces.into_iter().enumerate() {
            let successor = firsts.get(at + 1).copied();
            self.report.segments += 1;
            let (items, index) = self.items(&mut piece)?;
            self.add_segment(&piece, successor, index)?;
            if self.cut.is_none() {
                self.load_items(items, successor, visit)?;
            }
        }
        Ok(())
    }

    /// A segment's items, from its index file if it has one that is whole; and what that file tells
    /// of itself. Any other is removed, so that it is made again.
    fn items(&mut self, piece: &mut Surveyed) -> Result<(Vec<Item>, Option<Indexed>), OpenError> {
        let opening = self.opening;
        if let Some(items) = piece.items.take() {
            self.report.scanned += 1;
            self.remove_index(piece.name)?;
            return Ok((items, None));
        }
        match SegmentIndex::load(&**opening.disk, opening.dir, opening.log, piece.name) {
            Some(index) => {
                let commit = index.commit;
                let indexed = Indexed {
                    bytes: index.bytes(),
                    last: index.last,
                };
                let records = index.entries.into_iter();
                let items = records.map(|entry| Item::Record(entry, commit)).collect();
                Ok((items, Some(indexed)))
            }
            None => {
                self.report.scanned += 1;
                // Before anything goes: a segment of a later version must stay as it is.
                let items = opening.scan(piece)?;
                self.remove_index(piece.name)?;
                Ok((items, None))
            }
        }
    }

    fn add_segment(
        &mut self,
        piece: &Surveyed,
        successor: Option<Lsn>,
        index: Option<Indexed>,
    ) -> Result<(), OpenError> {
        let opening = self.opening;
        let length = opening.disk("measure a segment", piece.file.len())?;
        let number = self.log.take_number();
        let segment = Arc::new(Segment::new(number, piece.name, Arc::clone(&piece.file)));
        let mut state = SegmentState::empty(segment);
        state.length = state.length.max(length);
        if let Some(index) = index {
            state.index_bytes = Some(index.bytes);
            // Of what is missing at its end it was known, when it was sealed, that nothing needs it.
            state.last = state.last.max(index.last);
        }
        match piece.header {
            Some(header) => {
                self.log.horizon = self.log.horizon.max(header.horizon);
                self.log.shared.raise_horizon(header.horizon);
                state.last = state.last.max(header.last);
            }
            None => self.mend_header(piece, successor)?,
        }
        self.log.shared.add_segment(&state.segment);
        self.log.segments.push(state);
        Ok(())
    }

    /// An index file that stayed beside records it does not tell of would hide them, should it be
    /// read again.
    fn remove_index(&self, name: SegmentName) -> Result<(), OpenError> {
        match self.opening.disk.remove(&name.index_path(self.opening.dir)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => self.opening.disk("remove a damaged index file", other),
        }
    }

    /// A damaged segment header, or one that a crash left unwritten, is written again: name,
    /// records and successor tell all that stands there.
    fn mend_header(&mut self, piece: &Surveyed, successor: Option<Lsn>) -> Result<(), OpenError> {
        let rewritten = piece.name.generation > 0;
        let header = SegmentHeader {
            generation: piece.name.generation,
            log: self.opening.log,
            first: piece.name.first,
            last: successor
                .filter(|_| rewritten)
                .map_or(Lsn::ZERO, Lsn::previous),
            horizon: self.log.horizon,
        };
        match piece.file.write_at(&header.encode(), 0) {
            // It is not needed to serve: a later start, with room, mends it.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
            written => {
                self.opening.disk("mend a segment header", written)?;
                self.opening.disk("sync a segment", piece.file.sync_data())
            }
        }
    }

    fn load_items(
        &mut self,
        items: Vec<Item>,
        successor: Option<Lsn>,
        visit: Visit<'_>,
    ) -> Result<(), OpenError> {
        for item in items {
            let next = match item {
                Item::Record(entry, commit) => self.load_record(&entry, commit, visit)?,
                Item::Damage(damage) => self.load_damage(damage, successor)?,
            };
            if let Next::Cut(at) = next {
                self.cut = Some(Cut::From(self.log.segments.len() - 1, at));
                return Ok(());
            }
        }
        self.close_gap(successor);
        Ok(())
    }

    fn load_record(
        &mut self,
        entry: &Entry,
        commit: Lsn,
        visit: Visit<'_>,
    ) -> Result<Next, OpenError> {
        let segment = Arc::clone(&self.log.active().segment);
        if entry.lsn > self.commit {
            let intact = verify_payload(&*segment.file, entry, self.opening.log);
            if !self.opening.disk("verify the tail", intact)? {
                return Ok(Next::Cut(entry.start));
            }
        }
        self.log.active_mut().append(entry, commit);
        if let Some(lost) = self.lost.take()
            && entry.kind != Kind::Epoch
        {
            self.resume_epoch(&segment, entry, lost)?;
        }
        if entry.kind == Kind::Epoch {
            self.log.epochs.append(Position {
                epoch: entry.epoch,
                lsn: entry.lsn,
            });
        }
        self.log.appended.lsn = entry.lsn;
        let visited = visit(&mut self.log, &segment, entry, self.commit);
        self.opening.disk("read a record", visited)?;
        Ok(Next::Item)
    }

    fn load_damage(&mut self, damage: Damage, successor: Option<Lsn>) -> Result<Next, OpenError> {
        let lost = self.log.appended.lsn.next();
        if damage.next.is_none() && successor == Some(lost) {
            // Nothing is missing: the rest of a segment that another one had followed already.
            return Ok(Next::Item);
        }
        let next = damage.next.map(|(_, lsn)| lsn).or(successor);
        if damage.is_unreadable && next.is_none_or(|next| next > self.commit.next()) {
            // What is not known committed may be acknowledged all the same: it is not cut off.
            self.opening.disk("scan a segment", Err(unreadable()))?;
        }
        if lost > self.commit {
            return Ok(Next::Cut(damage.start));
        }
        let last = next.map_or(self.commit, |next| next.previous().min(self.commit));
        self.lose(lost, last);
        if !damage.tells_all(lost, last) {
            self.log.shared.leave_unnamed(lost, last);
        }
        // Nothing more is written behind it, and no index file may hide it.
        self.log.active_mut().unsealable = true;
        for suspect in &damage.suspects {
            self.note_suspect(suspect)?;
        }
        match damage.next {
            Some((start, lsn)) if lsn > self.commit.next() => Ok(Next::Cut(start)),
            _ => Ok(Next::Item),
        }
    }

    /// The first record behind lost ones tells whether an epoch began among them: without that, this
    /// log would seem to have another history than its leader's.
    fn resume_epoch(
        &mut self,
        segment: &Segment,
        entry: &Entry,
        lost: Lsn,
    ) -> Result<(), OpenError> {
        let file = &*segment.file;
        match Fetched::head(file, self.opening.log, entry.start, Patience::Wait) {
            Ok(fetched) => self.log.epochs.append(Position {
                epoch: fetched.head.epoch,
                lsn: lost,
            }),
            Err(FetchError::Disk(error) | FetchError::Unreadable(error)) => {
                self.opening.disk("read a record", Err(error))?;
            }
            // It was whole a moment ago.
            Err(FetchError::Head(_) | FetchError::Block { .. }) => {}
        }
        Ok(())
    }

    /// Records from `first` to `last` cannot be read.
    fn lose(&mut self, first: Lsn, last: Lsn) {
        self.report.damaged += 1;
        self.lost.get_or_insert(first);
        self.log.shared.damage().lose(first, last);
    }

    /// A damaged header still says whose record it seems to be, and which record it superseded: one
    /// of the two is right if one byte is wrong. What the index knows of these contents may be out
    /// of date.
    fn note_suspect(&mut self, suspect: &Suspect) -> Result<(), OpenError> {
        self.log.shared.note_suspect(suspect.id);
        let covering = self.log.segments.iter().rev();
        let Some(state) = covering
            .into_iter()
            .find(|state| state.segment.name.first <= suspect.supersedes)
        else {
            return Ok(());
        };
        let file = &*state.segment.file;
        let scan = Scan::new(file, self.opening.log, SEGMENT_HEADER_BYTES);
        let found = scan.and_then(|scan| scan.find(suspect.supersedes));
        if let Some(entry) = self.opening.disk("look for a superseded record", found)? {
            self.log.shared.note_suspect(entry.id);
        }
        Ok(())
    }

    /// Records are missing between this segment and the next: damage, or an unsynced end.
    fn close_gap(&mut self, successor: Option<Lsn>) {
        let Some(successor) = successor else { return };
        let lost = self.log.appended.lsn.max(self.log.active().last).next();
        if lost < successor {
            if lost <= self.commit {
                let last = successor.previous().min(self.commit);
                let before = lost.previous();
                let is_told = self.log.shared.damage().is_lost_between(before, successor);
                if !is_told {
                    self.lose(lost, last);
                    self.log.shared.leave_unnamed(lost, last);
                }
                self.log.active_mut().unsealable = true;
            }
            if successor > self.commit.next() {
                self.cut = Some(Cut::From(
                    self.log.segments.len() - 1,
                    self.log.active().end,
                ));
                return;
            }
        }
        let state = self.log.active_mut();
        state.last = successor.previous();
        state.segment.seal(state.last, state.end);
        self.log.appended.lsn = successor.previous();
    }

    /// Cuts what must be cut, and notes what is damaged.
    pub(super) fn finish(mut self) -> Result<(Log, Recovery), OpenError> {
        if let Some(cut) = self.cut {
            // The header that told this commit may be among what goes.
            let raised = self.log.marker.raise(self.commit);
            self.opening.disk("raise the commit marker", raised)?;
            let cut = match cut {
                Cut::All => self.log.quarantine_from(0),
                Cut::From(segment, at) => self.log.cut(segment, at),
            };
            self.report.quarantined_bytes = self.opening.disk("cut the log", cut)?;
        }
        let last_ms = self
            .log
            .segments
            .iter()
            .map(|state| state.last_ms)
            .max()
            .unwrap_or(0);
        // Nothing tells when what was lost at the end was made.
        let until_ms = self.lost.map_or(last_ms, |_| u64::MAX);
        self.log.shared.damage().lost_until(until_ms);
        let end = self.log.appended.lsn.max(self.commit);
        self.log.appended = Position {
            epoch: self.log.epochs.epoch_at(end),
            lsn: end,
        };
        Ok((self.log, self.report))
    }
}
