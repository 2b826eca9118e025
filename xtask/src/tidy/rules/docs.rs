//! What every module says of itself.

use crate::tidy::finding::Finding;
use crate::tidy::tree::Tree;

/// Every file opens with `//!`: what it owns, and what it must not know.
pub(crate) fn modules(tree: &Tree) -> Vec<Finding> {
    let undocumented = tree.sources.iter().filter(|source| {
        let first = source.text.lines().find(|line| !line.trim().is_empty());
        !first.is_some_and(|line| line.starts_with("//! "))
    });
    undocumented
        .map(|source| Finding::at(&source.path, 1, "does not open with `//!` and a sentence"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a reader must guess what a module is for.
    #[test]
    fn a_module_without_a_word_is_caught() {
        let tree = Tree::of(&[
            ("a/src/bare.rs", "use a::b;\n"),
            ("a/src/blank.rs", "//!\nfn f() {}\n"),
            ("a/src/good.rs", "\n//! Owns the clock.\nfn f() {}\n"),
        ]);
        let paths: Vec<String> = modules(&tree)
            .into_iter()
            .map(|finding| finding.path)
            .collect();
        assert_eq!(paths, ["a/src/bare.rs", "a/src/blank.rs"]);
    }
}
