//! Debian packages: of both services, of what they share, and of the client.
//!
//! What is in each stands in its crate's `Cargo.toml`, under `package.metadata.deb`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::workspace;

/// The programs, each of a crate of its name.
const PROGRAMS: [&str; 3] = ["dist", "node", "client"];

/// The crate whose package both services need.
const SHARED: &str = "service";

/// Where the client's manual pages and completions are made, in the workspace.
const MADE: &str = "target/packages";

/// What the client is called where it is installed; its pages and completions name it so.
const CLIENT: &str = "acequia";

/// The shells that Debian has a place for the completions of.
const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// Builds the programs as a release, and packages them.
///
/// # Errors
/// When cargo cannot be run, or has no `cargo deb`. What does not build is `Ok(false)`.
pub(crate) fn make() -> anyhow::Result<bool> {
    let version = workspace::cargo().args(["deb", "--version"]).output();
    if !version.context("cannot run cargo")?.status.success() {
        bail!("`cargo deb` is missing: cargo install --locked cargo-deb");
    }
    let mut build = workspace::cargo();
    build.args(["build", "--release", "--locked"]);
    for program in PROGRAMS {
        build.args(["--package", program]);
    }
    if !build.status().context("cannot run cargo")?.success() {
        return Ok(false);
    }
    describe_client(&workspace::root())?;
    for package in PROGRAMS.iter().chain([&SHARED]) {
        let packaged = workspace::cargo()
            .args(["deb", "--no-build", "--strip", "--package", package])
            .status();
        if !packaged.context("cannot run cargo deb")?.success() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Has the client write its manual pages and completions.
fn describe_client(root: &Path) -> anyhow::Result<()> {
    let made = root.join(MADE);
    if made.exists() {
        fs::remove_dir_all(&made).context("cannot remove what was made before")?;
    }
    fs::create_dir_all(&made).context("cannot make a folder")?;
    // It tells what it is called by the name it was started with.
    let client = made.join(CLIENT);
    std::os::unix::fs::symlink(root.join("target/release/client"), &client)
        .context("cannot link to the client")?;
    let pages = made.join("man");
    said(Command::new(&client).arg("man").arg("--dir").arg(&pages))?;
    for shell in SHELLS {
        let completions = said(Command::new(&client).args(["completions", shell]))?;
        fs::write(made.join(format!("{CLIENT}.{shell}")), completions)?;
    }
    Ok(())
}

/// What a command prints.
fn said(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let output = command.output().context("cannot run the client")?;
    let wrong = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the client failed: {wrong}");
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Component, Path, PathBuf};

    use toml::{Table, Value};

    use super::*;

    /// What a crate says of its package.
    fn metadata(package: &str) -> Table {
        let path = workspace::root().join(package).join("Cargo.toml");
        let text = std::fs::read_to_string(path).expect("a manifest");
        let manifest: Table = text.parse().expect("is TOML");
        let deb = &manifest["package"]["metadata"]["deb"];
        deb.as_table().expect("a table").clone()
    }

    /// Each file of a package: where it is from, and where it goes.
    fn assets(deb: &Table) -> Vec<(String, String)> {
        let assets = deb["assets"].as_array().expect("a list").iter();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let pair = |asset: &Value| match asset {
            Value::Array(parts) => Some((text(&parts[0]), text(&parts[1]))),
            Value::Table(parts) => Some((text(parts.get("source")?), text(&parts["dest"]))),
            _ => panic!("{asset:?} is no file"),
        };
        assets.filter_map(pair).collect()
    }

    /// What [`describe_client`] makes.
    const MADE_FILES: [&str; 4] = ["man/*.1", "acequia.bash", "acequia.zsh", "acequia.fish"];

    /// A file that is made for the package, below the folder for these.
    fn is_made(source: &str) -> Option<&str> {
        source
            .strip_prefix("../")?
            .strip_prefix(MADE)?
            .strip_prefix('/')
    }

    fn is_there(folder: &Path, source: &str) -> bool {
        let path = folder.join(source);
        let Some((_, ending)) = source.split_once('*') else {
            return path.is_file();
        };
        let files = std::fs::read_dir(path.parent().expect("a folder")).expect("is there");
        files
            .filter_map(Result::ok)
            .any(|file| file.file_name().to_string_lossy().ends_with(ending))
    }

    // If this fails, packages cannot be made any more, or lack a file that was moved.
    #[test]
    fn every_file_of_a_package_is_there() {
        for package in PROGRAMS.iter().chain([&SHARED]) {
            let deb = metadata(package);
            let folder = workspace::root().join(package);
            for (source, dest) in assets(&deb) {
                match (source.strip_prefix("target/release/"), is_made(&source)) {
                    (Some(program), _) => assert_eq!(program, *package, "{dest}"),
                    (None, Some(file)) => assert!(MADE_FILES.contains(&file), "{file}"),
                    (None, None) => assert!(is_there(&folder, &source), "{package}: {source}"),
                }
            }
            let license = deb["license-file"][0].as_str().expect("text");
            assert!(is_there(&folder, license), "{package}: {license}");
            let scripts = deb.get("maintainer-scripts").and_then(Value::as_str);
            assert!(scripts.is_none_or(|scripts| folder.join(scripts).is_dir()));
        }
    }

    // If this fails, a package's service does not start, or finds none of its settings.
    #[test]
    fn a_unit_names_what_its_package_installs() {
        let units = workspace::root().join("packaging/systemd");
        let shared = assets(&metadata(SHARED));
        for package in ["dist", "node"] {
            let deb = metadata(package);
            let name = deb["name"].as_str().expect("text");
            let unit = std::fs::read_to_string(units.join(format!("{name}.service")));
            let unit = unit.expect("a unit of the package's name");
            for (source, dest) in assets(&deb).into_iter().chain(shared.clone()) {
                let named = source.rsplit('/').next().expect("a name");
                let installed = format!("/{dest}{named}");
                let is_named = unit.contains(&installed);
                assert!(is_named || !dest.starts_with("etc/"), "{installed}");
                assert!(is_named || !source.starts_with("target/"), "{installed}");
            }
            assert!(
                unit.contains("kill -HUP $MAINPID"),
                "{name} is not reloaded"
            );
            let depends = deb["depends"].as_str().expect("text");
            assert!(depends.contains("acequia-common"), "{depends}");
        }
    }

    /// Each file that a package installs, with the one of the repository that it is.
    fn installed(package: &str) -> BTreeMap<PathBuf, PathBuf> {
        let folder = workspace::root().join(package);
        let mut installed = BTreeMap::new();
        for (source, dest) in assets(&metadata(package)) {
            for source in sources(&folder, &source) {
                let name = source.file_name().expect("a file has a name");
                let place = match dest.ends_with('/') {
                    true => Path::new(&dest).join(name),
                    false => PathBuf::from(&dest),
                };
                installed.insert(place, source);
            }
        }
        installed
    }

    /// The files that an asset names.
    fn sources(folder: &Path, source: &str) -> Vec<PathBuf> {
        let path = folder.join(source);
        let Some((_, ending)) = source.split_once('*') else {
            return vec![path];
        };
        let entries = std::fs::read_dir(path.parent().expect("a folder")).expect("is there");
        let files = entries.map(|entry| entry.expect("an entry").path());
        files
            .filter(|path| path.is_file() && path.to_string_lossy().ends_with(ending))
            .collect()
    }

    /// The symbolic links of a package, each with where it leads.
    fn symbolic_links(package: &str) -> Vec<(PathBuf, PathBuf)> {
        let deb = metadata(package);
        let assets = deb["assets"].as_array().expect("a list").iter();
        let link = |asset: &Value| {
            let (dest, name) = (asset.get("dest")?.as_str()?, asset.get("link_name")?);
            let folder = Path::new(dest).parent()?;
            let leads_to = plain(&folder.join(name.as_str()?));
            Some((PathBuf::from(dest), leads_to))
        };
        assets.filter_map(link).collect()
    }

    /// A path without `..`.
    fn plain(path: &Path) -> PathBuf {
        let mut plain = PathBuf::new();
        for part in path.components() {
            match part {
                Component::ParentDir => assert!(plain.pop(), "{}", path.display()),
                part => plain.push(part),
            }
        }
        plain
    }

    /// Where a document links to, if that is not another host or a part of itself.
    fn linked(document: &str) -> impl Iterator<Item = &str> {
        let targets = document.split("](").skip(1);
        let targets = targets.filter_map(|rest| rest.split([')', '#']).next());
        targets.filter(|target| !target.is_empty() && !target.contains("://"))
    }

    // If this fails, whoever reads the documents of the package is sent to files that he has not.
    #[test]
    fn what_installed_documents_link_to_is_installed() {
        let (installed, links) = (installed(SHARED), symbolic_links(SHARED));
        let is_there = |path: &Path| installed.keys().any(|file| file.starts_with(path));
        let (mut seen, mut missing) = (0, Vec::new());
        for (place, source) in &installed {
            if place.extension().is_none_or(|ending| ending != "md") {
                continue;
            }
            let text = std::fs::read_to_string(source).expect("a document");
            for target in linked(&text) {
                let path = plain(&place.parent().expect("a folder").join(target));
                let led = links.iter().find_map(|(link, leads_to)| {
                    Some(leads_to.join(path.strip_prefix(link).ok()?))
                });
                seen += 1;
                if !is_there(&led.unwrap_or(path)) {
                    missing.push(format!("{}: {target}", place.display()));
                }
            }
        }
        assert!(seen > 50, "only {seen} links are seen");
        assert!(missing.is_empty(), "{missing:#?}");
    }
}
