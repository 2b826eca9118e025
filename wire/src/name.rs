//! What names may look like, checked before anything is stored under them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::limits::{
    ATTRIBUTES_BYTES_MAX, COLLECTION_BYTES_MAX, CONTENT_TYPE_BYTES_MAX, FILE_NAME_BYTES_MAX,
    NODE_NAME_BYTES_MAX,
};

/// Why a name is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RefuseName {
    /// Nothing there.
    #[error("{what} is empty")]
    Empty {
        /// Which name.
        what: &'static str,
    },
    /// Longer than its limit.
    #[error("{what} is {bytes} bytes long, at most {max} are allowed")]
    TooLong {
        /// Which name.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A character that could break a header, a terminal or a file system.
    #[error("{what} contains the character {found:?}, which is not allowed")]
    Character {
        /// Which name.
        what: &'static str,
        /// The first offender.
        found: char,
    },
    /// Not what its format demands.
    #[error("{what} is not {expected}")]
    Form {
        /// Which name.
        what: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

/// Checks a file name: 1 to 1,024 bytes of UTF-8 without control characters.
///
/// A name is never a path here: `../../x` is stored and given back as it is, and no file of that
/// name is ever made on a node.
///
/// # Errors
/// When the name breaks one of these rules.
pub fn check_file_name(name: &str) -> Result<(), RefuseName> {
    let what = "the file name";
    check_length(what, name, FILE_NAME_BYTES_MAX)?;
    check_characters(what, name, |c| !c.is_control())
}

/// Checks a content type: visible ASCII and spaces, with a slash, at most 255 bytes.
///
/// # Errors
/// When the type breaks one of these rules.
pub fn check_content_type(value: &str) -> Result<(), RefuseName> {
    let what = "the content type";
    check_length(what, value, CONTENT_TYPE_BYTES_MAX)?;
    check_characters(what, value, |c| c.is_ascii_graphic() || c == ' ')?;
    if value.contains('/') {
        Ok(())
    } else {
        Err(RefuseName::Form {
            what,
            expected: "a type and a subtype, like image/png",
        })
    }
}

/// Checks a collection's name: lower-case letters, digits and hyphens, at most 63 bytes.
///
/// # Errors
/// When the name breaks one of these rules.
pub fn check_collection(name: &str) -> Result<(), RefuseName> {
    check_label("the collection's name", name, COLLECTION_BYTES_MAX)
}

/// Checks attributes: one JSON object of at most 8 KiB.
///
/// # Errors
/// When the text is longer, or is not a JSON object.
pub fn check_attributes(json: &str) -> Result<(), RefuseName> {
    let what = "attributes";
    check_length(what, json, ATTRIBUTES_BYTES_MAX)?;
    // PostgreSQL's jsonb refuses the escaped NUL, so it is refused here, before it is durable.
    if json.contains("\\u0000") {
        return Err(RefuseName::Character { what, found: '\0' });
    }
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json)
        .map(|_| ())
        .map_err(|_| RefuseName::Form {
            what,
            expected: "a JSON object",
        })
}

fn check_label(what: &'static str, name: &str, max: usize) -> Result<(), RefuseName> {
    check_length(what, name, max)?;
    check_characters(what, name, |c| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
    })
}

fn check_length(what: &'static str, text: &str, max: usize) -> Result<(), RefuseName> {
    match text.len() {
        0 => Err(RefuseName::Empty { what }),
        bytes if bytes > max => Err(RefuseName::TooLong { what, bytes, max }),
        _ => Ok(()),
    }
}

fn check_characters(
    what: &'static str,
    text: &str,
    allowed: impl Fn(char) -> bool,
) -> Result<(), RefuseName> {
    match text.chars().find(|&c| !allowed(c)) {
        Some(found) => Err(RefuseName::Character { what, found }),
        None => Ok(()),
    }
}

/// The name of a node or a distributor: lower-case letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
#[schema(value_type = String, example = "node1", max_length = 63)]
#[serde(transparent)]
pub struct NodeName(String);

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name belongs to a distributor: `dist`, `dist1`, `dist2`…
    pub fn is_distributor(&self) -> bool {
        self.0
            .strip_prefix("dist")
            .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
    }
}

impl FromStr for NodeName {
    type Err = RefuseName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check_label("the node's name", text, NODE_NAME_BYTES_MAX)?;
        Ok(NodeName(text.to_owned()))
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for NodeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a hostile name reaches a header, a terminal or the database.
    #[test]
    fn hostile_file_names_are_refused() {
        for name in [
            "",
            "a\0b",
            "a\r\nSet-Cookie: x",
            "\u{7f}",
            "\u{85}",
            &"x".repeat(1025),
        ] {
            assert!(check_file_name(name).is_err(), "{name:?} was accepted");
        }
    }

    // If this fails, people cannot store files under the names they have.
    #[test]
    fn ordinary_and_odd_file_names_are_kept() {
        for name in [
            "a.png",
            "../../x",
            "C:\\x",
            "été 🎉.txt",
            "a\"b;c",
            &"x".repeat(1024),
        ] {
            assert_eq!(check_file_name(name), Ok(()));
        }
    }

    // If this fails, a record could be durable and unlistable.
    #[test]
    fn attributes_are_one_small_json_object() {
        assert_eq!(check_attributes(r#"{"a":[1,null]}"#), Ok(()));
        for text in ["[]", "{", "", "1", r#"{"a":"\u0000"}"#] {
            assert!(check_attributes(text).is_err(), "{text:?} was accepted");
        }
        assert!(check_attributes(&format!("{{\"a\":\"{}\"}}", "x".repeat(8192))).is_err());
    }

    // If this fails, nodes.yml takes a storage node for a distributor.
    #[test]
    fn distributors_are_told_by_their_names() {
        let named = |name: &str| {
            name.parse::<NodeName>()
                .expect("a valid name")
                .is_distributor()
        };
        assert!(named("dist") && named("dist2"));
        assert!(!named("node1") && !named("distant"));
        assert!("Node 1".parse::<NodeName>().is_err());
    }
}
