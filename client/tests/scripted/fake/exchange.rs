//! Requests as they come, and answers as they go.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use client::bench::http::chunked::Chunked;
use serde_json::{Value, json};
use wire::{Code, ErrorBody};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(super) fn name(&self) -> String {
        self.parameter("filename").unwrap_or_default()
    }

    /// A parameter of the query, decoded.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let url = reqwest::Url::parse(&format!("http://x/?{}", self.query)).expect("a query");
        let found = url.query_pairs().find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned())
    }
}

/// An answer.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Reply {
            status,
            headers: Vec::new(),
            body: body.to_string().into(),
        }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn write(&self, stream: &mut (impl Read + Write)) -> io::Result<()> {
        self.write_only(stream, usize::MAX)
    }

    pub(super) fn write_only(
        &self,
        stream: &mut (impl Read + Write),
        bytes: usize,
    ) -> io::Result<()> {
        let mut head = format!(
            "HTTP/1.1 {} X\r\nContent-Length: {}\r\n",
            self.status,
            self.body.len()
        );
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        // At once: a body in a packet of its own waits 40 ms for the acknowledgement of its head.
        let mut answer = format!("{head}\r\n").into_bytes();
        answer.extend_from_slice(&self.body[..bytes.min(self.body.len())]);
        stream.write_all(&answer)
    }
}

pub(super) fn refuse(code: Code) -> Reply {
    Reply::json(code.status(), &json!(error_body(code)))
}

pub(super) fn error_body(code: Code) -> ErrorBody {
    ErrorBody::new(code, "refused by the script", "r-1")
}

/// The fields of a form: their names, their file names and their bytes.
pub(super) fn parts(body: &[u8], boundary: &str) -> Vec<(String, Option<String>, Vec<u8>)> {
    let find = |text: &str, from: usize| {
        let mut windows = body[from..].windows(text.len());
        let found = windows.position(|part| part == text.as_bytes());
        from + found.unwrap_or_else(|| panic!("no {text:?} in the form"))
    };
    let (opening, mut parts) = (format!("--{boundary}"), Vec::new());
    let mut at = find(&opening, 0) + opening.len();
    while !body[at..].starts_with(b"--") {
        let head_end = find("\r\n\r\n", at);
        let head = std::str::from_utf8(&body[at..head_end]).expect("text");
        let value = |name: &str| {
            let (_, rest) = head.split_once(&format!(" {name}=\""))?;
            Some(rest.split('"').next().expect("a quote").to_owned())
        };
        let end = find(&format!("\r\n{opening}"), head_end + 2);
        let bytes = body[(head_end + 4).min(end)..end].to_vec();
        parts.push((value("name").expect("a name"), value("filename"), bytes));
        at = end + 2 + opening.len();
    }
    parts
}

/// Reads one request, head and body; none at the connection's end.
pub(super) fn read_request(
    stream: &mut (impl Read + Write),
    input: &mut Vec<u8>,
) -> io::Result<Option<Seen>> {
    let (mut request, taken) = loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut headers);
        if let Ok(httparse::Status::Complete(taken)) = parsed.parse(input) {
            let target = parsed.path.unwrap_or_default();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let headers = parsed.headers.iter();
            let headers = headers
                .map(|h| (h.name.to_lowercase(), text(h.value)))
                .collect();
            let (path, query) = (path.to_owned(), query.to_owned());
            let method = parsed.method.unwrap_or_default().to_owned();
            break (
                Seen {
                    method,
                    path,
                    query,
                    headers,
                    body: Vec::new(),
                },
                taken,
            );
        }
        if read_more(stream, input)? == 0 {
            return Ok(None);
        }
    };
    input.drain(..taken);
    if request.header("transfer-encoding") == "chunked" {
        let mut chunked = Chunked::default();
        while !chunked.is_ended() {
            if input.is_empty() && read_more(stream, input)? == 0 {
                return Ok(None);
            }
            let (taken, run) = chunked.feed(input).map_err(io::Error::other)?;
            request.body.extend_from_slice(run);
            input.drain(..taken);
        }
        return Ok(Some(request));
    }
    let length = request.header("content-length").parse().unwrap_or(0);
    while input.len() < length {
        if read_more(stream, input)? == 0 {
            return Ok(None);
        }
    }
    request.body = input.drain(..length).collect();
    Ok(Some(request))
}

fn read_more(stream: &mut (impl Read + Write), input: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = vec![0; 64 * 1024];
    let read = stream.read(&mut buffer)?;
    input.extend_from_slice(&buffer[..read]);
    Ok(read)
}
