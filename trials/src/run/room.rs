//! Whether a disk has room for a run. Nodes leave a share of their disk free, so that they refuse what is
//! uploaded long before it is full; in the middle of a measurement that says nothing of why.

use std::path::Path;

use anyhow::{Context, bail};
use bytesize::ByteSize;
use wire::limits::{STORAGE_PERCENT_PLACED_MAX, STORAGE_PERCENT_STORED_MAX};

/// How large a disk is, and what of it is free, in bytes.
#[derive(Clone, Copy, Debug)]
struct Disk {
    total: u64,
    free: u64,
}

/// Checks that the disk of a folder has room for about so many bytes, written by nodes.
///
/// # Errors
/// When it has not, or cannot be asked; the message says how much is free and how much must be.
pub fn check(folder: &Path, bytes: u64) -> anyhow::Result<()> {
    let answer = rustix::fs::statvfs(folder);
    let answer = answer.with_context(|| format!("cannot ask the disk of {}", folder.display()))?;
    let disk = Disk {
        total: answer.f_blocks.saturating_mul(answer.f_frsize),
        free: answer.f_bavail.saturating_mul(answer.f_frsize),
    };
    match disk.lack(bytes) {
        Some(why) => bail!("the disk of {} is {why}", folder.display()),
        None => Ok(()),
    }
}

impl Disk {
    /// Why it has no room for so many bytes; nothing when it has.
    fn lack(self, bytes: u64) -> Option<String> {
        let reserve = self.total - share(self.total, STORAGE_PERCENT_STORED_MAX);
        // Placement fills only that much of what may be stored.
        let of = STORAGE_PERCENT_PLACED_MAX / STORAGE_PERCENT_STORED_MAX;
        let needed = reserve.saturating_add((bytes as f64 / of) as u64);
        (self.free < needed).then(|| {
            let [free, needed, bytes, reserve] = [self.free, needed, bytes, reserve].map(told);
            format!(
                "too full for a measurement: {free} are free, and {needed} must be, since up to {bytes} are \
                 written and nodes leave {reserve} free"
            )
        })
    }
}

fn share(bytes: u64, percent: f64) -> u64 {
    (bytes as f64 * (percent / 100.0)) as u64
}

/// A size for people.
fn told(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    // If this fails, a measurement on a full disk ends with a shard to which nobody writes, or one that has
    // room is refused.
    #[test]
    fn a_disk_on_which_nodes_would_refuse_uploads_is_too_full() {
        let lack = |free| {
            let disk = Disk {
                total: 200 * GIB,
                free,
            };
            disk.lack(9 * GIB)
        };
        assert_eq!(lack(20 * GIB), None);
        let why = "too full for a measurement: 13.0 GiB are free, and 19.5 GiB must be, since up to 9.0 GiB \
                   are written and nodes leave 10.0 GiB free";
        assert_eq!(lack(13 * GIB).as_deref(), Some(why));
        assert!(lack(19 * GIB).is_some() && lack(0).is_some());
    }

    // If this fails, no measurement begins.
    #[test]
    fn a_disk_is_asked() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(check(folder.path(), u64::MAX / 2).is_err());
        assert!(check(&folder.path().join("none"), 0).is_err());
    }
}
