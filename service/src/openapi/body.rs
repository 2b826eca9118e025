//! A body of a request or of an answer.

use serde_json::{Value, json};

use super::document::Schemas;

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

impl Body {
    pub(super) fn content(&self, schemas: &mut Schemas, example: Option<&Value>) -> Option<Value> {
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
