//! `GET /store`: where to upload.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use rand::Rng;
use serde::Deserialize;
use wire::limits::PLACES_PER_REQUEST_MAX;
use wire::name::check_collection;
use wire::placement::{Candidate, Place as PlaceAnswer, Places};
use wire::{Code, ContentId, ShardNo};

use super::content::parameters;
use super::error::ApiError;
use crate::app::Shared;
use crate::members::Place;
use crate::metrics::NodeLabels;
use crate::placement::{Choice, Excluded, Lack, Load, Score, choose, score_all};

/// Statistics of so many polling intervals ago are too old to place by.
const STATS_AGE_POLLS: u32 = 5;

#[derive(Deserialize)]
pub(super) struct StoreParameters {
    size: Option<u64>,
    count: Option<usize>,
    collection: Option<String>,
    explain: Option<bool>,
}

/// A place for an upload, or many.
pub(super) async fn place(
    shared: Data<Shared>,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let StoreParameters {
        size,
        count,
        collection,
        explain,
    } = parameters(&request)?;
    if let Some(collection) = &collection {
        check_collection(collection)?;
    }
    if let Some(count) = count.filter(|count| !(1..=PLACES_PER_REQUEST_MAX).contains(count)) {
        let message = format!("count is {count}, not 1 to {PLACES_PER_REQUEST_MAX}");
        return Err(ApiError::malformed(message));
    }
    let wanted = Wanted {
        size: size.unwrap_or(0),
        explain: explain.unwrap_or(false),
        age_max: age_max(&shared),
    };
    let (places, mut loads) = shared.members.places(Instant::now());
    let items = (0..count.unwrap_or(1))
        .map(|_| wanted.place(&shared, &places, &mut loads))
        .collect::<Result<Vec<PlaceAnswer>, ApiError>>()?;
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    match (count, items) {
        (None, mut items) => Ok(response.json(items.pop())),
        (Some(_), items) => Ok(response.json(Places { items })),
    }
}

/// A place for one upload of this size.
pub(super) fn one_place(shared: &Shared, size: u64) -> Result<PlaceAnswer, ApiError> {
    let wanted = Wanted {
        size,
        explain: false,
        age_max: age_max(shared),
    };
    let (places, mut loads) = shared.members.places(Instant::now());
    wanted.place(shared, &places, &mut loads)
}

fn age_max(shared: &Shared) -> Duration {
    shared.poll * STATS_AGE_POLLS + Duration::from_secs(2)
}

struct Wanted {
    size: u64,
    explain: bool,
    age_max: Duration,
}

impl Wanted {
    /// Chooses one place, and counts it as promised, here and in the book.
    fn place(
        &self,
        shared: &Shared,
        places: &[Place],
        loads: &mut [Load],
    ) -> Result<PlaceAnswer, ApiError> {
        let scores = score_all(loads, self.size, self.age_max);
        let totals: Vec<Option<f64>> = scores
            .iter()
            .map(|score| score.as_ref().ok().map(|score| score.total))
            .collect();
        let mut random = rand::rng();
        let Some(choice) = choose(&totals, |n| random.random_range(0..n)) else {
            return Err(nowhere(&scores));
        };
        let explain = self.explain.then(|| explain(places, &scores, choice));
        let place = &places[choice.chosen];
        let shards = scores[choice.chosen]
            .as_ref()
            .map_or(&[][..], |score| &score.shards);
        let shard = shards[random.random_range(0..shards.len())];
        let others = promise(loads, choice.chosen, shard, self.size);
        let others = others.iter().map(|other| &places[*other].node);
        shared.members.promise(&place.node, others, self.size);
        let node = place.node.to_string();
        shared
            .metrics
            .places
            .get_or_create(&NodeLabels { node })
            .inc();
        Ok(PlaceAnswer {
            uri: format!("{}{}", place.public_url, wire::routes::STORE),
            node: place.node.clone(),
            id: ContentId::mint(shard, now_ms(), random.random()),
            explain,
        })
    }
}

/// Counts an upload as promised, at its node and where its copies go; gives back the latter.
fn promise(loads: &mut [Load], chosen: usize, shard: ShardNo, size: u64) -> Vec<usize> {
    let open = loads[chosen].open.iter().find(|open| open.shard == shard);
    let others = open.map(|open| open.others.clone()).unwrap_or_default();
    loads[chosen].promises.add(size);
    for other in &others {
        loads[*other].promises.add_copy(size);
    }
    others
}

fn now_ms() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn nowhere(scores: &[Result<Score, Excluded>]) -> ApiError {
    let full =
        |score: &Result<Score, Excluded>| matches!(score, Err(Excluded::Full | Excluded::CopyFull));
    let usable = |score: &Result<Score, Excluded>| {
        !matches!(
            score,
            Err(Excluded::Down | Excluded::Draining | Excluded::Unknown | Excluded::NoShard)
        )
    };
    if scores.iter().any(full) && scores.iter().filter(|score| usable(score)).all(full) {
        return ApiError::new(
            Code::StorageFull,
            "no node has room for an upload of this size",
        );
    }
    ApiError::new(Code::NoNode, "no storage node can take an upload just now")
}

fn explain(places: &[Place], scores: &[Result<Score, Excluded>], choice: Choice) -> Vec<Candidate> {
    let each = places.iter().zip(scores).enumerate();
    let candidates = each.map(|(number, (place, score))| Candidate {
        node: place.node.clone(),
        chosen: number == choice.chosen,
        compared: choice.compared.contains(&number),
        score: score.as_ref().ok().map(|score| score.total),
        parts: score.as_ref().ok().map(|score| score.parts),
        degraded: match score {
            Ok(score) => score.lack == Lack::Copies,
            Err(excluded) => *excluded == Excluded::Degraded,
        },
        excluded: score.as_ref().err().map(Excluded::to_string),
    });
    candidates.collect()
}
