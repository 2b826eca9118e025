//! Uploading and signing in.

use maud::{Markup, html};

/// Where files are dropped.
pub(crate) fn upload() -> Markup {
    html! {
        h1 { "Upload" }
        p .intro { "Each file goes to the node with the most room and the least to do, and from there to its mirrors." }
        label #drop .dropzone .drop data-upload="/console/store" {
            span .lead { "Drop files here" }
            span { "or " u { "choose them" } }
            input #files type="file" multiple aria-label="Files to upload";
        }
        noscript { p .note { "This page needs JavaScript. Without it: " code { "client upload FILE" } } }
        (transfers())
    }
}

/// Where the script shows the files that are under way. Of all that changes there a screen reader tells one line.
pub(crate) fn transfers() -> Markup {
    html! {
        p #stored .note aria-live="polite" {}
        div #transfers .transfers {}
    }
}

/// Asks for the key.
pub(crate) fn sign_in(next: &str, wrong: bool) -> Markup {
    html! {
        section .question {
            h1 { "Sign in" }
            p { "This cluster asks for its access key (" code { "ACCESS_KEY" } ")." }
            @if wrong { p .wrong role="alert" { "That is not the key." } }
            form .signin method="post" action="/console/sign-in" {
                input type="hidden" name="next" value=(next);
                // Password managers keep a key under a name.
                input type="text" name="user" value="acequia" autocomplete="username" hidden;
                label {
                    span { "Key" }
                    input #key type="password" name="key" required autofocus
                        autocomplete="current-password" aria-invalid=[wrong.then_some("true")];
                }
                button .button .main type="submit" { "Sign in" }
            }
        }
    }
}
