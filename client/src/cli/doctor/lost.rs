//! Records that are lost, and that nobody can repair.

use wire::integrity::LostRecords;

use super::examined::Examined;
use super::finding::Finding;

/// What nodes say that they have lost; who does not say it is told of by other checks.
pub(super) fn findings(examined: &Examined) -> Vec<Finding> {
    let mut findings = Vec::new();
    for service in &examined.nodes {
        let answers = service.answers.as_ref().ok();
        let report = answers.and_then(|answers| answers.own.lost.as_ref().ok());
        let replicas = report.into_iter().flat_map(|report| &report.replicas);
        findings.extend(replicas.filter_map(|lost| finding(&service.name, lost)));
    }
    findings
}

/// None of what is repaired by itself.
fn finding(node: &str, lost: &LostRecords) -> Option<Finding> {
    let LostRecords {
        shard,
        records,
        held_by,
        unasked,
        ..
    } = lost;
    if held_by.is_some() {
        return None;
    }
    let about = |found: String| Finding::ok("damage", format!("shard {shard} on {node}"), found);
    if unasked.is_empty() {
        let found = format!("lost records: {records}, which no other copy has");
        let remedy = format!(
            "older contents of the shard are not served there, or not changed: `client give-up {shard}` \
             goes on without what was in the records"
        );
        return Some(about(found).demand(remedy));
    }
    let nodes: Vec<&str> = unasked.iter().map(wire::NodeName::as_str).collect();
    let found = format!("lost records: {records}");
    let remedy = format!(
        "start {}, which may have them; if that will not come back, `client give-up` goes on without them",
        nodes.join(", ")
    );
    Some(about(found).demand(remedy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::bed;
    use crate::cli::doctor::finding::Level;
    use wire::integrity::LostReport;
    use wire::{Lsn, ShardNo};

    // If this fails, an operator waits for a repair that never comes, or gives up what is about to be repaired.
    #[test]
    fn what_nobody_can_repair_is_told_with_its_remedy() {
        let told = |held_by: Option<&str>, unasked: &[&str]| {
            let name = |text: &str| text.parse().expect("a name");
            let lost = LostRecords {
                shard: ShardNo(3),
                records: 2,
                first: Lsn(7),
                last: Lsn(8),
                held_by: held_by.map(name),
                unasked: unasked.iter().copied().map(name).collect(),
            };
            let mut examined = bed::examined();
            let replicas = vec![lost];
            examined.nodes[1] = bed::node("node2", |own| own.lost = Ok(LostReport { replicas }));
            let mut found = findings(&examined).into_iter();
            found.next().map(|f| {
                assert_eq!((f.level, &*f.subject), (Level::Problem, "shard 3 on node2"));
                f.remedy.unwrap_or_default()
            })
        };
        assert_eq!(told(Some("node1"), &[]), None);
        assert!(told(None, &[]).is_some_and(|remedy| remedy.contains("`client give-up 3`")));
        assert!(told(None, &["node1"]).is_some_and(|remedy| remedy.contains("start node1")));
        assert_eq!(findings(&bed::examined()), []);
    }
}
