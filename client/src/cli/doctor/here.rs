//! What can be told without asking anybody: settings, and this machine.

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use rustix::fs::statvfs;
use wire::nodes_file::NodesFile;

use crate::api::Endpoint;
use crate::ui::human;

use super::finding::Finding;

/// Below this a download of some size fails: `get` writes where it is called.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// Environment variables by which requests take a way of their own.
const PROXIES: [&str; 6] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
];

/// Whom this client asks, and with which key.
pub(super) fn settings(endpoints: &[Endpoint], has_key: bool) -> Vec<Finding> {
    let urls: Vec<&str> = endpoints.iter().map(Endpoint::as_str).collect();
    let asked = Finding::ok("configuration", "--url", urls.join(", "));
    let key = if has_key {
        "one is given"
    } else {
        "none is given"
    };
    let key = Finding::ok("configuration", "access key", key);
    let open = urls.iter().find(|url| has_key && !is_safe(url));
    vec![
        asked,
        match open {
            Some(url) => {
                let found = format!("it crosses the network in plain on its way to {url}");
                Finding::ok("configuration", "access key", found)
                    .advise("put a proxy that speaks TLS before it, unless you trust the network")
            }
            None => key,
        },
    ]
}

/// Whether nobody on the way can read what goes there.
fn is_safe(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else {
        return false;
    };
    let host = url.host_str().unwrap_or_default();
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    let here = match address {
        Ok(IpAddr::V6(Ipv6Addr::LOCALHOST)) => true,
        Ok(address) => address.is_loopback(),
        Err(_) => host == "localhost",
    };
    url.scheme() == "https" || here
}

/// Whether requests go through a proxy, by this environment.
pub(super) fn proxies(variable: impl Fn(&str) -> Option<String>) -> Option<Finding> {
    let set = PROXIES.into_iter().find_map(|name| {
        let value = variable(name).filter(|value| !value.is_empty())?;
        Some((name, value))
    });
    let (name, value) = set?;
    let found = format!("requests go through {}", without_user(&value));
    let remedy =
        "unset it, or name the cluster's hosts in NO_PROXY, if the services are not reached";
    Some(Finding::ok("configuration", name, found).advise(remedy))
}

/// A proxy's address may hold a password.
fn without_user(value: &str) -> String {
    match value.rsplit_once('@') {
        Some((_, host)) => host.to_owned(),
        None => value.to_owned(),
    }
}

/// Reads the nodes file.
pub(super) fn nodes_file(path: &Path) -> (Option<NodesFile>, Finding) {
    let subject = path.display();
    let read = match std::fs::read_to_string(path) {
        Ok(text) => NodesFile::read(&text).map_err(|error| {
            let remedy = "correct it; docs/configuration.md says how it is written";
            Finding::ok("configuration", &subject, error.to_string()).demand(remedy)
        }),
        Err(error) => {
            let found = format!("cannot be read: {error}");
            Err(Finding::ok("configuration", &subject, found).demand("name another file"))
        }
    };
    match read {
        Ok(file) => {
            let (distributors, nodes) = (file.distributors().count(), file.storage_nodes().count());
            let found = format!("names {distributors} distributors and {nodes} nodes");
            (Some(file), Finding::ok("configuration", subject, found))
        }
        Err(finding) => (None, finding),
    }
}

/// The room where downloads go.
pub(super) fn room(folder: &Path) -> Finding {
    let subject = "this machine";
    match statvfs(folder) {
        Ok(system) => free(system.f_bavail.saturating_mul(system.f_frsize)),
        Err(error) => Finding::ok(
            "storage",
            subject,
            format!("cannot ask for its room: {error}"),
        )
        .advise("is this folder still there?"),
    }
}

fn free(bytes: u64) -> Finding {
    let found = format!("{} free in this folder", human::size(bytes));
    let finding = Finding::ok("storage", "this machine", found);
    if bytes < FREE_BYTES_MIN {
        finding.advise("make room before you `get` something large, or get it into another folder")
    } else {
        finding
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Level;

    fn levels(findings: &[Finding]) -> Vec<Level> {
        findings.iter().map(|finding| finding.level).collect()
    }

    // If this fails, nobody is told that a key can be read on its way, or somebody is without reason.
    #[test]
    fn a_key_in_plain_beyond_this_machine_is_told() {
        let told =
            |url: &str, has_key| levels(&settings(&[url.parse().expect("a URL")], has_key))[1];
        assert_eq!(told("http://files.example.com", true), Level::Advice);
        assert_eq!(told("http://10.0.0.1:8000", true), Level::Advice);
        for safe in [
            "https://files.example.com",
            "http://127.0.0.1:8000",
            "http://[::1]:8000",
            "http://localhost:8000",
        ] {
            assert_eq!(told(safe, true), Level::Ok, "{safe}");
        }
        assert_eq!(
            told("http://files.example.com", false),
            Level::Ok,
            "no key, no secret"
        );
    }

    // If this fails, a proxy that swallows requests is not suspected, or its password is printed.
    #[test]
    fn a_proxy_is_told_without_its_password() {
        let with = |name: &'static str, value: &'static str| {
            proxies(move |asked| (asked == name).then(|| value.to_owned()))
        };
        let found = with("HTTPS_PROXY", "http://me:secret@proxy:3128").expect("told");
        assert_eq!(
            (found.level, found.subject.as_str()),
            (Level::Advice, "HTTPS_PROXY")
        );
        assert_eq!(found.found, "requests go through proxy:3128");
        assert_eq!(with("http_proxy", ""), None);
        assert_eq!(with("no_proxy", "x"), None);
    }

    // If this fails, a file with a mistake is taken for a good one, or ends the command.
    #[test]
    fn a_nodes_file_is_read_or_its_mistake_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("nodes.yml");
        let (file, missing) = nodes_file(&path);
        assert!(file.is_none() && missing.level == Level::Problem);
        std::fs::write(&path, "nodes: {dist: {host: a, port: 0}}").expect("writes");
        let (file, wrong) = nodes_file(&path);
        assert!(
            file.is_none() && wrong.found.contains("dist: port"),
            "{}",
            wrong.found
        );
        std::fs::write(
            &path,
            "nodes: {dist: {host: a, port: 1}, n: {host: b, port: 2}}",
        )
        .expect("writes");
        let (file, good) = nodes_file(&path);
        assert!(file.is_some());
        assert_eq!(
            (good.level, good.found.as_str()),
            (Level::Ok, "names 1 distributors and 1 nodes")
        );
    }

    // If this fails, a full disk here is noticed only in the middle of a download.
    #[test]
    fn little_room_is_told() {
        assert_eq!(free(FREE_BYTES_MIN).level, Level::Ok);
        assert_eq!(free(FREE_BYTES_MIN - 1).level, Level::Advice);
        let gone = room(Path::new("there/is/no/such/folder"));
        assert_eq!(gone.level, Level::Advice);
    }
}
