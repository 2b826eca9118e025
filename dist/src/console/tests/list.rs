//! The list's headings.

use super::{OWNER, item};
use crate::console::contents::{Search, contents};
use wire::content::ContentPage;

/// The headings of a list in this order, of names that begin so.
fn headings(sort: &str, prefix: &str) -> String {
    let search = Search {
        prefix: prefix.to_owned(),
        sort: sort.to_owned(),
        later: false,
    };
    let page = ContentPage {
        items: vec![item("a")],
        next: None,
    };
    let text = contents(&page, &search, OWNER).into_string();
    let (_, head) = text.split_once("<thead>").expect("headings");
    let (head, _) = head.split_once("</thead>").expect("their end");
    head.to_owned()
}

// If this fails, who clicks on a heading gets another order than it says, or none.
#[test]
fn the_list_is_sorted_by_its_headings() {
    let (name, stored) = (">Name</a>", ">Stored (UTC)</a>");
    for (sort, sorted, column, turned) in [
        ("name", "ascending", name, "%2Dname"),
        ("-name", "descending", name, "name"),
        ("-id", "descending", stored, "id"),
        ("id", "ascending", stored, "%2Did"),
    ] {
        let head = headings(sort, "");
        let (_, from) = head
            .split_once(&format!("aria-sort=\"{sorted}\""))
            .expect("the order");
        let link = format!("href=\"/console/contents?sort={turned}&amp;name=\"{column}");
        assert!(from.starts_with(&format!("><a {link}")), "{head}");
        assert_eq!(head.matches("aria-sort").count(), 1, "{head}");
        assert_eq!(head.matches("<a ").count(), 2, "{head}");
    }
    assert!(headings("name", "").contains("sort=%2Did"), "newest first");
}

// If this fails, a search is offered an order that reads the whole catalog, or ends by a click on a heading.
#[test]
fn a_search_is_turned_round_by_its_heading() {
    let head = headings("name", "x");
    assert!(
        head.contains("?sort=%2Dname&amp;name=x\">Name</a>"),
        "{head}"
    );
    assert_eq!(head.matches("<a ").count(), 1, "{head}");
}
