//! The disk thread with a disk that fails, and a distributor that is played here.

mod deposed;
mod obeying;
mod waiting;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use store::{ChangeError, How, NewContent, Payload};
use tempfile::TempDir;
use tokio::sync::mpsc::Receiver;
use uuid::Uuid;
use wire::content::Status;
use wire::membership::{HeartbeatAnswer, ShardMap};
use wire::position::Epoch;
use wire::shard::{Leader, Member, ShardRecord, ShardState};
use wire::{Checksum, ContentId, NodeName, ShardNo};

use super::admission::{Admission, AdmissionError};
use super::command::{Ack, ChangeFailure, Wait, What};
use super::faulty_disk::{Faults, FaultyDisk};
use super::table::Standing;
use super::upload::{Described, Expected, Upload, UploadError};
use super::{Driver, Handle, Parts};
use crate::clock;
use crate::gauges::Gauges;
use crate::gauges::Sampler;
use crate::lister::Feed;
use crate::membership::data_dir::{DataDir, DataDirError};
use crate::membership::duty::Me;
use crate::membership::register::{ASKED_MAX, Ask};
use crate::metrics::Metrics;

const SHARD: ShardNo = ShardNo(1);
const CLUSTER: Uuid = Uuid::from_u128(1);

/// A disk thread, without anything around it.
struct Rig {
    folder: TempDir,
    driver: Driver,
    me: Me,
    faults: Arc<Faults>,
    _asked: Receiver<Ask>,
    _sampler: Sampler,
}

fn name() -> NodeName {
    "node1".parse().expect("a name")
}

fn start(folder: TempDir) -> Rig {
    let disk = FaultyDisk::default();
    let faults = disk.faults();
    let me = Me {
        name: name(),
        incarnation: Uuid::new_v4(),
    };
    let (sampler, gauges): (Sampler, Gauges) = Sampler::start(folder.path()).expect("samples");
    let (register, asked) = tokio::sync::mpsc::channel(ASKED_MAX);
    let driver = Driver::start(Parts {
        me: me.clone(),
        dir: DataDir::open(folder.path(), &name()).expect("opens"),
        disk: Arc::new(disk),
        admission: Arc::new(Admission::new(None, gauges)),
        feed: Arc::new(Feed::default()),
        metrics: Arc::new(Metrics::default()),
        register,
    });
    Rig {
        folder,
        driver: driver.expect("starts"),
        me,
        faults,
        _asked: asked,
        _sampler: sampler,
    }
}

/// A rig that leads one open shard in epoch 1.
async fn leading() -> (Rig, ShardRecord) {
    let rig = start(tempfile::tempdir().expect("a folder"));
    let record = rig.first_record();
    rig.obey(&record);
    rig.until(Standing::Leading).await;
    (rig, record)
}

impl Rig {
    fn handle(&self) -> &Handle {
        self.driver.handle()
    }

    fn first_record(&self) -> ShardRecord {
        let member = Member {
            node: name(),
            replica: self.handle().presence().offer(),
        };
        let leader = Leader {
            member: member.clone(),
            incarnation: self.me.incarnation,
        };
        ShardRecord {
            shard: SHARD,
            log: 7,
            epoch: Epoch(1),
            leader: Some(leader),
            in_sync: vec![member.clone()],
            eligible: vec![],
            replicas: vec![member],
            min_in_sync: 1,
            degraded: false,
            state: ShardState::Open,
            lineage: 0,
            version: 1,
        }
    }

    fn obey(&self, record: &ShardRecord) {
        let map = ShardMap {
            shards: vec![record.clone()],
            ..ShardMap::default()
        };
        self.handle().follow(HeartbeatAnswer {
            cluster: CLUSTER,
            session_ms: 1000,
            map_version: record.version,
            map: Some(map),
            want_records: false,
        });
    }

    fn standing(&self) -> Option<Standing> {
        self.handle()
            .table()
            .replica(SHARD)
            .map(|replica| replica.standing)
    }

    async fn until(&self, standing: Standing) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.standing() != Some(standing) {
            assert!(
                Instant::now() < deadline,
                "in vain: {standing:?}, is {:?}",
                self.standing()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn put(&self, id: ContentId, how: How) -> Result<Ack, ChangeFailure> {
        self.handle().change(id, put(how), Wait::Committed).await
    }

    fn stop(self) -> TempDir {
        self.driver.stop();
        self.folder
    }
}

fn mint(random: u64) -> ContentId {
    ContentId::mint(SHARD, clock::now_ms(), random)
}

fn put(how: How) -> What {
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
        how,
        payload: Payload::new(bytes.to_vec().into()),
    }
}

// If this fails, sixteen small uploads at once take sixteen syncs, and are as slow.
#[tokio::test]
async fn changes_that_wait_together_share_a_sync() {
    let (rig, _) = leading().await;
    let before = rig.faults.syncs.load(Ordering::SeqCst);
    rig.faults.hold();
    let all = join_all((0..64).map(|number| rig.put(mint(number), How::Create)));
    let release = async {
        // All have been sent by the time that this is polled; the first holds the sync.
        tokio::time::sleep(Duration::from_millis(50)).await;
        rig.faults.release();
    };
    let (all, ()) = tokio::join!(all, release);
    for ack in all {
        assert_eq!(ack.expect("is committed").status, Status::Pending);
    }
    let syncs = rig.faults.syncs.load(Ordering::SeqCst) - before;
    assert!((1..=3).contains(&syncs), "{syncs} syncs for 64 changes");
    rig.stop();
}

// If this fails, the leader of a quiet shard looks as if its disk was slow, hands over in the middle of
// every slow upload, and ends it.
#[tokio::test]
async fn chunks_are_synced_although_nobody_waits() {
    let (rig, _) = leading().await;
    let before = rig.faults.syncs.load(Ordering::SeqCst);
    let payload = Payload::new(vec![7; 1000].into());
    let first = rig.handle().first_chunk(mint(1), How::Create, payload);
    first.await.expect("is appended");
    let begun = Instant::now();
    while rig.faults.syncs.load(Ordering::SeqCst) == before {
        assert!(begun.elapsed() < Duration::from_secs(10), "in vain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rig.stop();
}

// If this fails, uploads without a length, or many at once, fill a follower's disk up to where not even a
// delete fits.
#[tokio::test]
async fn an_upload_ends_where_a_copy_has_no_room() {
    let (rig, _) = leading().await;
    rig.faults.hold();
    let held = rig.put(mint(1), How::Create);
    let rest = async {
        while rig.faults.waiting() == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let replica = rig.handle().table().replica(SHARD).expect("is led here");
        replica.gauge.set_copies_free_bytes(1 << 19);
        let expected = Expected::default();
        let begun = Upload::begin(rig.handle(), mint(2), How::Create, &expected);
        let refused = begun.expect("begins").push(&vec![7; (1 << 20) + 1]).await;
        rig.faults.release();
        refused.expect_err("half of it fits")
    };
    let (held, refused) = tokio::join!(held, rest);
    held.expect("is committed");
    let full = matches!(
        refused,
        UploadError::NotAdmitted(AdmissionError::CopyFull { .. })
    );
    assert!(full, "{refused:?}");
    rig.stop();
}

// If this fails, a few slow clients take all the room for chunks, and every other large upload waits
// until they are done.
#[tokio::test]
async fn uploads_that_pause_take_no_room_from_others() {
    let (rig, _) = leading().await;
    let piece = vec![7; (3 << 20) + 1];
    let mut paused = Vec::new();
    for number in 0..40 {
        let expected = Expected::default();
        let mut upload =
            Upload::begin(rig.handle(), mint(number), How::Create, &expected).expect("begins");
        let pushed = tokio::time::timeout(Duration::from_secs(10), upload.push(&piece)).await;
        pushed.expect("has room").expect("is taken");
        paused.push(upload);
    }
    drop(paused);
    rig.stop();
}

// If this fails, a leader whose disk hangs keeps its office, and its shards are closed for as long.
#[tokio::test]
async fn a_node_whose_disk_hangs_is_stuck_until_it_answers() {
    let (rig, _) = leading().await;
    let soon_stuck = || {
        let presence = rig.handle().presence();
        presence.is_stuck(clock::monotone_ms() + 4_000)
    };
    assert!(!soon_stuck());
    rig.faults.hold_writes();
    let put = rig.put(mint(1), How::Create);
    let hang = async {
        while !soon_stuck() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        rig.faults.release();
    };
    let (put, ()) = tokio::join!(put, hang);
    put.expect("is committed, late");
    while soon_stuck() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    rig.stop();
}

// If this fails, a disk that loses data is written to on, and acknowledges what is not there.
#[tokio::test]
async fn after_a_failed_sync_nothing_is_acknowledged_any_more() {
    let (rig, record) = leading().await;
    let kept = mint(1);
    rig.put(kept, How::Create).await.expect("is committed");
    rig.faults.fail_syncs.store(true, Ordering::SeqCst);
    let lost = rig.put(mint(2), How::Create).await;
    assert!(matches!(lost, Err(ChangeFailure::Lost)), "{lost:?}");
    rig.faults.fail_syncs.store(false, Ordering::SeqCst);

    assert_eq!(rig.standing(), Some(Standing::Poisoned));
    for how in [How::Create, How::Update { if_match: None }] {
        let refused = rig.put(kept, how).await;
        assert!(matches!(refused, Err(ChangeFailure::NotLed)), "{refused:?}");
    }
    // Not even a new term helps; what was committed is still read.
    rig.obey(&ShardRecord {
        epoch: Epoch(2),
        version: 2,
        ..record
    });
    let replica = rig.handle().table().replica(SHARD).expect("is held");
    assert!(replica.is_readable() && replica.reader.open(kept).is_ok());

    // A new process reads the log back from the disk, and leads again when it is told to.
    let rig = start(rig.stop());
    assert_eq!(rig.standing(), Some(Standing::Idle));
    let record = rig
        .handle()
        .table()
        .replica(SHARD)
        .and_then(|replica| replica.record.clone());
    let mut record = record.expect("was kept");
    let leader = record.leader.as_mut().expect("has one");
    leader.incarnation = rig.me.incarnation;
    rig.obey(&ShardRecord {
        epoch: Epoch(3),
        version: 3,
        ..record
    });
    rig.until(Standing::Leading).await;
    rig.put(mint(3), How::Create).await.expect("is committed");
    rig.stop();
}

// If this fails, a node that cannot keep what it is told counts as the leader that it does not become,
// and its shards are closed until somebody starts it again.
#[tokio::test]
async fn a_replica_that_cannot_keep_its_record_is_halted() {
    let (rig, record) = leading().await;
    let spare = rig.folder.path().join("shards/1/record.spare");
    std::fs::remove_file(&spare).expect("is there");
    std::fs::create_dir(&spare).expect("stands in the way");
    rig.obey(&ShardRecord {
        epoch: Epoch(2),
        version: 2,
        ..record.clone()
    });
    rig.until(Standing::Poisoned).await;
    rig.stop();

    // On a disk that is only full it waits.
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let error = |source| DataDirError::Io {
        path: spare.clone(),
        source,
    };
    assert!(error(full).is_full());
    assert!(!error(std::io::Error::other("broken")).is_full());
}

// If this fails, a full disk stops a shard for good, or a refused chunk stops the disk thread.
#[tokio::test]
async fn a_full_disk_refuses_and_recovers() {
    let (rig, _) = leading().await;
    let id = mint(1);
    let body = vec![7; 1 << 20];
    let mut upload =
        Upload::begin(rig.handle(), id, How::Create, &Expected::default()).expect("begins");
    rig.faults.full.store(true, Ordering::SeqCst);
    // Space that was allocated ahead takes some of it.
    let mut refused = None;
    for _ in 0..600 {
        if let Err(error) = upload.push(&body).await {
            refused = Some(error);
            break;
        }
    }
    let full = |error: &UploadError| {
        matches!(
            error,
            UploadError::Change(ChangeFailure::Refused(ChangeError::Append(
                store::AppendError::Full { .. }
            )))
        )
    };
    assert!(refused.as_ref().is_some_and(full), "{refused:?}");
    drop(upload);
    rig.faults.full.store(false, Ordering::SeqCst);
    let deadline = Instant::now() + Duration::from_secs(5);
    while let Err(error) = rig.put(id, How::Create).await {
        let running = ChangeFailure::Refused(ChangeError::InProgress);
        assert_eq!(error.to_string(), running.to_string());
        assert!(
            Instant::now() < deadline,
            "the broken upload is never ended"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(rig.standing(), Some(Standing::Leading));
    rig.stop();
}

// If this fails, a shard that is full grows on, or what is in it cannot be changed any more.
#[tokio::test]
async fn a_closed_shard_takes_changes_of_what_it_has() {
    let (rig, record) = leading().await;
    let id = mint(1);
    rig.put(id, How::Create).await.expect("is committed");
    rig.obey(&ShardRecord {
        state: ShardState::Closed,
        version: 2,
        ..record
    });
    let refused = rig.put(mint(2), How::Create).await;
    assert!(
        matches!(refused, Err(ChangeFailure::ShardClosed)),
        "{refused:?}"
    );
    assert!(
        rig.put(id, How::Create)
            .await
            .expect("was committed")
            .outcome
            .repeated
    );
    let updated = rig
        .put(id, How::Update { if_match: None })
        .await
        .expect("is committed");
    assert_eq!(updated.outcome.version, 2);
    let deleted = rig
        .handle()
        .change(id, What::Delete { if_match: None }, Wait::Committed)
        .await;
    assert_eq!(deleted.expect("is committed").outcome.version, 2);
    rig.stop();
}

// If this fails, a leader that was deposed writes on beside its successor.
#[tokio::test]
async fn a_deposed_leader_takes_nothing_and_its_term_is_kept() {
    let (rig, record) = leading().await;
    let mut deposed = ShardRecord {
        epoch: Epoch(2),
        version: 2,
        ..record.clone()
    };
    let leader = deposed.leader.as_mut().expect("has one");
    leader.member.node = "node2".parse().expect("a name");
    rig.obey(&deposed);
    rig.until(Standing::Following).await;
    let refused = rig.put(mint(1), How::Create).await;
    assert!(matches!(refused, Err(ChangeFailure::NotLed)), "{refused:?}");
    // An older record, late on its way, changes nothing.
    rig.obey(&record);
    let refused = rig.put(mint(2), How::Create).await;
    assert!(matches!(refused, Err(ChangeFailure::NotLed)), "{refused:?}");

    let rig = start(rig.stop());
    let kept = rig
        .handle()
        .table()
        .replica(SHARD)
        .and_then(|replica| replica.record.clone());
    assert_eq!(kept, Some(deposed));
    rig.stop();
}

// If this fails, a node obeys a cluster that is not its own, or a record of a disk that was lost.
#[tokio::test]
async fn only_the_own_clusters_records_of_own_replicas_are_obeyed() {
    let (rig, record) = leading().await;
    let handle = rig.handle();
    let offer = handle.presence().offer();
    assert_ne!(offer, record.replicas[0].replica, "an offer is used once");
    let second = |replica| {
        let member = Member {
            node: name(),
            replica,
        };
        let leader = Leader {
            member: member.clone(),
            incarnation: rig.me.incarnation,
        };
        ShardRecord {
            shard: ShardNo(2),
            leader: Some(leader),
            in_sync: vec![member.clone()],
            replicas: vec![member],
            ..record.clone()
        }
    };
    let map = |shard| {
        Some(ShardMap {
            shards: vec![shard],
            ..ShardMap::default()
        })
    };
    let answer = |cluster, shard| HeartbeatAnswer {
        cluster,
        session_ms: 1000,
        map_version: 9,
        map: map(shard),
        want_records: false,
    };
    handle.follow(answer(Uuid::from_u128(2), second(offer)));
    handle.follow(answer(CLUSTER, second(Uuid::from_u128(99))));
    // Behind both in the queue: when it is answered, they were carried out.
    rig.put(mint(1), How::Create).await.expect("is committed");
    assert!(handle.table().replica(ShardNo(2)).is_none());
    handle.follow(answer(CLUSTER, second(offer)));
    rig.put(mint(2), How::Create).await.expect("is committed");
    assert!(handle.table().replica(ShardNo(2)).is_some());
    rig.stop();
}

// If this fails, an upload that is given up keeps its id, its space and its promise for ever.
#[tokio::test]
async fn a_dropped_upload_leaves_nothing() {
    let (rig, _) = leading().await;
    let id = mint(1);
    let expected = Expected {
        length: Some(5 << 20),
        ..Expected::default()
    };
    let mut upload = Upload::begin(rig.handle(), id, How::Create, &expected).expect("begins");
    upload.push(&vec![1; 3 << 20]).await.expect("is taken");
    assert!(rig.handle().admission().promised() >= 2 << 20);
    drop(upload);
    assert_eq!(rig.handle().admission().promised(), 0);

    let mut upload = Upload::begin(rig.handle(), id, How::Create, &Expected::default());
    let deadline = Instant::now() + Duration::from_secs(5);
    let upload = loop {
        let mut begun = upload.expect("begins");
        match begun.push(&vec![2; 3 << 20]).await {
            Ok(()) => break begun,
            Err(_) => assert!(Instant::now() < deadline, "the first is never ended"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        upload = Upload::begin(rig.handle(), id, How::Create, &Expected::default());
    };
    let described = Described {
        filename: "a".to_owned(),
        content_type: "a/b".to_owned(),
        collection: None,
        attributes: None,
    };
    let mut upload = upload;
    let checksum = upload.end(&Expected::default()).await.expect("is whole");
    let ack = upload
        .commit(checksum, described, Wait::Committed)
        .await
        .expect("is committed");
    assert_eq!((ack.outcome.version, ack.outcome.size), (1, 3 << 20));
    rig.stop();
}
