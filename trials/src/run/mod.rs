//! The folder of one run, and what is left of those that were killed.

pub mod owner;
pub mod room;

use std::fs::File;
use std::path::{Path, PathBuf};

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
    /// Makes a folder in `parent`, once what runs that were killed have left is gone: their services and
    /// networks, and the loop devices of those in `parent`.
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

/// Gives back the loop devices of runs in `parent` that are over.
fn clean_up(parent: &Path) -> anyhow::Result<usize> {
    let parent = parent.canonicalize()?;
    disks::detach(|image| run_of(&parent, image).is_some_and(|run| is_over(&run)))
}

/// The folder of the run whose image this is.
fn run_of(parent: &Path, image: &Path) -> Option<PathBuf> {
    let name = image.strip_prefix(parent).ok()?.iter().next()?;
    let is_run = name.to_str().is_some_and(|name| name.starts_with(PREFIX));
    is_run.then(|| parent.join(name))
}

/// Whether nobody holds a run's lock; it may have been removed with its folder.
fn is_over(run: &Path) -> bool {
    File::open(run.join(LOCK)).map_or(true, |lock| lock.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a run takes the disks of another one away, or nobody removes those of a killed one.
    #[test]
    fn only_what_belongs_to_runs_that_are_over_is_cleaned_up() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let parent = parent.path().canonicalize().expect("is there");
        let image = |run: &Path| run_of(&parent, &run.join("run/node1.img"));
        assert_eq!(image(&parent.join("other")), None);
        assert_eq!(image(Path::new("/trial-x")), None);
        let mut run = RunFolder::make(&parent).expect("makes one");
        run.keep(true);
        let path = run.path().to_owned();
        assert_eq!(image(&path), Some(path.clone()));
        assert!(!is_over(&path), "it runs");
        drop(run);
        assert!(is_over(&path), "it was kept");
        assert!(is_over(&parent.join("trial-x")), "it was removed");
    }
}
