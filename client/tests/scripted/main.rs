//! The library and the binary against a service that fails on demand: retries, resumption, exit
//! codes. What a real cluster does is in the tests beside these.

mod benchmarks;
mod cli_answers;
mod cli_files;
mod cli_get;
mod cli_help;
mod cli_nodes;
mod command;
mod failover;
mod fake;
mod reads;
mod terminal;
mod updates;
mod uploads;

use std::time::Duration;

use client::api::{Client, Endpoint, Options};
use fake::Fake;

/// A client of the fake cluster, more patient than any test's failures last.
fn client_of(fake: &Fake) -> Client {
    client_with(fake, None)
}

fn client_with(fake: &Fake, access_key: Option<&str>) -> Client {
    patient_client(fake, access_key, Duration::from_secs(20))
}

fn patient_client(fake: &Fake, access_key: Option<&str>, patience: Duration) -> Client {
    let endpoint: Endpoint = fake.url.parse().expect("a base URL");
    let mut options = Options::new(endpoint);
    options.access_key = access_key.map(str::to_owned);
    options.patience = patience;
    Client::new(options).expect("a client")
}

/// Bytes that differ from place to place.
fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i * 7 + i / 256) as u8).collect()
}

/// A base URI that nobody listens at.
fn nobody() -> String {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind(([127, 0, 0, 1], 0).into())
        .expect("a free port");
    let address = socket.local_addr().expect("bound");
    // The port stays bound, or somebody else would listen there a moment later.
    std::mem::forget(socket);
    format!("http://{address}")
}
