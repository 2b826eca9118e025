//! The records of one shard on their way to one follower.

use std::collections::VecDeque;
use std::sync::Arc;

use store::{Cursor, ReadError, Record};
use wire::replication::{Envelope, Frame, Message};
use wire::{Epoch, Lsn};

use super::RECORDS_PER_PACKET_MAX;
use super::source::Source;
use super::tail::After;

/// Bytes of one shard that a follower may have before it acknowledges them: what a disk and a
/// network write in some milliseconds, and no more than it can hold for every shard.
const WINDOW_BYTES_MAX: usize = 8 << 20;

/// Bytes of records in one packet, or one record.
pub(super) const PACKET_BYTES: usize = 512 << 10;

/// What could not be read is left alone for so long: it is repaired within seconds, or stays as it is.
const READ_AGAIN_AFTER_MS: u64 = 1_000;

/// A stream to a follower.
#[derive(Debug)]
pub(super) struct Stream {
    source: Arc<Source>,
    epoch: Epoch,
    attempt: u64,
    /// Sent, or taken to be sent, up to here.
    sent: Lsn,
    /// Sent and not acknowledged: the last lsn and the bytes of each packet.
    unacknowledged: VecDeque<(Lsn, usize)>,
    unacknowledged_bytes: usize,
    reading: Reading,
    /// Where the last reading ended.
    cursor: Option<Cursor>,
    /// Its follower is not in the set, and has not been at the log's end yet.
    catches_up: bool,
}

#[derive(Debug)]
enum Reading {
    /// Nothing is read from the disk.
    No,
    /// A task reads.
    UnderWay,
    /// It has read.
    Done(Vec<Arc<Record>>),
    /// It could not; not again before this time.
    Failed { until_ms: u64 },
}

/// What a stream has to send.
#[derive(Debug)]
pub(super) enum Due {
    /// This packet.
    Packet(Envelope),
    /// Nothing now.
    Nothing,
    /// The log must be read: run this where it may block, and give its outcome to
    /// [`Stream::read`].
    Read(ReadJob),
}

impl Stream {
    pub(super) fn new(
        source: Arc<Source>,
        after: Lsn,
        (epoch, attempt): (Epoch, u64),
        catches_up: bool,
    ) -> Stream {
        Stream {
            source,
            epoch,
            attempt,
            sent: after,
            unacknowledged: VecDeque::new(),
            unacknowledged_bytes: 0,
            reading: Reading::No,
            cursor: None,
            catches_up,
        }
    }

    pub(super) fn attempt(&self) -> u64 {
        self.attempt
    }

    /// What is on its way to a follower that catches up, in bytes.
    pub(super) fn copying_bytes(&self) -> usize {
        if self.catches_up {
            self.unacknowledged_bytes
        } else {
            0
        }
    }

    /// The follower has everything up to `lsn`. Returns whether something may have waited for that: what
    /// is sent as it is appended does not.
    pub(super) fn acknowledged(&mut self, lsn: Lsn) -> bool {
        let has_waited = self.catches_up || self.unacknowledged_bytes >= WINDOW_BYTES_MAX;
        while self
            .unacknowledged
            .front()
            .is_some_and(|(last, _)| *last <= lsn)
        {
            let bytes = self
                .unacknowledged
                .pop_front()
                .map_or(0, |(_, bytes)| bytes);
            self.unacknowledged_bytes -= bytes;
        }
        has_waited
    }

    /// What to send next.
    pub(super) fn due(&mut self, now_ms: u64) -> Due {
        if self.unacknowledged_bytes >= WINDOW_BYTES_MAX {
            return Due::Nothing;
        }
        match std::mem::replace(&mut self.reading, Reading::No) {
            Reading::UnderWay => {
                self.reading = Reading::UnderWay;
                return Due::Nothing;
            }
            Reading::Failed { until_ms } if now_ms < until_ms => {
                self.reading = Reading::Failed { until_ms };
                return Due::Nothing;
            }
            Reading::Done(records) if records.is_empty() => return Due::Nothing,
            Reading::Done(records) => return Due::Packet(self.packet(&records, now_ms)),
            Reading::No | Reading::Failed { .. } => {}
        }
        match self.source.tail.after(self.sent, PACKET_BYTES) {
            After::Records(records) => {
                // It would keep the file of a segment that is rewritten meanwhile.
                self.cursor = None;
                Due::Packet(self.packet(&records, now_ms))
            }
            After::Nothing => {
                self.catches_up = false;
                Due::Nothing
            }
            After::TooOld => {
                self.reading = Reading::UnderWay;
                let sent = self.sent;
                let kept = self.cursor.take().filter(|kept| kept.covered() == sent);
                Due::Read(ReadJob {
                    cursor: kept.unwrap_or_else(|| self.source.reader.missing(sent)),
                    attempt: self.attempt,
                    is_paced: self.catches_up,
                })
            }
        }
    }

    fn packet(&mut self, records: &[Arc<Record>], now_ms: u64) -> Envelope {
        let mut bytes = 0;
        let mut frames = Vec::with_capacity(records.len());
        for record in records {
            let (head, payload) = (record.head_bytes(), record.payload.bytes());
            bytes += head.len() + payload.len();
            frames.push(Frame {
                covers_from: self.sent.next(),
                record: vec![head.clone(), payload.clone()],
            });
            self.sent = record.head.lsn;
        }
        self.unacknowledged.push_back((self.sent, bytes));
        self.unacknowledged_bytes += bytes;
        Envelope {
            shard: self.source.shard,
            epoch: self.epoch,
            attempt: self.attempt,
            sent_ms: now_ms,
            echo_ms: 0,
            message: Message::Records {
                commit: self.source.committed(),
                lease_ms: 0,
                frames,
            },
        }
    }

    /// Takes what a job has read; nothing when all was read.
    pub(super) fn read(&mut self, read: Read) {
        self.reading = Reading::Done(read.records);
        self.cursor = read.cursor;
    }

    /// A job could not read.
    pub(super) fn failed(&mut self, now_ms: u64) {
        let until_ms = now_ms + READ_AGAIN_AFTER_MS;
        self.reading = Reading::Failed { until_ms };
    }
}

/// What was read for a follower.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) records: Vec<Arc<Record>>,
    /// Their bytes together.
    pub(super) bytes: usize,
    /// Behind them: a new one would have to look for its place.
    cursor: Option<Cursor>,
}

/// A piece of a log to be read for a follower.
#[derive(Debug)]
pub(super) struct ReadJob {
    cursor: Cursor,
    pub(super) attempt: u64,
    /// Whether it keeps to the rate of those who catch up.
    pub(super) is_paced: bool,
}

impl ReadJob {
    /// Reads the next records that a follower needs.
    ///
    /// # Errors
    /// When the disk fails, or the first record that is needed is damaged here.
    pub(super) fn run(mut self) -> Result<Read, ReadError> {
        let (mut records, mut bytes, mut is_whole) = (Vec::new(), 0, true);
        while bytes < PACKET_BYTES && records.len() < RECORDS_PER_PACKET_MAX {
            let record = match self.cursor.next_needed() {
                Ok(Some(record)) => record,
                // What was read before is sent; the next job finds the damage.
                Err(error) if records.is_empty() => return Err(error),
                Err(_) => {
                    is_whole = false;
                    break;
                }
                Ok(None) => break,
            };
            bytes += record.payload.len();
            records.push(Arc::new(record));
        }
        Ok(Read {
            records,
            bytes,
            // Behind damage it would go on as if there were none.
            cursor: is_whole.then_some(self.cursor),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::stage::{Stage, body};
    use wire::ShardNo;

    // If this fails, one damaged record keeps a follower from what comes before it, or a leader reads
    // its log again and again for one that it cannot send.
    #[test]
    fn what_comes_before_damage_is_sent_and_the_rest_waits() {
        let mut stage = Stage::new();
        for number in 0..6 {
            stage.put(number, &body(number, 100));
        }
        stage.settle();
        let (path, at) = stage.find_record(Lsn(4));
        let flip = |stage: &Stage| stage.disk.flip_bit(&path, at + 24, 3).expect("was synced");
        flip(&stage);
        let source = Arc::new(Source::new(ShardNo(1), stage.store.reader(), Lsn(7)));
        let mut stream = Stream::new(source, Lsn::ZERO, (Epoch(1), 1), true);
        let read = |stream: &mut Stream, now_ms| match stream.due(now_ms) {
            Due::Read(job) => job.run(),
            other => panic!("{other:?}"),
        };
        let lsns = |records: &[Arc<Record>]| -> Vec<u64> {
            records.iter().map(|record| record.head.lsn.0).collect()
        };
        let before = read(&mut stream, 0).expect("is whole");
        assert_eq!(lsns(&before.records), [1, 2, 3]);
        stream.read(before);
        assert!(matches!(stream.due(0), Due::Packet(_)));
        for _ in 0..2 {
            read(&mut stream, 5_000).expect_err("is damaged");
            stream.failed(5_000);
            let later = 5_000 + READ_AGAIN_AFTER_MS;
            assert!(matches!(stream.due(later - 1), Due::Nothing));
            read(&mut stream, later).expect_err("is damaged");
            stream.failed(0);
        }
        // It is repaired.
        flip(&stage);
        let after = read(&mut stream, 9_000).expect("is whole");
        assert_eq!(lsns(&after.records), [4, 5, 6, 7]);
    }
}
