//! The real file system. It knows Linux's calls and their promises, and nothing of logs.

use std::fs;
use std::io::{self, ErrorKind, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::{Disk, File};

/// The operating system's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileSystem;

#[derive(Debug)]
struct OpenFile(fs::File);

/// `st_blocks` counts in units of 512 bytes, whatever the block size is (stat(2)).
const STAT_BLOCK_BYTES: u64 = 512;

/// A quota that is used up is a full disk, to all who ask.
fn told_full(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ErrorKind::StorageFull.into(),
        _ => error,
    }
}

impl Disk for FileSystem {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(told_full)?;
        Ok(Arc::new(OpenFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(OpenFile(file)))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // A name that is not UTF-8 is not one of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        match fs::create_dir(dir) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
            other => other.map_err(told_full),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to).map_err(told_full)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }
}

impl File for OpenFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buf.len() {
            match self.0.read_at(&mut buf[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(bytes) => read += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn read_cached_at(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        let mut read = 0;
        while read < buf.len() {
            let rest = &mut [IoSliceMut::new(&mut buf[read..])];
            match preadv2(&self.0, rest, offset + read as u64, ReadWriteFlags::NOWAIT) {
                Ok(0) => break,
                Ok(bytes) => read += bytes,
                Err(Errno::INTR) => {}
                // OPNOTSUPP: this file system cannot say; the caller then reads the patient way.
                Err(Errno::AGAIN | Errno::OPNOTSUPP) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(read))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }

    fn begin_write_back(&self, offset: u64, bytes: u64) {
        // Neither std nor rustix offers sync_file_range. On Linux this advice begins write-back of
        // dirty pages without waiting, and drops only pages that are clean already. It is a hint:
        // where it is refused, the later sync does all of the work.
        fadvise(&self.0, offset, NonZeroU64::new(bytes), Advice::DontNeed).unwrap_or_default();
    }

    fn allocate(&self, offset: u64, bytes: u64) -> io::Result<()> {
        match fallocate(&self.0, FallocateFlags::empty(), offset, bytes) {
            Ok(()) => Ok(()),
            // Space cannot be reserved on this file system (tmpfs of old, some network ones): the
            // length alone is extended, and a full disk shows as a failed write.
            Err(Errno::OPNOTSUPP) => {
                let end = offset + bytes;
                if self.len()? < end {
                    self.0.set_len(end)
                } else {
                    Ok(())
                }
            }
            Err(error) => Err(told_full(error.into())),
        }
    }

    fn punch(&self, offset: u64, bytes: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.0, flags, offset, bytes) {
            // Holes are not to be had on this file system: compaction gives the space back.
            Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn allocated(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.blocks() * STAT_BLOCK_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a quota that is used up stops a shard where a full disk only refuses what is new.
    #[test]
    fn a_quota_that_is_used_up_is_a_full_disk() {
        for full in [Errno::NOSPC, Errno::DQUOT] {
            let told = told_full(full.into());
            assert_eq!(told.kind(), ErrorKind::StorageFull, "{full}");
        }
        let other = told_full(Errno::IO.into());
        assert_eq!(other.raw_os_error(), Some(Errno::IO.raw_os_error()));
    }
}
