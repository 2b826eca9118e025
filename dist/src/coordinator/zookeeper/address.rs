//! Where ZooKeeper is, as an operator writes it down.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

const SCHEME: &str = "zookeeper://";

const PORT_DEFAULT: u16 = 2181;

const PATH_DEFAULT: &str = "/acequia";

/// `zookeeper://[USER:PASSWORD@]HOST[:PORT],…[/PATH]`: servers of one ensemble, and the path under
/// which a cluster keeps its records. It is shown without the password.
#[derive(Clone, PartialEq, Eq)]
pub struct ZooKeeperAddress {
    /// `HOST:PORT,…`
    servers: String,
    path: String,
    /// `USER:PASSWORD`
    login: Option<String>,
}

/// Why a text is no address of ZooKeeper. Names no password.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ZooKeeperAddressError {
    /// It begins with something else.
    #[error("is not zookeeper://HOST:PORT,…/PATH")]
    Scheme,
    /// One of the servers cannot be one.
    #[error("names the server `{0}`, which is not HOST:PORT")]
    Server(String),
    /// ZooKeeper knows no such path.
    #[error("names the path `{0}`, which is none of ZooKeeper, or one of its own")]
    Path(String),
    /// What stands before the `@` is not a name and a password.
    #[error("names a user without a password, or not in UTF-8")]
    Login,
}

impl ZooKeeperAddress {
    pub(super) fn servers(&self) -> &str {
        &self.servers
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn login(&self) -> Option<&str> {
        self.login.as_deref()
    }
}

impl FromStr for ZooKeeperAddress {
    type Err = ZooKeeperAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text
            .strip_prefix(SCHEME)
            .ok_or(ZooKeeperAddressError::Scheme)?;
        // The last one: a password may hold what separates it from the servers.
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(read_login(login)?), rest),
            None => (None, rest),
        };
        let (servers, path) = match rest.find('/') {
            Some(end) => rest.split_at(end),
            None => (rest, ""),
        };
        let servers: Result<Vec<String>, _> = servers.split(',').map(read_server).collect();
        Ok(ZooKeeperAddress {
            servers: servers?.join(","),
            path: read_path(path)?,
            login,
        })
    }
}

impl fmt::Display for ZooKeeperAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}{}", self.servers, self.path)
    }
}

impl fmt::Debug for ZooKeeperAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn read_login(login: &str) -> Result<String, ZooKeeperAddressError> {
    let decoded = percent_decode_str(login).decode_utf8();
    let login = decoded.map_err(|_| ZooKeeperAddressError::Login)?;
    match login.split_once(':') {
        Some((user, password)) if !user.is_empty() && !password.is_empty() => {
            Ok(login.into_owned())
        }
        _ => Err(ZooKeeperAddressError::Login),
    }
}

fn read_server(server: &str) -> Result<String, ZooKeeperAddressError> {
    let refused = || ZooKeeperAddressError::Server(server.to_owned());
    // Colons within the brackets of an IPv6 address separate no port.
    let bracket = server.rfind(']').unwrap_or(0);
    let (host, port) = match server[bracket..].rfind(':') {
        Some(colon) => {
            let (host, port) = server.split_at(bracket + colon);
            (host, port[1..].parse().map_err(|_| refused())?)
        }
        None => (server, PORT_DEFAULT),
    };
    let in_brackets = host.starts_with('[') && host.ends_with(']');
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let address = |c: char| c.is_ascii_alphanumeric() || ":.%".contains(c);
    let is_host = if in_brackets {
        host.len() > 2 && host[1..host.len() - 1].chars().all(address)
    } else {
        !host.is_empty() && host.chars().all(plain)
    };
    if port == 0 || !is_host {
        return Err(refused());
    }
    Ok(format!("{host}:{port}"))
}

fn read_path(path: &str) -> Result<String, ZooKeeperAddressError> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return Ok(PATH_DEFAULT.to_owned());
    }
    let bad = |name: &str| {
        name.is_empty() || name == "." || name == ".." || name.chars().any(char::is_control)
    };
    let own = path == "/zookeeper" || path.starts_with("/zookeeper/");
    if own || path[1..].split('/').any(bad) {
        return Err(ZooKeeperAddressError::Path(path.to_owned()));
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a documented address is refused, or leads to other records than it says.
    #[test]
    fn addresses_are_read() {
        let cases = [
            ("zookeeper://zk", "zookeeper://zk:2181/acequia"),
            ("zookeeper://zk:1/", "zookeeper://zk:1/acequia"),
            (
                "zookeeper://zk1:2182,zk2/prod/cdn/",
                "zookeeper://zk1:2182,zk2:2181/prod/cdn",
            ),
            (
                "zookeeper://[::1]:2182,[fe80::1%25eth0]/a",
                "zookeeper://[::1]:2182,[fe80::1%25eth0]:2181/a",
            ),
            ("zookeeper://10.0.0.1/a", "zookeeper://10.0.0.1:2181/a"),
        ];
        for (text, expected) in cases {
            let address: ZooKeeperAddress = text.parse().expect(text);
            assert_eq!(address.to_string(), expected);
            assert_eq!(address.login(), None);
        }
    }

    // If this fails, a password with a special character is another one, or stands in the log.
    #[test]
    fn a_password_is_kept_and_not_shown() {
        let text = "zookeeper://cdn:p%40s@s:/w@zk:2181/a";
        let address: ZooKeeperAddress = text.parse().expect("is read");
        assert_eq!(address.login(), Some("cdn:p@s@s:/w"));
        assert_eq!(address.servers(), "zk:2181");
        for shown in [format!("{address}"), format!("{address:?}")] {
            assert_eq!(shown, "zookeeper://zk:2181/a");
        }
        for text in [
            "zookeeper://cdn@zk",
            "zookeeper://:x@zk",
            "zookeeper://%ff:x@zk",
        ] {
            let error = text.parse::<ZooKeeperAddress>().expect_err(text);
            assert_eq!(error, ZooKeeperAddressError::Login);
        }
    }

    // If this fails, somebody with a typo waits for a server that cannot be there.
    #[test]
    fn what_is_no_address_is_refused() {
        let error = |text: &str| text.parse::<ZooKeeperAddress>().expect_err(text);
        for text in ["", "zk:2181", "postgres://h/d", "zookeeper:/zk"] {
            assert_eq!(error(text), ZooKeeperAddressError::Scheme);
        }
        for server in [
            "", "zk:", "zk:0", "zk:65536", ":1", "a b", "[]", "tcp:", "[::1",
        ] {
            let expected = ZooKeeperAddressError::Server(server.to_owned());
            assert_eq!(error(&format!("zookeeper://{server}/a")), expected);
            assert_eq!(error(&format!("zookeeper://zk,{server}")), expected);
        }
        for path in [
            "//",
            "/a//b",
            "/./a",
            "/a/..",
            "/zookeeper",
            "/zookeeper/a",
            "/a\u{7f}",
        ] {
            let error = error(&format!("zookeeper://zk{path}"));
            assert!(matches!(error, ZooKeeperAddressError::Path(_)), "{path}");
        }
    }
}
