//! What each route asks of a caller, and whom a browser may call for: pure.

use actix_web::http::Method;
use service::access::Need;

/// What a request to this path needs.
pub(super) fn need(method: &Method, path: &str) -> Need {
    let changes = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let mut segments = path.trim_start_matches('/').split('/');
    let first = segments.next().unwrap_or("");
    match first {
        // The router takes escapes apart, and may find what is not named here; no path of ours has one.
        _ if path.contains('%') => Need::Service,
        "console" => need_of_page(changes, segments.next().unwrap_or(""), segments.next_back()),
        "health" | "openapi.json" | "docs" => Need::Nothing,
        "shards" if path.trim_end_matches('/').ends_with("/recover") => Need::Write,
        "shards" => Need::Service,
        "nodes" if path.trim_end_matches('/').ends_with("/heartbeat") => Need::Service,
        // A listing goes to the collection, a client's change to one content.
        "content" if *method == Method::POST => Need::Service,
        // A place is only good for an upload.
        "store" => Need::Write,
        _ if changes => Need::Write,
        _ => Need::Read,
    }
}

/// What a page of the console needs: a form is only shown to who may send it.
fn need_of_page(changes: bool, page: &str, last: Option<&str>) -> Need {
    match (page, last) {
        ("assets" | "sign-in" | "sign-out", _) => Need::Nothing,
        ("upload", _) | (_, Some("delete")) => Need::Write,
        _ if changes => Need::Write,
        _ => Need::Read,
    }
}

/// Whether a path is a page of the console, or belongs to one.
pub(super) fn is_console(path: &str) -> bool {
    let mut segments = path.trim_start_matches('/').split('/');
    matches!(segments.next(), Some("" | "console")) || path.contains('%')
}

/// The origin of a URL: scheme, host and port, as a browser writes it.
pub(super) fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest
        .split(['/', '?', '#'])
        .next()
        .filter(|text| !text.is_empty())?;
    let default = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let authority = authority.strip_suffix(default).unwrap_or(authority);
    Some(format!("{scheme}://{}", authority.to_ascii_lowercase()))
}

/// The host and the port of a URL.
pub(super) fn host_and_port(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let default = if scheme == "https" { 443 } else { 80 };
    let authority = rest.split(['/', '?', '#']).next()?;
    if let Some(address) = authority.strip_prefix('[') {
        let (host, port) = address.split_once(']')?;
        let port = port
            .strip_prefix(':')
            .map_or(Some(default), |port| port.parse().ok())?;
        return Some((host.to_owned(), port));
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host.to_owned(), port.parse().ok()?)),
        None => Some((authority.to_owned(), default)),
    }
}

#[cfg(test)]
mod tests {
    use super::{host_and_port, need, origin};
    use actix_web::http::Method;
    use service::access::Need;

    // If this fails, a stranger lists contents, moves shards, or is asked for a key to see health.
    #[test]
    fn every_route_has_its_need() {
        let cases = [
            (Method::GET, "/health/live", Need::Nothing),
            (Method::GET, "/health/ready", Need::Nothing),
            (Method::GET, "/store", Need::Write),
            (Method::GET, "/content", Need::Read),
            (Method::HEAD, "/content/x", Need::Read),
            (Method::POST, "/content", Need::Service),
            (Method::PUT, "/content/x", Need::Write),
            (Method::DELETE, "/content/x", Need::Write),
            (Method::GET, "/nodes", Need::Read),
            (Method::POST, "/nodes/node1/heartbeat", Need::Service),
            (Method::POST, "/nodes/node1/heartbeat/", Need::Service),
            (Method::POST, "/nodes/node1/drain", Need::Write),
            (Method::DELETE, "/nodes/node1/drain", Need::Write),
            (Method::DELETE, "/nodes/node1", Need::Write),
            (Method::POST, "/rebalance", Need::Write),
            (Method::GET, "/shards", Need::Service),
            (Method::GET, "/shards/1", Need::Service),
            (Method::POST, "/shards/1", Need::Service),
            (Method::POST, "//shards/1", Need::Service),
            (Method::POST, "/%73hards/1", Need::Service),
            (Method::POST, "/nodes/node1/%68eartbeat", Need::Service),
            (Method::POST, "/shards/1%2Frecover", Need::Service),
            (Method::POST, "/shards/1/recover", Need::Write),
            (Method::GET, "/recovery", Need::Read),
            (Method::GET, "/stats", Need::Read),
            (Method::GET, "/metrics", Need::Read),
            (Method::GET, "/anything", Need::Read),
            (Method::DELETE, "/anything", Need::Write),
            (Method::GET, "/", Need::Read),
            (Method::GET, "/console/live", Need::Read),
            (Method::GET, "/console/contents/x/bytes", Need::Read),
            (Method::GET, "/console/contents/x/delete", Need::Write),
            (Method::POST, "/console/contents/x/delete", Need::Write),
            (Method::GET, "/console/upload", Need::Write),
            (Method::PUT, "/console/store", Need::Write),
            (Method::PUT, "/console/contents/x", Need::Write),
            (Method::GET, "/console/assets/console.css", Need::Nothing),
            (Method::POST, "/console/sign-in", Need::Nothing),
            (Method::POST, "/console/sign-out", Need::Nothing),
        ];
        for (method, path, expected) in cases {
            assert_eq!(need(&method, path), expected, "{method} {path}");
        }
    }

    // If this fails, the pages of a distributor cannot call it, or those of others can.
    #[test]
    fn origins_are_written_as_browsers_do() {
        assert_eq!(
            origin("http://A.example:8000/x").as_deref(),
            Some("http://a.example:8000")
        );
        assert_eq!(
            origin("https://a.example:443").as_deref(),
            Some("https://a.example")
        );
        assert_eq!(origin("http://[::1]:80/").as_deref(), Some("http://[::1]"));
        assert_eq!(origin("ftp://a"), None);
        assert_eq!(origin("http://"), None);
    }

    // If this fails, `GET /nodes` names a host or a port that nobody can reach.
    #[test]
    fn hosts_and_ports_are_taken_apart() {
        let cases = [
            ("http://a:8001", Some(("a", 8001))),
            ("https://a/x", Some(("a", 443))),
            ("http://[::1]:8001", Some(("::1", 8001))),
            ("http://[::1]", Some(("::1", 80))),
            ("http://a:x", None),
            ("a:1", None),
        ];
        for (url, expected) in cases {
            let expected = expected.map(|(host, port): (&str, u16)| (host.to_owned(), port));
            assert_eq!(host_and_port(url), expected, "{url}");
        }
    }
}
