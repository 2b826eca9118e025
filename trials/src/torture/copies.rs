//! Whether every copy of every content is what was acknowledged, and all of them are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::Rng;
use tokio::time::{Instant, sleep};
use wire::membership::{NodesAnswer, ShardEntry, ShardReplica};
use wire::{ContentId, ShardNo, routes};

use super::ledger::{State, Version};
use super::look::{self, Seen};
use super::worker::Worker;
use crate::fleet::Fleet;
use crate::http;

/// How long shards may take to have all their copies in sync after the last fault.
const TOGETHER_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a replica may send readers on, or refuse to answer, or answer otherwise, after that.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take until a damaged copy that was just read is mended.
const MEND_TIME_MAX: Duration = Duration::from_secs(30);

/// Contents that were not touched in a round are read with this chance.
const UNTOUCHED_READ: f64 = 0.1;

/// Where each shard's copies are: base URIs.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    shards: BTreeMap<ShardNo, Vec<String>>,
    /// Nodes whose disks were damaged: they may say so.
    damaged: BTreeSet<String>,
    /// They had time, and a start, to mend every content that is there.
    are_mended: bool,
}

/// Waits until every shard has a leader and all its copies in its set.
///
/// # Errors
/// With what is missing, when that takes longer than a minute.
pub async fn sets_complete(fleet: &Fleet) -> Result<(), String> {
    sets_complete_within(fleet, TOGETHER_TIME_MAX).await
}

/// Waits until every shard has a leader and all its copies in its set.
///
/// # Errors
/// With what is missing, when that takes longer than `time_max`.
pub async fn sets_complete_within(fleet: &Fleet, time_max: Duration) -> Result<(), String> {
    let wanted = |answer: &NodesAnswer| missing(answer, fleet.copies(), is_whole);
    wait(fleet, time_max, wanted).await.map(|_| ())
}

/// Waits until every shard has a leader, and all its copies have everything; the load must have
/// ended.
///
/// # Errors
/// With what is missing, when that takes longer than a minute.
pub async fn in_sync(fleet: &Fleet, damaged: &BTreeSet<usize>) -> Result<Copies, String> {
    let is_equal = |entry: &ShardEntry| is_whole(entry) && is_level(entry);
    let wanted = |answer: &NodesAnswer| missing(answer, fleet.copies(), is_equal);
    let answer = wait(fleet, TOGETHER_TIME_MAX, wanted).await?;
    Ok(Copies::of(&answer, fleet, damaged))
}

async fn wait(
    fleet: &Fleet,
    time_max: Duration,
    missing: impl Fn(&NodesAnswer) -> Vec<String>,
) -> Result<NodesAnswer, String> {
    let client = http::client().map_err(|error| error.to_string())?;
    let deadline = Instant::now() + time_max;
    loop {
        let asked = client.get(format!("{}{}", fleet.url(), routes::NODES));
        let missing = match http::json::<NodesAnswer>(asked).await {
            Ok(answer) => {
                let missing = missing(&answer);
                if missing.is_empty() {
                    return Ok(answer);
                }
                missing.join("; ")
            }
            Err(error) => error.to_string(),
        };
        if Instant::now() >= deadline {
            return Err(format!("after {time_max:?} without faults: {missing}"));
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// The shards that are not as they should be.
fn missing(
    answer: &NodesAnswer,
    copies: u64,
    is_well: impl Fn(&ShardEntry) -> bool,
) -> Vec<String> {
    let is_well = |entry: &&ShardEntry| entry.replicas.len() as u64 == copies && is_well(entry);
    let incomplete = answer.shards.iter().filter(|entry| !is_well(entry));
    let mut missing: Vec<String> = incomplete.map(|entry| format!("{entry:?}")).collect();
    if answer.shards.is_empty() {
        missing.push("there are no shards".to_owned());
    }
    missing
}

fn is_whole(entry: &ShardEntry) -> bool {
    let is_well = |replica: &ShardReplica| replica.in_sync && !replica.progress.halted;
    entry.leader.is_some() && !entry.degraded && entry.replicas.iter().all(is_well)
}

/// Whether all replicas are at the leader's position, and know all of it committed.
fn is_level(entry: &ShardEntry) -> bool {
    let end = entry
        .replicas
        .first()
        .and_then(|leader| leader.progress.position);
    let at_end = |replica: &ShardReplica| {
        let progress = &replica.progress;
        end.is_some() && progress.position == end && progress.committed == end
    };
    entry.replicas.iter().all(at_end)
}

/// What the answers of all copies come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Agreed {
    /// All that can tell say this.
    On(State),
    /// None of them can tell: each leaves it to another one, or may have it under a damaged header.
    Unsure,
}

impl Copies {
    fn of(answer: &NodesAnswer, fleet: &Fleet, damaged: &BTreeSet<usize>) -> Self {
        let url = |replica: &ShardReplica| {
            let node = answer.nodes.get(&replica.node)?;
            Some(node.public_url.clone())
        };
        let copies = |entry: &ShardEntry| entry.replicas.iter().filter_map(url).collect();
        let is_damaged = |url: &&str| fleet.place_of(url).is_some_and(|p| damaged.contains(&p));
        Copies {
            shards: answer
                .shards
                .iter()
                .map(|entry| (entry.shard, copies(entry)))
                .collect(),
            damaged: fleet
                .node_urls()
                .filter(is_damaged)
                .map(str::to_owned)
                .collect(),
            are_mended: false,
        }
    }

    /// The same; whether copies of contents that are there may be damaged still.
    pub fn mended(self, are_mended: bool) -> Copies {
        Copies { are_mended, ..self }
    }

    /// What all copies of one content say together; or what is wrong, and stays so for a while: a
    /// follower may not know yet that a record is committed, and a shard may just then go back to
    /// its first replica. Bytes that are none of the content's, by `knows`, are wrong at once.
    pub(super) async fn look(
        &self,
        client: &reqwest::Client,
        id: ContentId,
        knows: impl Fn(&Version) -> bool,
    ) -> Result<Agreed, String> {
        let nodes = self.shards.get(&id.shard()).ok_or("its shard is gone")?;
        let patience = if self.are_mended {
            MEND_TIME_MAX
        } else {
            PATIENCE
        };
        let begun = Instant::now();
        loop {
            let mut answers = Vec::with_capacity(nodes.len());
            for node in nodes {
                answers.push((node.as_str(), look::at(client, node, id).await));
            }
            if let Some(why) = unforgivable(&answers, &knows) {
                return Err(why);
            }
            match self.agree(&answers) {
                Err(_) | Ok(Agreed::Unsure) if begun.elapsed() < patience => {
                    sleep(Duration::from_millis(20)).await
                }
                outcome => return outcome,
            }
        }
    }

    fn was_damaged(&self, node: &str) -> bool {
        self.damaged.contains(node)
    }

    /// What the answers of all copies come to.
    fn agree(&self, answers: &[(&str, Seen)]) -> Result<Agreed, String> {
        let state = answers.iter().find_map(|(_, seen)| match seen {
            Seen::State(state) => Some(*state),
            _ => None,
        });
        // Where a header is damaged, nobody knows whose it was; the others leave it to the leader.
        let is_unsure = |(node, seen): &(&str, Seen)| match seen {
            Seen::Elsewhere(_) => true,
            Seen::Damaged(_) => self.damaged.contains(*node),
            Seen::State(_) | Seen::Away(_) | Seen::Wrong(_) => false,
        };
        let has_damaged = answers.iter().any(|(node, _)| self.damaged.contains(*node));
        if has_damaged && answers.iter().all(is_unsure) {
            return Ok(Agreed::Unsure);
        }
        let state = state.ok_or_else(|| format!("no copy can be read: {answers:?}"))?;
        let may_be_damaged = |node: &str| self.was_damaged(node) && !self.are_mended;
        let is_well = |(node, seen): &&(&str, Seen)| match seen {
            Seen::State(other) => *other == state,
            // What is not there, a follower leaves to its leader to say.
            Seen::Elsewhere(_) => state.is_none() || may_be_damaged(node),
            // Nobody mends a record that nobody needs, and it may have been anybody's.
            Seen::Damaged(_) => may_be_damaged(node) || self.was_damaged(node) && state.is_none(),
            Seen::Away(_) | Seen::Wrong(_) => false,
        };
        match answers.iter().find(|answer| !is_well(answer)) {
            Some((node, _)) => Err(format!("{node} differs from the others: {answers:?}")),
            None => Ok(Agreed::On(state)),
        }
    }
}

/// An answer that no copy may ever give, however briefly.
fn unforgivable(answers: &[(&str, Seen)], knows: impl Fn(&Version) -> bool) -> Option<String> {
    let wrong = |(node, seen): &(&str, Seen)| match seen {
        Seen::State(Some(version)) if !knows(version) => {
            Some(format!("{node} serves bytes that nobody sent: {version:?}"))
        }
        Seen::Wrong(why) => Some(format!("{node} answers what it never may: {why}")),
        Seen::State(_) | Seen::Elsewhere(_) | Seen::Damaged(_) | Seen::Away(_) => None,
    };
    answers.iter().find_map(wrong)
}

/// Reads a worker's contents back from every copy and settles what was open: those that it touched
/// and some of the others, or everything. Gives how many, and what is wrong.
pub async fn verify(worker: &mut Worker, copies: &Copies, everything: bool) -> u64 {
    let mut verified = 0;
    for (id, expected) in &mut worker.ledger.contents {
        if !everything && !expected.touched && !worker.chance.random_bool(UNTOUCHED_READ) {
            continue;
        }
        verified += 1;
        match copies
            .look(&worker.client, *id, |version| expected.knows(version))
            .await
        {
            Ok(Agreed::On(seen)) => {
                if !expected.allows(seen) {
                    let why = format!("{id}: found {seen:?}, expected {expected:?}");
                    worker.violations.push(why);
                }
                expected.settle(seen);
            }
            // It may be what a damaged header was about only if it need not be there.
            Ok(Agreed::Unsure) => {
                if !expected.allows(None) {
                    let why = format!("{id}: nobody knows of it, expected {expected:?}");
                    worker.violations.push(why);
                }
            }
            Err(why) => worker
                .violations
                .push(format!("{id}: {why}; expected {expected:?}")),
        }
    }
    verified
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Lsn;
    use wire::membership::{Progress, ReplicaRole};
    use wire::shard::ShardState;

    // If this fails, a copy that lost a content passes, or one that is only being cautious does not.
    #[test]
    fn copies_agree_or_say_that_they_are_damaged() {
        let copies = Copies {
            shards: BTreeMap::new(),
            damaged: BTreeSet::from(["b".to_owned()]),
            are_mended: false,
        };
        let version = |number| {
            let checksum = wire::Checksum([0; 32]);
            Some(super::super::ledger::Version {
                number,
                size: 0,
                checksum,
            })
        };
        let there = |number| Seen::State(version(number));
        let other = || Seen::Elsewhere("http://c".to_owned());
        let damaged = || Seen::Damaged(String::new());
        let said = |agreed: Result<Agreed, String>| match agreed {
            Ok(Agreed::On(state)) => Some(state),
            _ => None,
        };
        let unsure = |a: Seen, b: Seen| copies.agree(&[("a", a), ("b", b)]);
        let agree = |a: Seen, b: Seen| said(copies.agree(&[("a", a), ("b", b)]));
        assert_eq!(agree(there(1), there(1)), Some(version(1)));
        assert_eq!(agree(there(1), other()), Some(version(1)));
        assert_eq!(agree(there(1), damaged()), Some(version(1)));
        assert_eq!(agree(Seen::State(None), other()), Some(None));
        assert_eq!(agree(other(), Seen::State(None)), Some(None));
        assert_eq!(agree(there(1), there(2)), None);
        assert_eq!(agree(there(1), Seen::State(None)), None);
        assert_eq!(agree(other(), there(1)), None, "a is not damaged");
        assert_eq!(agree(damaged(), there(1)), None, "a is not damaged");
        assert_eq!(unsure(other(), damaged()), Ok(Agreed::Unsure));
        let mended = copies.clone().mended(true);
        let agree = |a: Seen, b: Seen| said(mended.agree(&[("a", a), ("b", b)]));
        assert_eq!(agree(there(1), there(1)), Some(version(1)));
        assert_eq!(agree(there(1), damaged()), None, "is to be mended");
        assert_eq!(agree(there(1), other()), None, "is to be mended");
        assert_eq!(agree(Seen::State(None), damaged()), Some(None));
        let agree = |a: Seen, c: Seen| said(copies.agree(&[("a", a), ("c", c)]));
        assert_eq!(agree(other(), other()), None);
    }

    /// A node that answers reads with these bodies, one after the other, and then with the last again.
    async fn node_that_says(bodies: &'static [&'static str]) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("is bound"));
        tokio::spawn(async move {
            for number in 0.. {
                let (mut stream, _) = listener.accept().await.expect("somebody asks");
                let mut request = [0; 4096];
                let read = stream.read(&mut request).await.expect("reads");
                assert!(read > 0, "somebody asks something");
                let body = bodies[usize::min(number, bodies.len() - 1)];
                let head = format!(
                    "{}: 1\r\ncontent-length: {}",
                    routes::VERSION_HEADER,
                    body.len()
                );
                let answer =
                    format!("HTTP/1.1 200 OK\r\n{head}\r\nconnection: close\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.expect("answers");
            }
        });
        url
    }

    // If this fails, a copy that serves wrong bytes for a moment passes, or one that is behind does not.
    #[tokio::test]
    async fn wrong_bytes_are_never_forgiven() {
        let version = |body: &str| Version {
            number: 1,
            size: body.len() as u64,
            checksum: wire::Checksum(*blake3::hash(body.as_bytes()).as_bytes()),
        };
        let client = http::client().expect("a client");
        let id = ContentId::mint(ShardNo(1), 0, 7);
        let look = async |first: &'static [&'static str], second: &'static [&'static str]| {
            let nodes = vec![node_that_says(first).await, node_that_says(second).await];
            let copies = Copies {
                shards: BTreeMap::from([(ShardNo(1), nodes)]),
                ..Copies::default()
            };
            let knows = |found: &Version| [version("new"), version("old")].contains(found);
            copies.look(&client, id, knows).await
        };
        let is_new = Ok(Agreed::On(Some(version("new"))));
        assert_eq!(look(&["new"], &["old", "new"]).await, is_new, "is behind");
        let wrong = look(&["new"], &["mew", "new"]).await;
        assert!(
            wrong.as_ref().is_err_and(|why| why.contains("nobody sent")),
            "{wrong:?}"
        );
    }

    fn replica(name: &str, lsn: u64) -> ShardReplica {
        ShardReplica {
            node: name.parse().expect("a name"),
            role: ReplicaRole::Follower,
            in_sync: true,
            progress: Progress {
                position: Some(Lsn(lsn)),
                committed: Some(Lsn(lsn)),
                ..Progress::default()
            },
        }
    }

    // If this fails, copies are compared while one of them still catches up, or never.
    #[test]
    fn a_shard_is_level_when_its_copies_are_at_one_position() {
        let entry = |replicas: Vec<ShardReplica>| ShardEntry {
            shard: ShardNo(1),
            state: ShardState::Open,
            epoch: wire::Epoch(1),
            leader: Some(replicas[0].node.clone()),
            in_sync: replicas
                .iter()
                .map(|replica| replica.node.clone())
                .collect(),
            eligible: Vec::new(),
            min_in_sync: 2,
            degraded: false,
            waits: false,
            bytes: 0,
            contents: 0,
            replicas,
        };
        let both = entry(vec![replica("node1", 7), replica("node2", 7)]);
        assert!(is_whole(&both) && is_level(&both));
        let behind = entry(vec![replica("node1", 7), replica("node2", 6)]);
        assert!(is_whole(&behind) && !is_level(&behind));
        let without = ShardEntry {
            leader: None,
            ..both.clone()
        };
        let degraded = ShardEntry {
            degraded: true,
            ..both
        };
        assert!(!is_whole(&without) && !is_whole(&degraded));
    }
}
