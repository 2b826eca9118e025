//! Where records lie whose heads cannot be read, side by side.
//!
//! Records lie one behind the other in the order of lsns, so that their lengths tell where each of them
//! is; if all are here that another replica has. One may not be: who catches up is not sent what is dead
//! by then, and a rewriting drops it. So they must fill the place between their neighbours to its last
//! byte, and must not without any of them.

use std::ops::Range;

use crate::record::layout::{Lengths, PAGE};

/// The start of the record behind `before` other ones in this row, in bytes; none where a record of the
/// row may not be here.
pub(super) fn start_in(row: &[Lengths], place: &Range<u64>, before: usize) -> Option<u64> {
    let end_of = |row: &[Lengths]| row.iter().fold(place.start, |at, lengths| lengths.end(at));
    let is_whole = end_of(row) == place.end && !has_room_for_less(row, place.start);
    is_whole.then(|| end_of(&row[..before]))
}

/// Whether the row could end where it does without one of its records: where the padding in front of a
/// payload that begins at a page would be longer by that one.
fn has_room_for_less(row: &[Lengths], start: u64) -> bool {
    let (mut at, mut smallest) = (start, u64::MAX);
    row.iter().any(|lengths| {
        let padding = lengths.payload_start(at) - (at + lengths.head());
        let is_first_of_page = lengths.is_punchable();
        let may_lack = is_first_of_page && padding.saturating_add(smallest) < PAGE;
        smallest = match is_first_of_page {
            true => u64::MAX,
            false => smallest.min(lengths.end(at) - at),
        };
        at = lengths.end(at);
        may_lack
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, prop_assert_eq, prop_oneof, proptest};
    use proptest::strategy::Strategy;

    use super::*;

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

    proptest! {
        // If this fails, a record is written over another one, which is destroyed by it.
        #[test]
        fn a_row_that_may_lack_a_record_tells_no_place(
            row in proptest::collection::vec(lengths(), 1..7), start in 0_u64..4096, lacks in 0_u32..64,
        ) {
            let start = start * 8;
            let is_here = |at: &usize| lacks >> at & 1 == 0;
            let here: Vec<usize> = (0..row.len()).filter(is_here).collect();
            let written: Vec<Lengths> = here.iter().map(|at| row[*at]).collect();
            let (found, end) = starts(&written, start);
            let told = (0..row.len()).map(|at| start_in(&row, &(start..end), at));
            let told: Vec<Option<u64>> = told.collect();
            if here.len() < row.len() {
                prop_assert!(told.iter().all(Option::is_none), "{row:?} lacks {lacks:b}: {told:?}");
            } else if row.iter().all(|lengths| !lengths.is_punchable()) {
                prop_assert_eq!(told, found.into_iter().map(Some).collect::<Vec<_>>());
            } else {
                let is_right = |(told, found): (&Option<u64>, &u64)| told.is_none_or(|at| at == *found);
                prop_assert!(told.iter().zip(&found).all(is_right));
            }
        }
    }

    // If this fails, the chunks of a large content are never mended where several of their heads are lost.
    #[test]
    fn large_records_behind_each_other_and_small_ones_behind_them_tell_their_places() {
        let large = Lengths {
            metadata: 0,
            payload: 1 << 20,
        };
        let small = Lengths {
            metadata: 120,
            payload: 100,
        };
        let row = [large, large, small, small];
        let (found, end) = starts(&row, 8 << 10);
        for (before, at) in found.into_iter().enumerate() {
            assert_eq!(start_in(&row, &(8 << 10..end), before), Some(at));
        }
        let (_, end) = starts(&[small, large], 8 << 10);
        assert_eq!(
            start_in(&[small, large], &(8 << 10..end), 0),
            None,
            "the small one may not be here"
        );
    }
}
