//! Sectors that a disk cannot read. A file system that notices bit rot itself tells of it in the same
//! way.

use std::io;

use rustix::io::Errno;

use super::File;

/// The system reads a file in pages of this length, at multiples of it.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// No disk reads less at a time, and some file systems keep it apart in the system's pages.
pub(crate) const SECTOR_BYTES: u64 = 512;

/// Whether what was asked for is lost, as opposed to a disk that has failed to answer.
pub(crate) fn is_unreadable(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

/// The error of who reads such a sector.
pub(crate) fn unreadable() -> io::Error {
    Errno::IO.into()
}

/// What a range has that can be read.
pub(crate) struct Readable {
    /// How many bytes of it the file has.
    pub(crate) bytes: usize,
    /// Where the units begin that cannot be read: their part of the buffer stays as it was.
    pub(crate) unreadable: Vec<u64>,
}

/// As [`File::read_at`], but unit by unit of this length, at multiples of it.
///
/// # Errors
/// When the disk fails in another way.
pub(crate) fn read_by_unit(
    file: &dyn File,
    buf: &mut [u8],
    offset: u64,
    unit_bytes: u64,
) -> io::Result<Readable> {
    let end = file.len()?.saturating_sub(offset).min(buf.len() as u64) as usize;
    let mut readable = Readable {
        bytes: 0,
        unreadable: Vec::new(),
    };
    while readable.bytes < end {
        let at = offset + readable.bytes as u64;
        let begin = at / unit_bytes * unit_bytes;
        let length = (end - readable.bytes).min((begin + unit_bytes - at) as usize);
        let unit = &mut buf[readable.bytes..readable.bytes + length];
        match file.read_at(unit, at) {
            Ok(read) if read < length => {
                readable.bytes += read;
                break;
            }
            Ok(_) => {}
            Err(error) if is_unreadable(&error) => readable.unreadable.push(begin),
            Err(error) => return Err(error),
        }
        readable.bytes += length;
    }
    Ok(readable)
}
