//! Settings that may change while the service runs: many read one, a reload replaces it, and the
//! log tells what became of each.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::given::SettingError;

/// The value as it is now. Clones are the same setting.
pub struct Current<T>(Arc<RwLock<Arc<T>>>);

impl<T> Current<T> {
    /// This value at first.
    pub fn new(value: T) -> Self {
        Current(Arc::new(RwLock::new(Arc::new(value))))
    }

    /// The value. It stays what it is for who has it; who reads again gets the next one.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the value.
    pub fn set(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

impl<T> Clone for Current<T> {
    fn clone(&self) -> Self {
        Current(Arc::clone(&self.0))
    }
}

impl<T: fmt::Debug> fmt::Debug for Current<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(formatter)
    }
}

/// What became of settings that were read again.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Those that count from now on.
    pub taken: Vec<&'static str>,
    /// Those that are other ones now, and count after a restart.
    pub left: Vec<&'static str>,
}

impl Reloaded {
    /// Takes a setting over if it is another one now.
    pub fn take<T: PartialEq>(
        &mut self,
        name: &'static str,
        now: &mut T,
        new: T,
        apply: impl FnOnce(&T),
    ) {
        if *now != new {
            apply(&new);
            *now = new;
            self.taken.push(name);
        }
    }

    /// Leaves a setting as it is, although it is another one now.
    pub fn leave(&mut self, name: &'static str) {
        self.left.push(name);
    }
}

/// Tells the log how it went.
pub fn tell(outcome: &Result<Reloaded, SettingError>) {
    match outcome {
        Ok(reloaded) => {
            let changed = match &reloaded.taken[..] {
                [] => "nothing".to_owned(),
                taken => taken.join(", "),
            };
            tracing::info!(changed, "the settings were read again");
            if !reloaded.left.is_empty() {
                let settings = reloaded.left.join(", ");
                tracing::warn!(settings, "these changed too, and count after a restart");
            }
        }
        Err(error) => tracing::error!(%error, "the settings stay as they were"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, the log tells of changes that were not made, or a change is made half.
    #[test]
    fn only_what_is_another_one_is_taken() {
        let mut done = Reloaded::default();
        let (mut kept, mut changed, mut applied) = (1, 2, Vec::new());
        done.take("kept", &mut kept, 1, |new| applied.push(*new));
        done.take("changed", &mut changed, 3, |new| applied.push(*new));
        done.leave("left");
        assert_eq!((kept, changed, applied), (1, 3, vec![3]));
        let (taken, left) = (vec!["changed"], vec!["left"]);
        assert_eq!(done, Reloaded { taken, left });
    }

    // If this fails, a reload reaches some parts of a service and not others, or a request sees two
    // values of one setting.
    #[test]
    fn clones_are_one_setting_and_readers_keep_what_they_read() {
        let setting = Current::new("old");
        let elsewhere = setting.clone();
        let read = elsewhere.get();
        setting.set("new");
        assert_eq!((*read, *elsewhere.get()), ("old", "new"));
        assert_eq!(format!("{elsewhere:?}"), "\"new\"");
    }
}
