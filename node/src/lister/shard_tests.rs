//! A shard's listing against a catalog that follows the contract of `wire::listing`, with batches
//! and answers that are lost, and catalogs that are lost or come back from an old backup.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use store::disk::simulated::SimulatedDisk;
use store::{Describe, Geometry, How, NewContent, Payload, Store};
use uuid::Uuid;
use wire::listing::ListedOperation;
use wire::position::{Epoch, ShardNo};
use wire::{Checksum, ContentId};

use super::*;
use crate::driver::table::{ReplicaGauge, Standing};

const DAY_MS: u64 = 24 * 3_600_000;

/// Segments of a few dozen records, so that compaction has something to do.
const GEOMETRY: Geometry = Geometry {
    segment_bytes: 16 << 10,
    allocate_bytes: 4 << 10,
    reserve_bytes: 1 << 10,
};

/// What a distributor does with a part.
#[derive(Clone, Debug, Default)]
struct Catalog {
    at: Position,
    rows: BTreeMap<ContentId, (u64, String)>,
    walk: Option<(Position, BTreeSet<ContentId>)>,
}

impl Catalog {
    fn apply(&mut self, part: &ListingPart) -> ListingOutcome {
        let applied = match &part.step {
            ListingStep::Ask => true,
            ListingStep::Follow {
                after,
                upto,
                operations,
            } => {
                let agrees = *after == self.at;
                if agrees {
                    assert!(upto.lsn > after.lsn, "a step goes forward");
                    operations
                        .iter()
                        .for_each(|operation| self.change(operation));
                    self.at = *upto;
                }
                agrees
            }
            ListingStep::Live { at, first, rows } => self.show(*at, *first, rows),
            ListingStep::LiveEnd { at, rows } => self.end_walk(*at, *rows),
        };
        let (shard, listed) = (part.shard, self.at);
        ListingOutcome {
            shard,
            applied,
            listed,
            unlistable: Vec::new(),
        }
    }

    fn change(&mut self, operation: &ListedOperation) {
        match operation {
            ListedOperation::Upsert(row) => {
                self.rows
                    .insert(row.id, (row.version, row.filename.clone()));
            }
            ListedOperation::Delete(id) => {
                self.rows.remove(id);
            }
        }
    }

    fn show(&mut self, at: Position, first: bool, rows: &[wire::content::ContentRow]) -> bool {
        if first {
            self.walk = Some((at, BTreeSet::new()));
        }
        let Some((_, seen)) = self.walk.as_mut().filter(|(walk, _)| *walk == at) else {
            return false;
        };
        for row in rows {
            seen.insert(row.id);
            self.rows
                .insert(row.id, (row.version, row.filename.clone()));
        }
        true
    }

    fn end_walk(&mut self, at: Position, rows: u64) -> bool {
        match self.walk.take() {
            Some((walk, seen)) if walk == at && seen.len() as u64 == rows => {
                self.rows.retain(|id, _| seen.contains(id));
                self.at = at;
                true
            }
            _ => false,
        }
    }
}

struct Rig {
    store: Store,
    view: Arc<ReplicaView>,
    listing: ShardListing,
    random: StdRng,
    live: BTreeMap<ContentId, (u64, String)>,
    now_ms: u64,
}

impl Rig {
    fn new(seed: u64) -> Rig {
        let disk = Arc::new(SimulatedDisk::new(seed));
        let (mut store, _) = Store::open_with(disk, Path::new("/"), 5, GEOMETRY).expect("opens");
        store.begin_epoch(Epoch(1), 1).expect("begins");
        let view = Arc::new(ReplicaView {
            shard: ShardNo(1),
            replica: Uuid::nil(),
            record: None,
            standing: Standing::Leading,
            readable: true,
            reader: store.reader(),
            gauge: Arc::new(ReplicaGauge::default()),
        });
        let listing = ShardListing::new(Arc::clone(&view));
        let (random, now_ms) = (StdRng::seed_from_u64(seed), 100 * DAY_MS);
        let mut rig = Rig {
            store,
            view,
            listing,
            random,
            live: BTreeMap::new(),
            now_ms,
        };
        rig.commit();
        rig
    }

    fn some_id(&mut self) -> Option<ContentId> {
        let at = self.random.random_range(0..self.live.len().max(1));
        self.live.keys().nth(at).copied()
    }

    fn change(&mut self) {
        self.now_ms += 1000;
        let kind = self.random.random_range(0..10);
        let name = format!("name {}", self.random.random_range(0..1000));
        match (kind, self.some_id()) {
            (0..=4, _) | (_, None) => {
                let id = ContentId::mint(ShardNo(1), self.now_ms, self.random.random());
                self.put(id, How::Create, name);
            }
            (5 | 6, Some(id)) => self.put(id, How::Update { if_match: None }, name),
            (7, Some(id)) => {
                let change = Describe {
                    filename: Some(name.clone()),
                    ..Describe::default()
                };
                self.store
                    .describe(id, change, None, self.now_ms)
                    .expect("describes");
                if let Some(row) = self.live.get_mut(&id) {
                    row.1 = name;
                }
            }
            (_, Some(id)) => {
                self.store.delete(id, None, self.now_ms).expect("deletes");
                self.live.remove(&id);
            }
        }
    }

    fn put(&mut self, id: ContentId, how: How, filename: String) {
        let bytes: Vec<u8> = self.random.random::<[u8; 32]>().repeat(4);
        let new = NewContent {
            filename: filename.clone(),
            content_type: "a/b".to_owned(),
            collection: None,
            attributes: None,
            size: bytes.len() as u64,
            checksum: Checksum(*blake3::hash(&bytes).as_bytes()),
        };
        let payload = Payload::new(bytes.into());
        let outcome = self
            .store
            .put(id, new, how, payload, self.now_ms)
            .expect("stores");
        self.live.insert(id, (outcome.version, filename));
    }

    /// Syncs, commits and feeds, as the disk thread does.
    fn commit(&mut self) {
        if let Some(job) = self.store.flush().expect("writes") {
            self.store.synced(job.run()).expect("syncs");
        }
        let mut changes = Vec::new();
        self.store
            .commit_to(self.store.positions().synced, &mut changes);
        self.measure();
        let positions = self.store.positions();
        self.listing
            .committed(positions.committed, changes, Vec::new());
    }

    fn measure(&self) {
        let (positions, epochs) = (self.store.positions(), self.store.epochs().into());
        self.view.gauge.update(|measures| {
            measures.committed = positions.committed;
            measures.horizon = positions.horizon;
            measures.epochs = epochs;
        });
    }

    /// Compaction, so much later that it drops deletes.
    fn compact(&mut self) {
        self.now_ms += 8 * DAY_MS;
        for _ in 0..8 {
            for chore in self.store.chores(self.now_ms) {
                self.store
                    .finish(chore.run(&mut |_| true))
                    .expect("is done");
            }
        }
        self.measure();
    }

    /// One batch on its way, which may be lost, or its answer.
    fn exchange(&mut self, catalog: &mut Catalog, losses: u32) -> bool {
        let mut budget = Budget::default();
        let Some(part) = self.listing.next_part(&mut budget).expect("reads") else {
            return false;
        };
        let lost = |rig: &mut Rig| rig.random.random_ratio(losses, 10);
        if lost(self) {
            self.listing.lost();
            return true;
        }
        let outcome = catalog.apply(&part);
        if lost(self) {
            self.listing.lost();
        } else {
            self.listing.settle(&outcome, &Metrics::default());
        }
        true
    }
}

// If this fails, the catalog misses contents, shows deleted ones, or never catches up.
#[test]
fn every_catalog_comes_to_show_what_lives() {
    let mut walked = 0;
    for seed in 0..150 {
        let mut rig = Rig::new(seed);
        let (mut catalog, mut backup) = (Catalog::default(), Catalog::default());
        for _ in 0..40 {
            for _ in 0..rig.random.random_range(0..12) {
                rig.change();
            }
            rig.commit();
            match rig.random.random_range(0..40) {
                0 => backup = catalog.clone(),
                1 => catalog = backup.clone(),
                2 => catalog = Catalog::default(),
                3 => rig.compact(),
                4 => rig.listing = ShardListing::new(Arc::clone(&rig.view)),
                _ => {}
            }
            for _ in 0..rig.random.random_range(0..4) {
                rig.exchange(&mut catalog, 2);
                walked += usize::from(catalog.walk.is_some());
            }
        }
        let mut rounds = 0;
        while rig.exchange(&mut catalog, 0) {
            rounds += 1;
            assert!(rounds < 100, "seed {seed}: it never ends");
        }
        assert_eq!(catalog.rows, rig.live, "seed {seed}");
        // The end is told when there has been nothing else to tell for a while.
        rig.listing.moved_at = Instant::now().checked_sub(MOVE_EVERY).expect("is past");
        rig.exchange(&mut catalog, 0);
        assert_eq!(
            catalog.at.lsn,
            rig.store.positions().committed,
            "seed {seed}"
        );
        assert_eq!(rig.listing.unlisted(), 0, "seed {seed}");
    }
    assert!(
        walked > 10,
        "no catalog ever had to be shown everything: {walked}"
    );
}

// If this fails, a node whose catalog is away for long runs out of memory.
#[test]
fn changes_beyond_the_queue_are_read_from_the_log() {
    let mut rig = Rig::new(1);
    let mut catalog = Catalog::default();
    while rig.exchange(&mut catalog, 0) {}
    for _ in 0..QUEUE_MAX / 100 + 10 {
        for _ in 0..100 {
            rig.change();
        }
        rig.commit();
    }
    assert!(rig.listing.queue.changes.len() <= QUEUE_MAX);
    let mut batches = 0;
    while rig.exchange(&mut catalog, 0) {
        batches += 1;
    }
    assert_eq!(catalog.rows, rig.live);
    assert!((8..30).contains(&batches), "{batches} batches");
}
