//! The query of a request, read strictly: what cannot be decoded is refused, never guessed.

use percent_encoding::percent_decode_str;
use wire::Code;

use super::error::ApiError;

/// The names and values of a query, decoded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a query string.
    ///
    /// # Errors
    /// When a name or value is not percent-encoded UTF-8.
    pub(super) fn read(text: &str) -> Result<Self, ApiError> {
        text.split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(name)?, decode(value)?))
            })
            .collect::<Result<_, _>>()
            .map(Query)
    }

    /// The value of `name`; none if it is absent.
    ///
    /// # Errors
    /// When it is there twice: nobody can know which one is meant.
    pub(super) fn get(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut values = self
            .0
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(_), Some(_)) => Err(malformed(format!("`{name}` is there twice"))),
            (value, _) => Ok(value.map(String::as_str)),
        }
    }

    /// The value of `name` as a number.
    ///
    /// # Errors
    /// When it is there and is not a number, or is there twice.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, ApiError> {
        self.get(name)?
            .map(|text| {
                text.parse()
                    .map_err(|_| malformed(format!("`{name}` is not a number")))
            })
            .transpose()
    }

    /// Whether `name` is `true`; absent means false.
    ///
    /// # Errors
    /// When it is neither `true` nor `false`, or is there twice.
    pub(super) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(malformed(format!("`{name}` is neither `true` nor `false`"))),
        }
    }
}

fn decode(text: &str) -> Result<String, ApiError> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| malformed("the query is not UTF-8".to_owned()))
}

fn malformed(message: String) -> ApiError {
    ApiError::new(Code::MalformedRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert_eq, proptest};

    // If this fails, files are stored under other names than people gave them.
    #[test]
    fn values_are_decoded() {
        let query = Query::read("filename=a%20b+c%C3%A9.txt&wait=&download=true&x").expect("reads");
        assert_eq!(query.get("filename").expect("once"), Some("a b cé.txt"));
        assert_eq!(query.get("wait").expect("once"), Some(""));
        assert_eq!(query.get("none").expect("absent"), None);
        assert!(query.flag("download").expect("a flag"));
    }

    // If this fails, a broken request does something else than its sender meant.
    #[test]
    fn what_cannot_be_understood_is_refused() {
        assert!(Query::read("filename=%ff%fe").is_err());
        let query = Query::read("version=x&download=1&limit=1&limit=2").expect("reads");
        assert!(query.number("version").is_err());
        assert!(query.flag("download").is_err());
        assert!(query.number("limit").is_err());
    }

    proptest! {
        // If this fails, a hostile query crashes a worker.
        #[test]
        fn any_query_is_read_or_refused(text in ".{0,60}") {
            if let Ok(query) = Query::read(&text) {
                prop_assert_eq!(query.0.len(), text.split('&').filter(|p| !p.is_empty()).count());
            }
        }
    }
}
