//! The address that a service listens on, and how it leaves it.

mod door;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};

use crate::given::{Given, SettingError};

pub use door::Door;

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
    // The standard library lets 128 wait; who listens again changes that.
    rustix::net::listen(&listener, WAITING_MAX).map_err(|error| fail(error.into()))?;
    let bound = listener.local_addr().map_err(fail)?;
    Ok((listener, bound))
}

/// Connections that may wait to be accepted: the others of a crowd that comes at once would try again a
/// second later. The system allows as many as `net.core.somaxconn`, by default 4,096.
const WAITING_MAX: i32 = 4_096;

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

/// The first address of a host, which is looked up if it is a name. Blocks meanwhile.
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
    use std::net::TcpStream;

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

    // If this fails, some of a crowd that comes at once wait for a second and more.
    #[test]
    fn a_crowd_may_wait() {
        let (_listener, bound) = listen(address("127.0.0.1:0")).expect("listens");
        let patience = std::time::Duration::from_millis(900);
        let connect = |_| TcpStream::connect_timeout(&bound, patience).expect("may wait");
        let crowd: Vec<TcpStream> = (0..400).map(connect).collect();
        assert_eq!(crowd.len(), 400, "and nobody accepts any of them");
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
