//! Where records lie whose heads cannot be read, side by side.
//!
//! Records lie one behind the other in the order of lsns, so that their lengths tell where each of them
//! is; if all are here that another replica has. One may not be: who catches up is not sent what is dead
//! by then, and a rewriting drops it. So they must fill the place between their neighbours to its last
//! byte, and must not without any of them that nobody needs.

use std::ops::Range;

use crate::damage::{Need, Told};
use crate::record::layout::PAGE;

/// The start of the record behind `before` other ones in this row, in bytes; none where a record of the
/// row may not be here.
pub(super) fn start_in(row: &[Told], place: &Range<u64>, before: usize) -> Option<u64> {
    let end_of = |row: &[Told]| {
        row.iter()
            .fold(place.start, |at, told| told.lengths.end(at))
    };
    let is_whole = end_of(row) == place.end && !has_room_for_less(row, place.start);
    is_whole.then(|| end_of(&row[..before]))
}

/// Whether the row could end where it does without one of its records: where the padding in front of a
/// payload that begins at a page would be longer by that one.
fn has_room_for_less(row: &[Told], start: u64) -> bool {
    let (mut at, mut smallest) = (start, u64::MAX);
    row.iter().any(|Told { lengths, need }| {
        let (begin, is_first_of_page) = (at, lengths.is_punchable());
        let padding = lengths.payload_start(begin) - (begin + lengths.head());
        let may_lack = is_first_of_page && padding.saturating_add(smallest) < PAGE;
        at = lengths.end(begin);
        match need {
            _ if is_first_of_page => smallest = u64::MAX,
            Need::Unknown => smallest = smallest.min(at - begin),
            Need::Certain => {}
        }
        may_lack
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::Strategy;

    use super::*;
    use crate::record::layout::Lengths;

    fn lengths() -> impl Strategy<Value = Lengths> {
        let payload = prop_oneof![0_u64..300, (64_u64 << 10)..(66 << 10)];
        (0_u32..200, payload).prop_map(|(metadata, payload)| Lengths { metadata, payload })
    }

    /// Where each record of a row starts, and where the last one ends.
    fn starts(row: &[Lengths], start: u64) -> (Vec<u64>, u64) {
        let mut at = start;
        let mut starts = Vec::new();
        for lengths in row {
            starts.push(at);
            at = lengths.end(at);
        }
        (starts, at)
    }

    /// What is told of the places of a row's records, of which these are needed.
    fn told(row: &[Lengths], place: &Range<u64>, needed: u32) -> Vec<Option<u64>> {
        let each = row.iter().enumerate();
        let told = each.map(|(at, lengths)| Told {
            lengths: *lengths,
            need: match needed >> at & 1 {
                1 => Need::Certain,
                _ => Need::Unknown,
            },
        });
        let told: Vec<Told> = told.collect();
        let starts = (0..told.len()).map(|at| start_in(&told, place, at));
        starts.collect()
    }

    fn some(starts: &[u64]) -> Vec<Option<u64>> {
        starts.iter().copied().map(Some).collect()
    }

    proptest! {
        // If this fails, a record is written over another one, which is destroyed by it.
        #[test]
        fn a_row_that_may_lack_a_record_tells_no_place(
            row in proptest::collection::vec(lengths(), 1..7), start in 0_u64..4096,
            lacks in 0_u32..64, needed in 0_u32..64,
        ) {
            let start = start * 8;
            let is_here = |at: &usize| lacks >> at & 1 == 0;
            let written: Vec<Lengths> = (0..row.len()).filter(is_here).map(|at| row[at]).collect();
            let (found, end) = starts(&written, start);
            // What is needed is here.
            let told = told(&row, &(start..end), needed & !lacks);
            if written.len() < row.len() {
                prop_assert!(told.iter().all(Option::is_none), "{row:?} lacks {lacks:b}: {told:?}");
            } else if row.iter().all(|lengths| !lengths.is_punchable()) {
                prop_assert_eq!(told, some(&found));
            } else {
                let is_right = |(told, found): (&Option<u64>, &u64)| told.is_none_or(|at| at == *found);
                prop_assert!(told.iter().zip(&found).all(is_right));
            }
        }
    }

    // If this fails, small contents and large ones that lie side by side are never mended, though all of
    // them are needed; or one that may not be here is written in front of a large one.
    #[test]
    fn a_small_record_in_front_of_a_large_one_must_be_needed() {
        let [small, large] = [(120, 100), (0, 1 << 20)];
        let [small, large] =
            [small, large].map(|(metadata, payload)| Lengths { metadata, payload });
        for (row, is_told) in [
            (&[large, large, small, small][..], true),
            (&[small, small, large, small], false),
        ] {
            let (found, end) = starts(row, 8 << 10);
            let place = 8 << 10..end;
            assert_eq!(told(row, &place, 0b1111), some(&found));
            assert_eq!(told(row, &place, 0b0011), some(&found));
            for needed in [0, 0b01, 0b10, 0b1100] {
                let found = if is_told {
                    some(&found)
                } else {
                    vec![None; row.len()]
                };
                assert_eq!(told(row, &place, needed), found, "{needed:b}");
            }
        }
    }
}
