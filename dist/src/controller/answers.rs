//! Since when the register answers without a break: pure.
//!
//! It must not know what is asked.

use std::time::{Duration, Instant};

/// When the register answered.
///
/// Nobody asks it while the catalog is away, and it may be in the same database: a session without
/// an answer is a break, too.
#[derive(Debug)]
pub(super) struct Answers {
    session: Duration,
    /// None before the first answer, and after a failure.
    run: Option<Run>,
}

/// Answers without a break, by when they were asked for: `first <= last`.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: Instant,
    last: Instant,
}

impl Answers {
    pub(super) fn new(session: Duration) -> Self {
        Answers { session, run: None }
    }

    /// Takes what came of a question that was asked then.
    pub(super) fn note(&mut self, asked: Instant, is_answered: bool) {
        let unbroken = self.unbroken(asked);
        self.run = is_answered.then(|| Run {
            first: unbroken.map_or(asked, |run| run.first),
            last: asked,
        });
    }

    /// Whether it answered within a session, and has not failed since.
    pub(super) fn is_up(&self, now: Instant) -> bool {
        self.unbroken(now).is_some()
    }

    /// Whether it answered, and has not failed since.
    pub(super) fn has_answered(&self) -> bool {
        self.run.is_some()
    }

    /// Whether it answered, and then not for a session.
    pub(super) fn is_broken(&self, now: Instant) -> bool {
        self.has_answered() && !self.is_up(now)
    }

    /// Whether it answers for a session without a break.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        self.unbroken(now)
            .is_some_and(|run| now.saturating_duration_since(run.first) >= self.session)
    }

    fn unbroken(&self, now: Instant) -> Option<Run> {
        self.run
            .filter(|run| now.saturating_duration_since(run.last) < self.session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Duration = Duration::from_secs(6);

    /// Answers to the questions of these seconds.
    fn answered(start: Instant, seconds: impl IntoIterator<Item = u64>) -> Answers {
        let mut answers = Answers::new(SESSION);
        for second in seconds {
            answers.note(start + Duration::from_secs(second), true);
        }
        answers
    }

    // If this fails, no leader can change its set, or one may at once after a restart.
    #[test]
    fn a_session_of_answers_settles() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let answers = answered(start, 0..=6);
        assert!(answers.is_settled(at(6)) && answers.is_settled(at(11)));
        assert!(!answered(start, 0..=5).is_settled(at(5)));
        assert!(!Answers::new(SESSION).is_settled(at(6)));
    }

    // If this fails, a leader that was deposed while the database was away builds on a register that
    // was put back to a backup meanwhile.
    #[test]
    fn a_session_without_answers_is_a_break() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut answers = answered(start, 0..=10);
        assert!(answers.is_up(at(15)) && !answers.is_broken(at(15)));
        assert!(!answers.is_up(at(16)) && !answers.is_settled(at(16)));
        assert!(answers.is_broken(at(16)));
        answers.note(at(16), true);
        assert!(answers.is_up(at(16)) && !answers.is_settled(at(21)));
        answers.note(at(21), true);
        assert!(answers.is_settled(at(22)));
    }

    // If this fails, an exchange that was lost closes all shards to proposals for a session.
    #[test]
    fn a_shorter_pause_is_no_break() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut answers = answered(start, 0..=10);
        answers.note(at(15), true);
        assert!(answers.is_settled(at(15)));
    }

    // If this fails, proposals are taken at once when a register is back that was known to be away.
    #[test]
    fn a_failure_is_a_break_at_once() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut answers = answered(start, 0..=10);
        answers.note(at(11), false);
        assert!(!answers.is_up(at(11)) && !answers.is_settled(at(11)));
        answers.note(at(12), true);
        assert!(answers.is_up(at(12)) && !answers.is_settled(at(17)));
    }
}
