//! Packets: how envelopes travel on the link between two nodes.
//!
//! The transport is a stream of bytes in each direction. Numbers are little-endian.
//!
//! ```text
//!  0  4  length of what follows
//!  4  1  version: 1
//!  5  1  kind
//!  6  2  shard
//!  8  8  epoch
//! 16  8  attempt
//! 24  8  sent_ms
//! 32  8  echo_ms
//! 40  …  body
//! ```
//!
//! | kind | body |
//! |---|---|
//! | 0 alive | nothing, and nothing but zeros before: the link's own sign of life |
//! | 1 hello, 2 refused | JSON |
//! | 3 diverged | epoch, lsn |
//! | 4 start over | lsn |
//! | 5 follow | nothing |
//! | 6 records | commit, lease_ms, and for each record: covers_from, length (4 bytes), the record |
//! | 7 commit | commit, lease_ms |
//! | 8 ack | synced, free_bytes |
//! | 9 farewell | nothing |

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::position::{Epoch, Lsn, Position, ShardNo};
use crate::replication::{Envelope, Frame, Message};

const VERSION: u8 = 1;
const LENGTH_BYTES: usize = 4;
const HEAD_BYTES: usize = 36;
const RECORD_HEAD_BYTES: usize = 12;

/// The longest packet: the largest record, which is a commit of 2^20 chunks in 16 MiB, and room
/// for its head.
pub const PACKET_BYTES_MAX: usize = 20 << 20;

/// What came over a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// The other end is there.
    Alive,
    /// Something about a shard.
    Said(Envelope),
}

/// What is not a packet. The link is of no use after it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodePacketError {
    /// A length that no packet has.
    #[error("a packet of {0} bytes")]
    Length(usize),
    /// A version that this one does not know.
    #[error("packet version {0}")]
    Version(u8),
    /// A kind that this version does not know.
    #[error("packet kind {0}")]
    Kind(u8),
    /// The body ends early, goes on, or cannot be read.
    #[error("the body of a packet of kind {0} cannot be read")]
    Body(u8),
}

/// Writes a packet in pieces that share the records' memory.
pub fn encode(packet: &Packet) -> Vec<Bytes> {
    let Packet::Said(envelope) = packet else {
        let mut bytes = BytesMut::with_capacity(LENGTH_BYTES + HEAD_BYTES);
        put_length(&mut bytes, HEAD_BYTES);
        bytes.put_u8(VERSION);
        bytes.put_bytes(0, HEAD_BYTES - 1);
        return vec![bytes.freeze()];
    };
    let mut body = BytesMut::new();
    let mut records = Vec::new();
    let kind = match &envelope.message {
        Message::Hello(hello) => put_json(&mut body, hello, 1),
        Message::Refused(record) => put_json(&mut body, record, 2),
        Message::Diverged(end) => put(&mut body, &[end.epoch.0, end.lsn.0], 3),
        Message::StartOver { consistent_from } => put(&mut body, &[consistent_from.0], 4),
        Message::Follow => 5,
        Message::Records {
            commit,
            lease_ms,
            frames,
        } => {
            records = encode_records(frames);
            put(&mut body, &[commit.0, *lease_ms], 6)
        }
        Message::Commit { commit, lease_ms } => put(&mut body, &[commit.0, *lease_ms], 7),
        Message::Ack { synced, free_bytes } => put(&mut body, &[synced.0, *free_bytes], 8),
        Message::Farewell => 9,
    };
    let length = HEAD_BYTES + body.len() + records.iter().map(Bytes::len).sum::<usize>();
    let mut bytes = BytesMut::with_capacity(LENGTH_BYTES + HEAD_BYTES + body.len());
    put_length(&mut bytes, length);
    bytes.put_u8(VERSION);
    bytes.put_u8(kind);
    bytes.put_u16_le(envelope.shard.0);
    let numbers = [
        envelope.epoch.0,
        envelope.attempt,
        envelope.sent_ms,
        envelope.echo_ms,
    ];
    put(&mut bytes, &numbers, kind);
    bytes.extend_from_slice(&body);
    let mut pieces = vec![bytes.freeze()];
    pieces.append(&mut records);
    pieces
}

fn put_length(bytes: &mut BytesMut, length: usize) {
    let length = u32::try_from(length).expect("a packet is bounded by its largest record");
    bytes.put_u32_le(length);
}

fn put(bytes: &mut BytesMut, numbers: &[u64], kind: u8) -> u8 {
    for number in numbers {
        bytes.put_u64_le(*number);
    }
    kind
}

fn put_json<T: serde::Serialize>(bytes: &mut BytesMut, value: &T, kind: u8) -> u8 {
    let text = serde_json::to_vec(value).expect("these types have a JSON form");
    bytes.extend_from_slice(&text);
    kind
}

/// Small records go into one piece with their heads, large ones are pieces of their own.
fn encode_records(frames: &[Frame]) -> Vec<Bytes> {
    const COPIED_BYTES_MAX: usize = 8 << 10;
    let mut pieces = Vec::new();
    let mut piece = BytesMut::new();
    for frame in frames {
        let length: usize = frame.record.iter().map(Bytes::len).sum();
        piece.put_u64_le(frame.covers_from.0);
        put_length(&mut piece, length);
        for part in &frame.record {
            if part.len() <= COPIED_BYTES_MAX {
                piece.extend_from_slice(part);
            } else {
                pieces.push(piece.split().freeze());
                pieces.push(part.clone());
            }
        }
    }
    pieces.push(piece.freeze());
    pieces
}

/// Reads packets from the pieces of a stream, wherever those are cut.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: BytesMut,
}

impl Decoder {
    /// Takes the stream's next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next packet, if all of it is there.
    ///
    /// # Errors
    /// When what is there is no packet; nothing after it can be read then.
    pub fn packet(&mut self) -> Result<Option<Packet>, DecodePacketError> {
        let Some(length) = self.bytes.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if !(HEAD_BYTES..=PACKET_BYTES_MAX).contains(&length) {
            return Err(DecodePacketError::Length(length));
        }
        if self.bytes.len() < LENGTH_BYTES + length {
            self.bytes.reserve(LENGTH_BYTES + length - self.bytes.len());
            return Ok(None);
        }
        self.bytes.advance(LENGTH_BYTES);
        decode(self.bytes.split_to(length).freeze()).map(Some)
    }
}

fn decode(mut bytes: Bytes) -> Result<Packet, DecodePacketError> {
    let (version, kind) = (bytes.get_u8(), bytes.get_u8());
    if version != VERSION {
        return Err(DecodePacketError::Version(version));
    }
    let shard = ShardNo(bytes.get_u16_le());
    let (epoch, attempt) = (Epoch(bytes.get_u64_le()), bytes.get_u64_le());
    let (sent_ms, echo_ms) = (bytes.get_u64_le(), bytes.get_u64_le());
    let broken = DecodePacketError::Body(kind);
    let message = match kind {
        0 if bytes.is_empty() => return Ok(Packet::Alive),
        1 => serde_json::from_slice(&bytes).ok().map(Message::Hello),
        2 => serde_json::from_slice(&bytes).ok().map(Message::Refused),
        3 => numbers(&bytes).map(|[epoch, lsn]| {
            Message::Diverged(Position {
                epoch: Epoch(epoch),
                lsn: Lsn(lsn),
            })
        }),
        4 => numbers(&bytes).map(|[lsn]| Message::StartOver {
            consistent_from: Lsn(lsn),
        }),
        5 => bytes.is_empty().then_some(Message::Follow),
        6 => decode_records(bytes),
        7 => numbers(&bytes).map(|[commit, lease_ms]| Message::Commit {
            commit: Lsn(commit),
            lease_ms,
        }),
        8 => numbers(&bytes).map(|[synced, free_bytes]| Message::Ack {
            synced: Lsn(synced),
            free_bytes,
        }),
        9 => bytes.is_empty().then_some(Message::Farewell),
        0 => None,
        _ => return Err(DecodePacketError::Kind(kind)),
    };
    Ok(Packet::Said(Envelope {
        shard,
        epoch,
        attempt,
        sent_ms,
        echo_ms,
        message: message.ok_or(broken)?,
    }))
}

fn numbers<const N: usize>(mut bytes: &[u8]) -> Option<[u64; N]> {
    (bytes.len() == 8 * N).then(|| std::array::from_fn(|_| bytes.get_u64_le()))
}

fn decode_records(mut bytes: Bytes) -> Option<Message> {
    if bytes.len() < 16 {
        return None;
    }
    let (commit, lease_ms) = (Lsn(bytes.get_u64_le()), bytes.get_u64_le());
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        if bytes.len() < RECORD_HEAD_BYTES {
            return None;
        }
        let covers_from = Lsn(bytes.get_u64_le());
        let length = bytes.get_u32_le() as usize;
        if bytes.len() < length {
            return None;
        }
        frames.push(Frame {
            covers_from,
            record: vec![bytes.split_to(length)],
        });
    }
    Some(Message::Records {
        commit,
        lease_ms,
        frames,
    })
}
