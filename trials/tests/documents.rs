//! What the documents say is what the programs do.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use trials::binaries::Binaries;
use wire::Code;
use wire::error::Retry;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

// If this fails, someone who writes a client from the document handles errors wrongly.
#[test]
fn every_code_stands_in_the_document_with_what_it_means() {
    let text = document("docs/http-api.md");
    for code in Code::ALL {
        let word = serde_json::to_string(&code)
            .expect("a code is a word")
            .replace('"', "`");
        let retry = match code.retry() {
            Retry::Never => "no",
            Retry::Later => "later",
            Retry::Elsewhere => "elsewhere",
        };
        let changed = if code.may_have_changed() {
            "maybe"
        } else {
            "no"
        };
        let (status, meaning) = (code.status(), code.meaning());
        let row = format!("| {word} | {status} | {retry} | {changed} | {meaning} |");
        assert!(text.contains(&row), "docs/http-api.md has no row {row}");
    }
    let rows = text
        .lines()
        .filter(|line| line.ends_with('|') && line.matches(" | ").count() == 4);
    let described = rows.filter(|line| line.starts_with("| `")).count();
    assert_eq!(
        described,
        Code::ALL.len(),
        "docs/http-api.md describes codes that do not exist"
    );
}

/// All Rust files under a folder of the repository, as one text; what only describes is left out.
fn sources(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).expect("a folder of the repository");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let texts = paths.map(|path| match path.extension() {
        Some(ending) if ending == "rs" => std::fs::read_to_string(&path).expect("a source file"),
        _ if path.ends_with("http/docs") => String::new(),
        _ if path.is_dir() => sources(&path),
        _ => String::new(),
    });
    texts.collect()
}

// If this fails, someone who writes a client prepares for an error that nobody sends.
#[test]
fn every_code_is_one_that_a_service_sends() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let services = ["node/src", "dist/src"].map(|folder| sources(&root.join(folder)));
    for code in Code::ALL {
        let name = format!("Code::{code:?}");
        let ends_there = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric());
        let is_used = |text: &String| text.split(&name).skip(1).any(ends_there);
        assert!(services.iter().any(is_used), "no service sends {name}");
    }
}

/// The flags and environment variables that a program's `--help` names.
fn settings(program: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let binaries = Binaries::for_tests().expect("the services build");
    let path = binaries.path(program).expect("is built");
    let output = Command::new(path).arg("--help").output().expect("runs");
    let help = String::from_utf8(output.stdout).expect("text");
    let words = || help.split([' ', '\n', ',', '=', ']', '[', '`']);
    let is_flag = |word: &&str| word.starts_with("--") && word.len() > 2;
    let flags = words().filter(is_flag).map(str::to_owned).collect();
    let variables = help
        .split("[env: ")
        .skip(1)
        .filter_map(|rest| rest.split(['=', ']', ',']).next());
    (flags, variables.map(str::to_owned).collect())
}

// If this fails, a setting cannot be found by those who need it, or does nothing.
#[test]
fn every_setting_stands_in_the_document_and_no_other() {
    let text = document("docs/configuration.md");
    for program in ["dist", "node", "client"] {
        let heading = format!("## `{program}`");
        let (_, section) = text
            .split_once(&heading)
            .expect("the document has a part for it");
        let section = section
            .split("\n## ")
            .next()
            .expect("a split has a first part");
        for row in section.lines().filter(|line| line.starts_with("| `-")) {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [_, _, effect, default] = cells[..] else {
                panic!("{program}: {row} has not four parts");
            };
            assert!(effect.len() > 5 && !default.is_empty(), "{program}: {row}");
        }
        let (flags, variables) = settings(program);
        let keys = ["CLUSTER_KEY", "ACCESS_KEY", "ANONYMOUS"].map(str::to_owned);
        let keys = keys.iter().filter(|_| program != "client");
        for name in flags.iter().chain(&variables).chain(keys) {
            let known = ["--help", "--version"].contains(&name.as_str());
            assert!(
                known || section.contains(&format!("`{name}`")),
                "{program}: {name} is missing"
            );
        }
        for word in section.split('`').skip(1).step_by(2) {
            let is_flag = word.starts_with("--");
            assert!(!is_flag || flags.contains(word), "{program} has no {word}");
        }
    }
}
