//! The range of texts that begin with a prefix, in the order of their bytes.

use std::time::Duration;

use wire::limits::FILE_NAME_BYTES_MAX;

use super::{NameFilter, PageQuery, QueryError};

/// The least text that is greater than every text that begins with `prefix`; none when there is
/// no such text.
///
/// In UTF-8 the order of bytes is the order of code points, so the last character that has a
/// successor is replaced by it.
pub(super) fn upper_bound(prefix: &str) -> Option<String> {
    let mut bound = prefix.to_owned();
    while let Some(last) = bound.pop() {
        if let Some(next) = successor(last) {
            bound.push(next);
            return Some(bound);
        }
    }
    None
}

/// How long a page may take; longer ones would keep others from the database.
pub(super) const PAGE_TIME_MAX: Duration = Duration::from_secs(4);

/// So many contents whose names begin as asked for are put into the order of ids by reading all of them:
/// some tenths of a second. Among more of them, in that order, a page is found soon.
pub(super) const NAMES_MAX: i64 = 20_000;

/// What an error means for who asked for a page: one that was ended is told to be too long where the order is
/// what makes it so.
pub(super) fn in_page(error: QueryError, query: &PageQuery) -> QueryError {
    let reads_others = match (&query.filename, query.order.is_by_name()) {
        // One name alone has no order by name.
        (Some(NameFilter::Exactly(_)), _) => false,
        // Those of all collections.
        (_, true) => query.collection.is_some(),
        // Those of all names, or all whose names begin so.
        (filename, false) => filename.is_some(),
    };
    match error {
        QueryError::Ended(_) if reads_others => QueryError::TooLong(query.order),
        error => error,
    }
}

/// The range of names that a page in an order by name reads: from the first one on, and before the
/// second.
pub(super) struct NameRange {
    pub(super) from: String,
    pub(super) below: String,
}

impl NameRange {
    /// The names of the rest of a page's order; none if that is not by name, or one name alone.
    pub(super) fn of_page(query: &PageQuery) -> Option<Self> {
        let prefix = match &query.filename {
            _ if !query.order.is_by_name() => return None,
            Some(NameFilter::Exactly(_)) => return None,
            Some(NameFilter::Prefix(prefix)) => prefix,
            None => "",
        };
        let all = NameRange::of(prefix);
        Some(match query.after_name.clone() {
            None => all,
            Some(below) if query.order.is_backwards() => NameRange { below, ..all },
            Some(from) => NameRange { from, ..all },
        })
    }

    /// All names that begin so. A text without end is longer than any name.
    pub(super) fn of(prefix: &str) -> Self {
        let endless = || char::MAX.to_string().repeat(FILE_NAME_BYTES_MAX / 4 + 1);
        NameRange {
            from: prefix.to_owned(),
            below: upper_bound(prefix).unwrap_or_else(endless),
        }
    }
}

/// The next character, past the surrogates, which are not characters.
fn successor(c: char) -> Option<char> {
    match c {
        '\u{d7ff}' => Some('\u{e000}'),
        char::MAX => None,
        other => char::from_u32(u32::from(other) + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::{NameFilter, PageQuery, QueryError, in_page, upper_bound};
    use crate::catalog::PageOrder;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    proptest! {
        // If this fails, `?filename=prefix*` shows too many files, or too few.
        #[test]
        fn a_text_lies_below_the_bound_exactly_when_it_begins_so(
            prefix in any::<String>(), text in any::<String>(), tail in any::<String>(),
        ) {
            for text in [text, format!("{prefix}{tail}")] {
                let within = text.as_str() >= prefix.as_str()
                    && upper_bound(&prefix).is_none_or(|bound| text < bound);
                prop_assert_eq!(within, text.starts_with(&prefix));
            }
            prop_assert!(upper_bound(&prefix).is_none_or(|bound| bound > prefix));
        }
    }

    // If this fails, a client is told to ask again what is never answered, a database that is away is taken
    // for a large one, or another order is advised where it does not help.
    #[test]
    fn a_page_that_was_ended_for_its_order_is_told_so() {
        let away = QueryError::Unavailable("away".to_owned());
        let ended = QueryError::Ended("after 4 s".to_owned());
        let prefix = Some(NameFilter::Prefix("a".to_owned()));
        let exactly = Some(NameFilter::Exactly("a".to_owned()));
        let orders = [PageOrder::Oldest, PageOrder::NameBackwards];
        for (filename, collection, too_long) in [
            (None, None, [false, false]),
            (None, Some("a"), [false, true]),
            (prefix.clone(), None, [true, false]),
            (prefix, Some("a"), [true, true]),
            (exactly, Some("a"), [false, false]),
        ] {
            for (order, too_long) in orders.into_iter().zip(too_long) {
                let query = PageQuery {
                    order,
                    filename: filename.clone(),
                    collection: collection.map(str::to_owned),
                    ..PageQuery::default()
                };
                let told = match too_long {
                    true => QueryError::TooLong(order),
                    false => ended.clone(),
                };
                assert_eq!(in_page(ended.clone(), &query), told, "{query:?}");
                assert_eq!(in_page(away.clone(), &query), away, "{query:?}");
            }
        }
    }

    // If this fails, a prefix at the edge of Unicode finds nothing or everything.
    #[test]
    fn edges_of_unicode() {
        assert_eq!(upper_bound("a"), Some("b".to_owned()));
        assert_eq!(upper_bound("a\u{d7ff}"), Some("a\u{e000}".to_owned()));
        assert_eq!(upper_bound("a\u{10ffff}"), Some("b".to_owned()));
        assert_eq!(upper_bound("\u{10ffff}"), None);
        assert_eq!(upper_bound(""), None);
    }
}
