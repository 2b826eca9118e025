//! Calls to the collector.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::Runtime;

use crate::account::Account;
use crate::traces::StartError;

/// A collector that needs longer for a batch does not get it: the time that OpenTelemetry names.
const CALL_TIME_MAX: Duration = Duration::from_secs(10);

/// A client on a runtime of its own: whatever the network does to a call, even to looking up a name,
/// nothing of the service waits for it, nor for its end.
#[derive(Debug)]
pub(crate) struct Collector {
    client: reqwest::Client,
    /// There until it is dropped.
    runtime: Option<Runtime>,
    account: Arc<Account>,
}

impl Collector {
    /// The client; it connects with the first call.
    ///
    /// # Errors
    /// When the system gives no randomness or no descriptor.
    pub(crate) fn new(account: Arc<Account>) -> Result<Self, StartError> {
        // Another part of the process may have installed it already; then that one serves.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let builder = || {
            reqwest::Client::builder()
                .timeout(CALL_TIME_MAX)
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("acequia/", env!("CARGO_PKG_VERSION")))
        };
        // A machine without any CA certificate, a small container for instance, can still talk http.
        let client = builder()
            .build()
            .or_else(|_| builder().tls_certs_only([]).build())
            .map_err(|error| StartError::new(&error))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StartError::new(&error))?;
        Ok(Collector {
            client,
            runtime: Some(runtime),
            account,
        })
    }
}

#[async_trait::async_trait]
impl HttpClient for Collector {
    /// Blocks: only the exporting thread calls it.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let ended = || io::Error::other("the runtime has ended");
        let runtime = self.runtime.as_ref().ok_or_else(ended)?;
        let sent = runtime.block_on(self.client.send_bytes(request));
        sent.inspect_err(|error| self.account.failed(innermost(error.as_ref())))
    }
}

impl Drop for Collector {
    /// Waits for nothing, so that it may happen anywhere.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The system's own word, such as "connection refused".
fn innermost(error: &(dyn Error + Send + Sync + 'static)) -> String {
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
