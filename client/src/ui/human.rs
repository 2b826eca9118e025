//! Sizes, shares and times as people write and read them.

use std::time::Duration;

use bytesize::ByteSize;

/// Bytes as `0 B`, `1.5 KiB`, `2.0 GiB`.
pub fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

/// Reads a size as `1KiB`, `64 kB`, `100M` or a number of bytes.
///
/// # Errors
/// When the text is anything else.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let refused = || format!("`{text}` is not a size like 1KiB, 64kB or 2GiB");
    text.parse::<ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| refused())
}

/// Reads a duration as `500ms`, `10s`, `5m`, `1h` or a number of seconds.
///
/// # Errors
/// When the text is anything else, or nothing at all.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let refused = || format!("`{text}` is not a duration like 500ms, 10s or 5m");
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let scale = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(refused()),
    };
    let number: f64 = number.parse().map_err(|_| refused())?;
    match Duration::try_from_secs_f64(number * scale) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(refused()),
    }
}

/// A duration as `0.35 ms`, `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{:.2} ms", duration.as_secs_f64() * 1000.0),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, sizes in tables and on the command line mean something else.
    #[test]
    fn sizes_are_written_and_read() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(2 << 30), "2.0 GiB");
        assert_eq!(parse_size("1KiB"), Ok(1024));
        assert_eq!(parse_size("64kB"), Ok(64_000));
        assert_eq!(parse_size("100"), Ok(100));
        for bad in ["", "x", "-1", "1 parsec"] {
            assert!(parse_size(bad).is_err(), "{bad:?}");
        }
    }

    // If this fails, `--duration 10s` runs for another time, or for ever.
    #[test]
    fn durations_are_written_and_read() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        for bad in ["", "s", "0s", "-1s", "1x", "1e99h", "1.2.3s"] {
            assert!(parse_duration(bad).is_err(), "{bad:?}");
        }
        assert_eq!(duration(Duration::from_micros(350)), "0.35 ms");
        assert_eq!(duration(Duration::from_secs(185)), "3 min 5 s");
        assert_eq!(duration(Duration::from_secs(7800)), "2 h 10 min");
        assert_eq!(
            duration(Duration::from_secs(4 * 86_400 + 3 * 3600)),
            "4 d 3 h"
        );
    }
}
