//! Subjects and verbs that agree, in one and in many.

use crate::console::figures::counted;

/// As many names are said.
const NAMES_MAX: usize = 3;

/// Names as a list; of many only the first.
pub(super) fn names(names: &[&str]) -> String {
    match names {
        [first, second, third, _, ..] => {
            let more = names.len() - NAMES_MAX;
            format!("{first}, {second}, {third} and {more} more")
        }
        few => few.join(", "),
    }
}

/// `node2 is`, `node2, node3 are`.
pub(super) fn all(subjects: &[&str], verbs: [&str; 2]) -> String {
    let verb = agreeing(subjects.len() as u64, verbs);
    format!("{} {verb}", names(subjects))
}

/// `1 shard has`, `2 shards have`.
pub(super) fn number(number: u64, noun: &str, verbs: [&str; 2]) -> String {
    format!("{} {}", counted(number, noun), agreeing(number, verbs))
}

/// The first for one, the second for many.
pub(super) fn agreeing(number: u64, [one, many]: [&str; 2]) -> &str {
    if number == 1 { one } else { many }
}
