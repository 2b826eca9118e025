//! How long a store with a million small contents takes to open, and what its index takes in memory.
//!
//! `cargo bench -p store --bench restart [-- CONTENTS [DIR]]`

use std::io::{Write, stdout};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use store::disk::FileSystem;
use store::{How, NewContent, Payload, Store};
use wire::{Checksum, ContentId, Epoch, ShardNo};

const LOG: u64 = 1;
const NOW: u64 = 1_700_000_000_000;
const CONTENT_BYTES: usize = 1024;
const BATCH: u64 = 256;

fn id(n: u64) -> ContentId {
    ContentId::mint(ShardNo(1), NOW, n)
}

fn open(dir: &Path) -> anyhow::Result<Store> {
    Ok(Store::open(Arc::new(FileSystem), dir, LOG)?.0)
}

fn commit(store: &mut Store) -> anyhow::Result<()> {
    if let Some(job) = store.flush()? {
        let synced = store.synced(job.run())?;
        store.commit_to(synced, &mut Vec::new());
    }
    Ok(())
}

fn upkeep(store: &mut Store) -> anyhow::Result<()> {
    loop {
        let chores = store.chores(NOW);
        if chores.is_empty() {
            return Ok(());
        }
        for chore in chores {
            store.finish(chore.run(&mut |_| true))?;
        }
    }
}

/// Fills a store; returns the most bytes of index a content took at any time.
fn fill(store: &mut Store, contents: u64) -> anyhow::Result<f64> {
    let body = Bytes::from(vec![7; CONTENT_BYTES]);
    let payload = Payload::new(body.clone());
    let checksum = Checksum(*blake3::hash(&body).as_bytes());
    let mut worst: f64 = 0.0;
    store.begin_epoch(Epoch(store.positions().appended.epoch.0 + 1), NOW)?;
    for n in 0..contents {
        let new = NewContent {
            filename: format!("{n}.bin"),
            content_type: "application/octet-stream".to_owned(),
            collection: None,
            attributes: None,
            size: CONTENT_BYTES as u64,
            checksum,
        };
        store.put(id(n), new, How::Create, payload.clone(), NOW)?;
        if n % BATCH == 0 {
            commit(store)?;
            upkeep(store)?;
            if n >= contents / 8 {
                worst = worst.max(store.index_memory_bytes() as f64 / n as f64);
            }
        }
    }
    commit(store)?;
    upkeep(store)?;
    Ok(worst)
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"));
    let contents: u64 = arguments
        .next()
        .map_or(Ok(1_000_000), |text| text.parse())?;
    let folder = match arguments.next() {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let mut out = stdout().lock();
    let mut store = open(folder.path())?;
    let begun = Instant::now();
    let worst = fill(&mut store, contents)?;
    writeln!(
        out,
        "{contents} contents of {CONTENT_BYTES} bytes stored in {:.1?}",
        begun.elapsed()
    )?;
    writeln!(
        out,
        "index: {worst:.1} bytes a content at the worst load factor"
    )?;
    drop(store);
    for round in 1..=3 {
        let begun = Instant::now();
        let store = open(folder.path())?;
        let took = begun.elapsed();
        let usage = store.usage();
        writeln!(
            out,
            "restart {round}: {took:.3?}, {} contents, {} bytes of index",
            usage.contents,
            store.index_memory_bytes()
        )?;
        anyhow::ensure!(usage.contents >= contents - BATCH, "contents are missing");
        let read = store.reader().open(id(contents / 2))?;
        anyhow::ensure!(
            read.read(0, CONTENT_BYTES)?.len() == CONTENT_BYTES,
            "a content is cut short"
        );
    }
    Ok(())
}
