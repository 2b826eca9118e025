//! What another node says of a record that is damaged here: that it has dropped it, or that it needs it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use store::disk::FileSystem;
use store::{How, NewContent, Payload};
use tempfile::TempDir;
use uuid::Uuid;
use wire::membership::{HeartbeatAnswer, NodeAddress, ShardMap};
use wire::shard::{Leader, Member, ShardRecord, ShardState};
use wire::{Checksum, Epoch};

use super::*;
use crate::clock;
use crate::driver::admission::Admission;
use crate::driver::command::{Wait, What};
use crate::driver::{Driver, Parts};
use crate::gauges::Sampler;
use crate::lister::Feed;
use crate::membership::data_dir::DataDir;
use crate::membership::duty::Me;
use crate::membership::heartbeat::Map;
use crate::membership::register::ASKED_MAX;

const SHARD: ShardNo = ShardNo(1);

/// A node that leads a shard alone, and its work of repair.
struct Rig {
    driver: Driver,
    work: Work,
    metrics: Arc<Metrics>,
    hints: Hints,
    _folder: TempDir,
    _sampler: Sampler,
}

fn name(text: &str) -> NodeName {
    text.parse().expect("a name")
}

const DROPPED: &str = "HTTP/1.1 410 Gone\r\ncontent-length: 0";

/// A node that gives the same answer to whatever it is asked; its address.
fn who_answers(answer: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("it connects");
            let asked = stream.read(&mut [0; 4096]).expect("it asks");
            assert!(asked > 0);
            let answer = format!("{answer}\r\nconnection: close\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).expect("it listens");
        }
    });
    format!("http://{address}")
}

fn record(members: Vec<Member>, incarnation: Uuid) -> ShardRecord {
    let leader = Leader {
        member: members[0].clone(),
        incarnation,
    };
    ShardRecord {
        shard: SHARD,
        log: 7,
        epoch: Epoch(1),
        leader: Some(leader),
        in_sync: members.clone(),
        eligible: vec![],
        replicas: members,
        min_in_sync: 1,
        degraded: false,
        state: ShardState::Open,
        lineage: 0,
        version: 1,
    }
}

/// A node, and the map by which it leads alone; its work knows of the other node.
fn start(url: String) -> (Rig, ShardMap) {
    let folder = tempfile::tempdir().expect("a folder");
    let (me, other) = (name("node1"), name("node2"));
    let incarnation = Uuid::new_v4();
    let (sampler, gauges) = Sampler::start(folder.path()).expect("samples");
    let (register, _) = tokio::sync::mpsc::channel(ASKED_MAX);
    let metrics = Arc::new(Metrics::default());
    let driver = Driver::start(Parts {
        me: Me {
            name: me.clone(),
            incarnation,
        },
        dir: DataDir::open(folder.path(), &me).expect("opens"),
        disk: Arc::new(FileSystem),
        admission: Arc::new(Admission::new(None, gauges)),
        feed: Arc::new(Feed::default()),
        metrics: Arc::clone(&metrics),
        register,
    });
    let driver = driver.expect("starts");
    let replica = driver.handle().presence().offer();
    let member = |node: &NodeName| Member {
        node: node.clone(),
        replica,
    };
    let address = NodeAddress {
        internal_url: url.clone(),
        public_url: url,
    };
    let alone = ShardMap {
        shards: vec![record(vec![member(&me)], incarnation)],
        ..ShardMap::default()
    };
    let both = ShardMap {
        shards: vec![record(vec![member(&me), member(&other)], incarnation)],
        nodes: [(other, address)].into(),
    };
    drop(rustls::crypto::ring::default_provider().install_default());
    let (map, hints) = (Map::default(), Hints::default());
    map.confirm(Some(&both));
    let copies = Copies::new(me, map, None).expect("a client");
    let handle = driver.handle().clone();
    let work = Work::new(handle, copies, hints.clone(), Arc::clone(&metrics));
    let rig = Rig {
        driver,
        work,
        metrics,
        hints,
        _folder: folder,
        _sampler: sampler,
    };
    (rig, alone)
}

impl Rig {
    async fn lead(&self, map: ShardMap) {
        self.driver.handle().follow(HeartbeatAnswer {
            cluster: Uuid::from_u128(1),
            session_ms: 1000,
            map_version: 1,
            map: Some(map),
            want_records: false,
        });
        let is_leading = || {
            let replica = self.driver.handle().table().replica(SHARD);
            replica.is_some_and(|replica| replica.is_leading())
        };
        while !is_leading() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn change(&self, id: ContentId, what: What) -> Lsn {
        let changed = self.driver.handle().change(id, what, Wait::Committed);
        changed.await.expect("it leads").outcome.lsn
    }

    /// Asks for a record until that was tried so often; how often the record was given up.
    async fn ask_for(&mut self, lsn: Lsn, times: u32) -> u64 {
        let before = self.metrics.damage_given_up.get();
        for _ in 0..times {
            self.hints.add(SHARD, lsn);
            self.work.attempts.done((SHARD, lsn));
            self.work.round().await;
        }
        assert_eq!(self.metrics.repairs_failed.get(), 0);
        self.metrics.damage_given_up.get() - before
    }
}

fn put() -> What {
    let bytes = b"some bytes";
    let new = NewContent {
        filename: "a".to_owned(),
        content_type: "text/plain".to_owned(),
        collection: None,
        attributes: None,
        size: bytes.len() as u64,
        checksum: Checksum(*blake3::hash(bytes).as_bytes()),
    };
    What::Put {
        new,
        how: How::Create,
        payload: Payload::new(bytes.to_vec().into()),
    }
}

// If this fails, what a node goes on serving until it is superseded is counted, and told, as given up with
// each attempt.
#[tokio::test]
async fn what_is_needed_here_is_not_told_as_given_up() {
    let (mut rig, alone) = start(who_answers(DROPPED, ""));
    rig.lead(alone).await;
    let id = ContentId::mint(SHARD, clock::now_ms(), 1);
    let lsn = rig.change(id, put()).await;
    assert_eq!(rig.ask_for(lsn, 5).await, 0, "it is served here");
    rig.change(id, What::Delete { if_match: None }).await;
    assert_eq!(rig.ask_for(lsn, 1).await, 1, "it is superseded");
    rig.driver.stop();
}

// If this fails, small records that are lost beside a large one are never mended; or one that never was here
// is written there.
#[tokio::test]
async fn what_is_lost_here_is_needed_where_another_node_says_so() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 3";
    let (rig, _) = start(who_answers(answer, "[2]"));
    let mut stage = store::stage::Stage::new();
    for n in 0..2 {
        stage.put(n, &store::stage::body(n, 100));
    }
    stage.put(2, &store::stage::body(2, 70_000));
    stage.settle();
    let copies = rig.work.copies.of(SHARD);
    let lost = |first, last| Damage {
        lost: vec![store::Lost {
            first: Lsn(first),
            last: Lsn(last),
        }],
        ..Damage::default()
    };
    for (lsn, damage, need) in [
        (2, lost(1, 4), Need::Certain),
        (2, lost(3, 4), Need::Unknown),
        (3, lost(1, 4), Need::Unknown),
        (4, lost(1, 4), Need::Unknown),
    ] {
        let record = stage.store.reader().record(Lsn(lsn)).expect("intact");
        let told = rig.work.need(&copies[0], &damage, &record).await;
        assert_eq!(told, need, "{lsn} of {damage:?}");
    }
    rig.driver.stop();
}
