//! Random listings on both databases, compared with a model after each step.

use crate::support::{Fresh, at, row};
use dist::catalog::{Catalog, PageQuery};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wire::content::ContentRow;
use wire::listing::{ListedOperation, ListingPart, ListingStep};
use wire::{ContentId, Position, ShardNo};

crate::on_both_databases!(any_listing_does_what_the_model_does);

const SHARDS: u16 = 4;

/// Contents of one shard: few, so that updates and deletes meet something.
const CONTENTS: u64 = 12;

const STEPS: usize = 250;

/// What one shard of the catalog should hold.
#[derive(Default)]
struct Shard {
    listed: Position,
    rows: BTreeMap<ContentId, ContentRow>,
    /// A walk under way: its name, and what it has shown.
    walk: Option<(Position, BTreeSet<ContentId>)>,
}

/// The rules of `wire::listing`, in the fewest words.
#[derive(Default)]
struct Model {
    shards: BTreeMap<ShardNo, Shard>,
}

impl Model {
    /// Applies a part: whether it was applied, and the position then.
    fn apply(&mut self, part: &ListingPart) -> (bool, Position) {
        let shard = self.shards.entry(part.shard).or_default();
        let applied = match &part.step {
            ListingStep::Ask => true,
            ListingStep::Follow {
                after,
                upto,
                operations,
            } => {
                let matches = *after == shard.listed;
                if matches {
                    operations
                        .iter()
                        .for_each(|operation| shard.carry_out(operation));
                    shard.listed = *upto;
                }
                matches
            }
            ListingStep::Live {
                after,
                at,
                first,
                rows,
            } => *after == shard.listed && shard.show(*at, *first, rows),
            ListingStep::LiveEnd { after, at, rows } => {
                *after == shard.listed && shard.end(*at, *rows)
            }
        };
        (applied, shard.listed)
    }
}

impl Shard {
    fn carry_out(&mut self, operation: &ListedOperation) {
        match operation {
            ListedOperation::Upsert(row) => self.rows.insert(row.id, row.clone()),
            ListedOperation::Delete(id) => self.rows.remove(id),
        };
    }

    fn show(&mut self, at: Position, first: bool, rows: &[ContentRow]) -> bool {
        if first {
            self.walk = Some((at, BTreeSet::new()));
        }
        match &mut self.walk {
            Some((walk, seen)) if *walk == at => {
                seen.extend(rows.iter().map(|row| row.id));
                self.rows
                    .extend(rows.iter().map(|row| (row.id, row.clone())));
                true
            }
            _ => false,
        }
    }

    fn end(&mut self, at: Position, rows: u64) -> bool {
        match &self.walk {
            Some((walk, seen)) if *walk == at && seen.len() as u64 == rows => {
                self.rows.retain(|id, _| seen.contains(id));
                self.listed = at;
                self.walk = None;
                true
            }
            _ => false,
        }
    }
}

/// What a hostile or forgetful set of nodes could send.
struct Sender {
    random: StdRng,
    lsn: u64,
}

impl Sender {
    fn content(&mut self, shard: u16) -> ContentRow {
        let mut content = row(shard, self.random.random_range(0..CONTENTS));
        content.version = self.random.random_range(1..5);
        content.size = self.random.random_range(0..1 << 40);
        content.filename = format!("name {}", self.random.random_range(0..5));
        content
    }

    /// Distinct contents.
    fn contents(&mut self, shard: u16) -> Vec<ContentRow> {
        let count = self.random.random_range(0..5);
        let each = (0..count)
            .map(|_| self.content(shard))
            .map(|row| (row.id, row));
        each.collect::<BTreeMap<_, _>>().into_values().collect()
    }

    fn operations(&mut self, shard: u16) -> Vec<ListedOperation> {
        let operation = |content: ContentRow, delete: bool| {
            if delete {
                ListedOperation::Delete(content.id)
            } else {
                ListedOperation::Upsert(content)
            }
        };
        let count = self.random.random_range(0..6);
        (0..count)
            .map(|_| {
                let delete = self.random.random_bool(0.3);
                operation(self.content(shard), delete)
            })
            .collect()
    }

    fn position(&mut self) -> Position {
        self.lsn += self.random.random_range(1..4);
        at(1 + self.lsn / 50, self.lsn)
    }

    fn part(&mut self, shard: u16, known: Option<&Shard>) -> ListingPart {
        let listed = known.map_or(Position::default(), |shard| shard.listed);
        let walk = known.and_then(|shard| shard.walk.as_ref());
        let (name, seen) = walk.map_or((at(9, 9), 0), |(name, seen)| (*name, seen.len() as u64));
        // One in ten was given up long ago.
        let after = match self.random.random_range(0..10) {
            0 => self.position(),
            _ => listed,
        };
        let step = match self.random.random_range(0..10) {
            0 => ListingStep::Ask,
            1 => ListingStep::Live {
                after,
                at: self.position(),
                first: true,
                rows: self.contents(shard),
            },
            2 | 3 => ListingStep::Live {
                after,
                at: name,
                first: false,
                rows: self.contents(shard),
            },
            4 => ListingStep::LiveEnd {
                after,
                at: name,
                rows: seen,
            },
            5 => ListingStep::LiveEnd {
                after,
                at: name,
                rows: seen + self.random.random_range(0..2),
            },
            _ => ListingStep::Follow {
                after,
                upto: self.position(),
                operations: self.operations(shard),
            },
        };
        ListingPart {
            shard: ShardNo(shard),
            step,
        }
    }
}

async fn compare(catalog: &Arc<dyn Catalog>, model: &Model, context: &str) {
    let query = PageQuery {
        limit: 1000,
        ..PageQuery::default()
    };
    let page = catalog.page(&query).await.expect("a page");
    let rows: BTreeMap<ContentId, ContentRow> = page
        .into_iter()
        .map(|listed| (listed.row.id, listed.row))
        .collect();
    let expected: BTreeMap<ContentId, ContentRow> = model
        .shards
        .values()
        .flat_map(|shard| shard.rows.clone())
        .collect();
    assert_eq!(rows, expected, "{context}");
    for totals in catalog.totals().await.expect("totals") {
        let shard = &model.shards[&totals.shard];
        assert_eq!(totals.listed, shard.listed, "{context}");
        assert_eq!(totals.contents, shard.rows.len() as u64, "{context}");
        assert_eq!(
            totals.bytes,
            shard.rows.values().map(|row| row.size).sum::<u64>(),
            "{context}"
        );
    }
}

// If this fails, some order of uploads, deletes, retries and walks leaves a wrong catalog.
async fn any_listing_does_what_the_model_does(fresh: Fresh) {
    let catalog = fresh.open().await.catalog;
    let seed = rand::random();
    let mut sender = Sender {
        random: StdRng::seed_from_u64(seed),
        lsn: 0,
    };
    let mut model = Model::default();
    let mut last: Vec<ListingPart> = Vec::new();
    for step in 0..STEPS {
        let context = format!("seed {seed}, step {step}");
        // Now and then the same once more, as after a lost answer.
        if last.is_empty() || !sender.random.random_bool(0.15) {
            let shards: Vec<u16> = (1..=SHARDS)
                .filter(|_| sender.random.random_bool(0.6))
                .collect();
            last = shards
                .into_iter()
                .map(|shard| sender.part(shard, model.shards.get(&ShardNo(shard))))
                .collect();
        }
        let outcomes = catalog.list(&last).await.expect("listed");
        let got: Vec<_> = outcomes
            .iter()
            .map(|outcome| (outcome.applied, outcome.listed))
            .collect();
        let expected: Vec<_> = last.iter().map(|part| model.apply(part)).collect();
        assert_eq!(got, expected, "{context}: {last:?}");
        compare(&catalog, &model, &context).await;
    }
}
