//! A user of the client library: what it does about failures is what every program that uses it does.

use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use client::api::{Client, Condition, Endpoint, Metadata, Meter, Options, Prefix, Source, Upload};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use tokio::time::Instant;
use wire::ContentId;

use super::GoOn;
use super::tally::{Tally, whole};

/// Contents that a user keeps.
const KEPT_MAX: usize = 100;

/// A client of the distributors at `urls`.
///
/// # Errors
/// When none can be made.
pub fn client(urls: &[&str]) -> anyhow::Result<Client> {
    let mut endpoints = Vec::new();
    for url in urls {
        let endpoint = url.parse::<Endpoint>();
        endpoints.push(endpoint.with_context(|| format!("{url} is no URL"))?);
    }
    let mut endpoints = endpoints.into_iter();
    let mut options = Options::new(endpoints.next().context("no distributor")?);
    options.others = endpoints.collect();
    Client::new(options).context("no client")
}

/// Does nothing but upload small contents.
pub async fn upload_only(client: Client, seed: u64, tally: Arc<Tally>, go_on: GoOn) {
    let mut chance = StdRng::seed_from_u64(seed);
    while go_on.holds() {
        let upload = upload(&mut chance, 8 * 1024);
        let begun = Instant::now();
        let stored = client.upload(&upload, &Meter::default()).await;
        tally.note("upload", begun, stored.map_err(|error| whole(&error)));
    }
}

/// Uploads, reads, updates and deletes its own contents, one after the other.
pub async fn everything(client: Client, seed: u64, tally: Arc<Tally>, go_on: GoOn) {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut kept: Vec<ContentId> = Vec::new();
    while go_on.holds() {
        let one = chance.random_range(0..kept.len().max(1));
        let id = kept.get(one).copied();
        let what = chance.random_range(0..100);
        let begun = Instant::now();
        match (what, id) {
            (30..60, Some(id)) => {
                let read = read(&client, id).await;
                tally.note(&format!("read of {id}"), begun, read);
            }
            (60..80, Some(id)) => {
                let new = upload(&mut chance, 64 * 1024);
                let any = Condition::Any;
                let updated = client.update(id, &new, any, &Meter::default()).await;
                let updated = updated.map_err(|error| whole(&error));
                tally.note(&format!("update of {id}"), begun, updated);
            }
            (_, Some(id)) if what >= 80 || kept.len() >= KEPT_MAX => {
                let deleted = client.delete(id, None).await;
                let deleted = deleted.map_err(|error| whole(&error));
                tally.note(&format!("delete of {id}"), begun, deleted);
                kept.swap_remove(one);
            }
            _ => {
                let size_max = if what < 2 { 3 << 20 } else { 64 * 1024 };
                let upload = upload(&mut chance, size_max);
                let stored = client.upload(&upload, &Meter::default()).await;
                let stored = stored.map_err(|error| whole(&error));
                kept.extend(
                    tally
                        .note("upload", begun, stored)
                        .map(|receipt| receipt.id),
                );
            }
        }
    }
}

/// Reads a content; its bytes are compared with its hash.
async fn read(client: &Client, id: ContentId) -> Result<(), String> {
    let item = client.info(id, None).await.map_err(|error| whole(&error))?;
    let mut reading = client.read(item, Prefix::default());
    while let Some(_bytes) = reading.next().await.map_err(|error| whole(&error))? {}
    Ok(())
}

fn upload(chance: &mut StdRng, size_max: usize) -> Upload {
    let mut bytes = vec![0; chance.random_range(0..size_max)];
    chance.fill_bytes(&mut bytes);
    Upload {
        source: Source::Memory(Bytes::from(bytes)),
        metadata: Metadata::default(),
    }
}
