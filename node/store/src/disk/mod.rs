//! The file layer: everything the store asks of a disk, behind two traits.
//!
//! Two implementations pass one contract suite: the real [`FileSystem`], and a simulated disk that
//! keeps synced and unsynced state apart, so that crashes can be tried by the thousand.

mod file_system;
#[cfg(any(test, feature = "simulation"))]
pub mod simulated;
mod unreadable;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use file_system::FileSystem;
pub(crate) use unreadable::{PAGE_BYTES, SECTOR_BYTES, is_unreadable, read_by_unit, unreadable};

/// A file system, as far as the store uses one.
///
/// Changes of a directory (`create`, `rename`, `remove`, `create_dir`) survive a power loss only
/// after [`Disk::sync_dir`] of that directory. A rename is atomic: after a crash the old or the
/// new name is there, whole.
pub trait Disk: Debug + Send + Sync {
    /// Makes an empty file for reading and writing.
    ///
    /// # Errors
    /// `AlreadyExists` when the path is taken; others as the disk gives them.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// `NotFound` when there is none; others as the disk gives them.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// The names of the files and directories in a directory, in no particular order.
    ///
    /// # Errors
    /// `NotFound` when there is no such directory; others as the disk gives them.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes a directory; one that is there already is fine. Its parent must exist.
    ///
    /// # Errors
    /// As the disk gives them.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Renames a file, replacing what has that name, atomically.
    ///
    /// # Errors
    /// `NotFound` when there is no such file; others as the disk gives them.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name. Whoever has it open reads on.
    ///
    /// # Errors
    /// `NotFound` when there is no such file; others as the disk gives them.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns after all changes of this directory are durable.
    ///
    /// # Errors
    /// As the disk gives them; the changes may then be lost at a crash.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file. Any number of threads may use it at once.
///
/// Written data survives a power loss only after [`File::sync_data`]. Without it any subset of
/// the written sectors may survive, in any order.
#[expect(
    clippy::len_without_is_empty,
    reason = "nobody asks whether a file is empty"
)]
pub trait File: Debug + Send + Sync {
    /// Reads into all of `buf`, as far as the file goes; returns how many bytes were read.
    ///
    /// # Errors
    /// As the disk gives them.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// As [`File::read_at`], but only if no disk needs to be waited for; none otherwise.
    ///
    /// # Errors
    /// As the disk gives them.
    fn read_cached_at(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>>;

    /// Writes all of `buf`.
    ///
    /// # Errors
    /// As the disk gives them; any part may then have been written.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// Asks the disk to begin writing this range out, without waiting, so that a later sync finds
    /// less to do; what is written out already leaves the cache. Promises nothing.
    fn begin_write_back(&self, offset: u64, bytes: u64);

    /// Reserves space for this range and extends the file over it; what was not written before
    /// reads as zeros. Writes into the range then do not fail for lack of space.
    ///
    /// # Errors
    /// `StorageFull` when there is no room: nothing is written then, and nothing is broken.
    fn allocate(&self, offset: u64, bytes: u64) -> io::Result<()>;

    /// Gives the whole 4 KiB pages of this range back to the disk; they read as zeros. May become
    /// durable at any time from now.
    ///
    /// # Errors
    /// As the disk gives them; the range may then be partly given back.
    fn punch(&self, offset: u64, bytes: u64) -> io::Result<()>;

    /// Cuts the file (and its reserved space) to this length, or extends it with zeros.
    ///
    /// # Errors
    /// As the disk gives them.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// Returns after the file's data, length and holes are durable.
    ///
    /// # Errors
    /// As the disk gives them. What was not synced before is then lost or not, and a later sync
    /// that succeeds proves nothing: never call it again after an error.
    fn sync_data(&self) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// As the disk gives them.
    fn len(&self) -> io::Result<u64>;

    /// What the file takes on the disk, in bytes, holes not counted.
    ///
    /// # Errors
    /// As the disk gives them.
    fn allocated(&self) -> io::Result<u64>;
}

/// Reads exactly `buf.len()` bytes.
///
/// # Errors
/// `UnexpectedEof` when the file ends before; others as the disk gives them.
pub fn read_exact_at(file: &dyn File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    let read = file.read_at(buf, offset)?;
    if read == buf.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}
