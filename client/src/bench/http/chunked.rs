//! A body in chunks (RFC 9112 §7.1), decoded as it comes.

/// What may stand in a size line or a trailer line, in bytes.
const LINE_BYTES_MAX: usize = 4096;

/// Where in the body the decoder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a size line, `size` read so far.
    Size { size: u64, digits: u8, line: usize },
    /// Behind the size, in an extension or before the line's end.
    Extension { size: u64, line: usize },
    /// In a chunk.
    Data { left: u64 },
    /// Behind a chunk, before its line break.
    Break { line_feed: bool },
    /// Behind the last chunk: in trailer lines, up to an empty one.
    Trailer { line: usize },
    /// Behind the body.
    End,
}

/// The bytes are no chunked body.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the chunks of the answer's body cannot be read")]
pub struct ChunkError;

/// A decoder of one body.
#[derive(Debug)]
pub struct Chunked(State);

impl Default for Chunked {
    fn default() -> Self {
        Chunked(State::Size {
            size: 0,
            digits: 0,
            line: 0,
        })
    }
}

impl Chunked {
    /// Whether the body has ended; what follows belongs to the next answer.
    pub fn is_ended(&self) -> bool {
        self.0 == State::End
    }

    /// Takes bytes up to the end of the next run of data: how many it took, and the run, which may
    /// be empty. To be called again with the rest until that is empty or the body has ended.
    ///
    /// # Errors
    /// When the bytes break the format.
    pub fn feed<'a>(&mut self, input: &'a [u8]) -> Result<(usize, &'a [u8]), ChunkError> {
        let mut taken = 0;
        while taken < input.len() {
            match self.0 {
                State::End => break,
                State::Data { left } => {
                    let rest = &input[taken..];
                    let run = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    self.0 = match left - run as u64 {
                        0 => State::Break { line_feed: false },
                        left => State::Data { left },
                    };
                    return Ok((taken + run, &rest[..run]));
                }
                state => self.0 = step(state, input[taken])?,
            }
            taken += 1;
        }
        Ok((taken, &[]))
    }
}

/// One byte outside of data.
fn step(state: State, byte: u8) -> Result<State, ChunkError> {
    match (state, byte) {
        (State::Size { size, digits, .. }, b'\n') if digits > 0 => Ok(after_size(size)),
        (State::Size { size, digits, line }, b'\r' | b';' | b' ' | b'\t') if digits > 0 => {
            Ok(State::Extension { size, line })
        }
        (State::Size { size, digits, line }, _) => {
            let digit = char::from(byte).to_digit(16).ok_or(ChunkError)?;
            if digits == 16 {
                return Err(ChunkError);
            }
            let size = size << 4 | u64::from(digit);
            Ok(State::Size {
                size,
                digits: digits + 1,
                line: line + 1,
            })
        }
        (State::Extension { size, .. }, b'\n') => Ok(after_size(size)),
        (State::Extension { line, .. } | State::Trailer { line }, _) if line >= LINE_BYTES_MAX => {
            Err(ChunkError)
        }
        (State::Extension { size, line }, _) => Ok(State::Extension {
            size,
            line: line + 1,
        }),
        (State::Break { line_feed: false }, b'\r') => Ok(State::Break { line_feed: true }),
        (State::Break { .. }, b'\n') => Ok(State::Size {
            size: 0,
            digits: 0,
            line: 0,
        }),
        (State::Trailer { line: 0 }, b'\n') => Ok(State::End),
        (State::Trailer { line }, b'\r') => Ok(State::Trailer { line }),
        (State::Trailer { .. }, b'\n') => Ok(State::Trailer { line: 0 }),
        (State::Trailer { line }, _) => Ok(State::Trailer { line: line + 1 }),
        (State::Break { .. } | State::Data { .. } | State::End, _) => Err(ChunkError),
    }
}

fn after_size(size: u64) -> State {
    match size {
        0 => State::Trailer { line: 0 },
        left => State::Data { left },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    /// All data of a body fed in pieces of `step` bytes, and what was left of the input.
    fn decode(body: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), ChunkError> {
        let (mut chunked, mut data, mut rest) = (Chunked::default(), Vec::new(), 0);
        for piece in body.chunks(step) {
            let mut at = 0;
            while at < piece.len() && !chunked.is_ended() {
                let (taken, run) = chunked.feed(&piece[at..])?;
                data.extend_from_slice(run);
                at += taken;
            }
            rest += piece.len() - at;
        }
        Ok((data, rest, chunked.is_ended()))
    }

    // If this fails, the next answer on a connection is read from the wrong byte.
    #[test]
    fn a_body_ends_where_it_ends() {
        let body = b"4;x=y\r\nWiki\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nHTTP";
        for step in 1..body.len() {
            let decoded = decode(body, step).expect("a sound body");
            assert_eq!(decoded, (b"Wiki0123456789".to_vec(), 4, true), "{step}");
        }
        assert_eq!(decode(b"0\r\n\r\n", 9), Ok((vec![], 0, true)));
        assert_eq!(decode(b"4\r\nWi", 9), Ok((b"Wi".to_vec(), 0, false)));
    }

    // If this fails, a cut or garbled body counts as a whole one.
    #[test]
    fn broken_bodies_are_refused() {
        let long = format!("1;{}", "x".repeat(5000));
        for bad in [
            "x\r\n",
            "\r\n",
            "4\r\nWikiX",
            "11112222333344445\r\n",
            "-1\r\n",
            &long,
        ] {
            assert_eq!(decode(bad.as_bytes(), 3), Err(ChunkError), "{bad:?}");
        }
    }

    proptest! {
        // If this fails, some way of cutting a body into chunks or packets breaks the benchmark.
        #[test]
        fn every_cutting_gives_the_same_bytes(
            chunks in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 1..50), 0..8),
            step in 1_usize..64,
        ) {
            let mut body = Vec::new();
            for chunk in &chunks {
                body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                body.extend_from_slice(chunk);
                body.extend_from_slice(b"\r\n");
            }
            body.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(decode(&body, step), Ok((chunks.concat(), 0, true)));
        }

        // If this fails, a broken service crashes the benchmark.
        #[test]
        fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..99)) {
            if let Ok((data, rest, _)) = decode(&bytes, 7) {
                assert!(data.len() + rest <= bytes.len());
            }
        }
    }
}
