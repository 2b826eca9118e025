//! Compares what a store shows with what is expected of it.

use std::collections::BTreeMap;

use store::disk::Disk;
use store::disk::simulated::SimulatedDisk;
use store::stage::next_live;
use store::{Change, Committed, Content, OpenContent, ReadError, Reader, Store};
use wire::{ContentId, Lsn};

use crate::expectation::{Effect, Expectation, Known, View};
use crate::world::dir;

/// How much is asked for at a time: an odd number, so that reads do not fall on any boundary.
const READ_BYTES: usize = 10_007;

/// A file's last page is taken whole.
const PAGE_BYTES: u64 = 4096;

/// Reads a whole content, in small steps.
pub(crate) fn read_all(open: &OpenContent) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < open.content().size {
        let offset = bytes.len() as u64;
        let part = match open.read_cached(offset, READ_BYTES)? {
            Some(part) => part,
            None => open.read(offset, READ_BYTES)?,
        };
        assert!(
            !part.is_empty() && part.len() <= READ_BYTES,
            "{} bytes are read",
            part.len()
        );
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// What a commit reports must be exactly the changes that it covers, in their order.
pub(crate) fn check_committed(expected: &Expectation, upto: u64, reported: &[Committed]) {
    let lsns: Vec<u64> = reported
        .iter()
        .map(|committed| committed.position.lsn.0)
        .collect();
    assert!(
        lsns.is_sorted_by(|one, two| one < two),
        "commits come in the order of lsns: {lsns:?}"
    );
    assert!(
        lsns.iter()
            .all(|lsn| *lsn > expected.committed && *lsn <= upto)
    );
    let changes: BTreeMap<u64, &Change> = reported
        .iter()
        .filter(|committed| !matches!(committed.change, Change::Epoch | Change::Nothing))
        .map(|committed| (committed.position.lsn.0, &committed.change))
        .collect();
    let due: BTreeMap<u64, &Effect> = expected.between(expected.committed, upto).collect();
    assert_eq!(
        changes.keys().collect::<Vec<_>>(),
        due.keys().collect::<Vec<_>>(),
        "each change is reported once when it is committed"
    );
    for (lsn, effect) in due {
        check_change(effect, changes[&lsn]);
    }
}

fn check_change(effect: &Effect, change: &Change) {
    match (effect, change) {
        (Effect::Stored(due, _), Change::Stored(content))
        | (Effect::Described(due), Change::Described(content)) => assert_eq!(content, due),
        (
            Effect::Deleted { id, version, .. },
            Change::Deleted {
                content,
                version: ended,
            },
        ) => {
            assert_eq!((content, ended), (id, version));
        }
        (due, other) => panic!("{due:?} was due and not {other:?}"),
    }
}

/// Everything that readers can see must be exactly the contents as of the commit.
pub(crate) fn check_store(store: &mut Store, expected: &Expectation, now_ms: u64) {
    let committed = store.positions().committed.0;
    let view = expected.view(committed);
    let reader = store.reader();
    for id in expected.ids() {
        check_content(&reader, id, view.get(&id), now_ms);
    }
    check_cursor(&reader, expected, committed);
    check_live(&reader, &view, committed);
    let usage = store.usage();
    assert_eq!(
        usage.contents,
        expected.live(committed),
        "live contents are counted"
    );
    assert_eq!(usage.damaged, 0, "nothing is damaged");
}

fn check_content(reader: &Reader, id: ContentId, known: Option<&Known>, now_ms: u64) {
    let opened = reader.open(id);
    match (known, opened) {
        (Some(Known::Live(content, bytes)), Ok(open)) => {
            assert_eq!(open.content(), &**content);
            let read = read_all(&open).unwrap_or_else(|error| panic!("{id} is live: {error}"));
            assert!(
                read == bytes[..],
                "{id} version {} has other bytes",
                content.version
            );
        }
        (Some(Known::Deleted { .. }), Err(ReadError::Deleted)) => {}
        (Some(deleted), Err(ReadError::NotFound)) if deleted.is_forgettable(now_ms) => {}
        (None, Err(ReadError::NotFound)) => {}
        (known, Ok(open)) => panic!("{id} shows {:?} where {known:?} is due", open.content()),
        (known, Err(error)) => panic!("{id} gives {error:?} where {known:?} is due"),
    }
}

/// A walk over the log gives committed changes in their order, and of each content at least the
/// last one that it had, as long as it lives.
fn check_cursor(reader: &Reader, expected: &Expectation, committed: u64) {
    let effects: BTreeMap<u64, &Effect> = expected.between(0, committed).collect();
    let mut last_seen: BTreeMap<ContentId, Content> = BTreeMap::new();
    let mut cursor = reader.cursor(Lsn::ZERO);
    let mut after = 0;
    while let Some(change) = cursor.next_change().expect("the disk is healthy") {
        let lsn = change.position.lsn.0;
        assert!(
            lsn > after && lsn <= committed,
            "{lsn} follows {after}, committed {committed}"
        );
        after = lsn;
        match change.change {
            Change::Epoch | Change::Nothing => {}
            ref told => {
                check_change(effects[&lsn], told);
                match told {
                    Change::Stored(content) | Change::Described(content) => {
                        last_seen.insert(content.id, content.clone());
                    }
                    Change::Deleted { content, .. } => {
                        last_seen.remove(content);
                    }
                    Change::Epoch | Change::Nothing => {}
                }
            }
        }
    }
    assert_eq!(
        cursor.covered(),
        Lsn(committed),
        "a walk covers the log to its commit"
    );
    for (id, known) in expected.view(committed) {
        if let Known::Live(content, _) = known {
            assert_eq!(
                last_seen.get(&id),
                Some(&*content),
                "a walk tells the last of each content"
            );
        }
    }
}

/// The walk over live contents gives each of them once, as it is.
fn check_live(reader: &Reader, view: &View, committed: u64) {
    let mut live = BTreeMap::new();
    let mut walk = reader.live(Lsn(committed));
    while let Some(content) = next_live(&mut walk) {
        assert!(
            live.insert(content.id, content).is_none(),
            "each content comes once"
        );
    }
    let due: BTreeMap<ContentId, Content> = view
        .iter()
        .filter_map(|(id, known)| match known {
            Known::Live(content, _) => Some((*id, Content::clone(content))),
            Known::Deleted { .. } => None,
        })
        .collect();
    assert_eq!(live, due);
}

/// Every byte of the log is accounted for, and what is said to be given back is given back.
pub(crate) fn check_space(disk: &SimulatedDisk, store: &Store, view: &View) {
    let live_bytes: u64 = view.values().map(Known::bytes).sum();
    let space = store.usage().space;
    assert_eq!(
        space.live + space.dead + space.overhead,
        space.log - space.holes,
        "the accounts do not balance: {space:?}"
    );
    let (mut files, mut length, mut allocated) = (0, 0, 0);
    for name in disk.list(&dir()).expect("the disk is healthy") {
        if name.ends_with(".seg") {
            let file = disk.open(&dir().join(&name)).expect("the disk is healthy");
            files += 1;
            length += file.len().expect("the disk is healthy");
            allocated += file.allocated().expect("the disk is healthy");
        }
    }
    assert_eq!(
        space.log, length,
        "segments are counted by their lengths: {space:?}"
    );
    assert!(
        allocated <= space.log - space.holes + files * (PAGE_BYTES - 1),
        "{allocated} bytes are taken: {space:?}"
    );
    assert!(
        space.live >= live_bytes,
        "{live_bytes} bytes are live: {space:?}"
    );
}
