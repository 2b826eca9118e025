//! The read benchmark: `GET /retrieve/{id}` of contents chosen at random.

use std::io::Write;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use wire::{Checksum, ContentId};

use super::connection::Body;
use super::load::{Connections, Quota, run_threads};
use super::places::{Nodes, authorization, refusal};
use super::report::{Report, Tally};
use super::{BenchError, HASHED_ONE_IN, Load, PAUSE_AFTER_ERROR, Stored};

/// See [`super::get`].
pub(super) fn run(load: &Load, contents: &[Stored]) -> Result<Report, BenchError> {
    if contents.is_empty() {
        return Err(BenchError::NoContent);
    }
    let quota = Quota::new(load.bound);
    let (tallies, took) = run_threads(load, |workers| {
        let quota = &quota;
        async move { thread(load, workers, quota, contents).await }
    })?;
    let mut all = Tally::default();
    for tally in &tallies {
        all.merge(tally);
    }
    Ok(all.report("get", load, took))
}

/// A content as one thread sees it.
struct Known {
    node: usize,
    id: ContentId,
    expected: Option<(u64, Checksum)>,
}

async fn thread(
    load: &Load,
    workers: usize,
    quota: &Quota,
    contents: &[Stored],
) -> Result<Tally, BenchError> {
    let (nodes, authorization) = (Nodes::default(), authorization(load));
    let known = |content: &Stored| {
        let node = nodes.number(&content.node)?;
        Ok(Known {
            node,
            id: content.id,
            expected: content.expected,
        })
    };
    let contents: Vec<Known> = contents
        .iter()
        .map(known)
        .collect::<Result<_, BenchError>>()?;
    let mut running: FuturesUnordered<_> = (0..workers)
        .map(|_| {
            let worker = Worker {
                nodes: &nodes,
                contents: &contents,
                authorization: &authorization,
                random: SmallRng::from_os_rng(),
                connections: Connections::default(),
                request: Vec::new(),
                body: Body::default(),
                tally: Tally::default(),
            };
            worker.run(quota)
        })
        .collect();
    let mut all = Tally::default();
    while let Some(tally) = running.next().await {
        all.merge(&tally);
    }
    Ok(all)
}

struct Worker<'a> {
    nodes: &'a Nodes,
    contents: &'a [Known],
    authorization: &'a str,
    random: SmallRng,
    connections: Connections,
    request: Vec<u8>,
    body: Body,
    tally: Tally,
}

impl Worker<'_> {
    async fn run(mut self, quota: &Quota) -> Tally {
        while quota.take() {
            if let Err(word) = self.get().await {
                self.tally.error(&word);
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            }
        }
        self.tally
    }

    async fn get(&mut self) -> Result<(), String> {
        let content = &self.contents[self.random.random_range(0..self.contents.len())];
        self.write_request(content);
        let sampled = self.tally.is_sampled(HASHED_ONE_IN);
        let (request, into) = ((self.request.as_slice(), &[][..]), self.body.count(sampled));
        let begun = Instant::now();
        let sent = self
            .connections
            .exchange(self.nodes, content.node, request, into)
            .await;
        let head = sent.map_err(|error| error.word().to_owned())?;
        let took = begun.elapsed();
        if head.status != 200 {
            return Err(refusal(head.status, &self.body.kept).0);
        }
        if content
            .expected
            .is_some_and(|(size, _)| size != self.body.bytes)
        {
            return Err("wrong_size".to_owned());
        }
        if let Some(found) = self.body.checksum() {
            let stored = content.expected.map(|(_, checksum)| checksum);
            self.tally
                .hashed(Some(found) == head.etag && stored.is_none_or(|s| s == found));
        }
        self.tally.success(took, self.body.bytes);
        Ok(())
    }

    fn write_request(&mut self, content: &Known) {
        let Worker {
            nodes,
            authorization,
            request,
            ..
        } = self;
        request.clear();
        request.extend_from_slice(b"GET ");
        nodes.write_prefix(content.node, request);
        write!(request, "/retrieve/{} HTTP/1.1\r\n", content.id)
            .expect("writing to memory cannot fail");
        nodes.write_host(content.node, request);
        request.extend_from_slice(authorization.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
}
