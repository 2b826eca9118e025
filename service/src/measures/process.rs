//! The process as every program for Prometheus shows it, under the names that all of them use.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::Reading;

/// A tick of `/proc/PID/stat`: Linux shows a hundredth of a second to programs, whatever it counts
/// in itself.
const TICKS_PER_SECOND: f64 = 100.0;

/// The memory, processor time and files of this process. What the system does not tell is absent.
pub fn process() -> Reading {
    let mut reading = Reading::new(None);
    let stat = read("/proc/self/stat");
    if let Some(seconds) = started(&stat, &read("/proc/stat")) {
        let help = "When the process started, since 1970";
        reading.gauge("process_start_time_seconds", help, seconds);
    }
    if let Some(bytes) = resident_bytes(&read("/proc/self/status")) {
        let help = "Resident memory of the process";
        reading.gauge("process_resident_memory_bytes", help, bytes);
    }
    if let Some(seconds) = processor_seconds(&stat) {
        let help = "Processor time of the process, in its own code and in the system's";
        reading.counter("process_cpu_seconds", help, seconds);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        let help = "Files and connections that are open";
        reading.gauge("process_open_fds", help, files.count() as f64);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        let help = "The most files and connections that may be open";
        reading.gauge("process_max_fds", help, most as f64);
    }
    reading
}

/// What cannot be read is empty: on other systems there is no such file.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn resident_bytes(status: &str) -> Option<f64> {
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// The fields from the third on; the second, the program's name, may hold anything.
fn ticks(stat: &str, field: usize) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(field - 3)?.parse().ok()
}

fn processor_seconds(stat: &str) -> Option<f64> {
    Some((ticks(stat, 14)? + ticks(stat, 15)?) / TICKS_PER_SECOND)
}

/// `machine` tells when the machine started, since 1970.
fn started(stat: &str, machine: &str) -> Option<f64> {
    let mut lines = machine.lines();
    let booted: f64 = lines
        .find_map(|line| line.strip_prefix("btime "))?
        .parse()
        .ok()?;
    Some(booted + ticks(stat, 22)? / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::text;

    // If this fails, a leak of memory or of connections is seen only at its end.
    #[test]
    fn this_process_is_described() {
        let text = text(&[process().registry()]).expect("writes");
        let value = |name: &str| -> f64 {
            let mut lines = text.lines();
            let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            let line = line.unwrap_or_else(|| panic!("{name} is missing in {text}"));
            line.parse().expect("a number")
        };
        assert!(value("process_start_time_seconds") > 1.7e9);
        assert!(value("process_resident_memory_bytes") > 1e5);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!(value("process_open_fds") > 2.0);
        assert!(value("process_max_fds") >= value("process_open_fds"));
    }

    // If this fails, a program with a strange name shows another process's times.
    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 1 2 3 4 150 50 0 0 20 0 9 0 1250 8 9";
        assert_eq!(processor_seconds(stat), Some(2.0));
        assert_eq!(started(stat, "cpu 1\nbtime 100\n"), Some(112.5));
        assert_eq!(started(stat, ""), None);
        assert_eq!(processor_seconds("7 (a"), None);
        assert_eq!(resident_bytes("VmRSS:\t    12 kB\n"), Some(12288.0));
        assert_eq!(resident_bytes(""), None);
    }
}
