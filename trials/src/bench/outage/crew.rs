//! Clients that remember everything they did, and the proof that it is so.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use tokio::task::JoinHandle;

use crate::bench::{Bound, Figure};
use crate::fleet::Fleet;
use crate::torture::copies::Copies;
use crate::torture::ledger::Ledger;
use crate::torture::worker::{Counts, Worker};
use crate::torture::{catalog, copies};

/// Violations that are printed.
const TOLD_MAX: usize = 20;

/// Clients at work.
pub(super) struct Crew {
    stop: Arc<AtomicBool>,
    working: Vec<JoinHandle<Worker>>,
}

/// What was compared with what they remember.
#[derive(Debug, Default)]
pub(super) struct Proof {
    counts: Counts,
    contents: u64,
    pub(super) violations: Vec<String>,
}

impl Crew {
    /// So many clients begin.
    pub(super) fn start(fleet: &Fleet, count: u64) -> anyhow::Result<Self> {
        let workers = (0..count)
            .map(|_| Worker::new(&[fleet.url()], rand::random()))
            .collect::<anyhow::Result<Vec<Worker>>>()?;
        Ok(Crew::go_on(workers))
    }

    /// These clients go on.
    pub(super) fn go_on(workers: Vec<Worker>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let working = workers
            .into_iter()
            .map(|worker| tokio::spawn(worker.run(Arc::clone(&stop))))
            .collect();
        Crew { stop, working }
    }

    /// All of them come to an end.
    pub(super) async fn rest(self) -> anyhow::Result<Vec<Worker>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut workers = Vec::new();
        for worker in self.working {
            workers.push(worker.await.context("a client panicked")?);
        }
        Ok(workers)
    }

    /// As [`Crew::rest`]; then all copies and the catalog are compared with what they remember, and
    /// with what others have uploaded.
    pub(super) async fn end(self, fleet: &Fleet, others: Ledger) -> anyhow::Result<Proof> {
        let mut workers = self.rest().await?;
        let count = workers.len();
        for (number, (id, expected)) in others.contents.into_iter().enumerate() {
            let ledger = &mut workers[number % count].ledger;
            ledger.contents.insert(id, expected);
        }
        prove(fleet, &mut workers).await
    }
}

/// Compares everything on all copies, and the catalog, with what the clients remember.
pub(super) async fn prove(fleet: &Fleet, workers: &mut Vec<Worker>) -> anyhow::Result<Proof> {
    let mut proof = Proof::default();
    match copies::in_sync(fleet, &BTreeSet::new()).await {
        Ok(copies) => proof.contents = verify(workers, Arc::new(copies)).await?,
        Err(why) => proof.violations.push(why),
    }
    let ledgers: Vec<&Ledger> = workers.iter().map(|worker| &worker.ledger).collect();
    let different = catalog::differences(fleet, &ledgers).await?;
    proof.violations.extend(different);
    for worker in workers {
        proof.violations.append(&mut worker.violations);
        proof.counts.add(&std::mem::take(&mut worker.counts));
    }
    for violation in proof.violations.iter().take(TOLD_MAX) {
        eprintln!("VIOLATION {violation}");
    }
    Ok(proof)
}

/// Each client looks at its own contents, all at the same time.
async fn verify(workers: &mut Vec<Worker>, copies: Arc<Copies>) -> anyhow::Result<u64> {
    let looking = std::mem::take(workers).into_iter().map(|mut worker| {
        let copies = Arc::clone(&copies);
        tokio::spawn(async move {
            let count = copies::verify(&mut worker, &copies, true).await;
            (worker, count)
        })
    });
    let mut contents = 0;
    for looking in looking.collect::<Vec<_>>() {
        let (worker, count) = looking.await.context("a client panicked")?;
        contents += count;
        workers.push(worker);
    }
    Ok(contents)
}

impl Proof {
    /// What came out.
    pub(super) fn figures(&self) -> Vec<Figure> {
        let none = Bound::AtMost(0.0);
        vec![
            Figure::plain("changes acknowledged", self.counts.acknowledged as f64, ""),
            Figure::plain("changes without an answer", self.counts.lost as f64, ""),
            Figure::plain("contents compared on all copies", self.contents as f64, ""),
            Figure::bound("violations", self.violations.len() as f64, "", none),
        ]
    }
}
