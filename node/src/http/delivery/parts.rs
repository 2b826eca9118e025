//! The layout of an answer's body: one slice of the content, or several with headers between them
//! (`multipart/byteranges`).

use std::collections::VecDeque;
use std::fmt::Write;
use std::ops::Range;

use bytes::Bytes;

/// A piece of a body, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// Text between the parts.
    Text(Bytes),
    /// Bytes of the content.
    Slice(Range<u64>),
}

/// The layout of several ranges; `boundary` must not occur in the content, so it is random.
pub(super) fn byteranges(
    parts: &[Range<u64>],
    size: u64,
    content_type: &str,
    boundary: &str,
) -> VecDeque<Segment> {
    let mut segments = VecDeque::with_capacity(parts.len() * 2 + 1);
    for part in parts {
        let mut head = String::new();
        let range = content_range(part, size);
        write!(
            head,
            "\r\n--{boundary}\r\nContent-Type: {content_type}\r\nContent-Range: {range}\r\n\r\n"
        )
        .expect("writing to a string cannot fail");
        segments.push_back(Segment::Text(head.into()));
        segments.push_back(Segment::Slice(part.clone()));
    }
    segments.push_back(Segment::Text(format!("\r\n--{boundary}--\r\n").into()));
    segments
}

/// The value of `Content-Range` for a part of a content of `size` bytes.
pub(super) fn content_range(part: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", part.start, part.end.saturating_sub(1))
}

/// The length of a body, in bytes.
pub(super) fn length(segments: &VecDeque<Segment>) -> u64 {
    segments
        .iter()
        .map(|segment| match segment {
            Segment::Text(text) => text.len() as u64,
            Segment::Slice(slice) => slice.end - slice.start,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a program that asks for several ranges cannot tell them apart.
    #[test]
    fn parts_are_laid_out_with_their_headers() {
        let segments = byteranges(&[0..2, 5..6], 10, "text/plain", "B");
        let text: String = segments
            .iter()
            .map(|segment| match segment {
                Segment::Text(text) => String::from_utf8(text.to_vec()).expect("is text"),
                Segment::Slice(slice) => "x".repeat((slice.end - slice.start) as usize),
            })
            .collect();
        assert_eq!(
            text,
            "\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\nxx\
             \r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-5/10\r\n\r\nx\
             \r\n--B--\r\n"
        );
        assert_eq!(length(&segments), text.len() as u64);
    }
}
