//! Whose the services and networks of a run are. Each of them carries the number of the process that made it, by
//! which a later run can tell what was left by one that was killed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

/// Names the owner in the environment of a service.
pub(crate) const VARIABLE: &str = "TRIAL_OWNER";

/// How long a service that is killed may take to end.
const END_TIME_MAX: Duration = Duration::from_secs(5);

/// What names an owner there: its number, and the PID namespace in which it has that. A run in a container has another
/// number outside of it, where its services are seen all the same.
pub(crate) fn named(owner: u32) -> String {
    format!("{owner} {}", namespace())
}

/// The PID namespace of this process; nothing where the system has only one.
fn namespace() -> String {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().into_owned()
}

/// The number under which this process owns what it makes.
pub(crate) fn this_process() -> u32 {
    std::process::id()
}

/// Whether an owner lives. Its number may be another process's by now: then what it left stays a while longer.
pub(crate) fn lives(owner: u32) -> bool {
    Path::new(&format!("/proc/{owner}")).exists()
}

/// Kills the services whose owners no longer live, and waits until they have ended. Gives how many.
///
/// # Errors
/// When one of them does not end.
pub(super) fn end_orphans() -> anyhow::Result<usize> {
    let mut killed = BTreeSet::new();
    let begun = Instant::now();
    loop {
        let orphans = services_of(|owner| !lives(owner))?;
        if orphans.is_empty() {
            return Ok(killed.len());
        }
        ensure!(
            begun.elapsed() < END_TIME_MAX,
            "services of runs that were killed do not end: {orphans:?}"
        );
        for orphan in orphans {
            match Pid::from_raw(orphan).map(|pid| kill_process(pid, Signal::KILL)) {
                None | Some(Ok(()) | Err(Errno::SRCH)) => killed.insert(orphan),
                Some(Err(error)) => return Err(error.into()),
            };
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The services that run and whose owner is one of these, in the PID namespace of this process: of others nobody
/// here can tell who lives.
///
/// # Errors
/// When the system does not tell of its processes.
pub fn services_of(is_one: impl Fn(u32) -> bool) -> anyhow::Result<Vec<i32>> {
    let numbers = fs::read_dir("/proc")?.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse().ok()
    });
    let here = namespace();
    let is_wanted = |number: &i32| {
        // Who has ended has no environment, and that of others is nobody else's to read.
        let environment = fs::read(format!("/proc/{number}/environ"));
        environment.is_ok_and(|text| owner_in(&text, &here).is_some_and(&is_one))
    };
    Ok(numbers.filter(is_wanted).collect())
}

/// The owner that an environment names, if it is one of this namespace.
fn owner_in(environment: &[u8], here: &str) -> Option<u32> {
    let variables = environment.split(|byte| *byte == 0);
    let mut texts = variables.filter_map(|variable| std::str::from_utf8(variable).ok());
    let named = texts.find_map(|text| text.strip_prefix(VARIABLE)?.strip_prefix('='));
    let (owner, namespace) = named?.split_once(' ')?;
    (namespace == here).then(|| owner.parse().ok()).flatten()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command};

    use super::*;

    /// The number of a process that has ended.
    pub(crate) fn of_a_dead_process() -> u32 {
        let mut dead = Command::new("true").spawn().expect("runs");
        dead.wait().expect("ends");
        dead.id()
    }

    /// A service of whoever is named so.
    fn service_of(owner: &str) -> Child {
        let mut service = Command::new("sleep");
        let service = service.arg("60").env(VARIABLE, owner);
        let service = service.spawn().expect("runs");
        // It has its environment a moment after its parent goes on.
        let environment = format!("/proc/{}/environ", service.id());
        let has_it = |text: Vec<u8>| String::from_utf8_lossy(&text).contains(owner);
        while !fs::read(&environment).is_ok_and(has_it) {
            std::thread::sleep(Duration::from_millis(1));
        }
        service
    }

    // If this fails, the services of a run that was killed go on for ever, or those of one that runs are ended, here or
    // in a container.
    #[test]
    fn services_end_whose_owner_no_longer_lives() {
        let own = service_of(&named(this_process()));
        let dead = of_a_dead_process();
        let elsewhere = service_of(&format!("{dead} pid:[1]"));
        let mut orphan = service_of(&named(dead));
        end_orphans().expect("they end");
        let ended = orphan.wait().expect("ends");
        assert_eq!(ended.signal(), Some(9), "{ended}");
        for mut service in [own, elsewhere] {
            let ended = service.try_wait().expect("is a child");
            service.kill().expect("is a child");
            service.wait().expect("ends");
            assert_eq!(ended, None, "it runs");
        }
    }

    // If this fails, a process is taken for a service that is none, or for one of a run whose number means another
    // process here.
    #[test]
    fn an_owner_is_named_by_one_variable() {
        let here = "pid:[4026531836]";
        for (environment, owner) in [
            (
                "PATH=/bin\0TRIAL_OWNER=7 pid:[4026531836]\0PORT=1\0",
                Some(7),
            ),
            ("TRIAL_OWNER=7 pid:[4026532201]\0", None),
            ("TRIAL_OWNER=7\0", None),
            ("TRIAL_OWNER=x pid:[4026531836]\0", None),
            (
                "XTRIAL_OWNER=7 pid:[4026531836]\0TRIAL_OWNERS=7 pid:[4026531836]\0",
                None,
            ),
            ("", None),
        ] {
            let found = owner_in(environment.as_bytes(), here);
            assert_eq!(found, owner, "{environment:?}");
        }
    }
}
