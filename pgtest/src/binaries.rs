//! Where PostgreSQL's programs are.

use std::path::{Path, PathBuf};

use super::StartError;

const NEEDED: [&str; 4] = ["initdb", "postgres", "psql", "pg_dump"];

/// The folder that holds all programs that are needed.
pub(crate) struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Looks into PATH, then into `/usr/lib/postgresql/*/bin`, the newest version first.
    pub(crate) fn find() -> Result<Self, StartError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
        folders.extend(installed());
        let complete = |folder: &&PathBuf| missing(folder).is_empty();
        match folders.iter().find(complete) {
            Some(folder) => Ok(Binaries {
                folder: folder.clone(),
            }),
            None => {
                let nearest = folders
                    .iter()
                    .map(|folder| missing(folder))
                    .min_by_key(Vec::len);
                let missing = nearest.unwrap_or_else(|| NEEDED.to_vec()).join(", ");
                Err(StartError::NotInstalled { missing })
            }
        }
    }

    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

fn missing(folder: &Path) -> Vec<&'static str> {
    NEEDED
        .into_iter()
        .filter(|program| !folder.join(program).is_file())
        .collect()
}

fn installed() -> Vec<PathBuf> {
    let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") else {
        return Vec::new();
    };
    let mut found: Vec<(u32, PathBuf)> = versions
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, folder)| folder).collect()
}
