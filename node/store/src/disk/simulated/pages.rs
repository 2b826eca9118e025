//! The bytes of one simulated file: sparse pages and a length. It knows no durability.

use std::collections::BTreeMap;
use std::sync::Arc;

/// What a file system allocates and gives back at once.
pub(super) use crate::disk::PAGE_BYTES;
/// What a disk writes at once: it is never torn.
pub(super) const SECTOR_BYTES: usize = crate::disk::SECTOR_BYTES as usize;
/// The sectors of one page; a mask of them fits a `u8`.
pub(super) const PAGE_SECTORS: usize = PAGE_BYTES as usize / SECTOR_BYTES;

/// One page's bytes.
pub(super) type Page = [u8; PAGE_BYTES as usize];

/// A page that a write touched.
pub(super) struct Touched {
    /// The page's number in its file.
    pub(super) page: u64,
    /// Bit n: sector n of the page was written.
    pub(super) sectors: u8,
    /// The whole page after the write.
    pub(super) bytes: Arc<Page>,
}

/// A file's length and its allocated pages; an absent page is a hole, and reads as zeros.
///
/// Bytes of the last page beyond the length are zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    len: u64,
    pages: BTreeMap<u64, Arc<Page>>,
}

impl Pages {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The bytes of all pages that are not holes.
    pub(super) fn allocated(&self) -> u64 {
        self.pages.len() as u64 * PAGE_BYTES
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let bytes = self.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        let mut done = 0;
        while done < bytes {
            let (page, start, part) = piece(offset + done as u64, bytes - done);
            let into = &mut buf[done..done + part];
            match self.pages.get(&page) {
                Some(held) => into.copy_from_slice(&held[start..start + part]),
                None => into.fill(0),
            }
            done += part;
        }
        bytes
    }

    /// Writes `buf`, extending the length if need be, and says what was touched.
    pub(super) fn write(&mut self, buf: &[u8], offset: u64) -> Vec<Touched> {
        let mut touched = Vec::new();
        let mut done = 0;
        while done < buf.len() {
            let (page, start, part) = piece(offset + done as u64, buf.len() - done);
            let held = self
                .pages
                .entry(page)
                .or_insert_with(|| Arc::new([0; PAGE_BYTES as usize]));
            Arc::make_mut(held)[start..start + part].copy_from_slice(&buf[done..done + part]);
            touched.push(Touched {
                page,
                sectors: sectors_of(start, part),
                bytes: Arc::clone(held),
            });
            done += part;
        }
        if !buf.is_empty() {
            self.len = self.len.max(offset + buf.len() as u64);
        }
        touched
    }

    /// Puts the named sectors of `bytes` in place; the length stays.
    pub(super) fn put_sectors(&mut self, page: u64, sectors: u8, bytes: &Arc<Page>) {
        if sectors == u8::MAX {
            self.pages.insert(page, Arc::clone(bytes));
            return;
        }
        let held = self
            .pages
            .entry(page)
            .or_insert_with(|| Arc::new([0; PAGE_BYTES as usize]));
        let held = Arc::make_mut(held);
        for sector in (0..PAGE_SECTORS).filter(|sector| sectors & (1 << sector) != 0) {
            let range = sector * SECTOR_BYTES..(sector + 1) * SECTOR_BYTES;
            held[range.clone()].copy_from_slice(&bytes[range]);
        }
    }

    /// The pages of this range that are holes.
    pub(super) fn holes(&self, offset: u64, bytes: u64) -> Vec<u64> {
        pages_touching(offset, bytes)
            .filter(|page| !self.pages.contains_key(page))
            .collect()
    }

    /// Turns a hole into a page of zeros.
    pub(super) fn fill(&mut self, page: u64) {
        self.pages
            .entry(page)
            .or_insert_with(|| Arc::new([0; PAGE_BYTES as usize]));
    }

    /// Turns a page into a hole.
    pub(super) fn punch(&mut self, page: u64) {
        self.pages.remove(&page);
    }

    /// Makes this page the same as in `other`, hole or not.
    pub(super) fn copy_page(&mut self, page: u64, other: &Pages) {
        match other.pages.get(&page) {
            Some(held) => self.pages.insert(page, Arc::clone(held)),
            None => self.pages.remove(&page),
        };
    }

    /// Sets the length; what lies beyond it is gone.
    pub(super) fn set_len(&mut self, len: u64) {
        self.len = len;
        self.pages.split_off(&len.div_ceil(PAGE_BYTES));
        let tail = (len % PAGE_BYTES) as usize;
        if let Some(last) = self.pages.get_mut(&(len / PAGE_BYTES))
            && last[tail..].iter().any(|byte| *byte != 0)
        {
            Arc::make_mut(last)[tail..].fill(0);
        }
    }

    /// Inverts one bit; a hole or an offset beyond the length has none.
    pub(super) fn flip(&mut self, offset: u64, bit: u8) -> bool {
        match self.pages.get_mut(&(offset / PAGE_BYTES)) {
            Some(page) if offset < self.len => {
                Arc::make_mut(page)[(offset % PAGE_BYTES) as usize] ^= 1 << bit;
                true
            }
            _ => false,
        }
    }
}

/// The first part of a range that lies in one page: the page, where in it, how many bytes.
fn piece(offset: u64, bytes: usize) -> (u64, usize, usize) {
    let start = (offset % PAGE_BYTES) as usize;
    (
        offset / PAGE_BYTES,
        start,
        bytes.min(PAGE_BYTES as usize - start),
    )
}

/// The mask of the sectors that a part of a page touches.
fn sectors_of(start: usize, bytes: usize) -> u8 {
    let (first, last) = (start / SECTOR_BYTES, (start + bytes - 1) / SECTOR_BYTES);
    (first..=last).fold(0, |mask, sector| mask | 1 << sector)
}

/// The numbers of all pages that a range touches.
pub(super) fn pages_touching(offset: u64, bytes: u64) -> std::ops::Range<u64> {
    offset / PAGE_BYTES..(offset + bytes).div_ceil(PAGE_BYTES)
}

/// The numbers of all pages that lie wholly in a range.
pub(super) fn pages_within(offset: u64, bytes: u64) -> std::ops::Range<u64> {
    let (first, end) = (offset.div_ceil(PAGE_BYTES), (offset + bytes) / PAGE_BYTES);
    first..end.max(first)
}
