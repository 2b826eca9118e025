//! Files on their way between a browser and a node.
//!
//! They pass through here, and not straight to the node: its address may not be reachable for the
//! browser, another origin would need exceptions from the policies of both, and the key would have
//! to be given to a script. At most a few pieces are in memory.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{Bytes, Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{StreamExt, stream};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::timeout;
use wire::{Code, ContentId, routes};

use crate::app::Shared;
use crate::console::content::{Kind, kind};
use crate::http::body;
use crate::http::content::leading::{Attempt, at_leader};
use crate::http::content::parameters;
use crate::http::content_item::id;
use crate::http::envelope::trail;
use crate::http::error::ApiError;
use crate::http::store::one_place;
use crate::peer::{CallError, Passed};

/// Pieces of a body that wait to be sent on.
const PIECES_MAX: usize = 4;

/// How long a browser may send nothing: as long as clients wait for a node that is silent. One that
/// sends too slowly is refused by the node.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// A read may be sent on from a damaged copy to each other one.
const REDIRECTS_MAX: usize = 5;

/// A stored file is no page of ours: it runs nothing, and loads nothing.
const BYTES_POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'";

#[derive(Deserialize)]
struct StoreParameters {
    filename: String,
    size: Option<u64>,
}

/// Stores a file at the node that the placement chooses.
pub(super) async fn store(
    shared: Data<Shared>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let target = parameters::<StoreParameters>(&request).and_then(|asked| {
        let place = one_place(&shared, asked.size.unwrap_or(0))?;
        let base = shared.members.internal_url(&place.node);
        let base = base.ok_or_else(|| ApiError::new(Code::NoNode, "the node has just gone"))?;
        Ok(named(&routes::store(&base, place.id), &asked.filename))
    });
    send(&shared, &request, payload, target).await
}

#[derive(Deserialize)]
struct UpdateParameters {
    filename: String,
}

/// Makes a file a content's next version.
pub(super) async fn update(
    shared: Data<Shared>,
    path: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let target = async {
        let id = id(&path)?;
        let asked = parameters::<UpdateParameters>(&request)?;
        let base = at_leader(&shared, id.shard(), async |base| Attempt {
            outcome: Ok(base),
            another: false,
        });
        Ok(named(&routes::update(&base.await?, id), &asked.filename))
    };
    let target = target.await;
    send(&shared, &request, payload, target).await
}

fn named(url: &str, filename: &str) -> String {
    format!(
        "{url}?filename={}",
        utf8_percent_encode(filename, NON_ALPHANUMERIC)
    )
}

/// Sends a body on, and gives the node's answer back: also one that comes before the body's end.
async fn send(
    shared: &Shared,
    request: &HttpRequest,
    mut payload: Payload,
    target: Result<String, ApiError>,
) -> Result<HttpResponse, ApiError> {
    let url = match target {
        Ok(url) => url,
        Err(error) => {
            body::drain(payload).await;
            return Err(error);
        }
    };
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let pieces = stream::unfold(receiver, |mut receiver| async {
        let piece: Result<Bytes, std::io::Error> = receiver.recv().await?;
        Some((piece, receiver))
    });
    let passed = Passed {
        method: Method::PUT,
        url,
        headers: copied(
            request.headers(),
            &["content-type", "content-length", "if-match"],
        ),
        trail: trail(request),
        body: Some(reqwest::Body::wrap_stream(pieces)),
    };
    let answered = exchange(shared, passed, &mut payload, sender).await;
    body::drain(payload).await;
    let (status, body) = answered?;
    Ok(HttpResponse::build(status)
        .content_type("application/json")
        .body(body))
}

/// The pieces of a body, or that it broke off.
type Pieces = mpsc::Sender<Result<Bytes, std::io::Error>>;

/// Hands a body over, and takes the answer: it may come before the body's end. As long as a body has
/// not ended, `pieces` stays: otherwise it would look as if it had.
async fn exchange(
    shared: &Shared,
    passed: Passed,
    payload: &mut Payload,
    pieces: Pieces,
) -> Result<(StatusCode, Bytes), ApiError> {
    let mut passing = std::pin::pin!(shared.peer.pass(passed));
    let answer = tokio::select! {
        answer = &mut passing => answer?,
        pumped = pump(payload, &pieces) => {
            pumped?;
            drop(pieces);
            passing.await?
        }
    };
    let status = status(answer.status());
    let body = answer.bytes().await.map_err(|error| CallError::Lost {
        url: "the node".to_owned(),
        detail: error.to_string(),
    })?;
    Ok((status, body))
}

/// Hands the pieces of a body over, until it ends or nobody takes them.
async fn pump(payload: &mut Payload, pieces: &Pieces) -> Result<(), ApiError> {
    let silent = |_| {
        let seconds = SILENCE_MAX.as_secs();
        let message = format!("nothing of the file came for {seconds} s");
        ApiError::new(Code::TooSlow, message)
    };
    while let Some(piece) = timeout(SILENCE_MAX, payload.next()).await.map_err(silent)? {
        let broken = piece.is_err();
        // A body that breaks off must not look like one that ended.
        let piece = piece.map_err(|error| std::io::Error::other(error.to_string()));
        if pieces.send(piece).await.is_err() || broken {
            break;
        }
    }
    Ok(())
}

fn copied(headers: &HeaderMap, names: &[&'static str]) -> Vec<(&'static str, String)> {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let present = names.iter().filter_map(|name| Some((*name, value(name)?)));
    present
        .map(|(name, value)| (name, value.to_owned()))
        .collect()
}

fn status(status: reqwest::StatusCode) -> StatusCode {
    StatusCode::from_u16(status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// What is read of a content.
pub(super) struct Wanted {
    pub(super) id: ContentId,
    pub(super) query: String,
    pub(super) headers: Vec<(&'static str, String)>,
}

/// Asks the content's leader for its bytes; where that copy is damaged, another one.
pub(super) async fn open(
    shared: &Shared,
    request: &HttpRequest,
    wanted: Wanted,
) -> Result<reqwest::Response, ApiError> {
    let ask = async |url: String| {
        let passed = Passed {
            method: Method::GET,
            url,
            headers: wanted.headers.clone(),
            trail: trail(request),
            body: None,
        };
        shared.peer.pass(passed).await
    };
    let mut answer = at_leader(shared, wanted.id.shard(), async |base| {
        let url = format!("{}?{}", routes::retrieve(&base, wanted.id), wanted.query);
        match ask(url).await {
            Ok(answer) => Attempt {
                another: answer.status() == reqwest::StatusCode::MISDIRECTED_REQUEST,
                outcome: Ok(answer),
            },
            Err(error) => Attempt::failed(error.into(), true),
        }
    })
    .await?;
    for _ in 0..REDIRECTS_MAX {
        let Some(target) = redirect(shared, &answer) else {
            break;
        };
        answer = ask(target).await?;
    }
    Ok(answer)
}

/// Where an answer sends its reader, if that is a node of ours: keys go along.
fn redirect(shared: &Shared, answer: &reqwest::Response) -> Option<String> {
    if answer.status() != reqwest::StatusCode::TEMPORARY_REDIRECT {
        return None;
    }
    let target = answer.headers().get("location")?.to_str().ok()?;
    let nodes = shared.members.nodes(std::time::Instant::now());
    nodes.into_iter().find_map(|node| {
        let bases = [&node.address.public_url, &node.address.internal_url];
        let path = bases
            .into_iter()
            .find_map(|base| target.strip_prefix(base.as_str()))?;
        path.starts_with('/')
            .then(|| format!("{}{path}", node.address.internal_url))
    })
}

/// A content's bytes: to be shown inside a page, or saved.
pub(super) async fn bytes(
    shared: Data<Shared>,
    path: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let wanted = Wanted {
        id: id(&path)?,
        query: request.query_string().to_owned(),
        headers: copied(
            request.headers(),
            &["range", "if-range", "if-none-match", "if-modified-since"],
        ),
    };
    let answer = open(&shared, &request, wanted).await?;
    let given = |name: &str| {
        let value = answer.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let mut response = HttpResponse::build(status(answer.status()));
    for name in [
        "accept-ranges",
        "content-range",
        "content-type",
        "etag",
        "last-modified",
    ] {
        if let Some(value) = given(name) {
            response.insert_header((name, value));
        }
    }
    let media = given("content-type").unwrap_or_default();
    if let Some(disposition) = given("content-disposition") {
        response.insert_header((header::CONTENT_DISPOSITION, kept(&media, &disposition)));
    }
    let length = given("content-length").and_then(|length| length.parse().ok());
    if let Some(length) = length {
        response.no_chunking(length);
    }
    Ok(response
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((header::CONTENT_SECURITY_POLICY, BYTES_POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header(("cross-origin-resource-policy", "same-origin"))
        .streaming(answer.bytes_stream()))
}

/// What is neither a picture nor sound is saved, never opened: an HTML file of a stranger has no
/// place beside our pages.
fn kept(media: &str, disposition: &str) -> String {
    match (kind(media), disposition.strip_prefix("inline")) {
        (Kind::Text | Kind::Other, Some(rest)) => format!("attachment{rest}"),
        _ => disposition.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, somebody's HTML file is shown as if it were a page of the console.
    #[test]
    fn files_that_could_act_are_saved() {
        let inline = "inline; filename=\"a\"";
        assert_eq!(
            kept("text/html; charset=utf-8", inline),
            "attachment; filename=\"a\""
        );
        assert_eq!(
            kept("application/pdf", inline),
            "attachment; filename=\"a\""
        );
        assert_eq!(kept("image/png", inline), inline);
        assert_eq!(kept("video/mp4", "attachment"), "attachment");
    }
}
