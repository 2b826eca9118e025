//! One simulated file: what a reader sees now, what a power loss would leave for certain, and the
//! changes in between. It knows no names, and of faults only which sectors are broken.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use super::faults::Failure;
use super::pages::{
    PAGE_BYTES, PAGE_SECTORS, Page, Pages, SECTOR_BYTES, Touched, pages_touching, pages_within,
};
use super::random::Random;

/// One change that is not durable yet.
#[derive(Clone, Debug)]
enum Change {
    Write {
        page: u64,
        sectors: u8,
        bytes: Arc<Page>,
    },
    Allocate {
        page: u64,
    },
    Punch {
        page: u64,
    },
    Grow {
        len: u64,
    },
    Cut {
        len: u64,
    },
}

/// A file's two states. `now` is `durable` with all of `unsynced` applied, except for what a
/// failed sync dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    now: Pages,
    durable: Pages,
    unsynced: Vec<Change>,
    /// Where sectors that cannot be read begin.
    broken: BTreeSet<u64>,
    /// How many handles are open: an unlinked file lives until the last is dropped.
    pub(super) handles: u64,
}

/// Which of the unsynced changes reach the disk.
enum Fate<'a> {
    All,
    /// Each by chance, `eighths` times out of eight.
    Some {
        random: &'a mut Random,
        eighths: u64,
    },
}

impl<'a> Fate<'a> {
    /// A fate with odds of its own, so that "nothing", "all" and "half of it" all occur often.
    fn draw(random: &'a mut Random) -> Self {
        let eighths = random.between(0, 8);
        Fate::Some { random, eighths }
    }

    fn persists(&mut self) -> bool {
        match self {
            Fate::All => true,
            Fate::Some { random, eighths } => random.chance(*eighths, 8),
        }
    }

    fn up_to(&mut self, most: u64) -> u64 {
        match self {
            Fate::All => most,
            Fate::Some { random, .. } => random.between(0, most),
        }
    }

    /// A length from `low` to `high`, both ends being as likely as all between them.
    fn length(&mut self, low: u64, high: u64) -> u64 {
        match self {
            Fate::All => high,
            Fate::Some { random, .. } => match random.below(3) {
                0 => low,
                1 => high,
                _ => random.between(low, high),
            },
        }
    }
}

impl Inode {
    /// What a reader sees.
    pub(super) fn now(&self) -> &Pages {
        &self.now
    }

    /// How many bytes of a write get through: a page of which only a part is written is read before.
    pub(super) fn writable(&self, offset: u64, bytes: u64) -> u64 {
        let end = offset + bytes;
        let whole = pages_within(offset, bytes);
        let is_lost = |page: &u64| {
            let sectors = page * PAGE_BYTES..(page + 1) * PAGE_BYTES;
            !whole.contains(page) && self.broken.range(sectors).next().is_some()
        };
        let lost = pages_touching(offset, bytes).find(is_lost);
        lost.map_or(end, |page| (page * PAGE_BYTES).max(offset)) - offset
    }

    pub(super) fn write(&mut self, buf: &[u8], offset: u64) {
        let before = self.now.len();
        // A disk puts a sector that is written again elsewhere.
        let end = offset + buf.len() as u64;
        self.broken
            .retain(|sector| *sector < offset || sector + SECTOR_BYTES as u64 > end);
        for Touched {
            page,
            sectors,
            bytes,
        } in self.now.write(buf, offset)
        {
            self.unsynced.push(Change::Write {
                page,
                sectors,
                bytes,
            });
        }
        self.note_growth(before);
    }

    pub(super) fn allocate(&mut self, offset: u64, bytes: u64) {
        for page in self.now.holes(offset, bytes) {
            self.now.fill(page);
            self.unsynced.push(Change::Allocate { page });
        }
        if offset + bytes > self.now.len() {
            self.set_len(offset + bytes);
        }
    }

    /// Frees whole pages, and writes zeros over the rest of the range, as Linux does.
    pub(super) fn punch(&mut self, offset: u64, bytes: u64) {
        let whole = pages_within(offset, bytes);
        let end = (offset + bytes).min(self.now.len());
        for page in pages_touching(offset, end.saturating_sub(offset)) {
            if whole.contains(&page) {
                continue;
            }
            let (start, stop) = (page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
            let (start, stop) = (start.max(offset), stop.min(end));
            self.write(&vec![0; (stop - start) as usize], start);
        }
        self.broken
            .retain(|sector| !whole.contains(&(sector / PAGE_BYTES)));
        for page in whole {
            self.now.punch(page);
            self.unsynced.push(Change::Punch { page });
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        let before = self.now.len();
        if len < before {
            self.unsynced.push(Change::Cut { len });
        }
        self.now.set_len(len);
        self.note_growth(before);
    }

    fn note_growth(&mut self, before: u64) {
        if self.now.len() > before {
            self.unsynced.push(Change::Grow {
                len: self.now.len(),
            });
        }
    }

    /// Makes everything durable.
    pub(super) fn sync(&mut self) {
        apply(&mut self.durable, &self.unsynced, Fate::All);
        self.unsynced.clear();
    }

    /// Drops what is cached of a range and clean: what is read next is what the disk has.
    pub(super) fn drop_clean(&mut self, offset: u64, bytes: u64) {
        let dirty: BTreeSet<u64> = self.unsynced.iter().filter_map(Change::page).collect();
        for page in pages_within(offset, bytes.next_multiple_of(PAGE_BYTES)) {
            if !dirty.contains(&page) && page * PAGE_BYTES < self.now.len() {
                self.now.copy_page(page, &self.durable);
            }
        }
        self.now.set_len(self.now.len());
    }

    /// What the kernel does when write-back fails: some of it reached the disk, all of it counts
    /// as clean from now on, and what did not arrive may vanish from sight at any time.
    pub(super) fn fail_sync(&mut self, random: &mut Random) {
        apply(&mut self.durable, &self.unsynced, Fate::draw(random));
        let dirty: BTreeSet<u64> = self.unsynced.iter().filter_map(Change::page).collect();
        for page in dirty {
            if random.chance(1, 2) {
                self.now.copy_page(page, &self.durable);
            }
        }
        self.unsynced.clear();
        // A length is the file system's own record: it is not dropped, and waits for a sync.
        let len = self.now.len();
        self.now.set_len(len);
        match self.durable.len().cmp(&len) {
            Ordering::Less => self.unsynced.push(Change::Grow { len }),
            Ordering::Equal => {}
            Ordering::Greater => self.unsynced.push(Change::Cut { len }),
        }
    }

    /// The file after a power loss.
    pub(super) fn crash(&self, random: &mut Random) -> Inode {
        let mut durable = self.durable.clone();
        apply(&mut durable, &self.unsynced, Fate::draw(random));
        Inode {
            now: durable.clone(),
            durable,
            unsynced: Vec::new(),
            broken: self.broken.clone(),
            handles: 0,
        }
    }

    /// The file after its process was killed: as it was, and nobody has it open.
    pub(super) fn kill(&self) -> Inode {
        Inode {
            handles: 0,
            ..self.clone()
        }
    }

    /// The sector at `offset` cannot be read from now on, until all of it is written again.
    pub(super) fn break_sector(&mut self, offset: u64) {
        let sector = SECTOR_BYTES as u64;
        self.broken.insert(offset / sector * sector);
    }

    /// The sector at `offset` can be read again, and holds what it held.
    pub(super) fn heal_sector(&mut self, offset: u64) {
        let sector = SECTOR_BYTES as u64;
        self.broken.remove(&(offset / sector * sector));
    }

    /// What a reader sees of a range, if all sectors of it can be read.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let first = offset.saturating_sub(SECTOR_BYTES as u64 - 1);
        let mut broken = self.broken.range(first..offset + buf.len() as u64);
        match broken.next() {
            None => Ok(self.now.read(buf, offset)),
            Some(_) => Err(Failure::Io.into()),
        }
    }

    /// Inverts a bit of the file on the disk; the cache has it as it was.
    pub(super) fn rot(&mut self, offset: u64, bit: u8) -> bool {
        self.durable.flip(offset, bit)
    }

    /// Inverts a bit of the file, on the disk and in the cache.
    pub(super) fn flip(&mut self, offset: u64, bit: u8) -> bool {
        let flipped = self.durable.flip(offset, bit);
        self.now.flip(offset, bit) && flipped
    }
}

impl Change {
    fn page(&self) -> Option<u64> {
        match self {
            Change::Write { page, .. } | Change::Allocate { page } | Change::Punch { page } => {
                Some(*page)
            }
            Change::Grow { .. } | Change::Cut { .. } => None,
        }
    }
}

/// Applies those of `changes` to `pages` that fate lets through.
///
/// Sectors arrive in any subset and any order. Metadata is journaled: a file that was cut has, on
/// the disk, first its old end, then its new one; and pages that were freed and written again
/// show the new bytes only when they were freed on the disk, too.
fn apply(pages: &mut Pages, changes: &[Change], mut fate: Fate<'_>) {
    let cuts = changes
        .iter()
        .filter(|change| matches!(change, Change::Cut { .. }))
        .count() as u64;
    let mut cuts_left = fate.up_to(cuts);
    let (mut low, mut high) = (pages.len(), pages.len());
    let mut out_of_reach = OutOfReach {
        pages: BTreeSet::new(),
        from: u64::MAX,
    };
    for change in changes {
        match change {
            Change::Write { page, .. } | Change::Allocate { page }
                if out_of_reach.contains(*page) => {}
            Change::Write {
                page,
                sectors,
                bytes,
            } => {
                let arrived = (0..PAGE_SECTORS)
                    .filter(|sector| sectors & (1 << sector) != 0 && fate.persists())
                    .fold(0, |mask, sector| mask | 1 << sector);
                if arrived != 0 {
                    pages.put_sectors(*page, arrived, bytes);
                }
            }
            Change::Allocate { page } => {
                if fate.persists() {
                    pages.fill(*page);
                }
            }
            Change::Punch { page } => {
                if fate.persists() {
                    pages.punch(*page);
                    out_of_reach.pages.remove(page);
                } else {
                    out_of_reach.pages.insert(*page);
                }
            }
            Change::Grow { len } if out_of_reach.from == u64::MAX => high = *len,
            Change::Grow { .. } => {}
            Change::Cut { len } if cuts_left > 0 => {
                cuts_left -= 1;
                pages.set_len(*len);
                (low, high) = (*len, *len);
            }
            Change::Cut { len } => out_of_reach.cut_at(*len),
        }
    }
    let len = fate.length(low, high);
    pages.set_len(len);
}

/// Pages whose freeing did not reach the disk: what was written there afterwards did not either.
struct OutOfReach {
    pages: BTreeSet<u64>,
    from: u64,
}

impl OutOfReach {
    fn contains(&self, page: u64) -> bool {
        page >= self.from || self.pages.contains(&page)
    }

    fn cut_at(&mut self, len: u64) {
        self.from = self.from.min(len.div_ceil(PAGE_BYTES));
    }
}
