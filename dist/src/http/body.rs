//! Reading request bodies within their limits, and dropping those of refused requests.

use std::time::Duration;

use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use wire::Code;
use wire::limits::{REFUSED_BODY_BYTES_MAX, REFUSED_BODY_TIME_MAX};

use super::error::ApiError;

/// How long a body may take: the largest, a full listing, passes a slow network in this time.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// Reads a JSON body of at most `bytes_max`.
pub(super) async fn json<T: DeserializeOwned>(
    payload: Payload,
    bytes_max: usize,
) -> Result<T, ApiError> {
    let body = bytes(payload, bytes_max).await?;
    serde_json::from_slice(&body)
        .map_err(|error| ApiError::malformed(format!("the body is not the expected JSON: {error}")))
}

/// Reads a body of at most `bytes_max`; of a longer one some is dropped, so that the client sees
/// the error.
pub(super) async fn bytes(mut payload: Payload, bytes_max: usize) -> Result<Bytes, ApiError> {
    let slow = || {
        let message = format!("the body took longer than {} s", BODY_TIME_MAX.as_secs());
        ApiError::new(Code::TooSlow, message)
    };
    let read = timeout(BODY_TIME_MAX, read(&mut payload, bytes_max)).await;
    match read.map_err(|_| slow())?? {
        Some(body) => Ok(body),
        None => {
            drain(payload).await;
            let message = format!("the body is longer than {bytes_max} bytes");
            Err(ApiError::new(Code::TooLarge, message))
        }
    }
}

/// The whole body; none if it is longer than `bytes_max`.
async fn read(payload: &mut Payload, bytes_max: usize) -> Result<Option<Bytes>, ApiError> {
    let mut body = BytesMut::new();
    while let Some(part) = payload.next().await {
        let part = part.map_err(|error| {
            ApiError::new(
                Code::BodyCutShort,
                format!("the body cannot be read: {error}"),
            )
        })?;
        if body.len() + part.len() > bytes_max {
            return Ok(None);
        }
        body.extend_from_slice(&part);
    }
    Ok(Some(body.freeze()))
}

/// Drops what a refused request still sends, within bounds.
pub(super) async fn drain(mut payload: Payload) {
    let drop_some = async {
        let mut left = REFUSED_BODY_BYTES_MAX;
        while let Some(Ok(part)) = payload.next().await {
            left = left.saturating_sub(part.len());
            if left == 0 {
                return;
            }
        }
    };
    // Whether all of it came in time changes nothing: the connection is closed otherwise.
    timeout(REFUSED_BODY_TIME_MAX, drop_some).await.ok();
}
