//! Workers: each does one operation after the other until the load is done.

mod change;
mod form;
mod read;
mod upload;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use wire::{Checksum, ContentId};

use super::http::connection::Body;
use super::http::head::Head;
use super::load::{Connections, Ended, Quota, run_threads};
use super::mix::{Mix, Operation};
use super::payload::Payload;
use super::places::{Nodes, Places, authorization, refusal};
use super::report::{Report, Tally};
use super::{BenchError, Keep, Load, PAUSE_AFTER_ERROR, Stored, Target, Wait};

/// One change in so many asks for its receipt as soon as it is committed, where both are measured.
const COMMITTED_ONE_IN: u32 = 16;

/// What all threads share.
struct Shared<'a> {
    load: &'a Load,
    mix: &'a Mix,
    contents: &'a [Stored],
    keep: Keep,
    quota: Quota,
    payload: Payload,
    /// How many of the contents were taken to be deleted.
    taken: AtomicUsize,
}

/// What the workers of one thread share.
struct Thread<'a> {
    shared: &'a Shared<'a>,
    nodes: Nodes,
    places: Places,
    contents: Vec<Known>,
    authorization: String,
    tallies: RefCell<BTreeMap<Operation, Tally>>,
    stored: RefCell<Vec<Stored>>,
}

/// A content as one thread sees it.
#[derive(Clone, Copy)]
struct Known {
    node: usize,
    id: ContentId,
    expected: Option<(u64, Checksum)>,
}

struct Worker<'a> {
    thread: &'a Thread<'a>,
    payload: Payload,
    random: SmallRng,
    connections: Connections,
    request: Vec<u8>,
    body: Body,
    /// What it uploaded in a mixed load, to be updated and deleted.
    own: Vec<Known>,
}

/// Why an operation was not done.
enum Undone {
    /// It failed: the code, as a word.
    Failed(String),
    /// There is nothing left to do it on.
    Exhausted,
}

impl From<&str> for Undone {
    fn from(word: &str) -> Self {
        Undone::Failed(word.to_owned())
    }
}

/// What one change's answer waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    Commit,
    /// For the catalog, as every client does: not for long.
    Catalog,
    /// For the catalog, however long that takes.
    Listing,
}

/// What a request carries behind its head.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    Nothing,
    /// The tail of the prepared body.
    Tail,
}

/// What becomes of an answer's body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Receiving {
    Kept,
    Counted,
    Hashed,
}

/// See [`super::run`].
pub(super) fn run(
    load: &Load,
    mix: &Mix,
    contents: &[Stored],
    keep: Keep,
) -> Result<(Report, Vec<Stored>), BenchError> {
    if mix.needs_contents() && contents.is_empty() {
        return Err(BenchError::NoContent);
    }
    let shared = Shared {
        load,
        mix,
        contents,
        keep,
        payload: Payload::new(load.sizes),
        taken: AtomicUsize::new(0),
        quota: Quota::new(load.bound),
    };
    let Ended {
        outcomes,
        took,
        usage,
    } = run_threads(load, |workers| thread(&shared, workers))?;
    let (mut all, mut stored) = (BTreeMap::<Operation, Tally>::new(), Vec::new());
    for (tallies, kept) in outcomes {
        for (operation, tally) in tallies {
            all.entry(operation).or_default().merge(&tally);
        }
        stored.extend(kept);
    }
    Ok((Report::of((load, mix), all, took, usage), stored))
}

async fn thread(
    shared: &Shared<'_>,
    workers: usize,
) -> Result<(BTreeMap<Operation, Tally>, Vec<Stored>), BenchError> {
    let nodes = Nodes::default();
    let known = |content: &Stored| {
        let node = nodes.number(&content.node)?;
        Ok(Known {
            node,
            id: content.id,
            expected: content.expected,
        })
    };
    let contents: Result<Vec<Known>, BenchError> = shared.contents.iter().map(known).collect();
    let thread = Thread {
        shared,
        contents: contents?,
        places: Places::new(shared.load, workers)?,
        nodes,
        authorization: authorization(shared.load),
        tallies: RefCell::default(),
        stored: RefCell::default(),
    };
    let running: FuturesUnordered<_> = (0..workers).map(|_| thread.worker().run()).collect();
    // All workers are one task, and tokio gives a task only so much I/O at a time: who comes first
    // would be served again and again while the others wait.
    tokio::task::unconstrained(running.for_each(|()| async {})).await;
    Ok((thread.tallies.into_inner(), thread.stored.into_inner()))
}

impl Thread<'_> {
    fn worker(&self) -> Worker<'_> {
        Worker {
            thread: self,
            payload: self.shared.payload.clone(),
            random: SmallRng::from_os_rng(),
            connections: Connections::default(),
            request: Vec::new(),
            body: Body::default(),
            own: Vec::new(),
        }
    }

    /// Counts something of an operation.
    fn count(&self, operation: Operation, count: impl FnOnce(&mut Tally)) {
        count(self.tallies.borrow_mut().entry(operation).or_default());
    }

    /// Whether the next content is one that is compared.
    fn is_sampled(&self, operation: Operation) -> bool {
        let mut tallies = self.tallies.borrow_mut();
        let one_in = self.shared.load.hashed_one_in;
        tallies.entry(operation).or_default().is_sampled(one_in)
    }

    fn is_plain(&self) -> bool {
        matches!(self.shared.load.target, Target::Plain(_))
    }

    fn is_mixed(&self) -> bool {
        self.shared.mix.alone().is_none()
    }
}

impl Worker<'_> {
    async fn run(mut self) {
        while self.thread.shared.quota.take() {
            let operation = self.thread.shared.mix.draw(&mut self.random);
            match self.once(operation).await {
                Ok(()) => {}
                Err(Undone::Exhausted) => return,
                Err(Undone::Failed(word)) => {
                    self.thread.count(operation, |tally| tally.error(&word));
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        }
    }

    async fn once(&mut self, operation: Operation) -> Result<(), Undone> {
        match operation {
            Operation::Upload if self.thread.shared.load.files_per_request > 1 => self.form().await,
            Operation::Upload => self.upload().await,
            Operation::Get => self.get().await,
            Operation::Update => self.update().await,
            Operation::Delete => self.delete().await,
            Operation::Metadata => self.metadata().await,
            Operation::List => self.list().await,
        }
    }

    /// Writes `method`, the node's prefix, `path`, and the headers that every request has.
    fn begin(&mut self, method: &str, node: usize, path: std::fmt::Arguments<'_>) {
        let Worker {
            thread, request, ..
        } = self;
        request.clear();
        request.extend_from_slice(method.as_bytes());
        request.push(b' ');
        thread.nodes.write_prefix(node, request);
        write!(request, "{path} HTTP/1.1\r\n").expect("writing to memory cannot fail");
        thread.nodes.write_host(node, request);
        request.extend_from_slice(thread.authorization.as_bytes());
    }

    /// Sends what was written; gives the head of an answer that says success, and the time it took.
    async fn exchange(
        &mut self,
        node: usize,
        sending: Sending,
        receiving: Receiving,
    ) -> Result<(Head, Duration), Undone> {
        let body = match sending {
            Sending::Nothing => &[][..],
            Sending::Tail => self.payload.tail(),
        };
        let into = match receiving {
            Receiving::Kept => self.body.keep(),
            Receiving::Counted => self.body.count(false),
            Receiving::Hashed => self.body.count(true),
        };
        let connected = self.connections.connect(&self.thread.nodes, node).await;
        connected.map_err(|error| Undone::from(error.word()))?;
        let begun = Instant::now();
        let sent = self
            .connections
            .exchange(
                &self.thread.nodes,
                node,
                (self.request.as_slice(), body),
                into,
            )
            .await;
        let head = sent.map_err(|error| Undone::from(error.word()))?;
        let took = begun.elapsed();
        if !(200..300).contains(&head.status) {
            return Err(Undone::Failed(refusal(head.status, &self.body.kept).0));
        }
        Ok((head, took))
    }

    /// Any of the contents that were there before.
    fn any(&mut self) -> Known {
        let contents = &self.thread.contents;
        contents[self.random.random_range(0..contents.len())]
    }

    /// What this change's answer waits for.
    fn waiting(&mut self) -> Waiting {
        match self.thread.shared.load.wait {
            Wait::Committed => Waiting::Commit,
            Wait::Listed => Waiting::Listing,
            Wait::Both if self.random.random_ratio(1, COMMITTED_ONE_IN) => Waiting::Commit,
            Wait::Both => Waiting::Catalog,
        }
    }
}

impl Waiting {
    /// As all of a query.
    fn query(self) -> &'static str {
        match self {
            Waiting::Commit => "?wait=committed",
            Waiting::Listing => "?wait=listed",
            Waiting::Catalog => "",
        }
    }

    /// As the rest of a query.
    fn rest(self) -> &'static str {
        match self {
            Waiting::Commit => "&wait=committed",
            Waiting::Listing => "&wait=listed",
            Waiting::Catalog => "",
        }
    }
}

impl Shared<'_> {
    /// The next content that nobody has deleted.
    fn take(&self) -> Option<usize> {
        let place = self.taken.fetch_add(1, Ordering::Relaxed);
        (place < self.contents.len()).then_some(place)
    }
}
