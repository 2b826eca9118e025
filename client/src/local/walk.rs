//! The files under a folder, with the names that they are uploaded under.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use wire::name::{RefuseName, check_file_name};

/// One file to upload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// What it is stored as: its own name; in a folder the folder's name and the path below it,
    /// with slashes.
    pub name: String,
}

/// Why something is not uploaded.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// It cannot be looked at.
    #[error("cannot read {}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder, without `--recursive`.
    #[error("{} is a folder", .0.display())]
    Folder(PathBuf),
    /// A link inside a folder, a pipe, a socket, a device.
    #[error("{} is neither a file nor a folder", .0.display())]
    Other(PathBuf),
    /// Its name cannot be stored.
    #[error("{} cannot be stored under its name", path.display())]
    Name {
        /// What.
        path: PathBuf,
        /// Why.
        source: RefuseName,
    },
    /// Its name is not Unicode.
    #[error("the name of {} is not UTF-8", .0.display())]
    NotUtf8(PathBuf),
}

/// Whether folders are walked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folders {
    /// All that is below them.
    Walk,
    /// They are an error.
    Refuse,
}

/// The files that a path of the command line stands for, sorted by path. Links are followed when
/// they are named, never inside a folder: they could lead in circles, or anywhere.
pub fn walk(path: &Path, folders: Folders) -> Vec<Result<Found, WalkError>> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(source) => {
            return vec![Err(WalkError::Read {
                path: path.to_owned(),
                source,
            })];
        }
    };
    let name = own_name(path);
    if metadata.is_file() {
        return vec![found(path, name.as_deref())];
    }
    if !metadata.is_dir() {
        return vec![Err(WalkError::Other(path.to_owned()))];
    }
    if folders == Folders::Refuse {
        return vec![Err(WalkError::Folder(path.to_owned()))];
    }
    let mut all = Vec::new();
    let mut pending = vec![(path.to_owned(), name)];
    while let Some((folder, prefix)) = pending.pop() {
        if let Err(source) = read_folder(&folder, prefix.as_deref(), &mut pending, &mut all) {
            all.push(Err(WalkError::Read {
                path: folder,
                source,
            }));
        }
    }
    all.sort_by(|a, b| path_of(a).cmp(path_of(b)));
    all
}

type Pending = Vec<(PathBuf, Option<String>)>;

fn read_folder(
    folder: &Path,
    prefix: Option<&str>,
    pending: &mut Pending,
    all: &mut Vec<Result<Found, WalkError>>,
) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let name = prefixed(prefix, &entry.file_name());
        if kind.is_dir() {
            pending.push((entry.path(), name));
        } else if kind.is_file() {
            all.push(found(&entry.path(), name.as_deref()));
        } else {
            all.push(Err(WalkError::Other(entry.path())));
        }
    }
    Ok(())
}

fn path_of(item: &Result<Found, WalkError>) -> &Path {
    match item {
        Ok(found) => &found.path,
        Err(
            WalkError::Read { path, .. }
            | WalkError::Folder(path)
            | WalkError::Other(path)
            | WalkError::Name { path, .. }
            | WalkError::NotUtf8(path),
        ) => path,
    }
}

/// The last component of a path; of `.` or `..` that of what it stands for, or nothing at the root.
fn own_name(path: &Path) -> Option<String> {
    match path.file_name() {
        Some(name) => name.to_str().map(str::to_owned),
        None => {
            let real = path.canonicalize().ok()?;
            Some(
                real.file_name()
                    .map(OsStr::to_str)
                    .unwrap_or(Some(""))?
                    .to_owned(),
            )
        }
    }
}

/// None when a component is not UTF-8: the file under it is then reported by its path.
fn prefixed(prefix: Option<&str>, name: &OsStr) -> Option<String> {
    match (prefix?, name.to_str()?) {
        ("", name) => Some(name.to_owned()),
        (prefix, name) => Some(format!("{prefix}/{name}")),
    }
}

fn found(path: &Path, name: Option<&str>) -> Result<Found, WalkError> {
    let path = path.to_owned();
    match name {
        None => Err(WalkError::NotUtf8(path)),
        Some(name) => match check_file_name(name) {
            Ok(()) => Ok(Found {
                path,
                name: name.to_owned(),
            }),
            Err(source) => Err(WalkError::Name { path, source }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path, folders: Folders) -> Vec<String> {
        walk(path, folders)
            .into_iter()
            .map(|item| item.map_or_else(|error| format!("! {error}"), |found| found.name))
            .collect()
    }

    // If this fails, `upload -r` forgets files, or stores them under names that hide where they were.
    #[test]
    fn a_folder_gives_its_files_in_order_with_their_paths() {
        let folder = tempfile::tempdir().expect("a folder");
        let top = folder.path().join("top");
        std::fs::create_dir_all(top.join("b/c")).expect("makes");
        for name in ["z", "a", "b/c/d", "b/e"] {
            std::fs::write(top.join(name), name).expect("writes");
        }
        assert_eq!(
            names(&top, Folders::Walk),
            ["top/a", "top/b/c/d", "top/b/e", "top/z"]
        );
        assert_eq!(names(&top.join("b/e"), Folders::Refuse), ["e"]);
        assert_eq!(names(&top.join("b/."), Folders::Walk), ["b/c/d", "b/e"]);
    }

    // If this fails, a folder is silently skipped, or a missing file ends everything.
    #[test]
    fn what_is_not_uploaded_is_reported() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(names(folder.path(), Folders::Refuse)[0].ends_with("is a folder"));
        assert!(names(&folder.path().join("no"), Folders::Walk)[0].starts_with("! cannot read"));
    }

    // If this fails, links lead the walk out of the folder, or round in circles.
    #[cfg(unix)]
    #[test]
    fn links_are_followed_only_when_named() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().expect("a folder");
        let top = folder.path().join("top");
        std::fs::create_dir(&top).expect("makes");
        std::os::unix::fs::symlink(&top, top.join("circle")).expect("links");
        std::fs::write(top.join(OsStr::from_bytes(b"\xff")), b"").expect("writes");
        std::fs::write(top.join("a\nb"), b"").expect("writes");
        let listed = names(&top, Folders::Walk);
        assert_eq!(listed.len(), 3);
        assert!(
            listed[0].ends_with("cannot be stored under its name"),
            "{listed:?}"
        );
        assert!(
            listed[1].ends_with("neither a file nor a folder"),
            "{listed:?}"
        );
        assert!(listed[2].ends_with("is not UTF-8"), "{listed:?}");
        std::os::unix::fs::symlink(top.join("a\nb"), folder.path().join("named")).expect("links");
        assert_eq!(
            names(&folder.path().join("named"), Folders::Refuse),
            ["named"]
        );
    }
}
