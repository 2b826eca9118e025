//! Whether another copy of a shard has what is lost in this one. It fetches nothing for keeps: that is what
//! repairs do ([`crate::repair`]).

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use store::Lost;
use wire::integrity::LostRecords;
use wire::shard::ShardRecord;
use wire::{Code, ErrorBody, Lsn, NodeName, ShardNo, routes};

use crate::driver::repair::{lost_places, records_in};
use crate::driver::table::ReplicaView;
use crate::membership::distributors::{NewError, key_headers};
use crate::membership::heartbeat::Map;

/// How long a connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_millis(500);

/// How long an answer may take: whoever asks for what is lost waits for all of them.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(3);

/// Records that one copy is asked for: as many as an operator waits for. Of more it is not known whether it
/// has them.
const RECORDS_MAX: usize = 1_000;

/// The other copies, and the way to them.
pub(crate) struct Others {
    name: NodeName,
    map: Map,
    client: Client,
}

/// What a copy says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// It has it, whole.
    Has,
    /// It has it no more than this one.
    Lacks,
    /// It does not say.
    Nothing,
}

impl Others {
    pub(crate) fn new(
        name: NodeName,
        map: Map,
        cluster_key: Option<&str>,
    ) -> Result<Others, NewError> {
        let client = Client::builder()
            .default_headers(key_headers(cluster_key)?)
            .connect_timeout(CONNECT_TIME_MAX)
            .timeout(ANSWER_TIME_MAX)
            .no_proxy()
            .build()?;
        Ok(Others { name, map, client })
    }

    /// What is lost of a replica, and whether another one has it; none when nothing is.
    pub(crate) async fn lost(&self, replica: &ReplicaView) -> Option<LostRecords> {
        let places = lost_places(&replica.reader.damage());
        let (first, last) = (places.first()?.first, places.last()?.last);
        let mut lost = LostRecords {
            shard: replica.shard,
            records: records_in(&places),
            first,
            last,
            held_by: None,
            unasked: Vec::new(),
        };
        // Whoever is told of no record knows of no copy, and not that there is none.
        let record = replica.record.as_ref();
        let others = record.map_or_else(BTreeSet::new, |record| others(record, &self.name));
        for node in others {
            match self.says(&node, replica.shard, &places).await {
                Said::Has => {
                    lost.held_by = Some(node);
                    return Some(lost);
                }
                Said::Lacks => {}
                Said::Nothing => lost.unasked.push(node),
            }
        }
        Some(lost)
    }

    /// Whether a copy has one of these records.
    async fn says(&self, node: &NodeName, shard: ShardNo, places: &[Lost]) -> Said {
        let map = self.map.read().map;
        let Some(entry) = map.nodes.get(node) else {
            return Said::Nothing;
        };
        let each = places.iter().flat_map(|place| place.first.0..=place.last.0);
        for lsn in each.take(RECORDS_MAX).map(Lsn) {
            let url = routes::record(&entry.internal_url, shard, lsn);
            match self.says_of_one(&url).await {
                Said::Lacks => {}
                said => return said,
            }
        }
        match records_in(places) > RECORDS_MAX as u64 {
            true => Said::Nothing,
            false => Said::Lacks,
        }
    }

    async fn says_of_one(&self, url: &str) -> Said {
        let Ok(answer) = self.client.get(url).send().await else {
            return Said::Nothing;
        };
        match answer.status() {
            StatusCode::OK => Said::Has,
            StatusCode::NOT_FOUND | StatusCode::GONE => Said::Lacks,
            _ => match answer.json::<ErrorBody>().await {
                Ok(body) if body.code == Code::Damaged => Said::Lacks,
                Ok(_) | Err(_) => Said::Nothing,
            },
        }
    }
}

/// The other nodes that have a copy of a shard, be it one that catches up.
fn others(record: &ShardRecord, me: &NodeName) -> BTreeSet<NodeName> {
    let members = record.replicas.iter().chain(&record.in_sync);
    let nodes = members.chain(&record.eligible).map(|member| &member.node);
    nodes.filter(|node| *node != me).cloned().collect()
}
