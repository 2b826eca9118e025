//! What a leader says that is deposed in the middle of a round.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use store::How;
use tokio::runtime;
use uuid::Uuid;
use wire::packet::{Decoder, Packet};
use wire::replication::{Hello, Message};
use wire::shard::{Leader, Member, ShardRecord};
use wire::{Epoch, Lsn, NodeName};

use super::{Rig, leading, mint};
use crate::links::{Outbox, Outgoing, Pace, Way};
use crate::metrics::Metrics;

fn peer() -> NodeName {
    "node2".parse().expect("a name")
}

/// A link to the other node, whose end the test reads.
fn link(rig: &Rig) -> Outgoing {
    let way = Way {
        runtime: runtime::Handle::current(),
        pace: Arc::new(Pace::new(None)),
        metrics: Arc::new(Metrics::default()),
    };
    let outbox = Outbox::new(peer(), 1, way);
    let body = outbox.body();
    rig.handle().link_up(&outbox);
    body
}

/// The same shard, led by the other node in the next epoch.
fn led_by_the_other(record: &ShardRecord) -> ShardRecord {
    let other = Member {
        node: peer(),
        replica: Uuid::from_u128(2),
    };
    let mut replicas = record.replicas.clone();
    replicas.push(other.clone());
    ShardRecord {
        epoch: Epoch(2),
        version: 2,
        in_sync: replicas.clone(),
        replicas,
        leader: Some(Leader {
            member: other,
            incarnation: Uuid::from_u128(3),
        }),
        ..record.clone()
    }
}

async fn hello(mut body: Outgoing) -> Hello {
    let mut decoder = Decoder::default();
    loop {
        let piece = body.next().await.expect("the link goes on");
        decoder.push(&piece.expect("comes"));
        while let Some(packet) = decoder.packet().expect("is a packet") {
            if let Packet::Said(envelope) = packet
                && let Message::Hello(hello) = envelope.message
            {
                return hello;
            }
        }
    }
}

// If this fails, a leader that woke from a pause greets its successor with the end of its log before
// what it appended just then, is let in, and acknowledges records that the successor never sent.
#[tokio::test]
async fn a_leader_deposed_in_the_round_of_an_append_tells_all_that_it_appended() {
    let (rig, record) = leading().await;
    let body = link(&rig);
    rig.faults.hold();
    let syncing = rig.put(mint(1), How::Create);
    let rest = async {
        let begun = Instant::now();
        while rig.faults.waiting() == 0 {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "nothing is synced"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // Both wait for the thread, which waits for the disk: they share its next round.
        let appended = rig.put(mint(2), How::Create);
        let deposed = async {
            rig.obey(&led_by_the_other(&record));
            rig.faults.release();
        };
        tokio::join!(appended, deposed)
    };
    let (kept, (lost, ())) = tokio::join!(syncing, rest);
    assert_eq!(kept.expect("is committed").outcome.lsn, Lsn(2));
    lost.expect_err("was appended by a leader that is none");
    let hello = tokio::time::timeout(Duration::from_secs(10), hello(body));
    let hello = hello.await.expect("asks the new leader to be let in");
    assert_eq!(hello.last.lsn, Lsn(3));
    rig.stop();
}
