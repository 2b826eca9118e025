//! The first pass: which segment files there are, and what the highest commit lsn is.

use std::io;
use std::sync::Arc;

use wire::Lsn;

use super::{OpenError, Opening};
use crate::disk::{File, is_unreadable};
use crate::record::head::DecodeHeadError;
use crate::segment::entry::Entry;
use crate::segment::header::{DecodeSegmentError, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::segment::index_file::SegmentIndex;
use crate::segment::name::{SegmentName, TEMPORARY};
use crate::segment::scan::{Found, Scan, Suspect};

/// A segment file, as far as the first pass reads it.
pub(super) struct Surveyed {
    pub(super) name: SegmentName,
    pub(super) file: Arc<dyn File>,
    /// None when it is damaged.
    pub(super) header: Option<SegmentHeader>,
    /// The highest commit lsn in it.
    pub(super) commit: Lsn,
    /// What a scan found; none when an index file tells it, which the second pass loads.
    pub(super) items: Option<Vec<Item>>,
}

/// A record, or a place where one should be.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// An intact head, and its commit lsn.
    Record(Entry, Lsn),
    /// No record can be read here.
    Damage(Damage),
}

/// A place where a record should be.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    /// In bytes.
    pub(super) start: u64,
    /// Start and lsn of the next record that can be read.
    pub(super) next: Option<(u64, Lsn)>,
    /// What the damaged headers seem to be about.
    pub(super) suspects: Vec<Suspect>,
    /// The disk cannot read some of it: that may be whole, and read on another day.
    pub(super) is_unreadable: bool,
}

impl Damage {
    /// Whether the headers that seem to be there are those of all records from `first` to `last`: as many,
    /// or one behind the other from the first byte to the next record.
    pub(super) fn tells_all(&self, first: Lsn, last: Lsn) -> bool {
        let end = self.suspects.iter().fold(self.start, |at, suspect| {
            if suspect.start == at { suspect.end } else { at }
        });
        self.suspects.len() as u64 > last.0 - first.0
            || self.next.is_some_and(|(start, _)| start == end)
    }
}

impl Opening<'_> {
    /// The files that belong to the log, in order. What was replaced, or never finished, is
    /// removed.
    pub(super) fn survey(&self) -> Result<Vec<Surveyed>, OpenError> {
        let mut found = Vec::new();
        for file_name in self.disk("list", self.disk.list(self.dir))? {
            if file_name.ends_with(TEMPORARY) {
                self.disk(
                    "remove a leftover",
                    self.disk.remove(&self.dir.join(file_name)),
                )?;
            } else if let Some(name) = SegmentName::parse(&file_name) {
                found.push(self.identify(name)?);
            }
        }
        found.sort_by_key(|piece| piece.name);
        let covers: Vec<SegmentHeader> = found.iter().filter_map(|piece| piece.header).collect();
        let replaced = |name: SegmentName| {
            covers.iter().any(|header| {
                header.generation > name.generation
                    && header.first <= name.first
                    && name.first <= header.last
            })
        };
        if found.iter().any(|piece| replaced(piece.name)) {
            // A killed process may not have made the rewritten segment's name durable: before that,
            // what it replaces must stay.
            self.disk("sync the folder", self.disk.sync_dir(self.dir))?;
        }
        let mut kept = Vec::new();
        for mut piece in found {
            if replaced(piece.name) {
                self.remove(piece.name)?;
            } else {
                self.read(&mut piece)?;
                kept.push(piece);
            }
        }
        Ok(kept)
    }

    fn identify(&self, name: SegmentName) -> Result<Surveyed, OpenError> {
        let file = self.disk("open a segment", self.disk.open(&name.path(self.dir)))?;
        let mut page = vec![0; SEGMENT_HEADER_BYTES as usize];
        let read = match file.read_at(&mut page, 0) {
            Err(error) if is_unreadable(&error) => None,
            read => Some(self.disk("read a segment", read)?),
        };
        let decode = |read: usize| SegmentHeader::decode(&page[..read], self.log);
        let header = match read.map_or(Err(DecodeSegmentError::Damaged), decode) {
            Ok(header) => Some(header),
            // Records say themselves which log and which lsn they are, and the name says the rest.
            Err(DecodeSegmentError::Damaged) => None,
            Err(error) => {
                return Err(OpenError::Segment {
                    file: name.file(),
                    error,
                });
            }
        };
        Ok(Surveyed {
            name,
            file,
            header,
            commit: Lsn::ZERO,
            items: None,
        })
    }

    fn remove(&self, name: SegmentName) -> Result<(), OpenError> {
        self.disk(
            "remove a replaced segment",
            self.disk.remove(&name.path(self.dir)),
        )?;
        match self.disk.remove(&name.index_path(self.dir)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => self.disk("remove a replaced index", other),
        }
    }

    fn read(&self, piece: &mut Surveyed) -> Result<(), OpenError> {
        if let Some(commit) = SegmentIndex::peek(&**self.disk, self.dir, self.log, piece.name) {
            piece.commit = commit;
            return Ok(());
        }
        // What a crashed process left in the cache becomes durable only here; and what a failed
        // sync left there without its being on the disk goes, so that the disk itself is read.
        let length = self.disk("measure a segment", piece.file.len())?;
        self.disk("sync a segment", piece.file.sync_data())?;
        piece.file.begin_write_back(0, length);
        let items = self.scan(piece)?;
        piece.commit = highest_commit(&items);
        piece.items = Some(items);
        Ok(())
    }

    /// Reads a segment from its bytes alone.
    pub(super) fn scan(&self, piece: &Surveyed) -> Result<Vec<Item>, OpenError> {
        let scan = Scan::new(&*piece.file, self.log, SEGMENT_HEADER_BYTES);
        let mut scan = self.disk("scan a segment", scan)?;
        let mut last = piece.name.first.previous();
        let mut items = Vec::new();
        loop {
            let start = scan.position();
            match self.disk("scan a segment", scan.next())? {
                Found::Record { entry, head } if entry.lsn > last => {
                    last = entry.lsn;
                    items.push(Item::Record(entry, head.commit));
                }
                Found::End => return Ok(items),
                Found::Damage(error @ DecodeHeadError::Unknown { .. }) => {
                    let file = piece.name.file();
                    return Err(OpenError::Record {
                        file,
                        offset: start,
                        error,
                    });
                }
                // An intact record out of order is a stale one.
                Found::Record { .. } | Found::Damage(_) => {
                    let mut suspects = Vec::new();
                    let next = scan.resynchronise(start, last, &mut suspects);
                    let next = self.disk("scan a segment", next)?;
                    items.push(Item::Damage(Damage {
                        start,
                        next,
                        suspects,
                        is_unreadable: scan.take_passed(),
                    }));
                    if next.is_none() {
                        return Ok(items);
                    }
                }
            }
        }
    }
}

fn highest_commit(items: &[Item]) -> Lsn {
    let commits = items.iter().map(|item| match item {
        Item::Record(_, commit) => *commit,
        Item::Damage(_) => Lsn::ZERO,
    });
    commits.max().unwrap_or(Lsn::ZERO)
}
