//! Small requests that go on all the time, as clients send them, while something else happens: how
//! long they take, and whether they pause.

mod client;
pub mod tally;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, MissedTickBehavior, interval};
use wire::ContentId;

use crate::torture::ledger::Ledger;
use client::Client;
use tally::Gaps;
pub use tally::Tally;

/// What is sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Clients that upload 1 KiB, one after the other.
    pub uploads: usize,
    /// Clients that read a content that was uploaded, by its id, at the node that took it.
    pub reads: usize,
    /// Clients that ask the distributor for a content, by its id.
    pub questions: usize,
    /// Each client begins a request so often; none: as soon as the last one has ended.
    pub every: Option<Duration>,
    /// Each uploading client keeps so many of its contents, and deletes older ones; none: all.
    pub keep: Option<usize>,
}

impl Load {
    /// The kinds that are sent, deletes apart.
    fn kinds(&self) -> impl Iterator<Item = Kind> {
        let kinds = [
            (Kind::Upload, self.uploads),
            (Kind::Read, self.reads),
            (Kind::Question, self.questions),
        ];
        let sent = kinds.into_iter().filter(|(_, clients)| *clients > 0);
        sent.map(|(kind, _)| kind)
    }
}

/// Kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An upload.
    Upload,
    /// A read at a node.
    Read,
    /// A question to the distributor.
    Question,
    /// A delete.
    Delete,
}

const KINDS: usize = 4;

/// What happened in one period.
#[derive(Clone, Debug)]
pub struct Period {
    /// When it began.
    pub begun: Instant,
    /// When the next one did.
    pub ended: Instant,
    tallies: [Tally; KINDS],
}

impl Period {
    fn begin() -> Self {
        let now = Instant::now();
        Period {
            begun: now,
            ended: now,
            tallies: Default::default(),
        }
    }

    /// Requests of one kind.
    pub fn of(&self, kind: Kind) -> &Tally {
        &self.tallies[kind as usize]
    }

    /// Requests of one kind in a second.
    pub fn rate(&self, kind: Kind) -> f64 {
        let time = self.ended.saturating_duration_since(self.begun);
        self.of(kind).count as f64 / time.as_secs_f64().max(0.001)
    }
}

/// What all clients share.
struct Board {
    dist: String,
    stop: AtomicBool,
    current: AtomicUsize,
    periods: Mutex<(Vec<Period>, [Gaps; KINDS])>,
    /// Contents that can be read, and where they were put.
    known: Mutex<Vec<(ContentId, String)>>,
    /// What was uploaded, unless older contents are deleted.
    ledger: Mutex<Ledger>,
}

/// Requests that go on until they are told to end, on a thread of their own: they shall wait for
/// the services, and not for what else this process does.
pub struct Foreground {
    board: Arc<Board>,
    load: Load,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Foreground {
    /// Starts clients of the distributor at `dist`, in a first period.
    pub fn start(dist: &str, load: Load) -> Self {
        let gaps = std::array::from_fn(|_| Gaps::begin());
        let board = Arc::new(Board {
            dist: dist.to_owned(),
            stop: AtomicBool::new(false),
            current: AtomicUsize::new(0),
            periods: Mutex::new((vec![Period::begin()], gaps)),
            known: Mutex::default(),
            ledger: Mutex::default(),
        });
        let its = Arc::clone(&board);
        Foreground {
            board,
            load,
            thread: std::thread::spawn(move || run(&its, load)),
        }
    }

    /// Begins the next period. A request counts to the period that it began in, a gap to the one
    /// that it ended in.
    pub fn next_period(&self) {
        let mut periods = self.board.lock();
        if let Some(last) = periods.0.last_mut() {
            last.ended = Instant::now();
        }
        periods.0.push(Period::begin());
        self.board
            .current
            .store(periods.0.len() - 1, Ordering::Relaxed);
    }

    /// What happened in the periods that are over.
    pub fn periods(&self) -> Vec<Period> {
        let periods = self.board.lock();
        periods.0[..periods.0.len() - 1].to_vec()
    }

    /// Ends all clients; gives what happened in each period, and what was uploaded.
    ///
    /// # Errors
    /// When no client could be made.
    pub async fn end(self) -> anyhow::Result<(Vec<Period>, Ledger)> {
        self.board.stop.store(true, Ordering::Relaxed);
        let joined = tokio::task::spawn_blocking(move || self.thread.join()).await?;
        joined.map_err(|_| anyhow::anyhow!("the foreground panicked"))??;
        let now = Instant::now();
        let mut periods = self.board.lock();
        let (periods, gaps) = &mut *periods;
        if let Some(last) = periods.last_mut() {
            last.ended = now;
            // What has paused until now pauses still.
            for kind in self.load.kinds() {
                let tally = &mut last.tallies[kind as usize];
                tally.gap = tally.gap.max(gaps[kind as usize].end(now));
            }
        }
        let ledger = self.board.ledger.lock();
        let mut ledger = ledger.unwrap_or_else(PoisonError::into_inner);
        Ok((periods.clone(), std::mem::take(&mut *ledger)))
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, (Vec<Period>, [Gaps; KINDS])> {
        self.periods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request that began in a period has failed so often until all ended.
    fn given_up(&self, kind: Kind, (period, begun): (usize, Instant), failures: u64) {
        let tally = &mut self.lock().0[period].tallies[kind as usize];
        tally.failures += failures;
        tally.longest = tally.longest.max(begun.elapsed());
    }

    /// A request that began in a period has come to its end after some failures.
    fn done(&self, kind: Kind, (period, begun): (usize, Instant), failures: u64) {
        let now = Instant::now();
        let mut periods = self.lock();
        let (periods, gaps) = &mut *periods;
        periods[period].tallies[kind as usize].add(now.duration_since(begun), failures);
        let gap = gaps[kind as usize].end(now);
        if let Some(last) = periods.last_mut() {
            let tally = &mut last.tallies[kind as usize];
            tally.gap = tally.gap.max(gap);
        }
    }
}

fn run(board: &Arc<Board>, load: Load) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot make a runtime")?;
    runtime.block_on(async {
        let kinds = [
            (Kind::Upload, load.uploads),
            (Kind::Read, load.reads),
            (Kind::Question, load.questions),
        ];
        let mut running = Vec::new();
        for (kind, count) in kinds {
            for number in 0..count {
                let client = Client::new(board, load.keep)?;
                let start = load.every.unwrap_or_default() * number as u32 / count as u32;
                let work = work(client, kind, (load.every, start));
                running.push(tokio::spawn(work));
            }
        }
        for client in running {
            client.await.context("a client panicked")?;
        }
        Ok(())
    })
}

/// One request after the other, until all shall end. With a rhythm, a request that could not be sent
/// in time counts from when it should have been.
async fn work(mut client: Client, kind: Kind, (every, start): (Option<Duration>, Duration)) {
    tokio::time::sleep(start).await;
    let mut rhythm = every.map(|every| {
        let mut rhythm = interval(every);
        rhythm.set_missed_tick_behavior(MissedTickBehavior::Burst);
        rhythm
    });
    while !client.board.stop.load(Ordering::Relaxed) {
        let due = match &mut rhythm {
            Some(rhythm) => rhythm.tick().await,
            None => Instant::now(),
        };
        client.send(kind, due).await;
    }
}
