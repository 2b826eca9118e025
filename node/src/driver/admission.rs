//! Whether there is room for another upload: storage used, promised and left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wire::limits::STORAGE_PERCENT_STORED_MAX;

use crate::gauges::Gauges;

/// Uploads at once. Each holds at most a few MiB, and small ones next to nothing.
const UPLOADS_MAX: u64 = 1024;

/// Counts what is stored and what running uploads have announced.
pub struct Admission {
    /// The most that may be stored, as far as the disk can hold it.
    max_storage: AtomicU64,
    gauges: Gauges,
    used: AtomicU64,
    promised: AtomicU64,
    uploads: AtomicU64,
}

/// Why an upload is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AdmissionError {
    /// It would take more than may be stored.
    #[error("{bytes} bytes do not fit: {used} of {max} bytes are stored or promised")]
    Full {
        /// What it would take.
        bytes: u64,
        /// What is stored and promised.
        used: u64,
        /// What may be stored.
        max: u64,
    },
    /// A node that keeps a copy has no room for it.
    #[error("{bytes} bytes do not fit where a copy is kept: {free} are free there")]
    CopyFull {
        /// What it would take.
        bytes: u64,
        /// What is free there.
        free: u64,
    },
    /// Too many uploads are running.
    #[error("{UPLOADS_MAX} uploads are running")]
    TooManyUploads,
}

/// Room kept for a running upload; given back when this is dropped.
pub struct Promise {
    admission: Arc<Admission>,
    bytes: u64,
}

impl Admission {
    /// Nothing stored or promised yet.
    pub fn new(max_storage: Option<u64>, gauges: Gauges) -> Self {
        Admission {
            max_storage: AtomicU64::new(max_storage.unwrap_or(u64::MAX)),
            gauges,
            used: AtomicU64::new(0),
            promised: AtomicU64::new(0),
            uploads: AtomicU64::new(0),
        }
    }

    /// Another bound from now on. What is promised already stays promised.
    pub fn set_max_storage(&self, max_storage: Option<u64>) {
        let bytes = max_storage.unwrap_or(u64::MAX);
        self.max_storage.store(bytes, Ordering::Relaxed);
    }

    /// The most that may be stored: `MAX_STORAGE`, or what the disk can hold beside what else is on it,
    /// if that is less. By this figure others tell whether an upload would be taken.
    pub fn max_storage(&self) -> u64 {
        let disk = self.gauges.sample().disk;
        let left = disk.free.saturating_sub(disk.total - share(disk.total));
        let holds = whole(self.used().saturating_add(left));
        self.max_storage.load(Ordering::Relaxed).min(holds)
    }

    /// What the data takes, in bytes.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// What running uploads have announced and not stored yet, in bytes.
    pub fn promised(&self) -> u64 {
        self.promised.load(Ordering::Relaxed)
    }

    /// How many uploads run.
    pub fn uploads(&self) -> u64 {
        self.uploads.load(Ordering::Relaxed)
    }

    /// What may still be stored, running uploads not counted, in bytes.
    pub fn room(&self) -> u64 {
        let disk = self.gauges.sample().disk;
        let reserve = disk.total - share(disk.total);
        let stored = share(self.max_storage()).saturating_sub(self.used());
        stored.min(disk.free.saturating_sub(reserve))
    }

    pub(super) fn set_used(&self, bytes: u64) {
        self.used.store(bytes, Ordering::Relaxed);
    }

    /// Keeps room for an upload of `bytes`.
    ///
    /// # Errors
    /// When it would not fit, or too many uploads are running.
    pub fn promise(self: &Arc<Self>, bytes: u64) -> Result<Promise, AdmissionError> {
        if self.uploads.fetch_add(1, Ordering::Relaxed) >= UPLOADS_MAX {
            self.uploads.fetch_sub(1, Ordering::Relaxed);
            return Err(AdmissionError::TooManyUploads);
        }
        // From here on dropping the promise gives everything back, also when it does not fit.
        let mut promise = Promise {
            admission: Arc::clone(self),
            bytes: 0,
        };
        promise.more(bytes)?;
        Ok(promise)
    }

    fn check(&self, bytes: u64) -> Result<(), AdmissionError> {
        let used = self.used().saturating_add(self.promised());
        let disk = self.gauges.sample().disk;
        let max = share(self.max_storage());
        let reserve = disk.total - share(disk.total);
        let fits_disk = self
            .promised()
            .saturating_add(bytes)
            .saturating_add(reserve)
            <= disk.free;
        if used.saturating_add(bytes) <= max && fits_disk {
            Ok(())
        } else {
            Err(AdmissionError::Full { bytes, used, max })
        }
    }
}

/// The share of a space that may be filled with contents.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a disk need not be exact to the byte, and is never negative"
)]
fn share(bytes: u64) -> u64 {
    (bytes as f64 * (STORAGE_PERCENT_STORED_MAX / 100.0)) as u64
}

/// The space of which this is such a share.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "as above"
)]
fn whole(bytes: u64) -> u64 {
    (bytes as f64 / (STORAGE_PERCENT_STORED_MAX / 100.0)) as u64
}

impl Promise {
    /// Keeps room for `bytes` more.
    ///
    /// # Errors
    /// When they would not fit.
    pub fn more(&mut self, bytes: u64) -> Result<(), AdmissionError> {
        self.admission.check(bytes)?;
        self.admission.promised.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back the room of `bytes` that were stored; makes sure first that there was any.
    ///
    /// # Errors
    /// When nothing was promised for them, and they would not fit.
    pub fn stored(&mut self, bytes: u64) -> Result<(), AdmissionError> {
        if bytes > self.bytes {
            self.admission.check(bytes - self.bytes)?;
        }
        let back = bytes.min(self.bytes);
        self.admission.promised.fetch_sub(back, Ordering::Relaxed);
        self.bytes -= back;
        Ok(())
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.admission
            .promised
            .fetch_sub(self.bytes, Ordering::Relaxed);
        self.admission.uploads.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gauges::Sampler;

    fn admission(max: u64) -> (Sampler, tempfile::TempDir, Arc<Admission>) {
        let dir = tempfile::tempdir().expect("a folder");
        let (sampler, gauges) = Sampler::start(dir.path()).expect("samples");
        (sampler, dir, Arc::new(Admission::new(Some(max), gauges)))
    }

    // If this fails, leaders send a node more than it may store, or nothing although it has room.
    #[test]
    fn room_is_what_would_still_be_stored() {
        let (_sampler, _dir, admission) = admission(1000);
        assert_eq!(admission.room(), 950);
        admission.set_used(500);
        assert_eq!(admission.room(), 450);
        admission.set_used(2000);
        assert_eq!(admission.room(), 0);
    }

    // If this fails, a node on a disk that is full of other things looks empty: all uploads go there, and
    // are refused.
    #[test]
    fn what_others_are_told_is_what_would_be_stored() {
        let (_sampler, _dir, admission) = admission(1 << 60);
        for used in [0, 1 << 30] {
            admission.set_used(used);
            let told = share(admission.max_storage()).saturating_sub(used);
            assert!(told.abs_diff(admission.room()) < 16, "{told}");
        }
    }

    // If this fails, a full node must be restarted to be given more room.
    #[test]
    fn the_bound_can_be_moved() {
        let (_sampler, _dir, admission) = admission(1000);
        let promise = admission.promise(900).expect("fits");
        assert!(admission.promise(100).is_err());
        admission.set_max_storage(Some(2000));
        admission.promise(1000).expect("fits now");
        admission.set_max_storage(Some(100));
        assert_eq!((admission.room(), admission.promised()), (95, 900));
        drop(promise);
        admission.set_max_storage(None);
        assert!(admission.room() > 2000, "the disk alone bounds it");
    }

    // If this fails, a node runs into a full disk in the middle of uploads that it had accepted.
    #[test]
    fn promised_bytes_count_until_they_are_stored_or_given_up() {
        let (_sampler, _dir, admission) = admission(1000);
        admission.set_used(500);
        let mut first = admission.promise(400).expect("fits below 95 %");
        assert!(matches!(
            admission.promise(51),
            Err(AdmissionError::Full {
                bytes: 51,
                used: 900,
                max: 950
            })
        ));
        assert_eq!(admission.uploads(), 1);

        first.stored(300).expect("was promised");
        admission.set_used(800);
        assert_eq!(admission.promised(), 100);
        assert!(first.more(51).is_err());
        drop(first);
        assert_eq!((admission.promised(), admission.uploads()), (0, 0));
        admission.promise(150).expect("fits again");
    }

    // If this fails, an upload without a length fills the disk.
    #[test]
    fn bytes_that_nobody_promised_are_checked_when_they_come() {
        let (_sampler, _dir, admission) = admission(1000);
        admission.set_used(900);
        let mut upload = admission.promise(0).expect("starts");
        upload.stored(50).expect("fits");
        assert!(upload.stored(51).is_err());
    }

    // If this fails, any number of slow uploads exhausts the memory.
    #[test]
    fn uploads_are_counted() {
        let (_sampler, _dir, admission) = admission(1 << 40);
        let running: Vec<Promise> = (0..UPLOADS_MAX)
            .map(|_| admission.promise(0).expect("starts"))
            .collect();
        assert_eq!(
            admission.promise(0).err(),
            Some(AdmissionError::TooManyUploads)
        );
        drop(running);
        admission.promise(0).expect("starts");
    }
}
