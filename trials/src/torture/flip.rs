//! Bits that turn over on a disk while nobody looks.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rand::Rng;
use rand::rngs::StdRng;

/// A segment begins with a page that describes it.
const SEGMENT_HEADER_BYTES: u64 = 4096;

/// Bits turned over at a time, at the most.
const FLIPS_MAX: u64 = 8;

/// Turns a few bits over in the records of a node that does not run. Gives how many.
///
/// # Errors
/// When its files cannot be read or written.
pub fn some(data: &Path, chance: &mut StdRng) -> anyhow::Result<u64> {
    let segments = segments(data)?;
    let mut flipped = 0;
    for _ in 0..chance.random_range(1..=FLIPS_MAX) {
        let Some((path, end)) = pick(&segments, chance) else {
            break;
        };
        let offset = chance.random_range(SEGMENT_HEADER_BYTES..*end);
        let file = File::options().read(true).write(true).open(path)?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset)?;
        byte[0] ^= 1 << chance.random_range(0..8);
        file.write_all_at(&byte, offset)?;
        file.sync_all()?;
        flipped += 1;
    }
    Ok(flipped)
}

fn pick<'a>(segments: &'a [(PathBuf, u64)], chance: &mut StdRng) -> Option<&'a (PathBuf, u64)> {
    let place = chance.random_range(0..segments.len().max(1));
    segments.get(place)
}

/// Every segment with records, and where its last byte that is not zero ends.
fn segments(data: &Path) -> anyhow::Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for shard in fs::read_dir(data.join("shards"))? {
        let log = shard?.path().join("log");
        let Ok(files) = fs::read_dir(&log) else {
            continue;
        };
        for file in files {
            let path = file?.path();
            if path.extension().is_some_and(|ending| ending == "seg") {
                let bytes = fs::read(&path).with_context(|| format!("{}", path.display()))?;
                let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64 + 1;
                if end > SEGMENT_HEADER_BYTES {
                    found.push((path, end));
                }
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    // If this fails, damage is looked for that nobody did.
    #[test]
    fn only_bits_of_records_are_turned_over() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("shards/1/log");
        fs::create_dir_all(&log).expect("makes a folder");
        let mut before = vec![0; 3 * 4096];
        before[4096..5000].fill(7);
        let path = log.join("0000000000000001-00000000.seg");
        fs::write(&path, &before).expect("writes");
        fs::write(log.join("commit"), [1; 64]).expect("writes");
        let mut chance = StdRng::seed_from_u64(1);
        let flipped = some(folder.path(), &mut chance).expect("flips");
        let after = fs::read(&path).expect("reads");
        let changed = (0..before.len()).filter(|at| before[*at] != after[*at]);
        let changed: Vec<usize> = changed.collect();
        assert!(!changed.is_empty() && changed.len() as u64 <= flipped);
        assert!(changed.iter().all(|at| (4096..5000).contains(at)));
        assert_eq!(fs::read(log.join("commit")).expect("reads"), [1; 64]);
    }
}
