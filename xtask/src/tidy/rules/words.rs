//! Words that code must not contain.

use crate::tidy::finding::Finding;
use crate::tidy::source::Source;
use crate::tidy::tokens::{self, Token};
use crate::tidy::tree::Tree;

/// The only folder that prints: what the command line client shows.
const PRINTS: &str = "client/src/ui/";

/// Build scripts, whose standard output cargo reads, and benchmarks, whose output people read.
const PRINTS_TOO: [&str; 2] = ["/build.rs", "/benches/"];

/// The fewest words of an `expect` that can state an invariant.
const INVARIANT_WORDS_MIN: usize = 2;

const NEVER: [(&[&str], &str); 5] = [
    (
        &[".", "unwrap", "(", ")"],
        "`unwrap` panics without a reason; return an error",
    ),
    (&["todo", "!"], "`todo!` is not finished"),
    (&["unimplemented", "!"], "`unimplemented!` is not finished"),
    (&["dbg", "!"], "`dbg!` was left behind"),
    (
        &["#", "[", "ignore"],
        "a test that is ignored proves nothing",
    ),
];

const PRINTING: [&[&str]; 2] = [&["println", "!"], &["print", "!"]];

/// No `unwrap`, `todo!`, `dbg!` or ignored test; no `println!` outside the client's `ui`.
pub(crate) fn code(tree: &Tree) -> Vec<Finding> {
    each(tree, |source, tokens| {
        let mut findings = Vec::new();
        for (pattern, why) in NEVER {
            findings.extend(tokens::find(tokens, pattern).map(|(_, line)| (line, why.to_owned())));
        }
        let prints_too = PRINTS_TOO.iter().any(|part| source.path.contains(part));
        if !source.path.starts_with(PRINTS) && !prints_too {
            for pattern in PRINTING {
                let why = format!("`{}!` stands outside {PRINTS}", pattern[0]);
                let found = tokens::find(tokens, pattern);
                findings.extend(found.map(|(_, line)| (line, why.clone())));
            }
        }
        findings
    })
}

/// In product code an `expect` states the invariant that makes it safe, in a literal.
pub(crate) fn expectations(tree: &Tree) -> Vec<Finding> {
    each(tree, |source, tokens| {
        tokens::find(tokens, &[".", "expect", "("])
            .filter(|&(_, line)| !source.is_test(line))
            .filter(|&(at, _)| {
                let message = tokens.get(at + 3).map_or("", |token| token.text.as_str());
                let literal = message.starts_with('"') || message.starts_with("r\"");
                !literal || message.split_whitespace().count() < INVARIANT_WORDS_MIN
            })
            .map(|(_, line)| {
                (
                    line,
                    "the message of `expect` states no invariant".to_owned(),
                )
            })
            .collect()
    })
}

/// No `#[allow]`; every `#[expect]` has its reason.
pub(crate) fn attributes(tree: &Tree) -> Vec<Finding> {
    each(tree, |_, tokens| {
        let mut findings = Vec::new();
        for (at, token) in tokens
            .iter()
            .enumerate()
            .filter(|(_, token)| token.text == "#")
        {
            let Some(inside) = attribute(&tokens[at..]) else {
                continue;
            };
            let calls = |word: &str| tokens::find(inside, &[word, "("]).next().is_some();
            if calls("allow") {
                findings.push((
                    token.line,
                    "`#[allow]`: write `#[expect(…, reason = …)]`".to_owned(),
                ));
            }
            if calls("expect") && tokens::find(inside, &["reason", "="]).next().is_none() {
                findings.push((token.line, "`#[expect]` without a reason".to_owned()));
            }
        }
        findings
    })
}

/// Nothing says of itself that it is not finished.
pub(crate) fn unfinished(tree: &Tree) -> Vec<Finding> {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let sources = tree
        .sources
        .iter()
        .map(|source| (&source.path, &source.text));
    let others = tree
        .documents
        .iter()
        .chain(&tree.manifests)
        .map(|d| (&d.path, &d.text));
    let mut findings = Vec::new();
    for (path, text) in sources.chain(others) {
        for (line, content) in (1..).zip(text.lines()) {
            let mut words = content.split(|c: char| !c.is_alphanumeric() && c != '_');
            if let Some(mark) = words.find(|word| marks.contains(word)) {
                findings.push(Finding::at(
                    path,
                    line,
                    format!("`{mark}` marks unfinished work"),
                ));
            }
        }
    }
    findings
}

/// The tokens between `#[` or `#![` and its bracket, when these tokens begin with an attribute.
fn attribute(tokens: &[Token]) -> Option<&[Token]> {
    let open = tokens.iter().take(3).position(|token| token.text == "[")?;
    let between = tokens.get(1..open)?;
    if between.iter().any(|token| token.text != "!") {
        return None;
    }
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "[" => depth += 1,
            "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return tokens.get(open + 1..at);
        }
    }
    None
}

fn each(tree: &Tree, search: impl Fn(&Source, &[Token]) -> Vec<(usize, String)>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let found = search(source, &tokens::flatten(&source.tokens));
        findings.extend(
            found
                .into_iter()
                .map(|(line, why)| Finding::at(&source.path, line, why)),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        rule(&Tree::of(&[(path, text)]))
            .iter()
            .map(|finding| finding.line)
            .collect()
    }

    // If this fails, a service can fall over what it should have answered.
    #[test]
    fn panics_without_a_reason_are_caught() {
        let text = "fn f() {\n a.unwrap();\n assert!(b.unwrap());\n dbg!(1);\n todo!()\n}\n";
        let mut found = lines(code, "a/src/x.rs", text);
        found.sort_unstable();
        assert_eq!(found, [2, 3, 4, 5]);
        assert!(
            lines(
                code,
                "a/src/x.rs",
                "// unwrap() \nconst A: &str = \"todo!\";\n"
            )
            .is_empty()
        );
        assert_eq!(
            lines(code, "a/tests/x.rs", "#[test]\n#[ignore]\nfn f() {}\n"),
            [2]
        );
    }

    // If this fails, a service writes into the output of the program that started it.
    #[test]
    fn printing_is_the_clients() {
        let text = "fn f() {\n println!(\"x\");\n}\n";
        assert_eq!(lines(code, "node/src/x.rs", text), [2]);
        assert!(lines(code, "client/src/ui/x.rs", text).is_empty());
        assert!(lines(code, "dist/build.rs", text).is_empty());
        assert!(lines(code, "node/benches/speed.rs", text).is_empty());
    }

    // If this fails, a panic in production says nothing of why it could not happen.
    #[test]
    fn an_expectation_states_its_invariant() {
        let text = "fn f() {\n a.expect(\"works\");\n a.expect(why);\n a.expect(\"a shard has a leader here\");\n}\n";
        assert_eq!(lines(expectations, "a/src/x.rs", text), [2, 3]);
        assert!(lines(expectations, "a/tests/x.rs", text).is_empty());
    }

    // If this fails, lints are silenced without a proof.
    #[test]
    fn silenced_lints_are_caught() {
        let text = "#![allow(dead_code)]\n#[expect(unused)]\nfn f() {}\n#[expect(unused, reason = \"why\")]\nfn g() {}\n#[cfg_attr(test, allow(unused))]\nfn h() {}\n#[derive(Debug)]\nstruct A;\n";
        assert_eq!(lines(attributes, "a/src/x.rs", text), [1, 2, 6]);
    }

    // If this fails, unfinished work is shipped.
    #[test]
    fn unfinished_marks_are_caught_in_any_text() {
        let mark = concat!("TO", "DO");
        assert_eq!(
            lines(unfinished, "a/src/x.rs", &format!("\n// {mark}: later\n")),
            [2]
        );
        assert_eq!(lines(unfinished, "docs/x.md", &format!("{mark}\n")), [1]);
        assert!(lines(unfinished, "docs/x.md", &format!("{mark}S, MAN{mark}\n")).is_empty());
    }

    // If this fails, what only speaks of a forbidden word is refused.
    #[test]
    fn words_in_texts_and_longer_names_are_no_words() {
        let text = "//! Says `x.unwrap()`.\nconst A: &str = \"println!\";\nfn f() {\n    a.unwrap_or(1);\n    a.unwrap_or_default();\n    eprintln!(\"x\");\n}\n";
        assert!(lines(code, "a/src/x.rs", text).is_empty());
        assert!(
            lines(
                attributes,
                "a/src/x.rs",
                "#[derive(Clone)]\nstruct A([u8; 3]);\n"
            )
            .is_empty()
        );
    }

    // If this fails, a word hides in a macro's arguments.
    #[test]
    fn words_inside_macros_are_found() {
        let text = "fn f() {\n    select! {\n        x = y => {\n            z.unwrap();\n        }\n    }\n}\n";
        assert_eq!(lines(code, "a/src/x.rs", text), [4]);
        let text = "macro_rules! m {\n    () => {\n        println!(\"x\")\n    };\n}\n";
        assert_eq!(lines(code, "a/src/x.rs", text), [3]);
    }
}
