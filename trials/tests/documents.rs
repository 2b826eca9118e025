//! What the documents say is what the programs do.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;
use std::process::Command;

use serde::de::DeserializeOwned;
use trials::binaries::Binaries;
use wire::Code;
use wire::error::Retry;
use wire::nodes_file::{NodesFile, ServiceEntry};

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

/// A setting: its flag, its variable and its default, as far as there are such.
type Setting = (Option<String>, Option<String>, Option<String>);

/// What stands between two marks.
fn between<'a>(text: &'a str, before: &str, after: &[char]) -> Option<&'a str> {
    text.split_once(before)?.1.split(after).next()
}

/// The settings that a program's `--help` names.
fn told_by(program: &str) -> BTreeSet<Setting> {
    let binaries = Binaries::for_tests().expect("the services build");
    let path = binaries.path(program).expect("is built");
    let output = Command::new(path).arg("--help").output().expect("runs");
    let help = String::from_utf8(output.stdout).expect("text");
    // Each flag stands at the beginning of a line, perhaps after its letter.
    let flags = help.lines().map(|line| match line.trim_start() {
        short if short.starts_with("-q, ") => format!("\n{}", &short[4..]),
        flag if flag.starts_with("--") => format!("\n{flag}"),
        text => format!(" {text}"),
    });
    let (options, _) = help.split_once("Keys come").unwrap_or((&help, ""));
    let flags: String = flags.take(options.lines().count()).collect();
    let settings = flags.lines().filter(|line| line.starts_with("--"));
    let setting = |line: &str| {
        let flag = line.split([' ', '=']).next().unwrap_or_default().to_owned();
        let variable = between(line, "[env: ", &['=', ']', ',']);
        let default = between(line, "[default: ", &[']']);
        (Some(flag), variable.map(str::to_owned), default.map(plain))
    };
    settings.map(setting).collect()
}

/// A default without its form.
fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('`', "")
}

/// The settings in the table of a program's part of the document.
fn documented(section: &str, program: &str) -> BTreeSet<Setting> {
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let named = rows.filter(|line| line.split('|').take(3).any(|cell| cell.contains('`')));
    let setting = |row: &str| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [flag, variable, effect, default] = cells[..] else {
            panic!("{program}: {row} has not four parts");
        };
        assert!(effect.len() > 5 && !default.is_empty(), "{program}: {row}");
        let name = |cell: &str| Some(plain(cell)).filter(|name| !name.is_empty());
        (name(flag), name(variable), Some(plain(default)))
    };
    named.map(setting).collect()
}

/// What looks a variable up by the name that follows.
const LOOKS_UP: [&str; 5] = ["variable(\"", "key(\"", "var_os(\"", "var(\"", "env = \""];

/// What takes a flag, its value, and the name of its variable.
const TAKES: [&str; 2] = [".given(", "pick("];

/// The variables that the sources of a program read.
fn read_by(program: &str) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let shared = ["dist", "node"].contains(&program).then_some("service");
    let folders = std::iter::once(program).chain(shared);
    let folders = folders.map(|folder| sources(&root.join(folder).join("src")));
    let text: String = folders.collect();
    let named = LOOKS_UP.iter().flat_map(|call| text.split(call).skip(1));
    let named = named.filter_map(|rest| rest.split('"').next());
    let calls = TAKES.iter().flat_map(|call| text.split(call).skip(1));
    let calls = calls.filter_map(|rest| rest.split([';', '?']).next());
    let taken = calls.flat_map(|call| call.split('"').skip(1).step_by(2));
    let capital = |c: char| c.is_ascii_uppercase() || c == '_';
    let is_name = |word: &&str| word.len() > 2 && word.chars().all(capital);
    named
        .chain(taken)
        .filter(is_name)
        .map(str::to_owned)
        .collect()
}

// If this fails, a setting cannot be found by those who need it, does nothing, or is another one
// where nobody set it than the document says.
#[test]
fn every_setting_stands_in_the_document_and_no_other() {
    let text = document("docs/configuration.md");
    for program in ["dist", "node", "client", "cluster"] {
        let heading = format!("## `{program}`");
        let (_, section) = text
            .split_once(&heading)
            .expect("the document has a part for it");
        let section = section
            .split("\n## ")
            .next()
            .expect("a split has a first part");
        let documented = documented(section, program);
        let told = told_by(program);
        for (flag, variable, default) in &told {
            let known = ["--help", "--version"].map(|name| Some(name.to_owned()));
            if known.contains(flag) {
                continue;
            }
            let row = documented.iter().find(|row| row.0 == *flag);
            let row = row.unwrap_or_else(|| panic!("{program}: {flag:?} is missing"));
            assert_eq!(row.1, *variable, "{program}: the variable of {flag:?}");
            // Where the help names none, the document says what happens then.
            if default.is_some() {
                assert_eq!(row.2, *default, "{program}: the default of {flag:?}");
            }
        }
        for (flag, ..) in documented.iter().filter(|row| row.0.is_some()) {
            let is_told = told.iter().any(|row| row.0 == *flag);
            assert!(is_told, "{program} has no {flag:?}");
        }
        let variables: BTreeSet<String> = documented.into_iter().filter_map(|row| row.1).collect();
        assert_eq!(variables, read_by(program), "the variables of {program}");
    }
}

/// The names in the first column of the table in a part of a document.
fn first_column(section: &str) -> BTreeSet<String> {
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.trim_matches('|').split('|').next());
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    names.map(str::to_owned).collect()
}

// If this fails, whoever runs it in containers looks in vain for a setting, or sets one that does nothing.
#[test]
fn what_compose_takes_from_outside_stands_in_the_document() {
    let text = document("docker-compose.yml");
    let lines = || text.lines().filter(|line| !line.trim().starts_with('#'));
    // `${NAME:-default}`, but not `$${NAME}`, which the container's shell reads.
    let placed = lines().flat_map(|line| {
        let parts: Vec<&str> = line.split("${").collect();
        let inside = parts.windows(2).filter(|pair| !pair[0].ends_with('$'));
        let names = inside.filter_map(|pair| pair[1].split([':', '}']).next());
        names.map(str::to_owned).collect::<Vec<_>>()
    });
    let passed_on = lines().filter_map(|line| line.trim().strip_suffix(':'));
    let is_variable = |name: &&str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let passed_on = passed_on.filter(is_variable).map(str::to_owned);
    let (traces, taken): (BTreeSet<String>, BTreeSet<String>) = placed
        .chain(passed_on)
        .partition(|name| name.starts_with("OTEL_"));
    let document = document("docs/configuration.md");
    let section = |heading| {
        let (_, section) = document.split_once(heading).expect("has a part");
        first_column(section.split("\n## ").next().expect("has a first part"))
    };
    assert_eq!(section("## Containers"), taken);
    assert_eq!(section("## Traces"), traces);
}

// If this fails, whoever follows the example of three machines has services that do not start, or settings that do
// nothing.
#[test]
fn the_example_of_three_machines_can_be_used() {
    let folder = "packaging/three-machines";
    let file = NodesFile::read(&document(&format!("{folder}/nodes.yml"))).expect("is read");
    let mut named = BTreeSet::new();
    for machine in 1..=3 {
        for program in ["dist", "node"] {
            let name = format!("{folder}/machine{machine}/{program}.env");
            if !Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("..")
                .join(&name)
                .exists()
            {
                continue;
            }
            let text = document(&name);
            let lines = text.lines().filter(|line| !line.is_empty());
            let set = lines.filter_map(|line| line.trim_start_matches('#').split_once('='));
            let is_name = |name: &str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
            let set: Vec<_> = set.filter(|(variable, _)| is_name(variable)).collect();
            assert!(set.len() > 2, "{name} sets nothing");
            for (variable, value) in set {
                assert!(read_by(program).contains(variable), "{name}: {variable}");
                if variable == "NODE_NAME" {
                    let service = value.parse().expect("a name");
                    assert!(file.nodes.contains_key(&service), "{name}: {value}");
                    assert!(named.insert(service), "{name}: {value} twice");
                }
            }
        }
    }
    assert!(named.iter().eq(file.nodes.keys()), "{named:?}");
}

/// The names of OpenTelemetry's variables in a text.
fn of_opentelemetry(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
    let words = text.split(|c| !is_name(c));
    let names = words.filter(|word| word.starts_with("OTEL_"));
    names.map(str::to_owned).collect()
}

// If this fails, an operator sets a variable that does nothing, or cannot find the one that he needs.
#[test]
fn the_variables_of_traces_stand_in_the_document_and_no_others() {
    let text = document("docs/configuration.md");
    let (_, section) = text.split_once("## Traces").expect("has a part");
    let section = section.split("\n## ").next().expect("has a first part");
    let rows: String = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let source = document("telemetry/src/settings.rs");
    let (product, _) = source.split_once("#[cfg(test)]").expect("has tests");
    assert_eq!(of_opentelemetry(&rows), of_opentelemetry(product));
}

// If this fails, someone looks for a key of the nodes file that is not described, or writes one that
// stops the start.
#[test]
fn every_key_of_the_nodes_file_stands_in_the_document() {
    let text = document("docs/configuration.md");
    let (_, section) = text.split_once("## `nodes.yml`").expect("has a part");
    let section = section.split("\n##").next().expect("has a first part");
    let described = documented_keys(section);
    let keys = &keys_of::<NodesFile>() | &keys_of::<ServiceEntry>();
    assert_eq!(described, keys);
}

/// The keys that a part of the nodes file may have, those too that nobody must give: who refuses
/// another one names them.
fn keys_of<T: DeserializeOwned + Debug>() -> BTreeSet<String> {
    let other = serde_json::json!({"another": 1});
    let refused = serde_json::from_value::<T>(other).expect_err("there is no such key");
    let refused = refused.to_string();
    let (_, keys) = refused
        .split_once("`another`, expected")
        .expect("it is refused for its key");
    keys.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// The keys at the beginning of a table's rows, without what they stand under.
fn documented_keys(section: &str) -> BTreeSet<String> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let keys = rows.filter_map(|row| row.split('`').next());
    keys.map(|key| key.rsplit('.').next().unwrap_or(key).to_owned())
        .collect()
}
