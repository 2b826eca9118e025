//! Uploads whose body is the content itself, as `curl -T` sends them.

use actix_web::HttpRequest;
use actix_web::http::header::CONTENT_LENGTH;
use wire::ContentId;
use wire::content::Receipt;

use super::body::Body;
use super::digest;
use super::names::Names;
use super::target::{self, Intent, Target};
use crate::driver::upload::{Expected, Upload};
use crate::http::error::ApiError;
use crate::http::frame;
use crate::http::query::Query;
use crate::node::Node;

/// Stores the body under `id`, as a new content or a new version.
pub(in crate::http) async fn receive(
    node: &Node,
    request: &HttpRequest,
    body: &mut Body,
    intent: Intent,
    id: ContentId,
) -> Result<Receipt, ApiError> {
    let query = Query::read(request.query_string())?;
    let wait = target::wait(&query)?;
    let names = names(request, &query)?;
    let expected = expected(request)?;
    let target = Target::settle(node, intent, id, request.headers()).await?;
    let described = names.describe(&id, target.replaced.as_ref())?;
    let mut upload = Upload::begin(&node.handle, id, target.how, &expected)?;
    while let Some(piece) = body.piece().await? {
        if let Err(error) = upload.push(&piece).await {
            return Err(ApiError::not_uploaded(node, id, error).await);
        }
    }
    let checksum = match upload.end(&expected).await {
        Ok(checksum) => checksum,
        Err(error) => return Err(ApiError::not_uploaded(node, id, error).await),
    };
    let ack = upload.commit(checksum, described, wait).await;
    let ack = match ack {
        Ok(ack) => ack,
        Err(failure) => return Err(ApiError::refused(node, id, failure).await),
    };
    Ok(frame::receipt(node, request, id, ack, target::done(intent)))
}

fn names(request: &HttpRequest, query: &Query) -> Result<Names, ApiError> {
    let mut names = Names::of_headers(request.headers())?;
    let given = |name| query.get(name).map(|value| value.map(str::to_owned));
    names.filename = given("filename")?.or(names.filename);
    names.collection = given("collection")?;
    names.attributes = given("attributes")?;
    Ok(names)
}

fn expected(request: &HttpRequest) -> Result<Expected, ApiError> {
    let mut expected = Expected::default();
    if let Some(length) = request.headers().get(CONTENT_LENGTH) {
        let length = length.to_str().ok().and_then(|text| text.parse().ok());
        expected.length =
            Some(length.ok_or_else(|| ApiError::malformed("Content-Length is not a number"))?);
    }
    digest::read(request.headers(), &mut expected)?;
    Ok(expected)
}
