//! Whether a node is used: pure.

use std::time::Duration;

use wire::membership::Health;

/// What the last question for statistics brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Poll {
    /// Nothing was asked yet.
    Unasked,
    /// It answered.
    Answered,
    /// It did not answer, or not in time.
    Failed,
}

/// A node is used while both hold: it says that it is there, and it answers when asked.
///
/// A node that is stopped closes its port at once and its silence shows a session later, so a
/// failed question counts before the silence does.
pub(crate) fn judge(silence: Duration, session: Duration, poll: Poll) -> Health {
    if silence < session && poll == Poll::Answered {
        Health::Up
    } else {
        Health::Down
    }
}

#[cfg(test)]
mod tests {
    use super::{Poll, judge};
    use std::time::Duration;
    use wire::membership::Health;

    // If this fails, uploads are sent to a node that is gone, or a living node is not used.
    #[test]
    fn a_node_must_be_heard_and_must_answer() {
        let session = Duration::from_secs(3);
        let fresh = Duration::from_millis(2999);
        assert_eq!(judge(fresh, session, Poll::Answered), Health::Up);
        assert_eq!(judge(session, session, Poll::Answered), Health::Down);
        assert_eq!(judge(fresh, session, Poll::Failed), Health::Down);
        assert_eq!(judge(fresh, session, Poll::Unasked), Health::Down);
    }
}
