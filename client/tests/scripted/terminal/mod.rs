//! Running the real binary on a terminal of its own.

mod painted;
mod watched;

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A terminal, and what was written to it so far.
pub(crate) struct Terminal {
    keys: File,
    /// The end that programs have.
    line: File,
    shown: Arc<(Mutex<String>, Condvar)>,
}

impl Terminal {
    /// A terminal of 100 columns and 24 rows.
    pub(crate) fn open() -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&keys).expect("it is ours");
        unlockpt(&keys).expect("it opens");
        let path = ptsname(&keys, Vec::new()).expect("it has a name");
        let path = std::ffi::OsStr::from_bytes(path.as_bytes());
        let line = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .expect("opens");
        let size = Winsize {
            ws_row: 24,
            ws_col: 100,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&line, size).expect("it has a size");
        let keys = File::from(keys);
        let shown = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let (mut reader, written) = (keys.try_clone().expect("cloned"), shown.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // It ends with an error when nobody holds the other end any more.
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                let (text, changed) = &*written;
                let mut text = text.lock().expect("no thread panics with it");
                text.push_str(&String::from_utf8_lossy(&buffer[..read]));
                changed.notify_all();
            }
        });
        Terminal { keys, line, shown }
    }

    /// Starts a program that has nothing but this terminal.
    pub(crate) fn spawn(&self, command: &mut Command) -> Child {
        let end = || Stdio::from(self.line.try_clone().expect("cloned"));
        command.stdin(end()).stdout(end()).stderr(end());
        command.spawn().expect("starts")
    }

    /// Waits until what was shown is so, and gives it back.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let (text, changed) = &*self.shown;
        let text = text.lock().expect("no thread panics with it");
        let waited = changed.wait_timeout_while(text, PATIENCE, |text| !is_so(text));
        let (text, timed_out) = waited.expect("no thread panics with it");
        assert!(
            !timed_out.timed_out(),
            "{what}: not within {PATIENCE:?} in {text:?}"
        );
        text.clone()
    }

    /// Waits until a text was shown so often.
    #[track_caller]
    pub(crate) fn until_shown(&self, text: &str, times: usize) -> String {
        self.until(text, |shown| shown.matches(text).count() >= times)
    }

    pub(crate) fn press(&mut self, key: &str) {
        self.keys.write_all(key.as_bytes()).expect("pressed");
    }

    /// Whether keys come at once, unseen, instead of line by line.
    pub(crate) fn reads_keys(&self) -> bool {
        let modes = tcgetattr(&self.line).expect("a terminal").local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Whether lines come whole and are seen, as a shell expects.
    pub(crate) fn reads_lines(&self) -> bool {
        let modes = tcgetattr(&self.line).expect("a terminal").local_modes;
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }
}
