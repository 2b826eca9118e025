//! How large a file, a function, a parameter list and a folder may be.

use std::collections::BTreeMap;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::tidy::finding::Finding;
use crate::tidy::source::Source;
use crate::tidy::tree::Tree;

const FILE_PRODUCT_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const PARAMETERS_MAX: usize = 5;
const FOLDER_FILES_MAX: usize = 12;

/// No file has more than 500 lines of product code.
pub(crate) fn files(tree: &Tree) -> Vec<Finding> {
    let too_long = tree
        .sources
        .iter()
        .filter(|s| s.product_lines() > FILE_PRODUCT_LINES_MAX);
    too_long
        .map(|source| {
            let lines = source.product_lines();
            Finding::whole(
                &source.path,
                format!("{lines} lines of product code, at most {FILE_PRODUCT_LINES_MAX}"),
            )
        })
        .collect()
}

/// No function has more than 70 lines, from its signature to its closing brace.
pub(crate) fn functions(tree: &Tree) -> Vec<Finding> {
    let too_long = |function: &Function| function.lines > FUNCTION_LINES_MAX;
    breaches(tree, too_long, |function| {
        format!(
            "`{}` has {} lines, at most {FUNCTION_LINES_MAX}",
            function.name, function.lines
        )
    })
}

/// No function has more than 5 parameters beside `self`.
pub(crate) fn parameters(tree: &Tree) -> Vec<Finding> {
    let too_many = |function: &Function| function.parameters > PARAMETERS_MAX;
    breaches(tree, too_many, |function| {
        let Function {
            name, parameters, ..
        } = function;
        format!("`{name}` has {parameters} parameters, at most {PARAMETERS_MAX}")
    })
}

/// No folder has more than 12 source files. Tests in a file of their own beside what they test are
/// no further thing to know, and do not count; in folders of tests alone, they do.
pub(crate) fn folders(tree: &Tree) -> Vec<Finding> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for source in tree
        .sources
        .iter()
        .filter(|source| !source.is_test_beside_product())
    {
        *counts.entry(source.folder()).or_default() += 1;
    }
    counts
        .into_iter()
        .filter(|&(_, count)| count > FOLDER_FILES_MAX)
        .map(|(folder, count)| {
            Finding::whole(
                folder,
                format!("{count} source files, at most {FOLDER_FILES_MAX}"),
            )
        })
        .collect()
}

fn breaches(
    tree: &Tree,
    breaks: impl Fn(&Function) -> bool,
    message: impl Fn(&Function) -> String,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let found = functions_of(source)
            .into_iter()
            .filter(|function| breaks(function));
        findings.extend(found.map(|f| Finding::at(&source.path, f.line, message(&f))));
    }
    findings
}

struct Function {
    name: String,
    line: usize,
    lines: usize,
    parameters: usize,
}

fn functions_of(source: &Source) -> Vec<Function> {
    let mut collector = Functions { found: Vec::new() };
    collector.visit_file(&source.syntax);
    collector.found
}

struct Functions {
    found: Vec<Function>,
}

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: Option<&syn::Block>) {
        let first = signature.span().start().line;
        let last = block
            .map_or(signature.span().end(), |block| block.span().end())
            .line;
        let is_typed = |input: &&syn::FnArg| matches!(input, syn::FnArg::Typed(_));
        self.found.push(Function {
            name: signature.ident.to_string(),
            line: first,
            lines: last + 1 - first,
            parameters: signature.inputs.iter().filter(is_typed).count(),
        });
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig, Some(&item.block));
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig, Some(&item.block));
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.add(&item.sig, item.default.as_ref());
        visit::visit_trait_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, files grow until nobody finds their way in them.
    #[test]
    fn a_long_file_is_caught_and_its_tests_do_not_count() {
        let product = "const A: u8 = 1;\n".repeat(500);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{product}}}\n");
        assert!(files(&Tree::of(&[("a/src/x.rs", &format!("{product}{tests}"))])).is_empty());
        let found = files(&Tree::of(&[("a/src/x.rs", &format!("{product}\n{tests}"))]));
        assert_eq!(found.len(), 1);
        assert!(found[0].message.starts_with("501 lines"), "{}", found[0]);
    }

    // If this fails, functions grow until nobody can hold one in mind.
    #[test]
    fn a_long_function_is_caught_wherever_it_stands() {
        let body = |lines: usize| "    x();\n".repeat(lines - 2);
        let of = |lines| {
            format!(
                "/// Doc.\nfn f() {{\n{0}}}\nimpl A {{\nfn g() {{\n{0}}}\n}}\ntrait B {{\nfn h() {{\n{0}}}\n}}\n",
                body(lines)
            )
        };
        assert!(functions(&Tree::of(&[("a/src/x.rs", &of(70))])).is_empty());
        let found = functions(&Tree::of(&[("a/src/x.rs", &of(71))]));
        assert_eq!(found.len(), 3);
        assert_eq!(
            (found[0].line, found[0].message.contains("71 lines")),
            (2, true)
        );
    }

    // If this fails, calls become rows of values that nobody can tell apart.
    #[test]
    fn a_sixth_parameter_is_caught_and_self_does_not_count() {
        let text = "trait T {\n fn a(&self, a: u8, b: u8, c: u8, d: u8, e: u8);\n fn b(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8);\n}\n";
        let found = parameters(&Tree::of(&[("a/src/x.rs", text)]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 3);
    }

    // If this fails, a folder becomes a heap.
    #[test]
    fn a_thirteenth_file_is_caught() {
        let names: Vec<String> = (0..13).map(|n| format!("a/src/f{n}.rs")).collect();
        let text = "#[cfg(test)]\n#[path = \"f_tests.rs\"]\nmod f_tests;\n";
        let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), text)).collect();
        let twelve_and_tests = [&files[..12], &[("a/src/f_tests.rs", "")]];
        assert!(folders(&Tree::of(&twelve_and_tests.concat())).is_empty());
        assert_eq!(folders(&Tree::of(&files))[0].path, "a/src");
    }

    // If this fails, a function hides in another one, or a doc comment makes a function long.
    #[test]
    fn functions_are_measured_from_signature_to_brace() {
        let docs = "    /// A line.\n".repeat(80);
        let inner = format!("fn inner() {{\n{}}}\n", "        y();\n".repeat(70));
        let text = format!("struct A;\nimpl A {{\n{docs}    #[inline]\n    fn short() {{}}\n}}\n");
        assert!(functions(&Tree::of(&[("a/src/x.rs", &text)])).is_empty());
        let found = functions(&Tree::of(&[(
            "a/src/x.rs",
            &format!("fn outer() {{\n{inner}}}\n"),
        )]));
        assert_eq!(
            found.len(),
            2,
            "both the inner and the outer one are too long"
        );
    }
}
