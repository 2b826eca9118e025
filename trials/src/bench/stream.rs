//! Large bodies that are made and hashed as they go, so that nothing here holds them either.

use std::sync::{Arc, Mutex};

use anyhow::Context;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use wire::content::Receipt;
use wire::placement::Place;
use wire::{Checksum, routes};

use crate::http;

const PIECE_BYTES: u64 = 256 * 1024;

/// Uploads `size` random bytes to where the distributor says; gives the receipt and the node.
///
/// # Errors
/// When it is refused, or the receipt names another hash than was sent.
pub(super) async fn upload(
    client: &reqwest::Client,
    dist: &str,
    size: u64,
) -> anyhow::Result<(Receipt, String)> {
    let url = format!("{dist}{}?size={size}", routes::STORE);
    let place: Place = http::json(client.get(url)).await?;
    let sent = Arc::new(Mutex::new(blake3::Hasher::new()));
    let request = client
        .put(format!("{}/{}", place.uri, place.id))
        .header("content-length", size)
        .body(reqwest::Body::wrap_stream(pieces(size, Arc::clone(&sent))));
    let receipt: Receipt = http::json(request).await?;
    let hash = sent.lock().ok().context("the sender panicked")?.finalize();
    anyhow::ensure!(
        receipt.checksum == Checksum(*hash.as_bytes()),
        "the receipt's hash is wrong"
    );
    anyhow::ensure!(receipt.size == size, "the receipt's size is wrong");
    Ok((
        receipt,
        place.uri.trim_end_matches(routes::STORE).to_owned(),
    ))
}

fn pieces(
    size: u64,
    hasher: Arc<Mutex<blake3::Hasher>>,
) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> {
    let chance = StdRng::seed_from_u64(size);
    stream::unfold((chance, 0), move |(mut chance, sent)| {
        let hasher = Arc::clone(&hasher);
        async move {
            let length = PIECE_BYTES.min(size - sent);
            if length == 0 {
                return None;
            }
            let mut piece = vec![0; usize::try_from(length).ok()?];
            chance.fill_bytes(&mut piece);
            hasher.lock().ok()?.update(&piece);
            Some((Ok(Bytes::from(piece)), (chance, sent + length)))
        }
    })
}

/// Downloads a link; gives its size and hash.
///
/// # Errors
/// When it is refused or ends early.
pub(super) async fn download(
    client: &reqwest::Client,
    url: &str,
) -> anyhow::Result<(u64, Checksum)> {
    let answer = client.get(url).send().await?.error_for_status()?;
    let (mut size, mut hasher) = (0, blake3::Hasher::new());
    let mut body = answer.bytes_stream();
    while let Some(piece) = body.next().await {
        let piece = piece?;
        size += piece.len() as u64;
        hasher.update(&piece);
    }
    Ok((size, Checksum(*hasher.finalize().as_bytes())))
}

/// A client without a time limit for the whole of a request.
///
/// # Errors
/// When TLS cannot be set up.
pub(super) fn patient_client() -> anyhow::Result<reqwest::Client> {
    drop(rustls::crypto::ring::default_provider().install_default());
    Ok(reqwest::Client::builder()
        .no_proxy()
        .tcp_nodelay(true)
        .build()?)
}
