//! Where a download goes: to standard output, to a device, to a named file, or into a folder.

use std::io;
use std::path::{Path, PathBuf};

use super::part::folder_of;
use super::safe_name::safe_file_name;
use super::special::Special;

/// Links that are followed one after the other, as Linux does it.
const LINKS_MAX: usize = 40;

/// Where downloads go, as the user said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// This device or pipe.
    Special(PathBuf),
    /// This file, replacing one that is there: it was named outright.
    File(PathBuf),
    /// A file of the content's own name in this folder.
    Folder(PathBuf),
}

impl Destination {
    /// Reads the value of `-o`: `-`, an existing folder or a path that ends in a slash, a device or a
    /// pipe, or a file, at which a link may point; the current folder without any.
    pub fn from_argument(argument: Option<&Path>) -> Self {
        match argument {
            None => Destination::Folder(PathBuf::from(".")),
            Some(path) if path == Path::new("-") => Destination::Stdout,
            Some(path) if path.is_dir() || ends_in_slash(path) => {
                Destination::Folder(path.to_owned())
            }
            Some(path) if Special::is_at(path) => Destination::Special(path.to_owned()),
            Some(path) => Destination::File(path.to_owned()),
        }
    }

    /// The file to write for a content; none for what is no file.
    pub fn target(&self, stored: &str, id: &str) -> Option<PathBuf> {
        match self {
            Destination::Stdout | Destination::Special(_) => None,
            Destination::File(path) => Some(path.clone()),
            Destination::Folder(folder) => Some(folder.join(safe_file_name(stored, id))),
        }
    }

    /// The file that is replaced at a target: what was named outright may be a link to it, and stays
    /// one, also where there is no such file yet.
    ///
    /// # Errors
    /// When links lead in a circle, or where nobody may look.
    pub fn replaced(&self, target: &Path) -> io::Result<PathBuf> {
        let mut file = target.to_owned();
        if !matches!(self, Destination::File(_)) {
            return Ok(file);
        }
        for _ in 0..LINKS_MAX {
            if !file.is_symlink() {
                return Ok(file);
            }
            let to = file.read_link()?;
            file = folder_of(&file).join(to);
        }
        Err(io::ErrorKind::TooManyLinks.into())
    }

    /// Makes the folder that the file will lie in, if the user named a folder that is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn prepare(&self) -> io::Result<()> {
        match self {
            Destination::Folder(folder) => std::fs::create_dir_all(folder),
            Destination::Stdout | Destination::Special(_) | Destination::File(_) => Ok(()),
        }
    }
}

fn ends_in_slash(path: &Path) -> bool {
    path.as_os_str()
        .as_encoded_bytes()
        .last()
        .is_some_and(|&byte| std::path::is_separator(byte.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, `-o` writes a file where the user meant a folder, or the other way round.
    #[test]
    fn the_argument_says_what_it_means() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |path: &Path| Destination::from_argument(Some(path));
        assert_eq!(
            Destination::from_argument(None),
            Destination::Folder(".".into())
        );
        assert_eq!(at(Path::new("-")), Destination::Stdout);
        assert_eq!(at(folder.path()), Destination::Folder(folder.path().into()));
        assert_eq!(at(Path::new("new/")), Destination::Folder("new/".into()));
        assert_eq!(at(Path::new("new")), Destination::File("new".into()));
        let null = Path::new("/dev/null");
        assert_eq!(at(null), Destination::Special(null.into()));
    }

    // If this fails, a stored name leads out of the folder that the user chose.
    #[test]
    fn targets_lie_in_the_folder() {
        let folder = Destination::Folder("in".into());
        assert_eq!(folder.target("../../x", "id"), Some(PathBuf::from("in/x")));
        assert_eq!(folder.target("..", "id"), Some(PathBuf::from("in/id")));
        assert_eq!(
            Destination::File("f".into()).target("x", "id"),
            Some(PathBuf::from("f"))
        );
        assert_eq!(Destination::Stdout.target("x", "id"), None);
    }
}
