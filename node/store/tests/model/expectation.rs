//! What a log must hold: a plain list of changes by lsn. It knows nothing of files.

use std::collections::BTreeMap;

use bytes::Bytes;
use store::{Content, Describe, NewContent};
use wire::limits::DELETE_RECORD_LIFE_MS;
use wire::{Checksum, ContentId};

/// What one record did to the contents; records that did nothing to any are not kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// A first or a later version.
    Stored(Content, Bytes),
    /// Other metadata.
    Described(Content),
    /// The end of a content.
    Deleted {
        id: ContentId,
        version: u64,
        time_ms: u64,
    },
}

/// What is known of one id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Known {
    /// It has this metadata and these bytes.
    Live(Box<Content>, Bytes),
    /// It was deleted at this time.
    Deleted { version: u64, time_ms: u64 },
}

/// The contents as of one lsn.
pub(crate) type View = BTreeMap<ContentId, Known>;

/// All changes that were appended, and how far they are promised.
///
/// `appended >= synced >= committed`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expectation {
    effects: BTreeMap<u64, Effect>,
    /// Synced: what a power loss must leave.
    pub(crate) synced: u64,
    /// Committed, and so acknowledged.
    pub(crate) committed: u64,
}

impl Expectation {
    /// Notes what the record at `lsn` does once it is committed.
    pub(crate) fn note(&mut self, lsn: u64, effect: Effect) {
        let before = self.effects.insert(lsn, effect);
        assert!(before.is_none(), "lsn {lsn} was given to two changes");
    }

    /// The contents as of `lsn`.
    pub(crate) fn view(&self, lsn: u64) -> View {
        let mut view = View::new();
        for effect in self.effects.range(..=lsn).map(|(_, effect)| effect) {
            match effect {
                Effect::Stored(content, bytes) => {
                    view.insert(
                        content.id,
                        Known::Live(Box::new(content.clone()), bytes.clone()),
                    );
                }
                Effect::Described(content) => {
                    let Some(Known::Live(held, _)) = view.get_mut(&content.id) else {
                        panic!("{} is described and not live", content.id);
                    };
                    **held = content.clone();
                }
                Effect::Deleted {
                    id,
                    version,
                    time_ms,
                } => {
                    view.insert(
                        *id,
                        Known::Deleted {
                            version: *version,
                            time_ms: *time_ms,
                        },
                    );
                }
            }
        }
        view
    }

    /// How many contents are live as of `lsn`.
    pub(crate) fn live(&self, lsn: u64) -> u64 {
        self.view(lsn)
            .values()
            .filter(|known| matches!(known, Known::Live(..)))
            .count() as u64
    }

    /// The contents as decisions see them: pending changes included.
    pub(crate) fn pending(&self) -> View {
        self.view(u64::MAX)
    }

    /// The changes after one lsn, up to another.
    pub(crate) fn between(&self, after: u64, upto: u64) -> impl Iterator<Item = (u64, &Effect)> {
        self.effects
            .range(..=upto)
            .skip_while(move |(lsn, _)| **lsn <= after)
            .map(|(lsn, effect)| (*lsn, effect))
    }

    /// Forgets what lies above `lsn`: it was truncated, or did not survive.
    pub(crate) fn truncate_after(&mut self, lsn: u64) {
        self.effects.split_off(&(lsn + 1));
        self.synced = self.synced.min(lsn);
    }

    /// Every id that any change names, committed or not.
    pub(crate) fn ids(&self) -> Vec<ContentId> {
        self.pending().into_keys().collect()
    }
}

impl Known {
    /// How many bytes it must take at least.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Known::Live(content, _) => content.size,
            Known::Deleted { .. } => 0,
        }
    }

    /// Whether the delete's record may be gone, so that nothing is known of the id any more.
    pub(crate) fn is_forgettable(&self, now_ms: u64) -> bool {
        matches!(self, Known::Deleted { time_ms, .. }
            if time_ms.saturating_add(DELETE_RECORD_LIFE_MS) <= now_ms)
    }
}

/// The first version that an upload makes.
pub(crate) fn first_version(id: ContentId, new: &NewContent, time_ms: u64) -> Content {
    Content {
        id,
        version: 1,
        filename: new.filename.clone(),
        content_type: new.content_type.clone(),
        collection: new.collection.clone(),
        attributes: new.attributes.clone(),
        size: new.size,
        checksum: new.checksum,
        created_ms: time_ms,
        updated_ms: time_ms,
        created_size: new.size,
        created_checksum: new.checksum,
        base_checksum: None,
    }
}

/// The version that an update makes of `old`.
pub(crate) fn next_version(old: &Content, new: &NewContent, time_ms: u64) -> Content {
    Content {
        version: old.version + 1,
        collection: new.collection.clone().or_else(|| old.collection.clone()),
        attributes: new.attributes.clone().or_else(|| old.attributes.clone()),
        created_ms: old.created_ms,
        created_size: old.created_size,
        created_checksum: old.created_checksum,
        base_checksum: Some(old.checksum),
        ..first_version(old.id, new, time_ms)
    }
}

/// `old` under other metadata.
pub(crate) fn described(old: &Content, change: &Describe, time_ms: u64) -> Content {
    let mut content = old.clone();
    content.updated_ms = time_ms;
    if let Some(filename) = &change.filename {
        content.filename.clone_from(filename);
    }
    if let Some(content_type) = &change.content_type {
        content.content_type.clone_from(content_type);
    }
    if let Some(attributes) = &change.attributes {
        content.attributes = Some(attributes.clone());
    }
    content
}

/// The checksum that names some bytes.
pub(crate) fn checksum_of(bytes: &[u8]) -> Checksum {
    Checksum(*blake3::hash(bytes).as_bytes())
}
