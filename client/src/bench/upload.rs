//! The upload benchmark: `PUT /store/{id}` of a prepared body.

use std::io::Write;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde::Deserialize;
use wire::content::Status;
use wire::{Checksum, ContentId};

use super::connection::Body;
use super::load::{Connections, Quota, run_threads};
use super::payload::Payload;
use super::places::{Nodes, Places, authorization, refusal};
use super::report::{Report, Tally};
use super::{BenchError, HASHED_ONE_IN, Keep, Load, PAUSE_AFTER_ERROR, Stored};

/// What the benchmark reads of a receipt.
#[derive(Deserialize)]
struct Receipt {
    status: Status,
    size: u64,
    checksum: Checksum,
}

/// See [`super::upload`].
pub(super) fn run(load: &Load, keep: Keep) -> Result<(Report, Vec<Stored>), BenchError> {
    let payload = Payload::new(usize::try_from(load.size).unwrap_or(usize::MAX));
    let quota = Quota::new(load.bound);
    let (outcomes, took) = run_threads(load, |workers| {
        let (quota, payload) = (&quota, &payload);
        async move { thread(load, workers, quota, payload, keep).await }
    })?;
    let (mut all, mut stored) = (Tally::default(), Vec::new());
    for (tally, kept) in outcomes {
        all.merge(&tally);
        stored.extend(kept);
    }
    Ok((all.report("upload", load, took), stored))
}

async fn thread(
    load: &Load,
    workers: usize,
    quota: &Quota,
    payload: &Payload,
    keep: Keep,
) -> Result<(Tally, Vec<Stored>), BenchError> {
    let (nodes, places) = (Nodes::default(), Places::new(load, workers)?);
    let authorization = authorization(load);
    let mut running: FuturesUnordered<_> = (0..workers)
        .map(|_| {
            let worker = Worker {
                nodes: &nodes,
                places: &places,
                authorization: &authorization,
                payload: payload.clone(),
                random: SmallRng::from_os_rng(),
                connections: Connections::default(),
                request: Vec::new(),
                body: Body::default(),
                tally: Tally::default(),
                stored: (keep == Keep::All).then(Vec::new),
            };
            worker.run(quota)
        })
        .collect();
    let (mut all, mut stored) = (Tally::default(), Vec::new());
    while let Some((tally, kept)) = running.next().await {
        all.merge(&tally);
        stored.extend(kept.into_iter().flatten());
    }
    Ok((all, stored))
}

struct Worker<'a> {
    nodes: &'a Nodes,
    places: &'a Places,
    authorization: &'a str,
    payload: Payload,
    random: SmallRng,
    connections: Connections,
    request: Vec<u8>,
    body: Body,
    tally: Tally,
    stored: Option<Vec<Stored>>,
}

impl Worker<'_> {
    async fn run(mut self, quota: &Quota) -> (Tally, Option<Vec<Stored>>) {
        while quota.take() {
            if let Err(word) = self.upload().await {
                self.tally.error(&word);
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            }
        }
        (self.tally, self.stored)
    }

    async fn upload(&mut self) -> Result<(), String> {
        let (node, id) = self
            .places
            .next(self.nodes)
            .await
            .map_err(|error| match error {
                BenchError::Refused { word, .. } => word,
                _ => "no_place".to_owned(),
            })?;
        self.payload.vary(&mut self.random);
        self.write_request(node, id);
        let begun = Instant::now();
        let request = (self.request.as_slice(), self.payload.tail());
        let sent = self
            .connections
            .exchange(self.nodes, node, request, self.body.keep())
            .await;
        let head = sent.map_err(|error| error.word().to_owned())?;
        let took = begun.elapsed();
        if !(200..300).contains(&head.status) {
            return Err(refusal(head.status, &self.body.kept).0);
        }
        let receipt: Receipt =
            serde_json::from_slice(&self.body.kept).map_err(|_| "unreadable_receipt".to_owned())?;
        self.check(&receipt)?;
        self.tally.success(took, receipt.size);
        self.tally.receipt(receipt.status);
        if let Some(stored) = &mut self.stored {
            let address = self.nodes.address(node);
            let prefix = address
                .prefix
                .strip_suffix("/store")
                .unwrap_or(&address.prefix);
            let expected = Some((receipt.size, receipt.checksum));
            stored.push(Stored {
                id,
                node: format!("http://{}{prefix}", address.host),
                expected,
            });
        }
        Ok(())
    }

    fn check(&mut self, receipt: &Receipt) -> Result<(), String> {
        if receipt.size != self.payload.bytes() {
            return Err("wrong_size".to_owned());
        }
        if self.tally.is_sampled(HASHED_ONE_IN) {
            self.tally
                .hashed(receipt.checksum == self.payload.checksum());
        }
        Ok(())
    }

    /// The head of the request and the first bytes of its body.
    fn write_request(&mut self, node: usize, id: ContentId) {
        let Worker {
            nodes,
            authorization,
            payload,
            request,
            ..
        } = self;
        request.clear();
        request.extend_from_slice(b"PUT ");
        nodes.write_prefix(node, request);
        let bytes = payload.bytes();
        write!(
            request,
            "/{id}?filename=bench HTTP/1.1\r\nContent-Length: {bytes}\r\n"
        )
        .expect("writing to memory cannot fail");
        nodes.write_host(node, request);
        request.extend_from_slice(authorization.as_bytes());
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(payload.head());
    }
}
