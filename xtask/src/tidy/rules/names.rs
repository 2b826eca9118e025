//! What modules may be called, and how they name what they use.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::tidy::finding::Finding;
use crate::tidy::source::Source;
use crate::tidy::tree::Tree;

/// Names that say nothing of what a module owns.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "helper", "helpers", "common", "misc"];

/// No module is called utils, helpers, common or misc.
pub(crate) fn modules(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let mut parts = source.path.trim_end_matches(".rs").split('/');
        if let Some(name) = parts.find(|part| EMPTY_NAMES.contains(part)) {
            findings.push(Finding::whole(
                &source.path,
                format!("`{name}` says nothing"),
            ));
        }
        let mut inline = InlineModules { found: Vec::new() };
        inline.visit_file(&source.syntax);
        findings.extend(inline.found.into_iter().map(|(line, name)| {
            Finding::at(&source.path, line, format!("`mod {name}` says nothing"))
        }));
    }
    findings
}

/// No glob imports; a test module may import all of the module that it tests.
pub(crate) fn globs(tree: &Tree) -> Vec<Finding> {
    tree.sources.iter().flat_map(globs_of).collect()
}

fn globs_of(source: &Source) -> Vec<Finding> {
    let mut globs = Globs { found: Vec::new() };
    globs.visit_file(&source.syntax);
    let allowed = |line: usize, from_super: bool| from_super && source.is_test(line);
    let found = globs
        .found
        .into_iter()
        .filter(|&(line, from_super)| !allowed(line, from_super));
    found
        .map(|(line, _)| Finding::at(&source.path, line, "a glob import hides what is used"))
        .collect()
}

struct InlineModules {
    found: Vec<(usize, String)>,
}

impl<'ast> Visit<'ast> for InlineModules {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let name = module.ident.to_string();
        if module.content.is_some() && EMPTY_NAMES.contains(&name.as_str()) {
            self.found.push((module.ident.span().start().line, name));
        }
        visit::visit_item_mod(self, module);
    }
}

struct Globs {
    /// Line, and whether all of `super` is imported.
    found: Vec<(usize, bool)>,
}

impl<'ast> Visit<'ast> for Globs {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let from_super = matches!(
            &item.tree,
            syn::UseTree::Path(path)
                if path.ident == "super" && matches!(*path.tree, syn::UseTree::Glob(_))
        );
        let mut inside = GlobLines { found: Vec::new() };
        inside.visit_item_use(item);
        self.found
            .extend(inside.found.into_iter().map(|line| (line, from_super)));
    }
}

struct GlobLines {
    found: Vec<usize>,
}

impl<'ast> Visit<'ast> for GlobLines {
    fn visit_use_glob(&mut self, glob: &'ast syn::UseGlob) {
        self.found.push(glob.span().start().line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, modules become drawers for anything.
    #[test]
    fn empty_names_are_caught() {
        let tree = Tree::of(&[
            ("a/src/utils.rs", ""),
            ("a/src/common/mod.rs", ""),
            ("a/src/x.rs", "mod misc {}\nmod commonplace {}\n"),
        ]);
        let paths: Vec<String> = modules(&tree)
            .into_iter()
            .map(|finding| finding.path)
            .collect();
        assert_eq!(
            paths,
            ["a/src/common/mod.rs", "a/src/utils.rs", "a/src/x.rs"]
        );
    }

    // If this fails, a reader cannot see where a name comes from.
    #[test]
    fn globs_are_caught_but_for_a_test_modules_own() {
        let text = "use a::*;\nuse b::{c, d::*};\nuse super::*;\n#[cfg(test)]\nmod tests {\n use super::*;\n use e::*;\n}\n";
        let lines: Vec<usize> = globs(&Tree::of(&[("a/src/x.rs", text)]))
            .iter()
            .map(|finding| finding.line)
            .collect();
        assert_eq!(lines, [1, 2, 3, 7]);
    }
}
