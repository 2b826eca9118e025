//! `cargo xtask tidy`: the sums and the arrows of the house, each as a small rule.
//!
//! A rule looks at the whole tree as [`tree::Tree`] has read it and says what breaks it; it
//! changes nothing. What clippy and rustc can check is theirs.

mod finding;
mod rules;
mod source;
mod tokens;
mod tree;

use std::io::Write;
use std::path::Path;

use finding::Finding;
use tree::Tree;

/// Checks the workspace at `root` against every rule and prints what it found; true when that is
/// nothing.
///
/// # Errors
/// When the tree cannot be read.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let tree = Tree::read(root)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", rules::ratio::table(&tree))?;
    let findings = findings(&tree);
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    writeln!(
        out,
        "tidy: {} files, {} findings",
        tree.sources.len(),
        findings.len()
    )?;
    Ok(findings.is_empty())
}

fn findings(tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<Finding> = rules::ALL
        .iter()
        .flat_map(|(name, rule)| rule(tree).into_iter().map(|f| f.of(name)))
        .collect();
    findings.sort();
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const CRITICAL: &str = "//! Keeps bytes.\n\n/// A number.\npub const ONE: u8 = 1;\n";

    fn names(tree: &Tree) -> BTreeSet<&'static str> {
        findings(tree)
            .into_iter()
            .map(|finding| finding.rule)
            .collect()
    }

    // If this fails, good code is refused, and people learn to work around the rules.
    #[test]
    fn a_tree_that_keeps_every_rule_passes() {
        let tests = "//! Puts it to the test.\n\n// If this fails, one is not one.\n#[test]\nfn one() {\n    assert_eq!(store::ONE, 1);\n}\n";
        let module = "//! Owns a sum.\n\nuse std::fmt;\n\n/// Adds.\npub fn add(a: u8, b: u8) -> u8 {\n    a.checked_add(b).expect(\"small numbers have a sum\")\n}\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n\n    #[test]\n    fn adds() {\n        assert_eq!(add(1, 2), 3);\n    }\n}\n";
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace]\nmembers = [\"node/store\"]\n"),
            (
                "README.md",
                "# A\n[the store](node/store/src/lib.rs) [here](#a)\n",
            ),
            (
                "node/store/Cargo.toml",
                "[package]\nname = \"store\"\n[dependencies]\nwire = {}\n",
            ),
            ("wire/Cargo.toml", "[package]\nname = \"wire\"\n"),
            ("node/store/src/lib.rs", CRITICAL),
            ("node/store/tests/one.rs", tests),
            ("dist/src/catalog/sum.rs", module),
        ]);
        assert_eq!(findings(&tree), []);
    }

    // If this fails, a rule is written and tested, and never applied.
    #[test]
    fn every_rule_is_applied() {
        let long = "    x();\n".repeat(501);
        let bad = format!(
            "use a::*;\n#[allow(unused)]\nfn f(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) {{\n    a.unwrap();\n    a.expect(\"no\");\n    sqlx::query();\n{long}}}\n// {}: more\n",
            concat!("TO", "DO")
        );
        let mut files = vec![
            (
                "node/Cargo.toml".to_owned(),
                "[package]\nname = \"node\"\n[dependencies]\ndist = {}\n".to_owned(),
            ),
            (
                "dist/Cargo.toml".to_owned(),
                "[package]\nname = \"dist\"\n".to_owned(),
            ),
            ("README.md".to_owned(), "[gone](nowhere.md)\n".to_owned()),
            ("node/src/utils.rs".to_owned(), bad),
        ];
        files.extend((0..12).map(|number| (format!("node/src/f{number}.rs"), String::new())));
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        let all: BTreeSet<&str> = rules::ALL.iter().map(|(name, _)| *name).collect();
        assert_eq!(all.len(), rules::ALL.len(), "two rules have one name");
        assert_eq!(names(&Tree::of(&files)), all);
    }

    // If this fails, an editor cannot jump to what is wrong.
    #[test]
    fn a_finding_says_where_it_is() {
        let tree = Tree::of(&[("a/src/x.rs", "//! X.\nfn f() {\n    todo!()\n}\n")]);
        let shown: Vec<String> = findings(&tree).iter().map(ToString::to_string).collect();
        assert!(
            shown.contains(&"a/src/x.rs:3: words: `todo!` is not finished".to_owned()),
            "{shown:?}"
        );
    }
}
