//! Small files that are there after a power loss, or are not there at all.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// Replaces `path` by `bytes`; on return the new content, and its name, are durable.
///
/// A crash leaves the old file or the new one: the bytes are synced under another name, `.spare`,
/// before the two names are exchanged, and the directory after it. What was replaced is the next
/// spare. So a small file takes no new block, and can be replaced on a disk that is full.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let spare = path.with_extension("spare");
    write(&spare, bytes)?;
    match renameat_with(CWD, &spare, CWD, path, RenameFlags::EXCHANGE) {
        Ok(()) => return sync_parent(path),
        // It is new, or this file system exchanges nothing.
        Err(Errno::NOENT | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        Err(error) => return Err(error.into()),
    }
    fs::rename(&spare, path)?;
    sync_parent(path)?;
    match write(&spare, bytes).and_then(|()| sync_parent(&spare)) {
        Err(error) if error.kind() == ErrorKind::StorageFull => Ok(()),
        other => other,
    }
}

/// Writes a file over what it was, block by block; durable on return but for its name.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    file.write_all_at(bytes, 0)?;
    file.set_len(bytes.len() as u64)?;
    file.sync_all()
}

/// Makes the directory entry of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    // If this fails, a node forgets which cluster it belongs to.
    #[test]
    fn a_replaced_file_reads_as_written_whatever_its_length_was() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.json");
        for text in ["old", "new", "longer than those", "x", ""] {
            replace(&path, text.as_bytes()).expect("writes");
            assert_eq!(fs::read(&path).expect("reads"), text.as_bytes());
        }
        let names = fs::read_dir(dir.path()).expect("lists");
        assert_eq!(names.count(), 2, "the file and its spare");
    }

    // If this fails, a node on a full disk cannot be started, or obeys no leader any more.
    #[test]
    fn replacing_takes_no_new_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.json");
        let number = |name: &str| fs::metadata(dir.path().join(name)).expect("is there").ino();
        replace(&path, b"first").expect("writes");
        let both = [number("a.json"), number("a.spare")];
        replace(&path, b"second").expect("writes");
        assert_eq!([number("a.spare"), number("a.json")], both);
        replace(&path, b"third").expect("writes");
        assert_eq!([number("a.json"), number("a.spare")], both);
        assert_eq!(fs::read(&path).expect("reads"), b"third");
    }

    // If this fails, a crash in the middle of a replacement is followed by one that fails.
    #[test]
    fn what_a_crash_left_in_the_spare_is_written_over() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.json");
        fs::write(&path, b"kept").expect("writes");
        fs::write(dir.path().join("a.spare"), vec![7; 10_000]).expect("writes");
        replace(&path, b"new").expect("writes");
        assert_eq!(fs::read(&path).expect("reads"), b"new");
    }
}
