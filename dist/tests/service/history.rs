//! Statistics over time: kept on both databases, thinned, and answered over HTTP.

use crate::support::chaos_proxy::ChaosProxy;
use crate::support::fake_node::FakeNode;
use crate::support::{Fresh, SESSION, Service, config};
use dist::catalog::{Catalog, HistoryQuery, LEVELS, Sample};
use pgtest::Postgres;
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::history::{HistoryPoint, Measures};
use wire::{NodeName, Timestamp};

crate::on_both_databases!(
    samples_become_averages,
    old_steps_are_forgotten,
    a_catalog_that_is_closed_refuses_at_once,
);

const HOUR_S: u64 = 3600;
const DAY_S: u64 = 24 * HOUR_S;

/// A multiple of every step.
const THEN_S: u64 = 1_769_860_800;

fn node() -> NodeName {
    "node1".parse().expect("a name")
}

fn sample(at_s: u64, cpu: f64) -> Sample {
    let measures = Measures {
        nodes: 1.0,
        cpu,
        storage: 1e15,
        ..Measures::default()
    };
    let cluster = Measures {
        cpu: cpu + 1.0,
        ..measures
    };
    Sample {
        at_s,
        nodes: vec![(node(), measures)],
        cluster,
    }
}

async fn read(
    catalog: &Arc<dyn Catalog>,
    of: Option<NodeName>,
    (from_s, to_s): (u64, u64),
    (stored_s, step_s): (u64, u64),
) -> Vec<HistoryPoint> {
    let query = HistoryQuery {
        node: of,
        from_s,
        to_s,
        step_s,
        stored_s,
    };
    catalog.history(&query).await.expect("an answer")
}

/// When each point was, its samples and its load.
fn brief(points: &[HistoryPoint]) -> Vec<(u64, u64, f64)> {
    let each = points.iter();
    each.map(|point| {
        (
            point.at.0 / 1000 - THEN_S,
            point.samples,
            point.measures.cpu,
        )
    })
    .collect()
}

// If this fails, a chart of a day shows other load than there was.
async fn samples_become_averages(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    for (seconds, cpu) in [(2, 10.0), (7, 20.0), (62, 60.0), (63, 80.0)] {
        let sample = sample(THEN_S + seconds, cpu);
        catalog.record(&sample).await.expect("recorded");
    }
    let all = (THEN_S, THEN_S + HOUR_S);
    let of = |levels| read(&catalog, Some(node()), all, levels);
    let each = of((5, 5)).await;
    assert_eq!(brief(&each), [(0, 1, 10.0), (5, 1, 20.0), (60, 2, 70.0)]);
    assert_eq!(each[0].measures.storage, 1e15);
    let minutes = [(0, 2, 15.0), (60, 2, 70.0)];
    assert_eq!(brief(&of((60, 60)).await), minutes);
    assert_eq!(brief(&of((5, 60)).await), minutes);
    assert_eq!(brief(&of((600, 600)).await), [(0, 4, 42.5)]);
    let cluster = read(&catalog, None, all, (600, 600)).await;
    assert_eq!(brief(&cluster), [(0, 4, 43.5)]);
    let part = read(&catalog, None, (THEN_S + 5, THEN_S + 60), (5, 5)).await;
    assert_eq!(brief(&part), [(5, 1, 21.0)]);
}

// If this fails, the history grows until the disk is full, or yesterday is lost.
async fn old_steps_are_forgotten(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    let recorded = sample(THEN_S, 10.0);
    catalog.record(&recorded).await.expect("recorded");
    let left = async || {
        let mut left = Vec::new();
        for level in LEVELS {
            let step = (level.step_s, level.step_s);
            let points = read(&catalog, None, (THEN_S, THEN_S + 1), step).await;
            left.push(points.len());
        }
        left
    };
    let steps = [
        (HOUR_S - 1, [1, 1, 1]),
        (HOUR_S + 1, [0, 1, 1]),
        (DAY_S + 1, [0, 0, 1]),
        (7 * DAY_S + 1, [0, 0, 0]),
    ];
    for (later_s, expected) in steps {
        catalog.forget(THEN_S + later_s).await.expect("forgotten");
        assert_eq!(left().await, expected, "{later_s} s later");
    }
}

/// Lets nodes speak until the cluster's history has so many points, and gives them back.
async fn points(dist: &Service, nodes: &[&FakeNode], least: usize) -> Vec<Value> {
    let mut found = Vec::new();
    dist.until(async || {
        for node in nodes {
            node.beat(dist).await;
        }
        let answer = dist.json("/stats/history?step=5").await;
        let points = answer["points"].as_array().expect("points").clone();
        found = points
            .into_iter()
            .filter(|point| point["nodes"] == 1.0)
            .collect();
        found.len() >= least
    })
    .await;
    found
}

// If this fails, charts are empty, or have a hole where somebody looks for the reason of an outage: each
// part says how. All at the same time: each waits for several steps of five seconds.
#[tokio::test]
async fn the_history_is_written_whatever_happens() {
    tokio::join!(
        the_history_is_answered_over_http(),
        samples_wait_for_a_database_that_is_away(),
        the_next_controller_goes_on(),
        what_nobody_wrote_is_written_by_the_next_controller(),
    );
}

// If this fails, there is nothing to draw a chart from, or a question for too much is answered.
async fn the_history_is_answered_over_http() {
    let fresh = Fresh::sqlite();
    let dist = Service::start(fresh.config()).await;
    let mut node = FakeNode::start("node1").await;
    node.join(&dist).await;
    let found = points(&dist, &[&node], 1).await;
    assert_eq!(found[0]["max_storage"], f64::from(1 << 30));
    assert_eq!(found[0]["upload_ms"], Value::Null);
    let of_node = dist.json("/stats/history?node=node1&step=600").await;
    assert_eq!(
        (&of_node["node"], &of_node["step_s"]),
        (&"node1".into(), &600.into())
    );
    assert_eq!(of_node["points"].as_array().map(Vec::len), Some(1));
    let nobody = dist.json("/stats/history?node=node9").await;
    assert_eq!(nobody["points"], serde_json::json!([]));
    for refused in [
        "step=1",
        "step=0",
        "from=x",
        "node=a/b",
        "from=2030-01-01T00:00:00Z",
    ] {
        let (status, body) = dist.ask("GET", &format!("/stats/history?{refused}")).await;
        assert_eq!(
            (status, &body["code"]),
            (400, &"malformed_request".into()),
            "{refused}"
        );
    }
    dist.stop().await;
}

// If this fails, a database that is away keeps the recorder, and with it the controller, waiting.
async fn a_catalog_that_is_closed_refuses_at_once(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    catalog.close().await;
    let query = HistoryQuery {
        node: None,
        from_s: 0,
        to_s: 1,
        step_s: 5,
        stored_s: 5,
    };
    let asked = tokio::time::timeout(Duration::from_secs(5), catalog.history(&query)).await;
    assert!(asked.expect("in time").is_err());
}

// If this fails, charts have a hole where somebody looks for the reason of an outage.
async fn samples_wait_for_a_database_that_is_away() {
    let fresh = Fresh::postgres();
    let mut proxy = ChaosProxy::before(Postgres::shared().port()).await;
    let dist = Service::start(config(&proxy.through(&fresh.url))).await;
    let mut node = FakeNode::start("node1").await;
    node.join(&dist).await;
    let before = points(&dist, &[&node], 1).await.len();
    proxy.cut().await;
    let cut = Instant::now();
    dist.until(async || {
        let beaten = Instant::now();
        node.beat(&dist).await;
        let status = dist.ask("GET", "/store").await.0;
        // Where this test was held up itself, the node may have been silent for too long.
        assert!(status == 200 || beaten.elapsed() > SESSION / 2, "{status}");
        status == 200 && cut.elapsed() > Duration::from_secs(11)
    })
    .await;
    proxy.restore().await;
    let restored = Instant::now();
    dist.until(async || dist.ask("GET", "/health/ready").await.0 == 200)
        .await;
    points(&dist, &[&node], before + 2).await;
    // Sooner than new samples could have made as many.
    assert!(
        restored.elapsed() < Duration::from_secs(9),
        "{:?}",
        restored.elapsed()
    );
    dist.stop().await;
}

// If this fails, charts end with the first controller that dies.
async fn the_next_controller_goes_on() {
    let fresh = Fresh::postgres();
    let first = Service::start(fresh.config()).await;
    let second = dist::Config {
        name: "dist2".parse().expect("a name"),
        ..fresh.config()
    };
    let second = Service::start(second).await;
    let mut node = FakeNode::start("node1").await;
    node.join(&first).await;
    node.join(&second).await;
    let before = points(&second, &[&node], 1).await.len();
    first.stop().await;
    let after = points(&second, &[&node], before + 2).await;
    let at: Vec<&str> = after
        .iter()
        .filter_map(|point| point["at"].as_str())
        .collect();
    assert!(at.is_sorted_by(|a, b| a < b), "{at:?}");
    second.stop().await;
}

// If this fails, charts have a hole just when a controller is lost and somebody looks for the reason.
async fn what_nobody_wrote_is_written_by_the_next_controller() {
    let fresh = Fresh::postgres();
    let mut proxy = ChaosProxy::before(Postgres::shared().port()).await;
    // Longer than three steps: nobody is in office for as long.
    let session = Duration::from_secs(16);
    let patient = |url: &str, name: &str| dist::Config {
        name: name.parse().expect("a name"),
        session,
        ..config(url)
    };
    let first = Service::start(patient(&proxy.through(&fresh.url), "dist")).await;
    let second = Service::start(patient(&fresh.url, "dist2")).await;
    let mut node = FakeNode::start("node1").await;
    node.obey(&first).await;
    node.obey(&second).await;
    let before = points(&second, &[&node], 1).await.len();
    proxy.cut().await;
    let cut = Instant::now();
    second
        .until(async || {
            node.beat(&second).await;
            cut.elapsed() > session
        })
        .await;
    let after = points(&second, &[&node], before + 3).await;
    let at_ms = after.iter().map(|point| {
        let at: Timestamp = serde_json::from_value(point["at"].clone()).expect("a time");
        at.0
    });
    let at_ms: Vec<u64> = at_ms.collect();
    let longest = at_ms.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(longest <= Some(10_000), "{at_ms:?}");
    assert!(after.iter().all(|point| point["samples"] == 1), "{after:?}");
    second.stop().await;
    proxy.restore().await;
    first.stop().await;
}
