//! The table of errors: what each code means to a client, as docs/http-api.md promises it.

use wire::error::Retry;
use wire::{Code, ErrorBody};

/// Code, word, status, retry, and whether something may have changed.
const TABLE: [(Code, &str, u16, Retry, bool); 37] = [
    (Code::MalformedId, "malformed_id", 400, Retry::Never, false),
    (
        Code::MalformedRequest,
        "malformed_request",
        400,
        Retry::Never,
        false,
    ),
    (
        Code::MalformedMultipart,
        "malformed_multipart",
        400,
        Retry::Never,
        false,
    ),
    (Code::NoFile, "no_file", 400, Retry::Never, false),
    (
        Code::InvalidMetadata,
        "invalid_metadata",
        400,
        Retry::Never,
        false,
    ),
    (Code::IdRefused, "id_refused", 400, Retry::Never, false),
    (
        Code::BodyCutShort,
        "body_cut_short",
        400,
        Retry::Later,
        false,
    ),
    (
        Code::DigestMismatch,
        "digest_mismatch",
        400,
        Retry::Later,
        false,
    ),
    (Code::Unauthorized, "unauthorized", 401, Retry::Never, false),
    (Code::NotFound, "not_found", 404, Retry::Never, false),
    (Code::NoRoute, "no_route", 404, Retry::Never, false),
    (
        Code::MethodNotAllowed,
        "method_not_allowed",
        405,
        Retry::Never,
        false,
    ),
    (Code::TooSlow, "too_slow", 408, Retry::Later, false),
    (Code::Conflict, "conflict", 409, Retry::Never, false),
    (Code::InProgress, "in_progress", 409, Retry::Later, true),
    (
        Code::ShardClosed,
        "shard_closed",
        409,
        Retry::Elsewhere,
        false,
    ),
    (
        Code::WrongCluster,
        "wrong_cluster",
        409,
        Retry::Never,
        false,
    ),
    (Code::NodeInUse, "node_in_use", 409, Retry::Never, false),
    (Code::NodeRemoved, "node_removed", 409, Retry::Never, false),
    (Code::NameTaken, "name_taken", 409, Retry::Later, false),
    (Code::NotWaiting, "not_waiting", 409, Retry::Never, false),
    (Code::NoCopy, "no_copy", 409, Retry::Never, false),
    (Code::NeedsForce, "needs_force", 409, Retry::Never, false),
    (Code::Deleted, "deleted", 410, Retry::Never, false),
    (
        Code::PreconditionFailed,
        "precondition_failed",
        412,
        Retry::Never,
        false,
    ),
    (Code::TooLarge, "too_large", 413, Retry::Never, false),
    (
        Code::RangeNotSatisfiable,
        "range_not_satisfiable",
        416,
        Retry::Never,
        false,
    ),
    (Code::WrongNode, "wrong_node", 421, Retry::Elsewhere, false),
    (Code::Internal, "internal", 500, Retry::Later, true),
    (
        Code::NodeUnreachable,
        "node_unreachable",
        502,
        Retry::Later,
        true,
    ),
    (Code::Damaged, "damaged", 503, Retry::Elsewhere, false),
    (Code::NoLeader, "no_leader", 503, Retry::Later, false),
    (Code::Overloaded, "overloaded", 503, Retry::Later, false),
    (
        Code::CatalogUnavailable,
        "catalog_unavailable",
        503,
        Retry::Later,
        false,
    ),
    (Code::NoNode, "no_node", 503, Retry::Later, false),
    (Code::Uncertain, "uncertain", 503, Retry::Later, true),
    (
        Code::StorageFull,
        "storage_full",
        507,
        Retry::Elsewhere,
        false,
    ),
];

// If this fails, a client retries what cannot succeed, gives up on what can, or repeats a change
// that was made.
#[test]
fn every_code_has_its_word_status_and_retry() {
    for (code, word, status, retry, may_have_changed) in TABLE {
        let written = serde_json::to_string(&code).expect("a word");
        assert_eq!(written, format!("\"{word}\""));
        let read: Code = serde_json::from_str(&written).expect("a code");
        assert_eq!(read, code);
        assert_eq!(code.status(), status, "{word}");
        assert_eq!(code.retry(), retry, "{word}");
        assert_eq!(code.may_have_changed(), may_have_changed, "{word}");
    }
}

// If this fails, a code that services send is not in the list that clients know.
#[test]
fn the_table_and_the_list_have_the_same_codes() {
    for code in Code::ALL {
        let rows = TABLE.iter().filter(|row| row.0 == code).count();
        assert_eq!(rows, 1, "{code:?}");
    }
    assert_eq!(TABLE.len(), Code::ALL.len());
}

// If this fails, a client takes a code of a later version for one that it knows.
#[test]
fn unknown_codes_are_refused() {
    for text in [r#""NotFound""#, r#""gone""#, r#""""#, "404", "null"] {
        assert!(serde_json::from_str::<Code>(text).is_err(), "{text}");
    }
}

// If this fails, programs that read error answers break.
#[test]
fn an_error_body_is_written_as_documented() {
    let body = ErrorBody::new(Code::NotFound, "no such content", "r-1");
    let written = serde_json::to_string(&body).expect("it can be written");
    assert_eq!(
        written,
        r#"{"status":"error","code":"not_found","message":"no such content","request_id":"r-1"}"#
    );
    let wrong_node = ErrorBody {
        leader: Some("http://n2:8001".to_owned()),
        ..ErrorBody::new(Code::WrongNode, "led elsewhere", "r-2")
    };
    let written = serde_json::to_string(&wrong_node).expect("it can be written");
    assert!(written.ends_with(r#""request_id":"r-2","leader":"http://n2:8001"}"#));
    for body in [body, wrong_node] {
        let written = serde_json::to_string(&body).expect("it can be written");
        let read: ErrorBody = serde_json::from_str(&written).expect("it can be read");
        assert_eq!(read, body);
    }
}

// If this fails, an answer that is no error is taken for one.
#[test]
fn only_errors_have_the_status_of_one() {
    let ok = r#"{"status":"ok","code":"not_found","message":"","request_id":""}"#;
    assert!(serde_json::from_str::<ErrorBody>(ok).is_err());
    let bare = r#"{"status":"error","code":"not_found","message":""}"#;
    assert!(
        serde_json::from_str::<ErrorBody>(bare).is_err(),
        "whose request?"
    );
}
