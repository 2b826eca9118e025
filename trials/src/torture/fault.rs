//! What is done to the services, and which of it can be done on this machine.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::{disks, failing, network};

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9` of some services.
    Kill,
    /// A service stands still, and goes on.
    Pause,
    /// Services do not hear of each other, one way or both.
    Partition,
    /// Nodes lose what their disks had not synced.
    Power,
    /// Bits turn over on one node's disk.
    Flip,
    /// The database, and ZooKeeper, end or stand still.
    Catalog,
    /// A node's disk is full.
    Full,
    /// Nodes get errors for what they write, sync or read.
    Fail,
}

impl Fault {
    /// Every kind.
    pub const ALL: [Fault; 8] = [
        Fault::Kill,
        Fault::Pause,
        Fault::Partition,
        Fault::Power,
        Fault::Flip,
        Fault::Catalog,
        Fault::Full,
        Fault::Fail,
    ];

    fn word(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::Pause => "pause",
            Fault::Partition => "partition",
            Fault::Power => "power",
            Fault::Flip => "flip",
            Fault::Catalog => "catalog",
            Fault::Full => "full",
            Fault::Fail => "fail",
        }
    }

    /// Why it cannot be done here; nothing when it can. It is tried out in `folder`.
    pub fn obstacle(self, folder: &Path, has_servers: bool) -> Option<String> {
        match self {
            Fault::Kill | Fault::Pause | Fault::Flip => None,
            Fault::Partition => network::obstacle(),
            Fault::Power | Fault::Full => disks::obstacle(folder),
            Fault::Fail => failing::obstacle(folder),
            Fault::Catalog if has_servers => None,
            Fault::Catalog => Some(
                "SQLite ends with its distributor; --postgres or --zookeeper start a server"
                    .to_owned(),
            ),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = Fault::ALL.into_iter();
        let found = all.clone().find(|fault| fault.word() == text);
        let words: Vec<&str> = all.map(Fault::word).collect();
        found.ok_or_else(|| format!("one of {}", words.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a documented fault cannot be asked for.
    #[test]
    fn every_fault_is_read_as_it_is_written() {
        for fault in Fault::ALL {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        assert!("earthquake".parse::<Fault>().is_err());
    }
}
