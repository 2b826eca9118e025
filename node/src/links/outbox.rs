//! What goes out on one link: what replicas say, and the records that followers need.
//!
//! What is said goes before records, and shards take turns, so that no shard waits for another
//! one's gigabyte. Nothing is encoded before the connection can take it.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::runtime;
use wire::packet::{Packet, encode};
use wire::replication::Envelope;
use wire::{Epoch, Lsn, NodeName, ShardNo};

use super::pace::Pace;
use super::source::Source;
use super::stream::{Due, PACKET_BYTES, Read, ReadJob, Stream};
use crate::clock;
use crate::metrics::Metrics;

/// Messages that may wait on one link. A few are said in a session of each shard; a link that takes
/// none of them is of no use.
const SAID_MAX: usize = 65_536;

/// Bytes that a follower may have before it acknowledges them, of all shards that catch up. Every
/// sync of its disk waits for what the disk owes: see "Copies are synced beside the rounds" in
/// ARCHITECTURE.md for what more of it costs.
const COPYING_BYTES_MAX: usize = 1 << 20;

/// The sending end of one link. Clones are the same.
#[derive(Clone)]
pub struct Outbox(Arc<Inner>);

struct Inner {
    peer: NodeName,
    /// Tells this link from earlier ones to the same node.
    number: u64,
    way: Way,
    state: Mutex<State>,
    waker: AtomicWaker,
}

/// How what is sent gets on its way.
pub(crate) struct Way {
    /// Where logs are read.
    pub(crate) runtime: runtime::Handle,
    /// How fast followers that catch up are served.
    pub(crate) pace: Arc<Pace>,
    /// Where traffic is counted.
    pub(crate) metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    said: VecDeque<Packet>,
    streams: BTreeMap<ShardNo, Stream>,
    /// The shard whose turn was last.
    turn: ShardNo,
    ended: bool,
}

impl Outbox {
    pub(crate) fn new(peer: NodeName, number: u64, way: Way) -> Outbox {
        Outbox(Arc::new(Inner {
            peer,
            number,
            way,
            state: Mutex::default(),
            waker: AtomicWaker::new(),
        }))
    }

    /// Who is at the other end.
    pub fn peer(&self) -> &NodeName {
        &self.0.peer
    }

    /// Which of the links to this peer it is.
    pub fn number(&self) -> u64 {
        self.0.number
    }

    /// Says something. A link that takes nothing any more ends.
    pub fn say(&self, envelope: Envelope) {
        self.add(Packet::Said(envelope));
        self.wake();
    }

    /// Says something together with what is said or sent next, or when [`Outbox::wake_to_say`] is
    /// called: each packet of its own costs both ends a turn of two threads.
    pub fn say_later(&self, envelope: Envelope) {
        self.add(Packet::Said(envelope));
    }

    /// Has what was to be said later said now.
    pub fn wake_to_say(&self) {
        let has_said = !self.lock().said.is_empty();
        if has_said {
            self.wake();
        }
    }

    pub(super) fn sign_of_life(&self) {
        self.add(Packet::Alive);
        self.wake();
    }

    fn add(&self, packet: Packet) {
        let mut state = self.lock();
        if state.said.len() >= SAID_MAX {
            state.ended = true;
        } else {
            state.said.push_back(packet);
        }
    }

    /// Sends a replica's records after `after`, until it is told otherwise. Who catches up is held to
    /// the rate and the bound of copies until it has been at the log's end; changes wait for the others.
    pub fn stream(
        &self,
        source: Arc<Source>,
        after: Lsn,
        (epoch, attempt): (Epoch, u64),
        catches_up: bool,
    ) {
        let shard = source.shard;
        let stream = Stream::new(source, after, (epoch, attempt), catches_up);
        self.lock().streams.insert(shard, stream);
        self.wake();
    }

    /// Sends no more records of this shard.
    pub fn stop_stream(&self, shard: ShardNo) {
        self.lock().streams.remove(&shard);
    }

    /// The follower at the other end acknowledged, and can take more.
    pub(super) fn acknowledged(&self, shard: ShardNo, attempt: u64, lsn: Lsn) {
        let mut state = self.lock();
        let stream = state.streams.get_mut(&shard);
        if let Some(stream) = stream.filter(|stream| stream.attempt() == attempt)
            && stream.acknowledged(lsn)
        {
            drop(state);
            self.wake();
        }
    }

    /// There may be more to send of these shards. A link that carries none of them sleeps on.
    pub fn wake_for(&self, shards: &[ShardNo]) {
        let carries = {
            let streams = &self.lock().streams;
            shards.iter().any(|shard| streams.contains_key(shard))
        };
        if carries {
            self.wake();
        }
    }

    /// There may be more to send.
    pub fn wake(&self) {
        self.0.waker.wake();
    }

    /// Ends the link.
    pub fn end(&self) {
        self.lock().ended = true;
        self.wake();
    }

    /// So many bytes came in on the link.
    pub(super) fn received(&self, bytes: usize) {
        self.0.way.metrics.link_bytes_in.inc_by(bytes as u64);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// The link's body, for one reader.
    pub(crate) fn body(&self) -> Outgoing {
        Outgoing {
            outbox: self.clone(),
            pieces: VecDeque::new(),
        }
    }

    /// The next packet; reads of the log are begun here, and wake when they are done.
    fn next(&self) -> Option<Packet> {
        let mut state = self.lock();
        if let Some(packet) = state.said.pop_front() {
            return Some(packet);
        }
        let now_ms = clock::monotone_ms();
        let turn = state.turn;
        let after = state.streams.range(turn..).skip_while(|(s, _)| **s == turn);
        let before = state.streams.range(..=turn);
        let shards: Vec<ShardNo> = after.chain(before).map(|(shard, _)| *shard).collect();
        let copying = state
            .streams
            .values()
            .map(Stream::copying_bytes)
            .sum::<usize>();
        for shard in shards {
            let Some(stream) = state.streams.get_mut(&shard) else {
                continue;
            };
            // Each may have a little on its way: one that is stuck holds up no other.
            if copying >= COPYING_BYTES_MAX && stream.copying_bytes() >= PACKET_BYTES {
                continue;
            }
            match stream.due(now_ms) {
                Due::Packet(envelope) => {
                    state.turn = shard;
                    return Some(Packet::Said(envelope));
                }
                Due::Nothing => {}
                Due::Read(job) => self.read(shard, job),
            }
        }
        None
    }

    fn read(&self, shard: ShardNo, job: ReadJob) {
        let outbox = self.clone();
        self.0.way.runtime.spawn(async move {
            let (attempt, is_paced) = (job.attempt, job.is_paced);
            let read = tokio::task::spawn_blocking(move || job.run()).await;
            let read = match read {
                Ok(Ok(read)) => {
                    if is_paced {
                        outbox.0.way.pace.pause(read.bytes).await;
                    }
                    read
                }
                Ok(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    let peer = &outbox.0.peer;
                    tracing::error!(%shard, %peer, error, "a follower cannot be sent the log");
                    return outbox.has_not_read(shard, attempt);
                }
                Err(_) => Read::default(),
            };
            outbox.has_read(shard, attempt, read);
        });
    }

    /// It is tried again with a later sign of life.
    fn has_not_read(&self, shard: ShardNo, attempt: u64) {
        let mut state = self.lock();
        let stream = state.streams.get_mut(&shard);
        if let Some(stream) = stream.filter(|stream| stream.attempt() == attempt) {
            stream.failed(clock::monotone_ms());
        }
    }

    fn has_read(&self, shard: ShardNo, attempt: u64, read: Read) {
        let news = !read.records.is_empty();
        let mut state = self.lock();
        let stream = state.streams.get_mut(&shard);
        if let Some(stream) = stream.filter(|stream| stream.attempt() == attempt) {
            stream.read(read);
        }
        drop(state);
        // What came to nothing is tried again with the next sign of life.
        if news {
            self.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of a link, as its connection takes them.
pub struct Outgoing {
    outbox: Outbox,
    pieces: VecDeque<Bytes>,
}

impl futures_util::Stream for Outgoing {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(piece) = self.pieces.pop_front() {
                let sent = piece.len() as u64;
                self.outbox.0.way.metrics.link_bytes_out.inc_by(sent);
                return Poll::Ready(Some(Ok(piece)));
            }
            self.outbox.0.waker.register(context.waker());
            if self.outbox.has_ended() {
                return Poll::Ready(None);
            }
            match self.outbox.next() {
                Some(packet) => self.pieces.extend(encode(&packet)),
                None => return Poll::Pending,
            }
        }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.outbox.end();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    use futures_util::StreamExt;
    use store::stage::{Stage, body};
    use wire::replication::Message;
    use wire::{Epoch, Lsn};

    use super::*;

    const SHARDS: u16 = 8;

    /// The bytes of records in what can be sent at this moment, and the last lsn of each shard.
    async fn sent(outbox: &Outbox) -> (usize, BTreeMap<ShardNo, Lsn>) {
        let (mut bytes, mut last, mut idle) = (0, BTreeMap::new(), 0);
        while idle < 50 {
            let Some(Packet::Said(envelope)) = outbox.next() else {
                idle += 1;
                tokio::time::sleep(Duration::from_millis(2)).await;
                continue;
            };
            idle = 0;
            let Message::Records { frames, .. } = envelope.message else {
                continue;
            };
            let parts = frames.iter().flat_map(|frame| &frame.record);
            bytes += parts.map(Bytes::len).sum::<usize>();
            let lsn = frames.last().and_then(|frame| {
                let head = frame.record.first()?;
                Some(Lsn(u64::from_le_bytes(head[16..24].try_into().ok()?)))
            });
            last.extend(lsn.map(|lsn| (envelope.shard, lsn)));
        }
        (bytes, last)
    }

    fn outbox() -> Outbox {
        let way = Way {
            runtime: runtime::Handle::current(),
            pace: Arc::new(Pace::new(None)),
            metrics: Arc::default(),
        };
        Outbox::new("node2".parse().expect("a name"), 1, way)
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    // If this fails, each commit costs a turn of its own at both ends, or followers never hear of it.
    #[tokio::test]
    async fn what_is_said_later_goes_with_what_is_said_next() {
        let outbox = outbox();
        let (mut body, woken) = (outbox.body(), Arc::new(Woken::default()));
        let waker = Arc::clone(&woken).into();
        let mut context = Context::from_waker(&waker);
        let said = |message| Envelope {
            shard: ShardNo(1),
            epoch: Epoch(1),
            attempt: 1,
            sent_ms: 1,
            echo_ms: 0,
            message,
        };
        let commit = || {
            said(Message::Commit {
                commit: Lsn(7),
                lease_ms: 0,
            })
        };
        let mut is_idle = || body.poll_next_unpin(&mut context).is_pending();
        assert!(is_idle());
        outbox.say_later(commit());
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        outbox.say(said(Message::Farewell));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(outbox.next(), Some(Packet::Said(commit())));
        assert_eq!(outbox.next(), Some(Packet::Said(said(Message::Farewell))));

        assert!(is_idle());
        outbox.wake_to_say();
        assert_eq!(
            woken.0.load(Ordering::Relaxed),
            1,
            "there is nothing to say"
        );
        outbox.say_later(commit());
        outbox.wake_to_say();
        assert_eq!(woken.0.load(Ordering::Relaxed), 2);
        assert_eq!(outbox.next(), Some(Packet::Said(commit())));
    }

    // If this fails, each upload wakes the links that carry nothing of it, and each acknowledgement the link
    // on which nothing waits for it; or a copy that waits for one is never woken.
    #[tokio::test]
    async fn only_a_link_on_which_something_waits_is_woken() {
        let mut stage = Stage::new();
        stage.put(1, &body(1, 100));
        stage.settle();
        let end = stage.store.positions().appended.lsn;
        let source = Arc::new(Source::new(ShardNo(1), stage.store.reader(), end));
        let outbox = outbox();
        outbox.stream(Arc::clone(&source), end, (Epoch(1), 1), false);
        let (mut sending, woken) = (outbox.body(), Arc::new(Woken::default()));
        let waker = Arc::clone(&woken).into();
        let mut wakes = |what: &dyn Fn()| {
            let mut context = Context::from_waker(&waker);
            assert!(sending.poll_next_unpin(&mut context).is_pending());
            let before = woken.0.load(Ordering::Relaxed);
            what();
            woken.0.load(Ordering::Relaxed) - before
        };
        assert_eq!(wakes(&|| outbox.wake_for(&[ShardNo(2)])), 0);
        assert_eq!(wakes(&|| outbox.wake_for(&[ShardNo(2), ShardNo(1)])), 1);
        assert_eq!(wakes(&|| outbox.acknowledged(ShardNo(1), 1, end)), 0);
        let mut copying = Stream::new(source, Lsn::ZERO, (Epoch(1), 1), true);
        assert!(copying.acknowledged(end));
    }

    // If this fails, a copy that nobody slows down makes every upload wait for seconds, or one shard
    // that is stuck holds up the copies of all others.
    #[tokio::test]
    async fn those_who_catch_up_have_a_bounded_amount_on_their_way() {
        let mut stage = Stage::new();
        for number in 0..40 {
            stage.put(number, &body(number, 100_000));
        }
        stage.settle();
        let outbox = outbox();
        let end = stage.store.positions().appended.lsn;
        for shard in (1..=SHARDS).map(ShardNo) {
            let source = Arc::new(Source::new(shard, stage.store.reader(), end));
            outbox.stream(source, Lsn::ZERO, (Epoch(1), 1), true);
        }
        let (bytes, last) = sent(&outbox).await;
        let packet = PACKET_BYTES + 100_000;
        assert!(
            bytes < COPYING_BYTES_MAX + usize::from(SHARDS) * packet,
            "{bytes}"
        );
        assert!(bytes > COPYING_BYTES_MAX / 2, "{bytes}");

        // The first one never acknowledges anything.
        let mut all = last;
        for _ in 0..40 {
            for (shard, lsn) in all.iter().filter(|(shard, _)| shard.0 > 1) {
                outbox.acknowledged(*shard, 1, *lsn);
            }
            all.extend(sent(&outbox).await.1);
            if all.iter().all(|(shard, lsn)| shard.0 == 1 || *lsn == end) {
                return;
            }
        }
        panic!("{all:?}, and all end at {end}");
    }
}
