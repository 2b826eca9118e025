//! What distributors tell each other through the catalog: whom they heard, and what operators ordered.

use crate::support::Fresh;
use dist::catalog::{Board, Order, Sighting};
use std::time::Duration;
use uuid::Uuid;
use wire::NodeName;
use wire::membership::{Heartbeat, ServiceRole};

crate::on_both_databases!(distributors_share_what_they_hear, orders_are_on_the_board,);

/// What a node says that was heard of so long ago.
fn sighting(name: &str, age_ms: u64, internal_url: &str) -> Sighting {
    Sighting {
        name: name.parse().expect("a name"),
        role: ServiceRole::Node,
        internal_url: internal_url.to_owned(),
        public_url: "http://n:2".to_owned(),
        incarnation: Uuid::from_u128(7),
        heartbeat: Some(said()),
        age: Duration::from_millis(age_ms),
    }
}

fn said() -> Heartbeat {
    Heartbeat {
        cluster: None,
        incarnation: Uuid::from_u128(7),
        offer: Uuid::from_u128(8),
        internal_url: "http://n:1".to_owned(),
        public_url: "http://n:2".to_owned(),
        replicas: Vec::new(),
        map_version: u64::MAX,
        parting: false,
        linked: None,
    }
}

// If this fails, a distributor places uploads by what it alone has heard.
async fn distributors_share_what_they_hear(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    let board = catalog
        .exchange(&[sighting("node1", 0, "http://n:1")])
        .await
        .expect("a board");
    assert_eq!(
        (board.cluster, board.sightings.len()),
        (None, 0),
        "no cluster, no board"
    );
    catalog
        .identify(Uuid::from_u128(1))
        .await
        .expect("an identity");
    let heard = [
        sighting("node1", 500, "http://n:1"),
        sighting("node2", 90_000, "http://n:1"),
    ];
    let board = catalog.exchange(&heard).await.expect("a board");
    assert_eq!(board.cluster, Some(Uuid::from_u128(1)));
    assert_eq!(board.sightings.len(), 2);
    let node1 = &board.sightings[0];
    assert_eq!(
        (node1.heartbeat.as_ref(), node1.role),
        (Some(&said()), ServiceRole::Node)
    );
    assert!(
        (400..10_000).contains(&node1.age.as_millis()),
        "{:?}",
        node1.age
    );
    assert!((89_000..100_000).contains(&board.sightings[1].age.as_millis()));

    // Older than what is known: another distributor heard it later.
    let late = [sighting("node1", 60_000, "http://old:1")];
    let board = catalog.exchange(&late).await.expect("a board");
    assert_eq!(board.sightings[0].internal_url, "http://n:1");
    let moved = [sighting("node1", 0, "http://new:1")];
    let board = catalog.exchange(&moved).await.expect("a board");
    assert_eq!(board.sightings[0].internal_url, "http://new:1");
}

// If this fails, what an operator decided is forgotten, or a node that was removed comes back by
// itself.
async fn orders_are_on_the_board(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    catalog
        .identify(Uuid::from_u128(1))
        .await
        .expect("an identity");
    let moved = [sighting("node1", 0, "http://new:1")];
    let heard = [moved[0].clone(), sighting("node2", 500, "http://n:1")];
    catalog.exchange(&heard).await.expect("a board");
    let name = |text: &str| text.parse::<NodeName>().expect("a name");
    let (node1, node2) = (name("node1"), name("node2"));
    for order in [Order::Drain(&node1), Order::Drain(&node1)] {
        catalog.order(order).await.expect("is written");
    }
    catalog
        .order(Order::Drain(&node2))
        .await
        .expect("is written");
    catalog
        .order(Order::Undrain(&node2))
        .await
        .expect("is written");
    let board = catalog.exchange(&[]).await.expect("a board");
    assert_eq!(board.draining, [node1.clone()].into());
    assert!(board.removed.is_empty() && !board.rebalancing);
    for (order, expected) in [
        (Order::Rebalance, true),
        (Order::Rebalance, true),
        (Order::Settle, false),
        (Order::Settle, false),
    ] {
        catalog.order(order).await.expect("is written");
        let board = catalog.exchange(&[]).await.expect("a board");
        assert_eq!(board.rebalancing, expected, "{order:?}");
    }

    // A removed process does not come back, another one does.
    catalog
        .order(Order::Remove(&node1))
        .await
        .expect("is written");
    let board = catalog.exchange(&moved).await.expect("a board");
    let names = |board: &Board| {
        let names = board.sightings.iter().map(|each| each.name.to_string());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&board), ["node2"]);
    assert!(board.draining.is_empty(), "it is forgotten whole");
    assert_eq!(board.removed, [(node1.clone(), Uuid::from_u128(7))].into());
    let mut anew = sighting("node1", 0, "http://new:1");
    anew.incarnation = Uuid::from_u128(8);
    let board = catalog.exchange(&[anew]).await.expect("a board");
    assert_eq!(names(&board), ["node1", "node2"]);
    catalog
        .order(Order::Remove(&node1))
        .await
        .expect("is written");
    let board = catalog.exchange(&[]).await.expect("a board");
    assert_eq!(board.removed, [(node1, Uuid::from_u128(8))].into());
}
