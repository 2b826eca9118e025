//! The `.part` file: what is here already of a download, under a name that says of which one.
//!
//! It lies beside its target and is named `ID.HASH.part`, with the first 16 digits of the content's
//! hash: a later version of the content never continues an earlier one's bytes. It is locked while
//! it is written, only its owner may read it, and it takes its target's name, and gets others who may,
//! only when it is whole and on the disk.

use std::fs::{File, Metadata, Permissions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use wire::{Checksum, ContentId};

use super::mode;

const HASH_DIGITS: usize = 16;

/// A download that is not whole yet; it stays on the disk when this is dropped.
#[derive(Debug)]
pub struct Part {
    path: PathBuf,
    file: File,
    bytes: u64,
}

/// Whether a finished download may take the place of a file that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is replaced.
    Replace,
    /// It stays, and the download fails.
    Keep,
}

/// Why a part cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// A step of the file system failed.
    #[error("cannot {step} {}", path.display())]
    File {
        /// What was tried.
        step: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process writes it.
    #[error("{} is being written by another download", .0.display())]
    Busy(PathBuf),
    /// A file is where the download should go.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// A device, a pipe or a link is where the download or its part should go.
    #[error("{} is no file", .0.display())]
    Special(PathBuf),
}

impl Part {
    /// Opens the part of this content in `folder`, or makes an empty one, and locks it.
    ///
    /// # Errors
    /// When the file cannot be opened, or another process holds it.
    pub fn open(folder: &Path, id: ContentId, checksum: Checksum) -> Result<Self, PartError> {
        let path = folder.join(format!("{id}.{}.part", &checksum.hex()[..HASH_DIGITS]));
        let mut file = open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(PartError::Busy(path)),
            Err(TryLockError::Error(source)) => return Err(failed("lock", &path)(source)),
        }
        if !is_named(&file, &path) {
            return Err(PartError::Special(path));
        }
        let bytes = file.seek(SeekFrom::End(0)).map_err(failed("read", &path))?;
        let part = Part { path, file, bytes };
        part.close_to_others()?;
        Ok(part)
    }

    /// Its name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The hash state of what it holds.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn hash(&mut self) -> Result<blake3::Hasher, PartError> {
        let mut hasher = blake3::Hasher::new();
        self.file
            .rewind()
            .and_then(|()| hasher.update_reader(&self.file).map(|_| ()))
            .and_then(|()| self.file.seek(SeekFrom::Start(self.bytes)))
            .map_err(failed("read", &self.path))?;
        Ok(hasher)
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// When they cannot be written; then it ends where the write stopped.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), PartError> {
        self.file
            .write_all(bytes)
            .map_err(failed("write", &self.path))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Forgets what it holds.
    ///
    /// # Errors
    /// When it cannot be truncated.
    pub fn clear(&mut self) -> Result<(), PartError> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .map_err(failed("truncate", &self.path))?;
        self.bytes = 0;
        Ok(())
    }

    /// Removes it.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn discard(self) -> Result<(), PartError> {
        std::fs::remove_file(&self.path).map_err(failed("remove", &self.path))
    }

    /// Syncs it and gives it the target's name, which then survives a power loss. Who may read a file that
    /// it replaces may read it, and nobody else: a secret stays one. A new file is like any that is made there.
    ///
    /// # Errors
    /// When a step fails, or the target exists and should be kept; the part stays.
    pub fn finish(self, target: &Path, existing: Existing) -> Result<(), PartError> {
        let replaced = target.symlink_metadata().ok();
        if existing == Existing::Keep && replaced.is_some() {
            return Err(PartError::Exists(target.to_owned()));
        }
        let replaced = replaced.filter(|found| found.is_file());
        let permissions = replaced.map_or_else(
            || mode::granted_by_new(&self.path).map_err(failed("make a file beside", &self.path)),
            |replaced| Ok(mode::granted(&replaced)),
        );
        self.take(permissions?)?;
        self.file.sync_all().map_err(failed("sync", &self.path))?;
        match existing {
            Existing::Replace => {
                std::fs::rename(&self.path, target).map_err(failed("rename to", target))?;
            }
            Existing::Keep => self.take_free_name(target)?,
        }
        sync_folder(target)
    }

    /// One that was there before may have been made or changed by anybody.
    fn close_to_others(&self) -> Result<(), PartError> {
        let have = self.file.metadata().map_err(failed("read", &self.path))?;
        if !mode::is_shared(&have) {
            return Ok(());
        }
        let closed = mode::granted_by_private(&self.path);
        self.take(closed.map_err(failed("make a file beside", &self.path))?)
    }

    fn take(&self, permissions: Permissions) -> Result<(), PartError> {
        let have = self.file.metadata().map_err(failed("read", &self.path))?;
        // Not every file system has more than one kind.
        if mode::granted(&have) == permissions {
            return Ok(());
        }
        let taken = self.file.set_permissions(permissions);
        taken.map_err(failed("set the permissions of", &self.path))
    }

    /// A hard link fails where a file is, even if it came this very moment; a rename would not.
    fn take_free_name(&self, target: &Path) -> Result<(), PartError> {
        match std::fs::hard_link(&self.path, target) {
            Ok(()) => std::fs::remove_file(&self.path).map_err(failed("remove", &self.path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(PartError::Exists(target.to_owned()))
            }
            // A file system without hard links.
            Err(_) => match target.symlink_metadata() {
                Ok(_) => Err(PartError::Exists(target.to_owned())),
                Err(_) => std::fs::rename(&self.path, target).map_err(failed("rename to", target)),
            },
        }
    }
}

/// Opens a part, or makes it; a link is not followed, as a file would be made where it points.
fn open(path: &Path) -> Result<File, PartError> {
    let mut options = mode::private();
    options.read(true).write(true).create(true).truncate(false);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
        .open(path)
        .map_err(|source| match path.is_symlink() {
            true => PartError::Special(path.to_owned()),
            false => failed("open", path)(source),
        })
}

/// Whether an open file has this name, and not a link to it, or another file since it was opened.
fn is_named(file: &File, path: &Path) -> bool {
    let place = |found: Metadata| (found.dev(), found.ino());
    let (opened, named) = (file.metadata(), path.symlink_metadata());
    let is_same = |opened, named| place(opened) == place(named);
    opened.is_ok_and(|opened| named.is_ok_and(|named| is_same(opened, named)))
}

/// The folder that a target lies in.
pub fn folder_of(target: &Path) -> &Path {
    match target.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn sync_folder(target: &Path) -> Result<(), PartError> {
    let folder = folder_of(target);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed("sync", folder))
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PartError {
    let path = path.to_owned();
    move |source| PartError::File { step, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::ShardNo;

    fn id() -> ContentId {
        ContentId::mint(ShardNo(1), 1_769_860_800_123, 5)
    }

    fn open(folder: &Path) -> Part {
        Part::open(folder, id(), Checksum([0xab; 32])).expect("opens")
    }

    // If this fails, an interrupted download starts from zero, or goes on at the wrong byte.
    #[test]
    fn a_part_goes_on_where_it_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut part = open(folder.path());
        part.append(b"hello ").expect("writes");
        drop(part);
        let mut part = open(folder.path());
        assert_eq!(part.bytes(), 6);
        assert_eq!(
            part.hash().expect("hashes").finalize(),
            blake3::hash(b"hello ")
        );
        part.append(b"world").expect("writes");
        let target = folder.path().join("target");
        part.finish(&target, Existing::Keep).expect("finishes");
        assert_eq!(std::fs::read(&target).expect("reads"), b"hello world");
        assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 1);
    }

    // If this fails, two versions are mixed in one file.
    #[test]
    fn another_version_has_another_part() {
        let folder = tempfile::tempdir().expect("a folder");
        open(folder.path()).append(b"old").expect("writes");
        let other = Part::open(folder.path(), id(), Checksum([1; 32])).expect("opens");
        assert_eq!(other.bytes(), 0);
        assert!(
            other
                .path()
                .to_string_lossy()
                .ends_with(".0101010101010101.part")
        );
    }

    // If this fails, two downloads of the same content write over each other.
    #[test]
    fn one_process_writes_a_part() {
        let folder = tempfile::tempdir().expect("a folder");
        let _held = open(folder.path());
        let second = Part::open(folder.path(), id(), Checksum([0xab; 32]));
        assert!(matches!(second, Err(PartError::Busy(_))));
    }

    // If this fails, a download destroys a file that the user had not named.
    #[test]
    fn an_existing_file_is_replaced_only_when_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("target");
        std::fs::write(&target, b"mine").expect("writes");
        let mut part = open(folder.path());
        part.append(b"new").expect("writes");
        let refused = part.finish(&target, Existing::Keep);
        assert!(matches!(refused, Err(PartError::Exists(_))));
        assert_eq!(std::fs::read(&target).expect("reads"), b"mine");
        let part = open(folder.path());
        assert_eq!(part.bytes(), 3, "what was downloaded is kept");
        assert_eq!(mode(part.path()), 0o600, "and kept to its owner");
        part.finish(&target, Existing::Replace).expect("finishes");
        assert_eq!(std::fs::read(&target).expect("reads"), b"new");
    }

    fn mode(path: &Path) -> u32 {
        use std::os::unix::fs::PermissionsExt;
        path.metadata().expect("is there").permissions().mode() & 0o7777
    }

    // If this fails, a download into a file that only its owner may read opens it to everybody, while it is
    // made or then; or somebody else's program, which runs as its owner, becomes what was downloaded.
    #[test]
    fn a_file_that_is_replaced_keeps_its_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("target");
        for (before, after) in [
            (0o600, 0o600),
            (0o440, 0o440),
            (0o755, 0o755),
            (0o6755, 0o755),
        ] {
            std::fs::write(&target, b"old").expect("writes");
            let permissions = PermissionsExt::from_mode(before);
            std::fs::set_permissions(&target, permissions).expect("sets");
            let mut part = open(folder.path());
            part.append(b"new").expect("writes");
            assert_eq!(mode(part.path()), 0o600, "while it is made");
            part.finish(&target, Existing::Replace).expect("finishes");
            assert_eq!(mode(&target), after, "{before:o}");
            assert_eq!(std::fs::read(&target).expect("reads"), b"new");
            std::fs::remove_file(&target).expect("removes");
        }
    }

    // If this fails, others read a secret while it is downloaded, because its part was there before.
    #[test]
    fn a_part_that_others_may_read_is_closed_to_them() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let path = open(folder.path()).path().to_owned();
        let permissions = PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(&path, permissions).expect("sets");
        assert_eq!(mode(open(folder.path()).path()), 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 1);
    }

    // If this fails, a download writes into a file that a link of its part's name points at.
    #[test]
    fn a_link_is_no_part() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = open(folder.path()).path().to_owned();
        let mine = folder.path().join("mine");
        std::fs::rename(&path, &mine).expect("renames");
        std::os::unix::fs::symlink(&mine, &path).expect("links");
        let opened = Part::open(folder.path(), id(), Checksum([0xab; 32]));
        assert!(matches!(opened, Err(PartError::Special(at)) if at == path));
        assert_eq!(std::fs::read(&mine).expect("reads"), b"");
    }

    // If this fails, whoever may make a link in the folder of a download decides where a file appears.
    #[test]
    fn nothing_is_made_where_a_link_points() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = open(folder.path()).path().to_owned();
        std::fs::remove_file(&path).expect("removes");
        let nowhere = folder.path().join("nowhere");
        std::os::unix::fs::symlink(&nowhere, &path).expect("links");
        let opened = Part::open(folder.path(), id(), Checksum([0xab; 32]));
        assert!(matches!(opened, Err(PartError::Special(at)) if at == path));
        assert!(!nowhere.exists());
    }

    // If this fails, nobody but who downloaded it can read a new file where others' files can be read.
    #[test]
    fn a_new_file_is_like_any_that_is_made_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let other = folder.path().join("other");
        std::fs::write(&other, b"").expect("writes");
        for existing in [Existing::Keep, Existing::Replace] {
            let target = folder.path().join(format!("{existing:?}"));
            let mut part = open(folder.path());
            part.append(b"new").expect("writes");
            assert_eq!(mode(part.path()), 0o600, "while it is made");
            part.finish(&target, existing).expect("finishes");
            assert_eq!(mode(&target), mode(&other));
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 3);
    }

    // If this fails, a damaged part spoils every later attempt.
    #[test]
    fn a_cleared_part_starts_from_zero() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut part = open(folder.path());
        part.append(b"bad").expect("writes");
        part.clear().expect("clears");
        part.append(b"ok").expect("writes");
        assert_eq!(part.hash().expect("hashes").finalize(), blake3::hash(b"ok"));
        part.discard().expect("removes");
        assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 0);
    }
}
