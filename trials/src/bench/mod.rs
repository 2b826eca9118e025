//! How fast and how small a cluster is: each figure with what it must reach.

pub mod console;
pub mod delete;
pub mod failover;
pub mod foreground;
pub mod handover;
pub mod large;
pub mod mirror;
pub mod outage;
pub mod probe;
pub mod restart;
pub mod rolling;
pub mod small;
pub mod standard;
pub mod steady;
mod stream;
pub mod watch;

use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use crate::binaries::Binaries;
use crate::load::tally::Tally;

/// Bytes in the unit that sizes are told in.
pub(crate) const MEBIBYTE: f64 = (1 << 20) as f64;

/// What every measurement is given.
#[derive(Clone, Debug)]
pub struct Bench {
    /// The services.
    pub binaries: Binaries,
    /// Where data goes; on the disk that shall be measured.
    pub folder: PathBuf,
    /// The catalog; none for SQLite.
    pub database_url: Option<String>,
}

/// One figure.
#[derive(Debug)]
pub struct Figure {
    /// What was measured.
    pub name: &'static str,
    /// What came out.
    pub value: f64,
    /// In which unit.
    pub unit: &'static str,
    /// What it must reach, if anything.
    pub bound: Option<Bound>,
}

/// What a figure must reach.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

impl Figure {
    /// A figure that must reach nothing.
    pub fn plain(name: &'static str, value: f64, unit: &'static str) -> Self {
        Figure {
            name,
            value,
            unit,
            bound: None,
        }
    }

    /// A figure that must reach a bound.
    pub fn bound(name: &'static str, value: f64, unit: &'static str, bound: Bound) -> Self {
        Figure {
            name,
            value,
            unit,
            bound: Some(bound),
        }
    }

    /// Whether it reaches what it must.
    pub fn holds(&self) -> bool {
        match self.bound {
            Some(Bound::AtLeast(least)) => self.value >= least,
            Some(Bound::AtMost(most)) => self.value <= most,
            None => true,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<46} {:>12.3} {:<10}",
            self.name, self.value, self.unit
        )?;
        let verdict = if self.holds() { "holds" } else { "FALLS SHORT" };
        match self.bound {
            Some(Bound::AtLeast(least)) => write!(f, " at least {least:.3}: {verdict}"),
            Some(Bound::AtMost(most)) => write!(f, " at most {most:.3}: {verdict}"),
            None => Ok(()),
        }
    }
}

/// Prints figures; true when all of them hold.
///
/// # Errors
/// When they cannot be written.
pub fn print(figures: &[Figure], out: &mut dyn Write) -> std::io::Result<bool> {
    for figure in figures {
        writeln!(out, "{figure}")?;
    }
    Ok(figures.iter().all(Figure::holds))
}

/// p50, p99 and the longest of durations in milliseconds, of which the last must keep a bound, if
/// any.
pub(crate) fn spread(
    [p50, p99, max]: [&'static str; 3],
    samples: &mut [f64],
    most: Option<f64>,
) -> Vec<Figure> {
    let figure = |name, value, most: Option<f64>| match most {
        Some(most) => Figure::bound(name, value, "ms", Bound::AtMost(most)),
        None => Figure::plain(name, value, "ms"),
    };
    vec![
        figure(p50, quantile(samples, 0.5), None),
        figure(p99, quantile(samples, 0.99), None),
        figure(max, quantile(samples, 1.0), most),
    ]
}

/// Failed requests, of which there must be none; each is written to standard error.
pub(crate) fn failed(name: &'static str, tally: &Tally) -> Figure {
    let failures = tally.failures();
    for failure in &failures {
        eprintln!("{failure}");
    }
    Figure::bound(name, failures.len() as f64, "", Bound::AtMost(0.0))
}

/// The value below which this share of the samples lies; sorts them. Zero without samples.
pub(crate) fn quantile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let place = (samples.len() as f64 * share) as usize;
    samples
        .get(place.min(samples.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a figure that falls short passes.
    #[test]
    fn bounds_are_compared_the_right_way() {
        let figure = |bound| Figure::bound("x", 5.0, "s", bound);
        assert!(figure(Bound::AtLeast(5.0)).holds() && figure(Bound::AtMost(5.0)).holds());
        assert!(!figure(Bound::AtLeast(5.1)).holds() && !figure(Bound::AtMost(4.9)).holds());
        assert!(
            figure(Bound::AtMost(4.9))
                .to_string()
                .ends_with("at most 4.900: FALLS SHORT")
        );
    }

    // If this fails, latencies are reported that nobody had.
    #[test]
    fn quantiles_are_of_the_samples() {
        let mut samples = [3.0, 1.0, 2.0, 4.0];
        assert_eq!(quantile(&mut samples, 0.5), 3.0);
        assert_eq!(quantile(&mut samples, 1.0), 4.0);
        assert_eq!(quantile(&mut [], 0.5), 0.0);
    }
}
