//! The folder of one run, and what is left of those that were killed.

pub mod owner;
pub mod room;

use std::fs::File;
use std::path::Path;

use anyhow::Context;

use crate::{command, disks, network};

/// What the folders of runs are called.
const PREFIX: &str = "trial-";

/// The file in it that a run holds locked as long as it lives.
const LOCK: &str = "running";

/// A fresh folder, removed when dropped unless it is to be kept.
pub struct RunFolder {
    // Dropped first: what is in there is nobody's then.
    folder: tempfile::TempDir,
    _lock: File,
}

impl RunFolder {
    /// Makes a folder in `parent`, once what runs that were killed have left is gone: their services, loop
    /// devices and networks.
    ///
    /// # Errors
    /// When none can be made there.
    pub fn make(parent: &Path) -> anyhow::Result<Self> {
        // Nothing can be unmounted whose services still use it, nor does a network end before they do.
        tell("services", owner::end_orphans());
        // Where there are no loop devices, nobody has left any.
        tell("loop devices", clean_up(parent).or(Ok(0)));
        tell("parts of networks", network::remove_left());
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(parent)
            .with_context(|| format!("cannot use {}", parent.display()))?;
        let lock = File::create(folder.path().join(LOCK))?;
        lock.lock()?;
        Ok(RunFolder {
            folder,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Whether what is in there shall outlive the run.
    pub fn keep(&mut self, keep: bool) {
        self.folder.disable_cleanup(keep);
    }
}

/// Says what is gone, if there was any of it.
fn tell(what: &str, gone: anyhow::Result<usize>) {
    match gone {
        Ok(0) => {}
        Ok(count) => eprintln!("trials: {count} {what} of runs that were killed are gone"),
        Err(error) => command::report(Err(error)),
    }
}

/// Gives back the loop devices of runs that are over; of those in `parent` also if their folders are gone.
fn clean_up(parent: &Path) -> anyhow::Result<usize> {
    let parent = parent.canonicalize()?;
    disks::detach(|image| belongs_to_one_over(&parent, image))
}

/// Whether this is an image of a run whose lock nobody holds. Where there is no lock, only the run's place tells
/// that the folder was removed with it: elsewhere it may be one that this process does not see.
fn belongs_to_one_over(parent: &Path, image: &Path) -> bool {
    let Some(run) = image.ancestors().find(|folder| is_of_a_run(folder)) else {
        return false;
    };
    match File::open(run.join(LOCK)) {
        Ok(lock) => lock.try_lock().is_ok(),
        Err(_) => run.parent() == Some(parent),
    }
}

fn is_of_a_run(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a run takes the disks of another one away, or nobody removes those of a killed one.
    #[test]
    fn only_what_belongs_to_runs_that_are_over_is_cleaned_up() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let parent = parent.path().canonicalize().expect("is there");
        let elsewhere = tempfile::tempdir().expect("a temporary folder");
        let goes = |run: &Path| belongs_to_one_over(&parent, &run.join("run/node1.img"));
        assert!(!goes(&parent.join("other")), "is no run's");
        for place in [parent.as_path(), elsewhere.path()] {
            let mut run = RunFolder::make(place).expect("makes one");
            run.keep(true);
            let path = run.path().to_owned();
            assert!(!goes(&path), "it runs");
            drop(run);
            assert!(goes(&path), "it was kept");
        }
        assert!(goes(&parent.join("trial-x")), "it was removed");
        assert!(!goes(&elsewhere.path().join("trial-x")), "may be anybody's");
    }
}
