//! Links between nodes: ordered, with delays, until they are cut, in one direction or in both.
//!
//! A link is a stream, as TCP gives it: what is under way arrives once and in order, or the link
//! ends. So no packet is doubled or overtakes another one; what is repeated, the core repeats
//! itself, and an old link's packets are gone when a new link stands.

use wire::replication::Envelope;

/// A message, and what only the simulator knows of the records in it.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) envelope: Envelope,
    /// For each frame, the number of the append that made its record.
    pub(crate) births: Vec<u64>,
}

/// What connects two nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Link {
    /// The connection that stands; none while it is cut.
    pub(crate) connection: Option<u64>,
    /// Nothing can connect until this time.
    pub(crate) cut_until_ms: u64,
    /// When the last packet arrives, in each direction: packets never overtake.
    pub(crate) last_ms: [u64; 2],
    /// Slower than usual by so much.
    pub(crate) slow_ms: u64,
    /// Nothing arrives before this time, in each direction.
    pub(crate) dumb_until_ms: [u64; 2],
}

/// All links of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    links: Vec<Link>,
    nodes: usize,
    connections: u64,
}

impl Network {
    pub(crate) fn new(nodes: usize) -> Network {
        Network {
            links: vec![Link::default(); nodes * nodes],
            nodes,
            connections: 0,
        }
    }

    pub(crate) fn link(&mut self, a: usize, b: usize) -> &mut Link {
        let (low, high) = (a.min(b), a.max(b));
        &mut self.links[low * self.nodes + high]
    }

    pub(crate) fn next_connection(&mut self) -> u64 {
        self.connections += 1;
        self.connections
    }
}
