//! The driver's process, and through it the browser's.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::WebError;

/// Runs the driver until it is told to stop, or until the test's process is gone. All that it started
/// is in one group, which ends with it.
const GUARD: &str = r#"
    folder=$1
    shift
    "$@" & driver=$!
    read -r word
    kill "$driver"
    wait "$driver"
    test "$word" = stop || rm -rf -- "$folder"
    kill -KILL 0
"#;

/// A running driver; dropped, it is stopped, and every browser with it.
pub(crate) struct Driver {
    guard: Child,
    pub(crate) url: String,
    pub(crate) chromium: PathBuf,
    pub(crate) folder: TempDir,
}

impl Driver {
    pub(crate) fn start() -> Result<Self, WebError> {
        let chromium = find("chromium", "chromium")?;
        let driver = find("chromedriver", "chromium-driver")?;
        let folder = tempfile::Builder::new().prefix("webtest-").tempdir()?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "guard"])
            .arg(folder.path())
            .arg(driver)
            .args([&format!("--port={port}"), "--log-level=OFF"])
            // Settings and caches of the browser stay in the folder as well.
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Driver {
            guard,
            url: format!("http://127.0.0.1:{port}"),
            chromium,
            folder,
        })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // If the guard is gone already, there is nobody to tell.
        if let Some(mut input) = self.guard.stdin.take() {
            input.write_all(b"stop\n").ok();
        }
        if let Err(error) = self.guard.wait() {
            debug_assert!(false, "waiting for the driver: {error}");
        }
    }
}

fn find(program: &'static str, package: &'static str) -> Result<PathBuf, WebError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .ok_or(WebError::NotInstalled { program, package })
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a machine without a browser says nothing of what to install.
    #[test]
    fn what_is_missing_is_named() {
        let error = find("no-such-browser", "some-package").expect_err("is none");
        assert!(
            error
                .to_string()
                .contains("install the Debian package `some-package`")
        );
    }

    // If this fails, every run of the tests leaves processes and a folder behind.
    #[test]
    fn nothing_is_left() {
        let driver = Driver::start().expect("the driver starts");
        let folder = driver.folder.path().to_owned();
        let port = driver
            .url
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        drop(driver);
        assert!(!folder.exists());
        let port: u16 = port.expect("a port");
        std::net::TcpStream::connect(("127.0.0.1", port)).expect_err("nobody listens");
    }
}
