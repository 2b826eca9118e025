//! What names may look like: each limit from both sides, and the words that say what is wrong.

use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use wire::NodeName;
use wire::limits::{
    ATTRIBUTES_BYTES_MAX, COLLECTION_BYTES_MAX, CONTENT_TYPE_BYTES_MAX, FILE_NAME_BYTES_MAX,
    NODE_NAME_BYTES_MAX,
};
use wire::name::{
    RefuseName, check_attributes, check_collection, check_content_type, check_file_name,
};

type Check = fn(&str) -> Result<(), RefuseName>;

fn check_node_name(name: &str) -> Result<(), RefuseName> {
    name.parse::<NodeName>().map(drop)
}

/// Each check with a name that it takes and is longest.
fn longest() -> [(Check, String, usize); 5] {
    let long = |max: usize| "x".repeat(max);
    let attributes = format!(r#"{{"a":"{}"}}"#, long(ATTRIBUTES_BYTES_MAX - 8));
    let content_type = format!("a/{}", long(CONTENT_TYPE_BYTES_MAX - 2));
    [
        (
            check_file_name,
            long(FILE_NAME_BYTES_MAX),
            FILE_NAME_BYTES_MAX,
        ),
        (check_content_type, content_type, CONTENT_TYPE_BYTES_MAX),
        (
            check_collection,
            long(COLLECTION_BYTES_MAX),
            COLLECTION_BYTES_MAX,
        ),
        (check_attributes, attributes, ATTRIBUTES_BYTES_MAX),
        (
            check_node_name,
            long(NODE_NAME_BYTES_MAX),
            NODE_NAME_BYTES_MAX,
        ),
    ]
}

// If this fails, a name is durable in a log and too long for the catalog.
#[test]
fn every_name_has_its_longest() {
    for (check, name, max) in longest() {
        assert_eq!(name.len(), max);
        assert_eq!(check(&name), Ok(()), "{max}");
        let longer = format!("{name}x");
        let refused = check(&longer);
        assert!(
            matches!(refused, Err(RefuseName::TooLong { bytes, max: limit, .. })
                if bytes == max + 1 && limit == max),
            "{refused:?}"
        );
    }
}

// If this fails, a content has no name, and no link that shows it.
#[test]
fn no_name_is_empty() {
    for (check, _, _) in longest() {
        assert!(matches!(check(""), Err(RefuseName::Empty { .. })));
    }
}

// If this fails, a limit counts letters where the catalog counts bytes.
#[test]
fn limits_count_bytes() {
    let name = "é".repeat(FILE_NAME_BYTES_MAX / 2);
    assert_eq!(check_file_name(&name), Ok(()));
    let refused = check_file_name(&format!("{name}é"));
    assert!(matches!(
        refused,
        Err(RefuseName::TooLong { bytes: 1026, .. })
    ));
}

// If this fails, a name breaks a header, or a terminal that lists it.
#[test]
fn no_control_character_is_in_a_file_name() {
    for code in (0..0x20).chain(0x7f..0xa0) {
        let found = char::from_u32(code).expect("a character");
        let refused = check_file_name(&format!("a{found}b"));
        let what = "the file name";
        assert_eq!(refused, Err(RefuseName::Character { what, found }));
    }
}

// If this fails, content types that browsers send are refused, or hostile ones are kept.
#[test]
fn content_types() {
    for value in [
        "image/png",
        "text/html; charset=utf-8",
        "application/vnd.api+json",
        "multipart/x; boundary=\"a b\"",
        "/",
    ] {
        assert_eq!(check_content_type(value), Ok(()), "{value}");
    }
    for value in ["a/b\r\nX: y", "a/b\t", "a/é", "a/\u{7f}"] {
        let refused = check_content_type(value);
        assert!(
            matches!(refused, Err(RefuseName::Character { .. })),
            "{value:?}"
        );
    }
    let refused = check_content_type("png");
    assert!(matches!(refused, Err(RefuseName::Form { .. })));
}

// If this fails, a collection or a node has a name that is no host name, or breaks a URI.
#[test]
fn labels_are_lower_case_letters_digits_and_hyphens() {
    let checks: [Check; 2] = [check_collection, check_node_name];
    for check in checks {
        for name in ["a", "site-2", "0", "-"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for (name, found) in [
            ("A", 'A'),
            ("a b", ' '),
            ("a/b", '/'),
            ("ä", 'ä'),
            ("a_b", '_'),
        ] {
            let refused = check(name);
            assert!(
                matches!(refused, Err(RefuseName::Character { found: first, .. }) if first == found),
                "{refused:?}"
            );
        }
    }
}

// If this fails, attributes are stored that no client can read back.
#[test]
fn attributes_are_a_json_object() {
    for json in ["{}", r#"{"a":{"b":[1,2.5,null,true,"x"]}}"#, r#"{"":""}"#] {
        assert_eq!(check_attributes(json), Ok(()), "{json}");
    }
    for json in [
        "[]",
        "null",
        "7",
        r#""x""#,
        "{",
        "{}{}",
        "{a:1}",
        r#"{"a":}"#,
    ] {
        let refused = check_attributes(json);
        let expected = "a JSON object";
        let what = "attributes";
        assert_eq!(refused, Err(RefuseName::Form { what, expected }), "{json}");
    }
    let zero = check_attributes(r#"{"a":"\u0000"}"#);
    assert!(matches!(
        zero,
        Err(RefuseName::Character { found: '\0', .. })
    ));
}

// If this fails, people read that something is wrong, and not what.
#[test]
fn refusals_say_what_is_wrong() {
    for (refused, text) in [
        (check_file_name(""), "the file name is empty"),
        (
            check_collection("A"),
            "the collection's name contains the character 'A', which is not allowed",
        ),
        (
            check_node_name(&"x".repeat(64)),
            "the node's name is 64 bytes long, at most 63 are allowed",
        ),
        (
            check_content_type("x"),
            "the content type is not a type and a subtype, like image/png",
        ),
        (check_attributes("1"), "attributes is not a JSON object"),
    ] {
        assert_eq!(refused.expect_err(text).to_string(), text);
    }
}

// If this fails, a distributor is taken for a storage node, and gets uploads.
#[test]
fn the_names_of_distributors() {
    for (name, expected) in [
        ("dist", true),
        ("dist1", true),
        ("dist007", true),
        ("dist-1", false),
        ("distributor", false),
        ("node1", false),
        ("1dist", false),
        ("dis", false),
    ] {
        let name: NodeName = name.parse().expect("a valid name");
        assert_eq!(name.is_distributor(), expected, "{name}");
    }
}

proptest! {
    // If this fails, a name that was taken cannot be read back from a body.
    #[test]
    fn a_node_name_is_its_text(name in "[a-z0-9-]{1,63}") {
        let parsed: NodeName = name.parse().expect("a valid name");
        prop_assert_eq!(parsed.as_str(), &name);
        prop_assert_eq!(parsed.to_string(), name.clone());
        let json = serde_json::to_string(&parsed).expect("it can be written");
        prop_assert_eq!(&json, &format!("\"{name}\""));
        let read: NodeName = serde_json::from_str(&json).expect("it can be read");
        prop_assert_eq!(read, parsed);
    }

    // If this fails, a hostile name crashes a service, or gets past a check.
    #[test]
    fn any_text_is_taken_or_refused(name in ".{0,80}") {
        let taken = check_file_name(&name).is_ok();
        let clean = !name.is_empty() && !name.chars().any(char::is_control);
        prop_assert_eq!(taken, clean);
        if check_collection(&name).is_ok() {
            prop_assert!(name.is_ascii());
        }
        let is_object = name.trim().starts_with('{');
        prop_assert!(is_object || check_attributes(&name).is_err());
    }
}
