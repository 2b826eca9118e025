//! A page instead of the one that was asked for.

use maud::{Markup, html};
use wire::Code;
use wire::error::Retry;

/// Says what is the matter, and what can be done.
pub(crate) fn trouble(code: Code, message: &str, request_id: &str) -> Markup {
    let (title, advice) = words(code);
    html! {
        section .question data-code=(word(code)) {
            h1 { (title) }
            p { (advice) }
            p .note { (message) ". Request " code { (request_id) } }
            p {
                @if code.retry() != Retry::Never { a .button href="" { "Try again" } }
                a .button href="/" { "To the overview" }
            }
        }
    }
}

/// The code as the JSON API writes it.
fn word(code: Code) -> String {
    let text = serde_json::to_string(&code).unwrap_or_default();
    text.trim_matches('"').to_owned()
}

fn words(code: Code) -> (&'static str, &'static str) {
    match code {
        Code::CatalogUnavailable => (
            "The catalog database does not answer",
            "Lists and searches need it; nothing stored is lost, and links to contents go on working. The page works again when the database does.",
        ),
        Code::NotFound => (
            "There is no such content",
            "The link may be misspelt, or the content was never stored here.",
        ),
        Code::Deleted => ("This content was deleted", "Its id is never used again."),
        Code::NoRoute => ("There is no such page", "The address may be misspelt."),
        Code::NoLeader => (
            "The content's shard has no leader just now",
            "A node was lost a moment ago. Another copy takes over within seconds.",
        ),
        Code::Damaged => (
            "This copy is damaged",
            "It is repaired from another one, if there is one that is whole. `client doctor` says what can be done.",
        ),
        Code::NoNode | Code::StorageFull => (
            "No node has room",
            "Add a node, raise MAX_STORAGE, or delete something.",
        ),
        Code::NodeUnreachable => (
            "A storage node gave no answer",
            "It may be starting, or lost. The overview shows which nodes answer.",
        ),
        Code::MalformedId | Code::MalformedRequest => (
            "The address cannot be read",
            "Part of it is missing or misspelt.",
        ),
        Code::Unauthorized => (
            "This needs the key, and a page of this console",
            "Sign in, and send the form again.",
        ),
        _ => (
            "That did not work",
            "The request names what went wrong; the log tells more.",
        ),
    }
}
