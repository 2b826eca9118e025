//! What one synced write costs on a disk: the floor under every durable upload.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::bench::BenchError;

/// One write: a page, as small a write as a disk makes.
const WRITE_BYTES: usize = 4096;

/// Enough writes for a steady median; a slow disk ends earlier.
const WRITES_MAX: usize = 1000;
const TIME_MAX: Duration = Duration::from_secs(3);

/// The time of one append of 4 KiB and its fdatasync, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SyncTime {
    /// How many were measured.
    pub writes: usize,
    /// The median.
    pub p50_ms: f64,
    /// 99 % are faster.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// Measures the disk that `folder` lies on, with a file that is removed afterwards.
///
/// # Errors
/// When no file can be written and synced there.
pub fn sync_time(folder: &Path) -> Result<SyncTime, BenchError> {
    measure(folder, WRITES_MAX)
}

fn measure(folder: &Path, writes_max: usize) -> Result<SyncTime, BenchError> {
    let failed = |step| {
        move |source| BenchError::Probe {
            step,
            folder: folder.to_owned(),
            source,
        }
    };
    let mut scratch = Scratch::create(folder).map_err(failed("make a file"))?;
    let page = [0x5a; WRITE_BYTES];
    let begun = Instant::now();
    let mut times = Vec::with_capacity(writes_max);
    while times.len() < writes_max && (times.is_empty() || begun.elapsed() < TIME_MAX) {
        let one = Instant::now();
        scratch.file.write_all(&page).map_err(failed("write"))?;
        scratch.file.sync_data().map_err(failed("sync"))?;
        times.push(one.elapsed());
    }
    Ok(SyncTime::of(times))
}

impl SyncTime {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| {
            let last = times.len().saturating_sub(1);
            times
                .get(last * percent / 100)
                .map_or(0.0, |time| time.as_secs_f64() * 1000.0)
        };
        SyncTime {
            writes: times.len(),
            p50_ms: at(50),
            p99_ms: at(99),
            max_ms: at(100),
        }
    }
}

/// A file that removes itself.
struct Scratch {
    file: File,
    path: PathBuf,
}

impl Scratch {
    fn create(folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!(".sync-time-{}", std::process::id()));
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&path)?;
        Ok(Scratch { file, path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nobody can be told; the next probe of this process fails on the file's name.
        let _removed = std::fs::remove_file(&self.path).is_ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a probe leaves files in the folder of a node, or measures nothing.
    #[test]
    fn a_probe_measures_and_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let time = measure(folder.path(), 5).expect("a time");
        assert!(time.writes > 0 && time.p50_ms > 0.0 && time.max_ms >= time.p99_ms);
        assert_eq!(std::fs::read_dir(folder.path()).expect("lists").count(), 0);
        let missing = sync_time(&folder.path().join("missing"));
        assert!(matches!(
            missing,
            Err(BenchError::Probe {
                step: "make a file",
                ..
            })
        ));
    }

    // If this fails, the median is that of other writes.
    #[test]
    fn quantiles_are_those_of_the_sorted_times() {
        let times = (1..=101).rev().map(Duration::from_millis).collect();
        let time = SyncTime::of(times);
        let expected = SyncTime {
            writes: 101,
            p50_ms: 51.0,
            p99_ms: 100.0,
            max_ms: 101.0,
        };
        assert_eq!(time, expected);
    }
}
