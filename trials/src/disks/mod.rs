//! A disk for each node that can lose its power: an ext4 file system in an image, on a loop device.
//! It needs root, `mkfs.ext4`, `losetup`, `mount`, and `python3` for one system call.
//!
//! A loop device outlives the process that made it. So whatever is still mounted when a disk is dropped
//! is unmounted lazily, and each run first removes the devices of runs that were killed.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::command::{self, ask, run};

/// How large a disk is; its image takes only what is written.
const DISK_BYTES: u64 = 2 << 30;

/// Ends the file system at once: nothing is flushed any more, not even its journal, and every later
/// access fails. (`EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`; a system call that safe
/// Rust does not have.)
const POWER_OFF: &str = "import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";

/// What is left free on a disk that is nearly full: less than the store reserves at a time.
const LEFT_BYTES: u64 = 3 << 20;

/// How full a disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// A little is left.
    Nearly,
    /// Not one block is left.
    Whole,
}

/// How long a disk may be in use after its process was killed.
const UNMOUNT_TIME_MAX: Duration = Duration::from_secs(5);

/// For how long what nodes free is taken again, when a disk is filled.
const FILL_TIME_MAX: Duration = Duration::from_secs(5);

/// A mounted disk. Dropped, it is unmounted; its image stays, with what a violation left there.
pub struct Disk {
    image: PathBuf,
    folder: PathBuf,
    device: String,
}

impl Disk {
    /// Makes a disk, and mounts it at `folder`.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn make(folder: &Path) -> anyhow::Result<Self> {
        let image = folder.with_extension("img");
        std::fs::create_dir_all(folder)?;
        File::create(&image)?.set_len(DISK_BYTES)?;
        let mut disk = Disk {
            folder: folder.to_path_buf(),
            device: String::new(),
            image,
        };
        let image = disk.image.to_string_lossy();
        // Nothing is kept for root, as whom the services run here: a full disk is full.
        run("mkfs.ext4", &["-q", "-F", "-m", "0", &image])?;
        disk.mount()?;
        Ok(disk)
    }

    /// Cuts the power: what was not synced is gone. Whoever uses it must be killed before it is
    /// switched on again.
    ///
    /// # Errors
    /// When the file system cannot be ended.
    pub fn power_off(&self) -> anyhow::Result<()> {
        run(
            "python3",
            &["-c", POWER_OFF, &self.folder.to_string_lossy()],
        )
    }

    /// Mounts it anew, by what reached the image; the journal is replayed.
    ///
    /// # Errors
    /// When somebody still uses it, or the file system is broken.
    pub fn power_on(&mut self) -> anyhow::Result<()> {
        self.unmount()?;
        self.mount()
    }

    /// Fills it.
    ///
    /// # Errors
    /// When it cannot be filled.
    pub fn fill(&self, fill: Fill) -> anyhow::Result<()> {
        let folder = self.folder.to_string_lossy();
        let free = ask("df", &["--block-size=1", "--output=avail", &folder])?;
        let free: u64 = free.lines().last().unwrap_or_default().trim().parse()?;
        let bytes = free.saturating_sub(LEFT_BYTES).max(1).to_string();
        let filler = self.filler();
        let reserved = run("fallocate", &["-l", &bytes, &filler.to_string_lossy()]);
        // Whoever writes meanwhile may take what was free a moment ago: full it is then.
        reserved.or_else(|error| match error.to_string().contains("No space left") {
            true => Ok(()),
            false => Err(error),
        })?;
        if fill == Fill::Nearly {
            return Ok(());
        }
        let mut rest = File::options().append(true).open(self.filler())?;
        let begun = Instant::now();
        // Nodes may free as much as is taken here, for as long as they have something to give back.
        while begun.elapsed() < FILL_TIME_MAX {
            let written = rest.write_all(&[7; 4096]);
            match written.and_then(|()| rest.sync_data()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Frees what [`Disk::fill`] took.
    ///
    /// # Errors
    /// When it cannot be freed.
    pub fn free(&self) -> anyhow::Result<()> {
        match std::fs::remove_file(self.filler()) {
            // The power went before it was on the disk.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => removed.context("cannot free the disk")?,
        }
        // Else it would be back after the next power loss.
        File::open(self.folder.join("lost+found"))?.sync_all()?;
        Ok(())
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("lost+found/filler")
    }

    fn mount(&mut self) -> anyhow::Result<()> {
        let image = self.image.to_string_lossy();
        self.device = ask("losetup", &["--find", "--show", &image])?;
        run("mount", &[&self.device, &self.folder.to_string_lossy()])
    }

    /// Gives the device back whoever still uses it: a process that does keeps its open files, and the
    /// device goes with the last of them.
    fn abandon(&mut self) -> anyhow::Result<()> {
        let device = std::mem::take(&mut self.device);
        let unmounted = run("umount", &["--lazy", &self.folder.to_string_lossy()]);
        if device.is_empty() {
            return unmounted;
        }
        run("losetup", &["--detach", &device]).and(unmounted)
    }

    fn unmount(&mut self) -> anyhow::Result<()> {
        if self.device.is_empty() {
            return Ok(());
        }
        let folder = self.folder.to_string_lossy().into_owned();
        let begun = Instant::now();
        // A process that was killed lets go of its files a moment later.
        while let Err(error) = run("umount", &[&folder]) {
            if begun.elapsed() > UNMOUNT_TIME_MAX {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        run("losetup", &["--detach", &std::mem::take(&mut self.device)])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            eprintln!("trials: {error:#}; its device is given up");
            command::report(self.abandon());
        }
    }
}

/// Unmounts and detaches the loop devices whose images lie, or lay, in a place that is over. Gives how
/// many there were.
///
/// # Errors
/// When the system does not tell of its loop devices, or does not let one go.
pub(crate) fn detach(is_over: impl Fn(&Path) -> bool) -> anyhow::Result<usize> {
    let listed = ask(
        "losetup",
        &[
            "--list",
            "--noheadings",
            "--raw",
            "--output",
            "NAME,BACK-FILE",
        ],
    )?;
    let mut cleaned = 0;
    for (device, image) in listed.lines().filter_map(|line| line.split_once(' ')) {
        // Of a file that was removed since, this is what is told behind its path.
        let image = image
            .trim_end_matches("(deleted)")
            .trim_end_matches("\\x20");
        if !is_over(Path::new(image)) {
            continue;
        }
        let mounts = ask(
            "findmnt",
            &["--noheadings", "--raw", "--output", "TARGET", device],
        );
        for folder in mounts.unwrap_or_default().lines() {
            run("umount", &["--lazy", folder])?;
        }
        // Unmounted, it may have gone by itself.
        let is_attached = ask("losetup", &["--list", "--noheadings", device]);
        if is_attached.is_ok_and(|told| !told.is_empty()) {
            run("losetup", &["--detach", device])?;
        }
        cleaned += 1;
    }
    Ok(cleaned)
}

/// Why no disk can be made here; nothing when it can.
pub fn obstacle(folder: &Path) -> Option<String> {
    let tried = Disk::make(&folder.join("probe")).and_then(|mut disk| {
        disk.power_off()?;
        disk.power_on()
    });
    tried.err().map(|error| format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loop devices whose images lie below a folder.
    fn devices(below: &Path) -> usize {
        let listed = ask(
            "losetup",
            &["--list", "--noheadings", "--output", "BACK-FILE"],
        );
        let below = below.to_string_lossy().into_owned();
        let listed = listed.expect("tells its devices");
        listed
            .lines()
            .filter(|image| image.contains(&below))
            .count()
    }

    // If this fails, each run that is killed leaves loop devices behind, until there are none.
    #[test]
    fn a_disk_that_is_in_use_leaves_no_device_behind() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if let Some(why) = obstacle(folder.path()) {
            return command::skipped("a_disk_that_is_in_use_leaves_no_device_behind", &why);
        }
        let disk = Disk::make(&folder.path().join("node1")).expect("makes a disk");
        let held = File::create(folder.path().join("node1/held")).expect("makes a file");
        assert_eq!(devices(folder.path()), 1);
        drop(disk);
        drop(held);
        assert_eq!(devices(folder.path()), 0, "dropped while a file is open");

        let killed = Disk::make(&folder.path().join("node2")).expect("makes a disk");
        std::mem::forget(killed);
        assert_eq!(devices(folder.path()), 1);
        let clean_up = |below: &Path| detach(|image| image.starts_with(below));
        let elsewhere = folder.path().join("node");
        assert_eq!(clean_up(&elsewhere).expect("looks"), 0);
        assert_eq!(clean_up(folder.path()).expect("cleans up"), 1);
        assert_eq!(devices(folder.path()), 0);
    }
}
