//! A network for one cluster: a namespace for each service, joined by a bridge, in which any pair
//! can be cut off from each other. It needs root, `ip`, `iptables` and `nsenter`.
//!
//! All of it outlives the process that made it. So each name has the process's number, and each run
//! first removes the networks of those that were killed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::command::{self, ask, run};
use crate::run::owner;

/// Where the network namespaces of `ip netns` lie.
const NAMESPACES: &str = "/var/run/netns";

/// Where the system tells of its network devices.
const DEVICES: &str = "/sys/class/net";

/// What the names of networks begin with; the owner's number and that of the network follow, in so many
/// digits: a device's name has 15 characters at the most.
const PREFIX: &str = "aq";
const OWNER_DIGITS: usize = 6;
const NUMBER_DIGITS: usize = 2;

/// Numbers the networks of this process.
static NETWORKS: AtomicU8 = AtomicU8::new(0);

/// A bridge, and a namespace for each service on it. Dropped, all of it is removed.
pub struct Network {
    prefix: String,
    subnet: String,
    cuts: BTreeSet<(usize, usize)>,
    namespaces: usize,
}

impl Network {
    /// Makes a network for so many services.
    ///
    /// # Errors
    /// When the system does not let us: then there are no partitions here.
    pub fn make(services: usize) -> anyhow::Result<Self> {
        Network::of(owner::this_process(), services)
    }

    fn of(owner: u32, services: usize) -> anyhow::Result<Self> {
        let number = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let [high, low]: [u8; 2] = rand::random();
        let mut network = Network {
            prefix: format!("{PREFIX}{owner:0OWNER_DIGITS$x}{number:0NUMBER_DIGITS$x}"),
            subnet: format!("10.{}.{low}", 128 | high),
            cuts: BTreeSet::new(),
            namespaces: 0,
        };
        let bridge = network.prefix.clone();
        run("ip", &["link", "add", &bridge, "type", "bridge"])?;
        let gateway = format!("{}/24", network.gateway());
        run("ip", &["addr", "add", &gateway, "dev", &bridge])?;
        run("ip", &["link", "set", &bridge, "up"])?;
        for place in 0..services {
            network.join(place)?;
        }
        Ok(network)
    }

    /// The address under which this process is reached, and from which it reaches the services.
    pub fn gateway(&self) -> String {
        format!("{}.1", self.subnet)
    }

    /// The address of the service at a place.
    pub fn address(&self, place: usize) -> String {
        format!("{}.{}", self.subnet, place + 10)
    }

    /// What runs a program at a place; the program is its last argument.
    pub fn runner(&self, place: usize) -> (&'static str, String) {
        let namespace = self.namespace(place);
        ("nsenter", format!("--net={NAMESPACES}/{namespace}"))
    }

    /// Nothing that `from` sends arrives at `to` any more.
    ///
    /// # Errors
    /// When the rule cannot be set.
    pub fn cut(&mut self, from: usize, to: usize) -> anyhow::Result<()> {
        if self.cuts.insert((from, to)) {
            self.rule("-A", from, to)?;
        }
        Ok(())
    }

    /// Everything arrives again.
    ///
    /// # Errors
    /// When a rule cannot be removed.
    pub fn heal(&mut self) -> anyhow::Result<()> {
        for (from, to) in std::mem::take(&mut self.cuts) {
            self.rule("-D", from, to)?;
        }
        Ok(())
    }

    fn rule(&self, change: &str, from: usize, to: usize) -> anyhow::Result<()> {
        let (namespace, source) = (self.namespace(to), self.address(from));
        let rule = [
            "iptables", "-w", change, "INPUT", "-s", &source, "-j", "DROP",
        ];
        let inside = ["netns", "exec", &namespace];
        run("ip", &[&inside[..], &rule[..]].concat())
    }

    fn namespace(&self, place: usize) -> String {
        format!("{}n{place}", self.prefix)
    }

    fn join(&mut self, place: usize) -> anyhow::Result<()> {
        let (namespace, outside) = (self.namespace(place), format!("{}v{place}", self.prefix));
        run("ip", &["netns", "add", &namespace])?;
        self.namespaces += 1;
        let pair = [
            "link", "add", &outside, "type", "veth", "peer", "name", "eth0",
        ];
        run("ip", &[&pair[..], &["netns", &namespace]].concat())?;
        run(
            "ip",
            &["link", "set", &outside, "master", &self.prefix, "up"],
        )?;
        let address = format!("{}/24", self.address(place));
        let inside = ["-n", &namespace];
        run(
            "ip",
            &[&inside[..], &["addr", "add", &address, "dev", "eth0"]].concat(),
        )?;
        run(
            "ip",
            &[&inside[..], &["link", "set", "eth0", "up"]].concat(),
        )?;
        run("ip", &[&inside[..], &["link", "set", "lo", "up"]].concat())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for place in 0..self.namespaces {
            command::report(run("ip", &["netns", "del", &self.namespace(place)]));
        }
        command::report(run("ip", &["link", "del", &self.prefix]));
    }
}

/// Removes the networks of processes that no longer live. Gives how many namespaces and devices they had.
///
/// # Errors
/// When the system does not let one go.
pub(crate) fn remove_left() -> anyhow::Result<usize> {
    // A device goes with the namespace at its other end, some time later: so devices are first.
    let kinds = [(DEVICES, "link"), (NAMESPACES, "netns")];
    let mut removed = 0;
    for (folder, kind) in kinds {
        for name in left(Path::new(folder)) {
            let gone = run("ip", &[kind, "del", &name]);
            // Another run may have removed it at the same time.
            if gone.is_err() && Path::new(folder).join(&name).exists() {
                gone?;
            }
            removed += 1;
        }
    }
    Ok(removed)
}

/// The names in a folder whose owners no longer live; where there is no such folder, nothing is left.
/// A name has no room for a PID namespace: containers in which runs make networks must not share the host's.
fn left(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let is_left = |name: &String| owner_of(name).is_some_and(|owner| !owner::lives(owner));
    names.filter(is_left).collect()
}

/// Whose a bridge, a device on it or a namespace is, by its name; nothing if it is no run's.
fn owner_of(name: &str) -> Option<u32> {
    let (owner, rest) = name.strip_prefix(PREFIX)?.split_at_checked(OWNER_DIGITS)?;
    let (number, place) = rest.split_at_checked(NUMBER_DIGITS)?;
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_place = place.is_empty() || place.starts_with(['n', 'v']);
    let is_one = are_digits(owner) && are_digits(number) && is_place;
    is_one
        .then(|| u32::from_str_radix(owner, 16).ok())
        .flatten()
}

/// Why no network can be made here; nothing when it can.
pub fn obstacle() -> Option<String> {
    let tried = Network::make(1).and_then(|mut network| {
        network.cut(0, 0)?;
        network.heal()?;
        ask("nsenter", &["--version"]).map(|_| ())
    });
    tried.err().map(|error| format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::owner::tests::of_a_dead_process;

    /// The namespaces and devices of a network that are there.
    fn parts(network: &Network) -> usize {
        let folders = [DEVICES, NAMESPACES].into_iter();
        let entries = folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten());
        let names = entries.map(|entry| entry.expect("is told").file_name());
        let is_its =
            |name: &std::ffi::OsString| name.to_string_lossy().starts_with(&network.prefix);
        names.filter(is_its).count()
    }

    // If this fails, each run that is killed leaves a network behind, or a run takes that of another away.
    #[test]
    fn networks_go_whose_owner_no_longer_lives() {
        if let Some(why) = obstacle() {
            return command::skipped("networks_go_whose_owner_no_longer_lives", &why);
        }
        let own = Network::make(1).expect("makes one");
        let left = Network::of(of_a_dead_process(), 2).expect("makes one");
        assert_eq!((parts(&own), parts(&left)), (3, 5));
        remove_left().expect("removes it");
        assert_eq!((parts(&own), parts(&left)), (3, 0));
        std::mem::forget(left);
        let prefix = own.prefix.clone();
        drop(own);
        assert!(!Path::new(DEVICES).join(prefix).exists());
    }

    // If this fails, the network of something else is removed.
    #[test]
    fn only_a_networks_names_name_an_owner() {
        for (name, owner) in [
            ("aq0010e703", Some(0x10e7)),
            ("aq3fffff00n12", Some(0x003f_ffff)),
            ("aq0010e703v1", Some(0x10e7)),
            ("aq0010e7", None),
            ("aq10e7n0", None),
            ("aq+010e703", None),
            ("aq0010e703x1", None),
            ("eth0", None),
        ] {
            assert_eq!(owner_of(name), owner, "{name}");
        }
    }
}
