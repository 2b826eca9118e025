//! Shows each promise of the simulated disk: a simulated crash that is kinder than a real one
//! would let bugs through that lose contents, a harsher one would find bugs that are none.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::{Failure, Operation, PowerLost, SimulatedDisk};
use crate::disk::Disk;

const SEEDS: u64 = 200;

fn at(path: &str) -> &Path {
    Path::new(path)
}

/// A disk with one durable file `/f` of these bytes.
fn disk_with(bytes: &[u8]) -> SimulatedDisk {
    let disk = SimulatedDisk::new(1);
    let file = disk.create(at("/f")).expect("a new name");
    file.write_at(bytes, 0).expect("a healthy disk");
    file.sync_data().expect("a healthy disk");
    disk.sync_dir(at("/")).expect("a healthy disk");
    disk
}

fn contents(disk: &SimulatedDisk, path: &str) -> io::Result<Vec<u8>> {
    let file = disk.open(at(path))?;
    let mut bytes = vec![0; usize::try_from(file.len()?).expect("a small file")];
    let read = file.read_at(&mut bytes, 0)?;
    assert_eq!(read, bytes.len(), "a file reads as far as its length");
    Ok(bytes)
}

/// What `/f` may be after a power loss, over many seeds.
fn outcomes(disk: &SimulatedDisk) -> BTreeSet<Vec<u8>> {
    (0..SEEDS)
        .map(|seed| contents(&disk.crash(seed), "/f").expect("the name is durable"))
        .collect()
}

fn is_power_lost(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<PowerLost>())
}

// If this fails, the tests believe in durability that a real disk does not give, or miss losses.
#[test]
fn synced_bytes_survive_and_unsynced_sectors_come_and_go_each_for_itself() {
    let disk = disk_with(&[1; 2048]);
    assert_eq!(outcomes(&disk), BTreeSet::from([vec![1; 2048]]));
    disk.open(at("/f"))
        .expect("it is there")
        .write_at(&[2; 2048], 0)
        .expect("a healthy disk");
    let outcomes = outcomes(&disk);
    for outcome in &outcomes {
        for sector in outcome.chunks(512) {
            assert!(
                sector == [1; 512] || sector == [2; 512],
                "a sector is never torn"
            );
        }
    }
    // All 16 subsets of four sectors: lost, whole, and torn in every way.
    assert_eq!(outcomes.len(), 16);
}

// If this fails, a crash state is missed in which an older write of a page reached the disk.
#[test]
fn a_sector_written_twice_may_be_found_in_each_of_its_states() {
    let disk = disk_with(&[1; 512]);
    let file = disk.open(at("/f")).expect("it is there");
    file.write_at(&[2; 512], 0).expect("a healthy disk");
    file.write_at(&[3; 512], 0).expect("a healthy disk");
    assert_eq!(
        outcomes(&disk),
        BTreeSet::from([vec![1; 512], vec![2; 512], vec![3; 512]])
    );
}

// If this fails, recovery is never tried on a file of an unforeseen length.
#[test]
fn an_unsynced_length_lies_anywhere_between_old_and_new() {
    let disk = disk_with(&[1; 100]);
    disk.open(at("/f"))
        .expect("it is there")
        .write_at(&[2; 900], 100)
        .expect("a healthy disk");
    let lengths: BTreeSet<usize> = outcomes(&disk).iter().map(Vec::len).collect();
    assert!(lengths.contains(&100) && lengths.contains(&1000) && lengths.len() > 10);
    assert!(lengths.iter().all(|len| (100..=1000).contains(len)));
    for outcome in outcomes(&disk) {
        assert_eq!(
            outcome[..100],
            [1; 100],
            "synced bytes survive a torn append"
        );
    }
}

// If this fails, a cut log could come back with bytes that were never in it.
#[test]
fn an_unsynced_cut_happens_or_not_and_comes_before_what_was_written_after_it() {
    let disk = disk_with(&[1; 8192]);
    let file = disk.open(at("/f")).expect("it is there");
    file.set_len(0).expect("a healthy disk");
    file.write_at(&[2; 4096], 4096).expect("a healthy disk");
    let outcomes = outcomes(&disk);
    assert!(outcomes.contains(&vec![1; 8192]), "the cut may be lost");
    assert!(
        outcomes.contains(&Vec::new()),
        "the cut may be all that happened"
    );
    for outcome in outcomes {
        let ones = outcome.iter().filter(|byte| **byte == 1).count();
        assert!(
            ones == 0 || ones == 8192,
            "cut pages do not come back beside new ones"
        );
    }
}

// If this fails, bytes given back too early are found only by users.
#[test]
fn a_hole_may_be_durable_without_a_sync_page_by_page() {
    let disk = disk_with(&[1; 12288]);
    let file = disk.open(at("/f")).expect("it is there");
    file.punch(0, 8192).expect("a healthy disk");
    let first_pages: BTreeSet<(u8, u8)> = outcomes(&disk)
        .iter()
        .map(|bytes| (bytes[0], bytes[4096]))
        .collect();
    assert_eq!(
        first_pages,
        BTreeSet::from([(0, 0), (0, 1), (1, 0), (1, 1)])
    );
    assert!(
        outcomes(&disk)
            .iter()
            .all(|bytes| bytes[8192..] == [1; 4096])
    );
    file.sync_data().expect("a healthy disk");
    assert!(
        outcomes(&disk)
            .iter()
            .all(|bytes| bytes[..8192] == [0; 8192])
    );
}

// If this fails, files that were made and never synced into their directory seem safe.
#[test]
fn a_new_name_is_durable_only_after_its_directory_was_synced() {
    let disk = SimulatedDisk::new(1);
    disk.create_dir(at("/d")).expect("a healthy disk");
    let file = disk.create(at("/d/f")).expect("a new name");
    file.write_at(b"data", 0).expect("a healthy disk");
    file.sync_data().expect("a healthy disk");
    disk.sync_dir(at("/d")).expect("a healthy disk");
    // The directory's own name is not durable yet.
    let kept = (0..SEEDS)
        .filter(|seed| contents(&disk.crash(*seed), "/d/f").is_ok())
        .count();
    assert!(0 < kept && kept < SEEDS as usize);
    disk.sync_dir(at("/")).expect("a healthy disk");
    for seed in 0..SEEDS {
        assert_eq!(
            contents(&disk.crash(seed), "/d/f").expect("all is synced"),
            b"data"
        );
    }
}

// If this fails, index files that are replaced by renaming could vanish in the tests alone.
#[test]
fn a_rename_is_atomic_and_a_removal_may_be_lost() {
    let disk = disk_with(b"old");
    let new = disk.create(at("/f.new")).expect("a new name");
    new.write_at(b"new", 0).expect("a healthy disk");
    new.sync_data().expect("a healthy disk");
    disk.rename(at("/f.new"), at("/f")).expect("a healthy disk");
    assert_eq!(
        outcomes(&disk),
        BTreeSet::from([b"old".to_vec(), b"new".to_vec()])
    );
    disk.sync_dir(at("/")).expect("a healthy disk");
    assert_eq!(outcomes(&disk), BTreeSet::from([b"new".to_vec()]));

    disk.remove(at("/f")).expect("a healthy disk");
    assert_eq!(
        contents(&disk, "/f").expect_err("removed").kind(),
        ErrorKind::NotFound
    );
    let returned = (0..SEEDS)
        .filter(|seed| contents(&disk.crash(*seed), "/f").is_ok())
        .count();
    assert!(0 < returned && returned < SEEDS as usize);
    disk.sync_dir(at("/")).expect("a healthy disk");
    assert!((0..SEEDS).all(|seed| contents(&disk.crash(seed), "/f").is_err()));
}

// If this fails, a file that was moved away comes back under its old name in the tests alone.
#[test]
fn a_file_that_was_moved_to_another_directory_is_not_in_both() {
    let disk = SimulatedDisk::new(1);
    for dir in ["/a", "/b"] {
        disk.create_dir(at(dir)).expect("a healthy disk");
    }
    disk.sync_dir(at("/")).expect("a healthy disk");
    drop(disk.create(at("/a/f")).expect("a new name"));
    disk.rename(at("/a/f"), at("/b/f")).expect("a healthy disk");
    disk.sync_dir(at("/b")).expect("a healthy disk");
    disk.sync_dir(at("/a")).expect("a healthy disk");
    for seed in 0..SEEDS {
        let after = disk.crash(seed);
        contents(&after, "/b/f").expect("its new directory was synced");
        assert_eq!(
            contents(&after, "/a/f").expect_err("moved").kind(),
            ErrorKind::NotFound
        );
    }
}

// If this fails, a second sync after a failed one seems to make an upload safe.
#[test]
fn what_a_failed_sync_dropped_no_later_sync_brings_back() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let disk = SimulatedDisk::new(seed);
        let file = disk.create(at("/f")).expect("a new name");
        disk.sync_dir(at("/")).expect("a healthy disk");
        file.allocate(0, 4096).expect("a healthy disk");
        file.sync_data().expect("a healthy disk");
        file.write_at(&[1; 4096], 0).expect("a healthy disk");
        disk.fail(Operation::Sync, 0, Failure::Io);
        let error = file.sync_data().expect_err("as planned");
        assert_eq!(
            error.raw_os_error(),
            Some(rustix::io::Errno::IO.raw_os_error())
        );
        file.sync_data().expect("the failure was planned once");
        lost += u64::from(contents(&disk.crash(seed), "/f").expect("synced") != [1; 4096]);
    }
    assert!(
        SEEDS / 2 < lost && lost < SEEDS,
        "{lost} of {SEEDS} lost bytes"
    );
}

// If this fails, a store that reads its disk again after a failed sync is told what the cache says.
#[test]
fn what_a_failed_sync_dropped_is_not_read_after_the_cache_was_given_up() {
    for seed in 0..SEEDS {
        let disk = disk_with(&[1; 8192]);
        let file = disk.open(at("/f")).expect("it is there");
        file.write_at(&[2; 8192], 0).expect("a healthy disk");
        disk.fail(Operation::Sync, 0, Failure::Io);
        file.sync_data().expect_err("as planned");
        file.begin_write_back(0, 8192);
        let seen = contents(&disk, "/f").expect("it is there");
        assert_eq!(
            seen,
            contents(&disk.crash(seed), "/f").expect("it is there")
        );
        file.write_at(&[3; 10], 0).expect("a healthy disk");
        file.begin_write_back(0, 8192);
        assert_eq!(
            contents(&disk, "/f").expect("it is there")[..10],
            [3; 10],
            "dirty pages stay"
        );
    }
}

// If this fails, tests of a full disk prove nothing.
#[test]
fn a_full_disk_refuses_space_but_not_writes_into_reserved_space() {
    let disk = SimulatedDisk::new(3);
    disk.set_capacity(Some(3 * 4096));
    let file = disk.create(at("/f")).expect("a new name");
    file.allocate(0, 8192).expect("there is room");
    let other = disk.create(at("/g")).expect("a new name");
    assert_eq!(
        other.allocate(0, 8192).expect_err("no room").kind(),
        ErrorKind::StorageFull
    );
    assert_eq!(
        other.write_at(&[1; 8192], 0).expect_err("no room").kind(),
        ErrorKind::StorageFull
    );
    file.write_at(&[1; 8192], 0).expect("it was reserved");
    assert!(disk.used() <= 3 * 4096);
    file.punch(0, 8192).expect("a healthy disk");
    other.allocate(0, 8192).expect("there is room again");
    disk.remove(at("/g")).expect("a healthy disk");
    assert_eq!(disk.used(), 8192, "an open file keeps its space");
    drop(other);
    assert_eq!(disk.used(), 0, "the last handle gives it back");
}

// If this fails, a crash is not tried at the operation that it should be tried at.
#[test]
fn the_power_goes_after_exactly_the_operation_that_was_named() {
    let disk = disk_with(b"abcd");
    let before = disk.operations();
    disk.stop_after(before + 1);
    let file = disk.open(at("/f")).expect("it is there");
    file.write_at(b"efgh", 0)
        .expect("the last operation with power");
    assert!(!disk.stopped());
    assert!(is_power_lost(&file.sync_data().expect_err("no power")));
    assert!(disk.stopped());
    assert!(is_power_lost(
        &file.read_at(&mut [0; 4], 0).expect_err("no power")
    ));
    assert!(is_power_lost(&disk.open(at("/f")).expect_err("no power")));
    assert_eq!(disk.operations(), before + 1);
    assert_eq!(
        outcomes(&disk),
        BTreeSet::from([b"abcd".to_vec(), b"efgh".to_vec()])
    );
}

// If this fails, a restart after `kill -9` is tested as if it were a power loss, or not at all.
#[test]
fn a_killed_process_leaves_all_it_wrote_and_makes_none_of_it_durable() {
    let disk = disk_with(b"abcd");
    disk.open(at("/f"))
        .expect("it is there")
        .write_at(b"efgh", 0)
        .expect("a healthy disk");
    disk.stop_after(disk.operations());
    disk.remove(at("/f")).expect_err("no power");
    let killed = disk.kill();
    assert_eq!(contents(&killed, "/f").expect("it is there"), b"efgh");
    assert_eq!(
        outcomes(&killed),
        BTreeSet::from([b"abcd".to_vec(), b"efgh".to_vec()])
    );
    killed
        .open(at("/f"))
        .expect("it is there")
        .sync_data()
        .expect("a healthy disk");
    assert_eq!(outcomes(&killed), BTreeSet::from([b"efgh".to_vec()]));
}

// If this fails, faults hit another operation than the one under test.
#[test]
fn a_planned_failure_hits_the_named_operation_once() {
    let disk = disk_with(b"abcd");
    let file = disk.open(at("/f")).expect("it is there");
    disk.fail(Operation::Write, 1, Failure::Io);
    disk.fail(Operation::Allocate, 0, Failure::NoSpace);
    file.write_at(b"1", 0).expect("the first succeeds");
    assert_eq!(
        file.allocate(0, 1).expect_err("planned").kind(),
        ErrorKind::StorageFull
    );
    file.write_at(b"2", 0).expect_err("the second fails");
    file.write_at(b"3", 0).expect("the third succeeds");
    file.allocate(0, 1).expect("planned once");
}

// If this fails, tests of damage change nothing, or more than one bit.
#[test]
fn a_flipped_bit_is_seen_now_and_after_a_crash() {
    let disk = disk_with(&[0; 1000]);
    disk.flip_bit(at("/f"), 999, 3).expect("it is there");
    let mut expected = vec![0; 1000];
    expected[999] = 8;
    assert_eq!(contents(&disk, "/f").expect("it is there"), expected);
    assert_eq!(outcomes(&disk), BTreeSet::from([expected]));
    disk.flip_bit(at("/f"), 1000, 0)
        .expect_err("beyond the end");
}

// If this fails, a failing crash test cannot be replayed.
#[test]
fn the_same_seed_gives_the_same_crash() {
    let disk = disk_with(&[1; 65536]);
    disk.open(at("/f"))
        .expect("it is there")
        .write_at(&[2; 65536], 77)
        .expect("a healthy disk");
    for seed in 0..20 {
        let (one, two) = (disk.crash(seed), disk.crash(seed));
        assert_eq!(
            contents(&one, "/f").expect("there"),
            contents(&two, "/f").expect("there")
        );
    }
    assert!(
        outcomes(&disk).len() > 100,
        "seeds choose different crashes"
    );
}

// If this fails, a store that reads only from memory is never told to wait for the disk.
#[test]
fn a_cold_disk_gives_nothing_without_waiting() {
    let disk = disk_with(b"abcd");
    let file = disk.open(at("/f")).expect("it is there");
    let mut bytes = [0; 4];
    assert_eq!(
        file.read_cached_at(&mut bytes, 0).expect("healthy"),
        Some(4)
    );
    disk.set_cold(true);
    assert_eq!(file.read_cached_at(&mut bytes, 0).expect("healthy"), None);
    assert_eq!(file.read_at(&mut bytes, 0).expect("healthy"), 4);
}
