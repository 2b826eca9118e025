//! Prometheus' own checker.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// In PATH, or where `cargo xtask test` unpacks it.
fn program() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("..");
    let folders = env::split_paths(&path).chain([target.join("programs/usr/bin")]);
    let mut programs = folders.map(|folder| folder.join("promtool"));
    programs.find(|program| program.is_file()).expect(
        "promtool is missing: install the package `prometheus` (Debian's name), or run \
         `cargo xtask test` as root, which unpacks it below the target folder",
    )
}

/// Runs it in a folder; gives what it said, and whether it was content.
pub(crate) fn run(folder: &Path, arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(program())
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs");
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_owned();
    // It may say more than a pipe holds before it has read everything.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("promtool ends");
    writer
        .join()
        .expect("the writer ends")
        .expect("promtool reads all of it");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.success(), said)
}

// If this fails, the checks below check nothing.
#[test]
fn it_complains_of_what_is_wrong() {
    let bad = "# HELP x_milliseconds How long.\n# TYPE x_milliseconds counter\nx_milliseconds 1\n";
    let (content, said) = run(Path::new("."), &["check", "metrics"], bad);
    assert!(!content && said.contains("x_milliseconds"), "{said}");
}
