//! Asks the service of the same configuration whether it lives, for container health checks.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use wire::routes;

use crate::address::reachable;

/// A health check must end before the next one begins.
const TIME_MAX: Duration = Duration::from_secs(2);

/// The head of an answer and a body that says "ok" are far below this.
const ANSWER_BYTES_MAX: u64 = 4096;

/// Why a service does not count as alive. Displays as one line.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// Nobody listens, or nobody answers in time.
    #[error("no answer from {address}: {reason}")]
    NoAnswer {
        /// Who was asked.
        address: SocketAddr,
        /// The system's word.
        reason: io::Error,
    },
    /// It answers something else than 200.
    #[error("{address} answers `{status}`")]
    Status {
        /// Who was asked.
        address: SocketAddr,
        /// The first line of the answer.
        status: String,
    },
}

/// Asks the service that listens on `bind` for its `/health/live`. Blocks for a few seconds at most.
///
/// # Errors
/// When it does not answer with 200.
pub fn ask(bind: SocketAddr) -> Result<(), HealthError> {
    let address = reachable(bind);
    let answer = answer_of(address).map_err(|reason| HealthError::NoAnswer { address, reason })?;
    let line = answer.split(|byte| *byte == b'\n').next();
    let status = String::from_utf8_lossy(line.unwrap_or_default());
    let status = status.trim_end();
    if status.split(' ').nth(1) == Some("200") {
        Ok(())
    } else {
        Err(HealthError::Status {
            address,
            status: status.to_owned(),
        })
    }
}

fn answer_of(address: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, TIME_MAX)?;
    stream.set_read_timeout(Some(TIME_MAX))?;
    stream.set_write_timeout(Some(TIME_MAX))?;
    let path = routes::HEALTH_LIVE;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    use super::*;

    /// Asks somebody who gives this answer; tells what came of it and the request's first line.
    fn ask_one_that_says(answer: &'static [u8]) -> (Result<(), HealthError>, String) {
        let listener = TcpListener::bind("0.0.0.0:0").expect("listens");
        let bind = listener.local_addr().expect("an address");
        let serving = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("is called");
            let mut lines = BufReader::new(&stream)
                .lines()
                .map(|line| line.expect("text"));
            let first = lines.next().expect("a request");
            lines.find(String::is_empty).expect("the head ends");
            (&stream).write_all(answer).expect("answers");
            first
        });
        let asked = ask(bind);
        (asked, serving.join().expect("served"))
    }

    // If this fails, containers are restarted while they are well, or never.
    #[test]
    fn only_200_is_alive() {
        let (asked, request) = ask_one_that_says(b"HTTP/1.1 200 OK\r\n\r\nok");
        assert!(asked.is_ok());
        assert_eq!(request, "GET /health/live HTTP/1.1");
        let cases: [(&[u8], &str); 4] = [
            (b"HTTP/1.1 503 Away\r\n\r\n200", "HTTP/1.1 503 Away"),
            (b"HTTP/1.1 2000\r\n", "HTTP/1.1 2000"),
            (b"\xff 201\n", "\u{fffd} 201"),
            (b"", ""),
        ];
        for (answer, expected) in cases {
            match ask_one_that_says(answer).0 {
                Err(HealthError::Status { status, .. }) => assert_eq!(status, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
    }

    // If this fails, a service that is not there counts as alive.
    #[test]
    fn nobody_is_not_alive() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let error = ask(address).expect_err("nobody is there").to_string();
        assert!(
            error.starts_with(&format!("no answer from {address}: ")),
            "{error}"
        );
    }
}
