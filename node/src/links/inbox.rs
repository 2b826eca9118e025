//! What comes in on one link: packets are read and verified here, away from the disk thread.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use store::{DecodeRecordError, Record};
use wire::packet::{DecodePacketError, Decoder, Packet};
use wire::replication::{Envelope, Frame, Message};
use wire::{Lsn, ShardNo};

use super::outbox::Outbox;
use crate::driver::Handle;

/// A link on which nothing came for so long is gone: the other end gives a sign of life far more
/// often.
const SILENCE_MAX: Duration = Duration::from_millis(1_500);

/// A follower waits so long before it tries again to hand over what the disk thread has no room
/// for.
const BUSY_PAUSE: Duration = Duration::from_millis(2);

/// Records of a leader, verified.
pub type Records = Vec<(Lsn, Record)>;

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// Nothing came for too long.
    #[error("nothing came for {} ms", SILENCE_MAX.as_millis())]
    Silent,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// What came cannot be understood.
    #[error(transparent)]
    Packet(#[from] DecodePacketError),
    /// A record was damaged on its way.
    #[error("a record of shard {shard} came damaged")]
    Record {
        /// Which shard's.
        shard: ShardNo,
        /// What is wrong with it.
        source: DecodeRecordError,
    },
    /// Another node answered than the one that was called.
    #[error("another node answers there")]
    Stranger,
    /// The node stops.
    #[error("the node stops")]
    Stops,
}

/// Hears everything that comes, until the link ends.
pub(super) async fn hear<E: std::fmt::Display>(
    outbox: &Outbox,
    handle: &Handle,
    mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
) -> Result<(), LinkError> {
    let mut decoder = Decoder::default();
    loop {
        let piece = tokio::time::timeout(SILENCE_MAX, body.next()).await;
        let piece = match piece.map_err(|_| LinkError::Silent)? {
            None => return Ok(()),
            Some(Err(error)) => return Err(LinkError::Broken(error.to_string())),
            Some(Ok(piece)) => piece,
        };
        decoder.push(&piece);
        outbox.received(piece.len());
        while let Some(packet) = decoder.packet()? {
            if outbox.has_ended() {
                return Ok(());
            }
            if let Packet::Said(envelope) = packet {
                take(outbox, handle, envelope).await?;
            }
        }
    }
}

async fn take(outbox: &Outbox, handle: &Handle, mut envelope: Envelope) -> Result<(), LinkError> {
    let shard = envelope.shard;
    let mut records = Vec::new();
    match &mut envelope.message {
        Message::Ack { synced, .. } => outbox.acknowledged(shard, envelope.attempt, *synced),
        Message::Records { frames, .. } => {
            let Some(replica) = handle.table().replica(shard) else {
                return Ok(());
            };
            records = verified(std::mem::take(frames), shard, replica.log)?;
        }
        _ => {}
    }
    let mut heard = Some((envelope, records));
    while let Some((envelope, records)) = heard.take() {
        heard = handle
            .hear(outbox, envelope, records)
            .map_err(|_| LinkError::Stops)?;
        if heard.is_some() {
            tokio::time::sleep(BUSY_PAUSE).await;
        }
    }
    Ok(())
}

fn verified(frames: Vec<Frame>, shard: ShardNo, log: u64) -> Result<Records, LinkError> {
    let record = |frame: Frame| {
        let bytes: Bytes = match &frame.record[..] {
            [whole] => whole.clone(),
            pieces => pieces.concat().into(),
        };
        let record = Record::from_bytes(&bytes, log);
        let record = record.map_err(|source| LinkError::Record { shard, source })?;
        Ok((frame.covers_from, record))
    };
    frames.into_iter().map(record).collect()
}
