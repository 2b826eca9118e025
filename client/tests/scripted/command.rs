//! Running the real binary.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::fake::Fake;

/// A run that has ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) bytes: Vec<u8>,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran {
            code: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
            bytes: output.stdout,
        }
    }
}

/// The binary with the fake cluster's URL, in a folder, with nothing else of this environment.
pub(crate) fn binary(fake: &Fake, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("ACEQUIA_URL", &fake.url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn run(fake: &Fake, folder: &Path, arguments: &[&str]) -> Ran {
    binary(fake, folder, arguments)
        .output()
        .expect("runs")
        .into()
}

/// Runs with this standard input.
pub(crate) fn run_with_input(fake: &Fake, folder: &Path, arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = binary(fake, folder, arguments)
        .stdin(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let ran = child.wait_with_output().expect("ends").into();
    // The binary may end before it has read everything.
    drop(writer.join().expect("the writer ends"));
    ran
}

/// Runs with a standard output that nobody reads.
pub(crate) fn run_unread(fake: &Fake, folder: &Path, arguments: &[&str]) -> Ran {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = binary(fake, folder, arguments);
    command.stdout(writer).output().expect("runs").into()
}

/// Sends a signal, as Ctrl-C or `kill` would.
pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status();
    assert!(sent.expect("kill runs").success());
}

/// Runs without `kill`, `sh` or another program: what there is in a folder.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("lists");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned()
    };
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    names
}
