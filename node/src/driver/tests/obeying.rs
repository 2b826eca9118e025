//! Records that come together.

use store::How;
use wire::membership::{HeartbeatAnswer, ShardMap};
use wire::shard::ShardRecord;
use wire::{Epoch, ShardNo};

use super::{CLUSTER, Rig, SHARD, leading, mint};
use crate::driver::table::Standing;

/// The epoch that a replica's record on the disk tells.
fn kept(rig: &Rig, shard: ShardNo) -> Epoch {
    let path = rig
        .folder
        .path()
        .join(format!("shards/{shard}/record.json"));
    let text = std::fs::read(path).expect("is there");
    let record: ShardRecord = serde_json::from_slice(&text).expect("is a record");
    record.epoch
}

// If this fails, a replica obeys a record that it could not keep, and forgets it with the next start; or one
// that cannot keep its record keeps the others of its node from obeying theirs.
#[tokio::test]
async fn records_that_come_together_are_kept_each_for_itself() {
    let (rig, first) = leading().await;
    let mut records = vec![first];
    for number in 2..=6 {
        let record = ShardRecord {
            shard: ShardNo(number),
            log: number.into(),
            version: number.into(),
            ..rig.first_record()
        };
        rig.obey(&record);
        rig.until_other(record.shard, Standing::Leading).await;
        records.push(record);
    }
    let broken = ShardNo(3);
    let spare = rig.folder.path().join("shards/3/record.spare");
    std::fs::remove_file(&spare).expect("is there");
    std::fs::create_dir(&spare).expect("stands in the way");
    for record in &mut records {
        (record.epoch, record.version) = (Epoch(2), 10);
    }
    let shards: Vec<ShardNo> = records.iter().map(|record| record.shard).collect();
    // Of one shard there are two.
    let mut last = records[0].clone();
    (last.epoch, last.version) = (Epoch(3), 11);
    records.push(last);
    let map = ShardMap {
        shards: records,
        ..ShardMap::default()
    };
    rig.handle().follow(HeartbeatAnswer {
        cluster: CLUSTER,
        session_ms: 1000,
        map_version: 10,
        map: Some(map),
        want_records: false,
    });
    rig.until_other(broken, Standing::Poisoned).await;
    rig.put(mint(1), How::Create).await.expect("is committed");
    for shard in shards {
        let epoch = match shard {
            SHARD => Epoch(3),
            _ if shard == broken => Epoch(1),
            _ => Epoch(2),
        };
        let replica = rig.handle().table().replica(shard).expect("is held");
        let obeyed = replica.record.as_ref().expect("has one");
        assert_eq!((obeyed.epoch, kept(&rig, shard)), (epoch, epoch), "{shard}");
    }
    rig.stop();
}
