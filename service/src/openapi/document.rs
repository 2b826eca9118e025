//! The whole document.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::answer::Header;
use super::examples;
use super::operation::Operation;
use super::parameter::Parameter;

/// Where schemas are in a document.
const SCHEMAS: &str = "#/components/schemas/";

/// The schemas that a document names, and examples of them.
pub struct Schemas {
    all: BTreeMap<String, Value>,
    examples: BTreeMap<String, Value>,
}

impl Schemas {
    fn new() -> Self {
        let (all, examples) = (BTreeMap::new(), examples::all());
        Schemas { all, examples }
    }

    /// An example of what has this schema, if there is one of its type, or of the first that it may be.
    pub(super) fn example_of(&self, schema: &Value) -> Option<&Value> {
        let schema = schema["anyOf"].get(0).unwrap_or(schema);
        let name = schema["$ref"].as_str()?.strip_prefix(SCHEMAS)?;
        self.examples.get(name)
    }
}

/// A reference to the schema of a type, which is kept with all that it is made of.
pub fn schema_of<T: ToSchema>(schemas: &mut Schemas) -> Value {
    let mut parts: Vec<(String, RefOr<Schema>)> = Vec::new();
    T::schemas(&mut parts);
    let name = T::name().into_owned();
    parts.push((name.clone(), T::schema()));
    let parts = parts
        .into_iter()
        .map(|(name, schema)| (name, json!(schema)));
    schemas.all.extend(parts);
    json!({ "$ref": format!("{SCHEMAS}{name}") })
}

/// What every request may have, by name.
fn parameters_of_all() -> BTreeMap<&'static str, Value> {
    let each = Parameter::OF_ALL.iter();
    each.map(|(name, parameter)| (*name, parameter.json()))
        .collect()
}

/// What is said of a service.
pub struct Document {
    /// Its title.
    pub title: &'static str,
    /// What it is.
    pub description: &'static str,
    /// All that it does.
    pub operations: Vec<Operation>,
}

impl Document {
    /// As JSON.
    pub fn json(&self) -> Value {
        let mut schemas = Schemas::new();
        let mut paths: BTreeMap<&str, BTreeMap<&str, Value>> = BTreeMap::new();
        for operation in &self.operations {
            let methods = paths.entry(operation.path).or_default();
            methods.insert(operation.method, operation.json(&mut schemas));
        }
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": self.title,
                "description": self.description,
                "version": env!("CARGO_PKG_VERSION"),
                "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            },
            "paths": paths,
            "components": {
                "schemas": schemas.all,
                "parameters": parameters_of_all(),
                "headers": { Header::REQUEST_ID_NAME: Header::REQUEST_ID.json() },
                "securitySchemes": {
                    "accessKey": { "type": "http", "scheme": "bearer" },
                    "clusterKey": { "type": "apiKey", "in": "header",
                        "name": wire::routes::CLUSTER_KEY_HEADER },
                },
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::openapi::{Access, Body};
    use wire::Code;
    use wire::content::Receipt;

    fn document() -> Value {
        let operation = Operation::new("put", "/store/{id}", "Stores a content.")
            .access(Access::Client)
            .body(Body::Bytes("application/octet-stream"))
            .gives::<Receipt>()
            .fails(&[Code::Conflict, Code::InProgress]);
        let operations = vec![operation];
        let (title, description) = ("A service", "It stores.");
        Document {
            title,
            description,
            operations,
        }
        .json()
    }

    fn told(operation: Operation) -> Value {
        operation.json(&mut Schemas::new())
    }

    // If this fails, programs that are made from the document handle errors wrongly.
    #[test]
    fn every_code_of_an_operation_is_told_with_its_status() {
        let document = document();
        let responses = &document["paths"]["/store/{id}"]["put"]["responses"];
        let conflicts = &responses["409"]["content"]["application/json"];
        let schema = &conflicts["schema"]["$ref"];
        assert_eq!(schema, "#/components/schemas/ErrorBody");
        let example = &conflicts["examples"]["in_progress"]["value"];
        assert_eq!(example["code"], "in_progress");
        for status in ["200", "400", "401", "408", "413", "500", "503"] {
            assert!(responses[status].is_object(), "{status}: {responses}");
        }
        let codes = &document["components"]["schemas"]["Code"]["enum"];
        let words: Vec<String> = Code::ALL.into_iter().map(Code::word).collect();
        assert_eq!(*codes, json!(words));
    }

    // If this fails, programs are told that a read which was sent on, or a service that is not ready, is
    // done.
    #[test]
    fn every_answer_is_described_by_its_status() {
        let mut operation = Operation::new("get", "/retrieve/{id}", "Reads.");
        for status in [200, 206, 304, 307, 503] {
            operation = operation.answers(status, Body::Nothing);
        }
        let answers = told(operation)["responses"].take();
        let words: BTreeSet<&str> = ["200", "206", "304", "307", "503"]
            .into_iter()
            .filter_map(|status| answers[status]["description"].as_str())
            .collect();
        assert_eq!(words.len(), 5, "{answers}");
        let done = answers["200"]["description"].as_str();
        let put = Operation::new("put", "/store/{id}", "Stores.").answers(200, Body::Nothing);
        assert_ne!(told(put)["responses"]["200"]["description"].as_str(), done);
        assert!(answers["307"]["headers"]["Location"].is_object());
    }

    // If this fails, nobody learns that a request can be given a name that the log then has.
    #[test]
    fn every_request_may_have_a_name_and_every_answer_has_one() {
        let told = document();
        let operation = &told["paths"]["/store/{id}"]["put"];
        let parameters = operation["parameters"].as_array().expect("parameters");
        let names = parameters.iter().map(|parameter| {
            let reference = parameter["$ref"].as_str().expect("a reference");
            &told.pointer(&reference[1..]).expect("it is there")["name"]
        });
        assert_eq!(names.collect::<Vec<_>>(), ["X-Request-Id", "traceparent"]);
        for (status, answer) in operation["responses"].as_object().expect("answers") {
            let headers = &answer["headers"];
            assert!(headers["X-Request-Id"].is_object(), "{status}");
            assert_eq!(headers["Retry-After"].is_object(), status == "503");
            assert_eq!(headers["WWW-Authenticate"].is_object(), status == "401");
        }
    }

    // If this fails, the document names parts that are not in it.
    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        let references = text.split("\"#/components/").skip(1);
        let places = references.filter_map(|rest| rest.split('"').next());
        for place in places {
            let part = document.pointer(&format!("/components/{place}"));
            assert!(part.is_some_and(Value::is_object), "{place} is missing");
        }
        assert!(text.contains("/Checksum\""), "types within types are kept");
    }
}
