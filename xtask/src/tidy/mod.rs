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
