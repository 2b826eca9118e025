//! Numbers, sizes and times as people read them.

use bytesize::ByteSize;

/// Bytes as `0 B`, `1.5 KiB`, `2.0 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

/// A number with a thin space between thousands.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A number and its noun: `1 node`, `3 nodes`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// A part of a whole in percent; all of nothing is nothing.
pub(crate) fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 {
        (100.0 * part / whole).clamp(0.0, 100.0)
    } else {
        0.0
    }
}

/// A measure with as many places as tell something: `0.25`, `3.1`, `42`, `1.2k`.
pub(crate) fn short(value: f64) -> String {
    match value {
        _ if value == 0.0 => "0".to_owned(),
        ..1.0 => format!("{value:.2}"),
        ..10.0 => format!("{value:.1}"),
        ..10_000.0 => format!("{value:.0}"),
        ..1e6 => format!("{:.0}k", value / 1e3),
        _ => format!("{:.1}M", value / 1e6),
    }
}

/// A whole number as the sizes of the page are.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "measures are not negative, and far below 2^63"
)]
pub(crate) fn whole(value: f64) -> u64 {
    value.max(0.0).round() as u64
}

/// A time in the unit that tells it with two or three digits: `45 seconds`, `6 minutes`, `3 days`.
pub(crate) fn duration(seconds: f64) -> String {
    let (unit_s, unit) = match seconds {
        ..120.0 => (1.0, "second"),
        ..7200.0 => (60.0, "minute"),
        ..172_800.0 => (3600.0, "hour"),
        _ => (86_400.0, "day"),
    };
    counted(whole(seconds / unit_s), unit)
}

/// The date and the minute of an RFC 3339 time.
pub(crate) fn minute(time: wire::Timestamp) -> String {
    let text = time.to_string();
    let (date, clock) = text.split_once('T').unwrap_or((&text, ""));
    format!("{date} {}", clock.get(..5).unwrap_or(clock))
}

/// The second of an RFC 3339 time.
pub(crate) fn second(time: wire::Timestamp) -> String {
    let text = time.to_string();
    let (date, clock) = text.split_once('T').unwrap_or((&text, ""));
    format!("{date} {}", clock.get(..8).unwrap_or(clock))
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a page shows a thousand where a million is.
    #[test]
    fn figures_are_read_at_a_glance() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1234), "1\u{202f}234");
        assert_eq!(count(10_000_000), "10\u{202f}000\u{202f}000");
        assert_eq!(
            (counted(1, "node"), counted(2, "node")),
            ("1 node".into(), "2 nodes".into())
        );
        let shorts = [0.0, 0.254, 3.13, 42.4, 12_345.0, 2.5e6].map(short);
        assert_eq!(shorts, ["0", "0.25", "3.1", "42", "12k", "2.5M"]);
        assert_eq!(
            (percent(1.0, 4.0), percent(1.0, 0.0), percent(9.0, 3.0)),
            (25.0, 0.0, 100.0)
        );
        let durations = [1.0, 45.4, 360.0, 7200.0, 400_000.0].map(duration);
        assert_eq!(
            durations,
            ["1 second", "45 seconds", "6 minutes", "2 hours", "5 days"]
        );
        assert_eq!(
            minute(wire::Timestamp(1_769_860_800_123)),
            "2026-01-31 12:00"
        );
        assert_eq!(
            second(wire::Timestamp(1_769_860_807_123)),
            "2026-01-31 12:00:07"
        );
    }
}
