//! The page of one content: the line for curl, and what it offers to change.

use super::{OWNER, cluster, item};
use crate::console::content::{Asking, content, delete};
use crate::console::layout::Visitor;

/// Who has the key of a cluster that asks everybody for it.
const KEY_HOLDER: Visitor = Visitor {
    signed_in: true,
    may_write: true,
    everybody_reads: false,
};

/// The content's ETag, in a page.
fn etag() -> String {
    format!("&quot;{}&quot;", item("a").row.checksum.hex())
}

fn page(filename: &str, visitor: Visitor) -> String {
    content(&item(filename), &cluster().nodes, None, visitor).into_string()
}

// If this fails, a curl line that was copied does something else in a shell, or keeps a node's refusal, or
// nothing, instead of the file.
#[test]
fn a_copied_line_brings_the_file() {
    let text = page("it's; rm -rf ~", OWNER);
    assert!(
        text.contains("curl -fL -o 'it'\\''s; rm -rf ~' 'http://n:1/retrieve/x'"),
        "{text}"
    );
}

// If this fails, who copies the line is refused where a key is asked for, or looks for a key where none is.
#[test]
fn a_copied_line_brings_the_key_where_one_is_asked_for() {
    let text = page("a", KEY_HOLDER);
    let line = "curl -fL --location-trusted --oauth2-bearer &quot;$ACCESS_KEY&quot; -o 'a'";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("The link needs the access key"), "{text}");
    let text = page("a", OWNER);
    assert!(!text.contains("ACCESS_KEY"), "{text}");
}

// If this fails, two people at the console write over each other's files, or delete them, unseen.
#[test]
fn a_change_names_the_version_that_was_seen() {
    let text = page("a & b", OWNER);
    let named = format!("data-match=\"{}\"", etag());
    assert!(text.contains(&named), "{text}");
    assert!(
        text.contains("Replace <bdi>a &amp; b</bdi> (version 2) by"),
        "{text}"
    );
    let hidden = format!("type=\"hidden\" name=\"match\" value=\"{}\"", etag());
    for asking in [Asking::First, Asking::Again] {
        let text = delete(&item("a"), asking).into_string();
        assert!(text.contains(&hidden), "{text}");
        let told = text.contains("has changed it meanwhile");
        assert_eq!(told, asking == Asking::Again, "{text}");
    }
}

// If this fails, somebody looks for the versions before this one.
#[test]
fn a_version_is_said_to_be_the_only_one() {
    let text = page("a", OWNER);
    let (_, version) = text.split_once("id=\"version\">2").expect("its version");
    let (version, _) = version.split_once("</dd>").expect("its end");
    assert!(
        version.contains("only the current version is kept"),
        "{text}"
    );
}
