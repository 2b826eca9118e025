//! What processes take of the machine, from `/proc`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context;

/// `/proc` counts processor time in ticks of 1/100 s on every Linux that Rust runs on but Alpha's.
const TICK_MICROS: f64 = 10_000.0;

/// The processes of one side.
#[derive(Debug)]
pub(in crate::bench) struct Processes {
    /// The services themselves: for a cluster the distributor and the nodes, for nginx its master.
    pub(in crate::bench) services: Vec<u32>,
    /// Those of them whose memory counts.
    pub(in crate::bench) storage: Vec<u32>,
    /// The database's, if there is one.
    pub(in crate::bench) database: Option<u32>,
}

/// Processor time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::bench) struct Times {
    /// Of the services and the processes that they started.
    pub(in crate::bench) services: f64,
    /// Of the database.
    pub(in crate::bench) database: f64,
}

impl Times {
    pub(in crate::bench) fn since(self, before: Times) -> Times {
        Times {
            services: self.services - before.services,
            database: self.database - before.database,
        }
    }
}

impl Processes {
    /// The processor time so far.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub(in crate::bench) fn times(&self) -> anyhow::Result<Times> {
        let all = all()?;
        let of = |roots: &[u32]| {
            let ticks: u64 = family(&all, roots).iter().map(|pid| all[pid].ticks).sum();
            ticks as f64 * TICK_MICROS
        };
        Ok(Times {
            services: of(&self.services),
            database: of(self.database.as_slice()),
        })
    }

    /// Peaks of memory count from now on.
    ///
    /// # Errors
    /// When a process has ended.
    pub(super) fn forget_peaks(&self) -> anyhow::Result<()> {
        for pid in family(&all()?, &self.storage) {
            // 5 resets the peak, see proc(5).
            fs::write(format!("/proc/{pid}/clear_refs"), "5")
                .with_context(|| format!("cannot reset the peak memory of process {pid}"))?;
        }
        Ok(())
    }

    /// The most memory that any of those that count was resident with.
    ///
    /// # Errors
    /// When a process has ended.
    pub(super) fn peak(&self) -> anyhow::Result<u64> {
        let mut peak = 0;
        for pid in family(&all()?, &self.storage) {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            peak = peak.max(peak_in(&status).context("no VmHWM in a process's status")?);
        }
        Ok(peak)
    }
}

fn peak_in(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// A process as `/proc/PID/stat` tells of it.
#[derive(Debug, PartialEq)]
struct Stat {
    parent: u32,
    /// User and system time, its own and that of children that it has waited for.
    ticks: u64,
}

fn all() -> anyhow::Result<BTreeMap<u32, Stat>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        // A process may end while it is looked at.
        if let Ok(text) = fs::read_to_string(entry.path().join("stat")) {
            all.extend(parse(&text).map(|stat| (pid, stat)));
        }
    }
    Ok(all)
}

/// The name, in parentheses, may contain anything, so fields are counted behind it: the state is the
/// first, the parent the second, times are the 12th to the 15th.
fn parse(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let times = fields.get(11..15)?.iter().map(|time| time.parse::<u64>());
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        ticks: times.collect::<Result<Vec<_>, _>>().ok()?.iter().sum(),
    })
}

/// Processes and everything that they started.
fn family(all: &BTreeMap<u32, Stat>, roots: &[u32]) -> Vec<u32> {
    let mut family: Vec<u32> = roots
        .iter()
        .copied()
        .filter(|root| all.contains_key(root))
        .collect();
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        let children = all.iter().filter(|(_, stat)| stat.parent == parent);
        let children: Vec<u32> = children.map(|(&pid, _)| pid).collect();
        family.extend(children);
        next += 1;
    }
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a process with an odd name counts for nothing, or with another one's time.
    #[test]
    fn times_are_found_behind_any_name() {
        let text = "7 (a) (b) S 3 7 7 0 -1 4194560 9 0 0 0 11 22 3 4 20 0 1 0 55 1000 2 0\n";
        let stat = Stat {
            parent: 3,
            ticks: 40,
        };
        assert_eq!(parse(text), Some(stat));
        assert_eq!(parse("7 (a) S 3"), None);
        assert_eq!(peak_in("VmPeak:\t  9 kB\nVmHWM:\t     2 kB\n"), Some(2048));
    }

    // If this fails, the work of nginx's workers or of PostgreSQL's backends is not counted.
    #[test]
    fn children_count() {
        let stat = |parent| Stat { parent, ticks: 1 };
        let all = BTreeMap::from([
            (1, stat(0)),
            (5, stat(1)),
            (6, stat(5)),
            (7, stat(6)),
            (8, stat(1)),
        ]);
        assert_eq!(family(&all, &[5]), [5, 6, 7]);
        assert_eq!(family(&all, &[9]), [0; 0]);
        let own = Processes {
            services: vec![std::process::id()],
            storage: vec![std::process::id()],
            database: None,
        };
        let before = own.times().expect("times");
        while own.times().expect("times").services == before.services {}
        assert!(own.peak().expect("a peak") > 1 << 20);
    }
}
