//! The workspace as the rules see it: Rust sources, manifests and documents, read once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context;

use super::source::Source;

/// Folders that hold nothing of the product: builds, data, and what tools keep.
const LEFT_OUT: [&str; 3] = ["target", "data", "node_modules"];

/// A text file of the workspace.
pub(crate) struct Document {
    /// Relative to the workspace, with forward slashes.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
}

/// Everything that rules look at.
#[derive(Default)]
pub(crate) struct Tree {
    /// Every Rust file.
    pub(crate) sources: Vec<Source>,
    /// Every Cargo.toml.
    pub(crate) manifests: Vec<Document>,
    /// Every other text: Markdown, SQL, YAML, TOML, shell.
    pub(crate) documents: Vec<Document>,
    /// Every path that exists, files and folders.
    pub(crate) paths: BTreeSet<String>,
}

impl Tree {
    /// Reads the workspace at `root`.
    ///
    /// # Errors
    /// When a folder or file cannot be read, or a Rust file does not parse.
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut tree = Tree::default();
        let mut files = Vec::new();
        walk(root, "", &mut tree.paths, &mut files)?;
        for (path, text) in files {
            if path.ends_with(".rs") {
                tree.sources.push(Source::parse(&path, text)?);
            } else if path == "Cargo.toml" || path.ends_with("/Cargo.toml") {
                tree.manifests.push(Document { path, text });
            } else {
                tree.documents.push(Document { path, text });
            }
        }
        tree.mark_test_modules();
        Ok(tree)
    }

    /// Marks the files of out-of-line test modules (`#[cfg(test)] mod name;`) as tests.
    fn mark_test_modules(&mut self) {
        let modules: Vec<String> = self.sources.iter().flat_map(Source::test_modules).collect();
        for source in &mut self.sources {
            let within = |module: &String| {
                source.path == format!("{module}.rs")
                    || source.path.starts_with(&format!("{module}/"))
            };
            if modules.iter().any(within) {
                source.mark_all_as_test();
            }
        }
    }
}

fn walk(
    root: &Path,
    folder: &str,
    paths: &mut BTreeSet<String>,
    files: &mut Vec<(String, String)>,
) -> anyhow::Result<()> {
    let here = root.join(folder);
    let mut names = fs::read_dir(&here)
        .with_context(|| format!("cannot read {}", here.display()))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<anyhow::Result<Vec<String>>>()?;
    names.sort();
    for name in names {
        let path = if folder.is_empty() {
            name.clone()
        } else {
            format!("{folder}/{name}")
        };
        let kind = fs::symlink_metadata(root.join(&path))?.file_type();
        if kind.is_dir() {
            let tools_own = name.starts_with('.') && ![".ci", ".cargo"].contains(&name.as_str());
            if !tools_own && !LEFT_OUT.contains(&name.as_str()) {
                walk(root, &path, paths, files)?;
                paths.insert(path);
            }
        } else if kind.is_file() {
            if is_text(&name) {
                let text = fs::read_to_string(root.join(&path))
                    .with_context(|| format!("cannot read {path}"))?;
                files.push((path.clone(), text));
            }
            paths.insert(path);
        }
    }
    Ok(())
}

fn is_text(name: &str) -> bool {
    const ENDINGS: [&str; 8] = [".rs", ".toml", ".md", ".sql", ".yml", ".yaml", ".sh", "run"];
    name == "Dockerfile" || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
impl Tree {
    /// A tree made of (path, text), for the tests of rules.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a file has a folder")).expect("makes folders");
            fs::write(path, text).expect("writes a file");
        }
        Tree::read(folder.path()).expect("reads the tree")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, a test helper in its own file counts as product code, and the sums lie.
    #[test]
    fn out_of_line_test_modules_are_tests() {
        let tree = Tree::of(&[
            ("a/src/lib.rs", "mod x;\n#[cfg(test)]\nmod check;\n"),
            (
                "a/src/x.rs",
                "#[cfg(test)]\nmod tests;\n#[cfg(test)]\n#[path = \"x_rules.rs\"]\nmod rules;\n",
            ),
            ("a/src/x_rules.rs", "fn d() {}\n"),
            ("a/src/x/tests.rs", "fn a() {}\n"),
            ("a/src/check/deep.rs", "fn b() {}\n"),
            ("a/src/checked.rs", "fn c() {}\n"),
        ]);
        let product = |path: &str| {
            let source = tree
                .sources
                .iter()
                .find(|s| s.path == path)
                .expect("was read");
            source.product_lines()
        };
        assert_eq!(product("a/src/x/tests.rs"), 0);
        assert_eq!(product("a/src/check/deep.rs"), 0);
        assert_eq!(product("a/src/x_rules.rs"), 0);
        assert_eq!(product("a/src/checked.rs"), 1);
        assert_eq!(product("a/src/lib.rs"), 1);
    }

    // If this fails, builds and data are read as if they were the product.
    #[test]
    fn builds_and_hidden_folders_are_left_out() {
        let tree = Tree::of(&[
            ("target/x.rs", "fn"),
            (".git/x.rs", "fn"),
            ("data/node1/x.md", "[a](b)"),
            ("a/src/lib.rs", ""),
        ]);
        assert_eq!(tree.sources.len(), 1);
        assert!(tree.documents.is_empty());
    }
}
