//! Contents, receipts, pages and changes of metadata.

use wire::content::{
    ContentItem, ContentPage, ContentRow, Describe, Receipt, Status, StoreOutcome, StoreOutcomes,
};
use wire::{Code, ErrorBody};

use super::{checksum, golden, id, node, refused, time};

pub(crate) fn row() -> ContentRow {
    ContentRow {
        id: id(1),
        filename: "été.png".to_owned(),
        size: 5,
        content_type: "image/png".to_owned(),
        checksum: checksum(0xab),
        version: 2,
        collection: None,
        attributes: None,
        created_date: time(0),
        updated_date: time(1),
    }
}

pub(crate) const ROW: &str = r#"{"id":"018bcfe5-6800-8000-8400-000000000001",
    "filename":"été.png","size":5,"content_type":"image/png",
    "checksum":"blake3:abababababababababababababababababababababababababababababababab",
    "version":2,"created_date":"2023-11-14T22:13:20.000Z",
    "updated_date":"2023-11-14T22:13:20.001Z"}"#;

fn receipt() -> Receipt {
    Receipt {
        id: id(1),
        message: "Content successfully uploaded.".to_owned(),
        filename: "a".to_owned(),
        version: 1,
        size: 0,
        checksum: checksum(0),
        nodes: vec![node("node1"), node("node2")],
        degraded: true,
        status: Status::Pending,
    }
}

const RECEIPT: &str = r#"{"id":"018bcfe5-6800-8000-8400-000000000001",
    "message":"Content successfully uploaded.","filename":"a","version":1,"size":0,
    "checksum":"blake3:0000000000000000000000000000000000000000000000000000000000000000",
    "nodes":["node1","node2"],"degraded":true,"status":"PENDING"}"#;

// If this fails, programs that wait for `OK` wait for ever.
#[test]
fn statuses() {
    golden(&Status::Ok, r#""OK""#);
    golden(&Status::Pending, r#""PENDING""#);
    golden(&Status::Unlistable, r#""UNLISTABLE""#);
    for text in [r#""ok""#, r#""Pending""#, r#""""#, "1"] {
        refused::<Status>(text, "");
    }
}

// If this fails, nodes and distributors of two versions do not understand each other's rows.
#[test]
fn a_row_without_what_is_optional() {
    golden(&row(), ROW);
}

// If this fails, attributes are lost, or come back in another order.
#[test]
fn a_row_with_everything() {
    let attributes = serde_json::from_str(r#"{"a":[1,null],"b":{"c":"d"}}"#);
    let full = ContentRow {
        collection: Some("site".to_owned()),
        attributes: Some(attributes.expect("an object")),
        ..row()
    };
    let text = ROW.replace(
        r#""created_date""#,
        r#""collection":"site","attributes":{"a":[1,null],"b":{"c":"d"}},"created_date""#,
    );
    golden(&full, &text);
}

// If this fails, a damaged or hostile row reaches the catalog.
#[test]
fn rows_that_cannot_be_are_refused() {
    let with = |from: &str, to: &str| {
        assert!(ROW.contains(from), "{from}");
        ROW.replace(from, to)
    };
    let cases = [
        ("-8000-8400-", "-4000-8400-", "version 8"),
        (r#""size":5"#, r#""size":-5"#, "invalid value"),
        (r#""size":5,"#, "", "missing field `size`"),
        ("blake3:ab", "sha256:ab", "a checksum is"),
        ("2023-11-14T22", "1969-11-14T22", "a time is written"),
        (r#""version":2"#, r#""version":"2""#, "invalid type"),
    ];
    for (from, to, reason) in cases {
        refused::<ContentRow>(&with(from, to), reason);
    }
}

// If this fails, clients that read `url` and `uri` do not find a content's bytes.
#[test]
fn an_item_is_its_row_and_where_it_is() {
    let item = ContentItem {
        row: row(),
        status: Status::Ok,
        uri: "http://n1:8001".to_owned(),
        url: "http://n1:8001/retrieve/x".to_owned(),
        uris: vec!["http://n1:8001".to_owned(), "http://n2:8001".to_owned()],
    };
    let text = ROW.replace(
        r#""2023-11-14T22:13:20.001Z"}"#,
        r#""2023-11-14T22:13:20.001Z","status":"OK","uri":"http://n1:8001",
        "url":"http://n1:8001/retrieve/x","uris":["http://n1:8001","http://n2:8001"]}"#,
    );
    golden(&item, &text);
}

// If this fails, a client that pages through the catalog never ends, or ends too early.
#[test]
fn a_page_says_where_the_next_begins() {
    let last = ContentPage {
        items: Vec::new(),
        next: None,
    };
    golden(&last, r#"{"items":[],"next":null}"#);
    let more = ContentPage {
        next: Some("018b".to_owned()),
        ..last
    };
    golden(&more, r#"{"items":[],"next":"018b"}"#);
}

// If this fails, a typo in a change of metadata changes nothing, and nobody is told.
#[test]
fn a_describe_names_what_it_changes_and_nothing_unknown() {
    golden(&Describe::default(), "{}");
    let filename = Describe {
        filename: Some("b".to_owned()),
        ..Describe::default()
    };
    golden(&filename, r#"{"filename":"b"}"#);
    let attributes = serde_json::from_str(r#"{"k":1}"#).expect("an object");
    let all = Describe {
        content_type: Some("text/plain".to_owned()),
        attributes: Some(attributes),
        ..filename
    };
    golden(
        &all,
        r#"{"filename":"b","content_type":"text/plain","attributes":{"k":1}}"#,
    );
    for text in [r#"{"file_name":"b"}"#, r#"{"size":1}"#, r#"{"id":"x"}"#] {
        refused::<Describe>(text, "unknown field");
    }
    refused::<Describe>(r#"{"attributes":[1]}"#, "expected a map");
    refused::<Describe>(r#"{"filename":7}"#, "expected a string");
}

// If this fails, scripts that read receipts break.
#[test]
fn a_receipt() {
    golden(&receipt(), RECEIPT);
}

// If this fails, a client cannot tell which of its files was stored.
#[test]
fn outcomes_are_receipts_or_errors_in_one_list() {
    let error = ErrorBody::new(Code::TooLarge, "too large", "r1");
    let outcomes = StoreOutcomes {
        items: vec![StoreOutcome::Stored(receipt()), StoreOutcome::Failed(error)],
    };
    let failed = r#"{"status":"error","code":"too_large","message":"too large","request_id":"r1"}"#;
    golden(&outcomes, &format!(r#"{{"items":[{RECEIPT},{failed}]}}"#));
    refused::<StoreOutcome>("{}", "did not match any variant");
}
