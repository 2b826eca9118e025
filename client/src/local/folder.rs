//! Files that are written into one folder.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder cannot be made.
    #[error("cannot make {}", path.display())]
    Make {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file in it cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// Writes files, each of a plain name, into a folder, which is made if it is missing; what is there
/// under these names is replaced. Gives back their paths.
///
/// # Errors
/// At the first one that cannot be written.
pub fn write_all(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<Vec<PathBuf>, FolderError> {
    std::fs::create_dir_all(folder).map_err(|source| FolderError::Make {
        path: folder.to_owned(),
        source,
    })?;
    let write = |(name, bytes): &(String, Vec<u8>)| {
        let path = folder.join(name);
        match std::fs::write(&path, bytes) {
            Ok(()) => Ok(path),
            Err(source) => Err(FolderError::Write { path, source }),
        }
    };
    files.iter().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, an old page stays beside the new ones, or a failure looks like success.
    #[test]
    fn files_are_written_and_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let into = folder.path().join("a/b");
        let file = |text: &str| vec![("x.1".to_owned(), text.as_bytes().to_vec())];
        let written = write_all(&into, &file("one")).expect("writes");
        assert_eq!(written, [into.join("x.1")]);
        write_all(&into, &file("two")).expect("writes again");
        assert_eq!(std::fs::read(into.join("x.1")).expect("reads"), b"two");
        let below_a_file = write_all(&into.join("x.1"), &file("three"));
        assert!(matches!(below_a_file, Err(FolderError::Make { .. })));
        std::fs::create_dir(into.join("y.1")).expect("makes");
        let on_a_folder = write_all(&into, &[("y.1".to_owned(), Vec::new())]);
        assert!(matches!(on_a_folder, Err(FolderError::Write { .. })));
    }
}
