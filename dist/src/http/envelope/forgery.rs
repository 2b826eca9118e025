//! Whether a change was asked for by somebody else's page: pure.

use std::net::IpAddr;

use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{HOST, HeaderMap, ORIGIN};

use crate::http::policy::{host_and_port, is_console};

/// Browsers tell with every request which page it came from; pages cannot change it.
const SITE: &str = "sec-fetch-site";

/// Whether a request changes something and may come from a page of another site.
///
/// Programs, which send neither `Sec-Fetch-Site` nor `Origin`, may use the JSON API. The console,
/// whose key is a cookie that a browser sends by itself, wants to be told. `own_url` is given where no
/// key is asked for: a cookie belongs to a host's name, and without one the name itself counts.
pub(super) fn is_forged(request: &ServiceRequest, own_url: Option<&str>) -> bool {
    let changes = !matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    changes && comes_from_elsewhere(request.headers(), request.path(), own_url)
}

fn comes_from_elsewhere(headers: &HeaderMap, path: &str, own_url: Option<&str>) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let (host, origin) = (text(HOST.as_str()).unwrap_or(""), text(ORIGIN.as_str()));
    let own_page = match (text(SITE), origin) {
        (Some(site), _) => site == "same-origin" || site == "none",
        (None, Some(origin)) => origin
            .split_once("://")
            .is_some_and(|(_, from)| from == host),
        (None, None) => !is_console(path),
    };
    let own_name = own_url.is_none_or(|own_url| is_own_name(host, own_url));
    let is_browser = text(SITE).is_some() || origin.is_some();
    !own_page || ((is_console(path) || is_browser) && !own_name)
}

/// Whether a host is one of ours and not a stranger's name that leads to our address: a page under
/// such a name would count as our own.
fn is_own_name(host: &str, own_url: &str) -> bool {
    let name = |url: &str| host_and_port(url).map(|(name, _)| name.to_ascii_lowercase());
    let Some(given) = name(&format!("http://{host}")) else {
        return false;
    };
    given.parse::<IpAddr>().is_ok() || given == "localhost" || Some(given) == name(own_url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::{HeaderName, HeaderValue};

    fn elsewhere(path: &str, headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        comes_from_elsewhere(&map, path, Some("https://files.example"))
    }

    const PAGE: &str = "/console/contents/x/delete";
    const LOCAL: (&str, &str) = ("host", "127.0.0.1:8000");

    // If this fails, any page on the web deletes contents through the browser of who visits it.
    #[test]
    fn pages_of_others_change_nothing() {
        let site = |site| elsewhere(PAGE, &[LOCAL, ("sec-fetch-site", site)]);
        assert!(!site("same-origin"));
        assert!(site("cross-site") && site("same-site"));
        let origin = |origin| elsewhere(PAGE, &[LOCAL, ("origin", origin)]);
        assert!(!origin("http://127.0.0.1:8000"));
        assert!(
            origin("http://127.0.0.1:8001") && origin("https://evil.example") && origin("null")
        );
        assert!(elsewhere(PAGE, &[LOCAL]));
    }

    // If this fails, a name that a stranger lets point to this machine makes his pages ours.
    #[test]
    fn a_strangers_name_for_this_machine_is_not_ours() {
        let under = |host| elsewhere(PAGE, &[("host", host), ("sec-fetch-site", "same-origin")]);
        assert!(!under("127.0.0.1:8000") && !under("[::1]:8000") && !under("localhost:8000"));
        assert!(!under("files.example"));
        assert!(under("rebound.evil.example:8000") && under(""));
    }

    // If this fails, such a page deletes contents through the JSON API instead.
    #[test]
    fn a_strangers_name_opens_the_json_api_to_no_page() {
        let rebound = ("host", "rebound.evil.example:8000");
        for header in [
            ("sec-fetch-site", "same-origin"),
            ("origin", "http://rebound.evil.example:8000"),
        ] {
            assert!(elsewhere("/content/x", &[rebound, header]));
        }
        assert!(!elsewhere("/content/x", &[rebound]), "a program");
    }

    // If this fails, a server that asks for a key cannot be used under its name in the house.
    #[test]
    fn a_cookie_belongs_to_a_name() {
        let mut headers = HeaderMap::new();
        headers.append(HOST, HeaderValue::from_static("server:8000"));
        headers.append(
            HeaderName::from_static(SITE),
            HeaderValue::from_static("same-origin"),
        );
        assert!(!comes_from_elsewhere(&headers, PAGE, None));
        assert!(comes_from_elsewhere(
            &headers,
            PAGE,
            Some("http://files.example")
        ));
    }

    // If this fails, nodes and command lines are refused, or forms of others reach the JSON API.
    #[test]
    fn programs_use_the_json_api_and_pages_of_others_do_not() {
        assert!(!elsewhere("/rebalance", &[("host", "dist:8000")]));
        assert!(elsewhere(
            "/rebalance",
            &[LOCAL, ("sec-fetch-site", "cross-site")]
        ));
        assert!(elsewhere(
            "/rebalance",
            &[LOCAL, ("origin", "https://evil.example")]
        ));
    }
}
