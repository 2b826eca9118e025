//! A TCP proxy that cuts connections after a random number of bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// The proxy; its threads end with the process.
#[derive(Clone)]
pub(crate) struct Cutter {
    pub(crate) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    target: Mutex<Option<SocketAddr>>,
    cutting: AtomicBool,
    cuts: AtomicU64,
    random: AtomicU64,
    bytes_max: u64,
}

impl Cutter {
    /// A proxy to nowhere yet, which cuts each connection after at most so many bytes.
    pub(crate) fn start(bytes_max: u64, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let shared = Arc::new(Shared {
            target: Mutex::new(None),
            cutting: AtomicBool::new(true),
            cuts: AtomicU64::new(0),
            random: AtomicU64::new(seed | 1),
            bytes_max,
        });
        let cutter = Cutter { url, shared };
        let accepting = cutter.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                accepting.serve(stream);
            }
        });
        cutter
    }

    /// Where connections lead from now on.
    pub(crate) fn lead_to(&self, url: &str) {
        let address = url
            .trim_start_matches("http://")
            .parse()
            .expect("an address");
        *self.shared.target.lock().expect("no thread panics with it") = Some(address);
    }

    /// New connections stay whole from now on.
    pub(crate) fn rest(&self) {
        self.shared.cutting.store(false, Ordering::Relaxed);
    }

    /// New connections are cut again from now on.
    pub(crate) fn cut_again(&self) {
        self.shared.cutting.store(true, Ordering::Relaxed);
    }

    /// How many connections were cut.
    pub(crate) fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Relaxed)
    }

    fn serve(&self, near: TcpStream) {
        let target = *self.shared.target.lock().expect("no thread panics with it");
        // A target that is gone refuses; so does the proxy, by closing.
        let Some(Ok(far)) = target.map(TcpStream::connect) else {
            return;
        };
        let left = Arc::new(AtomicU64::new(self.bytes()));
        let pair = |from: &TcpStream, to: &TcpStream| {
            (
                from.try_clone().expect("cloned"),
                to.try_clone().expect("cloned"),
            )
        };
        for (from, to) in [pair(&near, &far), pair(&far, &near)] {
            let (left, shared) = (left.clone(), self.shared.clone());
            thread::spawn(move || copy(from, to, &left, &shared));
        }
    }

    /// How long the next connection lives.
    fn bytes(&self) -> u64 {
        if !self.shared.cutting.load(Ordering::Relaxed) {
            return u64::MAX;
        }
        let next = |state: u64| {
            let state = state ^ state << 13;
            let state = state ^ state >> 7;
            Some(state ^ state << 17)
        };
        let random = self
            .shared
            .random
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        random.expect("always the next") % self.shared.bytes_max
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, left: &AtomicU64, shared: &Shared) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read) = from.read(&mut buffer) {
        if read == 0 {
            break;
        }
        let take = |left: u64| Some(left.saturating_sub(read as u64));
        let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        let before = usize::try_from(before.expect("always taken")).unwrap_or(usize::MAX);
        let passed = to.write_all(&buffer[..read.min(before)]);
        if before < read {
            shared.cuts.fetch_add(1, Ordering::Relaxed);
            break;
        }
        if passed.is_err() {
            break;
        }
    }
    // The other side may have closed them already.
    drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
}
