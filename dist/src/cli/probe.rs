//! `dist health`: asks the distributor beside it whether it is alive, for container health checks.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

/// A health check must end before the next one begins.
const TIME_MAX: Duration = Duration::from_secs(2);

/// Asks `/health/live` at the address that the distributor listens on.
pub(crate) fn ask(bind: SocketAddr) -> anyhow::Result<()> {
    let address = reachable(bind);
    let no_answer = || format!("no answer from {address}");
    let mut stream = TcpStream::connect_timeout(&address, TIME_MAX).with_context(no_answer)?;
    stream
        .set_read_timeout(Some(TIME_MAX))
        .with_context(no_answer)?;
    let path = wire::routes::HEALTH_LIVE;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .with_context(no_answer)?;
    let mut answer = String::new();
    stream
        .take(4096)
        .read_to_string(&mut answer)
        .with_context(no_answer)?;
    let status = answer.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        bail!("{address} answers `{status}`");
    }
    Ok(())
}

/// Every address of this machine is also reached through its loopback.
fn reachable(bind: SocketAddr) -> SocketAddr {
    match bind {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => {
            SocketAddr::from((Ipv4Addr::LOCALHOST, v4.port()))
        }
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            SocketAddr::from((Ipv6Addr::LOCALHOST, v6.port()))
        }
        other => other,
    }
}
