//! What a user does with a cluster that is well.

use serde_json::Value;

use crate::bed::{Bed, pattern};

/// A UUID of version 8 that was never handed out, of a shard that there is.
fn unknown_id(known: &str) -> String {
    let last = if known.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &known[..known.len() - 1])
}

// If this fails, the product's main job does not work.
pub(crate) fn a_content_lives_and_dies(bed: &mut Bed) {
    let (first, second) = (pattern(70_000, 1), pattern(10, 2));
    bed.write("notes.txt", &first);
    let id = bed.upload("notes.txt");

    let item = &bed.run(&["info", &id, "--json"]).json()[0];
    assert_eq!(
        (&item["filename"], &item["size"]),
        (&"notes.txt".into(), &70_000.into())
    );
    assert_eq!(
        (&item["content_type"], &item["version"]),
        (&"text/plain".into(), &1.into())
    );
    let checksum = format!("blake3:{}", blake3::hash(&first).to_hex());
    assert_eq!(item["checksum"], checksum.as_str());
    let listed = &bed.until_listed(1)[0];
    assert!(listed.starts_with(&format!("{id}\t70000\t")) && listed.ends_with("\tnotes.txt"));

    bed.run(&["get", &id, "-o", "back"]).ok();
    assert!(bed.read("back") == first);
    bed.write("new", &second);
    assert_eq!(
        bed.run(&["update", &id, "new"]).ok(),
        format!("{id}\t2\tnotes.txt\n")
    );
    assert!(
        bed.run(&["get", &id, "-o", "-"]).bytes == second,
        "what was updated is read at once"
    );
    let item = &bed
        .run(&["info", &id, "--min-version", "2", "--json"])
        .json()[0];
    assert_eq!((&item["size"], &item["version"]), (&10.into(), &2.into()));

    assert_eq!(bed.run(&["delete", &id]).ok(), format!("{id}\n"));
    for arguments in [["get", &id], ["info", &id]] {
        assert!(
            bed.run(&arguments).failed(3).contains("deleted"),
            "{arguments:?}"
        );
    }
    bed.until_listed(0);
    bed.run(&["delete", &id]).ok();
}

// If this fails, a folder of files cannot be put into the cluster and taken out again.
pub(crate) fn folders_come_back_as_they_went(bed: &mut Bed) {
    let names: Vec<String> = (0..60)
        .map(|i| format!("top/{}/file-{i:02}.bin", ["a", "b", "c/d"][i % 3]))
        .collect();
    for (i, name) in names.iter().enumerate() {
        bed.write(name, &pattern(i * 997, i as u64));
    }
    let out = bed.run(&["upload", "-r", "top", "--jobs", "8"]).ok();
    let stored: std::collections::BTreeMap<&str, &str> = out
        .lines()
        .map(|line| line.split_once('\t').expect("a tab"))
        .map(|(a, b)| (b, a))
        .collect();
    assert_eq!(stored.len(), names.len());
    let ids: Vec<&str> = names.iter().map(|name| stored[name.as_str()]).collect();
    let mut arguments = vec!["get", "-o", "back/", "--jobs", "8"];
    arguments.extend(&ids);
    bed.run(&arguments).ok();
    for (i, name) in names.iter().enumerate() {
        let back = name.rsplit('/').next().expect("a name");
        assert!(
            bed.read(&format!("back/{back}")) == pattern(i * 997, i as u64),
            "{name}"
        );
    }
    bed.until_listed(names.len());
    let mut delete = vec!["delete"];
    delete.extend(&ids);
    assert_eq!(bed.run(&delete).ok().lines().count(), names.len());
}

// If this fails, contents of several chunks lose bytes, or streams of unknown length do.
pub(crate) fn large_contents_and_streams_keep_every_byte(bed: &mut Bed) {
    // Around the sizes at which a content is stored in another way.
    for (i, size) in [0, 1, 65_535, 65_536, 1 << 20, (1 << 20) + 1, 20_000_000]
        .iter()
        .enumerate()
    {
        let bytes = pattern(*size, i as u64);
        bed.write("large", &bytes);
        let id = bed.upload("large");
        bed.run(&["get", &id, "-o", "back"]).ok();
        assert!(bed.read("back") == bytes, "{size}");
    }
    for size in [5, 12_000_000] {
        let bytes = pattern(size, 99);
        let out = bed
            .run_with_input(&["upload", "-", "--name", "piped"], &bytes)
            .ok();
        let (id, name) = out.trim_end().split_once('\t').expect("an id and a name");
        assert_eq!(name, "piped");
        assert!(bed.run(&["get", id, "-o", "-"]).bytes == bytes, "{size}");
    }
}

// If this fails, people cannot use the names they have, or a name leads out of the folder.
pub(crate) fn odd_names_are_kept_and_made_safe(bed: &mut Bed) {
    bed.write("x", b"x");
    for (stored, written) in [
        (
            "été \"quoted\" 100% 🎉 & co; =.txt",
            "été _quoted_ 100% 🎉 & co; =.txt",
        ),
        ("../../up", "up"),
        ("a\\b c+d%20e", "b c+d%20e"),
    ] {
        for arguments in [
            ["upload", "x", "--name", stored],
            ["upload", "-", "--name", stored],
        ] {
            let input = if arguments[1] == "-" {
                pattern(9_000_000, 3)
            } else {
                b"x".to_vec()
            };
            let ran = match arguments[1] {
                "-" => bed.run_with_input(&arguments, &input),
                _ => bed.run(&arguments),
            };
            let out = ran.ok();
            let (id, name) = out.trim_end_matches('\n').split_once('\t').expect("a tab");
            assert_eq!(name, stored);
            assert_eq!(
                bed.run(&["info", id, "--json"]).json()[0]["filename"],
                stored
            );
            bed.run(&["get", id, "--force"]).ok();
            assert!(bed.read(written) == input, "{stored}");
        }
    }
}

// If this fails, users cannot find what they stored.
pub(crate) fn listings_are_filtered_and_paged(bed: &mut Bed) {
    for name in ["report-1", "report-2", "other", "reporT-3"] {
        bed.write(name, name.as_bytes());
    }
    let attributes = r#"{"by":"é","n":[1,2]}"#;
    let described = [
        "--collection",
        "docs",
        "--attributes",
        attributes,
        "--type",
        "text/x",
    ];
    let mut arguments = vec!["upload", "report-1"];
    arguments.extend(described);
    let first = bed.run(&arguments).first_id();
    bed.run(&["upload", "report-2", "other", "reporT-3"]).ok();

    bed.until_listed(4);
    let names = |arguments: &[&str]| {
        let out = bed.run(arguments).ok();
        let mut names: Vec<String> = out
            .lines()
            .map(|l| l.rsplit('\t').next().expect("a name").to_owned())
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        names(&["list", "--filename", "report-*"]),
        ["report-1", "report-2"]
    );
    assert_eq!(names(&["list", "--filename", "other"]), ["other"]);
    assert_eq!(names(&["list", "--collection", "docs"]), ["report-1"]);
    assert_eq!(names(&["list", "--limit", "2"]).len(), 2);
    let all: Vec<Value> = bed.run(&["list", "--json"]).json();
    let ids: Vec<&str> = all
        .iter()
        .map(|item| item["id"].as_str().expect("text"))
        .collect();
    assert!(ids.is_sorted(), "{ids:?}");
    assert_eq!(names(&["list", "--after", ids[1]]).len(), 2);

    let item = &bed.run(&["info", &first, "--json"]).json()[0];
    assert_eq!(
        (&item["collection"], &item["content_type"]),
        (&"docs".into(), &"text/x".into())
    );
    assert_eq!(
        item["attributes"],
        serde_json::from_str::<Value>(attributes).expect("JSON")
    );
}

// If this fails, two users overwrite or delete each other's work unseen.
pub(crate) fn conditions_guard_updates_and_deletes(bed: &mut Bed) {
    bed.write("a", b"one");
    let id = bed.upload("a");
    let checksum = |id: &str| {
        let item = &bed
            .run(&["info", id, "--min-version", "1", "--json"])
            .json()[0];
        item["checksum"].as_str().expect("text").to_owned()
    };
    let one = checksum(&id);
    bed.write("a", b"two");
    bed.run(&["update", &id, "a", "--if-match", &one]).ok();
    bed.write("a", b"three");
    let told = bed.run(&["update", &id, "a", "--if-match", &one]).failed(7);
    assert!(told.contains("precondition_failed"), "{told}");
    bed.run(&["delete", &id, "--if-match", &one]).failed(7);
    assert_eq!(bed.run(&["get", &id, "-o", "-"]).ok(), "two");
    let two = format!("blake3:{}", blake3::hash(b"two").to_hex());
    bed.run(&["delete", &id, "--if-match", &two]).ok();
    bed.run(&["update", &id, "a"]).failed(3);
}

// If this fails, an operator cannot see that the cluster is well.
pub(crate) fn nodes_and_statistics_tell_of_the_cluster(bed: &mut Bed) {
    bed.until_mirrored();
    bed.until("all of it is up", || {
        let nodes = bed.run(&["nodes", "--json"]).json();
        let of = |role: &str| nodes.iter().filter(|node| node["role"] == role).count();
        assert_eq!((of("distributor"), of("node")), (1, 3));
        nodes.iter().all(|node| node["health"] == "up")
    });
    assert_eq!(bed.run(&["nodes"]).ok().lines().count(), 5);
    bed.write("a", &pattern(3_000_000, 1));
    bed.upload("a");
    bed.until("the statistics show the upload", || {
        let stats = &bed.run(&["stats", "--json"]).json()[0];
        let total = &stats["total"];
        stats["contents_led"] == 1 && total["storage"].as_u64() >= Some(3_000_000)
    });
    bed.until("each node has its statistics", || {
        bed.run(&["stats"]).ok().lines().count() == 5
    });
    bed.until("each shard is well", || {
        let shards = bed.run(&["shards"]).ok();
        let rows: Vec<&str> = shards.lines().skip(1).collect();
        assert_eq!(rows.len(), 3, "{shards}");
        rows.iter().all(|row| row.ends_with("  ok"))
    });
}

// If this fails, what was done to contents is not told, or in the wrong order.
pub(crate) fn the_log_tells_what_was_done(bed: &mut Bed) {
    bed.write("a", &pattern(10, 1));
    let id = bed.upload("a");
    bed.run(&["update", &id, "a", "--name", "b"]).ok();
    bed.run(&["delete", &id]).ok();
    let log = bed.run(&["log"]).json();
    let of_content: Vec<&Value> = log
        .iter()
        .filter(|line| line["id"] == id.as_str())
        .collect();
    let done: Vec<&str> = of_content
        .iter()
        .filter_map(|line| line["operation"].as_str())
        .collect();
    assert_eq!(done, ["upload", "update", "delete"], "{log:?}");
    let begun = log.iter().filter(|line| line["operation"] == "epoch");
    assert!(begun.count() >= 3, "each shard's leader began its epoch");
    let shard = &of_content[0]["shard"];
    let ours = bed.run(&["log", "--shard", &shard.to_string()]).json();
    assert!(ours.len() < log.len() && ours.iter().all(|line| line["shard"] == *shard));
}

// If this fails, nobody can tell whether the copies of a content are what they should be.
pub(crate) fn copies_are_verified(bed: &mut Bed) {
    let bytes = pattern(600_000, 1);
    bed.write("a", &bytes);
    bed.write("b", &pattern(10, 2));
    bed.until_mirrored();
    let ids = [bed.upload("a"), bed.upload("b")];
    bed.until_listed(2);
    let verified = bed.run(&["verify", &ids[0], &ids[1], "--json"]).json();
    for content in &verified {
        assert_eq!(content["agree"], true, "{content}");
        assert_eq!(content["copies"].as_array().map(Vec::len), Some(2));
    }
    let all = bed.run(&["verify", "--all", "--json"]).json();
    let summary = all.last().expect("a summary");
    assert_eq!((all.len(), &summary["disagreeing"]), (3, &0.into()));
    for content in &all[..2] {
        assert_eq!(content["agree"], true, "{content}");
    }
    assert_eq!(
        (&summary["contents"], &summary["copies"]),
        (&2.into(), &4.into())
    );

    // What is found damaged is repaired from the other copy.
    bed.damage_a_copy(&bytes[300_000..300_200]);
    let failed = bed.run(&["verify", "--all"]);
    assert_eq!(failed.code, Some(5), "{}", failed.err);
    assert!(failed.out.contains("damaged") && failed.out.contains(&ids[0]));
    assert!(!failed.out.contains(&ids[1]), "{}", failed.out);
    bed.until("it is repaired", || {
        bed.run(&["verify", &ids[0]]).code == Some(0)
    });
    let table = bed.run(&["verify", &ids[0]]).ok();
    let good = table.lines().filter(|line| line.ends_with("  ok"));
    assert_eq!(good.count(), 2, "{table}");
}

// If this fails, an operator switches off a node that holds the only copy of something.
pub(crate) fn a_node_is_drained_before_it_is_removed(bed: &mut Bed) {
    for arguments in [&["remove", "node2"][..], &["remove", "node2", "--force"]] {
        let refused = bed.run(arguments).failed(7);
        assert!(refused.contains("drain it first"), "{refused}");
    }
    bed.run(&["drain", "node2", "--no-wait"]).ok();
    let nodes = bed.run(&["nodes"]).ok();
    assert!(nodes.contains("draining"), "{nodes}");
    bed.write("a", &pattern(10, 1));
    for _ in 0..5 {
        bed.upload("a");
    }
    bed.until_listed(5);
    let shards = bed.run(&["shards", "--json"]).json();
    let mut led = shards.iter().filter(|shard| shard["leader"] == "node2");
    assert!(led.all(|shard| shard["contents"] == 0), "{shards:?}");
    let undone = bed.run(&["drain", "node2", "--undo"]).ok();
    assert_eq!(undone, "node2 is not drained\n");

    // What it holds moves to the others.
    for _ in 0..6 {
        bed.upload("a");
    }
    bed.until("node2 is empty", || {
        let said = bed.run(&["drain", "node2", "--no-wait"]).ok();
        said == "node2 is empty\n"
    });
    let drained = bed.run(&["drain", "node2"]).ok();
    assert_eq!(drained, "node2 is empty\n");
    assert_eq!(bed.run(&["remove", "node2"]).ok(), "node2\n");
    let nodes = bed.run(&["nodes"]).ok();
    assert!(!nodes.contains("node2"), "{nodes}");
    for line in bed.until_listed(11) {
        let id = line.split('\t').next().expect("an id comes first");
        bed.run(&["get", id, "-o", "back", "--force"]).ok();
        assert!(bed.read("back") == pattern(10, 1));
    }
}

// If this fails, scripts cannot tell what went wrong.
pub(crate) fn failures_have_their_exit_codes(bed: &mut Bed) {
    bed.write("a", b"x");
    let id = bed.upload("a");
    let unknown = unknown_id(&id);
    for arguments in [
        vec!["get", &unknown],
        vec!["info", &unknown],
        vec!["delete", &unknown],
        vec!["update", &unknown, "a"],
    ] {
        let told = bed.run(&arguments).failed(3);
        assert!(
            told.contains("not_found") && told.contains("request "),
            "{told}"
        );
    }
    bed.run(&["get", "no-id"]).failed(2);
    bed.run(&["upload", "missing"]).failed(9);
    bed.run(&["list", "--collection", "NO"]).failed(2);
    let nobody = bed.run(&["nodes", "--url", "http://127.0.0.1:1"]).failed(4);
    assert!(nobody.contains("hint:"), "{nobody}");
    let no_route = format!("{}/nowhere", bed.url());
    let told = bed.run(&["nodes", "--url", &no_route]).failed(1);
    assert!(told.contains("no_route"), "{told}");
}

/// A command line.
fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

// If this fails, the figures that are published are not those of whole, listed contents.
pub(crate) fn benchmarks_measure_without_errors(bed: &mut Bed) {
    let upload = words("bench upload --count 300 -c 8 --ids-out ids --wait listed --json");
    let report = &bed.run(&upload).json()[0];
    assert_eq!(report["errors"], serde_json::json!({}));
    assert_eq!(
        (&report["operations"], &report["mismatches"]),
        (&300.into(), &0.into())
    );
    let receipts = report["listed"].as_u64().zip(report["pending"].as_u64());
    assert_eq!(
        receipts.map(|(listed, pending)| listed + pending),
        Some(300)
    );
    bed.until("all are listed", || {
        bed.run(&["list", "--filename", "bench"])
            .ok()
            .lines()
            .count()
            == 300
    });
    let get = words("bench get --count 500 --ids ids --json");
    let report = &bed.run(&get).json()[0];
    assert_eq!(
        (&report["operations"], &report["mismatches"]),
        (&500.into(), &0.into())
    );
    assert_eq!(report["errors"], serde_json::json!({}));
    let large = words("bench get --count 20 --contents 4 --size 3MiB --json");
    let report = &bed.run(&large).json()[0];
    assert_eq!(
        (&report["operations"], &report["mismatches"]),
        (&20.into(), &0.into())
    );
    for what in [
        "upload --size 10..3KiB --files-per-request 5",
        "upload --wait committed",
        "update --contents 10",
        "delete --contents 40",
        "metadata --ids ids",
        "list --ids ids --limit 50",
        "mixed --contents 10 --mix get=1,upload=1,update=1,delete=1,metadata=1,list=1",
    ] {
        let line = format!("bench {what} --count 40 --json");
        let report = &bed.run(&words(&line)).json()[0];
        assert_eq!(report["errors"], serde_json::json!({}), "{what}");
        let counts = (&report["operations"], &report["mismatches"]);
        assert_eq!(counts, (&40.into(), &0.into()), "{what}");
    }
    let probed = &bed.run(&["bench", "probe", "--json"]).json()[0];
    assert!(probed["commit"]["listed_ms"]["p50"].as_f64() > Some(0.0));
}

impl crate::bed::Ran {
    /// The id in the first column of the first line.
    #[track_caller]
    fn first_id(self) -> String {
        let out = self.ok();
        out.split('\t').next().expect("an id").to_owned()
    }
}
