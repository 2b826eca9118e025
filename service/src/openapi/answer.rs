//! One answer of an operation: what its status means, its headers, its body.

use serde_json::{Map, Value, json};
use wire::Code;

use super::body::Body;
use super::document::{Schemas, schema_of};
use super::parameter::{number, text};

/// A header of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Its name.
    pub name: &'static str,
    /// What it is, as a schema.
    pub schema: fn() -> Value,
    /// What it tells.
    pub help: &'static str,
    /// Whether every such answer has it.
    pub always: bool,
}

impl Header {
    /// The name of the component that stands for [`Header::REQUEST_ID`].
    pub(super) const REQUEST_ID_NAME: &'static str = "requestId";
    /// What every answer has.
    pub(super) const REQUEST_ID: Header =
        Header::text("X-Request-Id", "The request's name in the log");
    const LOCATION: Header = Header::text("Location", "Where it is answered");
    const RETRY_AFTER: Header = Header {
        schema: number,
        ..Header::text("Retry-After", "Seconds to wait before it is sent again")
    };
    const AUTHENTICATE: Header = Header::text("WWW-Authenticate", "How a key is sent");

    /// One that every such answer has.
    pub const fn text(name: &'static str, help: &'static str) -> Self {
        Header {
            name,
            schema: text,
            help,
            always: true,
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "description": self.help,
            "required": self.always,
            "schema": (self.schema)(),
        })
    }
}

/// One answer of an operation that is no error with a code.
#[derive(Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Body,
    /// Its headers, beside those that its status has.
    pub headers: Vec<Header>,
    /// What the body looks like, where that is not told by its type.
    pub example: Option<Value>,
}

impl Answer {
    /// To a request of this method.
    pub(super) fn json(&self, method: &str, schemas: &mut Schemas) -> Value {
        let mut headers = self.headers.clone();
        if self.status == 307 {
            headers.push(Header::LOCATION);
        }
        let content = self.body.content(schemas, self.example.as_ref());
        json(meaning(method, self.status), &headers, content)
    }
}

/// What an answer means, by the method that was asked with and its status.
fn meaning(method: &str, status: u16) -> &'static str {
    match (method, status) {
        ("get", 200) => "What was asked for",
        ("head", 200) => "It is there; the headers are those of the answer to `GET`",
        ("head", 206) => "Parts of it are there",
        (_, 202) => "It has begun",
        (_, 204) => "It is done, and there is nothing to tell",
        (_, 206) => "The parts that were asked for",
        (_, 207) => "Some or all of it failed: `items` tells of each",
        (_, 304) => "The version that the caller has is still the current one",
        (_, 307) => "Another node answers this: ask at `Location`",
        (_, 503) => "It cannot serve at this moment; `reason` says why",
        _ => "It is done",
    }
}

/// One answer for each status, with an example of each of its codes.
pub(super) fn failures(codes: &[Code], schemas: &mut Schemas) -> Vec<(String, Value)> {
    let schema = schema_of::<wire::ErrorBody>(schemas);
    let groups = codes.chunk_by(|one, other| one.status() == other.status());
    let failure = |group: &[Code]| {
        let status = group[0].status();
        let meanings: Vec<String> = group
            .iter()
            .map(|code| format!("`{}`: {}", code.word(), code.meaning()))
            .collect();
        let examples: Map<String, Value> = group
            .iter()
            .map(|code| (code.word(), json!({ "value": example_of(*code) })))
            .collect();
        let content = json!({"application/json": {"schema": schema, "examples": examples}});
        let headers: &[Header] = match status {
            401 => &[Header::AUTHENTICATE],
            503 => &[Header::RETRY_AFTER],
            _ => &[],
        };
        let answer = json(&meanings.join("; "), headers, Some(content));
        (status.to_string(), answer)
    };
    groups.map(failure).collect()
}

fn example_of(code: Code) -> Value {
    let body = wire::ErrorBody::new(code, code.meaning(), "59d7abc8b8a10ce0");
    json!(body)
}

fn json(description: &str, headers: &[Header], content: Option<Value>) -> Value {
    let named = headers.iter().map(|header| (header.name, header.json()));
    let mut named: Map<String, Value> = named
        .map(|(name, header)| (name.to_owned(), header))
        .collect();
    let of_all = format!("#/components/headers/{}", Header::REQUEST_ID_NAME);
    named.insert(
        Header::REQUEST_ID.name.to_owned(),
        json!({ "$ref": of_all }),
    );
    let mut answer = json!({ "description": description, "headers": named });
    if let Some(content) = content {
        answer["content"] = content;
    }
    answer
}
