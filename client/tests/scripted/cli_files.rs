//! `client upload` and `client update`: files, folders, standard input.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use serde_json::Value;

use crate::command::{Ran, binary, run, run_unread, run_with_input};
use crate::fake::{Fake, Fault, hash};
use crate::{nobody, pattern};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// The id and the name on each line.
fn lines(out: &str) -> Vec<(String, String)> {
    let mut lines: Vec<_> = out
        .lines()
        .map(|line| line.split_once('\t').expect("a tab"))
        .map(|(id, name)| (id.to_owned(), name.to_owned()))
        .collect();
    lines.sort_by(|a, b| a.1.cmp(&b.1));
    lines
}

// If this fails, `upload` does not print what scripts read.
#[test]
fn files_are_uploaded_and_named() {
    let (fake, folder) = (Fake::start(), folder());
    for name in ["b", "a", "c"] {
        std::fs::write(folder.path().join(name), name.repeat(3)).expect("writes");
    }
    let ran = run(
        &fake,
        folder.path(),
        &["upload", "b", "./a", "c", "-j", "2"],
    );
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    for ((id, name), expected) in lines(&ran.out).into_iter().zip(["a", "b", "c"]) {
        assert_eq!(name, expected);
        let stored = fake.content(id.parse().expect("an id")).expect("stored");
        assert_eq!(
            (stored.filename, stored.bytes),
            (name, expected.repeat(3).into())
        );
    }
    let ran = run(
        &fake,
        folder.path(),
        &["upload", "a", "--name", "other", "--json"],
    );
    let line: Value = serde_json::from_str(&ran.out).expect("a line of JSON");
    assert_eq!(
        (&line["filename"], &line["path"]),
        (&"other".into(), &"a".into())
    );
    assert_eq!(line["checksum"], hash(b"aaa").to_string());
}

// If this fails, `upload -r` forgets files, or nobody knows where they were.
#[test]
fn folders_are_uploaded_with_their_paths() {
    let (fake, folder) = (Fake::start(), folder());
    std::fs::create_dir_all(folder.path().join("top/sub")).expect("makes");
    for name in ["top/a", "top/sub/b"] {
        std::fs::write(folder.path().join(name), name).expect("writes");
    }
    let ran = run(&fake, folder.path(), &["upload", "-r", "top"]);
    let names: Vec<String> = lines(&ran.out).into_iter().map(|(_, name)| name).collect();
    assert_eq!(
        (ran.code, names),
        (Some(0), vec!["top/a".to_owned(), "top/sub/b".to_owned()])
    );
    let ran = run(&fake, folder.path(), &["upload", "top"]);
    assert_eq!(ran.code, Some(9));
    assert!(
        ran.err.contains("is a folder") && ran.err.contains("-r"),
        "{}",
        ran.err
    );
}

// If this fails, one bad file stops all others, or its failure is not in the exit code.
#[test]
fn files_fail_one_by_one() {
    let (fake, folder) = (Fake::start(), folder());
    std::fs::write(folder.path().join("good"), "x").expect("writes");
    let ran = run(&fake, folder.path(), &["upload", "missing", "good"]);
    assert_eq!(ran.code, Some(9), "{}", ran.err);
    assert_eq!(lines(&ran.out).len(), 1);
    assert!(
        ran.err.contains("missing") && ran.err.contains("1 of 2 failed"),
        "{}",
        ran.err
    );
    fake.fail("PUT /store/", Fault::Refuse(wire::Code::TooLarge));
    let ran = run(&fake, folder.path(), &["upload", "good", "missing"]);
    assert_eq!(ran.code, Some(1), "different kinds of failure: {}", ran.err);
}

// If this fails, a script whose reader is gone takes for stored, or deleted, what is not.
#[test]
fn a_closed_standard_output_fails_what_is_left_to_do() {
    let (fake, folder) = (Fake::start(), folder());
    for name in ["a", "b", "c"] {
        std::fs::write(folder.path().join(name), "x").expect("writes");
    }
    let upload = ["upload", "a", "b", "c", "--jobs", "1"];
    let ran = run_unread(&fake, folder.path(), &upload);
    let told = "standard output was closed; 2 of 3 were not done";
    assert_eq!((ran.code, fake.count()), (Some(9), 1), "{}", ran.err);
    assert!(ran.err.contains(told), "{}", ran.err);
    let ids = ["d", "e"].map(|name| fake.put(name, b"x").to_string());
    let delete = ["delete", &ids[0], &ids[1], "--jobs", "1"];
    let ran = run_unread(&fake, folder.path(), &delete);
    assert_eq!((ran.code, fake.count()), (Some(9), 2), "{}", ran.err);
    for all_done in [
        &["upload", "a"][..],
        &["list"],
        &["get", &ids[1], "-o", "-"],
    ] {
        let ran = run_unread(&fake, folder.path(), all_done);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{all_done:?}");
    }
}

// If this fails, nobody sees how much was not done, or that it was for standard output.
#[test]
fn what_is_refused_at_once_counts_with_what_fails_later() {
    let (fake, folder) = (Fake::start(), folder());
    for name in ["a", "b"] {
        std::fs::write(folder.path().join(name), "x").expect("writes");
    }
    let upload = ["upload", "missing", "a", "b", "--jobs", "1"];
    let ran = run_unread(&fake, folder.path(), &upload);
    let told = "standard output was closed; 2 of 3 were not done, or not told";
    assert!(ran.err.contains(told), "{}", ran.err);
    assert_eq!(ran.code, Some(9), "{}", ran.err);
    let ran = run_unread(&fake, folder.path(), &upload[..3]);
    assert!(ran.err.ends_with("1 of 2 failed\n"), "{}", ran.err);
    assert_eq!(ran.code, Some(9), "{}", ran.err);
    for _ in 0..2 {
        fake.fail("PUT /store/", Fault::Refuse(wire::Code::TooLarge));
    }
    let ran = run(&fake, folder.path(), &upload);
    assert!(ran.err.ends_with("3 of 3 failed\n"), "{}", ran.err);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
}

// If this fails, a stored file counts as failed because its name on this disk is no text.
#[test]
fn a_path_that_is_no_utf8_is_told_in_json() {
    let (fake, folder) = (Fake::start(), folder());
    let name = OsStr::from_bytes(b"a\xff");
    std::fs::write(folder.path().join(name), "x").expect("writes");
    let arguments = ["upload", "--json", "--name", "a"];
    let mut upload = binary(&fake, folder.path(), &arguments);
    let ran = Ran::from(upload.arg(name).output().expect("runs"));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let line: Value = serde_json::from_str(&ran.out).expect("a line of JSON");
    assert_eq!(line["path"], "a\u{fffd}");
    let arguments = ["get", "--json", line["id"].as_str().expect("an id"), "-o"];
    let mut get = binary(&fake, folder.path(), &arguments);
    let ran = Ran::from(get.arg(name).output().expect("runs"));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
}

// If this fails, pipes into `upload -` lose bytes, or need memory without end.
#[test]
fn standard_input_is_uploaded_whole() {
    let (fake, folder) = (Fake::start(), folder());
    // Around the length up to which it is kept in memory, and empty.
    for (bytes, form) in [
        (0, false),
        (100_000, false),
        (8 * 1024 * 1024 + 1, true),
        (20_000_000, true),
    ] {
        let input = pattern(bytes);
        let before = fake.seen("POST /store").len();
        let arguments = ["upload", "-", "--name", "piped"];
        let ran = run_with_input(&fake, folder.path(), &arguments, &input);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let (id, name) = lines(&ran.out).remove(0);
        assert_eq!(name, "piped");
        assert!(
            fake.content(id.parse().expect("an id"))
                .expect("stored")
                .bytes
                == input
        );
        assert_eq!(fake.seen("POST /store").len() > before, form, "{bytes}");
    }
}

// If this fails, a short standard input is not retried, or a long one is stored in part.
#[test]
fn standard_input_is_retried_when_it_is_short() {
    let (fake, folder) = (Fake::start(), folder());
    let arguments = ["upload", "-", "--name", "piped"];
    fake.fail("PUT /store/", Fault::Drop);
    assert_eq!(
        run_with_input(&fake, folder.path(), &arguments, b"short").code,
        Some(0)
    );
    fake.fail("POST /store", Fault::Drop);
    let long = pattern(9_000_000);
    let ran = run_with_input(&fake, folder.path(), &arguments, &long);
    assert_eq!(ran.code, Some(4), "{}", ran.err);
    assert!(ran.err.contains("cannot be sent again"), "{}", ran.err);
}

// If this fails, a long pipe is lost with a node that nobody reached.
#[test]
fn long_standard_input_is_retried_while_nobody_took_it() {
    let (fake, folder) = (Fake::start(), folder());
    fake.place_at(&nobody());
    let revived = fake.clone();
    let moved = std::thread::spawn(move || {
        while revived.seen("GET /store").len() < 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        revived.place_at(&revived.url.clone());
    });
    let long = pattern(20_000_000);
    let ran = run_with_input(&fake, folder.path(), &["upload", "-", "--name", "x"], &long);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    moved.join().expect("ends");
    let (id, _) = lines(&ran.out).remove(0);
    let stored = fake.content(id.parse().expect("an id"));
    assert!(stored.expect("stored").bytes == long);
}

// If this fails, wrong usage starts a transfer, or is told as another kind of failure.
#[test]
fn wrong_usage_is_refused_before_anything_is_sent() {
    let (fake, folder) = (Fake::start(), folder());
    std::fs::write(folder.path().join("a"), "x").expect("writes");
    for arguments in [
        &["upload", "-"][..],
        &["upload", "a", "a", "--name", "x"],
        &["upload", "a", "--name", "x\ny"],
        &["upload", "a", "--type", "text"],
        &["upload", "a", "--collection", "No Good"],
        &["upload", "a", "--attributes", "[1]"],
        &["upload", "a", "--jobs", "0"],
        &["update", "17", "a"],
        &["nodes", "--url", "ftp://x"],
    ] {
        let ran = run(&fake, folder.path(), arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.err);
        assert!(!ran.err.is_empty() && ran.out.is_empty());
    }
    assert!(fake.seen("").is_empty());
}

// If this fails, metadata that was given on the command line is lost.
#[test]
fn metadata_is_sent() {
    let (fake, folder) = (Fake::start(), folder());
    std::fs::write(folder.path().join("a"), "x").expect("writes");
    let attributes = r#"{"k":"é & ="}"#;
    let arguments = [
        "upload",
        "a",
        "--type",
        "text/x",
        "--collection",
        "docs",
        "--attributes",
        attributes,
    ];
    assert_eq!(run(&fake, folder.path(), &arguments).code, Some(0));
    let seen = &fake.seen("PUT /store/")[0];
    assert_eq!(seen.header("content-type"), "text/x");
    assert_eq!(seen.parameter("collection").as_deref(), Some("docs"));
    assert_eq!(seen.parameter("attributes").as_deref(), Some(attributes));
}

// If this fails, `update` replaces what it should not, or under another name.
#[test]
fn a_content_is_updated_from_a_file() {
    let (fake, folder) = (Fake::start(), folder());
    std::fs::write(folder.path().join("new"), "new bytes").expect("writes");
    let id = fake.put("old", b"old");
    let ran = run(&fake, folder.path(), &["update", &id.to_string(), "new"]);
    assert_eq!(
        (ran.code, ran.out),
        (Some(0), format!("{id}\t2\told\n")),
        "{}",
        ran.err
    );
    let stored = fake.content(id).expect("there");
    assert_eq!((stored.bytes, stored.version), (b"new bytes".to_vec(), 2));
    let stale = hash(b"old").to_string();
    std::fs::write(folder.path().join("new"), "newer").expect("writes");
    let ran = run(
        &fake,
        folder.path(),
        &["update", &id.to_string(), "new", "--if-match", &stale],
    );
    assert_eq!(ran.code, Some(7), "{}", ran.err);
    let ran = run(
        &fake,
        folder.path(),
        &["update", &id.to_string(), "missing"],
    );
    assert_eq!(ran.code, Some(9), "{}", ran.err);
}

// If this fails, the access key of the environment is not used, or shows up in a failure.
#[test]
fn the_access_key_is_sent_and_never_shown() {
    let (fake, folder) = (Fake::start(), folder());
    std::fs::write(folder.path().join("a"), "x").expect("writes");
    fake.fail("PUT /store/", Fault::Refuse(wire::Code::Unauthorized));
    let mut command = binary(&fake, folder.path(), &["upload", "a"]);
    let ended = command
        .env("ACCESS_KEY", "hunter2-hunter2")
        .output()
        .expect("runs");
    assert_eq!(ended.status.code(), Some(6));
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(
        told.contains("ACCESS_KEY") && !told.contains("hunter2"),
        "{told}"
    );
    assert_eq!(
        fake.seen("PUT /store/")[0].header("authorization"),
        "Bearer hunter2-hunter2"
    );
    let help = binary(&fake, folder.path(), &["--help"])
        .env("ACCESS_KEY", "hunter2")
        .output();
    let help = String::from_utf8(help.expect("runs").stdout).expect("text");
    assert!(
        help.contains("Exit codes:") && !help.contains("hunter2"),
        "{help}"
    );
}
