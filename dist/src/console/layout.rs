//! The frame of every page: head, navigation, and what a visitor may do.

use std::sync::LazyLock;

use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The stylesheet.
pub(crate) const STYLE: &str = include_str!("assets/console.css");

/// The script.
pub(crate) const SCRIPT: &str = include_str!("assets/console.js");

/// The mark, which is the icon too.
pub(crate) const ICON: &str = include_str!("assets/icon.svg");

/// Names the assets of this build: a browser may keep them for good.
pub(crate) static BUILD: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = blake3::Hasher::new();
    for asset in [STYLE, SCRIPT, ICON] {
        hasher.update(asset.as_bytes());
    }
    hasher.finalize().to_hex().chars().take(12).collect()
});

/// Who looks, and what he may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Visitor {
    /// Whether a key came with the request's cookie.
    pub(crate) signed_in: bool,
    /// Whether uploads, updates and deletes are open to him.
    pub(crate) may_write: bool,
    /// Whether reading is open to everybody, without a key.
    pub(crate) everybody_reads: bool,
}

/// A page's place in the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Overview,
    Shards,
    Contents,
    Upload,
    Operations,
    /// None of these.
    Aside,
}

const PLACES: [(Place, &str, &str); 5] = [
    (Place::Overview, "/", "Overview"),
    (Place::Contents, "/console/contents", "Contents"),
    (Place::Upload, "/console/upload", "Upload"),
    (Place::Shards, "/console/shards", "Shards"),
    (Place::Operations, "/console/log", "Log"),
];

/// A whole page.
pub(crate) fn page(visitor: Visitor, place: Place, title: &str, main: &Markup) -> Markup {
    let build = BUILD.as_str();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="same-origin";
                title { (title) " · Acequia" }
                link rel="icon" type="image/svg+xml" href={ "/console/assets/icon.svg?v=" (build) };
                link rel="stylesheet" href={ "/console/assets/console.css?v=" (build) };
                script defer src={ "/console/assets/console.js?v=" (build) } {}
            }
            body {
                a .skip href="#main" { "Skip to the content" }
                (head(visitor, place))
                main #main tabindex="-1" { (main) }
            }
        }
    }
}

fn head(visitor: Visitor, place: Place) -> Markup {
    html! {
        header .head {
            a .brand href="/" { (PreEscaped(ICON)) span { "Acequia" } }
            nav aria-label="Pages" {
                @for (each, href, name) in PLACES {
                    @if each != Place::Upload || visitor.may_write {
                        a href=(href) aria-current=[(each == place).then_some("page")] { (name) }
                    }
                }
            }
            @if visitor.signed_in {
                form .sign method="post" action="/console/sign-out" {
                    button .plain type="submit" { "Sign out" }
                }
            } @else if !visitor.may_write {
                a .sign href="/console/sign-in" { "Sign in" }
            }
        }
    }
}

/// A sentence in which words between backticks are what somebody types.
pub(crate) fn prose(text: &str) -> Markup {
    html! {
        @for (place, part) in text.split('`').enumerate() {
            @if place % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// How a bar looks when it is almost full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fullness {
    /// As otherwise: a processor is there to be used.
    Fine,
    /// Like something to be looked at.
    Alarming,
}

/// A bar that is so much full, in percent.
pub(crate) fn bar(percent: f64, label: &str, fullness: Fullness) -> Markup {
    let class = match (fullness, percent) {
        (Fullness::Alarming, 90.0..) => "bar full",
        (Fullness::Alarming, 75.0..) => "bar high",
        _ => "bar",
    };
    html! {
        svg class=(class) viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label=(label) {
            rect .track width="100" height="4" {}
            rect .fill width={ (format!("{percent:.1}")) } height="4" {}
        }
    }
}

/// What is said where there is nothing to show.
pub(crate) fn empty(title: &str, advice: &Markup) -> Markup {
    html! {
        div .empty { p .lead { (title) } p { (advice) } }
    }
}
