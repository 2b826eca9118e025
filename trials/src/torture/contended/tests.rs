//! Histories that were written by hand.

use std::time::Duration;

use tokio::time::Instant;
use wire::{Checksum, ContentId, ShardNo};

use super::history::{Action, Answer, Bytes, Content, Operation, Verdict, judge};
use super::{Contended, Judged, may_be_behind};
use crate::torture::copies::Agreed;
use crate::torture::ledger::Version;

fn bytes(of: u8) -> Bytes {
    Bytes {
        size: 1,
        checksum: Checksum([of; 32]),
    }
}

fn version(number: u64, of: u8) -> Version {
    let Bytes { size, checksum } = bytes(of);
    Version {
        number,
        size,
        checksum,
    }
}

/// A clock whose moments are numbers.
struct Clock(Instant);

impl Clock {
    fn at(&self, moment: u64) -> Instant {
        self.0 + Duration::from_secs(moment)
    }

    fn operation(&self, (begun, ended): (u64, u64), action: Action, answer: Answer) -> Operation {
        Operation {
            action,
            answer,
            begun: self.at(begun),
            ended: self.at(ended),
        }
    }

    fn update(&self, when: (u64, u64), of: u8, number: u64) -> Operation {
        let made = Answer::Version(version(number, of));
        self.operation(when, Action::Update(None, bytes(of)), made)
    }

    fn demanding(&self, when: (u64, u64), (base, of): (u8, u8), number: u64) -> Operation {
        let action = Action::Update(Some(Checksum([base; 32])), bytes(of));
        self.operation(when, action, Answer::Version(version(number, of)))
    }

    fn lost(&self, begun: u64, of: u8) -> Operation {
        let action = Action::Update(None, bytes(of));
        self.operation((begun, begun + 1), action, Answer::Lost)
    }

    fn read(&self, when: (u64, u64), number: u64, of: u8) -> Operation {
        self.operation(when, Action::Read, Answer::Version(version(number, of)))
    }

    fn gone(&self, when: (u64, u64)) -> Operation {
        self.operation(when, Action::Read, Answer::Nothing)
    }

    fn delete(&self, when: (u64, u64), number: u64, of: u8) -> Operation {
        let deleted = Answer::Version(version(number, of));
        self.operation(when, Action::Delete(None), deleted)
    }
}

fn judged(operations: &[Operation]) -> Verdict {
    judge(Content::Live(version(1, 1)), operations)
}

// If this fails, a history that no order explains passes: a lost update, an old read, wrong bytes, a
// content that came back.
#[test]
fn wrong_histories_are_refused() {
    let clock = Clock(Instant::now());
    let wrong: [(&str, Vec<Operation>); 9] = [
        (
            "an acknowledged update is gone",
            vec![clock.update((0, 1), 2, 2), clock.read((2, 3), 1, 1)],
        ),
        (
            "two updates made the same version",
            vec![clock.update((0, 5), 2, 2), clock.update((1, 4), 3, 2)],
        ),
        (
            "both of two that demanded the same one",
            vec![
                clock.demanding((0, 5), (1, 2), 2),
                clock.demanding((1, 4), (1, 3), 3),
            ],
        ),
        (
            "the newer one was read, then the older",
            vec![
                clock.update((0, 9), 2, 2),
                clock.read((1, 2), 2, 2),
                clock.read((3, 4), 1, 1),
            ],
        ),
        (
            "the later update made the earlier version",
            vec![clock.update((0, 1), 2, 3), clock.update((2, 3), 3, 2)],
        ),
        ("bytes that nobody sent", vec![clock.read((0, 1), 1, 9)]),
        (
            "a deleted one is read",
            vec![clock.delete((0, 1), 1, 1), clock.read((2, 3), 1, 1)],
        ),
        (
            "a delete of another version than was there",
            vec![clock.update((0, 1), 2, 2), clock.delete((2, 3), 1, 1)],
        ),
        (
            "an update without an answer was done before it was sent",
            vec![clock.read((0, 1), 2, 2), clock.lost(2, 2)],
        ),
    ];
    for (what, operations) in wrong {
        assert_eq!(judged(&operations), Verdict::Refuted, "{what}");
    }
}

// If this fails, what several clients may well do at once is called a violation.
#[test]
fn right_histories_pass() {
    let clock = Clock(Instant::now());
    let right: [(&str, Vec<Operation>); 6] = [
        (
            "one after the other",
            vec![
                clock.update((0, 1), 2, 2),
                clock.read((2, 3), 2, 2),
                clock.delete((4, 5), 2, 2),
                clock.gone((6, 7)),
            ],
        ),
        (
            "the one that began later came first",
            vec![
                clock.update((0, 9), 2, 3),
                clock.update((1, 8), 3, 2),
                clock.read((2, 7), 2, 3),
            ],
        ),
        (
            "an update without an answer was done, later",
            vec![
                clock.lost(0, 2),
                clock.read((2, 3), 1, 1),
                clock.read((4, 5), 2, 2),
            ],
        ),
        (
            "or not at all",
            vec![clock.lost(0, 2), clock.read((4, 5), 1, 1)],
        ),
        (
            "a delete is repeated",
            vec![
                clock.delete((0, 5), 1, 1),
                clock.delete((1, 4), 1, 1),
                clock.gone((6, 7)),
            ],
        ),
        (
            "a lost update made room for the next number",
            vec![clock.lost(0, 2), clock.demanding((2, 3), (2, 3), 3)],
        ),
    ];
    for (what, operations) in right {
        assert_eq!(judged(&operations), Verdict::Linearizable, "{what}");
    }
    let stored = Answer::Version(version(1, 4));
    let stored = clock.operation((0, 3), Action::Store(bytes(4)), stored);
    let all = [clock.gone((1, 2)), stored, clock.read((4, 5), 1, 4)];
    assert_eq!(judge(Content::Absent, &all), Verdict::Linearizable);
}

// If this fails, a history that leaves very many orders open takes a run's memory, or its night.
#[test]
fn the_search_is_bounded() {
    let clock = Clock(Instant::now());
    let mut operations: Vec<Operation> = (10..50).map(|of| clock.lost(0, of)).collect();
    operations.push(clock.read((2, 3), 7, 9));
    assert_eq!(judged(&operations), Verdict::Undecided);
}

// If this fails, a copy may serve for longer than by design what an acknowledged update has superseded.
#[test]
fn a_read_is_behind_by_a_session_at_most() {
    let clock = Clock(Instant::now());
    let read_after = |ms| {
        let sent = clock.at(1) + Duration::from_millis(ms);
        let operation = clock.read((0, 60), 1, 1);
        judged(&[
            clock.update((0, 1), 2, 2),
            Operation {
                begun: may_be_behind(sent),
                ..operation
            },
        ])
    };
    assert_eq!(read_after(2_900), Verdict::Linearizable);
    assert_eq!(read_after(3_100), Verdict::Refuted);
}

/// What several clients did to one content, looked at again and again.
struct Story {
    contended: Contended,
    id: ContentId,
}

impl Story {
    fn of(operations: &[Operation]) -> Story {
        let (contended, id) = (Contended::default(), ContentId::mint(ShardNo(1), 0, 7));
        contended.store(id, "http://a");
        for operation in operations {
            contended.note(id, *operation);
        }
        Story { contended, id }
    }

    fn look(&self, agreed: Agreed) -> Judged {
        let mut histories = self.contended.take(true);
        let history = histories.remove(&self.id).expect("it was stored");
        let look = (agreed, Instant::now());
        self.contended.conclude(self.id, history, look)
    }

    /// How many violations each of these looks finds.
    fn wrong(&self, looks: &[Agreed]) -> Vec<usize> {
        let found = looks.iter().map(|agreed| self.look(*agreed));
        found.map(|judged| judged.violations.len()).collect()
    }
}

// If this fails, a change without an answer is called a violation when it turns out to have been done, after
// a look at which nobody could tell; or one that was acknowledged may be gone after such a look.
#[test]
fn what_nobody_could_tell_stays_open() {
    let clock = Clock(Instant::now() - Duration::from_secs(10));
    let stored = |answer| clock.operation((0, 1), Action::Store(bytes(4)), answer);
    let (is_there, is_gone) = (Agreed::On(Some(version(1, 4))), Agreed::On(None));
    for found in [is_there, is_gone] {
        let lost = Story::of(&[stored(Answer::Lost)]);
        assert_eq!(lost.wrong(&[Agreed::Unsure, Agreed::Unsure, found]), [0; 3]);
        let acknowledged = [
            stored(Answer::Version(version(1, 4))),
            clock.operation((2, 3), Action::Delete(None), Answer::Lost),
        ];
        let deleted = Story::of(&acknowledged);
        assert_eq!(deleted.wrong(&[Agreed::Unsure, found]), [0; 2]);
        let expected = &deleted.contended.ledger().contents[&deleted.id];
        assert_eq!(expected.possible, None, "it was seen");
    }
    let kept = Story::of(&[stored(Answer::Version(version(1, 4)))]);
    assert_eq!(kept.wrong(&[Agreed::Unsure]), [1], "it must be there");
    let seen = Story::of(&[stored(Answer::Lost)]);
    assert_eq!(seen.wrong(&[is_gone, is_there]), [0, 1], "it was not there");
}
