//! Conditional requests (RFC 9110 §13), decided on a content's hash and date.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::http::header::{
    HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE,
};
use wire::{Checksum, Code};

use super::error::ApiError;

/// What a content's validators are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validators {
    /// Its strong entity tag, without quotes.
    pub(super) checksum: Checksum,
    /// When it was last changed, in milliseconds; HTTP knows seconds.
    pub(super) updated_ms: u64,
    /// Which of the content's versions it is; the first is 1.
    pub(super) version: u64,
}

/// What the conditions of a request to read come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answer it.
    Proceed,
    /// The client has it already: 304.
    NotModified,
    /// It is not what the client demands: 412.
    Failed,
}

/// The entity tag of a content, as headers write it.
pub(super) fn etag(checksum: &Checksum) -> String {
    format!("\"{}\"", checksum.hex())
}

/// The date of `ms`, as headers write it.
pub(super) fn http_date(ms: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(ms / 1000))
}

/// Decides a request to read, in the order of RFC 9110 §13.2.2.
pub(super) fn evaluate(headers: &HeaderMap, of: &Validators) -> Verdict {
    if headers.contains_key(IF_MATCH) {
        if !matches(headers, IF_MATCH, &of.checksum, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if let Some(date) = date(headers, IF_UNMODIFIED_SINCE)
        && seconds(of.updated_ms) > date
    {
        return Verdict::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if matches(headers, IF_NONE_MATCH, &of.checksum, Comparison::Weak) {
            return Verdict::NotModified;
        }
    } else if let Some(date) = date(headers, IF_MODIFIED_SINCE)
        && seconds(of.updated_ms) <= date
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether a `Range` applies: `If-Range` is absent, or names exactly this version. A date names seconds,
/// and two versions may be of one second: it is as strong as a tag only of the first version, before
/// which there was none (RFC 9110 §8.8.2.2).
pub(super) fn range_applies(headers: &HeaderMap, of: &Validators) -> bool {
    let Some(value) = headers.get(IF_RANGE) else {
        return true;
    };
    let Ok(text) = value.to_str() else {
        return false;
    };
    if text.trim_start().starts_with('"') {
        text.trim() == etag(&of.checksum)
    } else {
        of.version == 1
            && httpdate::parse_http_date(text).is_ok_and(|date| date == seconds(of.updated_ms))
    }
}

/// The hash that a change demands of the `current` version; none if it demands nothing.
///
/// # Errors
/// When `If-Match` names other versions only.
pub(super) fn if_match(
    headers: &HeaderMap,
    current: &Checksum,
) -> Result<Option<Checksum>, ApiError> {
    if !headers.contains_key(IF_MATCH) {
        return Ok(None);
    }
    if headers
        .get(IF_MATCH)
        .is_some_and(|value| value.as_bytes().trim_ascii() == b"*")
    {
        return Ok(None);
    }
    if matches(headers, IF_MATCH, current, Comparison::Strong) {
        // The store compares again, in the order of the log: this version may be replaced yet.
        return Ok(Some(*current));
    }
    // A repeated update names the version that it replaced: the store knows whether it did.
    match tags(headers, IF_MATCH).find_map(|tag| Checksum::from_hex(tag?.trim_matches('"')).ok()) {
        Some(older) => Ok(Some(older)),
        None => Err(ApiError::new(
            Code::PreconditionFailed,
            format!("the current version's hash is {current}"),
        )),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

fn matches(headers: &HeaderMap, name: HeaderName, of: &Checksum, how: Comparison) -> bool {
    let ours = etag(of);
    tags(headers, name).flatten().any(|tag| {
        let tag = match how {
            Comparison::Strong => tag,
            Comparison::Weak => tag.strip_prefix("W/").unwrap_or(tag),
        };
        tag == "*" || tag == ours
    })
}

/// The entity tags of a header; none for what is not text. Our own tags hold no commas.
fn tags(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = Option<&str>> {
    headers
        .get_all(name)
        .flat_map(|value| match value.to_str() {
            Ok(text) => text
                .split(',')
                .map(|tag| Some(tag.trim()))
                .collect::<Vec<_>>(),
            Err(_) => vec![None],
        })
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

fn seconds(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(ms / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    const OURS: Validators = Validators {
        checksum: Checksum([7; 32]),
        updated_ms: 86_400_500,
        version: 1,
    };

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                name.clone(),
                HeaderValue::try_from(*value).expect("a header"),
            );
        }
        headers
    }

    fn ours() -> String {
        etag(&OURS.checksum)
    }

    const SAME: &str = "Fri, 02 Jan 1970 00:00:00 GMT";
    const LATER: &str = "Fri, 02 Jan 1970 00:00:01 GMT";
    const EARLIER: &str = "Thu, 01 Jan 1970 23:59:59 GMT";

    // If this fails, caches keep old versions, or fetch again what they have.
    #[test]
    fn a_client_that_has_it_gets_304() {
        let verdict = |pairs: &[(HeaderName, &str)]| evaluate(&headers(pairs), &OURS);
        let (ours, weak) = (ours(), format!("\"x\", W/{}", ours()));
        assert_eq!(verdict(&[]), Verdict::Proceed);
        assert_eq!(verdict(&[(IF_NONE_MATCH, &ours)]), Verdict::NotModified);
        assert_eq!(verdict(&[(IF_NONE_MATCH, &weak)]), Verdict::NotModified);
        assert_eq!(verdict(&[(IF_NONE_MATCH, "*")]), Verdict::NotModified);
        assert_eq!(verdict(&[(IF_NONE_MATCH, "\"x\"")]), Verdict::Proceed);
        assert_eq!(verdict(&[(IF_MODIFIED_SINCE, SAME)]), Verdict::NotModified);
        assert_eq!(verdict(&[(IF_MODIFIED_SINCE, EARLIER)]), Verdict::Proceed);
        assert_eq!(
            verdict(&[(IF_MODIFIED_SINCE, "yesterday")]),
            Verdict::Proceed
        );
        // The tag is the better witness: with it, the date is not asked.
        let both = [(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, LATER)];
        assert_eq!(verdict(&both), Verdict::Proceed);
    }

    // If this fails, a client that demands one version is given another.
    #[test]
    fn a_demanded_version_is_demanded() {
        let verdict = |pairs: &[(HeaderName, &str)]| evaluate(&headers(pairs), &OURS);
        let (ours, weak) = (ours(), format!("W/{}", ours()));
        assert_eq!(verdict(&[(IF_MATCH, &ours)]), Verdict::Proceed);
        assert_eq!(verdict(&[(IF_MATCH, "*")]), Verdict::Proceed);
        assert_eq!(verdict(&[(IF_MATCH, "\"x\"")]), Verdict::Failed);
        assert_eq!(verdict(&[(IF_MATCH, &weak)]), Verdict::Failed);
        assert_eq!(verdict(&[(IF_UNMODIFIED_SINCE, SAME)]), Verdict::Proceed);
        assert_eq!(verdict(&[(IF_UNMODIFIED_SINCE, EARLIER)]), Verdict::Failed);
    }

    // If this fails, a resumed download is sewn together from two versions.
    #[test]
    fn a_range_applies_to_exactly_the_version_it_was_meant_for() {
        let applies = |value: &str| range_applies(&headers(&[(IF_RANGE, value)]), &OURS);
        assert!(range_applies(&headers(&[]), &OURS));
        assert!(applies(&ours()) && applies(SAME));
        assert!(!applies("\"x\"") && !applies(LATER) && !applies("x"));
        assert!(!applies(&format!("W/{}", ours())));
    }

    // If this fails, a download that is resumed after an update within the same second is sewn together
    // from two versions.
    #[test]
    fn a_date_names_no_version_but_the_first() {
        let later = Validators { version: 2, ..OURS };
        let applies = |value: &str| range_applies(&headers(&[(IF_RANGE, value)]), &later);
        assert!(!applies(SAME) && !applies(EARLIER) && !applies(LATER));
        assert!(applies(&ours()));
    }

    // If this fails, two people who change a content overwrite each other unawares.
    #[test]
    fn a_change_demands_a_version() {
        let demand = |value: &str| if_match(&headers(&[(IF_MATCH, value)]), &OURS.checksum);
        assert_eq!(if_match(&headers(&[]), &OURS.checksum).expect("fine"), None);
        assert_eq!(demand("*").expect("fine"), None);
        assert_eq!(demand(&ours()).expect("fine"), Some(OURS.checksum));
        let older = Checksum([8; 32]);
        assert_eq!(
            demand(&etag(&older)).expect("the store decides"),
            Some(older)
        );
        assert_eq!(
            demand("\"x\"").map_err(|e| e.code).expect_err("no"),
            Code::PreconditionFailed
        );
    }
}
