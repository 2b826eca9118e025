//! A way to a server that can be held up: connections stay, and nothing passes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// How often a passage that is held up looks whether it may go on.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A listener that passes everything on to a server. Dropped, it takes nobody new.
pub struct Passage {
    address: SocketAddr,
    is_held: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
}

impl Passage {
    /// Opens a way to `server` at a free port of `host`.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn open(host: &str, server: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((host, 0)).await?;
        let (address, is_held) = (listener.local_addr()?, Arc::new(AtomicBool::new(false)));
        let held = Arc::clone(&is_held);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(join(client, server, Arc::clone(&held)));
            }
        });
        Ok(Passage {
            address,
            is_held,
            accepting,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nothing pass until it is released.
    pub fn hold(&self) {
        self.is_held.store(true, Ordering::Relaxed);
    }

    /// Lets everything pass, also what came meanwhile.
    pub fn release(&self) {
        self.is_held.store(false, Ordering::Relaxed);
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn join(client: TcpStream, server: SocketAddr, is_held: Arc<AtomicBool>) {
    // A server that is away shows as a connection that ends.
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    tokio::join!(
        pass(from_client, to_server, &is_held),
        pass(from_server, to_client, &is_held)
    );
}

/// Passes bytes on until either side ends, which the other side then sees.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_held: &AtomicBool) {
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        while is_held.load(Ordering::Relaxed) {
            sleep(LOOK_EVERY).await;
        }
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a database that hangs is not what the trials show to the distributor.
    #[tokio::test]
    async fn what_is_held_up_passes_later() {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = server.local_addr().expect("bound");
        let passage = Passage::open("127.0.0.1", address).await.expect("opens");
        let mut client = TcpStream::connect(passage.address())
            .await
            .expect("connects");
        let (mut served, _) = server.accept().await.expect("is passed on");
        let mut byte = [0];
        client.write_all(b"a").await.expect("sends");
        served.read_exact(&mut byte).await.expect("passes");
        passage.hold();
        client.write_all(b"b").await.expect("sends");
        let early = tokio::time::timeout(Duration::from_millis(100), served.read_exact(&mut byte));
        early.await.expect_err("is held up");
        passage.release();
        served.read_exact(&mut byte).await.expect("passes");
        assert_eq!(&byte, b"b");
    }
}
