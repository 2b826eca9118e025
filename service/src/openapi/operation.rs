//! One operation, as the table of a service says it.

use serde_json::{Value, json};
use wire::Code;

use super::document::{Schemas, schema_of};

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

/// What is named in a path, a query or a header.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// `path`, `query` or `header`.
    pub place: &'static str,
    /// What it is, as a schema.
    pub schema: fn() -> Value,
    /// What it does.
    pub help: &'static str,
}

impl Parameter {
    /// A content's id, in a path.
    pub const ID: Parameter = Parameter {
        name: "id",
        place: "path",
        schema: id,
        help: "The content",
    };
    /// A shard's number, in a path.
    pub const SHARD: Parameter = Parameter {
        name: "shard",
        place: "path",
        schema: || json!({"type": "integer", "format": "uint16", "minimum": 0, "maximum": 65535}),
        help: "The shard",
    };
    /// A node's name, in a path.
    pub const NODE: Parameter = Parameter {
        name: "name",
        place: "path",
        schema: label,
        help: "The node",
    };
    /// The version that is to be changed.
    pub const IF_MATCH: Parameter =
        Parameter::header("If-Match", "Only if this is the current version: its ETag");

    /// One in a query.
    pub const fn query(name: &'static str, schema: fn() -> Value, help: &'static str) -> Self {
        let place = "query";
        Parameter {
            name,
            place,
            schema,
            help,
        }
    }

    /// One in a header.
    pub const fn header(name: &'static str, help: &'static str) -> Self {
        let (place, schema) = ("header", text as fn() -> Value);
        Parameter {
            name,
            place,
            schema,
            help,
        }
    }
}

/// The id of a content: a UUID of version 8.
pub fn id() -> Value {
    let pattern =
        "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-8[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$";
    json!({"type": "string", "format": "uuid", "pattern": pattern})
}

/// The name of a node or a collection.
pub fn label() -> Value {
    json!({"type": "string", "pattern": "^[a-z0-9-]{1,63}$"})
}

/// Any text.
pub fn text() -> Value {
    json!({"type": "string"})
}

/// A count, a position or a size.
pub fn number() -> Value {
    json!({"type": "integer", "format": "uint64", "minimum": 0})
}

/// Yes or no.
pub fn flag() -> Value {
    json!({"type": "boolean"})
}

/// A body of a request or of an answer.
#[derive(Clone, Copy)]
pub enum Body {
    /// None.
    Nothing,
    /// JSON of this schema.
    Json(fn(&mut Schemas) -> Value),
    /// Anything of this media type.
    Bytes(&'static str),
    /// A form with files.
    Form,
}

/// One answer of an operation that went well.
#[derive(Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Body,
    /// What the body looks like, where that is not told by its type.
    pub example: Option<Value>,
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
            example: None,
        });
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
            let content = told.body.content(schemas, told.example.as_ref());
            responses.insert(told.status.to_string(), answer("It is done", content));
        }
        for (status, answer) in failures(&self.all_codes(), schemas) {
            // What the table says of a status goes before what all have.
            responses.entry(status).or_insert(answer);
        }
        let mut operation = json!({
            "summary": self.help,
            "operationId": self.name(),
            "parameters": self.parameters.iter().map(Parameter::json).collect::<Vec<_>>(),
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

/// One answer for each status, with an example of each of its codes.
fn failures(codes: &[Code], schemas: &mut Schemas) -> Vec<(String, Value)> {
    let schema = schema_of::<wire::ErrorBody>(schemas);
    let groups = codes.chunk_by(|one, other| one.status() == other.status());
    let failure = |group: &[Code]| {
        let meanings: Vec<String> = group
            .iter()
            .map(|code| format!("`{}`: {}", code.word(), code.meaning()))
            .collect();
        let examples: serde_json::Map<String, Value> = group
            .iter()
            .map(|code| (code.word(), json!({ "value": example_of(*code) })))
            .collect();
        let content = json!({"application/json": {"schema": schema, "examples": examples}});
        (
            group[0].status().to_string(),
            answer(&meanings.join("; "), Some(content)),
        )
    };
    groups.map(failure).collect()
}

fn example_of(code: Code) -> Value {
    let body = wire::ErrorBody::new(code, code.meaning(), "59d7abc8b8a10ce0");
    json!(body)
}

fn answer(description: &str, content: Option<Value>) -> Value {
    let mut answer = json!({ "description": description });
    if let Some(content) = content {
        answer["content"] = content;
    }
    answer
}

impl Parameter {
    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "in": self.place,
            "required": self.place == "path",
            "description": self.help,
            "schema": (self.schema)(),
        })
    }
}

impl Body {
    fn content(&self, schemas: &mut Schemas, example: Option<&Value>) -> Option<Value> {
        match self {
            Body::Nothing => None,
            Body::Json(schema) => {
                let schema = schema(schemas);
                let example = example.or_else(|| schemas.example_of(&schema));
                let content = shown(json!({ "schema": schema }), example);
                Some(json!({ "application/json": content }))
            }
            Body::Bytes(media) => Some(json!({ *media: shown(json!({}), example) })),
            Body::Form => Some(json!({ "multipart/form-data": form() })),
        }
    }
}

/// What is said of a body, with an example of it.
fn shown(mut content: Value, example: Option<&Value>) -> Value {
    if let Some(example) = example {
        content["example"] = example.clone();
    }
    content
}

/// A form with files.
fn form() -> Value {
    json!({
        "schema": {
            "type": "object",
            "required": ["file"],
            "properties": {
                "id": {"type": "string", "description": "The id of the next file"},
                "collection": {"type": "string", "description": "Its collection"},
                "attributes": {"type": "string", "description": "Its attributes, a JSON object"},
                "file": {"type": "string", "contentMediaType": "application/octet-stream"},
            },
        },
        "example": {
            "id": "01a1fc2b-96da-8000-8630-5262874386d8",
            "collection": "docs",
            "attributes": "{\"author\": \"Ada\"}",
            "file": "# Read me\n",
        },
    })
}
