//! One operation, as the table of a service says it.

use serde_json::{Value, json};
use wire::Code;

use super::answer::{Answer, Header, failures};
use super::body::Body;
use super::document::{Schemas, schema_of};
use super::parameter::Parameter;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// Clients, with the access key where the cluster demands one.
    Client,
    /// Services of the cluster, with its key.
    Service,
}

/// One operation.
#[derive(Clone)]
pub struct Operation {
    /// Its method, in lower case.
    pub method: &'static str,
    /// The template of its path.
    pub path: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Who may ask.
    pub access: Access,
    /// What it is told.
    pub parameters: Vec<Parameter>,
    /// What it is sent.
    pub body: Body,
    /// What it answers.
    pub answers: Vec<Answer>,
    /// The errors that are its own, beside those that all have.
    pub codes: Vec<Code>,
}

/// The errors that every operation may answer with.
const OF_ALL: [Code; 3] = [Code::MalformedRequest, Code::Internal, Code::Overloaded];

/// Those of operations that have a body.
const OF_BODIES: [Code; 4] = [
    Code::BodyCutShort,
    Code::TooSlow,
    Code::TooLarge,
    Code::MalformedRequest,
];

impl Operation {
    /// One without parameters and body, that answers JSON.
    pub fn new(method: &'static str, path: &'static str, help: &'static str) -> Self {
        Operation {
            method,
            path,
            help,
            access: Access::Client,
            parameters: Vec::new(),
            body: Body::Nothing,
            answers: Vec::new(),
            codes: Vec::new(),
        }
    }

    /// Who may ask.
    #[must_use]
    pub fn access(self, access: Access) -> Self {
        Operation { access, ..self }
    }

    /// It takes parameters.
    #[must_use]
    pub fn takes(mut self, parameters: &[Parameter]) -> Self {
        self.parameters.extend_from_slice(parameters);
        self
    }

    /// It takes a body.
    #[must_use]
    pub fn body(self, body: Body) -> Self {
        Operation { body, ..self }
    }

    /// It answers so.
    #[must_use]
    pub fn answers(mut self, status: u16, body: Body) -> Self {
        self.answers.push(Answer {
            status,
            body,
            headers: Vec::new(),
            example: None,
        });
        self
    }

    /// The answer that was told last has these headers.
    #[must_use]
    pub fn sends(mut self, headers: &[Header]) -> Self {
        let told = self.answers.last_mut();
        let told = told.expect("an answer is told before its headers");
        told.headers.extend_from_slice(headers);
        self
    }

    /// With 200 and JSON of this kind.
    #[must_use]
    pub fn gives<T: utoipa::ToSchema>(self) -> Self {
        self.answers(200, Body::Json(schema_of::<T>))
    }

    /// The answer that was told last looks like this, and not as its type does elsewhere.
    #[must_use]
    pub fn example(mut self, example: Value) -> Self {
        let told = self.answers.last_mut();
        told.expect("an answer is told before its example").example = Some(example);
        self
    }

    /// It fails so.
    #[must_use]
    pub fn fails(mut self, codes: &[Code]) -> Self {
        self.codes.extend_from_slice(codes);
        self
    }

    /// Every code that it may answer with, in the order of statuses.
    fn all_codes(&self) -> Vec<Code> {
        let mut codes = self.codes.clone();
        codes.extend(OF_ALL);
        if !matches!(self.body, Body::Nothing) {
            codes.extend(OF_BODIES);
        }
        if self.access != Access::Open {
            codes.push(Code::Unauthorized);
        }
        codes.sort_by_key(|code| (code.status(), code.word()));
        codes.dedup();
        codes
    }

    pub(super) fn json(&self, schemas: &mut Schemas) -> Value {
        let mut responses = serde_json::Map::new();
        for told in &self.answers {
            let answer = told.json(self.method, schemas);
            responses.insert(told.status.to_string(), answer);
        }
        for (status, answer) in failures(&self.all_codes(), schemas) {
            // What the table says of a status goes before what all have.
            responses.entry(status).or_insert(answer);
        }
        let mut operation = json!({
            "summary": self.help,
            "operationId": self.name(),
            "parameters": self.all_parameters(),
            "responses": responses,
            "security": self.security(),
        });
        let content = self.body.content(schemas, None);
        if let Some(content) = content {
            // Bytes may be none: an empty content is one.
            let required = !matches!(self.body, Body::Bytes(_));
            operation["requestBody"] = json!({ "required": required, "content": content });
        }
        operation
    }

    fn all_parameters(&self) -> Vec<Value> {
        let own = self.parameters.iter().map(Parameter::json);
        let of_all = Parameter::OF_ALL.iter();
        let of_all =
            of_all.map(|(name, _)| json!({ "$ref": format!("#/components/parameters/{name}") }));
        own.chain(of_all).collect()
    }

    /// Its method and path as one word.
    fn name(&self) -> String {
        let words = self.path.split(['/', '{', '}', '.', '_']);
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        format!("{}_{}", self.method, words.join("_"))
    }

    fn security(&self) -> Value {
        match self.access {
            Access::Open => json!([]),
            Access::Client => json!([{}, { "accessKey": [] }]),
            Access::Service => json!([{}, { "clusterKey": [] }]),
        }
    }
}
