//! What pages say, and that they say it safely.

mod list;
mod one;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use super::chart::Range;
use super::content::{Asking, Excerpt, Kind, kind};
use super::contents::Search;
use super::layout::{self, Place, Visitor};
use super::overview::Cluster;
use super::{content, contents, operations, overview, shards, trouble};
use maud::html;
use uuid::Uuid;
use wire::content::{ContentItem, ContentPage, ContentRow, Status};
use wire::membership::{
    Draining, Health, NodeEntry, NodesAnswer, Progress, ReplicaRole, ServiceRole, ShardEntry,
    ShardReplica,
};
use wire::operation::{Operation, OperationKind};
use wire::shard::ShardState;
use wire::stats::{ClusterStats, NodeStats};
use wire::{Checksum, Code, ContentId, Epoch, Lsn, NodeName, ShardNo, Timestamp};

const OWNER: Visitor = Visitor {
    signed_in: false,
    may_write: true,
    everybody_reads: true,
};

const READER: Visitor = Visitor {
    signed_in: false,
    may_write: false,
    everybody_reads: true,
};

fn name(text: &str) -> NodeName {
    text.parse().expect("a name")
}

fn entry(health: Health) -> NodeEntry {
    NodeEntry {
        host: "127.0.0.1".to_owned(),
        port: 8001,
        public_url: "http://127.0.0.1:8001".to_owned(),
        role: ServiceRole::Node,
        health,
        shards: Vec::new(),
        draining: None,
    }
}

fn replica(node: &str, role: ReplicaRole, lag: Option<u64>) -> ShardReplica {
    ShardReplica {
        node: name(node),
        role,
        in_sync: lag == Some(0),
        progress: Progress {
            lag,
            ..Progress::default()
        },
    }
}

fn shard() -> ShardEntry {
    ShardEntry {
        shard: ShardNo(1),
        state: ShardState::Open,
        epoch: Epoch(3),
        leader: Some(name("node1")),
        in_sync: vec![name("node1"), name("node2")],
        eligible: Vec::new(),
        min_in_sync: 2,
        degraded: false,
        waits: false,
        bytes: 4096,
        contents: 7,
        replicas: vec![
            replica("node1", ReplicaRole::Leader, Some(0)),
            replica("node2", ReplicaRole::Follower, Some(0)),
        ],
    }
}

/// Two nodes that are well, and a shard on both.
fn cluster() -> Cluster {
    let stats = NodeStats {
        storage: 1 << 30,
        storagep: 25.0,
        max_storage: 4 << 30,
        cpu: 12.0,
        memory_available: 1,
        memory_total: 2,
        ..NodeStats::default()
    };
    let names = [name("node1"), name("node2")];
    Cluster {
        nodes: NodesAnswer {
            cluster: Uuid::nil(),
            copies: Some(2),
            coordinator: Some(true),
            nodes: names
                .iter()
                .map(|name| (name.clone(), entry(Health::Up)))
                .collect(),
            shards: vec![shard()],
            rebalancing: false,
        },
        stats: ClusterStats {
            nodes: names
                .iter()
                .map(|name| (name.clone(), Some(stats.clone())))
                .collect(),
            total: stats,
            contents_led: 10_000_000,
            shards: Vec::new(),
        },
        catalog_up: true,
        coordinator_up: true,
        copying_held_by: BTreeSet::new(),
        clocks_ahead_s: BTreeMap::new(),
    }
}

fn item(filename: &str) -> ContentItem {
    ContentItem {
        row: ContentRow {
            id: ContentId::mint(ShardNo(1), 1_769_860_800_000, 5),
            filename: filename.to_owned(),
            size: 2048,
            content_type: "text/plain".to_owned(),
            checksum: Checksum([7; 32]),
            version: 2,
            collection: None,
            attributes: None,
            created_date: Timestamp(0),
            updated_date: Timestamp(1_769_860_800_000),
        },
        status: Status::Ok,
        uri: "http://n:1".to_owned(),
        url: "http://n:1/retrieve/x".to_owned(),
        uris: vec!["http://n:1".to_owned()],
    }
}

fn down(cluster: &mut Cluster, node: &str) {
    cluster.nodes.nodes.insert(name(node), entry(Health::Down));
    cluster.stats.nodes.insert(name(node), None);
}

// If this fails, a file's name runs as a script in the browser of whoever lists it.
#[test]
fn what_users_wrote_is_never_markup() {
    const HOSTILE: &str = "<script>alert(1)</script>\"' onerror=x";
    let hostile = item(HOSTILE);
    let page = ContentPage {
        items: vec![hostile.clone()],
        next: Some(HOSTILE.to_owned()),
    };
    let search = Search {
        prefix: HOSTILE.to_owned(),
        sort: HOSTILE.to_owned(),
        later: true,
    };
    let excerpt = Excerpt {
        text: HOSTILE.to_owned(),
        whole: false,
    };
    let nodes = cluster().nodes;
    let pages = [
        contents::contents(&page, &search, OWNER),
        content::content(&hostile, &nodes, Some(&excerpt), OWNER),
        content::delete(&hostile, Asking::First),
        content::deleted(HOSTILE),
        trouble::trouble(Code::NotFound, HOSTILE, HOSTILE),
        super::forms::sign_in(HOSTILE, true),
    ];
    for page in pages {
        let text = layout::page(OWNER, Place::Aside, HOSTILE, &page).into_string();
        assert!(!text.contains("<script>alert"), "{text}");
        assert!(!text.contains("\"' onerror"), "{text}");
    }
}

// If this fails, the content security policy breaks the page that it protects.
#[test]
fn no_page_has_a_style_or_a_script_of_its_own() {
    let cluster = cluster();
    let main = html! {
        (overview::overview(&cluster, &html! {}, Range::Day))
        (overview::node_page(&cluster, &name("node1"), &html! {}, Range::Day).expect("it is there"))
        (shards::shards(&cluster.nodes))
        (content::content(&item("a"), &cluster.nodes, None, OWNER))
    };
    let text = layout::page(OWNER, Place::Overview, "x", &main).into_string();
    assert!(
        !text.contains(" style=") && !text.contains(" onclick="),
        "{text}"
    );
    assert_eq!(
        text.matches("<script").count(),
        text.matches("<script defer src=").count()
    );
    assert!(!text.contains("http://fonts") && !text.contains("//cdn"));
}

// If this fails, a dead node vanishes from the first page, or looks alive.
#[test]
fn a_dead_node_is_seen() {
    let mut cluster = cluster();
    let parts = |cluster: &Cluster| BTreeMap::from_iter(overview::fragments(cluster));
    let alive = parts(&cluster);
    assert!(alive["node-node2"].contains(">up<"), "{alive:?}");
    assert!(alive["figures"].contains("10\u{202f}000\u{202f}000"));
    down(&mut cluster, "node2");
    let dead = parts(&cluster);
    assert!(dead["node-node2"].contains(">down<") && dead["node-node2"].contains("node down"));
    assert_eq!(alive["node-node1"], dead["node-node1"]);
    let nodes = shards::table(&cluster.nodes).into_string();
    assert!(nodes.contains("does not answer"), "{nodes}");
}

// If this fails, a node that is being emptied looks like one that is well, or one that died meanwhile like one
// that lives.
#[test]
fn a_draining_node_is_seen() {
    let mut cluster = cluster();
    let class = |cluster: &Cluster| {
        let first = overview::nodes(cluster).into_string();
        let (before, _) = first.split_once(" id=\"node-node2\"").expect("its card");
        let tag = before.rsplit_once('<').expect("a tag");
        tag.1.to_owned()
    };
    let drains = |cluster: &mut Cluster| {
        let entry = cluster.nodes.nodes.get_mut(&name("node2"));
        entry.expect("it is there").draining = Some(Draining {
            replicas_left: 1,
            bytes_left: 1,
        });
    };
    assert_eq!(class(&cluster), "article class=\"node\"");
    drains(&mut cluster);
    assert_eq!(class(&cluster), "article class=\"node draining\"");
    down(&mut cluster, "node2");
    drains(&mut cluster);
    assert_eq!(class(&cluster), "article class=\"node down\"");
}

// If this fails, nobody finds a node's charts, or finds them where no node is.
#[test]
fn every_node_has_its_page() {
    let mut cluster = cluster();
    let dist = NodeEntry {
        role: ServiceRole::Distributor,
        ..entry(Health::Up)
    };
    cluster.nodes.nodes.insert(name("dist"), dist);
    down(&mut cluster, "node2");
    let first = overview::nodes(&cluster).into_string();
    let page = |node: &str| {
        let charts = html! { "all its charts" };
        let page = overview::node_page(&cluster, &name(node), &charts, Range::Day)?;
        Some(page.into_string())
    };
    for node in ["node1", "node2"] {
        let link = format!("<a href=\"/console/nodes/{node}\">{node}</a>");
        assert!(first.contains(&link), "{first}");
        let page = page(node).expect("there is one");
        assert!(page.contains(&format!("<h1>{node}</h1>")), "{page}");
        assert_eq!(page.matches("<article").count(), 1);
        assert!(page.contains("all its charts"), "{page}");
    }
    assert!(page("node2").is_some_and(|page| page.contains(">down<")));
    assert_eq!((page("node3"), page("dist")), (None, None));
}

// If this fails, a mirror that is far behind looks like one in sync.
#[test]
fn lag_is_told_in_words() {
    let told = |lag, in_sync| {
        let replica = ShardReplica {
            in_sync,
            ..replica("node2", ReplicaRole::Follower, lag)
        };
        shards::copy(&replica, false).into_string()
    };
    assert!(told(Some(0), true).contains(">in sync<"));
    assert!(told(Some(3), true).contains("in sync, 3 to go"));
    assert!(told(Some(1), false).contains("1 record behind"));
    assert!(told(None, false).contains("not in sync"));
}

// If this fails, who may only read is offered what he is then refused.
#[test]
fn who_may_only_read_is_offered_no_change() {
    let nodes = cluster().nodes;
    let page = |visitor| {
        let main = content::content(&item("a"), &nodes, None, visitor);
        layout::page(visitor, Place::Contents, "x", &main).into_string()
    };
    let (owner, reader) = (page(OWNER), page(READER));
    for word in ["Delete", "Replace", "/console/upload"] {
        assert!(owner.contains(word) && !reader.contains(word), "{word}");
    }
    assert!(reader.contains("Sign in") && !owner.contains("Sign in"));
}

// If this fails, an empty page leaves its reader alone.
#[test]
fn emptiness_says_what_to_do() {
    let none = ContentPage {
        items: Vec::new(),
        next: None,
    };
    let list = |prefix: &str, visitor| {
        let search = Search {
            prefix: prefix.to_owned(),
            ..Search::default()
        };
        contents::contents(&none, &search, visitor).into_string()
    };
    assert!(list("", OWNER).contains("Upload the first files"));
    assert!(!list("", READER).contains("Upload the first files"));
    assert!(list("x", OWNER).contains("No name begins with “x”"));
    assert!(
        operations::operations(&[])
            .into_string()
            .contains("Nothing has happened")
    );
}

// If this fails, a search is offered an order that reads the whole catalog.
#[test]
fn a_search_is_ordered_by_name() {
    let list = |prefix: &str| {
        let search = Search {
            prefix: prefix.to_owned(),
            sort: "name".to_owned(),
            later: false,
        };
        let page = ContentPage {
            items: vec![item("été & co")],
            next: Some("id/été".to_owned()),
        };
        contents::contents(&page, &search, OWNER).into_string()
    };
    assert!(list("").contains("Newest first") && !list("x").contains("Newest first"));
    assert!(
        list("x").contains("&amp;name=x&amp;after=id%2F%C3%A9t%C3%A9"),
        "{}",
        list("x")
    );
}

// If this fails, a picture is offered as text, or a script of a stranger is drawn.
#[test]
fn previews_follow_the_type() {
    assert_eq!(kind("image/png"), Kind::Image);
    assert_eq!(kind("IMAGE/JPEG; q=1"), Kind::Image);
    assert_eq!(kind("image/tiff"), Kind::Other);
    assert_eq!(kind("text/html"), Kind::Text);
    assert_eq!(kind("application/json"), Kind::Text);
    assert_eq!(
        (kind("audio/ogg"), kind("video/mp4")),
        (Kind::Audio, Kind::Video)
    );
    assert_eq!(
        (kind("application/pdf"), kind("")),
        (Kind::Other, Kind::Other)
    );
}

// If this fails, the log links to what is gone, or leaves out who leads.
#[test]
fn every_operation_has_its_row() {
    let operation = |kind, id| Operation {
        shard: ShardNo(4),
        lsn: Lsn(9),
        epoch: Epoch(2),
        operation: kind,
        id,
        version: id.map(|_| 1),
        size: id.map(|_| 1024),
        hash: None,
        time: Timestamp(1_769_860_800_000),
    };
    let row = |kind, id| operations::operation(&operation(kind, id)).into_string();
    let id = Some(item("a").row.id);
    assert!(row(OperationKind::Upload, id).contains("href=\"/console/contents/"));
    assert!(!row(OperationKind::Delete, id).contains("href"));
    assert!(row(OperationKind::Epoch, None).contains("epoch 2"));
    assert!(row(OperationKind::Update, id).contains("data-record=\"4-9\""));
}
