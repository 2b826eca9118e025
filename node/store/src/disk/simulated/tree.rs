//! The directories of a simulated disk: names as they are now, and as they are for certain after
//! a power loss. It knows files by number only.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::random::Random;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    File(u64),
    Dir,
}

/// The names in one directory.
type Names = BTreeMap<String, Entry>;

/// A name, and the directory that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    dir: PathBuf,
    name: String,
}

/// One change of a directory that is not durable yet.
#[derive(Clone, Debug)]
enum Step {
    Link { at: Place, entry: Entry },
    Unlink { at: Place, file: u64 },
    Rename { from: Place, to: Place, file: u64 },
}

/// All directories, by their paths; `now` is `durable` with `unsynced` applied.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    now: BTreeMap<PathBuf, Names>,
    durable: BTreeMap<PathBuf, Names>,
    unsynced: Vec<Step>,
}

impl Tree {
    /// The root alone, durable.
    pub(super) fn new() -> Self {
        let root = BTreeMap::from([(PathBuf::from("/"), Names::new())]);
        Tree {
            now: root.clone(),
            durable: root,
            unsynced: Vec::new(),
        }
    }

    /// The file of this name.
    pub(super) fn file(&self, path: &Path) -> io::Result<u64> {
        let at = self.place(path)?;
        match self.now[&at.dir].get(&at.name) {
            Some(Entry::File(file)) => Ok(*file),
            Some(Entry::Dir) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn names(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names = self.now.get(dir).ok_or(ErrorKind::NotFound)?;
        Ok(names.keys().cloned().collect())
    }

    pub(super) fn create(&mut self, path: &Path, file: u64) -> io::Result<()> {
        let at = self.place(path)?;
        if self.now[&at.dir].contains_key(&at.name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.change(Step::Link {
            at,
            entry: Entry::File(file),
        });
        Ok(())
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        if self.now.contains_key(path) {
            return Ok(());
        }
        let at = self.place(path)?;
        if self.now[&at.dir].contains_key(&at.name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.change(Step::Link {
            at,
            entry: Entry::Dir,
        });
        self.now.insert(path.to_owned(), Names::new());
        self.durable.insert(path.to_owned(), Names::new());
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.file(from)?;
        let (from, to) = (self.place(from)?, self.place(to)?);
        if self.now[&to.dir].get(&to.name) == Some(&Entry::Dir) {
            return Err(ErrorKind::IsADirectory.into());
        }
        if from != to {
            self.change(Step::Rename { from, to, file });
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let file = self.file(path)?;
        let at = self.place(path)?;
        self.change(Step::Unlink { at, file });
        Ok(())
    }

    /// Makes every change of this directory durable; true if there was one.
    pub(super) fn sync(&mut self, dir: &Path) -> io::Result<bool> {
        if !self.now.contains_key(dir) {
            return Err(ErrorKind::NotFound.into());
        }
        let due = self.due(dir);
        let is_changed = due.contains(&true);
        let steps = std::mem::take(&mut self.unsynced);
        for (step, due) in steps.into_iter().zip(due) {
            if due {
                step.apply(&mut self.durable);
            } else {
                self.unsynced.push(step);
            }
        }
        Ok(is_changed)
    }

    /// Which of the unsynced changes a sync of this directory makes durable: those of its names,
    /// and, when one of them is a rename into or out of another directory, what happened to that
    /// other name before.
    fn due(&self, dir: &Path) -> Vec<bool> {
        let mut named: Vec<&Place> = Vec::new();
        let mut due = vec![false; self.unsynced.len()];
        for (step, due) in self.unsynced.iter().zip(&mut due).rev() {
            let places = step.places();
            *due = places
                .iter()
                .any(|place| place.dir == dir || named.contains(place));
            if *due {
                named.extend(places);
            }
        }
        due
    }

    /// The directories after a power loss: of the changes that were not synced, the first few, or
    /// any of them.
    pub(super) fn crash(&self, random: &mut Random) -> Tree {
        let mut durable = self.durable.clone();
        let in_order = random.chance(1, 2);
        let first = random.between(0, self.unsynced.len() as u64);
        for (number, step) in (0..).zip(&self.unsynced) {
            let happened = if in_order {
                number < first
            } else {
                random.chance(1, 2)
            };
            if happened {
                step.apply(&mut durable);
            }
        }
        let mut reachable = BTreeMap::new();
        keep_reachable(Path::new("/"), &durable, &mut reachable);
        Tree {
            now: reachable.clone(),
            durable: reachable,
            unsynced: Vec::new(),
        }
    }

    /// The files that have a name now.
    pub(super) fn linked(&self) -> BTreeSet<u64> {
        files_of(&self.now).collect()
    }

    /// The files that have a name, or may have one after a power loss.
    pub(super) fn mentioned(&self) -> BTreeSet<u64> {
        let pending = self.unsynced.iter().filter_map(Step::file);
        files_of(&self.now)
            .chain(files_of(&self.durable))
            .chain(pending)
            .collect()
    }

    /// Whether this file is one of those.
    pub(super) fn mentions(&self, file: u64) -> bool {
        let is_it = |other| other == file;
        files_of(&self.now).any(is_it)
            || files_of(&self.durable).any(is_it)
            || self.unsynced.iter().filter_map(Step::file).any(is_it)
    }

    fn change(&mut self, step: Step) {
        step.apply(&mut self.now);
        self.unsynced.push(step);
    }

    /// Takes a path apart; its directory must exist.
    fn place(&self, path: &Path) -> io::Result<Place> {
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(ErrorKind::InvalidInput.into());
        };
        if !self.now.contains_key(dir) {
            return Err(ErrorKind::NotFound.into());
        }
        let name = name.to_str().ok_or(ErrorKind::InvalidInput)?;
        Ok(Place {
            dir: dir.to_owned(),
            name: name.to_owned(),
        })
    }
}

impl Step {
    /// The names that it changes. A rename is atomic: it is durable under both of its names as
    /// soon as it is under one of them.
    fn places(&self) -> Vec<&Place> {
        match self {
            Step::Link { at, .. } | Step::Unlink { at, .. } => vec![at],
            Step::Rename { from, to, .. } => vec![from, to],
        }
    }

    fn file(&self) -> Option<u64> {
        match self {
            Step::Link {
                entry: Entry::Dir, ..
            } => None,
            Step::Link {
                entry: Entry::File(file),
                ..
            }
            | Step::Unlink { file, .. }
            | Step::Rename { file, .. } => Some(*file),
        }
    }

    fn apply(&self, dirs: &mut BTreeMap<PathBuf, Names>) {
        match self {
            Step::Link { at, entry } => link(dirs, at, *entry),
            Step::Unlink { at, file } => unlink(dirs, at, *file),
            Step::Rename { from, to, file } => {
                unlink(dirs, from, *file);
                link(dirs, to, Entry::File(*file));
            }
        }
    }
}

fn link(dirs: &mut BTreeMap<PathBuf, Names>, at: &Place, entry: Entry) {
    if let Some(names) = dirs.get_mut(&at.dir) {
        names.insert(at.name.clone(), entry);
    }
}

/// Takes a name away, if it still stands for this file.
fn unlink(dirs: &mut BTreeMap<PathBuf, Names>, at: &Place, file: u64) {
    if let Some(names) = dirs.get_mut(&at.dir)
        && names.get(&at.name) == Some(&Entry::File(file))
    {
        names.remove(&at.name);
    }
}

fn files_of(dirs: &BTreeMap<PathBuf, Names>) -> impl Iterator<Item = u64> {
    dirs.values()
        .flat_map(Names::values)
        .filter_map(|entry| match entry {
            Entry::File(file) => Some(*file),
            Entry::Dir => None,
        })
}

/// Copies a directory and all that can be reached from it: a directory whose own name was lost
/// takes its files with it.
fn keep_reachable(
    dir: &Path,
    all: &BTreeMap<PathBuf, Names>,
    reachable: &mut BTreeMap<PathBuf, Names>,
) {
    let names = all.get(dir).cloned().unwrap_or_default();
    for (name, _) in names.iter().filter(|(_, entry)| **entry == Entry::Dir) {
        keep_reachable(&dir.join(name), all, reachable);
    }
    reachable.insert(dir.to_owned(), names);
}
