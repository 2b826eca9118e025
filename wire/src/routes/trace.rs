//! Which larger undertaking a request belongs to: `traceparent` of the W3C's Trace Context.
//!
//! Services keep nothing of traces. They name them in their logs, and pass them on with the requests
//! that a request causes, so that a program's own tracing finds what became of its requests. Where a
//! collector of traces is set, they tell it of their part.

use std::fmt;
use std::str::FromStr;

/// A version, a dash, 32 digits, a dash, 16 digits, a dash, 2 digits.
const LENGTH: usize = 55;

/// The trace of a request, and which part of it caused the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace: u128,
    parent: u64,
    flags: u8,
}

/// Why a text is no `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a traceparent is like 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
pub struct ParseTraceError;

/// The flag of a trace that is to be recorded.
const SAMPLED: u8 = 1;

impl TraceParent {
    /// A part of a trace; a number of 0 is taken for 1, since 0 means none.
    pub fn new(trace: u128, parent: u64, flags: u8) -> Self {
        TraceParent {
            trace: trace.max(1),
            parent: parent.max(1),
            flags,
        }
    }

    /// A trace that begins here, of random numbers. It is to be recorded: otherwise services that
    /// record traces would leave it out.
    pub fn begin(trace: u128, parent: u64) -> Self {
        Self::new(trace, parent, SAMPLED)
    }

    /// The trace's id, as tracing programs show it.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The trace.
    pub fn trace(&self) -> u128 {
        self.trace
    }

    /// The part of it that caused the request.
    pub fn parent(&self) -> u64 {
        self.parent
    }

    /// Bits that go with it: the lowest one says that it is recorded.
    pub fn flags(&self) -> u8 {
        self.flags
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TraceParent {
            trace,
            parent,
            flags,
        } = self;
        write!(f, "00-{trace:032x}-{parent:016x}-{flags:02x}")
    }
}

impl FromStr for TraceParent {
    type Err = ParseTraceError;

    /// Later versions begin as the first one does, and go on after a dash.
    fn from_str(text: &str) -> Result<Self, ParseTraceError> {
        let (head, rest) = text.split_at_checked(LENGTH).ok_or(ParseTraceError)?;
        let fields: Vec<&str> = head.split('-').collect();
        let [version, trace, parent, flags] = fields[..] else {
            return Err(ParseTraceError);
        };
        let is_hex = |field: &str| {
            let mut digits = field.bytes();
            digits.all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit))
        };
        let lengths = fields.iter().map(|field| field.len());
        let is_whole = lengths.eq([2, 32, 16, 2]) && fields.iter().all(|field| is_hex(field));
        let ends = rest.is_empty() || (version != "00" && rest.starts_with('-'));
        let parsed = TraceParent {
            trace: u128::from_str_radix(trace, 16).map_err(|_| ParseTraceError)?,
            parent: u64::from_str_radix(parent, 16).map_err(|_| ParseTraceError)?,
            flags: u8::from_str_radix(flags, 16).map_err(|_| ParseTraceError)?,
        };
        let is_set = parsed.trace != 0 && parsed.parent != 0 && version != "ff";
        (is_whole && ends && is_set)
            .then_some(parsed)
            .ok_or(ParseTraceError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    // If this fails, a request cannot be found again in its own program's traces.
    #[test]
    fn a_trace_is_passed_on_as_it_came() {
        let parsed: TraceParent = GIVEN.parse().expect("is one");
        assert_eq!(parsed.to_string(), GIVEN);
        assert_eq!(parsed.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        let later = GIVEN.replacen("00", "cc", 1) + "-what-the-future-adds";
        assert_eq!(later.parse(), Ok(parsed));
        let begun = TraceParent::begin(0, 7);
        assert_eq!(begun.to_string().parse(), Ok(begun));
        assert!(begun.to_string().ends_with("-01"), "is left out: {begun}");
        let parts = TraceParent::new(parsed.trace(), parsed.parent(), parsed.flags());
        assert_eq!(parts, parsed);
    }

    // If this fails, anyone writes what he likes into our logs and requests.
    #[test]
    fn what_is_no_trace_is_refused() {
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-0af7651916cd43dd8448eb211c80319cb-7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-é",
        ] {
            assert_eq!(bad.parse::<TraceParent>(), Err(ParseTraceError), "{bad}");
        }
    }
}
