//! What is named in a path, a query or a header, and what it may be.

use serde_json::{Value, json};

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
    /// The name of a request.
    const REQUEST_ID: Parameter = Parameter::header(
        "X-Request-Id",
        "The request's name in the log and in errors: visible ASCII, at most 64 characters",
    );
    /// The trace that a request belongs to.
    const TRACE: Parameter = Parameter::header(
        "traceparent",
        "The trace that the request belongs to, as W3C Trace Context has it",
    );

    /// Those that every request may have, by the names of their components.
    pub(super) const OF_ALL: [(&str, Parameter); 2] = [
        ("requestId", Parameter::REQUEST_ID),
        ("traceParent", Parameter::TRACE),
    ];

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

    pub(super) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "in": self.place,
            "required": self.place == "path",
            "description": self.help,
            "schema": (self.schema)(),
        })
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
