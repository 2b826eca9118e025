//! What a path names that is no file: a device, or a pipe. It is written as it is, never replaced.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A device or a pipe that is open; clones share it.
#[derive(Clone, Debug)]
pub struct Special {
    path: PathBuf,
    file: Arc<File>,
}

/// Why it does not take bytes.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step} {}", path.display())]
pub struct SpecialError {
    step: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Special {
    /// Whether something is there that is neither a file nor a folder; links are followed.
    pub fn is_at(path: &Path) -> bool {
        path.metadata()
            .is_ok_and(|found| !found.is_file() && !found.is_dir())
    }

    /// Opens it. A pipe is waited for until somebody reads it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(path: &Path) -> Result<Self, SpecialError> {
        let opened = OpenOptions::new().write(true).open(path);
        let file = opened.map_err(failed("open", path))?;
        Ok(Special {
            path: path.to_owned(),
            file: Arc::new(file),
        })
    }

    /// Writes bytes.
    ///
    /// # Errors
    /// When it does not take them.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), SpecialError> {
        let written = self.file.write_all(bytes);
        written.map_err(failed("write", &self.path))
    }
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SpecialError {
    let path = path.to_owned();
    move |source| SpecialError { step, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, `-o` renames a file over a device, or writes into a file in place.
    #[test]
    fn files_and_folders_are_nothing_special() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        assert!(!Special::is_at(&file) && !Special::is_at(folder.path()));
        std::fs::write(&file, b"x").expect("writes");
        assert!(!Special::is_at(&file));
        let link = folder.path().join("null");
        std::os::unix::fs::symlink("/dev/null", &link).expect("links");
        assert!(Special::is_at(&link) && Special::is_at(Path::new("/dev/null")));
        let mut null = Special::open(&link).expect("opens");
        null.write(b"gone").expect("writes");
    }
}
