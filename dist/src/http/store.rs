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
use wire::{Code, ContentId};

use super::content::parameters;
use super::error::ApiError;
use crate::app::Shared;
use crate::members::Place;
use crate::metrics::NodeLabels;
use crate::placement::{Choice, Excluded, Score, choose, score};

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
        age_max: shared.poll * STATS_AGE_POLLS + Duration::from_secs(2),
    };
    let mut places = shared.members.places(Instant::now());
    let items = (0..count.unwrap_or(1))
        .map(|_| wanted.place(&shared, &mut places))
        .collect::<Result<Vec<PlaceAnswer>, ApiError>>()?;
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    match (count, items) {
        (None, mut items) => Ok(response.json(items.pop())),
        (Some(_), items) => Ok(response.json(Places { items })),
    }
}

struct Wanted {
    size: u64,
    explain: bool,
    age_max: Duration,
}

impl Wanted {
    /// Chooses one place, and counts it as promised, here and in the book.
    fn place(&self, shared: &Shared, places: &mut [Place]) -> Result<PlaceAnswer, ApiError> {
        let scores: Vec<Result<Score, Excluded>> = places
            .iter()
            .map(|place| score(&place.load, self.size, self.age_max))
            .collect();
        let totals: Vec<Option<f64>> = scores
            .iter()
            .map(|score| score.ok().map(|score| score.total))
            .collect();
        let mut random = rand::rng();
        let Some(choice) = choose(&totals, |n| random.random_range(0..n)) else {
            return Err(nowhere(&scores));
        };
        let explain = self.explain.then(|| explain(places, &scores, choice));
        let place = &mut places[choice.chosen];
        place.load.promises.add(self.size);
        shared.members.promise(&place.node, self.size);
        let node = place.node.to_string();
        shared
            .metrics
            .places
            .get_or_create(&NodeLabels { node })
            .inc();
        let shard = place.open[random.random_range(0..place.open.len())];
        Ok(PlaceAnswer {
            uri: format!("{}{}", place.public_url, wire::routes::STORE),
            node: place.node.clone(),
            id: ContentId::mint(shard, now_ms(), random.random()),
            explain,
        })
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

fn nowhere(scores: &[Result<Score, Excluded>]) -> ApiError {
    let full = |score: &Result<Score, Excluded>| matches!(score, Err(Excluded::Full));
    let usable = |score: &Result<Score, Excluded>| {
        !matches!(
            score,
            Err(Excluded::Down | Excluded::Unknown | Excluded::NoShard)
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
        score: score.ok().map(|score| score.total),
        parts: score.ok().map(|score| score.parts),
        excluded: score.err().map(|excluded| excluded.to_string()),
    });
    candidates.collect()
}
