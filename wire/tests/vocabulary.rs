//! Ids, positions, times, hashes, routes and limits: what every process must read alike.

use wire::id::{ParseIdError, RefuseNewId};
use wire::limits::{
    BLOCK_BYTES, CHUNK_BYTES_MAX, CONTENT_BYTES_MAX, DELETE_RECORD_LIFE_MS, ID_AGE_MS_MAX,
    ID_AHEAD_MS_MAX,
};
use wire::{Checksum, ContentId, Epoch, Lsn, NodeName, Position, ShardNo, Timestamp, routes};

// If this fails, ids that were given out name other shards, and no content is found.
#[test]
fn an_id_is_laid_out_as_documented() {
    let id = ContentId::mint(ShardNo(0xabcd), 0x0194_3e3f_0000, 0x2ff_eedd_ccbb_aa99);
    assert_eq!(id.to_string(), "01943e3f-0000-8abc-b6ff-eeddccbbaa99");
    assert_eq!(
        (id.shard(), id.time_ms()),
        (ShardNo(0xabcd), 0x0194_3e3f_0000)
    );
    let (lowest, highest) = (
        ContentId::mint(ShardNo(0), 0, 0),
        ContentId::mint(ShardNo(u16::MAX), u64::MAX, u64::MAX),
    );
    assert_eq!(lowest.to_string(), "00000000-0000-8000-8000-000000000000");
    assert_eq!(highest.to_string(), "ffffffff-ffff-8fff-bfff-ffffffffffff");
    assert_eq!(highest.shard(), ShardNo(u16::MAX));
    assert_eq!(highest.time_ms(), (1 << 48) - 1);
}

// If this fails, one content has two spellings, and caches keep both.
#[test]
fn an_id_has_one_spelling() {
    let id = ContentId::mint(ShardNo(1), 1_700_000_000_000, 7);
    let text = id.to_string();
    for other in [
        format!("{{{text}}}"),
        format!("urn:uuid:{text}"),
        text.replace('-', ""),
        format!(" {text}"),
        format!("{text} "),
        text[..35].to_owned(),
        text.replace('0', "g"),
        String::new(),
    ] {
        assert_eq!(
            other.parse::<ContentId>(),
            Err(ParseIdError::Malformed),
            "{other}"
        );
    }
    assert_eq!(text.to_uppercase().parse(), Ok(id), "as RFC 9562 demands");
}

// If this fails, ids of other systems are looked for in shards that they do not name.
#[test]
fn only_version_8_names_a_shard() {
    for version in 1..=15_u128 {
        let value = 0x0194_3e3f_0000_0abc_b6ff_eedd_ccbb_aa99 | version << 76;
        let parsed = ContentId::from_bytes(value.to_be_bytes());
        match version {
            8 => assert!(parsed.is_ok()),
            other => assert_eq!(parsed, Err(ParseIdError::Version(other as usize))),
        }
    }
    let variant = 0x0194_3e3f_0000_8abc_36ff_eedd_ccbb_aa99_u128;
    let parsed = ContentId::from_bytes(variant.to_be_bytes());
    assert_eq!(parsed, Err(ParseIdError::Malformed));
}

// If this fails, late retries bring deleted contents back.
#[test]
fn a_new_id_is_at_most_a_day_old_and_five_minutes_ahead() {
    let minted = 10 * ID_AGE_MS_MAX;
    let id = ContentId::mint(ShardNo(1), minted, 7);
    for (now, expected) in [
        (minted, Ok(())),
        (minted + ID_AGE_MS_MAX, Ok(())),
        (
            minted + ID_AGE_MS_MAX + 1,
            Err(RefuseNewId::TooOld(ID_AGE_MS_MAX + 1)),
        ),
        (minted - ID_AHEAD_MS_MAX, Ok(())),
        (
            minted - ID_AHEAD_MS_MAX - 1,
            Err(RefuseNewId::TooNew(ID_AHEAD_MS_MAX + 1)),
        ),
        (0, Err(RefuseNewId::TooNew(minted))),
        (u64::MAX, Err(RefuseNewId::TooOld(u64::MAX - minted))),
    ] {
        assert_eq!(id.check_new(now), expected, "at {now}");
    }
    assert_eq!((ID_AGE_MS_MAX, ID_AHEAD_MS_MAX), (86_400_000, 300_000));
}

// If this fails, limits that hang together contradict each other.
#[test]
fn limits_fit_each_other() {
    const { assert!(DELETE_RECORD_LIFE_MS >= 7 * ID_AGE_MS_MAX) };
    assert_eq!(CHUNK_BYTES_MAX % BLOCK_BYTES, 0);
    let chunks = CONTENT_BYTES_MAX / CHUNK_BYTES_MAX as u64;
    assert_eq!(chunks * 16, 16 << 20, "a commit record names all chunks");
}

// If this fails, a date that a client sends back is refused, or means another moment.
#[test]
fn times_of_rfc_3339() {
    for (text, ms) in [
        ("1970-01-01T00:00:00.000Z", 0),
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-31T12:00:00.123Z", 1_769_860_800_123),
        ("2026-01-31T13:00:00.123+01:00", 1_769_860_800_123),
        ("2026-01-31t12:00:00z", 1_769_860_800_000),
        ("2026-01-31T12:00:00.123999Z", 1_769_860_800_123),
    ] {
        assert_eq!(text.parse(), Ok(Timestamp(ms)), "{text}");
    }
    for text in [
        "",
        "now",
        "2026-01-31",
        "1969-12-31T23:59:59Z",
        "1769860800",
    ] {
        assert!(text.parse::<Timestamp>().is_err(), "{text}");
    }
    assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
    assert_eq!(Timestamp(999).to_string(), "1970-01-01T00:00:00.999Z");
    let shown = Timestamp(u64::MAX).to_string();
    let read: Timestamp = shown.parse().expect("what is shown can be read");
    assert_eq!(read.to_string(), shown);
}

// If this fails, an ETag or a hash that a client sends is not recognised.
#[test]
fn a_checksum_has_a_prefix_and_64_digits() {
    let checksum = Checksum(std::array::from_fn(|at| at as u8));
    let hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    assert_eq!(checksum.hex(), hex);
    assert_eq!(checksum.to_string(), format!("blake3:{hex}"));
    assert_eq!(format!("{checksum:?}"), format!("blake3:{hex}"));
    assert_eq!(Checksum::from_hex(hex), Ok(checksum));
    assert_eq!(Checksum::from_hex(&hex.to_uppercase()), Ok(checksum));
    for text in [
        hex.to_owned(),
        format!("sha256:{hex}"),
        format!("BLAKE3:{hex}"),
        format!("blake3:{}", &hex[1..]),
        format!("blake3:{hex}0"),
        format!("blake3:{}g", &hex[1..]),
        format!("blake3:+{}", &hex[1..]),
        "blake3:".to_owned(),
    ] {
        assert!(text.parse::<Checksum>().is_err(), "{text}");
    }
    assert!(Checksum::from_hex(&"é".repeat(32)).is_err());
}

// If this fails, positions are compared wrongly, and a catalog goes back in time.
#[test]
fn positions_are_ordered_by_epoch_first() {
    let at = |epoch, lsn| Position {
        epoch: Epoch(epoch),
        lsn: Lsn(lsn),
    };
    let ordered = [at(0, 0), at(1, 1), at(1, 9), at(2, 3), at(10, 2)];
    assert!(ordered.is_sorted());
    assert_eq!(Position::default(), at(0, 0));
    assert_eq!(at(3, 4).to_string(), "(3, 4)");
    assert_eq!((Lsn(4).next(), Lsn(4).previous()), (Lsn(5), Lsn(3)));
    assert_eq!((Lsn::ZERO.previous(), Lsn::ZERO.next()), (Lsn(0), Lsn(1)));
    assert_eq!((Epoch::ZERO.next(), Epoch(7).next()), (Epoch(1), Epoch(8)));
    assert_eq!(format!("{} {} {}", ShardNo(1), Lsn(2), Epoch(3)), "1 2 3");
}

// If this fails, a client asks for paths that no service has.
#[test]
fn built_paths_are_those_that_are_registered() {
    let id = ContentId::mint(ShardNo(1), 2, 3);
    let node: NodeName = "node1".parse().expect("a valid name");
    let base = "http://n1:8001";
    for (built, registered) in [
        (routes::store(base, id), routes::STORE_ID),
        (routes::retrieve(base, id), routes::RETRIEVE_ID),
        (routes::update(base, id), routes::UPDATE_ID),
        (routes::delete(base, id), routes::DELETE_ID),
        (routes::describe(base, id), routes::DESCRIBE_ID),
        (routes::info(base, id), routes::INFO_ID),
        (routes::content(base, id), routes::CONTENT_ID),
    ] {
        let expected = registered.replace("{id}", &id.to_string());
        assert_eq!(built, format!("{base}{expected}"));
    }
    let heartbeat = routes::HEARTBEAT.replace("{name}", "node1");
    assert_eq!(routes::heartbeat(base, &node), format!("{base}{heartbeat}"));
}

// If this fails, headers that both sides set are not the ones that they read.
#[test]
fn header_names_are_lower_case() {
    for name in [
        routes::CLUSTER_KEY_HEADER,
        routes::REQUEST_ID_HEADER,
        routes::VERSION_HEADER,
    ] {
        assert!(name.starts_with("x-"), "{name}");
        assert_eq!(name, name.to_ascii_lowercase());
    }
}
