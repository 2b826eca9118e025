//! Which crate may depend on which.

use crate::tidy::finding::Finding;
use crate::tidy::tree::{Document, Tree};

/// What a crate's product code may use of the workspace. A crate that is not here may use nothing.
const MAY_USE: [(&str, &[&str]); 15] = [
    ("wire", &[]),
    ("store", &["wire"]),
    ("replica", &["wire"]),
    ("service", &["wire"]),
    ("telemetry", &["wire", "service"]),
    (
        "node",
        &["wire", "service", "telemetry", "store", "replica"],
    ),
    ("controller", &["wire"]),
    ("dist", &["wire", "service", "telemetry", "controller"]),
    ("client", &["wire"]),
    ("cluster", &["wire", "service", "telemetry", "node", "dist"]),
    ("sim", &["wire", "store", "replica", "controller"]),
    ("trials", &["wire", "client", "cluster", "pgtest", "zktest"]),
    ("pgtest", &[]),
    ("zktest", &[]),
    ("webtest", &[]),
];

/// The cores: their tests, too, know nothing of the shells.
const CORES: [&str; 4] = ["wire", "store", "replica", "controller"];

/// Libraries of runtimes, networks and databases, which no core may use.
const SHELL_LIBRARIES: [&str; 6] = ["tokio", "actix", "reqwest", "sqlx", "hyper", "async-std"];

/// Every dependency follows the arrows.
pub(crate) fn manifests(tree: &Tree) -> Vec<Finding> {
    let parsed: Vec<(&Document, Result<toml::Table, toml::de::Error>)> = tree
        .manifests
        .iter()
        .map(|manifest| (manifest, manifest.text.parse()))
        .collect();
    let members: Vec<&str> = parsed
        .iter()
        .filter_map(|(_, table)| package_name(table.as_ref().ok()?))
        .collect();
    let mut findings = Vec::new();
    for (manifest, table) in &parsed {
        match table {
            Ok(table) => findings.extend(check(&manifest.path, table, &members)),
            Err(error) => findings.push(Finding::whole(&manifest.path, error.message())),
        }
    }
    findings
}

fn package_name(table: &toml::Table) -> Option<&str> {
    table.get("package")?.get("name")?.as_str()
}

fn check(path: &str, table: &toml::Table, members: &[&str]) -> Vec<Finding> {
    let Some(name) = package_name(table) else {
        return Vec::new();
    };
    let is_core = CORES.contains(&name);
    let may_use = MAY_USE
        .iter()
        .find(|(of, _)| *of == name)
        .map_or(&[][..], |(_, list)| list);
    let mut findings = Vec::new();
    for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
        for used in names(table, kind) {
            // A crate may name itself, to give its tests a feature of its own.
            let of_workspace = used != name && members.contains(&used) && !may_use.contains(&used);
            // Tests of shells may start whole clusters; only product code has arrows there.
            if of_workspace && (is_core || kind != "dev-dependencies") {
                findings.push(Finding::whole(
                    path,
                    format!("`{name}` may not use `{used}`"),
                ));
            }
            if is_core
                && SHELL_LIBRARIES
                    .iter()
                    .any(|library| used.starts_with(library))
            {
                findings.push(Finding::whole(
                    path,
                    format!("`{name}` is a core; `{used}` is not"),
                ));
            }
        }
    }
    findings
}

fn names<'a>(table: &'a toml::Table, kind: &str) -> Vec<&'a str> {
    let section = |of: &'a toml::Table| of.get(kind).and_then(toml::Value::as_table);
    let targets = table.get("target").and_then(toml::Value::as_table);
    let by_target = targets
        .into_iter()
        .flat_map(|all| all.values())
        .filter_map(|t| t.as_table());
    std::iter::once(table)
        .chain(by_target)
        .filter_map(section)
        .flat_map(|dependencies| dependencies.keys().map(String::as_str))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, rest: &str) -> String {
        format!("[package]\nname = \"{name}\"\n{rest}")
    }

    fn found(files: &[(&str, String)]) -> Vec<String> {
        let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (*p, t.as_str())).collect();
        manifests(&Tree::of(&files))
            .into_iter()
            .map(|finding| finding.message)
            .collect()
    }

    // If this fails, the parts grow into each other until none can be tested alone.
    #[test]
    fn an_arrow_against_the_order_is_caught() {
        let files = [
            (
                "node/Cargo.toml",
                manifest("node", "[dependencies]\nwire = {}\ndist = {}\n"),
            ),
            (
                "dist/Cargo.toml",
                manifest("dist", "[dev-dependencies]\nnode = {}\n"),
            ),
            ("wire/Cargo.toml", manifest("wire", "")),
        ];
        assert_eq!(found(&files), ["`node` may not use `dist`"]);
    }

    // If this fails, the storage engine can wait for a network.
    #[test]
    fn a_core_that_knows_a_shell_is_caught() {
        let files = [
            (
                "s/Cargo.toml",
                manifest(
                    "store",
                    "[dev-dependencies]\nstore = {}\nnode = {}\nactix-web = \"4\"\n",
                ),
            ),
            ("n/Cargo.toml", manifest("node", "")),
            (
                "r/Cargo.toml",
                manifest(
                    "replica",
                    "[target.'cfg(unix)'.dependencies]\ntokio = \"1\"\n",
                ),
            ),
        ];
        let mut messages = found(&files);
        messages.sort();
        assert_eq!(
            messages,
            [
                "`replica` is a core; `tokio` is not",
                "`store` is a core; `actix-web` is not",
                "`store` may not use `node`",
            ]
        );
    }

    // If this fails, a crate that nobody has thought about may use everything.
    #[test]
    fn a_new_crate_may_use_nothing_yet() {
        let files = [
            ("x/Cargo.toml", manifest("x", "[dependencies]\nwire = {}\n")),
            ("wire/Cargo.toml", manifest("wire", "")),
        ];
        assert_eq!(found(&files), ["`x` may not use `wire`"]);
    }

    // If this fails, a manifest that cannot be read hides its arrows.
    #[test]
    fn a_manifest_that_is_no_toml_is_caught() {
        assert_eq!(found(&[("x/Cargo.toml", "[package\n".to_owned())]).len(), 1);
    }

    // If this fails, an arrow can be drawn in a build script.
    #[test]
    fn build_scripts_have_arrows_too() {
        let files = [
            (
                "dist/Cargo.toml",
                manifest("dist", "[build-dependencies]\nclient = {}\n"),
            ),
            ("client/Cargo.toml", manifest("client", "")),
        ];
        assert_eq!(found(&files), ["`dist` may not use `client`"]);
    }

    // If this fails, tests of a shell cannot start the cluster that they need.
    #[test]
    fn tests_of_shells_may_use_what_they_need() {
        let files = [
            (
                "client/Cargo.toml",
                manifest("client", "[dev-dependencies]\ncluster = {}\n"),
            ),
            (
                "cluster/Cargo.toml",
                manifest("cluster", "[dependencies]\nnode = {}\ndist = {}\n"),
            ),
            ("node/Cargo.toml", manifest("node", "")),
            ("dist/Cargo.toml", manifest("dist", "")),
        ];
        assert_eq!(found(&files), Vec::<String>::new());
    }
}
