//! The page of one content: the line for curl.

use super::{OWNER, cluster, item};
use crate::console::content::content;
use crate::console::layout::Visitor;

/// Who has the key of a cluster that asks everybody for it.
const KEY_HOLDER: Visitor = Visitor {
    signed_in: true,
    may_write: true,
    everybody_reads: false,
};

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
