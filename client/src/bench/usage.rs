//! What the load itself takes of the machine: a load that is busy all the time measures itself.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// A thread that computes for this share of the time has no time left to wait for answers.
const THREAD_BUSY_MIN: f64 = 0.85;

/// On a machine without idle time, a load that takes this share of it holds the services up.
const MACHINE_SHARE_MIN: f64 = 0.4;
const IDLE_MAX: f64 = 0.1;

/// The processor time of the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Cores that it kept busy, over its whole time.
    pub cores: f64,
    /// The share of its time for which its busiest thread computed.
    pub busiest_thread: f64,
    /// The share of all cores that it kept busy.
    pub machine: f64,
    /// The share of the machine's time that nobody used; none where the system does not tell.
    pub idle: Option<f64>,
    /// Whether the load, not what it measures, set the pace.
    pub is_bottleneck: bool,
}

impl Usage {
    /// Of threads that computed for these times, within `took`.
    pub(super) fn of(threads: &[Duration], took: Duration, idle: Option<f64>) -> Self {
        let seconds = took.as_secs_f64().max(f64::EPSILON);
        let shares = threads.iter().map(|cpu| cpu.as_secs_f64() / seconds);
        let (mut cores, mut busiest_thread) = (0.0, 0.0_f64);
        for share in shares {
            cores += share;
            busiest_thread = busiest_thread.max(share);
        }
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        let machine = cores / f64::from(u32::try_from(all).unwrap_or(u32::MAX));
        let is_crowded = idle.is_some_and(|idle| idle <= IDLE_MAX) && machine >= MACHINE_SHARE_MIN;
        Usage {
            cores,
            busiest_thread,
            machine,
            idle,
            is_bottleneck: busiest_thread >= THREAD_BUSY_MIN || is_crowded,
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| share * 100.0;
        let (cores, machine) = (self.cores, percent(self.machine));
        write!(f, "{cores:.2} cores, {machine:.0} % of the machine")?;
        if let Some(idle) = self.idle {
            write!(f, ", {:.0} % of it idle", percent(idle))?;
        }
        match self.is_bottleneck {
            true if self.busiest_thread >= THREAD_BUSY_MIN => write!(
                f,
                "\n            THE LOAD IS THE BOTTLENECK: a thread of it was busy {:.0} % of the \
                 time; give it more with --threads",
                percent(self.busiest_thread)
            ),
            true => write!(
                f,
                "\n            THE LOAD IS THE BOTTLENECK: no core is idle, and it takes a large \
                 share; run it on another machine"
            ),
            false => Ok(()),
        }
    }
}

/// The processor time of this thread so far.
pub(super) fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The machine's processor time so far, over all cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MachineTime {
    idle: u64,
    all: u64,
}

impl MachineTime {
    /// Up to now; none where the system does not tell.
    pub(super) fn now() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// The first line of `/proc/stat`: user, nice, system, idle, iowait, and what else is busy.
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let mut ticks = Vec::new();
        for word in line.split_whitespace().take(8) {
            ticks.push(word.parse::<u64>().ok()?);
        }
        let idle = ticks.get(3)? + ticks.get(4)?;
        Some(MachineTime {
            idle,
            all: ticks.iter().sum(),
        })
    }

    /// The share that was idle since `before`.
    pub(super) fn idle_since(self, before: Self) -> Option<f64> {
        let all = self.all.checked_sub(before.all).filter(|&all| all > 0)?;
        let ticks = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        Some(ticks(self.idle.saturating_sub(before.idle)) / ticks(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, figures are published that measure the load generator.
    #[test]
    fn a_load_that_sets_the_pace_says_so() {
        let ms = Duration::from_millis;
        let busy = Usage::of(&[ms(900), ms(100)], ms(1000), None);
        assert!(
            busy.is_bottleneck && (busy.cores - 1.0).abs() < 1e-9,
            "{busy:?}"
        );
        assert!(busy.to_string().contains("--threads"), "{busy}");
        let idle = Usage::of(&[ms(100)], ms(1000), Some(0.5));
        assert!(!idle.is_bottleneck && !idle.to_string().contains("BOTTLENECK"));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let all_at_half = vec![ms(500); cores];
        assert!(!Usage::of(&all_at_half, ms(1000), Some(0.3)).is_bottleneck);
        let crowded = Usage::of(&all_at_half, ms(1000), Some(0.0));
        assert!(crowded.is_bottleneck && crowded.to_string().contains("another machine"));
    }

    // If this fails, a full machine is taken for an idle one.
    #[test]
    fn the_machines_time_is_read() {
        let at = |text| MachineTime::parse(text).expect("a line of times");
        let before = at("cpu  10 0 10 60 20 0 0 0 5 0\ncpu0 1 2 3\n");
        let after = at("cpu  40 0 20 90 50 0 0 0 9 0\n");
        let idle = after.idle_since(before).expect("time passed");
        assert!((idle - 0.6).abs() < 1e-9, "{idle}");
        assert_eq!(before.idle_since(before), None);
        assert_eq!(MachineTime::parse("cpu  1 2\n"), None);
        assert_eq!(MachineTime::parse(""), None);
    }

    // If this fails, a thread's work counts for nothing.
    #[test]
    fn a_threads_time_grows_with_its_work() {
        let before = thread_time();
        let mut sum = 0_u64;
        while thread_time() == before {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(thread_time() > before);
    }
}
