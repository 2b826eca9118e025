//! One HTTP/1.1 connection, kept alive, with reused buffers: as little of this process's time for
//! one exchange as can be.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::Checksum;

use super::address::Address;
use super::chunked::{ChunkError, Chunked};
use super::head::{Head, Length, ParseHeadError, parse_head};

/// What is read at once.
const BUFFER_BYTES: usize = 128 * 1024;

/// Bodies up to this length leave with their head in one write.
const ONE_WRITE_BYTES_MAX: usize = 64 * 1024;

/// What is kept of an answer: a page of places, or an error.
const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How long one exchange may take.
const EXCHANGE_MAX: Duration = Duration::from_secs(60);

/// Why an exchange failed; the connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// No connection came about.
    #[error("cannot connect to {to}")]
    Connect {
        /// Host and port.
        to: String,
        /// Why.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection broke")]
    Broken(#[from] io::Error),
    /// It ended in the middle of an answer.
    #[error("the connection ended before its answer did")]
    Ended,
    /// It took too long.
    #[error("no answer within {} s", EXCHANGE_MAX.as_secs())]
    TooSlow,
    /// The answer's head is broken.
    #[error(transparent)]
    Head(#[from] ParseHeadError),
    /// The answer's chunks are broken.
    #[error(transparent)]
    Chunks(#[from] ChunkError),
    /// The answer is larger than anything that is asked for.
    #[error("the answer is larger than {KEPT_BYTES_MAX} bytes")]
    TooLarge,
}

impl ExchangeError {
    /// The error as a word to count it under.
    pub fn word(&self) -> &'static str {
        match self {
            ExchangeError::Connect { .. } => "connect",
            ExchangeError::Broken(_) | ExchangeError::Ended => "connection_broken",
            ExchangeError::TooSlow => "timeout",
            ExchangeError::Head(_) | ExchangeError::Chunks(_) | ExchangeError::TooLarge => {
                "malformed_answer"
            }
        }
    }
}

/// A connection; after an error it must be dropped.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    output: Vec<u8>,
    input: Vec<u8>,
    begin: usize,
    end: usize,
}

/// What becomes of an answer's body.
#[derive(Debug, Default)]
pub struct Body {
    /// Its length.
    pub bytes: u64,
    /// The bytes, where they are kept: always, when the answer is an error.
    pub kept: Vec<u8>,
    keep: bool,
    hasher: Option<Box<blake3::Hasher>>,
}

impl Body {
    /// Ready for an answer that is kept.
    pub fn keep(&mut self) -> &mut Self {
        self.reset(true, false)
    }

    /// Ready for an answer that is counted only, and hashed if `hashed`.
    pub fn count(&mut self, hashed: bool) -> &mut Self {
        self.reset(false, hashed)
    }

    /// The hash, where one was made.
    pub fn checksum(&self) -> Option<Checksum> {
        self.hasher
            .as_ref()
            .map(|hasher| Checksum(hasher.finalize().into()))
    }

    fn reset(&mut self, keep: bool, hashed: bool) -> &mut Self {
        self.bytes = 0;
        self.kept.clear();
        self.keep = keep;
        self.hasher = hashed.then(Box::default);
        self
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), ExchangeError> {
        self.bytes += bytes.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        if self.keep {
            if self.kept.len() + bytes.len() > KEPT_BYTES_MAX {
                return Err(ExchangeError::TooLarge);
            }
            self.kept.extend_from_slice(bytes);
        }
        Ok(())
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When no connection comes about in time.
    pub async fn open(address: &Address) -> Result<Self, ExchangeError> {
        let to = address.socket.clone();
        let connect = async {
            let stream = TcpStream::connect(&to).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        match tokio::time::timeout(CONNECT_MAX, connect).await {
            Ok(Ok(stream)) => {
                let (output, input) = (Vec::new(), vec![0; BUFFER_BYTES]);
                Ok(Connection {
                    stream,
                    output,
                    input,
                    begin: 0,
                    end: 0,
                })
            }
            Ok(Err(source)) => Err(ExchangeError::Connect { to, source }),
            Err(_) => {
                let source = io::ErrorKind::TimedOut.into();
                Err(ExchangeError::Connect { to, source })
            }
        }
    }

    /// Sends a request, head and body, and reads the whole answer into `into`.
    ///
    /// # Errors
    /// When the connection breaks, or the answer breaks its format.
    pub async fn exchange(
        &mut self,
        head: &[u8],
        body: &[u8],
        into: &mut Body,
    ) -> Result<Head, ExchangeError> {
        let exchange = async {
            let sent = self.send(head, body).await;
            match self.receive(into).await {
                Ok(head) => Ok(head),
                // A refusal can come before the whole body was sent; without one, that is why.
                Err(error) => Err(sent.err().map_or(error, ExchangeError::Broken)),
            }
        };
        tokio::time::timeout(EXCHANGE_MAX, exchange)
            .await
            .unwrap_or(Err(ExchangeError::TooSlow))
    }

    async fn send(&mut self, head: &[u8], body: &[u8]) -> io::Result<()> {
        if body.is_empty() {
            return self.stream.write_all(head).await;
        }
        if body.len() > ONE_WRITE_BYTES_MAX {
            self.stream.write_all(head).await?;
            return self.stream.write_all(body).await;
        }
        self.output.clear();
        self.output.extend_from_slice(head);
        self.output.extend_from_slice(body);
        self.stream.write_all(&self.output).await
    }

    async fn receive(&mut self, into: &mut Body) -> Result<Head, ExchangeError> {
        let head = loop {
            match parse_head(&self.input[self.begin..self.end])? {
                // An interim answer, 100 for instance, is followed by the real one.
                Some((head, taken)) if (100..200).contains(&head.status) => self.begin += taken,
                Some((head, taken)) => {
                    self.begin += taken;
                    break head;
                }
                None => {
                    if self.fill().await? == 0 {
                        return Err(ExchangeError::Ended);
                    }
                }
            }
        };
        into.keep |= !(200..300).contains(&head.status);
        match head.length {
            Length::Bytes(bytes) => self.receive_bytes(bytes, into).await?,
            Length::Chunked => self.receive_chunks(into).await?,
            Length::UntilClose => self.receive_all(into).await?,
        }
        Ok(head)
    }

    async fn receive_bytes(&mut self, bytes: u64, into: &mut Body) -> Result<(), ExchangeError> {
        let mut left = bytes;
        while left > 0 {
            if self.begin == self.end && self.fill().await? == 0 {
                return Err(ExchangeError::Ended);
            }
            let here = &self.input[self.begin..self.end];
            let run = usize::try_from(left).unwrap_or(usize::MAX).min(here.len());
            into.take(&here[..run])?;
            self.begin += run;
            left -= run as u64;
        }
        Ok(())
    }

    async fn receive_chunks(&mut self, into: &mut Body) -> Result<(), ExchangeError> {
        let mut chunked = Chunked::default();
        while !chunked.is_ended() {
            if self.begin == self.end && self.fill().await? == 0 {
                return Err(ExchangeError::Ended);
            }
            let (taken, run) = chunked.feed(&self.input[self.begin..self.end])?;
            into.take(run)?;
            self.begin += taken;
        }
        Ok(())
    }

    async fn receive_all(&mut self, into: &mut Body) -> Result<(), ExchangeError> {
        loop {
            into.take(&self.input[self.begin..self.end])?;
            self.begin = self.end;
            if self.fill().await? == 0 {
                return Ok(());
            }
        }
    }

    /// Reads more; 0 at the connection's end.
    async fn fill(&mut self) -> Result<usize, ExchangeError> {
        if self.begin == self.end {
            (self.begin, self.end) = (0, 0);
        } else if self.end == self.input.len() {
            if self.begin == 0 {
                return Err(ExchangeError::Head(httparse::Error::TooManyHeaders.into()));
            }
            self.input.copy_within(self.begin..self.end, 0);
            (self.begin, self.end) = (0, self.end - self.begin);
        }
        let read = self.stream.read(&mut self.input[self.end..]).await?;
        self.end += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// A service that reads one request of `request` bytes, then writes `answer` and closes.
    async fn exchange_with(
        answer: &'static [u8],
        body: &[u8],
    ) -> (Result<Head, ExchangeError>, Body) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address: Address = format!("http://{}", listener.local_addr().expect("bound"))
            .parse()
            .expect("an address");
        let bytes = 4 + body.len();
        let service = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("accepts");
            let mut request = vec![0; bytes];
            stream
                .read_exact(&mut request)
                .await
                .expect("reads the request");
            stream.write_all(answer).await.expect("writes");
        });
        let mut connection = Connection::open(&address).await.expect("connects");
        let mut into = Body::default();
        let outcome = connection.exchange(b"HEAD", body, into.count(true)).await;
        service.await.expect("the service ends");
        (outcome, into)
    }

    // If this fails, the benchmark counts bytes that did not come, or misses some that did.
    #[tokio::test]
    async fn bodies_of_all_forms_are_counted_and_hashed() {
        for answer in [
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".as_slice(),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\nhello",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ] {
            let (outcome, body) = exchange_with(answer, b"small").await;
            assert_eq!(outcome.expect("an answer").status, 200);
            assert_eq!(body.bytes, 5);
            assert_eq!(body.checksum(), Some(Checksum(blake3::hash(b"hello").into())));
            assert!(body.kept.is_empty());
        }
    }

    // If this fails, an error's code is lost, and the report says nothing of use.
    #[tokio::test]
    async fn errors_are_kept() {
        let answer = b"HTTP/1.1 507 X\r\nContent-Length: 4\r\n\r\nfull";
        let (outcome, body) = exchange_with(answer, &[7; ONE_WRITE_BYTES_MAX + 1]).await;
        assert_eq!(outcome.expect("an answer").status, 507);
        assert_eq!(body.kept, b"full");
    }

    // If this fails, a cut connection counts as a success.
    #[tokio::test]
    async fn a_cut_answer_is_an_error() {
        for answer in [
            b"".as_slice(),
            b"HTTP/1.1 200 OK\r\nContent-Le",
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello",
        ] {
            let (outcome, _) = exchange_with(answer, b"").await;
            assert!(matches!(outcome, Err(ExchangeError::Ended)), "{outcome:?}");
        }
    }
}
