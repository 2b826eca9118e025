//! Small writes to one shard, one after the other: how long each waited.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};
use wire::content::Receipt;
use wire::membership::NodesAnswer;
use wire::{ContentId, ShardNo, routes};

use super::{GoOn, Load};
use crate::http::{self, Outcome};

/// Between two writes, and before it is asked again who leads.
const PAUSE: Duration = Duration::from_millis(5);

/// A write to a node that is cut off is given up after this.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(4);

/// One write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    /// When it was wanted.
    pub begun: Instant,
    /// When the attempt was sent that was acknowledged.
    pub sent: Instant,
    /// When it was.
    pub ended: Instant,
}

/// The writes to every shard that is watched.
#[derive(Debug, Default)]
pub struct Writes(Mutex<BTreeMap<ShardNo, Vec<Write>>>);

impl Writes {
    /// Begins to write to a shard, if nobody does yet.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn watch(
        self: &Arc<Self>,
        shard: ShardNo,
        distributors: &[&str],
        load: &mut Load,
    ) -> anyhow::Result<()> {
        if self.writes().contains_key(&shard) {
            return Ok(());
        }
        self.writes().insert(shard, Vec::new());
        let writer = Writer {
            shard,
            client: http::blunt_client(ANSWER_TIME_MAX)?,
            distributors: distributors.iter().map(|url| (*url).to_owned()).collect(),
            leader: None,
        };
        let writes = Arc::clone(self);
        load.add(|go_on| writer.run(writes, go_on));
        Ok(())
    }

    /// When a write to this shard was acknowledged first that was sent after `since`.
    pub fn first_after(&self, shard: ShardNo, since: Instant) -> Option<Instant> {
        let writes = self.writes();
        let mut later = writes
            .get(&shard)?
            .iter()
            .filter(|write| write.sent > since);
        later.next().map(|write| write.ended)
    }

    /// The longest that a write to this shard took of those under way within `from..to`.
    pub fn longest(&self, shard: ShardNo, from: Instant, to: Instant) -> Duration {
        let writes = self.writes();
        let all = writes.get(&shard).into_iter().flatten();
        all.filter(|write| write.ended > from && write.begun < to)
            .map(|write| write.ended - write.begun)
            .max()
            .unwrap_or_default()
    }

    /// How long each took, in milliseconds.
    pub fn all_ms(&self) -> Vec<f64> {
        let writes = self.writes();
        let all = writes.values().flatten();
        all.map(|write| (write.ended - write.begun).as_secs_f64() * 1e3)
            .collect()
    }

    fn add(&self, shard: ShardNo, write: Write) {
        self.writes().entry(shard).or_default().push(write);
    }

    fn writes(&self) -> MutexGuard<'_, BTreeMap<ShardNo, Vec<Write>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who writes to one shard.
struct Writer {
    shard: ShardNo,
    client: reqwest::Client,
    distributors: Vec<String>,
    leader: Option<String>,
}

impl Writer {
    async fn run(mut self, writes: Arc<Writes>, go_on: GoOn) {
        while go_on.holds() {
            let begun = Instant::now();
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let now_ms = now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(0));
            let id = ContentId::mint(self.shard, now_ms, rand::random());
            while go_on.holds() {
                if let Some(sent) = self.put(id).await {
                    let ended = Instant::now();
                    writes.add(self.shard, Write { begun, sent, ended });
                    break;
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// One attempt; when it was sent, if it was acknowledged.
    async fn put(&mut self, id: ContentId) -> Option<Instant> {
        let Some(leader) = self.leader.clone() else {
            self.find().await;
            return None;
        };
        let sent = Instant::now();
        let request = self.client.put(routes::store(&leader, id)).body("a write");
        match http::send::<Receipt>(request).await {
            Outcome::Done(_) => return Some(sent),
            Outcome::Refused(_, body) if body.leader.is_some() => self.leader = body.leader,
            _ => self.leader = None,
        }
        None
    }

    async fn find(&mut self) {
        for base in &self.distributors {
            let asked = self.client.get(format!("{base}{}", routes::NODES));
            if let Ok(answer) = http::json::<NodesAnswer>(asked).await {
                self.leader = client::api::leader_among(&answer, self.shard);
                break;
            }
        }
        if self.leader.is_none() {
            sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a handover or a failover is reported shorter than it was.
    #[test]
    fn a_write_counts_where_it_waited() {
        let zero = Instant::now();
        let at = |ms: u64| zero + Duration::from_millis(ms);
        let (writes, shard) = (Writes::default(), ShardNo(1));
        for (begun, sent, ended) in [(0, 0, 10), (20, 90, 120), (130, 130, 140)] {
            let (begun, sent, ended) = (at(begun), at(sent), at(ended));
            writes.add(shard, Write { begun, sent, ended });
        }
        let longest = |from, to| writes.longest(shard, at(from), at(to));
        assert_eq!(longest(50, 60), Duration::from_millis(100));
        assert_eq!(longest(125, 200), Duration::from_millis(10));
        assert_eq!(writes.first_after(shard, at(50)), Some(at(120)));
        assert_eq!(writes.first_after(shard, at(100)), Some(at(140)));
        assert_eq!(writes.first_after(ShardNo(2), at(0)), None);
        assert_eq!(writes.all_ms(), [10.0, 100.0, 10.0]);
    }
}
