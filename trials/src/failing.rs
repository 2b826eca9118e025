//! A disk that fails: for a while one process gets errors for what it asks of it. It needs `strace`,
//! which answers the system calls in the place of the kernel: nothing of them is done.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::command::{self, run};

/// How long it may take to hold on to every thread of a process.
const ATTACH_TIME_MAX: Duration = Duration::from_secs(10);

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// Every sync.
    Syncs,
    /// Every third write, reservation or sync of each thread.
    SomeWrites,
    /// Every read.
    Reads,
    /// Every other read of each thread.
    SomeReads,
}

impl Failing {
    /// All of them.
    pub const ALL: [Failing; 4] = [
        Failing::Syncs,
        Failing::SomeWrites,
        Failing::Reads,
        Failing::SomeReads,
    ];

    /// Whether what was written may be lost: the logs stop then, until the process is started again.
    pub fn stops_logs(self) -> bool {
        matches!(self, Failing::Syncs | Failing::SomeWrites)
    }

    fn calls(self) -> &'static str {
        match self {
            Failing::Syncs => "fdatasync,fsync",
            Failing::SomeWrites => "pwrite64,fallocate,fdatasync,fsync",
            Failing::Reads | Failing::SomeReads => "pread64,preadv2",
        }
    }

    fn when(self) -> &'static str {
        match self {
            Failing::Syncs | Failing::Reads => "1+",
            Failing::SomeWrites => "1+3",
            Failing::SomeReads => "1+2",
        }
    }
}

/// A process whose disk fails, as long as this lives.
#[derive(Debug)]
pub struct FailingDisk {
    tracer: Child,
}

impl FailingDisk {
    /// Lets the disk of a process fail; it does on return.
    ///
    /// # Errors
    /// When the process cannot be traced.
    pub fn begin(pid: u32, what: Failing) -> anyhow::Result<Self> {
        let (calls, when) = (what.calls(), what.when());
        let tracer = Command::new("strace")
            .args(["-f", "-qqq", "-o", "/dev/null", "-p", &pid.to_string()])
            .args(["-e", &format!("trace={calls}"), "-e", "signal=none"])
            .args(["-e", &format!("inject={calls}:error=EIO:when={when}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run strace")?;
        let mut failing = FailingDisk { tracer };
        let deadline = Instant::now() + ATTACH_TIME_MAX;
        while !is_traced(pid)? {
            if let Some(status) = failing.tracer.try_wait()? {
                bail!("strace ended with {status}");
            }
            ensure!(Instant::now() < deadline, "strace does not hold {pid}");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(failing)
    }

    fn end(&mut self) -> anyhow::Result<()> {
        // It has ended already if the process has.
        if self.tracer.try_wait()?.is_none() {
            let tracer = i32::try_from(self.tracer.id())?;
            let tracer = Pid::from_raw(tracer).context("a process has a number")?;
            kill_process(tracer, Signal::INT)?;
            self.tracer.wait()?;
        }
        Ok(())
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        command::report(self.end());
    }
}

/// Whether every thread of a process has a tracer.
fn is_traced(pid: u32) -> anyhow::Result<bool> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).context("the process has ended")?;
    for thread in threads {
        let status = thread?.path().join("status");
        // A thread that has ended meanwhile needs none.
        let Ok(status) = fs::read_to_string(status) else {
            continue;
        };
        if status.lines().any(|line| line == "TracerPid:\t0") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Why no disk can fail here; nothing when it can. It is tried out in `folder`.
pub fn obstacle(folder: &Path) -> Option<String> {
    let inject = "inject=fsync:error=EIO";
    let probe = folder.join("probe.txt").to_string_lossy().into_owned();
    // A sync that fails, or strace, ends it with an error: only that of the sync is wanted.
    let traced = |expression: &str| {
        let arguments: [&str; 7] = ["-qqq", "-o", "/dev/null", "-e", expression, "sync", &probe];
        run("strace", &arguments)
    };
    let tried = fs::write(&probe, "probe")
        .context("cannot write")
        .and_then(|()| traced("trace=fsync"))
        .err();
    match tried {
        Some(error) => Some(format!("{error:#}")),
        None if traced(inject).is_ok() => Some("strace injects no errors".to_owned()),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, the fault that torture reports as a failing disk is none.
    #[test]
    fn syncs_fail_while_a_disk_is_failing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if let Some(why) = obstacle(folder.path()) {
            return command::skipped("syncs_fail_while_a_disk_is_failing", &why);
        }
        let file = folder.path().join("file");
        fs::write(&file, "bytes").expect("writes");
        let script = "while read -r path; do sync $path 2>/dev/null && echo good || echo bad; done";
        // The sync is a child of the shell: `-f` follows it.
        let mut shell = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("runs");
        let mut asks = shell.stdin.take().expect("is piped");
        let said = shell.stdout.take().expect("is piped");
        let mut said = std::io::BufRead::lines(std::io::BufReader::new(said));
        let mut ask = || {
            use std::io::Write;
            writeln!(asks, "{}", file.display()).expect("asks");
            said.next().expect("is answered").expect("reads")
        };
        assert_eq!(ask(), "good");
        let failing = FailingDisk::begin(shell.id(), Failing::Syncs).expect("is traced");
        assert_eq!(ask(), "bad");
        drop(failing);
        assert_eq!(ask(), "good");
        drop(asks);
        shell.wait().expect("ends");
    }
}
