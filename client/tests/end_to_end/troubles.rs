//! What a user does while something fails.

use client::api::{Client, Endpoint, Options, Prefix};
use pgtest::Postgres;
use wire::ContentId;

use crate::bed::{Bed, pattern};

fn client_of(bed: &Bed) -> Client {
    let endpoint: Endpoint = bed.url().parse().expect("a base URL");
    Client::new(Options::new(endpoint)).expect("a client")
}

/// The base URI of the node that has a content.
fn node_of(bed: &Bed, id: &str) -> String {
    let item = &bed.run(&["info", id, "--json"]).json()[0];
    item["uri"].as_str().expect("text").to_owned()
}

// If this fails, Ctrl-C in a long download loses all that had come.
pub(crate) fn an_interrupted_get_is_resumed(bed: &mut Bed) {
    let bytes = pattern(100_000_000, 7);
    bed.write("big", &bytes);
    let id = bed.upload("big");
    std::fs::remove_file(bed.files().join("big")).expect("removes");
    let hash = blake3::hash(&bytes).to_hex();
    let part = bed.files().join(format!("{id}.{}.part", &hash[..16]));
    let length = || std::fs::metadata(&part).map_or(0, |part| part.len());
    let mut child = bed.command(&["get", &id]).spawn().expect("starts");
    bed.until("the part grows", || length() > 1_000_000);
    child.kill().expect("kills");
    child.wait().expect("ends");
    let kept = length();
    assert!(
        kept > 1_000_000 && kept < 100_000_000,
        "killed in the middle, at {kept}"
    );
    assert_eq!(
        bed.names(),
        [part.file_name().expect("a name").to_string_lossy()]
    );

    let line = &bed.run(&["get", &id, "--json"]).json()[0];
    assert_eq!(line["resumed_at"], kept);
    assert!(bed.read("big") == bytes);
    assert_eq!(bed.names(), ["big"], "the part took the file's name");
}

// If this fails, one node that is down stops uploads, or its contents are lost with it.
pub(crate) fn a_node_that_stops_is_gone_around(bed: &mut Bed) {
    bed.write("a", b"before");
    let id = bed.upload("a");
    let place = bed.place_of(&node_of(bed, &id));
    bed.stop_node(place);
    for i in 0..12 {
        let name = format!("during-{i}");
        bed.write(&name, name.as_bytes());
        let id = bed.upload(&name);
        assert_eq!(bed.run(&["get", &id, "-o", "-"]).ok(), name);
    }
    bed.until("the node shows as down", || {
        bed.run(&["nodes"])
            .ok()
            .lines()
            .any(|line| line.contains(" down "))
    });
    bed.start_node(place);
    assert_eq!(bed.run(&["get", &id, "-o", "-"]).ok(), "before");
    bed.until_listed(13);
}

// If this fails, a node's restart breaks the downloads that it was giving.
pub(crate) fn a_download_outlives_its_node_s_restart(bed: &mut Bed) {
    let bytes = pattern(60_000_000, 8);
    bed.write("big", &bytes);
    let id = bed.upload("big");
    let place = bed.place_of(&node_of(bed, &id));
    let client = client_of(bed);
    let id: ContentId = id.parse().expect("an id");
    let item = bed.wait_for(client.info(id, None)).expect("there");
    let mut reading = client.read(item, Prefix::default());
    let mut all = bed
        .wait_for(reading.next())
        .expect("reads")
        .expect("bytes")
        .to_vec();
    bed.stop_node(place);
    bed.start_node(place);
    while let Some(piece) = bed.wait_for(reading.next()).expect("goes on") {
        all.extend_from_slice(&piece);
    }
    assert!(all == bytes);
}

// If this fails, a node's restart breaks the uploads that it was taking, or stores them twice.
pub(crate) fn an_upload_outlives_its_node_s_restart(bed: &mut Bed) {
    let bytes = pattern(150_000_000, 9);
    bed.write("big", &bytes);
    let child = bed.command(&["upload", "big"]).spawn().expect("starts");
    let mut place = None;
    bed.until("a node takes the bytes", || {
        place = (0..3).find(|&place| bed.stored_bytes(place) > 40_000_000);
        place.is_some()
    });
    let place = place.expect("one was found");
    bed.stop_node(place);
    bed.start_node(place);
    let ended = child.wait_with_output().expect("ends");
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(0), "{told}");
    let lines = bed.until_listed(1);
    let id = lines[0].split('\t').next().expect("an id");
    assert!(
        ended.stdout.starts_with(id.as_bytes()),
        "what was printed is what is listed"
    );
    assert!(bed.run(&["get", id, "-o", "-"]).bytes == bytes);
}

// If this fails, stopping the cluster loses what was acknowledged.
pub(crate) fn a_restarted_cluster_has_everything(bed: &mut Bed) {
    let mut kept = Vec::new();
    for i in 0..9 {
        let name = format!("file-{i}");
        bed.write(&name, &pattern(i * 200_000, i as u64));
        kept.push((bed.upload(&name), i));
    }
    let (updated, _) = &kept[3];
    let (deleted, _) = kept[4].clone();
    bed.write("new", b"new");
    bed.run(&["update", updated, "new"]).ok();
    bed.run(&["delete", &deleted]).ok();
    bed.stop();
    bed.start_again();
    for (id, i) in &kept {
        match i {
            3 => assert_eq!(bed.run(&["get", id, "-o", "-"]).ok(), "new"),
            4 => assert!(
                bed.run(&["get", id, "-o", "-"])
                    .failed(3)
                    .contains("deleted")
            ),
            _ => assert!(bed.run(&["get", id, "-o", "-"]).bytes == pattern(i * 200_000, *i as u64)),
        }
    }
    bed.until_listed(8);
}

pub(crate) fn uploads_and_reads_go_on_without_the_catalog() {
    let mut postgres = Postgres::start().unwrap_or_else(|error| panic!("{error}"));
    let bed = Bed::on(&postgres);
    bed.write("a", b"before");
    let before = bed.upload("a");
    postgres.stop_server();
    // The first one may find out that the catalog is away.
    bed.write("b", b"during");
    bed.until("receipts say that it is pending", || {
        bed.run(&["upload", "b", "--json"]).json()[0]["status"] == "PENDING"
    });
    let during = bed.upload("b");
    for (id, bytes) in [(&before, "before"), (&during, "during")] {
        assert_eq!(bed.run(&["get", id, "-o", "-"]).ok(), bytes);
    }
    assert_eq!(bed.run(&["delete", &before]).ok(), format!("{before}\n"));
    postgres
        .start_server()
        .unwrap_or_else(|error| panic!("{error}"));
    bed.until(
        "what was uploaded is listed, what was deleted is not",
        || {
            let ran = bed.run(&["list"]);
            ran.code == Some(0) && ran.out.contains(&during) && !ran.out.contains(&before)
        },
    );
}
