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

/// What a new file beside this one grants. The process, the folder and the file system have a say in it, so
/// one is made to see, and removed.
///
/// # Errors
/// When none can be made there.
pub(super) fn granted_by_new(beside: &Path) -> io::Result<Permissions> {
    let path = beside.with_extension("new");
    let mut options = OpenOptions::new();
    let made = options
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    let found = made.metadata();
    std::fs::remove_file(&path)?;
    Ok(granted(&found?))
}
