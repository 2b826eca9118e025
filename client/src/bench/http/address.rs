//! An address to connect to, taken out of a base URI.

use std::str::FromStr;

use reqwest::Url;

/// Where to connect, and what to say there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Host and port, for the socket.
    pub socket: String,
    /// The value of the header `Host`.
    pub host: String,
    /// The path before every route, without a slash at the end; mostly empty.
    pub prefix: String,
}

/// The benchmark cannot use a URI.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an http:// URL; the benchmark speaks plain HTTP only")]
pub struct ParseAddressError(String);

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ParseAddressError(text.to_owned());
        let url = Url::parse(text).map_err(|_| refused())?;
        if url.scheme() != "http" {
            return Err(refused());
        }
        let name = url.host_str().ok_or_else(refused)?;
        let host = match url.port() {
            Some(port) => format!("{name}:{port}"),
            None => name.to_owned(),
        };
        let socket = format!("{name}:{}", url.port().unwrap_or(80));
        Ok(Address {
            socket,
            host,
            prefix: url.path().trim_end_matches('/').to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // If this fails, the benchmark talks to another service than it was told to.
    #[test]
    fn uris_are_taken_apart() {
        let address: Address = "http://127.0.0.1:8002/store".parse().expect("an address");
        assert_eq!(address.socket, "127.0.0.1:8002");
        assert_eq!(
            (address.host.as_str(), address.prefix.as_str()),
            ("127.0.0.1:8002", "/store")
        );
        let address: Address = "http://files.example.com/".parse().expect("an address");
        assert_eq!(address.socket, "files.example.com:80");
        assert_eq!(
            (address.host.as_str(), address.prefix.as_str()),
            ("files.example.com", "")
        );
        let address: Address = "http://[::1]:9/".parse().expect("an address");
        assert_eq!(address.socket, "[::1]:9");
    }

    // If this fails, a benchmark over TLS measures nothing and says nothing.
    #[test]
    fn other_schemes_are_refused() {
        for text in ["https://host", "host:80", ""] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }
}
