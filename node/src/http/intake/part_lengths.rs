//! Lengths that the parts of a form claim for themselves.
//!
//! The parser believes a part's `Content-Length` and drops what is beyond it, so a part that lies
//! would be stored cut short. Here the claim is hidden from the parser, which then reads each part
//! up to its boundary, and is held against what came.

use bytes::{Bytes, BytesMut};
use memchr::memmem;

/// What a part's claim is renamed to, on its way to the parser.
pub(super) const CLAIMED: &str = "x-part-lengths";

const CONTENT_LENGTH: &[u8] = b"content-length";
const _: () = assert!(
    CLAIMED.len() == CONTENT_LENGTH.len(),
    "a name is replaced in its place"
);

/// Headers longer than this are the parser's to refuse.
const HEADERS_BYTES_MAX: usize = 16 * 1024;

/// Renames the claims in a form that passes through.
pub(super) struct Renaming {
    /// `\r\n--` and the boundary.
    delimiter: Vec<u8>,
    at: At,
    /// What came and may be the beginning of something.
    held: BytesMut,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// At the first byte, where a boundary has no line before it.
    Start,
    /// In a part's bytes.
    Bytes,
    /// Behind a boundary.
    Headers,
    /// Where nothing is left to rename.
    End,
}

impl Renaming {
    /// For a form with this boundary; without one there is no form.
    pub(super) fn new(boundary: Option<&str>) -> Self {
        let delimiter = format!("\r\n--{}", boundary.unwrap_or_default()).into_bytes();
        let at = if boundary.is_some_and(|boundary| !boundary.is_empty()) {
            At::Start
        } else {
            At::End
        };
        Renaming {
            delimiter,
            at,
            held: BytesMut::new(),
        }
    }

    /// Takes a piece; gives what can be passed on.
    pub(super) fn push(&mut self, piece: &[u8]) -> Bytes {
        self.held.extend_from_slice(piece);
        let mut ready = 0;
        while let Some(step) = self.step(ready) {
            ready += step;
        }
        self.held.split_to(ready).freeze()
    }

    /// Gives what is left at the body's end.
    pub(super) fn end(&mut self) -> Bytes {
        self.held.split().freeze()
    }

    /// Goes on behind the first `from` bytes; gives how many more are done with, none when more
    /// must come first.
    fn step(&mut self, from: usize) -> Option<usize> {
        let rest = &self.held[from..];
        match self.at {
            At::Start => {
                let first = &self.delimiter[2..];
                if rest.len() < first.len() {
                    return None;
                }
                let (found, step) = (rest.starts_with(first), first.len());
                self.at = if found { At::Headers } else { At::Bytes };
                Some(if found { step } else { 0 })
            }
            At::Bytes => match memmem::find(rest, &self.delimiter) {
                Some(found) => {
                    self.at = At::Headers;
                    Some(found + self.delimiter.len())
                }
                // The last bytes may be the first of a delimiter.
                None => {
                    Some(rest.len().saturating_sub(self.delimiter.len() - 1)).filter(|n| *n > 0)
                }
            },
            At::Headers if rest.len() < 2 => None,
            At::Headers if rest.starts_with(b"--") => {
                self.at = At::End;
                Some(0)
            }
            At::Headers => match memmem::find(rest, b"\r\n\r\n") {
                Some(end) => {
                    rename(&mut self.held[from..from + end]);
                    self.at = At::Bytes;
                    Some(end + 4)
                }
                None if rest.len() > HEADERS_BYTES_MAX => {
                    self.at = At::End;
                    Some(0)
                }
                None => None,
            },
            At::End => Some(rest.len()).filter(|n| *n > 0),
        }
    }
}

/// Renames the claim in a block of headers, at the beginnings of lines.
fn rename(headers: &mut [u8]) {
    for line in headers.split_mut(|byte| *byte == b'\n') {
        if let Some((name, rest)) = line.split_at_mut_checked(CONTENT_LENGTH.len())
            && name.eq_ignore_ascii_case(CONTENT_LENGTH)
            && rest.trim_ascii_start().starts_with(b":")
        {
            name.copy_from_slice(CLAIMED.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    fn through(form: &[u8], cuts: &[usize]) -> Vec<u8> {
        let mut renaming = Renaming::new(Some("B"));
        let (mut out, mut rest) = (Vec::new(), form);
        for cut in cuts {
            let (piece, later) = rest.split_at((*cut).min(rest.len()));
            out.extend_from_slice(&renaming.push(piece));
            rest = later;
        }
        out.extend_from_slice(&renaming.push(rest));
        out.extend_from_slice(&renaming.end());
        out
    }

    const FORM: &str = "--B\r\nA: b\r\nContent-Length: 3\r\n\r\nContent-Length: 9\r\n\r\n\r\n--B\r\n\
        content-LENGTH:1\r\n\r\n\r\n--B\r\nC: content-length\r\n\r\n\r\n--B--\r\nContent-Length: 1";

    proptest! {
        // If this fails, a file is stored cut short, or changed on its way.
        #[test]
        fn claims_are_renamed_and_bytes_are_not(
            cuts in proptest::collection::vec(0_usize..20, 0..40),
        ) {
            let expected = FORM
                .replacen("Content-Length: 3", "x-part-lengths: 3", 1)
                .replacen("content-LENGTH:1", "x-part-lengths:1", 1);
            prop_assert_eq!(through(FORM.as_bytes(), &cuts), expected.into_bytes());
        }

        // If this fails, a hostile form loses or gains bytes, or crashes a worker.
        #[test]
        fn nothing_is_lost(form in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(through(&form, &[7, 30, 1]).len(), form.len());
        }
    }
}
