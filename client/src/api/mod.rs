//! The library: one [`Client`] for one cluster.
//!
//! It asks a distributor where things are and talks to the storage nodes itself. Every call that
//! can be repeated safely is repeated within a bound ([`retry`]); every byte that is sent or
//! received is hashed and compared with what the cluster says. It knows no terminal and writes no
//! file.

mod catalog;
mod endpoint;
mod error;
mod exchange;
mod meter;
mod place;
mod probe;
mod read;
pub mod retry;
mod source;
mod update;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;
use wire::routes;
use wire::trace::TraceParent;

pub use catalog::{DeleteError, Filter, Listing};
use endpoint::Endpoints;
pub use endpoint::{Endpoint, ParseEndpointError};
pub use error::{RequestError, code_word};
pub use meter::Meter;
pub use place::{LeaderError, Leaderless, Log, LogError, leader_among};
pub use probe::{Clock, ReadyError, Told};
pub use read::{Prefix, ReadError, Reading};
pub use source::{Source, SourceError};
pub use update::{Condition, UpdateError};
pub use upload::{Metadata, Upload, UploadError};

use retry::Budget;
use upload::Lately;

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How long an exchange with a small answer may take, unless somebody is less patient.
const SMALL_EXCHANGE_MAX: Duration = Duration::from_secs(30);

/// How long a transfer may go without a byte in either direction: longer than a network needs to
/// send lost packets again, or a node to find another leader; shorter than [`retry::PATIENCE`], so
/// that a call whose peer fell silent still has the time to ask another one.
const STALL_MAX: Duration = Duration::from_secs(15);

/// A connection pool to one cluster; clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    endpoints: Arc<Endpoints>,
    authorization: Option<HeaderValue>,
    budget: Arc<Budget>,
    lately: Arc<Lately>,
    patience: Duration,
    /// How long an exchange with a small answer may take.
    answer_max: Duration,
}

/// What a [`Client`] needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// The distributor's base URI.
    pub endpoint: Endpoint,
    /// Those of the cluster's other distributors, asked in turn while the first is away.
    pub others: Vec<Endpoint>,
    /// The cluster's access key, where it demands one.
    pub access_key: Option<String>,
    /// The trace that all requests belong to: services name it in their logs.
    pub trace: TraceParent,
    /// Names all requests in the logs of services, as `X-Request-Id`, and in their errors.
    pub request_id: Uuid,
    /// How long a call goes on trying while the cluster says that a retry can help.
    pub patience: Duration,
}

/// Why a client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The key cannot be sent in a header.
    #[error("the access key contains characters that a header cannot carry")]
    AccessKey,
    /// The HTTP library refuses its own setting up.
    #[error("cannot set up the HTTP client")]
    Http(#[source] reqwest::Error),
}

impl Options {
    /// Options for a distributor, without a key, in a trace and under a name of its own, with the usual
    /// patience.
    pub fn new(endpoint: Endpoint) -> Self {
        Options {
            endpoint,
            others: Vec::new(),
            access_key: None,
            trace: TraceParent::begin(rand::random(), rand::random()),
            request_id: Uuid::new_v4(),
            patience: retry::PATIENCE,
        }
    }
}

impl Client {
    /// Makes a client; nothing is sent yet.
    ///
    /// # Errors
    /// When the key cannot be sent, or the TLS library cannot be set up.
    pub fn new(options: Options) -> Result<Self, ClientError> {
        // An error means that the process has a provider already, which is as good.
        let _installed = rustls::crypto::ring::default_provider()
            .install_default()
            .is_ok();
        let authorization = options.access_key.as_deref().map(bearer).transpose()?;
        Ok(Client {
            http: http_client(options.trace, options.request_id).map_err(ClientError::Http)?,
            endpoints: Arc::new(Endpoints::new(options.endpoint, options.others)),
            authorization,
            budget: Arc::new(Budget::default()),
            lately: Arc::new(Lately::default()),
            patience: options.patience,
            answer_max: SMALL_EXCHANGE_MAX,
        })
    }

    /// The base URIs of all distributors that were named.
    pub fn endpoints(&self) -> &[Endpoint] {
        self.endpoints.all()
    }

    /// The base URI of the distributor that is asked at present.
    pub fn endpoint(&self) -> &Endpoint {
        self.endpoints.current().1
    }
}

fn bearer(key: &str) -> Result<HeaderValue, ClientError> {
    let mut value =
        HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| ClientError::AccessKey)?;
    value.set_sensitive(true);
    Ok(value)
}

fn http_client(trace: TraceParent, request_id: Uuid) -> Result<reqwest::Client, reqwest::Error> {
    let named = [
        (routes::TRACE_HEADER, trace.to_string()),
        (routes::REQUEST_ID_HEADER, request_id.to_string()),
    ];
    let headers = named.into_iter().filter_map(|(name, value)| {
        let value = HeaderValue::try_from(value).ok()?;
        Some((HeaderName::from_static(name), value))
    });
    let headers: HeaderMap = headers.collect();
    // Redirects are followed by hand: the library would drop the key on the way to another port.
    let builder = || {
        reqwest::Client::builder()
            .default_headers(headers.clone())
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_MAX)
            .user_agent(concat!("acequia-client/", env!("CARGO_PKG_VERSION")))
    };
    // A machine without any CA certificate, a small container for instance, can still talk http.
    builder()
        .build()
        .or_else(|_| builder().tls_certs_only([]).build())
}
