//! Whether clocks agree: those of all services, and this machine's.

use std::time::Duration;

use crate::api::Clock;
use crate::ui::human;

use super::examined::{Examined, Service};
use super::finding::Finding;

/// What nobody notices.
const DIFFERENCE_MS_MAX: i64 = 2_000;

/// Half a minute: far from the five by which nodes refuse new ids, and more than any clock goes wrong
/// by that is set by a network. `monitoring/alerts.yml` knows the same.
const WRONG_MS_MIN: i64 = 30_000;

const HERE: &str = "this machine";
const WHICH: &str = "look which of them is right; beyond five minutes nodes refuse new contents";
const SET: &str = "have the machine set its clock by the network (chrony, systemd-timesyncd); beyond \
                   five minutes nodes refuse new contents";

pub(super) fn findings(examined: &Examined) -> Vec<Finding> {
    let distributors = examined.distributors.iter().filter_map(clock);
    let nodes = examined.nodes.iter().filter_map(clock);
    judge(&distributors.chain(nodes).collect::<Vec<_>>())
}

fn clock<T>(service: &Service<T>) -> Option<(&str, Clock)> {
    let answers = service.answers.as_ref().ok()?;
    Some((service.name.as_str(), answers.clock?))
}

/// What most clocks say is right; this machine's is one of them.
fn judge(clocks: &[(&str, Clock)]) -> Vec<Finding> {
    if clocks.is_empty() {
        return Vec::new();
    }
    let here = Clock {
        ahead_ms: 0,
        uncertain_ms: 0,
    };
    let mut all: Vec<i64> = clocks.iter().map(|(_, clock)| clock.ahead_ms).collect();
    all.push(here.ahead_ms);
    all.sort_unstable();
    let (lower, right) = (all[(all.len() - 1) / 2], all[all.len() / 2]);
    if right - lower > WRONG_MS_MIN {
        let by = human::duration(Duration::from_millis(right.abs_diff(lower)));
        let found = format!("half of them are about {by} ahead of the other half");
        return vec![Finding::ok("clocks", "all", found).demand(WHICH)];
    }
    let right = lower;
    let everybody = clocks.iter().copied().chain([(HERE, here)]);
    let wrong: Vec<Finding> = everybody
        .filter_map(|(name, clock)| differs(name, clock, right))
        .collect();
    if wrong.is_empty() {
        let found = format!("{} services and this machine agree", clocks.len());
        return vec![Finding::ok("clocks", "all", found)];
    }
    wrong
}

fn differs(name: &str, clock: Clock, right: i64) -> Option<Finding> {
    let ahead_ms = clock.ahead_ms - right;
    let surely = ahead_ms.abs() - clock.uncertain_ms;
    if surely <= DIFFERENCE_MS_MAX {
        return None;
    }
    let way = if ahead_ms > 0 { "ahead of" } else { "behind" };
    let by = human::duration(Duration::from_millis(ahead_ms.unsigned_abs()));
    let finding = Finding::ok("clocks", name, format!("about {by} {way} most"));
    // Services never ask a client what time it is.
    Some(if surely >= WRONG_MS_MIN && name != HERE {
        finding.demand(SET)
    } else {
        finding.advise(SET)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    fn judged(ahead_ms: &[i64]) -> Vec<(Level, String)> {
        let names = ["dist", "node1", "node2", "node3"];
        let clocks = ahead_ms.iter().zip(names).map(|(ahead_ms, name)| {
            let clock = Clock {
                ahead_ms: *ahead_ms,
                uncertain_ms: 501,
            };
            (name, clock)
        });
        let findings = judge(&clocks.collect::<Vec<_>>());
        findings
            .into_iter()
            .map(|finding| (finding.level, finding.subject))
            .collect()
    }

    // If this fails, the one wrong clock is not found, or all others are blamed for it.
    #[test]
    fn the_clock_that_differs_from_most_is_the_wrong_one() {
        assert_eq!(judged(&[100, -400, 499]), [(Level::Ok, "all".to_owned())]);
        assert_eq!(
            judged(&[0, 0, 60_000]),
            [(Level::Problem, "node2".to_owned())]
        );
        assert_eq!(
            judged(&[0, -60_000]),
            [(Level::Problem, "node1".to_owned())]
        );
        assert_eq!(
            judged(&[0, 0, 9_000]),
            [(Level::Advice, "node2".to_owned())]
        );
        assert_eq!(
            judged(&[90_000, 90_000, 90_100]),
            [(Level::Advice, HERE.to_owned())]
        );
        assert_eq!(judged(&[]), []);
    }

    // If this fails, this machine is blamed for a service's wrong clock, which then seems to be right.
    #[test]
    fn one_half_against_the_other_decides_nothing() {
        let undecided = [(Level::Problem, "all".to_owned())];
        assert_eq!(judged(&[-600_000]), undecided);
        assert_eq!(judged(&[600_000]), undecided);
        assert_eq!(judged(&[0, -60_000, -60_000]), undecided);
    }

    // If this fails, a header that only tells whole seconds makes a clock look wrong.
    #[test]
    fn what_may_be_right_is_right() {
        assert_eq!(judged(&[2_501]), [(Level::Ok, "all".to_owned())]);
        assert_eq!(judged(&[2_502])[0].0, Level::Advice);
        assert_eq!(judged(&[0, 30_500])[0].0, Level::Advice);
        assert_eq!(judged(&[0, 30_501])[0].0, Level::Problem);
    }
}
