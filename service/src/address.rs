//! The address that a service listens on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use crate::given::{Given, SettingError};

/// Why an address cannot be listened on. Displays as one line.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}")]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// The system's word.
    pub reason: io::Error,
}

/// Listens; tells the address that it got, with the port that was found for port 0.
///
/// # Errors
/// When the address is taken, or none of this machine's.
pub fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ListenError> {
    let fail = |reason| ListenError { address, reason };
    let listener = TcpListener::bind(address).map_err(fail)?;
    let bound = listener.local_addr().map_err(fail)?;
    Ok((listener, bound))
}

/// Where a service that listens on `bound` is reached from its own machine: what listens on every
/// address is also reached through loopback.
pub fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(ip, bound.port())
}

/// The first address of a host, which is looked up if it is a name.
pub(crate) fn look_up(host: &Given, port: u16) -> Result<SocketAddr, SettingError> {
    let refuse = |detail: &str| {
        host.refuse(format!(
            "is neither an address nor a name that can be looked up ({detail})"
        ))
    };
    let found = (host.value.as_str(), port).to_socket_addrs();
    let mut found = found.map_err(|error| refuse(&error.to_string()))?;
    found.next().ok_or_else(|| refuse("it has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    // If this fails, health checks of containers ask an address where nobody is.
    #[test]
    fn every_address_is_reached_through_loopback() {
        let cases = [
            ("0.0.0.0:9", "127.0.0.1:9"),
            ("[::]:9", "[::1]:9"),
            ("127.0.0.2:9", "127.0.0.2:9"),
            ("[fd00::1]:9", "[fd00::1]:9"),
        ];
        for (bound, expected) in cases {
            assert_eq!(reachable(address(bound)), address(expected));
        }
    }

    // If this fails, a service does not know its own port, or hides why it does not start.
    #[test]
    fn an_address_that_is_taken_is_named() {
        let (_listener, bound) = listen(address("127.0.0.1:0")).expect("listens");
        assert_ne!(bound.port(), 0);
        let error = listen(bound).expect_err("is taken").to_string();
        assert!(
            error.starts_with(&format!("cannot listen on {bound}: ")),
            "{error}"
        );
    }

    // If this fails, a host name cannot be listened on, or a typo in one is a riddle.
    #[test]
    fn hosts_are_looked_up() {
        let found = |host: &str| look_up(&Given::new("HOST", host), 7);
        assert_eq!(found("127.0.0.1"), Ok(address("127.0.0.1:7")));
        assert_eq!(found("::1"), Ok(address("[::1]:7")));
        let local = found("localhost").expect("is known everywhere");
        assert!(local.ip().is_loopback());
        let error = found("a host").expect_err("is no name").to_string();
        assert!(error.starts_with("HOST: `a host` is neither"), "{error}");
    }
}
