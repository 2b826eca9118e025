//! What happens on the links between nodes.

use replica::Event;
use wire::replication::Message;

use super::Cluster;
use crate::network::Packet;
use crate::queue::Happening;

impl Cluster {
    pub(super) fn link_happens(&mut self, what: Happening) {
        match what {
            Happening::Deliver {
                from,
                to,
                connection,
                packet,
            } => {
                if self.network.link(from, to).connection != Some(connection) {
                    return;
                }
                let process = self.nodes[to].process;
                let what = Happening::Deliver {
                    from,
                    to,
                    connection,
                    packet,
                };
                if let Some(Happening::Deliver { packet, .. }) = self.awake(to, process, what) {
                    self.arrives(from, to, *packet);
                }
            }
            Happening::LinkUp {
                node,
                peer,
                connection,
            } => {
                if self.network.link(node, peer).connection != Some(connection) {
                    return;
                }
                let process = self.nodes[node].process;
                if self
                    .awake(
                        node,
                        process,
                        Happening::LinkUp {
                            node,
                            peer,
                            connection,
                        },
                    )
                    .is_some()
                {
                    let name = self.nodes[peer].name.clone();
                    self.feed_all(node, &Event::LinkUp(name));
                }
            }
            Happening::LinkDown {
                node,
                process,
                peer,
            } => self.link_ends(node, process, peer),
            Happening::Connect { a, b } => self.connect(a, b),
            _ => {}
        }
    }

    /// A process notices that a connection ended, unless it began after that.
    fn link_ends(&mut self, node: usize, process: u64, peer: usize) {
        let what = Happening::LinkDown {
            node,
            process,
            peer,
        };
        if self.awake(node, process, what).is_some() {
            let name = self.nodes[peer].name.clone();
            self.feed_all(node, &Event::LinkDown(name));
        }
    }

    fn connect(&mut self, a: usize, b: usize) {
        let retry_ms = self.random.between(80, 160);
        self.after(retry_ms, Happening::Connect { a, b });
        let now_ms = self.now_ms;
        let runs = |node: &crate::node::Node| node.up && now_ms >= node.paused_until_ms;
        let can = runs(&self.nodes[a]) && runs(&self.nodes[b]);
        let next = self.network.next_connection();
        let link = self.network.link(a, b);
        if !can || link.connection.is_some() || now_ms < link.cut_until_ms {
            return;
        }
        link.connection = Some(next);
        link.last_ms = [now_ms; 2];
        for (node, peer) in [(a, b), (b, a)] {
            let delay_ms = self.random.between(1, 5);
            self.after(
                delay_ms,
                Happening::LinkUp {
                    node,
                    peer,
                    connection: next,
                },
            );
        }
    }

    /// Ends a connection: each end notices for itself, later.
    pub(crate) fn cut(&mut self, a: usize, b: usize, for_ms: u64) {
        let until_ms = self.now_ms + for_ms.max(450);
        let link = self.network.link(a, b);
        link.cut_until_ms = link.cut_until_ms.max(until_ms);
        if link.connection.take().is_none() {
            return;
        }
        for (node, peer) in [(a, b), (b, a)] {
            let delay_ms = self.random.between(0, 400);
            let process = self.nodes[node].process;
            self.after(
                delay_ms,
                Happening::LinkDown {
                    node,
                    process,
                    peer,
                },
            );
        }
    }

    /// Sends a packet, if there is a connection.
    pub(crate) fn send(&mut self, from: usize, to: usize, packet: Box<Packet>) {
        let usual_ms = if self.random.chance(1, 50) { 60 } else { 3 };
        let delay_ms = self.random.between(0, usual_ms);
        let now_ms = self.now_ms;
        let link = self.network.link(from, to);
        let Some(connection) = link.connection else {
            return;
        };
        let direction = usize::from(from > to);
        let last = &mut link.last_ms[direction];
        let at_ms = (now_ms + delay_ms + link.slow_ms)
            .max(link.dumb_until_ms[direction])
            .max(*last);
        *last = at_ms;
        self.queue.push(
            at_ms,
            Happening::Deliver {
                from,
                to,
                connection,
                packet,
            },
        );
    }

    fn arrives(&mut self, from: usize, to: usize, packet: Packet) {
        let shard = packet.envelope.shard;
        let name = self.nodes[from].name.clone();
        self.note(|| format!("{} -> {}: {}", from + 1, to + 1, told(&packet)));
        let Packet {
            mut envelope,
            births,
        } = packet;
        let Some(live) = self.nodes[to].live.get(&shard) else {
            return;
        };
        let mut checksum_here = None;
        if let Message::Hello(hello) = &envelope.message {
            checksum_here = live.checksum_at(hello.last.lsn);
        }
        if let Message::Records { frames, .. } = &mut envelope.message {
            let frames = std::mem::take(frames);
            if !live.core.accepts(&name, &envelope) {
                return;
            }
            if !self.take_frames((to, shard), frames, &births) {
                return self.feed(to, shard, Event::NotAppended);
            }
        }
        self.feed(
            to,
            shard,
            Event::Message {
                from: name,
                envelope,
                checksum_here,
            },
        );
        self.kick(to, shard);
    }
}

/// A packet in a few words.
fn told(packet: &Packet) -> String {
    let envelope = &packet.envelope;
    let (shard, epoch, attempt) = (envelope.shard, envelope.epoch, envelope.attempt);
    let what = match &envelope.message {
        Message::Hello(hello) => format!("hello at {} v{}", hello.last, hello.revision),
        Message::Refused(record) => format!("refused, v{}", record.revision()),
        Message::Diverged(end) => format!("diverged at {end}"),
        Message::StartOver { consistent_from } => format!("start over, until {consistent_from}"),
        Message::Follow => "follow".to_owned(),
        Message::Records { commit, frames, .. } => {
            format!("{} records, commit {commit}", frames.len())
        }
        Message::Commit { commit, lease_ms } => format!("commit {commit}, lease {lease_ms}"),
        Message::Ack { synced, .. } => format!("ack {synced}"),
        Message::Farewell => "farewell".to_owned(),
    };
    format!("shard {shard} epoch {epoch} attempt {attempt}: {what}")
}
