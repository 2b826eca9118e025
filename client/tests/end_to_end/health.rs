//! What is told of a cluster that is well, and of one that is not; and where its contents are.

use serde_json::Value;

use crate::bed::{Bed, pattern};

/// The findings of `doctor` above `ok`, and its exit code.
fn diagnosed(bed: &Bed, arguments: &[&str]) -> (Vec<Value>, Option<i32>) {
    let ran = bed.run(&[&["doctor", "--json"], arguments].concat());
    let findings = ran
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    (
        findings
            .filter(|finding| finding["level"] != "ok")
            .collect(),
        ran.code,
    )
}

fn about<'a>(findings: &'a [Value], check: &str, subject: &str) -> Option<&'a Value> {
    let mut found = findings.iter().filter(|finding| finding["check"] == check);
    found.find(|finding| finding["subject"] == subject)
}

/// The nodes file of this cluster, with one service more.
fn write_nodes_file(bed: &Bed, more: &str) {
    let nodes = bed.run(&["nodes", "--json"]).json();
    let lines = nodes.iter().map(|node| {
        let (name, port) = (node["name"].as_str().expect("a name"), &node["port"]);
        format!("  {name}: {{host: 127.0.0.1, port: {port}}}\n")
    });
    let text = format!("nodes:\n{}{more}", lines.collect::<String>());
    bed.write("nodes.yml", text.as_bytes());
}

// If this fails, an operator is sent after troubles that are none, or not told of one.
pub(crate) fn the_doctor_finds_what_is_wrong_and_nothing_else(bed: &mut Bed) {
    bed.write("a", &pattern(600_000, 1));
    bed.upload("a");
    write_nodes_file(bed, "");
    let well = |bed: &Bed| {
        let (findings, code) = diagnosed(bed, &["--nodes-file", "nodes.yml"]);
        // How full this machine's disk is, is its own affair.
        let ill = findings
            .iter()
            .any(|finding| finding["subject"] != "this machine");
        code == Some(0) && !ill
    };
    bed.until("a cluster that is well is found well", || well(bed));
    let text = bed.run(&["doctor"]).ok();
    for line in [
        "reach          dist: answers at",
        "shards         all: ",
        "clocks         all: 4 services",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }

    write_nodes_file(bed, "  node9: {host: 127.0.0.1, port: 1}\n");
    let (findings, code) = diagnosed(bed, &["--nodes-file", "nodes.yml"]);
    assert_eq!(code, Some(1));
    assert!(
        about(&findings, "nodes file", "node9").is_some(),
        "{findings:?}"
    );
    assert!(about(&findings, "reach", "node9").is_some(), "{findings:?}");

    bed.stop_node(1);
    let mut found = Vec::new();
    bed.until(
        "the dead node and the shards that miss it are found",
        || {
            let (findings, code) = diagnosed(bed, &[]);
            found = findings;
            let remedy = about(&found, "reach", "node2").map(|f| f["remedy"].to_string());
            let dead = remedy.is_some_and(|remedy| remedy.contains("client remove --force node2"));
            let short = found
                .iter()
                .any(|f| f["check"] == "shards" && f["level"] == "problem");
            code == Some(1) && dead && short
        },
    );
    bed.start_node(1);
    write_nodes_file(bed, "");
    bed.until("what is mended is well again", || well(bed));
}

/// Uploads until two later contents are in the shard of the first one; gives the first two.
fn two_of_one_shard(bed: &Bed) -> (String, String, wire::ShardNo) {
    let shard = |id: &str| id.parse::<wire::ContentId>().expect("an id").shard();
    bed.write("older", b"older");
    bed.write("later", b"later");
    let older = bed.upload("older");
    let next = || loop {
        let later = bed.upload("later");
        if shard(&later) == shard(&older) {
            return later;
        }
    };
    let lost = next();
    next();
    let number = shard(&older);
    (older, lost, number)
}

// If this fails, an operator cannot go on without a record that no disk can read any more; or gives it up without
// having meant to.
pub(crate) fn records_that_nobody_has_are_given_up(bed: &mut Bed) {
    bed.until_mirrored();
    assert_eq!(bed.run(&["give-up"]).ok(), "nothing is lost\n");
    let (older, lost, shard) = two_of_one_shard(bed);
    let shard = shard.to_string();
    bed.stop();
    assert_eq!(bed.break_headers(&lost), 2, "each of its copies");
    bed.start_again();
    let shown = |bed: &Bed| bed.run(&["give-up", "--json"]);
    bed.until("both copies are said to have lost it", || {
        let lines = shown(bed).out;
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let nobody =
            |line: &Value| line["held_by"].is_null() && line["unasked"] == serde_json::json!([]);
        lines.filter(nobody).count() == 2
    });
    let get = |bed: &Bed| bed.run(&["get", &older, "-o", "-"]);
    assert_ne!(get(bed).code, Some(0), "it may have been deleted");
    let (findings, _) = diagnosed(bed, &[]);
    let remedy = findings.iter().map(|finding| finding["remedy"].to_string());
    assert!(
        remedy
            .into_iter()
            .any(|remedy| remedy.contains("client give-up")),
        "{findings:?}"
    );

    let unasked = bed.run(&["give-up", &shard]).failed(2);
    assert!(unasked.contains("--yes"), "{unasked}");
    assert_eq!(shown(bed).json().len(), 2, "nothing was done");
    bed.until("both copies have given it up", || {
        // Where it is not settled who leads, it is asked again; and of what one gave up the other one hears.
        bed.run(&["give-up", &shard, "--yes"]);
        shown(bed).json().is_empty()
    });
    let nothing = bed.run(&["give-up", &shard, "--yes"]).failed(7);
    assert!(nothing.contains("nothing of shard"), "{nothing}");
    for again in [false, true] {
        if again {
            bed.stop();
            bed.start_again();
        }
        bed.until("what is older is served", || get(bed).out == "older");
        assert_eq!(bed.run(&["give-up"]).ok(), "nothing is lost\n");
    }
    bed.until("its row is gone", || {
        !bed.run(&["list"]).ok().contains(&lost)
    });
}

// If this fails, nobody can find out where a content is, and which of its copies is bad.
pub(crate) fn a_content_is_explained_with_all_its_copies(bed: &mut Bed) {
    bed.until_mirrored();
    let bytes = pattern(600_000, 3);
    bed.write("a.bin", &bytes);
    let id = bed.upload("a.bin");
    bed.until_listed(1);
    let explained = |arguments: &[&str]| {
        let all = [&["explain", id.as_str(), "--json"], arguments].concat();
        bed.run(&all).json().remove(0)
    };
    let account = explained(&[]);
    assert_eq!(
        (&account["listing"], &account["content"]["version"]),
        (&"listed".into(), &1.into())
    );
    assert_eq!(account["held"]["shard"], account["shard"]);
    let (leader, change) = (&account["held"]["leader"], &account["last_change"]);
    assert_eq!(
        (&change["operation"], &change["id"]),
        (&"upload".into(), &id.as_str().into())
    );
    let copies = account["copies"].as_array().expect("copies").clone();
    assert_eq!((copies.len(), &copies[0]["node"]), (2, leader));
    for copy in &copies {
        assert_eq!(
            (&copy["state"], &copy["version"]),
            (&"present".into(), &1.into()),
            "{copy}"
        );
        assert_eq!(copy["lsn"], change["lsn"], "{copy}");
    }
    assert_eq!(
        account["placement_now"].as_array().map(Vec::len),
        Some(3),
        "{account}"
    );
    let text = bed.run(&["explain", &id]).ok();
    let was = format!(
        "It was {}, which has led the shard since",
        leader.as_str().expect("a name")
    );
    assert!(
        text.contains(&was) && text.contains("Why these copies"),
        "{text}"
    );
    let quick = explained(&["--quick"]);
    assert_eq!(quick["copies"][1]["state"], "present", "{quick}");
    assert_eq!(quick["last_change"], Value::Null);

    bed.damage_a_copy(&bytes[300_000..300_200]);
    let text = bed.run(&["explain", &id]).ok();
    assert!(text.contains("  damaged  "), "{text}");
    bed.until("it is repaired", || {
        let copies = explained(&[])["copies"].as_array().cloned();
        copies.is_some_and(|copies| copies.iter().all(|copy| copy["state"] == "present"))
    });

    bed.write("b.bin", &pattern(10, 4));
    bed.run(&["update", &id, "b.bin"]).ok();
    assert_eq!(explained(&[])["last_change"]["operation"], "update");
    bed.run(&["delete", &id]).ok();
    let gone = bed.run(&["explain", &id, "--json"]);
    assert_eq!(gone.code, Some(3), "{}", gone.err);
    let account: Value = serde_json::from_str(gone.out.trim_end()).expect("JSON");
    assert_eq!(account["placement_now"].as_array().map(Vec::len), Some(0));
    assert_eq!(
        (&account["listing"], &account["copies"][0]["state"]),
        (&"deleted".into(), &"deleted".into())
    );
}

// If this fails, a content whose node is down cannot be explained, which is when one asks.
pub(crate) fn a_content_is_explained_while_a_node_is_down(bed: &mut Bed) {
    bed.until_mirrored();
    bed.write("a", &pattern(10, 1));
    let id = bed.upload("a");
    bed.until_listed(1);
    let account = bed.run(&["explain", &id, "--json"]).json().remove(0);
    let follower = account["copies"][1]["url"]
        .as_str()
        .expect("a URL")
        .to_owned();
    bed.stop_node(bed.place_of(&follower));
    let account = bed.run(&["explain", &id, "--json"]).json().remove(0);
    let copies = account["copies"].as_array().expect("copies");
    let of = |url: &str| {
        copies
            .iter()
            .find(|copy| copy["url"] == url)
            .expect("a copy")
    };
    assert_eq!(of(&follower)["state"], "unreachable", "{account}");
    assert!(
        copies.iter().any(|copy| copy["state"] == "present"),
        "{account}"
    );
}
