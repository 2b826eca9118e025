//! A sealed segment's index file: where its records are, so that a restart reads no data.
//!
//! ```text
//!  0  8  magic "AqIndex1"
//!  8  8  log id
//! 16  8  the first lsn covered
//! 24  8  the last lsn covered
//! 32  8  the highest commit lsn in a header
//! 40  8  where the last record ends in the segment, in bytes
//! 48  4  generation
//! 52  4  number of entries
//! 56  4  CRC-32C over all entries
//! 60  4  CRC-32C over bytes 0..60
//! 64  …  entries of 64 bytes, in the order of lsns
//! ```
//!
//! An index file that is missing, damaged or cannot be read is made again from its segment: nothing is
//! known only here.

use std::io;
use std::path::Path;

use wire::Lsn;

use super::entry::{ENTRY_BYTES, Entry};
use super::name::SegmentName;
use crate::checksum::crc32c;
use crate::disk::{Disk, File, read_exact_at};
use crate::record::head::{u32_at, u64_at};

const MAGIC: [u8; 8] = *b"AqIndex1";
const HEADER_BYTES: usize = 64;

/// What an index file says of its segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    pub(crate) first: Lsn,
    pub(crate) last: Lsn,
    pub(crate) commit: Lsn,
    pub(crate) end: u64,
    pub(crate) entries: Vec<Entry>,
}

impl SegmentIndex {
    fn encode(&self, log: u64, generation: u32) -> Vec<u8> {
        let mut out = vec![0; HEADER_BYTES];
        out.reserve(self.entries.len() * ENTRY_BYTES);
        for entry in &self.entries {
            out.extend_from_slice(&entry.encode());
        }
        let count = u32::try_from(self.entries.len()).expect("a segment has fewer records");
        out[..8].copy_from_slice(&MAGIC);
        let fields = [log, self.first.0, self.last.0, self.commit.0, self.end];
        for (field, at) in fields.into_iter().zip((8..).step_by(8)) {
            out[at..at + 8].copy_from_slice(&field.to_le_bytes());
        }
        out[48..52].copy_from_slice(&generation.to_le_bytes());
        out[52..56].copy_from_slice(&count.to_le_bytes());
        let entries = crc32c(&out[HEADER_BYTES..]);
        out[56..60].copy_from_slice(&entries.to_le_bytes());
        let header = crc32c(&out[..60]);
        out[60..64].copy_from_slice(&header.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8], log: u64, name: SegmentName) -> Option<SegmentIndex> {
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        let (entries, rest) = bytes[HEADER_BYTES..].as_chunks::<ENTRY_BYTES>();
        let whole = rest.is_empty()
            && entries.len() == u32_at(header, 52) as usize
            && crc32c(&bytes[HEADER_BYTES..]) == u32_at(header, 56);
        if !whole || !is_header(header, log, name) {
            return None;
        }
        Some(SegmentIndex {
            first: Lsn(u64_at(header, 16)),
            last: Lsn(u64_at(header, 24)),
            commit: Lsn(u64_at(header, 32)),
            end: u64_at(header, 40),
            entries: entries.iter().map(Entry::decode).collect::<Option<_>>()?,
        })
    }

    /// Writes the file whole or not at all; returns its length after it is durable.
    ///
    /// # Errors
    /// As the disk gives them; a temporary file may be left, which the next start removes.
    pub(crate) fn persist(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        log: u64,
        name: SegmentName,
    ) -> io::Result<u64> {
        let path = name.index_path(dir);
        let temporary = SegmentName::temporary_path(&path);
        match disk.remove(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let bytes = self.encode(log, name.generation);
        let file = disk.create(&temporary)?;
        file.allocate(0, bytes.len() as u64)?;
        file.write_at(&bytes, 0)?;
        file.sync_data()?;
        disk.rename(&temporary, &path)?;
        disk.sync_dir(dir)?;
        Ok(bytes.len() as u64)
    }

    /// Reads the file; none when it is missing, cannot be read, is damaged or another segment's.
    pub(crate) fn load(
        disk: &dyn Disk,
        dir: &Path,
        log: u64,
        name: SegmentName,
    ) -> Option<SegmentIndex> {
        let file = disk.open(&name.index_path(dir)).ok()?;
        Self::decode(&read_all(&*file).ok()?, log, name)
    }

    /// Reads the highest commit lsn alone; none when the file is missing, or its header cannot be
    /// read or is damaged.
    pub(crate) fn peek(disk: &dyn Disk, dir: &Path, log: u64, name: SegmentName) -> Option<Lsn> {
        let file = disk.open(&name.index_path(dir)).ok()?;
        let mut header = [0; HEADER_BYTES];
        let read = file.read_at(&mut header, 0).ok()?;
        let known = read == HEADER_BYTES && is_header(&header, log, name);
        known.then(|| Lsn(u64_at(&header, 32)))
    }

    /// The file's length, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        (HEADER_BYTES + self.entries.len() * ENTRY_BYTES) as u64
    }
}

fn is_header(header: &[u8; HEADER_BYTES], log: u64, name: SegmentName) -> bool {
    header[..8] == MAGIC
        && crc32c(&header[..60]) == u32_at(header, 60)
        && u64_at(header, 8) == log
        && u64_at(header, 16) == name.first.0
        && u32_at(header, 48) == name.generation
}

fn read_all(file: &dyn File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; length];
    read_exact_at(file, &mut bytes, 0)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::FileSystem;
    use crate::record::kind::Kind;
    use crate::record::layout::Lengths;
    use wire::Epoch;

    fn example() -> SegmentIndex {
        let entry = |lsn, start| Entry {
            lsn: Lsn(lsn),
            start,
            lengths: Lengths {
                metadata: 100,
                payload: 1000,
            },
            id: [7; 16],
            upload: Lsn(0),
            epoch: Epoch(0),
            time_ms: 5,
            supersedes: Lsn(1),
            kind: Kind::Put,
        };
        SegmentIndex {
            first: Lsn(3),
            last: Lsn(9),
            commit: Lsn(8),
            end: 8192,
            entries: vec![entry(3, 4096), entry(9, 6000)],
        }
    }

    const NAME: SegmentName = SegmentName {
        first: Lsn(3),
        generation: 1,
    };

    // If this fails, every restart reads all data again.
    #[test]
    fn what_was_persisted_is_loaded() {
        let dir = tempfile::tempdir().expect("a folder");
        let written = example()
            .persist(&FileSystem, dir.path(), 5, NAME)
            .expect("writes");
        assert_eq!(written, example().encode(5, 1).len() as u64);
        assert_eq!(written, example().bytes());
        let load = |log| SegmentIndex::load(&FileSystem, dir.path(), log, NAME);
        assert_eq!(load(5), Some(example()));
        assert_eq!(load(6), None);
    }

    // If this fails, a damaged index file hides contents.
    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let bytes = example().encode(5, 1);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert_eq!(SegmentIndex::decode(&bad, 5, NAME), None, "byte {at}");
            assert_eq!(
                SegmentIndex::decode(&bytes[..at], 5, NAME),
                None,
                "length {at}"
            );
        }
    }
}
