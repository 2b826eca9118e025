//! Runs that end before their time, and what is left of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use trials::binaries::Binaries;
use trials::command::ask;
use trials::run::{RunFolder, owner};
use trials::torture::fault::Fault;

/// How long a run may take to start its services, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A distributor and three nodes.
const SERVICES: usize = 4;

/// A torture. Dropped, it is killed, and what it has left is removed: also where a test fails.
struct Run {
    process: Child,
    folder: PathBuf,
}

impl Run {
    /// Starts one in `folder`, with disks and a network where they can be had; its services run on return.
    fn start(folder: &Path) -> Run {
        let binaries = Binaries::for_tests().expect("the services build");
        let elsewhere = tempfile::tempdir().expect("a temporary folder");
        let possible = |fault: &Fault| fault.obstacle(elsewhere.path(), false).is_none();
        let faults = [Fault::Kill, Fault::Power, Fault::Partition].into_iter();
        let faults = faults.filter(possible).map(|fault| fault.to_string());
        let process = Command::new(binaries.path("trials").expect("is built"))
            .args(["torture", "--minutes", "5", "--faults"])
            .arg(faults.collect::<Vec<_>>().join(","))
            .arg("--dir")
            .arg(folder)
            .stdout(Stdio::null())
            .spawn();
        let run = Run {
            process: process.expect("runs"),
            folder: folder.to_path_buf(),
        };
        wait_until("the services run", || run.services() == SERVICES);
        run
    }

    fn services(&self) -> usize {
        let own = owner::services_of(|owner| owner == self.process.id());
        own.expect("looks").len()
    }

    fn end(&mut self, signal: Signal) -> ExitStatus {
        let process = i32::try_from(self.process.id()).expect("is a number");
        let process = Pid::from_raw(process).expect("is one");
        kill_process(process, signal).expect("runs");
        wait_until("the run has ended", || {
            self.process.try_wait().expect("is a child").is_some()
        });
        self.process.wait().expect("has ended")
    }

    /// What is there of it beside files: services, namespaces and devices of its network, loop devices.
    fn rest(&self) -> Vec<String> {
        let services = self.services();
        let mut rest = Vec::new();
        rest.extend((services > 0).then(|| format!("{services} services")));
        let prefix = format!("aq{:06x}", self.process.id());
        for networks in ["/sys/class/net", "/var/run/netns"] {
            let entries = fs::read_dir(networks).into_iter().flatten();
            let names = entries.map(|entry| entry.expect("is told").file_name());
            let names = names.map(|name| name.to_string_lossy().into_owned());
            rest.extend(names.filter(|name| name.starts_with(&prefix)));
        }
        let loops = ask(
            "losetup",
            &["--list", "--noheadings", "--output", "BACK-FILE"],
        );
        let loops = loops.unwrap_or_default();
        let folder = self.folder.to_string_lossy().into_owned();
        let loops = loops.lines().filter(|image| image.contains(&folder));
        rest.extend(loops.map(str::to_owned));
        rest
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.process.kill().expect("is a child");
        self.process.wait().expect("ends");
        drop(RunFolder::make(&self.folder));
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

// If this fails, whoever ends a run, or closes its terminal, must end its services by hand, and clean up.
#[test]
fn a_run_that_is_told_to_end_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let mut run = Run::start(folder.path());
        let status = run.end(signal);
        assert!(status.code().is_some_and(|code| code != 0), "{status}");
        // The devices of a namespace go with it, a moment after its name.
        wait_until("nothing is left", || run.rest().is_empty());
        let files = fs::read_dir(folder.path()).expect("is there").count();
        assert_eq!(files, 0, "{signal:?}");
    }
}

// If this fails, runs that are killed leave services, networks and loop devices, until somebody finds them.
#[test]
fn the_next_run_removes_what_a_killed_one_left() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut run = Run::start(folder.path());
    run.end(Signal::KILL);
    assert!(!run.rest().is_empty(), "there is something");
    let next = RunFolder::make(folder.path()).expect("makes one");
    assert_eq!(run.rest(), Vec::<String>::new());
    drop(next);
}
