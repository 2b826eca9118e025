//! The operation log of all shards, live.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{StreamExt, stream};
use wire::membership::ReplicaRole;
use wire::operation::Operation;
use wire::{Lsn, NodeName, ShardNo};

use super::pages::View;
use crate::app::Shared;
use crate::console::layout::Place;
use crate::console::operations as rows;
use crate::http::error::ApiError;
use crate::http::nodes;

/// Operations that are shown.
const SHOWN_MAX: usize = 200;

/// How far back in each shard the log begins when somebody begins to look.
const RECORDS_BACK: u64 = 50;

/// Operations of one shard that one round brings.
const OPERATIONS_MAX: usize = 500;

/// Nodes that are asked at the same time.
const ASKED_AT_ONCE: usize = 8;

/// The last operations, the newest first.
#[derive(Default)]
pub(super) struct Recent(Mutex<VecDeque<Operation>>);

impl Recent {
    fn all(&self) -> Vec<Operation> {
        let recent = self
            .0
            .lock()
            .expect("no thread panics while it holds these");
        recent.iter().cloned().collect()
    }

    /// Puts these, in ascending order of time, before the others.
    fn add(&self, news: &[Operation]) {
        let mut recent = self
            .0
            .lock()
            .expect("no thread panics while it holds these");
        for operation in news {
            recent.push_front(operation.clone());
        }
        recent.truncate(SHOWN_MAX);
    }

    fn clear(&self) {
        let mut recent = self
            .0
            .lock()
            .expect("no thread panics while it holds these");
        recent.clear();
    }
}

/// How far the log of each shard was followed; none before the first round.
#[derive(Default)]
pub(super) struct Tail {
    heads: Option<BTreeMap<ShardNo, Lsn>>,
}

/// A shard whose log is longer than it was.
struct Grown {
    shard: ShardNo,
    leader: NodeName,
    after: Lsn,
    upto: Lsn,
}

impl Tail {
    /// Asks the leaders whose logs have grown, and sends what they tell.
    pub(super) async fn follow(&mut self, shared: &Shared) {
        if self.heads.is_none() {
            shared.live.recent.clear();
        }
        let news = self.news(shared).await;
        if news.is_empty() {
            return;
        }
        shared.live.recent.add(&news);
        let shown = news.iter().rev().take(SHOWN_MAX);
        shared.live.operations.send(&markup(shown));
    }

    /// The end of all logs at this moment, the newest first.
    async fn end(mut self, shared: &Shared) -> Vec<Operation> {
        let news = self.news(shared).await;
        news.into_iter().rev().take(SHOWN_MAX).collect()
    }

    /// What has happened since it was asked for last, in ascending order of time.
    async fn news(&mut self, shared: &Shared) -> Vec<Operation> {
        let grown = self.grown(shared);
        let asked = stream::iter(grown).map(|grown| ask(shared, grown));
        let told: Vec<_> = asked.buffer_unordered(ASKED_AT_ONCE).collect().await;
        let heads = self.heads.get_or_insert_default();
        let mut news = Vec::new();
        for (grown, operations) in told {
            let last = operations.last().map(|operation| operation.lsn);
            let head = match last {
                Some(last) if operations.len() == OPERATIONS_MAX => last,
                // It may have grown since its node was heard.
                _ => last.map_or(grown.upto, |last| last.max(grown.upto)),
            };
            heads.insert(grown.shard, head);
            news.extend(operations);
        }
        news.sort_by_key(|operation| (operation.time, operation.shard, operation.lsn));
        news
    }

    fn grown(&self, shared: &Shared) -> Vec<Grown> {
        let shards = nodes::answer(shared).shards.into_iter();
        let led = shards.filter_map(|shard| {
            let leader = shard.replicas.into_iter();
            let mut leader = leader.filter(|replica| replica.role == ReplicaRole::Leader);
            let leader = leader.next()?;
            let upto = leader.progress.committed?;
            let head = self
                .heads
                .as_ref()
                .and_then(|heads| heads.get(&shard.shard));
            let back = || Lsn(upto.0.saturating_sub(RECORDS_BACK));
            // A log that was restored from another copy may be shorter than before.
            let after = head.copied().map_or_else(back, |head| head.min(upto));
            (after < upto || head.is_none()).then_some(Grown {
                shard: shard.shard,
                leader: leader.node,
                after,
                upto,
            })
        });
        led.collect()
    }
}

/// What a leader tells; nothing if it does not answer, and then it is asked again.
async fn ask(shared: &Shared, grown: Grown) -> (Grown, Vec<Operation>) {
    let Some(base) = shared.members.internal_url(&grown.leader) else {
        return (grown, Vec::new());
    };
    let position = (grown.shard, grown.after);
    match shared.peer.log(&base, position, OPERATIONS_MAX).await {
        Ok(operations) => (grown, operations),
        Err(error) => {
            tracing::debug!(%error, shard = %grown.shard, "the log");
            let upto = grown.after;
            (Grown { upto, ..grown }, Vec::new())
        }
    }
}

fn markup<'a>(shown: impl Iterator<Item = &'a Operation>) -> String {
    shown
        .map(|each| rows::operation(each).into_string())
        .collect()
}

/// The page.
pub(super) async fn page(shared: Data<Shared>, request: HttpRequest) -> HttpResponse {
    let view = View::of(&shared, &request, Place::Operations, "Operation log");
    let recent = match shared.live.operations.is_watched() {
        true => shared.live.recent.all(),
        // What was seen long ago is not the end of the log.
        false => Tail::default().end(&shared).await,
    };
    view.show(Ok(rows::operations(&recent)))
}

/// Watches the log.
pub(super) async fn live(shared: Data<Shared>) -> Result<HttpResponse, ApiError> {
    let first = match shared.live.operations.is_watched() {
        true => markup(shared.live.recent.all().iter()),
        false => String::new(),
    };
    shared.live.operations.watch(&first)
}
