//! The list of contents.

use maud::{Markup, html};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use wire::content::{ContentItem, ContentPage, Status};

use super::figures::{minute, size};
use super::layout::{Visitor, empty};

/// What the list was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Search {
    /// Names begin so.
    pub(crate) prefix: String,
    /// `-id`, `id`, `name` or `-name`, as in the JSON API.
    pub(crate) sort: String,
    /// Whether this is a later page.
    pub(crate) later: bool,
}

const SORTS: [(&str, &str); 4] = [
    ("-id", "Newest first"),
    ("id", "Oldest first"),
    ("name", "Name, A to Z"),
    ("-name", "Name, Z to A"),
];

impl Search {
    /// The sorts to choose from: what begins alike is found by an index of names, in their order.
    fn sorts(&self) -> &'static [(&'static str, &'static str)] {
        match self.prefix.is_empty() {
            true => &SORTS,
            false => &SORTS[2..],
        }
    }

    /// The same in another order, from its beginning.
    fn sorted(&self, sort: &str) -> String {
        let sort = sort.to_owned();
        Search {
            sort,
            ..self.clone()
        }
        .link(None)
    }

    fn link(&self, after: Option<&str>) -> String {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut link = format!(
            "/console/contents?sort={}&name={}",
            encode(&self.sort),
            encode(&self.prefix)
        );
        if let Some(after) = after {
            link = format!("{link}&after={}", encode(after));
        }
        link
    }
}

/// The page.
pub(crate) fn contents(page: &ContentPage, search: &Search, visitor: Visitor) -> Markup {
    html! {
        div .row {
            h1 { "Contents" }
            @if visitor.may_write { a .button .main href="/console/upload" { "Upload files" } }
        }
        (form(search))
        @if page.items.is_empty() {
            (nothing(search, visitor))
        } @else {
            (table(&page.items, search))
            nav .pager aria-label="Pages of the list" {
                @if search.later { a href=(search.link(None)) { "First page" } }
                @if let Some(next) = &page.next {
                    a .next rel="next" href=(search.link(Some(next))) { "Next page" }
                }
            }
        }
    }
}

fn form(search: &Search) -> Markup {
    html! {
        form .search role="search" method="get" action="/console/contents" {
            label {
                span { "Name begins with" }
                input type="search" name="name" value=(search.prefix) maxlength="1024"
                    autocomplete="off" spellcheck="false" placeholder="report-2026";
            }
            label {
                span { "Order" }
                select name="sort" {
                    @for (value, name) in search.sorts() {
                        option value=(value) selected[*value == search.sort] { (name) }
                    }
                }
            }
            button type="submit" { "Show" }
        }
    }
}

/// A column by which the list can be sorted.
struct Column {
    name: &'static str,
    /// By which a click sorts, and by which the next one does.
    sorts: [&'static str; 2],
}

const NAME: Column = Column {
    name: "Name",
    sorts: ["name", "-name"],
};

/// By ids, which sort by the time at which they were made.
const STORED: Column = Column {
    name: "Stored (UTC)",
    sorts: ["-id", "id"],
};

/// The heading of such a column: `class` is where it is shown.
fn heading(search: &Search, column: &Column, class: Option<&str>) -> Markup {
    let [first, second] = column.sorts;
    let sorted = column.sorts.contains(&search.sort.as_str());
    let order = match search.sort.starts_with('-') {
        true => "descending",
        false => "ascending",
    };
    let next = if search.sort == first { second } else { first };
    let may = search.sorts().iter().any(|(sort, _)| *sort == next);
    html! {
        th scope="col" class=[class] aria-sort=[sorted.then_some(order)] {
            @if may { a href=(search.sorted(next)) { (column.name) } } @else { (column.name) }
        }
    }
}

fn table(items: &[ContentItem], search: &Search) -> Markup {
    html! {
        div .scroll {
            table .contents {
                thead {
                    tr {
                        (heading(search, &NAME, None))
                        th scope="col" .number { "Size" }
                        th scope="col" .wide { "Type" }
                        th scope="col" .wide .number { "Version" }
                        (heading(search, &STORED, Some("wide")))
                    }
                }
                tbody { @for item in items { (row(item)) } }
            }
        }
    }
}

fn row(item: &ContentItem) -> Markup {
    let row = &item.row;
    html! {
        tr {
            th scope="row" {
                a href={ "/console/contents/" (row.id) } { bdi { (row.filename) } }
                @if item.uris.is_empty() { " " span .tag .bad { "out of reach" } }
                @if item.status == Status::Unlistable { " " span .tag .warn { "name refused" } }
            }
            td .number { (size(row.size)) }
            td .wide { (row.content_type) }
            td .wide .number { (row.version) }
            td .wide { time datetime=(row.created_date) { (minute(row.created_date)) } }
        }
    }
}

fn nothing(search: &Search, visitor: Visitor) -> Markup {
    if search.later {
        return empty(
            "No more",
            &html! { a href=(search.link(None)) { "Back to the first page" } },
        );
    }
    if !search.prefix.is_empty() {
        let title = format!("No name begins with “{}”", search.prefix);
        return empty(
            &title,
            &html! { "Upper and lower case are different letters here. " a href="/console/contents" { "Show all" } },
        );
    }
    let upload = html! { a href="/console/upload" { "Upload the first files" } " from here, or with " code { "client upload FILE" } "." };
    let read = html! { "Files appear here as soon as somebody uploads them." };
    empty(
        "Nothing stored yet",
        if visitor.may_write { &upload } else { &read },
    )
}
