//! What clients did, summed up for `/stats`: a histogram's own sum cannot be read back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wire::routes;
use wire::stats::Traffic;

/// Uploads and reads that succeeded.
#[derive(Default)]
pub(super) struct Tallies {
    uploads: Tally,
    reads: Tally,
}

/// Answers of one kind, and the sum of their times.
#[derive(Default)]
struct Tally {
    answers: AtomicU64,
    us: AtomicU64,
}

impl Tally {
    fn add(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.us.fetch_add(us, Ordering::Relaxed);
    }

    fn read(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.answers), read(&self.us))
    }
}

impl Tallies {
    pub(super) fn answered(&self, route: &str, status: u16, took: Duration) {
        match route {
            _ if status >= 300 => {}
            routes::STORE | routes::STORE_ID | routes::UPDATE | routes::UPDATE_ID => {
                self.uploads.add(took);
            }
            routes::RETRIEVE_ID => self.reads.add(took),
            _ => {}
        }
    }

    pub(super) fn traffic(&self, bytes_in: u64, bytes_out: u64) -> Traffic {
        let ((uploads, upload_us), (reads, read_us)) = (self.uploads.read(), self.reads.read());
        Traffic {
            uploads,
            upload_us,
            bytes_in,
            reads,
            read_us,
            bytes_out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, charts of throughput and latency tell of requests that did nothing.
    #[test]
    fn uploads_and_reads_that_succeeded_are_counted() {
        let tallies = Tallies::default();
        let ms = Duration::from_millis;
        tallies.answered(routes::STORE, 200, ms(3));
        tallies.answered(routes::UPDATE_ID, 200, ms(4));
        tallies.answered(routes::STORE, 507, ms(100));
        tallies.answered(routes::RETRIEVE_ID, 206, ms(1));
        tallies.answered(routes::RETRIEVE_ID, 404, ms(100));
        tallies.answered(routes::STATS, 200, ms(100));
        let expected = Traffic {
            uploads: 2,
            upload_us: 7_000,
            bytes_in: 10,
            reads: 1,
            read_us: 1_000,
            bytes_out: 20,
        };
        assert_eq!(tallies.traffic(10, 20), expected);
    }
}
