//! The account that the server runs under when the tests run as root.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::StartError;

/// An account by its numbers.
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account to switch to; none when we are not root.
    pub(crate) fn to_switch_to() -> Result<Option<Self>, StartError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = std::fs::read_to_string("/etc/passwd")?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| find(&passwd, name))
            .map(Some)
            .ok_or(StartError::NoAccount)
    }

    /// Makes a folder this account's.
    pub(crate) fn give(&self, folder: &Path) -> Result<(), StartError> {
        std::os::unix::fs::chown(folder, Some(self.uid), Some(self.gid))?;
        Ok(())
    }

    /// Makes a command run under this account.
    pub(crate) fn apply(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

fn find(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { uid, gid })
    })
}
