//! What the catalog is not shown, because it cannot be read here.

use std::time::{Duration, Instant};

use store::{Lost, ReadError, Reader};

/// How long records that cannot be read are waited for, before the catalog goes on without them: other
/// copies mend them within seconds, if there are any.
pub(super) const MEND_TIME_MAX: Duration = Duration::from_secs(60);

/// How long a catalog that went on without some is left alone, before it is shown everything again.
pub(super) const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// What one shard's catalog waits for, or does without.
#[derive(Default)]
pub(super) struct Unread {
    /// Since when records that it needs cannot be read.
    awaited: Option<Instant>,
    /// When it went on without some.
    left_out: Option<Instant>,
}

impl Unread {
    /// Whether the catalog goes on although `passed` could not be read.
    ///
    /// # Errors
    /// While that may still be mended.
    pub(super) fn wait(&mut self, passed: Option<Lost>) -> Result<Passed, ReadError> {
        if passed.is_none() {
            self.awaited = None;
            return Ok(Passed::Nothing);
        }
        let since = self.awaited.get_or_insert_with(Instant::now);
        if since.elapsed() < MEND_TIME_MAX {
            let what = "records that the catalog needs cannot be read yet".to_owned();
            return Err(ReadError::Damaged { what });
        }
        self.awaited = None;
        self.left_out = Some(Instant::now());
        Ok(Passed::Damage)
    }

    /// Whether what was left out may be there by now; true once for each time that it was.
    pub(super) fn look_again(&mut self, reader: &Reader) -> bool {
        let is_due = |since: Instant| since.elapsed() >= LOOK_AGAIN_AFTER;
        let is_there = self.left_out.is_some_and(is_due) && reader.damage().hides_nothing();
        if is_there {
            self.left_out = None;
        }
        is_there
    }

    #[cfg(test)]
    pub(super) fn pass(&mut self, time: Duration) {
        let earlier =
            |at: &mut Instant| *at = at.checked_sub(time).expect("the clock is past that");
        let all = self.awaited.iter_mut().chain(&mut self.left_out);
        all.for_each(earlier);
    }
}

/// What the catalog went past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// Nothing that it needs.
    Nothing,
    /// Records that nobody has mended.
    Damage,
}

#[cfg(test)]
mod tests {
    use store::stage::{Stage, body, id};
    use wire::Lsn;

    use super::*;

    // If this fails, a content whose bytes are wrong on every replica keeps others out of the catalog that were
    // mended long ago.
    #[test]
    fn a_content_that_is_only_doubted_hides_nothing() {
        let mut stage = Stage::new();
        stage.put(1, &body(1, 100));
        stage.settle();
        let reader = stage.store.reader();
        let (first, last) = (Lsn(2), Lsn(2));
        let mut unread = Unread::default();
        unread.wait(Some(Lost { first, last })).expect_err("waits");
        unread.pass(MEND_TIME_MAX);
        let passed = unread.wait(Some(Lost { first, last }));
        assert_eq!(passed.expect("goes on"), Passed::Damage);
        reader.open(id(1)).expect("is there").doubt();
        assert!(reader.damage_count() > 0 && !unread.look_again(&reader));
        unread.pass(LOOK_AGAIN_AFTER);
        assert!(unread.look_again(&reader));
        assert!(!unread.look_again(&reader), "once");
    }
}
