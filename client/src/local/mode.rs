//! Who may read a download: while it is made, and as the file that it becomes.

use std::fs::{Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// For its owner alone.
const PRIVATE: u32 = 0o600;

/// Who may read, write and run a file, without what makes it run as somebody else: that was said of other
/// bytes.
const PERMISSIONS: u32 = 0o777;

/// Makes files that only their owner may read.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(PRIVATE);
    options
}

/// What a file's owner and others may do, as a file that takes its place lets them.
pub(super) fn granted(by: &Metadata) -> Permissions {
    PermissionsExt::from_mode(by.permissions().mode() & PERMISSIONS)
}

/// Whether it lets others than its owner do something.
pub(super) fn is_shared(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & PERMISSIONS & !PRIVATE != 0
}

/// What a new file beside this one grants.
///
/// # Errors
/// When none can be made there.
pub(super) fn granted_by_new(beside: &Path) -> io::Result<Permissions> {
    probe(beside, OpenOptions::new())
}

/// What a new file beside this one grants that only its owner may read, as far as the file system knows that.
///
/// # Errors
/// When none can be made there.
pub(super) fn granted_by_private(beside: &Path) -> io::Result<Permissions> {
    probe(beside, private())
}

/// The process, the folder and the file system have a say in what a file grants, so one is made to see, and
/// removed. One that is there was left behind; or it is a link, which is not followed.
fn probe(beside: &Path, mut options: OpenOptions) -> io::Result<Permissions> {
    let path = beside.with_extension("new");
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let made = options.write(true).create_new(true).open(&path)?;
    let found = made.metadata();
    std::fs::remove_file(&path)?;
    Ok(granted(&found?))
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a download empties a file of the user's at which something of the probe's name points.
    #[test]
    fn what_a_leftover_points_at_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (part, probe) = (folder.path().join("a.part"), folder.path().join("a.new"));
        let mine = folder.path().join("mine");
        std::fs::write(&mine, b"mine").expect("writes");
        std::os::unix::fs::symlink(&mine, &probe).expect("links");
        let granted = granted_by_new(&part).expect("probes");
        assert_eq!(std::fs::read(&mine).expect("reads"), b"mine");
        std::fs::write(&probe, b"left by one that was killed").expect("writes");
        assert_eq!(granted_by_new(&part).expect("probes"), granted);
        assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 1);
    }
}
