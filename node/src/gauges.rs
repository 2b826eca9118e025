//! What the machine says of itself, sampled once a second so that nobody waits for it.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// As often as distributors ask.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// One sample of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Resident memory of this process, in bytes.
    pub memory: u64,
    /// CPU load of the machine, 0 to 100.
    pub cpu: f64,
    /// Memory that is free for use, in bytes.
    pub memory_available: u64,
    /// Memory of the machine, in bytes.
    pub memory_total: u64,
    /// The disk under the data directory.
    pub disk: DiskSpace,
}

/// The space of one file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskSpace {
    /// Free for this process, in bytes.
    pub free: u64,
    /// Of all, in bytes.
    pub total: u64,
}

/// The last sample, for any thread.
#[derive(Clone, Default)]
pub struct Gauges(Arc<Mutex<Sample>>);

impl Gauges {
    /// The last sample; all zero before the first.
    pub fn sample(&self) -> Sample {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, sample: Sample) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sample;
    }
}

/// The thread that samples; it ends when this is dropped.
pub(crate) struct Sampler {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// Takes the first sample, then one each second on a thread of its own.
    ///
    /// # Errors
    /// When the disk or the machine cannot be asked, or the thread cannot be started.
    pub(crate) fn start(data_dir: &Path) -> std::io::Result<(Sampler, Gauges)> {
        let gauges = Gauges::default();
        let mut machine = Machine::new(data_dir.to_owned())?;
        gauges.set(machine.sample()?);
        let (stop, stopped) = channel();
        let shown = gauges.clone();
        let thread = std::thread::Builder::new()
            .name("node-gauges".to_owned())
            .spawn(move || keep_sampling(&mut machine, &shown, &stopped))?;
        Ok((
            Sampler {
                stop: Some(stop),
                thread: Some(thread),
            },
            gauges,
        ))
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop = None;
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("the thread that samples the machine panicked");
        }
    }
}

fn keep_sampling(machine: &mut Machine, gauges: &Gauges, stopped: &Receiver<()>) {
    while stopped.recv_timeout(SAMPLE_EVERY) == Err(RecvTimeoutError::Timeout) {
        match machine.sample() {
            Ok(sample) => gauges.set(sample),
            Err(error) => tracing::warn!(%error, "the machine's load could not be read"),
        }
    }
}

struct Machine {
    system: System,
    process: Pid,
    data_dir: PathBuf,
}

impl Machine {
    fn new(data_dir: PathBuf) -> std::io::Result<Self> {
        let system = System::new().map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(Machine {
            system,
            process: Pid::from_u32(std::process::id()),
            data_dir,
        })
    }

    fn sample(&mut self) -> std::io::Result<Sample> {
        self.system.refresh_memory();
        self.system.refresh_cpu_usage();
        self.system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[self.process]),
            true,
            ProcessRefreshKind::nothing().with_memory(),
        );
        Ok(Sample {
            memory: self
                .system
                .process(self.process)
                .map_or(0, sysinfo::Process::memory),
            cpu: f64::from(self.system.global_cpu_usage()),
            memory_available: self.system.available_memory(),
            memory_total: self.system.total_memory(),
            disk: disk_space(&self.data_dir)?,
        })
    }
}

/// Asks the file system under `path` for its space.
fn disk_space(path: &Path) -> std::io::Result<DiskSpace> {
    let answer = rustix::fs::statvfs(path)?;
    Ok(DiskSpace {
        free: answer.f_bavail.saturating_mul(answer.f_frsize),
        total: answer.f_blocks.saturating_mul(answer.f_frsize),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, placement sends uploads by numbers that mean nothing.
    #[test]
    fn a_sample_tells_of_this_process_and_its_disk() {
        let dir = tempfile::tempdir().expect("a folder");
        let (_sampler, gauges) = Sampler::start(dir.path()).expect("samples");
        let sample = gauges.sample();
        assert!(sample.memory > 0 && sample.memory < sample.memory_total);
        assert!(sample.disk.total > 0 && sample.disk.free <= sample.disk.total);
        assert!((0.0..=100.0).contains(&sample.cpu));
    }
}
