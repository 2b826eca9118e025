//! A distributor that gets signals before it has read its settings.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::dist;
use crate::support::{Fresh, free_port};

/// A nodes file that whoever opens it waits for.
struct Slow {
    _folder: TempDir,
    path: PathBuf,
    text: String,
    database: Fresh,
}

impl Slow {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("slow.yml");
        let made = Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo runs").success());
        let port = free_port();
        Slow {
            _folder: folder,
            path,
            text: format!("nodes: {{dist: {{host: 127.0.0.1, port: {port}}}}}"),
            database: Fresh::sqlite(),
        }
    }

    /// The program, which waits for its settings, and what they are written to.
    fn start(&self, task: &[&str]) -> (Child, std::fs::File) {
        let mut command = dist();
        command
            .arg("--nodes-file")
            .arg(&self.path)
            .args(task)
            .env("DATABASE_URL", &self.database.url)
            .stderr(Stdio::piped());
        let child = command.spawn().expect("it starts");
        (child, self.open())
    }

    /// Waits until somebody reads.
    fn open(&self) -> std::fs::File {
        let opened = OpenOptions::new().write(true).open(&self.path);
        opened.expect("somebody reads")
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status();
    assert!(sent.expect("kill runs").success());
}

// If this fails, a container that is stopped while it starts counts as crashed, or is killed after its
// time of grace.
#[test]
fn a_start_can_be_ended() {
    let slow = Slow::new();
    let (mut child, _settings) = slow.start(&[]);
    signal(&child, "-TERM");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

// If this fails, a rebuild that was interrupted before it began looks as if it were complete.
#[test]
fn a_task_that_is_ended_early_has_failed() {
    let slow = Slow::new();
    let adopt = uuid::Uuid::new_v4().to_string();
    let (mut child, _settings) = slow.start(&["rebuild", "--adopt", &adopt]);
    signal(&child, "-TERM");
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
    let said = std::io::read_to_string(child.stderr.take().expect("its log"));
    assert!(said.expect("text").contains("interrupted"));
}

// If this fails, a reload that comes early kills the service, or leaves it with settings of before.
#[test]
fn a_reload_that_comes_early_is_made_later() {
    let slow = Slow::new();
    let (mut child, mut settings) = slow.start(&[]);
    signal(&child, "-HUP");
    let write = |settings: &mut std::fs::File, top: &str| {
        let text = format!("{top}\n{}", slow.text);
        settings.write_all(text.as_bytes()).expect("is read");
    };
    let log = BufReader::new(child.stderr.take().expect("its log"));
    let mut lines = log.lines().map_while(Result::ok);
    let mut says = |words: &str| {
        let found = lines.find(|line| line.contains(words));
        found.unwrap_or_else(|| panic!("it does not say `{words}`"))
    };
    write(&mut settings, "copies: 1");
    drop(settings);
    says("the distributor serves");
    write(&mut slow.open(), "copies: 2");
    let told = says("the settings were read again");
    assert!(told.contains("changed=\"copies\""), "{told}");
    signal(&child, "-TERM");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
