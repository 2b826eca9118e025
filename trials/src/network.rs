//! A network for one cluster: a namespace for each service, joined by a bridge, in which any pair
//! can be cut off from each other. It needs root, `ip`, `iptables` and `nsenter`.

use std::collections::BTreeSet;

use crate::command::{self, ask, run};

/// Where the network namespaces of `ip netns` lie.
const NAMESPACES: &str = "/var/run/netns";

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
        let mark: u16 = rand::random();
        let [high, low] = mark.to_be_bytes();
        let mut network = Network {
            prefix: format!("aq{mark:04x}"),
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

/// Why no network can be made here; nothing when it can.
pub fn obstacle() -> Option<String> {
    let tried = Network::make(1).and_then(|mut network| {
        network.cut(0, 0)?;
        network.heal()?;
        ask("nsenter", &["--version"]).map(|_| ())
    });
    tried.err().map(|error| format!("{error:#}"))
}
