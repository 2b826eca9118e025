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
        let is_due = |since: &mut Instant| since.elapsed() >= LOOK_AGAIN_AFTER;
        reader.damage_count() == 0 && self.left_out.take_if(is_due).is_some()
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
