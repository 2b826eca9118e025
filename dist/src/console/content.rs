//! One content: what it is, where it is, what it looks like.

use maud::{Markup, html};
use wire::content::{ContentItem, Status};
use wire::membership::{Health, NodesAnswer, ShardEntry};

use super::figures::{count, second, size};
use super::forms::transfers;
use super::layout::{Visitor, empty};
use super::shards::copy;

/// How a content can be shown in a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Image,
    Audio,
    Video,
    Text,
    /// Only to be saved.
    Other,
}

/// What is shown of a content of this type. Of pictures only those that browsers draw.
pub(crate) fn kind(content_type: &str) -> Kind {
    let essence = content_type.split(';').next().unwrap_or("").trim();
    let essence = essence.to_ascii_lowercase();
    match essence.split_once('/') {
        Some((
            "image",
            "png" | "jpeg" | "gif" | "webp" | "avif" | "svg+xml" | "bmp" | "x-icon",
        )) => Kind::Image,
        Some(("audio", _)) => Kind::Audio,
        Some(("video", _)) => Kind::Video,
        Some(("text", _)) => Kind::Text,
        Some((
            "application",
            "json" | "xml" | "javascript" | "toml" | "yaml" | "x-sh" | "sql" | "jsonl",
        )) => Kind::Text,
        _ => Kind::Other,
    }
}

/// The beginning of a text, and whether that is all.
pub(crate) struct Excerpt {
    pub(crate) text: String,
    pub(crate) whole: bool,
}

/// The page.
pub(crate) fn content(
    item: &ContentItem,
    nodes: &NodesAnswer,
    excerpt: Option<&Excerpt>,
    visitor: Visitor,
) -> Markup {
    let shard = nodes
        .shards
        .iter()
        .find(|shard| shard.shard == item.row.id.shard());
    html! {
        p .crumbs { a href="/console/contents" { "Contents" } }
        h1 .name { bdi { (item.row.filename) } }
        div .content {
            section .preview aria-label="Preview" { (preview(item, excerpt)) }
            div .about {
                (actions(item, visitor))
                (facts(item))
                (places(item, shard, nodes))
                (links(item, visitor))
            }
        }
    }
}

fn bytes(item: &ContentItem) -> String {
    let row = &item.row;
    // A new version is another address: what a browser kept of an old one is not shown.
    format!("/console/contents/{}/bytes?version={}", row.id, row.version)
}

fn preview(item: &ContentItem, excerpt: Option<&Excerpt>) -> Markup {
    let source = bytes(item);
    if item.uris.is_empty() {
        return empty(
            "Out of reach",
            &html! { "No node that has it answers. It is shown again when one is back." },
        );
    }
    match (kind(&item.row.content_type), excerpt) {
        (Kind::Image, _) => html! { img src=(source) alt={ "The picture " (item.row.filename) }; },
        (Kind::Audio, _) => html! { audio controls preload="metadata" src=(source) {} },
        (Kind::Video, _) => html! { video controls preload="metadata" src=(source) {} },
        (_, Some(excerpt)) => html! {
            pre tabindex="0" { (excerpt.text) }
            @if !excerpt.whole { p .more { "The beginning. " a href=(download(item)) { "Save all of it" } } }
        },
        (Kind::Text, None) => empty(
            "No preview",
            &html! { "Its bytes are not text, or no node gave them." },
        ),
        (Kind::Other, None) => empty(
            "No preview for this type",
            &html! { a href=(download(item)) { "Save the file" } " to open it." },
        ),
    }
}

fn download(item: &ContentItem) -> String {
    format!("{}&download=true", bytes(item))
}

fn actions(item: &ContentItem, visitor: Visitor) -> Markup {
    let id = item.row.id;
    html! {
        div .actions {
            a .button href=(download(item)) { "Save" }
            @if visitor.may_write {
                label .button .drop data-update={ "/console/contents/" (id) } data-match=(etag(item)) {
                    "Replace"
                    input #replace type="file" aria-label="Replace by a file";
                }
                a .button .danger href={ "/console/contents/" (id) "/delete" } { "Delete" }
            }
        }
        @if visitor.may_write {
            (replacing(item))
            (transfers())
        }
    }
}

/// Names the version that is shown: a change of another one is refused.
fn etag(item: &ContentItem) -> String {
    format!("\"{}\"", item.row.checksum.hex())
}

/// The question before a file takes the place of this content; the script asks it.
fn replacing(item: &ContentItem) -> Markup {
    let row = &item.row;
    html! {
        dialog #question aria-labelledby="replacing" {
            form method="dialog" {
                h2 #replacing {
                    "Replace " bdi { (row.filename) } " (version " (row.version) ") by " bdi .by {} "?"
                }
                p { "Its present bytes go, for good: only the current version is kept." }
                p .actions {
                    button .button .main value="replace" { "Replace it" }
                    // A file may have slipped from the mouse: Enter alone keeps what is there.
                    button .button value="keep" autofocus { "Keep it" }
                }
            }
        }
    }
}

fn facts(item: &ContentItem) -> Markup {
    let row = &item.row;
    let status = match item.status {
        Status::Ok => None,
        Status::Pending => Some("stored; the catalog does not list it yet"),
        Status::Unlistable => Some("stored; the catalog refused its name, which is shown changed"),
    };
    html! {
        dl .facts {
            dt { "Size" } dd {
                (size(row.size))
                @if row.size >= 1024 { small { ", " (count(row.size)) " bytes" } }
            }
            dt { "Type" } dd { (row.content_type) }
            dt { "Version" } dd #version {
                (row.version) small { ", only the current version is kept" }
            }
            dt { "Stored" } dd { (second(row.created_date)) " UTC" }
            dt { "Changed" } dd { (second(row.updated_date)) " UTC" }
            @if let Some(collection) = &row.collection { dt { "Collection" } dd { (collection) } }
            @if let Some(status) = status { dt { "Status" } dd { (status) } }
            dt { "Hash" } dd { code .hash { (row.checksum) } }
            dt { "Id" } dd { code { (row.id) } }
        }
    }
}

fn places(item: &ContentItem, shard: Option<&ShardEntry>, nodes: &NodesAnswer) -> Markup {
    html! {
        h2 { "Copies" }
        @match shard {
            Some(shard) => {
                ul .copies {
                    @for replica in &shard.replicas {
                        @let entry = nodes.nodes.get(&replica.node);
                        li { (copy(replica, entry.is_none_or(|entry| entry.health == Health::Down))) }
                    }
                }
                p .note { "In shard " (item.row.id.shard()) "." }
            },
            None => p .note { "Its shard is not known here at this moment." },
        }
    }
}

fn links(item: &ContentItem, visitor: Visitor) -> Markup {
    if item.url.is_empty() {
        return html! {};
    }
    let key = match visitor.everybody_reads {
        true => "",
        false => " --location-trusted --oauth2-bearer \"$ACCESS_KEY\"",
    };
    // A node answers 307 for what has moved, and nothing of a refusal becomes the file.
    let curl = format!(
        "curl -fL{key} -o '{}' '{}'",
        local_name(&item.row.filename),
        item.url
    );
    html! {
        h2 { "Link" }
        (copyable("link", &item.url))
        @if !visitor.everybody_reads {
            p .note {
                "The link needs the access key, which no browser sends there; curl takes it from "
                code { "$ACCESS_KEY" } "."
            }
        }
        h2 { "With curl" }
        (copyable("curl", &curl))
    }
}

/// A name in quotes of a shell, in the folder where one is: whoever uploaded it chose it.
fn local_name(filename: &str) -> String {
    let name = filename.rsplit('/').next().unwrap_or("");
    let name = if matches!(name, "" | "." | "..") {
        "content"
    } else {
        name
    };
    name.replace('\'', "'\\''")
}

fn copyable(id: &str, text: &str) -> Markup {
    html! {
        div .copyable {
            code id=(id) { (text) }
            button type="button" data-copy=(id) { "Copy" }
        }
    }
}

/// How often somebody was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    First,
    /// What he saw when he answered is not there any more.
    Again,
}

/// The question before a delete.
pub(crate) fn delete(item: &ContentItem, asking: Asking) -> Markup {
    let row = &item.row;
    html! {
        p .crumbs { a href={ "/console/contents/" (row.id) } { bdi { (row.filename) } } }
        section .question {
            h1 { "Delete " bdi { (row.filename) } "?" }
            @if asking == Asking::Again {
                p .wrong role="alert" {
                    "Somebody else has changed it meanwhile, and nothing was deleted. "
                    a href={ "/console/contents/" (row.id) } { "Look at what is there now" } "."
                }
            }
            p {
                "All copies of its " (size(row.size)) " go, for good. The id is never used again; "
                "links to it answer that it was deleted."
            }
            form method="post" action={ "/console/contents/" (row.id) "/delete" } {
                input type="hidden" name="match" value=(etag(item));
                button .button .danger type="submit" { "Delete it" }
                a .button href={ "/console/contents/" (row.id) } { "Keep it" }
            }
        }
    }
}

/// After a delete.
pub(crate) fn deleted(filename: &str) -> Markup {
    html! {
        section .question {
            h1 { "Deleted" }
            p role="status" { bdi { (filename) } " is gone, and so are its copies." }
            a .button href="/console/contents" { "To the contents" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::local_name;

    // If this fails, who pastes the line for curl has a file of his own written over by what somebody
    // uploaded under its name.
    #[test]
    fn a_download_stays_in_the_folder_where_one_is() {
        let cases = [
            ("a b.png", "a b.png"),
            ("../../.bashrc", ".bashrc"),
            ("/home/u/.ssh/authorized_keys", "authorized_keys"),
            ("x/", "content"),
            ("..", "content"),
            ("it's", "it'\\''s"),
        ];
        for (given, local) in cases {
            assert_eq!(local_name(given), local);
        }
    }
}
