//! Every service is restarted in turn, under load, one process at a time: what its users notice.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::time::{Instant, sleep};

use super::{Bench, Figure, failed, spread};
use crate::fleet::{Fleet, Plan};
use crate::load::plain::Plain;
use crate::load::tally::Tally;
use crate::load::{Load, library};
use crate::torture::copies;

const NODES: u16 = 3;

/// Users of the client library.
const USERS: u64 = 6;

/// Users of a plain HTTP client.
const PLAIN_USERS: u64 = 3;

/// Undisturbed load between two restarts.
const QUIET: Duration = Duration::from_millis(500);

/// Restarts each service so often, in a cluster with this session in seconds; with a database that
/// can be shared, there are two distributors.
///
/// # Errors
/// When a service does not start, or its copies do not come in sync.
pub async fn run(bench: &Bench, rounds: u32, session: f64) -> anyhow::Result<Vec<Figure>> {
    let plan = Plan {
        folder: bench.folder.clone(),
        nodes: NODES,
        database_url: bench.database_url.clone(),
        session: Some(Duration::from_secs_f64(session)),
        more_distributors: u16::from(bench.database_url.is_some()),
        ..Plan::default()
    };
    let mut fleet = Fleet::start(&bench.binaries, &plan).await?;
    copies::sets_complete(&fleet)
        .await
        .map_err(|why| anyhow!(why))?;
    let (by_library, by_plain) = (Arc::<Tally>::default(), Arc::<Tally>::default());
    let mut load = Load::default();
    for seed in 0..USERS {
        let (client, tally) = (
            library::client(&fleet.distributor_urls())?,
            Arc::clone(&by_library),
        );
        load.add(|go_on| library::everything(client, seed, tally, go_on));
    }
    let mut restarts = Vec::new();
    let size = fleet.size();
    for place in (0..rounds).flat_map(|_| 0..size) {
        let is_node = fleet.node_places().contains(&place);
        let plain = match is_node || plan.more_distributors > 0 {
            true => plain_users(&fleet, &by_plain)?,
            // Whoever knows one distributor cannot reach it while it restarts.
            false => Load::default(),
        };
        sleep(QUIET).await;
        let begun = Instant::now();
        fleet.stop_one(place).await?;
        fleet.spawn(place)?;
        fleet.together().await?;
        copies::sets_complete(&fleet)
            .await
            .map_err(|why| anyhow!(why))?;
        restarts.push(begun.elapsed().as_secs_f64() * 1e3);
        sleep(QUIET).await;
        plain.end().await?;
    }
    load.end().await?;
    fleet.stop().await?;
    Ok(figures(restarts, &by_library, &by_plain))
}

fn plain_users(fleet: &Fleet, tally: &Arc<Tally>) -> anyhow::Result<Load> {
    let mut load = Load::default();
    for seed in 0..PLAIN_USERS {
        let (plain, tally) = (Plain::new(&fleet.distributor_urls())?, Arc::clone(tally));
        load.add(|go_on| plain.everything(seed, tally, go_on));
    }
    Ok(load)
}

fn figures(mut restarts: Vec<f64>, by_library: &Tally, by_plain: &Tally) -> Vec<Figure> {
    let took = |tally: &Tally| -> Vec<f64> {
        let done = tally.done().into_iter();
        done.map(|done| done.took().as_secs_f64() * 1e3).collect()
    };
    let mut figures = vec![Figure::plain("restarts", restarts.len() as f64, "")];
    let names = [
        "a restart took: p50",
        "a restart took: p99",
        "a restart took: longest",
    ];
    figures.extend(spread(names, &mut restarts, None));
    for (tally, count, names, failures) in [
        (
            by_library,
            "requests of the client library",
            [
                "a request took: p50",
                "a request took: p99",
                "a request took: longest",
            ],
            "failed requests of the client library",
        ),
        (
            by_plain,
            "requests of a plain client",
            [
                "a plain request took: p50",
                "a plain request took: p99",
                "a plain request took: longest",
            ],
            "failed requests of a plain client",
        ),
    ] {
        let mut times = took(tally);
        figures.push(Figure::plain(count, times.len() as f64, ""));
        figures.extend(spread(names, &mut times, None));
        figures.push(failed(failures, tally));
    }
    figures
}
