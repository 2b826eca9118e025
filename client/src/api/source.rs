//! Where an upload's bytes come from, and their hash, made while they are read.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wire::Checksum;

use super::meter::Meter;
use super::upload::Pieces;

/// What is read at once: large enough for the disk, small enough that many uploads fit in memory.
const PIECE_BYTES: usize = 256 * 1024;

/// Pieces read ahead of the network: with [`PIECE_BYTES`], at most 1 MiB for each upload.
const PIECES_AHEAD: usize = 3;

/// The bytes of an upload; they can be read again for a retry.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file on this machine.
    File(PathBuf),
    /// Bytes in memory.
    Memory(Bytes),
}

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A stream broke off.
    #[error("cannot read the stream")]
    Stream(#[source] io::Error),
    /// A folder, a pipe, a device.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
}

/// One reading of a source: the body to send, and what will be known of it.
pub(super) struct Opened {
    /// The bytes, counted as they are taken.
    body: Pieces,
    /// Their number.
    pub(super) size: u64,
    hash: Hash,
}

enum Hash {
    Known(Checksum),
    Coming {
        read: JoinHandle<io::Result<Checksum>>,
        broken: Broken,
        path: PathBuf,
    },
}

/// Why a source gives no more bytes; clones share it. A request whose body breaks off ends like one
/// whose connection does: without this, a bad disk here is blamed on the network.
#[derive(Clone, Debug, Default)]
pub(super) struct Broken(Arc<Mutex<Option<io::Error>>>);

impl Broken {
    pub(super) fn note(&self, error: &io::Error) {
        let kept = match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }

    pub(super) fn take(&self) -> Option<io::Error> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take()
    }
}

impl Source {
    /// The number of bytes.
    ///
    /// # Errors
    /// When the file cannot be looked at, or is no regular file.
    pub async fn size(&self) -> Result<u64, SourceError> {
        match self {
            Source::Memory(bytes) => Ok(bytes.len() as u64),
            Source::File(path) => {
                let found = tokio::fs::metadata(path).await;
                let metadata = found.map_err(|source| unreadable(path, source))?;
                if metadata.is_file() {
                    Ok(metadata.len())
                } else {
                    Err(SourceError::NotAFile(path.clone()))
                }
            }
        }
    }

    /// Begins a reading from the first byte.
    pub(super) async fn open(&self, meter: &Meter) -> Result<Opened, SourceError> {
        meter.set(0);
        match self {
            Source::Memory(bytes) => Ok(in_memory(bytes.clone(), meter)),
            Source::File(path) => open_file(path.clone(), meter).await,
        }
    }
}

impl Opened {
    /// The hash of all bytes, once they are sent. A service that answers without having taken
    /// all of them leaves the rest to be read here.
    pub(super) async fn checksum(self) -> Result<Checksum, SourceError> {
        drop(self.body);
        let (read, path) = match self.hash {
            Hash::Known(checksum) => return Ok(checksum),
            Hash::Coming { read, path, .. } => (read, path),
        };
        if let Ok(Ok(checksum)) = read.await {
            return Ok(checksum);
        }
        let again = path.clone();
        let hashed = tokio::task::spawn_blocking(move || {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(File::open(again)?.take(self.size))?;
            Ok(Checksum(hasher.finalize().into()))
        });
        hashed
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|source| unreadable(&path, source))
    }

    /// Why the body broke off, if it did: then nobody else is to blame for how its request ended.
    pub(super) fn failure(&self) -> Option<SourceError> {
        match &self.hash {
            Hash::Known(_) => None,
            Hash::Coming { broken, path, .. } => {
                broken.take().map(|source| unreadable(path, source))
            }
        }
    }

    /// Takes the body, leaving an empty one.
    pub(super) fn take_body(&mut self) -> Pieces {
        std::mem::replace(&mut self.body, stream::empty().boxed())
    }
}

fn in_memory(bytes: Bytes, meter: &Meter) -> Opened {
    let (size, hash) = (bytes.len() as u64, Hash::Known(hash_of(&bytes)));
    let meter = meter.clone();
    let pieces = stream::once(async move {
        meter.add(bytes.len());
        Ok::<_, io::Error>(bytes)
    });
    Opened {
        body: pieces.boxed(),
        size,
        hash,
    }
}

async fn open_file(path: PathBuf, meter: &Meter) -> Result<Opened, SourceError> {
    let opened = path.clone();
    let first = tokio::task::spawn_blocking(move || open_and_look(&opened));
    let looked = first
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)));
    match looked.map_err(|source| unreadable(&path, source))? {
        Looked::Other => Err(SourceError::NotAFile(path)),
        Looked::Small(bytes) => Ok(in_memory(bytes, meter)),
        Looked::Large(file, size) => {
            let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
            let broken = Broken::default();
            let noted = broken.clone();
            let read =
                tokio::task::spawn_blocking(move || read_pieces(file, size, &sender, &noted));
            Ok(Opened {
                body: counted(receiver, meter.clone()).boxed(),
                size,
                hash: Hash::Coming { read, broken, path },
            })
        }
    }
}

enum Looked {
    Other,
    Small(Bytes),
    Large(File, u64),
}

fn open_and_look(path: &Path) -> io::Result<Looked> {
    // Looked at before it is opened: opening a pipe would wait for its other end.
    if !std::fs::metadata(path)?.is_file() {
        return Ok(Looked::Other);
    }
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > PIECE_BYTES as u64 {
        return Ok(Looked::Large(file, size));
    }
    let mut bytes = Vec::with_capacity(PIECE_BYTES);
    file.by_ref()
        .take(PIECE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(Looked::Small(bytes.into()))
}

/// Reads exactly `size` bytes: a file that grows meanwhile is uploaded as it was, one that shrinks
/// is an error, which ends the request before its last byte.
fn read_pieces(
    mut file: File,
    size: u64,
    pieces: &mpsc::Sender<io::Result<Bytes>>,
    broken: &Broken,
) -> io::Result<Checksum> {
    let mut hasher = blake3::Hasher::new();
    let mut left = size;
    while left > 0 {
        let mut piece = vec![
            0;
            usize::try_from(left)
                .unwrap_or(PIECE_BYTES)
                .min(PIECE_BYTES)
        ];
        if let Err(error) = file.read_exact(&mut piece) {
            let error = match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    io::Error::new(error.kind(), "it became shorter while it was read")
                }
                _ => error,
            };
            broken.note(&error);
            if pieces.blocking_send(Err(error.kind().into())).is_err() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            return Err(error);
        }
        hasher.update(&piece);
        left -= piece.len() as u64;
        if pieces.blocking_send(Ok(piece.into())).is_err() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
    }
    Ok(Checksum(hasher.finalize().into()))
}

fn counted(
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    meter: Meter,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::unfold((receiver, meter), |(mut receiver, meter)| async move {
        let piece = receiver.recv().await?;
        if let Ok(piece) = &piece {
            meter.add(piece.len());
        }
        Some((piece, (receiver, meter)))
    })
}

/// The hash of bytes in memory.
pub(super) fn hash_of(bytes: &[u8]) -> Checksum {
    Checksum(blake3::hash(bytes).into())
}

fn unreadable(path: &Path, source: io::Error) -> SourceError {
    SourceError::Read {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn large() -> Vec<u8> {
        (0..3 * PIECE_BYTES + 17).map(|i| (i % 251) as u8).collect()
    }

    // If this fails, a damaged upload is not noticed, or a sound one is called damaged.
    #[tokio::test]
    async fn large_and_small_files_give_their_size_and_hash() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, bytes) in [
            ("large", large()),
            ("small", b"small".to_vec()),
            ("none", vec![]),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, &bytes).expect("writes");
            let source = Source::File(path);
            assert_eq!(source.size().await.expect("a size"), bytes.len() as u64);
            let opened = source.open(&Meter::default()).await.expect("opens");
            assert_eq!(opened.size, bytes.len() as u64);
            // Dropped unread: the hash is made of the file itself.
            assert_eq!(
                opened.checksum().await.expect("hashes"),
                hash_of(&bytes),
                "{name}"
            );
        }
    }

    // If this fails, a file that shrinks during its upload is stored with other bytes in it.
    #[tokio::test]
    async fn a_file_that_shrinks_is_an_error_in_the_body() {
        let mut file = tempfile::tempfile().expect("a file");
        io::Write::write_all(&mut file, &large()[..PIECE_BYTES + 5]).expect("writes");
        io::Seek::rewind(&mut file).expect("rewinds");
        let (sender, mut receiver) = mpsc::channel(PIECES_AHEAD);
        let size = 2 * PIECE_BYTES as u64;
        let broken = Broken::default();
        let noted = broken.clone();
        let read = tokio::task::spawn_blocking(move || read_pieces(file, size, &sender, &noted));
        assert_eq!(
            receiver.recv().await.expect("a piece").expect("good").len(),
            PIECE_BYTES
        );
        let error = receiver
            .recv()
            .await
            .expect("an error")
            .expect_err("cut short");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(read.await.expect("ends").is_err());
        assert!(
            broken
                .take()
                .is_some_and(|told| told.kind() == error.kind())
        );
    }

    // If this fails, a bad disk is told as a failure of the network, without its reason.
    #[test]
    fn what_the_system_says_of_a_bad_disk_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        // One that may only be written: the system refuses to read it.
        let file = File::create(folder.path().join("a")).expect("a file");
        let (sender, _receiver) = mpsc::channel(PIECES_AHEAD);
        let broken = Broken::default();
        read_pieces(file, 1, &sender, &broken).expect_err("cannot be read");
        let told = broken.take().expect("noted");
        assert!(told.raw_os_error().is_some(), "{told}");
    }

    // If this fails, `upload` hangs on a named pipe or uploads a folder as nothing.
    #[tokio::test]
    async fn only_regular_files_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = Source::File(folder.path().to_owned());
        assert!(matches!(source.size().await, Err(SourceError::NotAFile(_))));
        assert!(matches!(
            source.open(&Meter::default()).await,
            Err(SourceError::NotAFile(_))
        ));
        let missing = Source::File(folder.path().join("missing"));
        assert!(matches!(
            missing.size().await,
            Err(SourceError::Read { .. })
        ));
    }
}
