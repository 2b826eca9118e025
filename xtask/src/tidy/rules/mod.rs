//! The rules, one file for each kind.

mod arrows;
mod docs;
mod links;
mod names;
mod places;
pub(super) mod ratio;
mod size;
mod words;

use super::finding::Finding;
use super::tree::Tree;

/// A rule: what in this tree breaks it.
pub(super) type Rule = fn(&Tree) -> Vec<Finding>;

/// Every rule by its name.
pub(super) const ALL: [(&str, Rule); 15] = [
    ("file length", size::files),
    ("function length", size::functions),
    ("parameters", size::parameters),
    ("folder", size::folders),
    ("words", words::code),
    ("expect", words::expectations),
    ("attributes", words::attributes),
    ("unfinished", words::unfinished),
    ("globs", names::globs),
    ("names", names::modules),
    ("module docs", docs::modules),
    ("tests", ratio::lines),
    ("arrows", arrows::manifests),
    ("places", places::libraries),
    ("links", links::documents),
];
