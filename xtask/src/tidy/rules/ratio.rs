//! How much of the code is tests.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::tidy::finding::Finding;
use crate::tidy::tree::Tree;

/// Crates that exist for tests only; all of their lines are tests.
const TEST_CRATES: [&str; 5] = ["pgtest", "sim", "trials", "webtest", "zktest"];

/// Crates whose mistakes cost data: 1.5 lines of tests for each of product code.
const CRITICAL_CRATES: [&str; 2] = ["node/store", "node/replica"];

/// A crate that is proved by another one: schedules of the simulator are the replication core's
/// tests, as crash states are the store's.
const PROVED_BY: (&str, &str) = ("node/replica", "sim");

/// Lines of code of one crate, without blank lines and comments.
#[derive(Clone, Copy, Default)]
struct Lines {
    product: usize,
    tests: usize,
}

/// Overall as many lines of tests as of product code, and half as many again where data is kept.
pub(crate) fn lines(tree: &Tree) -> Vec<Finding> {
    let crates = count(tree);
    let total = total(&crates);
    let mut findings = Vec::new();
    if total.tests < total.product {
        findings.push(breach("the workspace", total, "at least as many"));
    }
    for name in CRITICAL_CRATES {
        let mut of_crate = crates.get(name).copied().unwrap_or_default();
        if name == PROVED_BY.0 {
            of_crate.tests += crates.get(PROVED_BY.1).map_or(0, |sim| sim.tests);
        }
        if of_crate.tests * 2 < of_crate.product * 3 {
            findings.push(breach(name, of_crate, "at least 1.5 times as many"));
        }
    }
    findings
}

/// The figures, for people.
pub(crate) fn table(tree: &Tree) -> String {
    let crates = count(tree);
    let mut text = format!(
        "{:<14} {:>8} {:>8} {:>6}",
        "crate", "product", "tests", "ratio"
    );
    let rows = crates.iter().map(|(name, lines)| (*name, *lines));
    for (name, lines) in rows.chain([("all", total(&crates))]) {
        let ratio = lines.tests as f64 / lines.product.max(1) as f64;
        let Lines { product, tests } = lines;
        write!(text, "\n{name:<14} {product:>8} {tests:>8} {ratio:>6.2}")
            .expect("writing to a string cannot fail");
    }
    text
}

fn breach(path: &str, Lines { product, tests }: Lines, wanted: &str) -> Finding {
    Finding::whole(
        path,
        format!("{tests} lines of tests for {product} of product code; {wanted}"),
    )
}

fn total(crates: &BTreeMap<&str, Lines>) -> Lines {
    crates.values().fold(Lines::default(), |sum, lines| Lines {
        product: sum.product + lines.product,
        tests: sum.tests + lines.tests,
    })
}

fn count(tree: &Tree) -> BTreeMap<&str, Lines> {
    let mut crates: BTreeMap<&str, Lines> = BTreeMap::new();
    for source in &tree.sources {
        let name = source.crate_folder();
        let lines = crates.entry(name).or_default();
        let (product, tests) = source.code_lines();
        if TEST_CRATES.contains(&name) {
            lines.tests += product + tests;
        } else {
            lines.product += product;
            lines.tests += tests;
        }
    }
    crates
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, code grows faster than what proves it.
    #[test]
    fn too_few_tests_are_caught() {
        let (ten, fifteen) = (
            "const A: u8 = 1;\n".repeat(10),
            "const A: u8 = 1;\n".repeat(15),
        );
        let of = |store: &str, other: &str| {
            let tree = Tree::of(&[
                ("node/store/src/lib.rs", &ten),
                ("node/store/tests/a.rs", store),
                ("dist/src/lib.rs", &ten),
                ("pgtest/src/lib.rs", other),
            ]);
            lines(&tree)
                .into_iter()
                .map(|finding| finding.path)
                .collect::<Vec<_>>()
        };
        assert!(of(&fifteen, &ten).is_empty());
        assert_eq!(of(&ten, &ten), ["node/store"]);
        assert_eq!(of(&fifteen, ""), ["the workspace"]);
        let core = |simulator: &str| {
            let tree = Tree::of(&[
                ("node/replica/src/lib.rs", &ten),
                ("node/replica/tests/a.rs", &ten),
                ("sim/src/lib.rs", simulator),
            ]);
            lines(&tree).len()
        };
        assert_eq!((core(""), core(&ten)), (1, 0));
    }
}
