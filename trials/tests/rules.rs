//! What the documents say of the rules, and of the tests that guard them, is so.

use std::fs;
use std::path::Path;
use std::process::Command;

use trials::binaries::Binaries;

/// The text of a file of the repository.
fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cells of the table under this heading.
fn table<'a>(text: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let (_, below) = text.split_once(heading).expect("a table");
    let rows = below
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

/// All Rust files under a folder, as one text.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("a folder of the repository");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let texts = paths.map(|path| match path.extension() {
        Some(ending) if ending == "rs" => fs::read_to_string(&path).expect("a source file"),
        _ if path.is_dir() => sources(&path),
        _ => String::new(),
    });
    texts.collect()
}

// If this fails, the document tells of deliberate bugs that the simulator does not know, or hides one.
#[test]
fn every_deliberate_bug_stands_in_the_document() {
    let binaries = Binaries::for_tests().expect("the simulator builds");
    let program = binaries.path("sim").expect("is built");
    // Without a schedule none is caught, and all are named.
    let output = Command::new(program)
        .args(["--bugs", "--seeds", "0"])
        .output();
    let said = String::from_utf8(output.expect("runs").stdout).expect("text");
    let names = said
        .lines()
        .filter_map(|line| line.strip_suffix("not caught"));
    let known: Vec<&str> = names.map(str::trim).collect();
    assert!(
        known.len() > 20 && known.len() == said.lines().count(),
        "{said}"
    );
    let text = text("docs/testing.md");
    let rows = table(&text, "| bug | schedules |");
    let described: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(described, known);
}

// If this fails, somebody who changes a rule looks in vain for the test that guards it.
#[test]
fn every_rule_of_replication_has_the_tests_that_it_names() {
    let text = text("docs/replication.md");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let all = ["node", "dist", "sim", "trials"].map(|folder| sources(&root.join(folder)));
    let all = all.concat();
    let rows = table(&text, "| rule | section | function | test |");
    assert!(rows.len() > 20, "{rows:?}");
    for row in rows {
        let named: Vec<&str> = row[3].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{row:?} names no test");
        for test in named {
            assert!(all.contains(&format!("fn {test}(")), "there is no {test}");
        }
    }
}
