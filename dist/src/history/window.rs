//! Which steps answer a question for the history: pure.

use wire::{NodeName, Timestamp};

use crate::catalog::{HistoryQuery, LEVELS};

/// Points of one answer: more than a chart has pixels for.
const POINTS_MAX: u64 = 1000;

/// Points of an answer to somebody who does not say how long a step shall be.
const POINTS_DEFAULT: u64 = 240;

/// How far back an answer begins if nobody says.
const SPAN_DEFAULT_S: u64 = 60 * 60;

/// What somebody asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// Whose; none for the cluster's.
    pub(crate) node: Option<NodeName>,
    /// From when on; by default an hour before the end.
    pub(crate) from: Option<Timestamp>,
    /// Until when; by default now.
    pub(crate) to: Option<Timestamp>,
    /// The length of a step in seconds; by default one that makes a good chart.
    pub(crate) step_s: Option<u64>,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum WindowError {
    /// It ends before it begins.
    #[error("`to` is not after `from`")]
    Empty,
    /// The answer would be too long.
    #[error(
        "a step of {step_s} s gives more than {POINTS_MAX} points; ask for {least_s} s or more"
    )]
    TooFine { step_s: u64, least_s: u64 },
    /// Nothing lasts no time.
    #[error("`step` is 0")]
    NoStep,
}

/// The part of the history that answers a question.
///
/// A step that is shorter than what is still kept of that time is made longer; the answer says which
/// it is.
pub(crate) fn window(asked: Asked, now: Timestamp) -> Result<HistoryQuery, WindowError> {
    let now_s = now.0 / 1000;
    let to_s = asked.to.map_or(now_s + 1, |to| to.0.div_ceil(1000));
    let from_s = asked
        .from
        .map_or(to_s.saturating_sub(SPAN_DEFAULT_S), |from| from.0 / 1000);
    if from_s >= to_s {
        return Err(WindowError::Empty);
    }
    // Nothing older is kept.
    let [.., longest] = LEVELS;
    let from_s = from_s.max(now_s.saturating_sub(longest.kept_s));
    let span_s = to_s.saturating_sub(from_s).max(1);
    let step_s = match asked.step_s {
        Some(0) => return Err(WindowError::NoStep),
        Some(step_s) if span_s / step_s > POINTS_MAX => {
            let least_s = span_s.div_ceil(POINTS_MAX);
            return Err(WindowError::TooFine { step_s, least_s });
        }
        Some(step_s) => step_s,
        None => span_s.div_ceil(POINTS_DEFAULT),
    };
    let age_s = now_s.saturating_sub(from_s);
    let kept = LEVELS.iter().filter(|level| age_s <= level.kept_s);
    let finest_s = kept.map(|level| level.step_s).min();
    let step_s = step_s.max(finest_s.unwrap_or(longest.step_s));
    let fitting = LEVELS.iter().filter(|level| level.step_s <= step_s);
    let stored_s = fitting.map(|level| level.step_s).max();
    let stored_s = stored_s.unwrap_or(longest.step_s);
    let step_s = step_s.div_ceil(stored_s).saturating_mul(stored_s);
    Ok(HistoryQuery {
        node: asked.node,
        from_s: from_s / step_s * step_s,
        to_s,
        step_s,
        stored_s,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::option;
    use proptest::prelude::{prop_assert, proptest};

    const NOW_S: u64 = 1_769_860_807;

    fn ask(back_s: u64, step_s: Option<u64>) -> Result<HistoryQuery, WindowError> {
        let asked = Asked {
            from: Some(Timestamp((NOW_S - back_s) * 1000)),
            step_s,
            ..Asked::default()
        };
        window(asked, Timestamp(NOW_S * 1000))
    }

    // If this fails, a chart of a week reads each sample of it, or one of an hour shows six points.
    #[test]
    fn a_span_is_read_from_steps_that_fit_it() {
        let steps = |back_s, step_s| {
            let query = ask(back_s, step_s).expect("is answered");
            (query.stored_s, query.step_s)
        };
        assert_eq!(steps(600, None), (5, 5));
        assert_eq!(steps(3600, None), (5, 20));
        assert_eq!(steps(6 * 3600, None), (60, 120));
        assert_eq!(steps(7 * 86_400, None), (600, 3000));
        assert_eq!(steps(600, Some(7)), (5, 10));
        assert_eq!(steps(600, Some(u64::MAX)), (600, u64::MAX));
        // Of yesterday there are only minutes.
        assert_eq!(steps(7200, Some(30)), (60, 60));
        assert_eq!(steps(3 * 86_400, Some(300)), (600, 600));
    }

    // If this fails, one question keeps the database busy, or asks for nothing at all.
    #[test]
    fn what_cannot_be_answered_is_refused() {
        let too_fine = WindowError::TooFine {
            step_s: 1,
            least_s: 4,
        };
        assert_eq!(ask(3600, Some(1)), Err(too_fine));
        assert_eq!(ask(60, Some(0)), Err(WindowError::NoStep));
        let at = |s: u64| Some(Timestamp(s * 1000));
        let backwards = Asked {
            from: at(20),
            to: at(10),
            ..Asked::default()
        };
        assert_eq!(window(backwards, Timestamp(0)), Err(WindowError::Empty));
    }

    proptest! {
        // If this fails, some question has an answer without end, or makes the service panic.
        #[test]
        fn every_answer_is_bounded(
            now in 0..u64::MAX / 2, from in 0..u64::MAX / 2, span in 0..u64::MAX / 2,
            step in option::of(0..u64::MAX),
        ) {
            let asked = Asked {
                from: Some(Timestamp(from)),
                to: Some(Timestamp(from + span)),
                step_s: step,
                node: None,
            };
            if let Ok(query) = window(asked, Timestamp(now)) {
                prop_assert!(query.step_s % query.stored_s == 0);
                prop_assert!(query.from_s % query.step_s == 0);
                let points = query.to_s.saturating_sub(query.from_s) / query.step_s;
                prop_assert!(points <= POINTS_MAX + 1);
            }
        }
    }
}
