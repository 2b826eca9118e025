//! `Repr-Digest` (RFC 9530): the hashes that a sender gives with a body.

use actix_web::http::header::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::driver::upload::Expected;
use crate::http::error::ApiError;

const HEADERS: [&str; 2] = ["repr-digest", "content-digest"];

/// Reads the hashes that can be checked here, `sha-256` and `blake3`, into `expected`; others are
/// left alone, as RFC 9530 demands.
///
/// # Errors
/// When one of the two is not base64 of 32 bytes between colons.
pub(super) fn read(headers: &HeaderMap, expected: &mut Expected) -> Result<(), ApiError> {
    for value in HEADERS.iter().flat_map(|name| headers.get_all(*name)) {
        let text = value.to_str().map_err(|_| malformed())?;
        for member in text.split(',') {
            let Some((algorithm, digest)) = member.trim().split_once('=') else {
                return Err(malformed());
            };
            match algorithm {
                "sha-256" => expected.sha256 = Some(bytes(digest)?),
                "blake3" => expected.blake3 = Some(bytes(digest)?),
                _ => {}
            }
        }
    }
    Ok(())
}

fn bytes(digest: &str) -> Result<[u8; 32], ApiError> {
    let text = digest
        .strip_prefix(':')
        .and_then(|text| text.strip_suffix(':'));
    text.and_then(|text| STANDARD.decode(text).ok())
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(malformed)
}

fn malformed() -> ApiError {
    ApiError::malformed("a digest is an algorithm, `=`, and base64 between colons")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};
    use sha2::{Digest, Sha256};

    fn read_one(value: &str) -> Option<Expected> {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::try_from(value).expect("a header");
        headers.insert(HeaderName::from_static("repr-digest"), value);
        let mut expected = Expected::default();
        read(&headers, &mut expected).ok().map(|()| expected)
    }

    // If this fails, a body that was damaged on its way is stored and acknowledged.
    #[test]
    fn both_hashes_are_read() {
        let hash: [u8; 32] = Sha256::digest(b"x").into();
        let text = STANDARD.encode(hash);
        let both = format!("sha-256=:{text}:, unixsum=:AAA=:, blake3=:{text}:");
        let expected = read_one(&both).expect("reads");
        assert_eq!((expected.sha256, expected.blake3), (Some(hash), Some(hash)));
    }

    // If this fails, a digest that nobody can check is taken for one that was checked.
    #[test]
    fn broken_digests_are_refused() {
        for value in [
            "sha-256",
            "sha-256=",
            "sha-256=abc",
            "sha-256=:abc:",
            "blake3=:AAAA:",
        ] {
            assert_eq!(read_one(value), None, "{value} was accepted");
        }
    }
}
