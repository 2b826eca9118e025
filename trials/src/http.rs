//! HTTP as the trials speak it: plain requests, no retries, errors told apart.

use std::time::Duration;

use anyhow::Context;
use reqwest::redirect::Policy;
use serde::de::DeserializeOwned;
use wire::{Code, ErrorBody};

/// Longer than any answer takes when all is well; a service that hangs shows up as an error.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(20);

/// A client for the trials.
///
/// # Errors
/// When TLS cannot be set up.
pub fn client() -> anyhow::Result<reqwest::Client> {
    build(builder().timeout(REQUEST_TIME_MAX))
}

/// A client that waits `time_max` for an answer, and follows no redirects.
///
/// # Errors
/// When TLS cannot be set up.
pub fn blunt_client(time_max: Duration) -> anyhow::Result<reqwest::Client> {
    build(builder().timeout(time_max).redirect(Policy::none()))
}

fn builder() -> reqwest::ClientBuilder {
    // Installed already by an earlier call: that is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy().tcp_nodelay(true)
}

fn build(builder: reqwest::ClientBuilder) -> anyhow::Result<reqwest::Client> {
    builder.build().context("cannot make an HTTP client")
}

/// What a request came to.
#[derive(Debug)]
pub enum Outcome<T> {
    /// It was done.
    Done(T),
    /// It was refused, and the answer says why.
    Refused(Code, ErrorBody),
    /// It was never sent: nobody listens.
    Unsent(String),
    /// The answer is lost: it may have been done or not.
    Lost(String),
}

/// Sends a request and reads a JSON answer.
pub async fn send<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Outcome<T> {
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) if error.is_connect() => return Outcome::Unsent(format!("{error:?}")),
        Err(error) => return Outcome::Lost(format!("{error:?}")),
    };
    let status = answer.status();
    let body = match answer.bytes().await {
        Ok(body) => body,
        Err(error) => return Outcome::Lost(format!("{error:?}")),
    };
    if status.is_success() {
        return match serde_json::from_slice(&body) {
            Ok(value) => Outcome::Done(value),
            Err(error) => Outcome::Lost(format!("{error} in {}", String::from_utf8_lossy(&body))),
        };
    }
    match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(error) => Outcome::Refused(error.code, error),
        Err(_) => Outcome::Lost(format!("{status}: {}", String::from_utf8_lossy(&body))),
    }
}

/// Sends a request that must succeed.
///
/// # Errors
/// When it does not.
pub async fn json<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> anyhow::Result<T> {
    match send(request).await {
        Outcome::Done(value) => Ok(value),
        Outcome::Refused(code, body) => anyhow::bail!("{code:?}: {}", body.message),
        Outcome::Unsent(error) | Outcome::Lost(error) => anyhow::bail!("{error}"),
    }
}
