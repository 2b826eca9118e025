//! `client get`: files, parts, resumption, standard output.

use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{binary, names, run, signal};
use crate::fake::{Fake, Fault, hash};
use crate::pattern;

fn part_name(id: impl std::fmt::Display, bytes: &[u8]) -> String {
    format!("{id}.{}.part", &hash(bytes).hex()[..16])
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(path).expect("reads")
}

// If this fails, downloads do not arrive, or under names that are not theirs.
#[test]
fn contents_arrive_in_the_chosen_place() {
    let (fake, folder) = (Fake::start(), folder());
    let bytes = pattern(300_000);
    let id = fake.put("a.bin", &bytes).to_string();
    let ran = run(&fake, folder.path(), &["get", &id]);
    assert_eq!(
        (ran.code, ran.out),
        (Some(0), format!("{id}\t./a.bin\n")),
        "{}",
        ran.err
    );
    assert_eq!(read(folder.path().join("a.bin")), bytes);
    run(&fake, folder.path(), &["get", &id, "-o", "named"]);
    assert_eq!(read(folder.path().join("named")), bytes);
    run(&fake, folder.path(), &["get", &id, "-o", "new/folder/"]);
    assert_eq!(read(folder.path().join("new/folder/a.bin")), bytes);
    let ran = run(&fake, folder.path(), &["get", &id, "-o", "-"]);
    assert_eq!((ran.code, ran.bytes), (Some(0), bytes));
    assert_eq!(names(folder.path()), ["a.bin", "named", "new"]);
}

// If this fails, whoever uploads a file decides where others write it.
#[test]
fn stored_names_never_lead_out_of_the_folder() {
    let (fake, outer) = (Fake::start(), folder());
    let inner = outer.path().join("inner");
    std::fs::create_dir(&inner).expect("makes");
    for name in ["../up", "/etc/abs", "..", "a/../../b", "c\\..\\d"] {
        let id = fake.put(name, b"x").to_string();
        assert_eq!(run(&fake, &inner, &["get", &id]).code, Some(0), "{name}");
    }
    assert_eq!(names(outer.path()), ["inner"]);
    let written = names(&inner);
    assert_eq!(written.len(), 5, "{written:?}");
    for name in ["up", "abs", "b", "d"] {
        assert!(
            written.iter().any(|written| written == name),
            "{name} in {written:?}"
        );
    }
}

// If this fails, `get` destroys files that the user did not name.
#[test]
fn existing_files_stay_unless_named_or_forced() {
    let (fake, folder) = (Fake::start(), folder());
    let mine = folder.path().join("a");
    let id = fake.put("a", b"theirs").to_string();
    std::fs::write(&mine, b"mine").expect("writes");
    let ran = run(&fake, folder.path(), &["get", &id]);
    assert_eq!(ran.code, Some(9), "{}", ran.err);
    assert!(
        ran.err.contains("exists already") && ran.err.contains("--force"),
        "{}",
        ran.err
    );
    assert_eq!(read(&mine), b"mine");
    assert_eq!(names(folder.path()), ["a"], "no part is left");
    assert_eq!(
        run(&fake, folder.path(), &["get", &id, "--force"]).code,
        Some(0)
    );
    assert_eq!(read(&mine), b"theirs");
    std::fs::write(&mine, b"mine").expect("writes");
    assert_eq!(
        run(&fake, folder.path(), &["get", &id, "-o", "a"]).code,
        Some(0)
    );
    assert_eq!(read(&mine), b"theirs");
}

// If this fails, `get -o` replaces a device or a pipe by a file, which breaks the machine.
#[test]
fn what_is_no_file_is_written_as_it_is() {
    let (fake, folder) = (Fake::start(), folder());
    let bytes = pattern(300_000);
    let id = fake.put("a", &bytes).to_string();
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo runs").success());
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || read(pipe)
    });
    let ran = run(&fake, folder.path(), &["get", &id, "-o", "pipe"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{}", ran.err);
    assert_eq!(reader.join().expect("ends"), bytes);
    let still = pipe.symlink_metadata().expect("there").file_type();
    assert!(still.is_fifo());
    let id = fake.put("pipe", &bytes).to_string();
    let ran = run(&fake, folder.path(), &["get", &id, "--force"]);
    assert_eq!(ran.code, Some(9), "a stored name chose it: {}", ran.err);
    assert_eq!(names(folder.path()), ["pipe"]);
}

// If this fails, `get -o` puts a file where a link was, and what it points at stays old.
#[test]
fn a_link_stays_one_and_its_file_is_replaced() {
    let (fake, folder) = (Fake::start(), folder());
    let id = fake.put("a", b"new").to_string();
    let file = folder.path().join("far/file");
    std::fs::create_dir(folder.path().join("far")).expect("makes");
    std::fs::write(&file, b"old").expect("writes");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("far/file", &link).expect("links");
    let ran = run(&fake, folder.path(), &["get", &id, "-o", "link"]);
    assert_eq!(
        (ran.code, ran.out),
        (Some(0), format!("{id}\tlink\n")),
        "{}",
        ran.err
    );
    assert!(link.is_symlink());
    assert_eq!(read(&file), b"new");
    assert_eq!(names(&folder.path().join("far")), ["file"]);
}

// If this fails, `get -o` puts a file where a link was that leads to no file yet, as no other program does.
#[test]
fn a_link_to_no_file_is_written_through() {
    let (fake, folder) = (Fake::start(), folder());
    let id = fake.put("a", b"new").to_string();
    let at = |name| folder.path().join(name);
    let link = |to, name| std::os::unix::fs::symlink(to, at(name)).expect("links");
    std::fs::create_dir(at("far")).expect("makes");
    link("far/two", "one");
    link("../file", "far/two");
    let ran = run(&fake, folder.path(), &["get", &id, "-o", "one"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(at("one").is_symlink() && at("far/two").is_symlink());
    assert_eq!(read(at("file")), b"new");
    assert_eq!(names(folder.path()), ["far", "file", "one"]);

    link("nowhere/file", "lost");
    link("circle", "circle");
    for name in ["lost", "circle"] {
        let ran = run(&fake, folder.path(), &["get", &id, "-o", name]);
        assert_eq!(ran.code, Some(9), "{name}: {}", ran.err);
        assert!(at(name).is_symlink(), "{name}");
    }
    // Whoever stored the name does not decide where a link leads.
    link("elsewhere", "a");
    let ran = run(&fake, folder.path(), &["get", &id, "--force"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(!at("a").is_symlink() && !at("elsewhere").exists());
}

// If this fails, Ctrl-C in a long download loses all that had come.
#[test]
fn an_interrupted_get_goes_on_where_it_stopped() {
    let (fake, folder) = (Fake::start(), folder());
    let bytes = pattern(2_000_000);
    let id = fake.put("big", &bytes);
    fake.fail("GET /retrieve/", Fault::StallAfter(1_500_000));
    let arguments = ["get", &id.to_string(), "--json"];
    let child = binary(&fake, folder.path(), &arguments)
        .spawn()
        .expect("starts");
    let part = folder.path().join(part_name(id, &bytes));
    let until = Instant::now() + Duration::from_secs(30);
    while std::fs::metadata(&part).map_or(0, |part| part.len()) < 1_500_000 {
        assert!(Instant::now() < until, "the part does not grow");
        std::thread::sleep(Duration::from_millis(5));
    }
    signal(&child, "-INT");
    let ended = child.wait_with_output().expect("ends");
    assert_eq!(ended.status.code(), Some(130));
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(
        told.contains("interrupted") && told.contains("goes on"),
        "{told}"
    );
    assert_eq!(names(folder.path()), [part_name(id, &bytes)]);

    let ran = run(&fake, folder.path(), &arguments);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let line: serde_json::Value = serde_json::from_str(&ran.out).expect("a line of JSON");
    assert_eq!(
        (&line["resumed_at"], &line["path"]),
        (&1_500_000.into(), &"./big".into())
    );
    assert_eq!(read(folder.path().join("big")), bytes);
    assert_eq!(names(folder.path()), ["big"]);
    assert_eq!(
        fake.seen("GET /retrieve/")[1].header("range"),
        "bytes=1500000-"
    );
}

// If this fails, a part that was damaged on this disk spoils the download for ever.
#[test]
fn a_damaged_part_is_begun_anew() {
    let (fake, folder) = (Fake::start(), folder());
    let bytes = pattern(50_000);
    let id = fake.put("a", &bytes);
    for damaged in [b"not these bytes".to_vec(), vec![0; 60_000]] {
        std::fs::write(folder.path().join(part_name(id, &bytes)), damaged).expect("writes");
        let ran = run(&fake, folder.path(), &["get", &id.to_string(), "--force"]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert_eq!(read(folder.path().join("a")), bytes);
        assert_eq!(names(folder.path()), ["a"]);
    }
}

// If this fails, wrong bytes end up under the name of a good file.
#[test]
fn wrong_bytes_never_take_the_file_s_name() {
    let (fake, folder) = (Fake::start(), folder());
    let id = fake.put("a", &pattern(50_000)).to_string();
    fake.fail("GET /retrieve/", Fault::FlipBit);
    let ran = run(&fake, folder.path(), &["get", &id]);
    assert_eq!(ran.code, Some(5), "{}", ran.err);
    assert!(
        names(folder.path()).is_empty(),
        "{:?}",
        names(folder.path())
    );
    fake.fail("GET /retrieve/", Fault::FlipBit);
    assert_eq!(
        run(&fake, folder.path(), &["get", &id, "-o", "-"]).code,
        Some(5)
    );
}

// If this fails, a content that is updated during its download cannot be had, or is mixed.
#[test]
fn an_update_in_the_middle_starts_over() {
    let (fake, folder) = (Fake::start(), folder());
    let id = fake.put("a", &pattern(50_000));
    fake.fail(
        "GET /retrieve/",
        Fault::Refuse(wire::Code::PreconditionFailed),
    );
    let ran = run(&fake, folder.path(), &["get", &id.to_string()]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(fake.seen("GET /content/")[1].query, "min_version=2");
    assert_eq!(names(folder.path()), ["a"]);
}

// If this fails, two downloads of one content write over each other.
#[test]
fn a_part_that_is_being_written_is_left_alone() {
    let (fake, folder) = (Fake::start(), folder());
    let bytes = pattern(10);
    let id = fake.put("a", &bytes);
    let part = std::fs::File::create(folder.path().join(part_name(id, &bytes))).expect("makes");
    part.lock().expect("locks");
    let ran = run(&fake, folder.path(), &["get", &id.to_string()]);
    assert_eq!(ran.code, Some(9));
    assert!(ran.err.contains("another download"), "{}", ran.err);
}

// If this fails, one missing content among many hides the others, or goes unnoticed.
#[test]
fn several_contents_fail_one_by_one() {
    let (fake, folder) = (Fake::start(), folder());
    let ids: Vec<String> = (0..6)
        .map(|i| fake.put(&i.to_string(), b"x").to_string())
        .collect();
    assert_eq!(
        run(&fake, folder.path(), &["delete", &ids[2]]).code,
        Some(0)
    );
    let arguments: Vec<&str> = ["get"]
        .into_iter()
        .chain(ids.iter().map(String::as_str))
        .chain(["-o", "all/"])
        .collect();
    let ran = run(&fake, folder.path(), &arguments);
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert_eq!(names(&folder.path().join("all")), ["0", "1", "3", "4", "5"]);
    assert_eq!(ran.out.lines().count(), 5);
    assert!(
        ran.err.contains(&ids[2]) && ran.err.contains("1 of 6 failed"),
        "{}",
        ran.err
    );
    let ran = run(
        &fake,
        folder.path(),
        &["get", &ids[0], &ids[1], "-o", "file"],
    );
    assert_eq!(ran.code, Some(2), "two contents do not fit into one file");
}

// If this fails, `client get ID -o - | head` prints an error or never ends.
#[test]
fn a_closed_pipe_ends_quietly() {
    let (fake, folder) = (Fake::start(), folder());
    let id = fake.put("a", &pattern(5_000_000)).to_string();
    let mut child = binary(&fake, folder.path(), &["get", &id, "-o", "-"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut first = [0; 10];
    child
        .stdout
        .take()
        .expect("piped")
        .read_exact(&mut first)
        .expect("reads");
    let ended = child.wait_with_output().expect("ends");
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    assert_eq!(first, pattern(10)[..]);
}
