//! The distributor is killed in the middle of listing, again and again.

use crate::program::{dist, serve};
use crate::support::fake_node::FakeNode;
use crate::support::{Fresh, Service, ask, at, free_port, row, upserts};
use rand::Rng;
use std::process::Child;
use std::time::Duration;
use wire::Position;

crate::on_both_databases!(what_is_listed_survives_kills);

const KILLS: usize = 6;

/// Rows of one part.
const ROWS: u64 = 20;

fn position(part: u64) -> Position {
    if part == 0 {
        Position::default()
    } else {
        at(1, part * ROWS)
    }
}

/// A distributor that was killed; it must not be killed again when the test fails.
struct Doomed(Option<Child>);

impl Doomed {
    fn kill(&mut self) {
        if let Some(mut child) = self.0.take() {
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
        }
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Lists as a node does, from where the catalog says that it is, until nobody answers. Gives back
/// how many parts were acknowledged.
async fn list_until_it_dies(client: &Service, shard: u16) -> u64 {
    let mut acknowledged = 0;
    let Some(mut part) = listed(client, shard).await else {
        return acknowledged;
    };
    loop {
        acknowledged = acknowledged.max(part);
        let rows = (part * ROWS..(part + 1) * ROWS).map(|number| row(shard, number));
        let step = upserts(shard, position(part), position(part + 1), rows);
        let batch = serde_json::json!({"node": "node1", "parts": [step]});
        let Ok(response) = client.post("/content").json(&batch).send().await else {
            return acknowledged;
        };
        let Ok(answer) = response.json::<serde_json::Value>().await else {
            return acknowledged;
        };
        assert_eq!(answer["parts"][0]["applied"], true, "{answer}");
        part += 1;
    }
}

/// How many parts the catalog holds of a shard.
async fn listed(client: &Service, shard: u16) -> Option<u64> {
    let batch = serde_json::json!({"node": "node1", "parts": [ask(shard)]});
    let response = client.post("/content").json(&batch).send().await.ok()?;
    let answer: serde_json::Value = response.json().await.ok()?;
    answer["parts"][0]["listed"]["lsn"]
        .as_u64()
        .map(|lsn| lsn / ROWS)
}

// If this fails, a distributor that is killed loses what it has told nodes is listed, or counts
// some of it twice.
async fn what_is_listed_survives_kills(fresh: Fresh) {
    let port = free_port();
    let client = Service::at(&format!("http://127.0.0.1:{port}"));
    let node = FakeNode::start("node1").await;
    let mut acknowledged = [0; 3];
    for _ in 0..KILLS {
        let mut command = dist();
        command
            .env("DATABASE_URL", &fresh.url)
            .env("PORT", port.to_string());
        let mut doomed = Doomed(Some(serve(&mut command)));
        node.beat(&client).await;
        let delay = Duration::from_millis(rand::rng().random_range(20..300));
        let (one, two, three, ()) = tokio::join!(
            list_until_it_dies(&client, 1),
            list_until_it_dies(&client, 2),
            list_until_it_dies(&client, 3),
            async {
                tokio::time::sleep(delay).await;
                doomed.kill();
            }
        );
        for (before, now) in acknowledged.iter_mut().zip([one, two, three]) {
            assert!(
                now >= *before || now == 0,
                "{now} of {before} acknowledged parts are left"
            );
            *before = now.max(*before);
        }
    }
    let catalog = fresh.open().await.catalog;
    for (totals, acknowledged) in catalog
        .totals()
        .await
        .expect("totals")
        .iter()
        .zip(acknowledged)
    {
        let parts = totals.listed.lsn.0 / ROWS;
        assert!(
            parts >= acknowledged,
            "{totals:?}: {acknowledged} parts were acknowledged"
        );
        let rows = (0..parts * ROWS).map(|number| row(totals.shard.0, number));
        assert_eq!(totals.contents, parts * ROWS, "{totals:?}");
        assert_eq!(
            totals.bytes,
            rows.map(|row| row.size).sum::<u64>(),
            "{totals:?}"
        );
    }
}
