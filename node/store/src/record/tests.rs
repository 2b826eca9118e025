//! The bytes of records: each field in its place, and nothing accepted that was not written so.

use bytes::Bytes;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use wire::{Epoch, Lsn};

use super::head::{HEADER_BYTES, METADATA_BYTES_MAX, PAYLOAD_BYTES_MAX};
use super::{
    ChunkRef, DecodeHeadError, DecodeRecordError, Head, Kind, Payload, Record, decode_chunks,
    encode_chunks, metadata_bytes, table,
};
use crate::checksum::crc32c;
use crate::stage::{LOG, body};

/// A head whose every field has bytes of its own.
fn head(kind: Kind) -> Head {
    Head {
        kind,
        log: LOG,
        lsn: Lsn(0x1111_1111_1111_1101),
        epoch: Epoch(0x2222_2222_2222_2202),
        commit: Lsn(0x3333_3333_3333_3303),
        id: *b"0123456789abcdef",
        version: 0x4444_4444_4444_4404,
        upload: Lsn(0x5555_5555_5555_5505),
        offset: 0x6666_6666_6666_6606,
        size: 0x7777_7777_7777_7707,
        payload_bytes: 0,
        time_ms: 0x0888_8888_8888_8808,
        supersedes: Lsn(0x0999_9999_9999_9909),
        metadata_bytes: 0,
    }
}

fn record(metadata: &[u8], payload: &Bytes) -> Record {
    Record::new(head(Kind::Put), metadata, Payload::new(payload.clone()))
}

fn header(record: &Record) -> [u8; HEADER_BYTES] {
    let bytes = record.to_bytes();
    *bytes.first_chunk().expect("a record has a header")
}

// If this fails, no version of the program reads what another one stored.
#[test]
fn every_field_stands_where_the_format_says() {
    let payload = body(1, 70_000);
    let record = record(b"meta!", &payload);
    let bytes = record.to_bytes();
    let numbers: [(usize, u64); 11] = [
        (8, LOG),
        (16, 0x1111_1111_1111_1101),
        (24, 0x2222_2222_2222_2202),
        (32, 0x3333_3333_3333_3303),
        (56, 0x4444_4444_4444_4404),
        (64, 0x5555_5555_5555_5505),
        (72, 0x6666_6666_6666_6606),
        (80, 0x7777_7777_7777_7707),
        (88, 70_000),
        (96, 0x0888_8888_8888_8808),
        (104, 0x0999_9999_9999_9909),
    ];
    assert_eq!(&bytes[..8], b"AqRc\x01\x01\x00\x00");
    for (at, number) in numbers {
        assert_eq!(bytes[at..at + 8], number.to_le_bytes(), "byte {at}");
    }
    assert_eq!(&bytes[40..56], b"0123456789abcdef");
    assert_eq!(bytes[112..116], 5_u32.to_le_bytes());
    assert_eq!(bytes[116..124], [0; 8], "reserved");
    assert_eq!(bytes[128..132], crc32c(&payload[..65_536]).to_le_bytes());
    assert_eq!(bytes[132..136], crc32c(&payload[65_536..]).to_le_bytes());
    assert_eq!(&bytes[136..141], b"meta!");
    assert_eq!(bytes[141..], payload[..]);
    let sum = crc32c(&[&bytes[..124], &bytes[128..141]].concat());
    assert_eq!(bytes[124..128], sum.to_le_bytes());
    assert_eq!(record.checksum(), sum, "it names the exact bytes");
}

// If this fails, records are read as something else than what was written.
#[test]
fn every_kind_has_its_number_for_ever() {
    let numbers = [
        (Kind::Put, 1),
        (Kind::Chunk, 2),
        (Kind::Commit, 3),
        (Kind::Abort, 4),
        (Kind::Describe, 5),
        (Kind::Delete, 6),
        (Kind::Epoch, 7),
    ];
    assert_eq!(Kind::ALL.len(), numbers.len());
    for (kind, number) in numbers {
        assert_eq!(kind as u8, number);
        assert_eq!(Kind::from_number(number), Some(kind));
        let bytes = header(&Record::new(head(kind), b"m", Payload::empty()));
        assert_eq!(bytes[5], number);
        assert_eq!(Head::decode(&bytes, LOG).expect("a header").kind, kind);
    }
    for number in (8..=u8::MAX).chain([0]) {
        assert_eq!(Kind::from_number(number), None, "{number} is reserved");
    }
}

// If this fails, a describe or a chunk is taken for a content's bytes.
#[test]
fn only_puts_and_commits_are_data() {
    let data: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| kind.is_data())
        .collect();
    assert_eq!(data, [Kind::Put, Kind::Commit]);
}

// If this fails, damage in a header is served as somebody's content.
#[test]
fn every_flipped_bit_of_header_table_and_metadata_is_noticed() {
    let record = record(b"all the metadata", &body(2, 66_000));
    let whole = record.to_bytes();
    let length = record.head_bytes.len();
    for at in 0..length {
        for bit in 0..8 {
            let mut bytes = whole.to_vec();
            bytes[at] ^= 1 << bit;
            assert!(!Head::verify(&bytes[..length]), "byte {at}, bit {bit}");
            let read = Record::from_bytes(&bytes.into(), LOG);
            assert!(
                matches!(
                    read,
                    Err(DecodeRecordError::Head(_) | DecodeRecordError::Length { .. })
                ),
                "byte {at}, bit {bit}: {read:?}"
            );
        }
    }
}

// If this fails, a flipped bit in a payload is stored under a good header.
#[test]
fn a_flipped_bit_of_the_payload_is_the_payloads() {
    let record = record(b"m", &body(3, 66_000));
    let start = record.head_bytes.len();
    for at in [0, 1, 65_535, 65_536, 65_999] {
        let mut bytes = record.to_bytes().to_vec();
        bytes[start + at] ^= 0x80;
        let read = Record::from_bytes(&bytes.into(), LOG);
        assert_eq!(read, Err(DecodeRecordError::Payload), "byte {at}");
    }
}

// If this fails, a frame that was cut short, or ran into the next one, is taken for a record.
#[test]
fn a_record_ends_exactly_where_its_header_says() {
    let record = record(b"metadata", &body(4, 300));
    let whole = record.to_bytes();
    for length in 0..HEADER_BYTES {
        let read = Record::from_bytes(&whole.slice(..length), LOG);
        let (expected, found) = (HEADER_BYTES as u64, length as u64);
        assert_eq!(read, Err(DecodeRecordError::Length { expected, found }));
    }
    for length in HEADER_BYTES..whole.len() {
        let read = Record::from_bytes(&whole.slice(..length), LOG);
        let (expected, found) = (whole.len() as u64, length as u64);
        assert_eq!(read, Err(DecodeRecordError::Length { expected, found }));
    }
    let longer = Bytes::from([&whole[..], b"x"].concat());
    assert_eq!(
        Record::from_bytes(&longer, LOG),
        Err(DecodeRecordError::Length {
            expected: whole.len() as u64,
            found: whole.len() as u64 + 1
        })
    );
    assert_eq!(Record::from_bytes(&whole, LOG), Ok(record));
}

// If this fails, a node copies every byte that it sends or takes in.
#[test]
fn a_record_in_two_parts_is_the_same_and_shares_their_bytes() {
    let record = record(b"metadata", &body(4, 70_000));
    let (head, payload) = (record.head_bytes().clone(), record.payload.bytes().clone());
    let joined = Record::from_parts(head.clone(), payload.clone(), LOG).expect("intact");
    assert_eq!(joined, record);
    assert_eq!(joined.head_bytes().as_ptr(), head.as_ptr());
    assert_eq!(joined.payload.bytes().as_ptr(), payload.as_ptr());
    let whole = record.to_bytes();
    let read = Record::from_bytes(&whole, LOG).expect("intact");
    assert_eq!(read.head_bytes().as_ptr(), whole.as_ptr());
    assert_eq!(read.payload.bytes().as_ptr(), whole[head.len()..].as_ptr());
}

// If this fails, a follower stores a payload under another record's header.
#[test]
fn parts_that_are_not_one_record_are_refused() {
    let (one, other) = (record(b"metadata", &body(4, 300)), body(5, 300));
    let (head, payload) = (one.head_bytes(), one.payload.bytes());
    let refused = |head: Bytes, payload: Bytes| {
        Record::from_parts(head, payload, LOG).expect_err("not one record")
    };
    let length = |found| DecodeRecordError::Length {
        expected: one.to_bytes().len() as u64,
        found,
    };
    assert_eq!(refused(head.clone(), other), DecodeRecordError::Payload);
    let whole = one.to_bytes();
    let found = whole.len() as u64;
    for at in [head.len() - 1, head.len() + 1] {
        let (early, late) = (whole.slice(..at), whole.slice(at..));
        assert_eq!(refused(early, late), length(found), "cut at {at}");
    }
    let short = payload.slice(1..);
    assert_eq!(refused(head.clone(), short), length(found - 1));
    let mut flipped = head.to_vec();
    flipped[130] ^= 1;
    assert_eq!(
        refused(flipped.into(), payload.clone()),
        DecodeRecordError::Head(DecodeHeadError::Checksum)
    );
    assert!(Record::from_parts(head.clone(), payload.clone(), LOG ^ 1).is_err());
    assert!(Record::from_parts(head.slice(..100), payload.clone(), LOG).is_err());
}

// If this fails, an older program guesses at records that it cannot understand.
#[test]
fn unknown_formats_kinds_flags_and_codecs_are_named() {
    let known = header(&record(b"m", &body(5, 10)));
    let unknown = |at: usize, value: u8| {
        let mut bytes = known;
        bytes[at] = value;
        Head::decode(&bytes, LOG)
    };
    let refused = |format, kind, flags, codec| {
        Err(DecodeHeadError::Unknown {
            format,
            kind,
            flags,
            codec,
        })
    };
    assert_eq!(unknown(4, 2), refused(2, 1, 0, 0));
    assert_eq!(unknown(4, 0), refused(0, 1, 0, 0));
    assert_eq!(unknown(5, 8), refused(1, 8, 0, 0));
    assert_eq!(unknown(5, 0), refused(1, 0, 0, 0));
    for bit in 0..8 {
        assert_eq!(unknown(6, 1 << bit), refused(1, 1, 1 << bit, 0));
    }
    assert_eq!(unknown(7, 1), refused(1, 1, 0, 1));
    let text = unknown(6, 9).expect_err("reserved").to_string();
    assert_eq!(
        text,
        "format version 1, kind 1, flags 0x09, codec 0 is unknown to this version"
    );
}

// If this fails, stale bytes of another log, or of none, become contents.
#[test]
fn what_is_not_this_logs_is_foreign_and_nothing_is_zeros() {
    let bytes = header(&record(b"m", &body(6, 10)));
    assert_eq!(Head::decode(&bytes, LOG ^ 1), Err(DecodeHeadError::Foreign));
    let mut other = bytes;
    other[0] = b'B';
    assert_eq!(Head::decode(&other, LOG), Err(DecodeHeadError::Foreign));
    let zeros = [0; HEADER_BYTES];
    assert_eq!(Head::decode(&zeros, LOG), Err(DecodeHeadError::Zeros));
    let mut nearly = zeros;
    nearly[127] = 1;
    assert_eq!(Head::decode(&nearly, LOG), Err(DecodeHeadError::Foreign));
}

// If this fails, a damaged length makes a node ask for more memory than it has.
#[test]
fn lengths_beyond_their_bounds_are_damage() {
    let bytes = header(&record(b"m", &body(7, 10)));
    let with = |payload: u64, metadata: u32| {
        let mut bytes = bytes;
        bytes[88..96].copy_from_slice(&payload.to_le_bytes());
        bytes[112..116].copy_from_slice(&metadata.to_le_bytes());
        (Head::decode(&bytes, LOG), Head::lengths_in(&bytes))
    };
    let (head, lengths) = with(PAYLOAD_BYTES_MAX, METADATA_BYTES_MAX);
    assert!(head.is_ok() && lengths.is_some());
    for (payload, metadata) in [
        (PAYLOAD_BYTES_MAX + 1, 0),
        (0, METADATA_BYTES_MAX + 1),
        (u64::MAX, u32::MAX),
    ] {
        let (head, lengths) = with(payload, metadata);
        assert_eq!((head, lengths), (Err(DecodeHeadError::Checksum), None));
    }
}

// If this fails, a record whose table or metadata is not the announced one is written.
#[test]
#[should_panic(expected = "assertion")]
fn a_head_is_not_written_with_other_metadata_than_it_announces() {
    let head = head(Kind::Put);
    head.encode(&[], b"more than none");
}

// If this fails, wrong bytes pass as a content's.
#[test]
fn a_payload_is_verified_block_by_block() {
    let bytes = body(8, 200_000);
    let payload = Payload::new(bytes.clone());
    let sums: Vec<u32> = bytes.chunks(65_536).map(crc32c).collect();
    assert_eq!(payload.checksums(), sums);
    assert_eq!((payload.len(), payload.is_empty()), (200_000, false));
    assert_eq!(payload.bytes(), &bytes);
    let same = Payload::verified(bytes.clone(), sums.clone());
    assert_eq!(same, Some(payload));
    assert_eq!(Payload::verified(bytes.clone(), sums[..3].to_vec()), None);
    let more = [&sums[..], &[0]].concat();
    assert_eq!(Payload::verified(bytes.clone(), more), None);
    for block in 0..sums.len() {
        let mut wrong = sums.clone();
        wrong[block] ^= 1;
        assert_eq!(Payload::verified(bytes.clone(), wrong), None, "{block}");
    }
    assert_eq!(Payload::new(Bytes::new()), Payload::empty());
    assert_eq!(Payload::verified(Bytes::new(), vec![0]), None);
    assert!(Payload::empty().is_empty());
}

// If this fails, parts of large contents are looked for in the wrong places.
#[test]
fn a_chunk_list_is_written_as_the_format_says() {
    let chunks = [
        ChunkRef {
            lsn: Lsn(0x0102),
            offset: 0,
        },
        ChunkRef {
            lsn: Lsn(u64::MAX),
            offset: 0x10_0000,
        },
    ];
    let bytes = encode_chunks(&chunks);
    assert_eq!(bytes.len(), 32);
    assert_eq!(bytes[..8], [2, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[24..], [0, 0, 0x10, 0, 0, 0, 0, 0]);
    assert_eq!(decode_chunks(&bytes), chunks);
    assert_eq!(decode_chunks(&bytes[..31]), chunks[..1]);
    assert_eq!(decode_chunks(&[]), []);
}

// If this fails, a follower stores other metadata than its leader, or none.
#[test]
fn table_and_metadata_are_found_behind_the_header() {
    for length in [0, 1, 65_536, 65_537, 200_000] {
        let payload = body(9, length);
        let record = record(b"the metadata", &payload);
        assert_eq!(record.head.metadata_bytes, 12);
        assert_eq!(record.head.payload_bytes, length as u64);
        assert_eq!(
            table(&record.head, &record.head_bytes),
            record.payload.checksums()
        );
        assert_eq!(
            metadata_bytes(&record.head, &record.head_bytes),
            b"the metadata"
        );
    }
}

proptest! {
    // If this fails, a mirror differs from its original in what it knows of a content.
    #[test]
    fn any_head_is_read_back_as_it_was(
        numbers in any::<[u64; 9]>(), id in any::<[u8; 16]>(), kind in 0_usize..7,
        metadata in proptest::collection::vec(any::<u8>(), 0..200), length in 0_usize..1_000,
    ) {
        let head = Head {
            kind: Kind::ALL[kind],
            log: numbers[0],
            lsn: Lsn(numbers[1]),
            epoch: Epoch(numbers[2]),
            commit: Lsn(numbers[3]),
            id,
            version: numbers[4],
            upload: Lsn(numbers[5]),
            offset: numbers[6],
            size: numbers[7],
            payload_bytes: length as u64,
            time_ms: numbers[8],
            supersedes: Lsn(!numbers[8]),
            metadata_bytes: metadata.len() as u32,
        };
        let payload = Payload::new(body(numbers[1], length));
        let record = Record::new(head.clone(), &metadata, payload);
        let read = Record::from_bytes(&record.to_bytes(), numbers[0]).expect("an intact record");
        prop_assert_eq!(&read.head, &head);
        prop_assert_eq!(read, record);
    }

    // If this fails, hostile bytes crash a replica.
    #[test]
    fn any_header_is_read_or_refused(bytes in any::<[u8; 32]>(), at in 0_usize..12) {
        let mut header = header(&record(b"m", &Bytes::new()));
        header[at * 8..at * 8 + 32].copy_from_slice(&bytes);
        if let Ok(head) = Head::decode(&header, LOG) {
            prop_assert!(head.metadata_bytes <= METADATA_BYTES_MAX);
            prop_assert!(head.payload_bytes <= PAYLOAD_BYTES_MAX);
        }
    }
}
