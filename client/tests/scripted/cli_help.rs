//! Commands that help with others: completions, manual pages, and what is wrong.

use std::path::Path;

use serde_json::Value;
use wire::Code;

use crate::command::{binary, names, run};
use crate::fake::{Fake, Fault};
use crate::nobody;

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

// If this fails, completions cannot be installed without a cluster, or a shell is left out.
#[test]
fn every_shell_gets_completions_without_a_cluster() {
    let away = Fake::absent(&nobody());
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(&away, here(), &["completions", shell]);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{shell}");
        for command in ["upload", "explain", "doctor", "completions"] {
            assert!(ran.out.contains(command), "{shell}: {command}");
        }
    }
    assert_eq!(run(&away, here(), &["completions", "tcsh"]).code, Some(2));
}

// If this fails, a shell offers nothing, or what it offers is an error.
#[test]
fn bash_completes_commands_and_flags() {
    let (away, folder) = (
        Fake::absent(&nobody()),
        tempfile::tempdir().expect("a folder"),
    );
    let script = run(&away, here(), &["completions", "bash"]).out;
    std::fs::write(folder.path().join("completions"), script).expect("writes");
    let complete = |words: &str, line: &str| {
        let ask = format!(
            "source completions; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             COMP_LINE='{line}'; _client client \"${{COMP_WORDS[-1]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        let mut bash = std::process::Command::new("bash");
        let ran = bash
            .args(["--norc", "-c", &ask])
            .current_dir(folder.path())
            .output();
        String::from_utf8(ran.expect("bash runs").stdout).expect("text")
    };
    assert_eq!(complete("client exp", "client exp"), "explain\n");
    assert_eq!(
        complete("client stats --wa", "client stats --wa"),
        "--watch\n"
    );
}

// If this fails, manual pages are not where they were asked for, or not for the name that is used.
#[test]
fn manual_pages_are_printed_or_written() {
    let (away, folder) = (
        Fake::absent(&nobody()),
        tempfile::tempdir().expect("a folder"),
    );
    let ran = run(&away, folder.path(), &["man"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(
        ran.out.contains(".TH client 1") && ran.out.contains("SUBCOMMANDS"),
        "{}",
        ran.out
    );
    let ran = run(&away, folder.path(), &["man", "--dir", "pages/man1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let written = names(&folder.path().join("pages/man1"));
    assert!(
        written.contains(&"client-doctor.1".to_owned()),
        "{written:?}"
    );
    assert_eq!(ran.out.lines().count(), written.len());
    assert!(
        ran.out
            .lines()
            .all(|path| path.starts_with("pages/man1/client")),
        "{}",
        ran.out
    );
    std::fs::write(folder.path().join("file"), "").expect("writes");
    let ran = run(&away, folder.path(), &["man", "--dir", "file"]);
    assert_eq!(ran.code, Some(9), "{}", ran.err);

    // Installed under another name, it speaks of that.
    let other = folder.path().join("acequia");
    std::fs::copy(env!("CARGO_BIN_EXE_client"), &other).expect("copies");
    let output = std::process::Command::new(&other)
        .arg("man")
        .output()
        .expect("runs");
    assert!(String::from_utf8_lossy(&output.stdout).contains(".TH acequia 1"));
}

fn findings(out: &str) -> Vec<Value> {
    out.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

// If this fails, a cluster that is away ends `doctor` with an error instead of advice.
#[test]
fn a_cluster_that_is_away_is_diagnosed() {
    let away = Fake::absent(&nobody());
    let ran = run(&away, here(), &["doctor", "--json"]);
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    let findings = findings(&ran.out);
    let problem = findings
        .iter()
        .find(|finding| finding["level"] == "problem")
        .expect("one");
    assert_eq!(
        (&problem["check"], &problem["subject"]),
        (&"reach".into(), &away.url.as_str().into())
    );
    assert!(
        problem["found"]
            .as_str()
            .is_some_and(|found| found.contains("refused")),
        "{problem}"
    );
    assert!(
        problem["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("ACEQUIA_URL"))
    );
    let ran = run(&away, here(), &["doctor"]);
    assert!(ran.out.contains("\n         -> start it"), "{}", ran.out);
    assert!(ran.err.starts_with("error: 1 of "), "{}", ran.err);
}

// If this fails, a wrong key, a proxy, or a mistake in the nodes file is not found.
#[test]
fn settings_are_diagnosed() {
    let (fake, folder) = (Fake::start(), tempfile::tempdir().expect("a folder"));
    std::fs::write(
        folder.path().join("nodes.yml"),
        "nodes: {node1: {host: a, port: 1}}",
    )
    .expect("writes");
    fake.fail("GET /nodes", Fault::Refuse(Code::Unauthorized));
    let mut command = binary(
        &fake,
        folder.path(),
        &["doctor", "--json", "--nodes-file", "nodes.yml"],
    );
    command.envs([
        ("https_proxy", "http://u:secret@proxy:1"),
        ("NO_PROXY", "127.0.0.1"),
    ]);
    let output = command.output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let out = String::from_utf8(output.stdout).expect("text");
    let of = |level: &str, subject: &str| {
        let all = findings(&out);
        let found = all
            .iter()
            .find(|f| f["level"] == level && f["subject"] == subject);
        found
            .unwrap_or_else(|| panic!("no {level} of {subject} in {out}"))
            .clone()
    };
    assert!(
        of("problem", "nodes.yml")["found"]
            .as_str()
            .is_some_and(|f| f.contains("no distributor"))
    );
    assert_eq!(
        of("advice", "https_proxy")["found"],
        "requests go through proxy:1"
    );
    assert!(!out.contains("secret"));
    let refused = of("problem", &fake.url);
    assert!(
        refused["remedy"]
            .as_str()
            .is_some_and(|remedy| remedy.contains("--access-key"))
    );
}
