//! Deleting what was kept long enough, on a thread of its own: a large file takes a disk a while, and
//! nobody's change is to wait for it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

/// A thread that deletes, until it is done or told to end.
pub(crate) struct Purge {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Purge {
    /// Begins to delete these files and folders. Nobody else may need them, or what is in them.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(due: Vec<PathBuf>) -> io::Result<Purge> {
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = std::thread::Builder::new()
            .name("node-purge".to_owned())
            .spawn(move || delete_all(&due, &told))?;
        Ok(Purge { ends, thread })
    }

    /// Whether it has deleted all that can be.
    pub(crate) fn is_done(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends it after the file at hand. What is left of a folder was changed just now, and stays a day
    /// longer.
    pub(crate) fn end(self) {
        self.ends.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            tracing::error!("the thread that deletes panicked");
        }
    }
}

/// Deletes files and folders, until told to end.
pub(super) fn delete_all(due: &[PathBuf], ends: &AtomicBool) {
    for path in due {
        match delete(path, ends) {
            Ok(true) => tracing::info!(path = %path.display(), "kept long enough, deleted"),
            Ok(false) => return,
            // Its replica left meanwhile, and took it along.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot be deleted");
            }
        }
    }
}

/// Deletes a file, or a folder file by file; false when it was told to end before.
fn delete(path: &Path, ends: &AtomicBool) -> io::Result<bool> {
    if ends.load(Ordering::Relaxed) {
        return Ok(false);
    }
    if fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            if !delete(&entry?.path(), ends)? {
                return Ok(false);
            }
        }
        fs::remove_dir(path)?;
        return Ok(true);
    }
    let begun = Instant::now();
    fs::remove_file(path)?;
    // Syncs share the file system's journal with this: they have it to themselves for as long.
    std::thread::sleep(begun.elapsed());
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a node that is stopped goes on deleting for minutes, or one that is not leaves
    // something behind.
    #[test]
    fn all_is_deleted_unless_it_is_told_to_end() {
        let root = tempfile::tempdir().expect("a folder");
        let (file, folder) = (root.path().join("file"), root.path().join("folder"));
        fs::create_dir_all(folder.join("log/empty")).expect("a folder");
        for path in [&file, &folder.join("replica.json"), &folder.join("log/1")] {
            fs::write(path, "bytes").expect("writes");
        }
        let due = [root.path().join("gone"), file.clone(), folder.clone()];
        delete_all(&due, &AtomicBool::new(true));
        assert!(file.exists() && folder.join("log/1").exists());
        delete_all(&due, &AtomicBool::new(false));
        assert!(!file.exists() && !folder.exists());
    }
}
