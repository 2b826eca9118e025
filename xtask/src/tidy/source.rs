//! One Rust file: parsed, and each of its lines told apart into product and test.

use anyhow::Context;
use proc_macro2::{LineColumn, TokenStream};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A Rust file of the workspace.
pub(crate) struct Source {
    /// Relative to the workspace, with forward slashes.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
    /// Its items.
    pub(crate) syntax: syn::File,
    /// Its tokens, macro bodies included.
    pub(crate) tokens: TokenStream,
    /// For each line, whether it is test code.
    test_lines: Vec<bool>,
    /// Whether this is a test module among product code, in a file of its own.
    beside_product: bool,
}

impl Source {
    /// Parses a file.
    ///
    /// # Errors
    /// When it is not Rust.
    pub(crate) fn parse(path: &str, text: String) -> anyhow::Result<Self> {
        let syntax = syn::parse_file(&text).with_context(|| format!("cannot parse {path}"))?;
        let tokens = text
            .strip_prefix('\u{feff}')
            .unwrap_or(&text)
            .parse::<TokenStream>()
            .map_err(|error| anyhow::anyhow!("cannot parse {path}: {error}"))?;
        let lines = text.lines().count();
        let mut marks = TestLines {
            lines: vec![is_test_path(path); lines],
        };
        marks.visit_file(&syntax);
        Ok(Source {
            path: path.to_owned(),
            text,
            syntax,
            tokens,
            test_lines: marks.lines,
            beside_product: false,
        })
    }

    /// Whether a line, from 1, is test code.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        line.checked_sub(1)
            .and_then(|at| self.test_lines.get(at))
            .copied()
            .unwrap_or(false)
    }

    /// The lines of product code.
    pub(crate) fn product_lines(&self) -> usize {
        self.test_lines.iter().filter(|&&test| !test).count()
    }

    /// The lines of product code and of test code, blank lines and comments left out.
    pub(crate) fn code_lines(&self) -> (usize, usize) {
        let is_code = |line: &str| !line.is_empty() && !line.starts_with("//");
        let marked = self.text.lines().zip(&self.test_lines);
        marked.filter(|(line, _)| is_code(line.trim_start())).fold(
            (0, 0),
            |(product, tests), (_, test)| {
                if *test {
                    (product, tests + 1)
                } else {
                    (product + 1, tests)
                }
            },
        )
    }

    /// Calls everything in this file a test.
    pub(crate) fn mark_all_as_test(&mut self) {
        self.test_lines.fill(true);
        self.beside_product = true;
    }

    /// Whether this is the file of a test module that stands among product code.
    pub(crate) fn is_test_beside_product(&self) -> bool {
        self.beside_product
    }

    /// The modules that this file declares as tests in files of their own, as paths without `.rs`.
    pub(crate) fn test_modules(&self) -> Vec<String> {
        let (folder, file) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let inside = match file {
            "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
            other => format!("{folder}/{}", other.trim_end_matches(".rs")),
        };
        let declared = self.syntax.items.iter().filter_map(|item| match item {
            syn::Item::Mod(module) if module.content.is_none() && is_test_only(&module.attrs) => {
                Some(match path_attribute(&module.attrs) {
                    Some(path) => format!("{folder}/{}", path.trim_end_matches(".rs")),
                    None => format!("{inside}/{}", module.ident),
                })
            }
            _ => None,
        });
        declared.collect()
    }

    /// The folder that holds the file.
    pub(crate) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The crate's folder: what comes before `/src/`, `/tests/` and their like.
    pub(crate) fn crate_folder(&self) -> &str {
        [
            "/src/",
            "/tests/",
            "/benches/",
            "/examples/",
            "/fuzz/",
            "/build.rs",
        ]
        .iter()
        .filter_map(|mark| self.path.find(mark))
        .min()
        .map_or("", |at| &self.path[..at])
    }
}

/// Whether everything under this path is test code.
fn is_test_path(path: &str) -> bool {
    const FOLDERS: [&str; 3] = ["tests", "benches", "fuzz"];
    path.split('/').any(|part| FOLDERS.contains(&part))
}

/// The feature that only tests turn on: what stands in for the world in them.
const TESTS_FEATURE: &str = "simulation";

/// Whether these attributes keep an item out of every build but the tests'.
fn is_test_only(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Meta>()
                .is_ok_and(|meta| demands_test(&meta))
    })
}

fn demands_test(meta: &syn::Meta) -> bool {
    match meta {
        syn::Meta::Path(path) => path.is_ident("test"),
        syn::Meta::List(list) if list.path.is_ident("all") => {
            parts(list).is_some_and(|parts| parts.iter().any(demands_test))
        }
        syn::Meta::List(list) if list.path.is_ident("any") => {
            parts(list).is_some_and(|parts| parts.iter().all(demands_test))
        }
        syn::Meta::NameValue(pair) if pair.path.is_ident("feature") => {
            matches!(&pair.value, syn::Expr::Lit(literal)
                if matches!(&literal.lit, syn::Lit::Str(name) if name.value() == TESTS_FEATURE))
        }
        _ => false,
    }
}

type Parts = syn::punctuated::Punctuated<syn::Meta, syn::Token![,]>;

fn parts(list: &syn::MetaList) -> Option<Parts> {
    list.parse_args_with(Parts::parse_terminated).ok()
}

/// The value of `#[path = "…"]`.
fn path_attribute(attributes: &[syn::Attribute]) -> Option<String> {
    attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("path"))
        .find_map(|attribute| {
            let syn::Meta::NameValue(pair) = &attribute.meta else {
                return None;
            };
            let syn::Expr::Lit(literal) = &pair.value else {
                return None;
            };
            match &literal.lit {
                syn::Lit::Str(path) => Some(path.value()),
                _ => None,
            }
        })
}

struct TestLines {
    lines: Vec<bool>,
}

impl TestLines {
    fn mark(&mut self, start: LineColumn, end: LineColumn) {
        let last = end.line.min(self.lines.len());
        if let Some(range) = self.lines.get_mut(start.line.saturating_sub(1)..last) {
            range.fill(true);
        }
    }
}

impl<'ast> Visit<'ast> for TestLines {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if is_test_only(item_attributes(item)) {
            let span = item.span();
            self.mark(span.start(), span.end());
        } else {
            visit::visit_item(self, item);
        }
    }
}

fn item_attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source::parse(path, text.to_owned()).expect("parses")
    }

    // If this fails, product code hides among the tests, or tests count as product code.
    #[test]
    fn lines_are_told_apart() {
        let text = "fn a() {}\n\n/// Doc.\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n#[cfg(not(test))]\nfn c() {}\n#[cfg(all(unix, test))]\nfn d() {}\n#[cfg(any(test, feature = \"simulation\"))]\nfn e() {}\n#[cfg(any(test, unix))]\nfn f() {}\n";
        let file = source("a/src/x.rs", text);
        let tests: Vec<usize> = (1..=15).filter(|&line| file.is_test(line)).collect();
        assert_eq!(tests, [3, 4, 5, 6, 7, 10, 11, 12, 13]);
        assert_eq!((file.product_lines(), file.code_lines()), (6, (5, 8)));
        assert_eq!(source("a/tests/x.rs", text).product_lines(), 0);
    }

    // If this fails, rules that speak of one crate look at another.
    #[test]
    fn a_file_knows_its_crate() {
        assert_eq!(
            source("node/store/src/a/b.rs", "").crate_folder(),
            "node/store"
        );
        assert_eq!(source("node/tests/a.rs", "").crate_folder(), "node");
    }
}
