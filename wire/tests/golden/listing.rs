//! The batches by which the catalog follows the shards.

use wire::ShardNo;
use wire::listing::{
    ListedOperation, ListingBatch, ListingOutcome, ListingOutcomes, ListingPart, ListingStep,
};

use super::content::{ROW, row};
use super::{golden, id, node, position, refused};

// If this fails, a distributor of another version applies a batch wrongly, or not at all.
#[test]
fn every_step() {
    golden(&ListingStep::Ask, r#""ask""#);
    let follow = ListingStep::Follow {
        after: position(1, 2),
        upto: position(3, 9),
        operations: vec![
            ListedOperation::Upsert(row()),
            ListedOperation::Delete(id(2)),
        ],
    };
    golden(
        &follow,
        &format!(
            r#"{{"follow":{{"after":{{"epoch":1,"lsn":2}},"upto":{{"epoch":3,"lsn":9}},
            "operations":[{{"upsert":{ROW}}},
            {{"delete":"018bcfe5-6800-8000-8400-000000000002"}}]}}}}"#
        ),
    );
    let live = ListingStep::Live {
        after: position(1, 2),
        at: position(3, 9),
        first: true,
        rows: vec![row()],
    };
    golden(
        &live,
        &format!(
            r#"{{"live":{{"after":{{"epoch":1,"lsn":2}},"at":{{"epoch":3,"lsn":9}},
            "first":true,"rows":[{ROW}]}}}}"#
        ),
    );
    let end = ListingStep::LiveEnd {
        after: position(1, 2),
        at: position(3, 9),
        rows: 1,
    };
    golden(
        &end,
        r#"{"live_end":{"after":{"epoch":1,"lsn":2},"at":{"epoch":3,"lsn":9},"rows":1}}"#,
    );
}

// If this fails, a step that this version does not know is taken for another one.
#[test]
fn unknown_steps_and_operations_are_refused() {
    refused::<ListingStep>(r#""forget""#, "unknown variant");
    refused::<ListingStep>(r#"{"Follow":{}}"#, "unknown variant");
    refused::<ListingStep>(
        r#"{"follow":{"after":{"epoch":1,"lsn":2}}}"#,
        "missing field",
    );
    refused::<ListedOperation>(r#"{"remove":"x"}"#, "unknown variant");
    refused::<ListedOperation>(r#"{"delete":"x"}"#, "UUID parsing failed");
}

// If this fails, one shard's changes are applied to another.
#[test]
fn a_batch_and_its_outcomes() {
    let batch = ListingBatch {
        node: node("node1"),
        parts: vec![ListingPart {
            shard: ShardNo(65_535),
            step: ListingStep::Ask,
        }],
    };
    golden(
        &batch,
        r#"{"node":"node1","parts":[{"shard":65535,"step":"ask"}]}"#,
    );
    refused::<ListingPart>(r#"{"shard":65536,"step":"ask"}"#, "invalid value");
    let applied = ListingOutcome {
        shard: ShardNo(1),
        applied: true,
        listed: position(1, 2),
        unlistable: Vec::new(),
    };
    let partly = ListingOutcome {
        applied: false,
        unlistable: vec![id(1)],
        ..applied.clone()
    };
    golden(
        &ListingOutcomes {
            parts: vec![applied, partly],
        },
        r#"{"parts":[{"shard":1,"applied":true,"listed":{"epoch":1,"lsn":2}},
        {"shard":1,"applied":false,"listed":{"epoch":1,"lsn":2},
        "unlistable":["018bcfe5-6800-8000-8400-000000000001"]}]}"#,
    );
}
