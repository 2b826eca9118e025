//! Whether links in documents lead somewhere.

use std::collections::BTreeSet;

use crate::tidy::finding::Finding;
use crate::tidy::tree::{Document, Tree};

/// Every relative link of a Markdown file names a file, folder or heading that exists.
pub(crate) fn documents(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for document in tree
        .documents
        .iter()
        .filter(|document| document.path.ends_with(".md"))
    {
        for (line, target) in links(&document.text) {
            if let Some(why) = broken(tree, document, &target) {
                findings.push(Finding::at(
                    &document.path,
                    line,
                    format!("`{target}` {why}"),
                ));
            }
        }
    }
    findings
}

fn broken(tree: &Tree, document: &Document, target: &str) -> Option<&'static str> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let path = match file {
        "" => document.path.clone(),
        file => match resolve(&document.path, file) {
            Some(path) => path,
            None => return Some("leaves the workspace"),
        },
    };
    if !tree.paths.contains(&path) {
        return Some("does not exist");
    }
    let other = tree.documents.iter().find(|document| document.path == path);
    match other {
        Some(other) if !heading.is_empty() && !headings(&other.text).contains(heading) => {
            Some("names no heading")
        }
        _ => None,
    }
}

/// The path that a relative link means; none when it leaves the workspace.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop()?;
            }
            other => parts.push(other),
        }
    }
    Some(parts.join("/"))
}

/// The targets of `[text](target)`, with their lines; code is left out.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, content) in prose(text) {
        // Every second piece between backquotes is code.
        for outside in content.split('`').step_by(2) {
            let mut rest = outside;
            while let Some((_, after)) = rest.split_once("](") {
                let Some((target, more)) = after.split_once(')') else {
                    break;
                };
                let target = target.split_whitespace().next().unwrap_or_default();
                found.push((line, target.to_owned()));
                rest = more;
            }
        }
    }
    found
}

/// The anchors of a document's headings, as the usual renderers make them.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = prose(text).filter(|(_, line)| line.starts_with('#'));
    titles
        .map(|(_, line)| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// The lines outside fenced code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return false;
        }
        !fenced
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a newcomer follows a link into nothing.
    #[test]
    fn a_broken_link_is_caught() {
        let text = "[a](docs/a.md) [b](docs/b.md)\n[c](docs/a.md#the-log-of-a-shard) [d](docs/a.md#no)\n[e](https://example.com/) `[f](code)`\n```\n[g](fenced)\n```\n[h](docs) [i](#top) [j](../out.md)\n# Top\n";
        let tree = Tree::of(&[
            ("README.md", text),
            (
                "docs/a.md",
                "# A\n## The log, of a `shard`\n[up](../README.md#top)\n",
            ),
        ]);
        let found: Vec<(usize, String)> = documents(&tree)
            .into_iter()
            .map(|f| (f.line, f.message))
            .collect();
        assert_eq!(
            found,
            [
                (1, "`docs/b.md` does not exist".to_owned()),
                (2, "`docs/a.md#no` names no heading".to_owned()),
                (7, "`../out.md` leaves the workspace".to_owned()),
            ]
        );
    }

    // If this fails, a link out of the workspace is taken for one inside it.
    #[test]
    fn a_link_out_of_the_workspace_is_nobodys_file() {
        assert_eq!(resolve("README.md", "../out.md"), None);
        assert_eq!(
            resolve("docs/a.md", "./b/../c.md"),
            Some("docs/c.md".to_owned())
        );
    }

    // If this fails, two links on a line, or one with a title, are not looked at.
    #[test]
    fn links_are_found_wherever_they_stand() {
        let text = "a [`b`](c.md) (d) [e](f.md \"title\") `[g](h)` [i](j.md)\n~ [k](l.md#m)";
        let targets: Vec<String> = links(text).into_iter().map(|(_, target)| target).collect();
        assert_eq!(targets, ["c.md", "f.md", "j.md", "l.md#m"]);
    }

    // If this fails, a link to a heading breaks when the heading has a sign in it.
    #[test]
    fn anchors_are_made_as_renderers_make_them() {
        let made = headings("# `dist`, and more!\n## A-B c_d\n```\n# not one\n```\n");
        assert_eq!(
            made,
            BTreeSet::from(["dist-and-more".to_owned(), "a-b-c_d".to_owned()])
        );
    }
}
