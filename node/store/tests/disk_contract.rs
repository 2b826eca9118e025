//! The contract of `Disk` and `File`, as one suite that every implementation passes: what is found
//! on the simulated disk holds on a real one only as far as both behave the same.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use store::disk::simulated::SimulatedDisk;
use store::disk::{Disk, File, FileSystem, read_exact_at};

const PAGE: u64 = 4096;

/// Runs one clause of the contract on each implementation, in an empty directory.
fn on_each_disk(clause: impl Fn(&dyn Disk, &Path)) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    clause(&FileSystem, dir.path());
    let simulated = SimulatedDisk::new(11);
    simulated
        .create_dir(Path::new("/top"))
        .expect("an empty disk");
    clause(&simulated, Path::new("/top"));
}

fn written(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Arc<dyn File> {
    let file = disk.create(path).expect("a new name");
    file.write_at(bytes, 0).expect("a healthy disk");
    file
}

fn read(file: &dyn File, offset: u64, bytes: usize) -> Vec<u8> {
    let mut buf = vec![0xee; bytes];
    let read = file.read_at(&mut buf, offset).expect("a healthy disk");
    buf.truncate(read);
    buf
}

fn sorted_names(disk: &dyn Disk, dir: &Path) -> Vec<String> {
    let mut names = disk.list(dir).expect("a directory");
    names.sort();
    names
}

// If this fails, a store overwrites a segment that it took for a new one.
#[test]
fn a_name_is_created_once_and_opened_only_if_there() {
    on_each_disk(|disk, dir| {
        let path = dir.join("a");
        assert_eq!(
            disk.open(&path).expect_err("nothing there").kind(),
            ErrorKind::NotFound
        );
        let file = written(disk, &path, b"first");
        assert_eq!(
            disk.create(&path).expect_err("taken").kind(),
            ErrorKind::AlreadyExists
        );
        let again = disk.open(&path).expect("it is there");
        assert_eq!(read(&*again, 0, 10), b"first");
        again.write_at(b"F", 0).expect("a healthy disk");
        assert_eq!(read(&*file, 0, 10), b"First", "all handles see one file");
        let lost = disk
            .create(&dir.join("no/a"))
            .expect_err("no such directory");
        assert_eq!(lost.kind(), ErrorKind::NotFound);
    });
}

// If this fails, a store misses segments at its start, or does not start a second time.
#[test]
fn directories_are_made_once_and_listed_whole() {
    on_each_disk(|disk, dir| {
        let sub = dir.join("sub");
        disk.create_dir(&sub).expect("a new directory");
        drop(written(disk, &sub.join("x"), b"x"));
        disk.create_dir(&sub).expect("there already is fine");
        drop(written(disk, &dir.join("y"), b"y"));
        assert_eq!(sorted_names(disk, dir), ["sub", "y"]);
        assert_eq!(sorted_names(disk, &sub), ["x"]);
        let missing = dir.join("missing");
        assert_eq!(
            disk.list(&missing).expect_err("not there").kind(),
            ErrorKind::NotFound
        );
        let orphan = disk.create_dir(&missing.join("d")).expect_err("no parent");
        assert_eq!(orphan.kind(), ErrorKind::NotFound);
        assert_eq!(
            disk.sync_dir(&missing).expect_err("not there").kind(),
            ErrorKind::NotFound
        );
        disk.sync_dir(dir).expect("a healthy disk");
        disk.create_dir(&dir.join("y"))
            .expect_err("a file has that name");
    });
}

// If this fails, replacing an index file loses the old one or shows half of the new one.
#[test]
fn a_rename_replaces_and_open_handles_keep_what_they_had() {
    on_each_disk(|disk, dir| {
        let (from, to) = (dir.join("new"), dir.join("old"));
        let old = written(disk, &to, b"old");
        let new = written(disk, &from, b"new");
        disk.rename(&from, &to).expect("a healthy disk");
        assert_eq!(sorted_names(disk, dir), ["old"]);
        assert_eq!(read(&*disk.open(&to).expect("renamed"), 0, 9), b"new");
        assert_eq!(read(&*old, 0, 9), b"old");
        assert_eq!(read(&*new, 0, 9), b"new");
        assert_eq!(
            disk.rename(&from, &to).expect_err("gone").kind(),
            ErrorKind::NotFound
        );
        disk.create_dir(&dir.join("sub")).expect("a new directory");
        disk.rename(&to, &dir.join("sub/moved"))
            .expect("a healthy disk");
        assert_eq!(sorted_names(disk, dir), ["sub"]);
        assert_eq!(sorted_names(disk, &dir.join("sub")), ["moved"]);
    });
}

// If this fails, a download breaks off when its content's segment is removed.
#[test]
fn a_removed_file_is_read_on_by_who_has_it_open() {
    on_each_disk(|disk, dir| {
        let path = dir.join("a");
        let file = written(disk, &path, b"still here");
        disk.remove(&path).expect("a healthy disk");
        assert_eq!(read(&*file, 6, 99), b"here");
        assert_eq!(
            disk.open(&path).expect_err("removed").kind(),
            ErrorKind::NotFound
        );
        assert_eq!(
            disk.remove(&path).expect_err("removed").kind(),
            ErrorKind::NotFound
        );
        assert!(disk.list(dir).expect("a directory").is_empty());
        drop(written(disk, &path, b"another"));
        assert_eq!(
            read(&*file, 0, 5),
            b"still",
            "a new file of that name is another file"
        );
    });
}

// If this fails, a record that spans pages comes back with other bytes.
#[test]
fn bytes_are_read_where_they_were_written() {
    on_each_disk(|disk, dir| {
        let bytes: Vec<u8> = (0..20_000_u32).map(|n| (n % 251) as u8).collect();
        let file = disk.create(&dir.join("a")).expect("a new name");
        assert_eq!(
            (file.len().expect("healthy"), read(&*file, 0, 5)),
            (0, Vec::new())
        );
        file.write_at(&bytes, 777).expect("a healthy disk");
        assert_eq!(file.len().expect("healthy"), 20_777);
        assert_eq!(
            read(&*file, 0, 777),
            vec![0; 777],
            "the gap before reads as zeros"
        );
        assert_eq!(read(&*file, 777, 20_000), bytes);
        assert_eq!(read(&*file, 4_000, 200), bytes[3_223..3_423]);
        assert_eq!(
            read(&*file, 20_770, 99),
            bytes[19_993..],
            "a read ends at the file's end"
        );
        assert!(
            read(&*file, 99_999, 9).is_empty(),
            "nothing is beyond the end"
        );
        let mut cached = [0; 200];
        if let Some(read) = file.read_cached_at(&mut cached, 4_000).expect("healthy") {
            assert_eq!((read, &cached[..]), (200, &bytes[3_223..3_423]));
        }
        let mut exact = [0; 10];
        read_exact_at(&*file, &mut exact, 20_767).expect("all of it is there");
        let short = read_exact_at(&*file, &mut exact, 20_768).expect_err("one byte is missing");
        assert_eq!(short.kind(), ErrorKind::UnexpectedEof);
        file.write_at(&[], 50_000).expect("a healthy disk");
        assert_eq!(
            file.len().expect("healthy"),
            20_777,
            "an empty write changes nothing"
        );
    });
}

// If this fails, reserving space damages the log, or a full disk shows as a failed write.
#[test]
fn reserved_space_reads_as_zeros_and_keeps_what_was_there() {
    on_each_disk(|disk, dir| {
        let file = written(disk, &dir.join("a"), &[7; 100]);
        file.allocate(0, 64 * 1024).expect("there is room");
        assert_eq!(file.len().expect("healthy"), 64 * 1024);
        assert!(file.allocated().expect("healthy") >= 64 * 1024);
        let bytes = read(&*file, 0, 64 * 1024);
        assert!(bytes[..100].iter().all(|byte| *byte == 7));
        assert!(bytes[100..].iter().all(|byte| *byte == 0));
        file.allocate(0, 4096).expect("there is room");
        assert_eq!(
            file.len().expect("healthy"),
            64 * 1024,
            "reserving never shortens"
        );
        file.sync_data().expect("a healthy disk");
    });
}

// If this fails, deleting a content damages its neighbours, or its space does not come back.
#[test]
fn holes_read_as_zeros_give_space_back_and_leave_the_rest_alone() {
    on_each_disk(|disk, dir| {
        let file = written(disk, &dir.join("a"), &vec![7; 16 * PAGE as usize]);
        file.sync_data().expect("a healthy disk");
        let before = file.allocated().expect("healthy");
        file.punch(2 * PAGE, 8 * PAGE).expect("a healthy disk");
        file.sync_data().expect("a healthy disk");
        assert_eq!(file.len().expect("healthy"), 16 * PAGE, "the length stays");
        let bytes = read(&*file, 0, 16 * PAGE as usize);
        let (hole, rest): (Vec<_>, Vec<_>) = (0..)
            .zip(bytes)
            .partition(|(at, _)| (2 * PAGE..10 * PAGE).contains(at));
        assert!(hole.iter().all(|(_, byte)| *byte == 0));
        assert!(rest.iter().all(|(_, byte)| *byte == 7));
        assert_eq!(before - file.allocated().expect("healthy"), 8 * PAGE);
        file.write_at(&[9; 10], 3 * PAGE)
            .expect("a hole can be written again");
        assert_eq!(
            read(&*file, 3 * PAGE - 1, 12),
            [0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0]
        );
        file.punch(14 * PAGE, 10 * PAGE)
            .expect("beyond the end is fine");
        assert_eq!(
            file.len().expect("healthy"),
            16 * PAGE,
            "a hole never lengthens"
        );
    });
}

// If this fails, a cut log shows bytes from before the cut when it grows again.
#[test]
fn a_cut_file_forgets_what_was_beyond() {
    on_each_disk(|disk, dir| {
        let file = written(disk, &dir.join("a"), &[7; 10_000]);
        file.set_len(5_000).expect("a healthy disk");
        assert_eq!(file.len().expect("healthy"), 5_000);
        file.set_len(10_000).expect("a healthy disk");
        let bytes = read(&*file, 0, 10_000);
        assert!(bytes[..5_000].iter().all(|byte| *byte == 7));
        assert!(bytes[5_000..].iter().all(|byte| *byte == 0));
        file.set_len(0).expect("a healthy disk");
        file.sync_data().expect("a healthy disk");
        assert_eq!(file.allocated().expect("healthy"), 0);
    });
}
