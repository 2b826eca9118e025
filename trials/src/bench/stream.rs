//! Large bodies that are sent and hashed as they go, so that nothing here holds them either.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use wire::content::Receipt;
use wire::placement::Place;
use wire::{Checksum, routes};

use crate::http;

const PIECE_BYTES: u64 = 256 * 1024;

/// The pieces of a body, which are sent over and over.
const PIECES: u64 = 64;

/// A body of random pieces, made and hashed before it is sent: what is measured beside an upload
/// must not wait for its sender.
pub(super) struct Body {
    size: u64,
    pieces: Vec<Bytes>,
    hash: Checksum,
}

impl Body {
    pub(super) fn new(size: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(size);
        let piece = |_| {
            let mut bytes = vec![0; PIECE_BYTES as usize];
            chance.fill_bytes(&mut bytes);
            Bytes::from(bytes)
        };
        let mut body = Body {
            size,
            pieces: (0..PIECES.min(size.div_ceil(PIECE_BYTES)))
                .map(piece)
                .collect(),
            hash: Checksum([0; 32]),
        };
        let mut hasher = blake3::Hasher::new();
        for number in 0..size.div_ceil(PIECE_BYTES) {
            hasher.update(&piece_of(&body.pieces, size, number));
        }
        body.hash = Checksum(*hasher.finalize().as_bytes());
        body
    }

    /// The request that sends it.
    pub(super) fn send_with(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request
            .header("content-length", self.size)
            .body(reqwest::Body::wrap_stream(self.stream()))
    }

    fn stream(&self) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> + use<> {
        let (pieces, size) = (self.pieces.clone(), self.size);
        let numbers = 0..size.div_ceil(PIECE_BYTES);
        stream::iter(numbers.map(move |number| Ok(piece_of(&pieces, size, number))))
    }
}

fn piece_of(pieces: &[Bytes], size: u64, number: u64) -> Bytes {
    let length = PIECE_BYTES.min(size - number * PIECE_BYTES);
    pieces[(number % PIECES) as usize].slice(..length as usize)
}

/// Uploads a body to where the distributor says; gives the receipt and the node.
///
/// # Errors
/// When it is refused, or the receipt names another hash than was sent.
pub(super) async fn upload(
    client: &reqwest::Client,
    dist: &str,
    body: &Body,
) -> anyhow::Result<(Receipt, String)> {
    let size = body.size;
    let url = format!("{dist}{}?size={size}", routes::STORE);
    let place: Place = http::json(client.get(url)).await?;
    let request = client.put(format!("{}/{}", place.uri, place.id));
    let receipt: Receipt = http::json(body.send_with(request)).await?;
    anyhow::ensure!(receipt.checksum == body.hash, "the receipt's hash is wrong");
    anyhow::ensure!(receipt.size == size, "the receipt's size is wrong");
    Ok((
        receipt,
        place.uri.trim_end_matches(routes::STORE).to_owned(),
    ))
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
