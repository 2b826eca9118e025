//! `Range` (RFC 9110 §14): which bytes are asked for.

use std::ops::Range;

/// Ranges of one request. Download programs ask for one, or for a handful; a request for hundreds
/// of slivers costs more in headers than it saves, and gets the whole.
const RANGES_MAX: usize = 32;

/// What a `Range` header comes to, for a content of a known size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ranges {
    /// The whole content: there is no range, or none that need be obeyed.
    Whole,
    /// These, in the order they were asked for; none is empty.
    Parts(Vec<Range<u64>>),
    /// No byte of them lies within the content.
    Unsatisfiable,
}

/// Reads a `Range` header. One that is malformed, of another unit, or asks for more than the whole
/// content in overlapping pieces, is ignored, as the RFC allows.
pub(super) fn read(header: &str, size: u64) -> Ranges {
    let Some((unit, set)) = header.split_once('=') else {
        return Ranges::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Ranges::Whole;
    }
    let mut parts = Vec::new();
    for (count, spec) in set.split(',').map(str::trim).enumerate() {
        if count >= RANGES_MAX {
            return Ranges::Whole;
        }
        match read_one(spec, size) {
            Some(part) if part.is_empty() => {}
            Some(part) => parts.push(part),
            None => return Ranges::Whole,
        }
    }
    let asked: u128 = parts
        .iter()
        .map(|part| u128::from(part.end - part.start))
        .sum();
    match parts.len() {
        0 => Ranges::Unsatisfiable,
        1 => Ranges::Parts(parts),
        _ if asked > u128::from(size) => Ranges::Whole,
        _ => Ranges::Parts(parts),
    }
}

/// One range, cut to the content; empty if it lies outside, none if it is malformed.
fn read_one(spec: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let suffix = number(last)?;
        return Some(size.saturating_sub(suffix)..size);
    }
    let first = number(first)?;
    let end = match last {
        "" => size,
        last => {
            let last = number(last)?;
            if last < first {
                return None;
            }
            last.saturating_add(1).min(size)
        }
    };
    Some(first.min(end)..end)
}

/// A number of any length; what is beyond 64 bits is beyond every content as well.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    fn parts(header: &str, size: u64) -> Vec<Range<u64>> {
        match read(header, size) {
            Ranges::Parts(parts) => parts,
            other => panic!("{header} comes to {other:?}"),
        }
    }

    fn one(header: &str, size: u64) -> Range<u64> {
        let parts = parts(header, size);
        assert_eq!(parts.len(), 1, "{header}");
        parts[0].clone()
    }

    // If this fails, downloads resume in the wrong place.
    #[test]
    fn ranges_are_cut_to_the_content() {
        assert_eq!(one("bytes=0-0", 10), 0..1);
        assert_eq!(one("bytes=5-", 10), 5..10);
        assert_eq!(one("bytes=5-99", 10), 5..10);
        assert_eq!(one("bytes=-3", 10), 7..10);
        assert_eq!(one("bytes=-30", 10), 0..10);
        assert_eq!(parts("Bytes=1-2, 4-5 ,99-", 10), [1..3, 4..6]);
        assert_eq!(one("bytes=0-18446744073709551615", 10), 0..10);
        assert_eq!(one("bytes=3-99999999999999999999999", 10), 3..10);
    }

    // If this fails, an absurd range crashes a worker, or makes it send the content many times.
    #[test]
    fn absurd_ranges_are_ignored_or_refused() {
        for header in ["bytes=10-", "bytes=-0", "bytes=99-100", "bytes=10-,20-"] {
            assert_eq!(read(header, 10), Ranges::Unsatisfiable, "{header}");
        }
        assert_eq!(read("bytes=0-", 0), Ranges::Unsatisfiable);
        for header in [
            "bytes",
            "lines=0-1",
            "bytes=",
            "bytes=a-",
            "bytes=5-4",
            "bytes=--1",
            "bytes=0-1;",
        ] {
            assert_eq!(read(header, 10), Ranges::Whole, "{header}");
        }
        assert_eq!(read("bytes=0-,0-,0-", 10), Ranges::Whole);
        let many = format!("bytes={}", vec!["0-0"; 1000].join(","));
        assert_eq!(read(&many, 1 << 40), Ranges::Whole);
    }

    proptest! {
        // If this fails, a hostile header reads outside the content.
        #[test]
        fn parts_always_lie_within_the_content(text in "[-bytes=,0-9 ]{0,40}", size in any::<u64>()) {
            if let Ranges::Parts(parts) = read(&text, size) {
                for part in parts {
                    prop_assert!(part.start < part.end && part.end <= size);
                }
            }
        }

        // If this fails, a client gets other bytes than it asked for.
        #[test]
        fn a_range_within_the_content_is_itself(a in 0_u64..1000, b in 0_u64..1000) {
            let (first, last) = (a.min(b), a.max(b));
            prop_assert_eq!(one(&format!("bytes={first}-{last}"), 1000), first..last + 1);
        }
    }
}
