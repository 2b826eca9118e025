//! The head of an HTTP/1.1 answer.

use wire::Checksum;

/// More headers than any service of ours sends.
const HEADERS_MAX: usize = 64;

/// What the head says of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The HTTP status.
    pub status: u16,
    /// How the body ends.
    pub length: Length,
    /// Whether the connection ends with it.
    pub close: bool,
    /// The hash in the strong ETag.
    pub etag: Option<Checksum>,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// After so many bytes.
    Bytes(u64),
    /// With an empty chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// The bytes are no head of an HTTP/1.1 answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseHeadError {
    /// They break the format.
    #[error("the head of the answer cannot be read: {0}")]
    Format(#[from] httparse::Error),
    /// The length is no number, or is given twice.
    #[error("the answer's Content-Length cannot be read")]
    Length,
}

/// Reads a head and its own length in bytes; none while it is not all there.
///
/// # Errors
/// When the bytes break the format.
pub fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, ParseHeadError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(consumed) = parsed.parse(bytes)? else {
        return Ok(None);
    };
    let status = parsed.code.unwrap_or(0);
    let mut close = parsed.version == Some(0);
    let (mut length, mut chunked, mut etag) = (None, false, None);
    for header in parsed.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let value = std::str::from_utf8(header.value)
                .ok()
                .and_then(|text| text.parse().ok());
            let value: u64 = value.ok_or(ParseHeadError::Length)?;
            if length.replace(value).is_some_and(|before| before != value) {
                return Err(ParseHeadError::Length);
            }
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = header.value.to_ascii_lowercase().ends_with(b"chunked");
        } else if header.name.eq_ignore_ascii_case("connection") {
            close |= header.value.eq_ignore_ascii_case(b"close");
        } else if header.name.eq_ignore_ascii_case("etag") {
            etag = parse_etag(header.value);
        }
    }
    let length = match (status, chunked, length) {
        (100..200 | 204 | 304, _, _) => Length::Bytes(0),
        (_, true, _) => Length::Chunked,
        (_, false, Some(bytes)) => Length::Bytes(bytes),
        (_, false, None) => Length::UntilClose,
    };
    close |= length == Length::UntilClose;
    Ok(Some((
        Head {
            status,
            length,
            close,
            etag,
        },
        consumed,
    )))
}

fn parse_etag(value: &[u8]) -> Option<Checksum> {
    let text = std::str::from_utf8(value).ok()?;
    Checksum::from_hex(text.strip_prefix('"')?.strip_suffix('"')?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    fn head(text: &str) -> Head {
        let parsed = parse_head(text.as_bytes())
            .expect(text)
            .expect("a whole head");
        assert_eq!(parsed.1, text.len());
        parsed.0
    }

    // If this fails, the benchmark takes one answer's end for another's.
    #[test]
    fn the_length_is_found_in_all_its_forms() {
        let hash = "ab".repeat(32);
        let ok = head(&format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 17\r\nETag: \"{hash}\"\r\n\r\n"
        ));
        let etag = Some(Checksum([0xab; 32]));
        assert_eq!(
            ok,
            Head {
                status: 200,
                length: Length::Bytes(17),
                close: false,
                etag
            }
        );
        let chunked = head("HTTP/1.1 503 X\r\ntransfer-encoding: chunked\r\n\r\n");
        assert_eq!((chunked.status, chunked.length), (503, Length::Chunked));
        assert_eq!(
            head("HTTP/1.1 100 Continue\r\n\r\n").length,
            Length::Bytes(0)
        );
        let close = head("HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n");
        assert!(close.close);
        let until = head("HTTP/1.1 200 OK\r\n\r\n");
        assert!(until.close && until.length == Length::UntilClose);
    }

    // If this fails, the benchmark waits for ever, or counts garbage as an answer.
    #[test]
    fn halves_are_waited_for_and_garbage_is_refused() {
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n";
        for end in 0..whole.len() {
            assert_eq!(parse_head(&whole.as_bytes()[..end]), Ok(None), "{end}");
        }
        for bad in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        ] {
            assert!(parse_head(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    proptest! {
        // If this fails, a broken service crashes the benchmark.
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some((_, consumed))) = parse_head(&bytes) {
                assert!(consumed <= bytes.len());
            }
        }
    }
}
