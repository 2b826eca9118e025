//! Packets: what one node says, the other one hears, however the stream between them is cut.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};
use uuid::Uuid;
use wire::packet::{DecodePacketError, Decoder, PACKET_BYTES_MAX, Packet, encode};
use wire::replication::{Envelope, Frame, Hello, Message};
use wire::shard::{Revision, ShardRecord, ShardState};
use wire::{Epoch, Lsn, Position, ShardNo};

fn record() -> ShardRecord {
    ShardRecord {
        shard: ShardNo(3),
        log: 9,
        epoch: Epoch(4),
        leader: None,
        in_sync: vec![],
        eligible: vec![],
        replicas: vec![],
        min_in_sync: 2,
        degraded: true,
        state: ShardState::Closed,
        lineage: 1,
        version: 12,
    }
}

fn said(message: Message) -> Packet {
    Packet::Said(Envelope {
        shard: ShardNo(3),
        epoch: Epoch(4),
        attempt: 5,
        sent_ms: 6,
        echo_ms: 7,
        message,
    })
}

fn records(records: &[Vec<u8>]) -> Message {
    let frame = |(n, bytes): (usize, &Vec<u8>)| Frame {
        covers_from: Lsn(n as u64),
        record: vec![Bytes::copy_from_slice(bytes)],
    };
    Message::Records {
        commit: Lsn(8),
        lease_ms: 9,
        frames: records.iter().enumerate().map(frame).collect(),
    }
}

fn any_message() -> impl Strategy<Value = Message> {
    let position = (any::<u64>(), any::<u64>()).prop_map(|(epoch, lsn)| Position {
        epoch: Epoch(epoch),
        lsn: Lsn(lsn),
    });
    let hello = (position.clone(), any::<Option<u32>>(), any::<u64>());
    prop_oneof![
        hello.prop_map(|(last, checksum, version)| Message::Hello(Hello {
            replica: Uuid::from_u128(1),
            incarnation: Uuid::from_u128(2),
            revision: Revision {
                lineage: 1,
                version,
            },
            last,
            checksum,
            consistent_from: checksum.map(|sum| Lsn(u64::from(sum))),
        })),
        Just(Message::Refused(Box::new(record()))),
        position.prop_map(Message::Diverged),
        any::<u64>().prop_map(|lsn| Message::StartOver {
            consistent_from: Lsn(lsn)
        }),
        Just(Message::Follow),
        vec(vec(any::<u8>(), 0..20_000), 0..4).prop_map(|all| records(&all)),
        (any::<u64>(), any::<u64>()).prop_map(|(commit, lease_ms)| Message::Commit {
            commit: Lsn(commit),
            lease_ms
        }),
        (any::<u64>(), any::<u64>()).prop_map(|(synced, free_bytes)| Message::Ack {
            synced: Lsn(synced),
            free_bytes
        }),
        Just(Message::Farewell),
    ]
}

fn bytes(packets: &[Packet]) -> Vec<u8> {
    packets.iter().flat_map(encode).flatten().collect()
}

fn read(pieces: &[&[u8]]) -> Result<Vec<Packet>, DecodePacketError> {
    let (mut decoder, mut packets) = (Decoder::default(), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        while let Some(packet) = decoder.packet()? {
            packets.push(packet);
        }
    }
    Ok(packets)
}

proptest! {
    // If this fails, a mirror receives something else than its leader sent.
    #[test]
    fn what_is_said_is_heard(
        messages in vec(any_message(), 1..4),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut packets: Vec<Packet> = messages.into_iter().map(said).collect();
        packets.push(Packet::Alive);
        let bytes = bytes(&packets);
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        prop_assert_eq!(read(&pieces), Ok(packets));
    }

    // If this fails, a peer that sends nonsense ends the process that hears it.
    #[test]
    fn nonsense_is_an_error_or_not_yet_a_packet(
        mut noise in vec(any::<u8>(), 0..300),
        length in 0_u32..300,
    ) {
        if let Some(start) = noise.first_chunk_mut() {
            *start = length.to_le_bytes();
        }
        drop(read(&[&noise]));
    }

    // If this fails, a packet that was cut short is taken for a whole one.
    #[test]
    fn half_a_packet_is_none(message in any_message(), keep in any::<prop::sample::Index>()) {
        let bytes = bytes(&[said(message)]);
        let kept = &bytes[..keep.index(bytes.len())];
        prop_assert_eq!(read(&[kept]), Ok(vec![]));
    }
}

// If this fails, nodes of two versions misread each other instead of saying so.
#[test]
fn unknown_versions_kinds_and_lengths_are_refused() {
    let whole = bytes(&[said(Message::Follow)]);
    let with = |at: usize, byte: u8| {
        let mut changed = whole.clone();
        changed[at] = byte;
        read(&[&changed])
    };
    assert_eq!(with(4, 2), Err(DecodePacketError::Version(2)));
    assert_eq!(with(5, 10), Err(DecodePacketError::Kind(10)));
    assert_eq!(with(5, 3), Err(DecodePacketError::Body(3)));
    assert_eq!(with(0, 35), Err(DecodePacketError::Length(35)));
    let long = u32::try_from(PACKET_BYTES_MAX + 1)
        .expect("fits")
        .to_le_bytes();
    assert!(matches!(read(&[&long]), Err(DecodePacketError::Length(_))));
}

// If this fails, the largest content of a mirrored shard cannot be copied.
#[test]
fn the_largest_record_fits_a_packet() {
    let largest = vec![7; 17 << 20];
    let packet = said(records(&[largest]));
    assert_eq!(
        read(&[&bytes(std::slice::from_ref(&packet))]),
        Ok(vec![packet])
    );
}
