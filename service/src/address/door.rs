//! The end of listening: nobody is let in whose request would then be dropped.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use socket2::{SockFilter, SockRef};

/// How long those who have knocked already are let in: a server's threads wait for a core that long
/// at worst.
const LETTING_IN_TIME: Duration = Duration::from_millis(100);

/// `BPF_RET | BPF_K` of Linux's `filter.h`: keep so many bytes of the packet; of none, it is dropped.
const RETURN: u16 = 0x06;

/// The listening socket of a running server, beside the server's own hold on it.
///
/// A server that just stops drops the connections that wait for it, and the requests that were sent
/// on them. With the door closed first, there are none: packets to the listener go unanswered, so
/// that who comes now repeats his first one, and is refused when nobody listens any more; he has
/// sent no request, and can go elsewhere. Only whose handshake was half done at that moment may have.
pub struct Door(TcpListener);

impl Door {
    /// The door of a listener that is about to be given to a server.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn of(listener: &TcpListener) -> io::Result<Self> {
        listener.try_clone().map(Door)
    }

    /// Lets nobody in from now on. Returns when the server has those who were in time; it is to
    /// stop at once then.
    pub async fn close(self) {
        let drop_all = [SockFilter::new(RETURN, 0, 0, 0)];
        match SockRef::from(&self.0).attach_filter(&drop_all) {
            Ok(()) => tokio::time::sleep(LETTING_IN_TIME).await,
            Err(error) => tracing::debug!(%error, "the door stays open"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};

    use super::*;

    fn listen() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let address = listener.local_addr().expect("is bound");
        (listener, address)
    }

    fn knock(address: &SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect_timeout(address, Duration::from_millis(300))
    }

    // If this fails, a request that came as a service stopped is lost, or those who were in time are.
    #[tokio::test]
    async fn who_knocked_in_time_is_served_and_nobody_else_is_let_in() {
        let (listener, address) = listen();
        let door = Door::of(&listener).expect("a descriptor");
        let mut early = knock(&address).expect("is let in");
        early.write_all(b"ask").expect("is sent");
        door.close().await;
        let late = knock(&address).expect_err("is not let in");
        assert_eq!(late.kind(), io::ErrorKind::TimedOut, "and sent nothing");
        let (mut served, _) = listener.accept().expect("waits");
        drop(listener);
        let mut asked = [0; 3];
        served.read_exact(&mut asked).expect("is heard");
        served.write_all(b"yes").expect("is answered");
        early.write_all(b"and").expect("goes on");
        served.read_exact(&mut asked).expect("is heard still");
        let mut answer = [0; 3];
        early.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"yes");
    }

    // If this fails, a port cannot be had again, or who comes too late waits for nothing.
    #[tokio::test]
    async fn who_comes_after_the_end_is_refused_at_once() {
        let (listener, address) = listen();
        let door = Door::of(&listener).expect("a descriptor");
        door.close().await;
        drop(listener);
        let late = knock(&address).expect_err("nobody listens");
        assert_eq!(late.kind(), io::ErrorKind::ConnectionRefused);
        TcpListener::bind(address).expect("listens again");
    }
}
