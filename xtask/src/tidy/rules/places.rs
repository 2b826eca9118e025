//! Where in the code a library, a clock or a thread may be named.

use crate::tidy::finding::Finding;
use crate::tidy::source::Source;
use crate::tidy::tokens::{self, Token};
use crate::tidy::tree::Tree;

/// Folders whose job is SQL.
const SQL_FOLDERS: [&str; 4] = [
    "dist/src/catalog/",
    "dist/src/coordinator/",
    "pgtest/src/",
    "trials/src/bench/",
];

/// The folder that knows ZooKeeper.
const ZOOKEEPER_FOLDER: [&str; 1] = ["dist/src/coordinator/zookeeper/"];

/// Folders of the pure cores.
const CORE_FOLDERS: [&str; 4] = [
    "node/store/src/",
    "node/replica/src/",
    "dist/controller/src/",
    "wire/src/",
];

/// What a pure core must not name in product code.
const NOT_IN_CORES: [&str; 5] = ["SystemTime", "Instant", "tokio", "actix_web", "reqwest"];

/// actix stays in `http/` and `app.rs`, SQL in the catalog and the coordinator, ZooKeeper in its
/// coordinator; the cores know no clock, no thread and no runtime.
pub(crate) fn libraries(tree: &Tree) -> Vec<Finding> {
    tree.sources.iter().flat_map(check).collect()
}

fn check(source: &Source) -> Vec<Finding> {
    let tokens = tokens::flatten(&source.tokens);
    let product = |token: &&Token| !source.is_test(token.line);
    let mut findings = Vec::new();
    for token in tokens.iter().filter(product) {
        if let Some(why) = misplaced(&source.path, &token.text) {
            findings.push(Finding::at(&source.path, token.line, why));
        }
    }
    if is_under(&source.path, &CORE_FOLDERS) {
        for pattern in [["thread", ":", ":", "spawn"], ["std", ":", ":", "thread"]] {
            let found = tokens::find(&tokens, &pattern).filter(|&(_, line)| !source.is_test(line));
            findings.extend(found.map(|(_, line)| {
                Finding::at(
                    &source.path,
                    line,
                    "a core starts no threads; its shell does",
                )
            }));
        }
    }
    findings
}

fn misplaced(path: &str, word: &str) -> Option<String> {
    if word.starts_with("actix") && !is_http(path) {
        return Some(format!("`{word}` outside http/ and app.rs"));
    }
    if word == "sqlx" && !is_under(path, &SQL_FOLDERS) {
        return Some("`sqlx` outside the catalog and the coordinator".to_owned());
    }
    if word == "zookeeper_client" && !is_under(path, &ZOOKEEPER_FOLDER) {
        return Some(format!("`{word}` outside the coordinator in ZooKeeper"));
    }
    if NOT_IN_CORES.contains(&word) && is_under(path, &CORE_FOLDERS) {
        return Some(format!(
            "`{word}` in a core, which knows no clock, runtime or network"
        ));
    }
    None
}

fn is_http(path: &str) -> bool {
    path.contains("/src/http/") || path.ends_with("/src/app.rs") || path.ends_with("/src/http.rs")
}

fn is_under(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        libraries(&Tree::of(&[(path, text)])).len()
    }

    // If this fails, HTTP types spread into what must be testable without HTTP.
    #[test]
    fn http_stays_at_the_edge() {
        let text = "use actix_web::web;\n";
        assert_eq!(found("node/src/driver.rs", text), 1);
        assert_eq!(found("node/src/http/store.rs", text), 0);
        assert_eq!(found("dist/src/app.rs", text), 0);
        assert_eq!(found("dist/tests/fake_node.rs", text), 0);
    }

    // If this fails, SQL is written where nobody looks for it.
    #[test]
    fn sql_stays_in_the_catalog() {
        let text = "fn f() { sqlx::query(\"\"); }\n";
        assert_eq!(found("dist/src/http/content.rs", text), 1);
        assert_eq!(found("dist/src/catalog/sqlite.rs", text), 0);
        assert_eq!(found("dist/src/coordinator/sql.rs", text), 0);
    }

    // If this fails, a second part of the distributor depends on ZooKeeper being there.
    #[test]
    fn zookeeper_stays_in_its_coordinator() {
        let text = "use zookeeper_client::Client;\n";
        assert_eq!(found("dist/src/app.rs", text), 1);
        assert_eq!(found("dist/src/coordinator/mod.rs", text), 1);
        assert_eq!(found("dist/src/coordinator/zookeeper/session.rs", text), 0);
    }

    // If this fails, a core depends on time or threads, and no seed can repeat what it did.
    #[test]
    fn cores_know_no_clock_and_no_thread() {
        let text = "fn f() { let t = std::time::Instant::now(); thread::spawn(g); }\n";
        assert_eq!(found("node/store/src/log.rs", text), 2);
        assert_eq!(found("node/src/syncer.rs", text), 0);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{text}}}\n");
        assert_eq!(found("node/store/src/log.rs", &tests), 0);
    }
}
