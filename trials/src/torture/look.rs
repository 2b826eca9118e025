//! One look at one content: what a node says of it, told apart.

use reqwest::StatusCode;
use wire::error::Retry;
use wire::{Checksum, Code, ContentId, ErrorBody, routes};

use super::ledger::{State, Version};

/// How many nodes a read is sent on to before it gives up.
const HOPS_MAX: u32 = 4;

/// What a look shows.
#[derive(Clone, Debug)]
pub enum Seen {
    /// It is there, or it is not.
    State(State),
    /// Another node shall be asked.
    Elsewhere(String),
    /// The copy is damaged.
    Damaged(String),
    /// The node does not say at this moment.
    Away(String),
    /// An answer that must not be.
    Wrong(String),
}

/// Asks one node; a redirect is an answer like others, so the client must not follow any.
pub async fn at(client: &reqwest::Client, node: &str, id: ContentId) -> Seen {
    ask(client, routes::retrieve(node, id)).await
}

/// Reads as clients do: wherever the nodes send it.
pub async fn around(client: &reqwest::Client, node: &str, id: ContentId) -> Seen {
    let mut url = routes::retrieve(node, id);
    for _ in 0..HOPS_MAX {
        match ask(client, url).await {
            Seen::Elsewhere(next) => url = next,
            seen => return seen,
        }
    }
    Seen::Away("sent on and on".to_owned())
}

async fn ask(client: &reqwest::Client, url: String) -> Seen {
    let answer = match client.get(url).send().await {
        Ok(answer) => answer,
        Err(error) => return Seen::Away(error.to_string()),
    };
    let status = answer.status();
    let header = |name: &str| {
        let value = answer.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let (number, location) = (header(routes::VERSION_HEADER), header("location"));
    let body = match answer.bytes().await {
        Ok(body) => body,
        Err(error) => return Seen::Away(error.to_string()),
    };
    if status.is_redirection() {
        return location.map_or_else(
            || Seen::Wrong(format!("{status} to nowhere")),
            Seen::Elsewhere,
        );
    }
    if status.is_success() {
        let Some(number) = number.and_then(|text| text.parse().ok()) else {
            return Seen::Wrong(format!("{status} without {}", routes::VERSION_HEADER));
        };
        let checksum = Checksum(*blake3::hash(&body).as_bytes());
        return Seen::State(Some(Version {
            number,
            size: body.len() as u64,
            checksum,
        }));
    }
    // What a service says of a request that came in while it stood still: it did not see it come.
    if status == StatusCode::REQUEST_TIMEOUT {
        return Seen::Away(status.to_string());
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    match serde_json::from_slice::<ErrorBody>(&body).map(|error| error.code) {
        Ok(Code::NotFound | Code::Deleted) => Seen::State(None),
        Ok(Code::Damaged) => Seen::Damaged(text),
        Ok(code) if code.retry() == Retry::Never => Seen::Wrong(format!("{status}: {text}")),
        Ok(code) => Seen::Away(format!("{code:?}")),
        Err(_) => Seen::Wrong(format!("{status}: {text}")),
    }
}
