//! Who waits for a shard's listing.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use wire::content::Status;
use wire::limits::LISTING_WAIT;
use wire::position::Lsn;

use crate::driver::command::{Unlisted, Wait};

/// How long a request waits that asked to wait for its listing. Most programs give up on an answer
/// after half a minute.
const PATIENCE: Duration = Duration::from_secs(30);

/// Committed changes whose requesters wait, in the order in which they were committed.
#[derive(Default)]
pub(super) struct Waiting {
    brief: VecDeque<Unlisted>,
    patient: VecDeque<Unlisted>,
}

impl Waiting {
    pub(super) fn add(&mut self, all: Vec<Unlisted>) {
        for unlisted in all {
            match unlisted.wait {
                Wait::Listed => self.patient.push_back(unlisted),
                Wait::Briefly | Wait::Committed => self.brief.push_back(unlisted),
            }
        }
    }

    /// Takes those whose changes the catalog has.
    pub(super) fn listed(&mut self, listed: Lsn) -> Vec<Unlisted> {
        let mut done = Vec::new();
        for queue in [&mut self.brief, &mut self.patient] {
            while queue
                .front()
                .is_some_and(|first| first.outcome.lsn <= listed)
            {
                done.extend(queue.pop_front());
            }
        }
        done
    }

    /// Answers those who have waited long enough.
    pub(super) fn expire(&mut self, now: Instant, listed: Lsn) {
        for (queue, patience) in [
            (&mut self.brief, LISTING_WAIT),
            (&mut self.patient, PATIENCE),
        ] {
            while queue
                .front()
                .is_some_and(|first| first.since + patience <= now)
            {
                queue
                    .pop_front()
                    .into_iter()
                    .for_each(|first| give_up(first, listed));
            }
        }
    }

    /// Answers everyone who did not ask to wait: the catalog is away.
    pub(super) fn hurry(&mut self, listed: Lsn) {
        self.brief.drain(..).for_each(|one| give_up(one, listed));
    }

    /// Answers everyone: this node lists the shard no more.
    pub(super) fn end(&mut self, listed: Lsn) {
        self.hurry(listed);
        self.patient.drain(..).for_each(|one| give_up(one, listed));
    }

    /// When the first has waited long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let brief = self.brief.front().map(|first| first.since + LISTING_WAIT);
        let patient = self.patient.front().map(|first| first.since + PATIENCE);
        brief.into_iter().chain(patient).min()
    }
}

fn give_up(unlisted: Unlisted, listed: Lsn) {
    let is_listed = unlisted.outcome.lsn <= listed;
    unlisted.answer(if is_listed {
        Status::Ok
    } else {
        Status::Pending
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::command::{Ack, ChangeFailure};
    use tokio::sync::oneshot;
    use wire::{Checksum, ContentId, ShardNo};

    type Answer = oneshot::Receiver<Result<Ack, ChangeFailure>>;

    fn unlisted(lsn: u64, wait: Wait) -> (Unlisted, Answer) {
        let (reply, answer) = oneshot::channel();
        let outcome = store::Outcome {
            lsn: Lsn(lsn),
            version: 1,
            size: 0,
            checksum: Checksum([0; 32]),
            filename: String::new(),
            repeated: false,
        };
        let id = ContentId::mint(ShardNo(1), 1, lsn);
        (Unlisted::new(id, outcome, wait, reply), answer)
    }

    fn status(answer: &mut Answer) -> Option<Status> {
        answer
            .try_recv()
            .ok()
            .map(|ack| ack.expect("is durable").status)
    }

    // If this fails, requests wait for a catalog that is away, or are told that a listed change
    // is not listed.
    #[test]
    fn each_waits_as_long_as_it_asked_to() {
        let mut waiting = Waiting::default();
        let (first, mut brief) = unlisted(1, Wait::Briefly);
        let (second, mut patient) = unlisted(2, Wait::Listed);
        let (third, mut late) = unlisted(3, Wait::Briefly);
        let start = first.since;
        waiting.add(vec![first, second, third]);
        assert!(
            waiting
                .deadline()
                .is_some_and(|at| at <= start + LISTING_WAIT)
        );

        waiting.expire(start, Lsn(0));
        assert_eq!(status(&mut brief), None);
        waiting.hurry(Lsn(1));
        assert_eq!(
            status(&mut brief),
            Some(Status::Ok),
            "it was listed meanwhile"
        );
        assert_eq!(status(&mut late), Some(Status::Pending));
        assert_eq!(status(&mut patient), None, "it asked to wait");

        waiting.expire(start + PATIENCE + LISTING_WAIT, Lsn(1));
        assert_eq!(status(&mut patient), Some(Status::Pending));
        assert_eq!(waiting.deadline(), None);
    }

    // If this fails, a change that is listed waits for one that is not.
    #[test]
    fn the_listed_are_taken_in_order() {
        let mut waiting = Waiting::default();
        let (first, _a) = unlisted(5, Wait::Briefly);
        let (second, _b) = unlisted(6, Wait::Listed);
        let (third, _c) = unlisted(7, Wait::Briefly);
        waiting.add(vec![first, second, third]);
        let lsns = |done: Vec<Unlisted>| -> Vec<u64> {
            done.iter().map(|one| one.outcome.lsn.0).collect()
        };
        assert_eq!(lsns(waiting.listed(Lsn(4))), [0_u64; 0]);
        assert_eq!(lsns(waiting.listed(Lsn(6))), [5, 6]);
        assert_eq!(lsns(waiting.listed(Lsn(9))), [7]);
    }
}
