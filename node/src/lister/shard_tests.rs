//! A shard's listing against a catalog that follows the contract of `wire::listing`, with batches
//! and answers that are lost, and catalogs that are lost or come back from an old backup.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use store::disk::Disk;
use store::disk::simulated::SimulatedDisk;
use store::{Describe, Geometry, How, NewContent, Payload, Store};
use uuid::Uuid;
use wire::listing::ListedOperation;
use wire::position::{Epoch, ShardNo};
use wire::{Checksum, ContentId};

use super::super::batch::READS_MAX;
use super::super::filling::Filling;
use super::super::unread::{LOOK_AGAIN_AFTER, MEND_TIME_MAX};
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
            ListingStep::Live {
                after,
                at,
                first,
                rows,
            } => *after == self.at && self.show(*at, *first, rows),
            ListingStep::LiveEnd { after, at, rows } => {
                *after == self.at && self.end_walk(*at, *rows)
            }
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
    disk: Arc<SimulatedDisk>,
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
        let opened = Store::open_with(Arc::clone(&disk) as _, Path::new("/"), 5, GEOMETRY);
        let (mut store, _) = opened.expect("opens");
        store.begin_epoch(Epoch(1), 1).expect("begins");
        let view = Arc::new(ReplicaView {
            shard: ShardNo(1),
            replica: Uuid::nil(),
            record: None,
            standing: Standing::Leading,
            log: 1,
            reader: store.reader(),
            gauge: Arc::new(ReplicaGauge::default()),
        });
        let listing = ShardListing::new(Arc::clone(&view));
        let (random, now_ms) = (StdRng::seed_from_u64(seed), 100 * DAY_MS);
        let mut rig = Rig {
            disk,
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
    /// Writes a record again, as another replica has it.
    fn repair(&mut self, lsn: Lsn) {
        let record = self.store.reader().record(lsn).expect("is whole again");
        let chore = self.store.repair(record).expect("nothing is under way");
        let done = chore.run(&mut |_| true);
        self.store.finish(done).expect("a healthy disk");
    }

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

    /// One step of a part: it is sent, reaches the catalog, or its outcome reaches the node. It, or
    /// its outcome, may be lost (`losses` in ten times), and what was given up may still arrive. False
    /// when nothing is left to do.
    fn exchange(&mut self, way: &mut Way, catalog: &mut Catalog, losses: u32) -> bool {
        let mut lost = self.random.random_ratio(losses, 10);
        match self.random.random_range(0..4) {
            0 if losses > 0 && !way.strays.is_empty() => {
                catalog.apply(&way.strays.remove(0));
                return true;
            }
            1 if way.part.is_none() && self.send(way) => return true,
            _ => {}
        }
        match &mut way.part {
            Some((part, fate @ Fate::Sent)) => {
                *fate = if std::mem::take(&mut lost) {
                    way.strays.push(part.clone());
                    Fate::Lost
                } else {
                    Fate::Answered(catalog.apply(part))
                };
            }
            Some(_) => self.receive(way, lost),
            None => return self.send(way),
        }
        true
    }

    fn send(&mut self, way: &mut Way) -> bool {
        let mut budget = budget();
        let part = self.listing.next_part(&mut budget).expect("reads");
        way.part = part.map(|part| (part, Fate::Sent));
        way.part.is_some()
    }

    /// The outcome of the part that was sent.
    fn receive(&mut self, way: &mut Way, lost: bool) {
        match way.part.take() {
            Some((_, Fate::Answered(outcome))) if !lost => {
                self.listing.settle(&outcome, &Metrics::default());
            }
            Some((_, Fate::Answered(_) | Fate::Lost)) => self.listing.lost(),
            sent => way.part = sent,
        }
    }

    /// Without losses, until nothing is left to do; returns how many steps that took.
    fn finish(&mut self, way: &mut Way, catalog: &mut Catalog) -> usize {
        way.strays.clear();
        let mut steps = 0;
        while self.exchange(way, catalog, 0) || way.part.is_some() {
            steps += 1;
            assert!(steps < 2_000, "it never ends");
        }
        steps
    }
}

/// One whose time is not over in the middle of a test.
fn budget() -> Budget {
    Budget::lasting(Duration::from_secs(3600))
}

/// What is between a node and its distributor.
#[derive(Default)]
struct Way {
    part: Option<(ListingPart, Fate)>,
    /// Given up by the node, and on their way all the same.
    strays: Vec<ListingPart>,
}

enum Fate {
    Sent,
    Lost,
    Answered(ListingOutcome),
}

// If this fails, the catalog misses contents, shows deleted ones, or never catches up.
#[test]
fn every_catalog_comes_to_show_what_lives() {
    let mut walked = 0;
    for seed in 0..150 {
        let mut rig = Rig::new(seed);
        let (mut catalog, mut backup) = (Catalog::default(), Catalog::default());
        let mut way = Way::default();
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
                4 => {
                    rig.listing = ShardListing::new(Arc::clone(&rig.view));
                    way.strays.extend(way.part.take().map(|(part, _)| part));
                }
                _ => {}
            }
            for _ in 0..rig.random.random_range(0..12) {
                rig.exchange(&mut way, &mut catalog, 2);
                walked += usize::from(catalog.walk.is_some());
            }
        }
        // A catalog that went back is noticed at the next change.
        rig.change();
        rig.commit();
        rig.finish(&mut way, &mut catalog);
        assert!(catalog.rows == rig.live, "seed {seed}");
        // The end is told when there has been nothing else to tell for a while.
        rig.listing.moved_at = Instant::now().checked_sub(MOVE_EVERY).expect("is past");
        rig.finish(&mut way, &mut catalog);
        assert_eq!(
            catalog.at.lsn,
            rig.store.positions().committed,
            "seed {seed}"
        );
        assert_eq!(rig.view.gauge.listed(), catalog.at.lsn, "seed {seed}");
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
    let (mut way, mut catalog) = (Way::default(), Catalog::default());
    rig.finish(&mut way, &mut catalog);
    for _ in 0..QUEUE_MAX / 100 + 10 {
        for _ in 0..100 {
            rig.change();
        }
        rig.commit();
    }
    assert!(rig.listing.queue.changes.len() <= QUEUE_MAX);
    let steps = rig.finish(&mut way, &mut catalog);
    assert_eq!(catalog.rows, rig.live);
    // Each batch is sent, reaches the catalog, and is answered.
    assert!((3 * 8..3 * 30).contains(&steps), "{steps} steps");
}

// If this fails, a catalog that is behind a large upload has the lister read for minutes, while nothing
// of any other shard is listed, and nobody who waits for that is answered.
#[test]
fn what_is_no_change_is_passed_over_in_steps() {
    let mut rig = Rig::new(6);
    let (mut way, mut catalog) = (Way::default(), Catalog::default());
    rig.finish(&mut way, &mut catalog);
    let id = ContentId::mint(ShardNo(1), rig.now_ms, 1);
    let byte = || Payload::new(vec![7].into());
    let first = rig.store.first_chunk(id, &How::Create, byte(), rig.now_ms);
    let upload = first.expect("begins");
    for offset in 1..10_000 {
        let next = rig.store.chunk(upload, offset, byte(), rig.now_ms);
        next.expect("goes on");
    }
    rig.commit();
    rig.listing = ShardListing::new(Arc::clone(&rig.view));
    let mut steps = 0;
    while catalog.at.lsn < rig.store.positions().committed {
        let before = catalog.at.lsn;
        rig.exchange(&mut way, &mut catalog, 0);
        assert!(catalog.at.lsn.0 - before.0 <= READS_MAX as u64);
        steps += 1;
        assert!(steps < 1_000, "it never gets there");
    }
}

// If this fails, a catalog that is shown everything forgets what could not be shown in one step: on a
// slow disk, nearly all.
#[test]
fn a_step_without_rows_does_not_end_a_walk() {
    let mut rig = Rig::new(7);
    for number in 0..10 {
        let id = ContentId::mint(ShardNo(1), rig.now_ms, number);
        rig.put(id, How::Create, format!("name {number}"));
    }
    rig.commit();
    let (mut way, mut catalog) = (Way::default(), Catalog::default());
    rig.listing.shows_all = true;
    while !matches!(rig.listing.place, Place::Walk(_)) {
        rig.exchange(&mut way, &mut catalog, 0);
    }
    for _ in 0..3 {
        let mut spent = Budget::lasting(Duration::ZERO);
        let part = rig.listing.next_part(&mut spent).expect("reads");
        let outcome = catalog.apply(&part.expect("goes on"));
        assert!(outcome.applied);
        rig.listing.settle(&outcome, &Metrics::default());
    }
    rig.finish(&mut way, &mut catalog);
    assert_eq!(catalog.rows, rig.live);
}

// If this fails, a catalog that is to be shown everything keeps the rows of what is gone, because a step of
// that was lost on its way.
#[test]
fn a_walk_of_which_a_step_was_lost_is_walked_again() {
    for steps in 0..2 {
        let mut rig = Rig::new(8);
        let kept = ContentId::mint(ShardNo(1), rig.now_ms, 1);
        rig.put(kept, How::Create, "kept".to_owned());
        rig.commit();
        let (mut way, mut catalog) = (Way::default(), Catalog::default());
        rig.finish(&mut way, &mut catalog);
        let gone = ContentId::mint(ShardNo(1), rig.now_ms, 2);
        let row = catalog.rows[&kept].clone();
        catalog.rows.insert(gone, row);
        rig.listing.show_all();
        while !matches!(rig.listing.place, Place::Walk(_)) {
            rig.exchange(&mut way, &mut catalog, 0);
        }
        for _ in 0..steps {
            rig.exchange(&mut way, &mut catalog, 0);
        }
        rig.listing.lost();
        rig.finish(&mut way, &mut catalog);
        assert_eq!(catalog.rows, rig.live, "after {steps} steps");
        assert_eq!(rig.finish(&mut way, &mut catalog), 0, "once");
    }
}

// If this fails, a distributor that leaves a part out of its answer is asked without a pause.
#[test]
fn a_part_that_was_left_out_of_the_answer_waits() {
    let mut rig = Rig::new(3);
    let ask = rig.listing.next_part(&mut budget());
    assert!(ask.expect("reads").is_some());
    rig.listing.unanswered();
    let again = rig.listing.next_part(&mut budget());
    assert_eq!(again.expect("reads"), None);
    rig.listing.blocked_until = Some(Instant::now());
    let again = rig.listing.next_part(&mut budget());
    assert!(again.expect("reads").is_some());
}

// If this fails, a leader that stood still while another one was elected puts back into the catalog
// what the other one has deleted since, for good.
#[test]
fn a_leader_that_was_replaced_shows_a_later_catalog_nothing() {
    let mut rig = Rig::new(4);
    for _ in 0..20 {
        rig.change();
    }
    rig.commit();
    let mut catalog = Catalog {
        at: Position {
            epoch: Epoch(2),
            lsn: Lsn(10),
        },
        ..Catalog::default()
    };
    let before = catalog.clone();
    rig.finish(&mut Way::default(), &mut catalog);
    assert_eq!((catalog.at, catalog.rows), (before.at, before.rows));
    assert!(catalog.walk.is_none(), "a walk was begun");
}

/// Turns a bit over in the head of a record, or back.
fn flip(rig: &Rig, lsn: u64) {
    let mut names = rig.disk.list(Path::new("/")).expect("lists");
    names.retain(|name| name.ends_with(".seg"));
    for name in names {
        let path = Path::new("/").join(name);
        let file = rig.disk.open(&path).expect("opens");
        let mut bytes = vec![0; usize::try_from(file.len().expect("measures")).expect("is small")];
        file.read_at(&mut bytes, 0).expect("reads");
        let is_it = |at: &usize| {
            let head = &bytes[*at..];
            head.starts_with(b"AqRc") && head[16..24] == lsn.to_le_bytes()
        };
        if let Some(at) = (0..bytes.len() - 128).step_by(8).find(is_it) {
            let at = u64::try_from(at).expect("is small");
            return rig.disk.flip_bit(&path, at + 90, 0).expect("was synced");
        }
    }
    panic!("there is no record {lsn}");
}

/// A catalog that has nothing, and a leader whose third record cannot be read.
fn one_damaged() -> (Rig, Way, Catalog) {
    let mut rig = Rig::new(3);
    for number in 0..3 {
        let id = ContentId::mint(ShardNo(1), rig.now_ms, number);
        rig.put(id, How::Create, format!("name {number}"));
    }
    rig.commit();
    flip(&rig, 3);
    rig.listing = ShardListing::new(Arc::clone(&rig.view));
    let (mut way, mut catalog) = (Way::default(), Catalog::default());
    while !matches!(rig.listing.place, Place::At(_)) {
        rig.exchange(&mut way, &mut catalog, 0);
    }
    (rig, way, catalog)
}

// If this fails, a content that was acknowledged never appears in lists, because its record could not
// be read for a moment.
#[test]
fn what_cannot_be_read_is_waited_for() {
    let (mut rig, mut way, mut catalog) = one_damaged();
    let unreadable = rig.listing.next_part(&mut budget());
    assert!(matches!(unreadable, Err(ReadError::Damaged { .. })));
    rig.listing.unreadable();
    assert!(matches!(rig.listing.next_part(&mut budget()), Ok(None)));
    // It is repaired meanwhile.
    flip(&rig, 3);
    rig.listing.blocked_until = None;
    rig.finish(&mut way, &mut catalog);
    assert_eq!(catalog.rows, rig.live);
}

// If this fails, one record that nobody can mend ends the listing of a shard.
#[test]
fn what_nobody_mends_is_passed() {
    let (mut rig, mut way, mut catalog) = one_damaged();
    assert!(rig.listing.next_part(&mut budget()).is_err());
    rig.listing.unread.pass(MEND_TIME_MAX);
    rig.finish(&mut way, &mut catalog);
    assert_eq!(catalog.rows.len(), 2);
    assert_eq!(catalog.at.lsn, Lsn(4));
}

// If this fails, what could not be read for a minute is missing in lists for ever, although it was
// mended an hour later; or a damaged record has all the others sent without end.
#[test]
fn what_was_passed_and_is_mended_later_is_shown() {
    let (mut rig, mut way, mut catalog) = one_damaged();
    assert!(rig.listing.next_part(&mut budget()).is_err());
    rig.listing.unread.pass(MEND_TIME_MAX);
    rig.finish(&mut way, &mut catalog);
    rig.put(
        ContentId::mint(ShardNo(1), rig.now_ms, 9),
        How::Create,
        "later".to_owned(),
    );
    rig.commit();
    rig.finish(&mut way, &mut catalog);
    assert_eq!(
        catalog.rows.len(),
        3,
        "one is missing, and nobody waits for it"
    );
    flip(&rig, 3);
    rig.repair(Lsn(3));
    rig.listing.unread.pass(LOOK_AGAIN_AFTER);
    assert!(rig.finish(&mut way, &mut catalog) > 0);
    assert_eq!(catalog.rows, rig.live);
    rig.listing.unread.pass(LOOK_AGAIN_AFTER);
    assert_eq!(rig.finish(&mut way, &mut catalog), 0);
}

// If this fails, a catalog that cannot follow forgets what is damaged at the leader.
#[test]
fn a_walk_waits_for_what_cannot_be_read() {
    let (mut rig, mut way, mut catalog) = one_damaged();
    flip(&rig, 3);
    rig.finish(&mut way, &mut catalog);
    flip(&rig, 3);
    rig.listing.place = Place::Unknown;
    rig.listing.shows_all = true;
    let end = loop {
        match rig.listing.next_part(&mut budget()) {
            Ok(Some(part)) => {
                let outcome = catalog.apply(&part);
                rig.listing.settle(&outcome, &Metrics::default());
            }
            other => break other,
        }
    };
    assert!(matches!(end, Err(ReadError::Damaged { .. })), "{end:?}");
    let damage = rig.store.reader().damage();
    assert_eq!(damage.hidden.first().map(|place| place.first), Some(Lsn(3)));
    assert_eq!(catalog.rows, rig.live);
}

// If this fails, nothing of other shards is listed in time while one cannot be read.
#[test]
fn a_shard_that_cannot_be_read_takes_nothing_from_the_others() {
    let [mut first, mut second] = [one_damaged(), one_damaged()].map(|(rig, ..)| rig);
    let (mut healthy, mut way, mut catalog) = (Rig::new(4), Way::default(), Catalog::default());
    healthy.finish(&mut way, &mut catalog);
    for is_known in [false, true] {
        let mut batch = Filling::within(Budget::of_operations(2));
        let id = ContentId::mint(ShardNo(1), healthy.now_ms, healthy.random.random());
        healthy.put(id, How::Create, "name".to_owned());
        healthy.commit();
        for rig in [&mut first, &mut second, &mut healthy] {
            assert!(!batch.is_full());
            batch.fill(ShardNo(1), &mut rig.listing);
        }
        let [part] = &batch.parts[..] else {
            panic!("the healthy one has one: {:?}", batch.parts);
        };
        healthy
            .listing
            .settle(&catalog.apply(part), &Metrics::default());
        assert_eq!(catalog.rows.len(), healthy.live.len());
        assert!(first.listing.is_unreadable() && second.listing.is_unreadable());
        assert!(first.listing.blocked_until.is_some());
        let is_left_alone = second.listing.blocked_until.is_none();
        assert_eq!(is_left_alone, is_known, "one of those in a batch");
        // Five seconds later, they are where they were.
        for rig in [&mut first, &mut second] {
            rig.listing.blocked_until = None;
            let at = rig.view.gauge.measures().position(Lsn(1));
            rig.listing.place = Place::At(at);
        }
    }
}
