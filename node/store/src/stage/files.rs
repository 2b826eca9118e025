//! What lies on a stage's disk, read without the store.

use std::path::{Path, PathBuf};

use wire::Lsn;

use super::dir;
use crate::disk::Disk;
use crate::disk::simulated::SimulatedDisk;

/// All bytes of a file.
pub fn contents(disk: &SimulatedDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path).expect("it is there");
    let mut bytes = vec![0; file.len().expect("a healthy disk") as usize];
    file.read_at(&mut bytes, 0).expect("a healthy disk");
    bytes
}

/// Makes a file of these bytes, durably.
pub fn write_file(disk: &SimulatedDisk, path: &Path, bytes: &[u8]) {
    let file = disk.create(path).expect("a new name");
    file.write_at(bytes, 0).expect("a healthy disk");
    file.sync_data().expect("a healthy disk");
    disk.sync_dir(dir()).expect("a healthy disk");
}

/// The names in the replica's folder that end so, in order.
pub fn names(disk: &SimulatedDisk, suffix: &str) -> Vec<String> {
    let mut names = disk.list(dir()).expect("a healthy disk");
    names.retain(|name| name.ends_with(suffix));
    names.sort();
    names
}

/// The paths of the segment files, oldest first.
pub fn segments(disk: &SimulatedDisk) -> Vec<PathBuf> {
    let names = names(disk, ".seg").into_iter();
    names.map(|name| dir().join(name)).collect()
}

/// The files in quarantine.
pub fn quarantined(disk: &SimulatedDisk) -> Vec<PathBuf> {
    let quarantine = dir().join("quarantine");
    let names = disk.list(&quarantine).expect("a healthy disk").into_iter();
    names.map(|name| quarantine.join(name)).collect()
}

/// Where the record of this lsn starts: its segment, and the offset in it; also where all but its
/// magic, log id and lsn is damaged.
pub fn find_record(disk: &SimulatedDisk, log: u64, lsn: Lsn) -> Option<(PathBuf, u64)> {
    segments(disk).into_iter().find_map(|path| {
        let bytes = contents(disk, &path);
        let mut starts = (0..bytes.len().saturating_sub(128)).step_by(8);
        let start = starts.find(|at| is_record(&bytes[*at..], log, lsn))?;
        Some((path, start as u64))
    })
}

/// Whether a record's header with this log id and lsn stands at the start of `bytes`. The format is
/// written out here: the tests should notice when it changes.
fn is_record(bytes: &[u8], log: u64, lsn: Lsn) -> bool {
    bytes[..4] == *b"AqRc"
        && bytes[8..16] == log.to_le_bytes()
        && bytes[16..24] == lsn.0.to_le_bytes()
}
