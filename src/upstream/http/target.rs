//! Where a server is: its address, the headers of every request to it, and the client.
//!
//! Pools are kept for each link, so that a new link resolves names anew and meets no dead
//! connection of the last one.

use std::{path::PathBuf, time::Duration};

use data_encoding::BASE64;
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{AUTHORIZATION, USER_AGENT},
};
use percent_encoding::percent_decode_str;
use url::Url;

use super::{HttpConfig, client::Client, is_ours};
use crate::{secret::Secret, upstream::ConnectError};

/// Characters from which on a part of a header or a query is taken for a secret of its own.
const PART: usize = 6;
/// Characters from which on a segment of a path is: addresses with a token in them exist.
const PATH_PART: usize = 16;
/// Who asks, unless the configuration says otherwise.
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("switchboard/", env!("CARGO_PKG_VERSION")));

/// Where a server is.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) client: Client,
    /// The address of every request.
    pub(super) uri: Uri,
    /// The headers of every request.
    pub(super) headers: HeaderMap,
    has_credentials: bool,
    secrets: Vec<Secret>,
}

impl Target {
    /// Reads a definition. `connect` bounds one attempt to reach the server.
    ///
    /// # Errors
    /// [`ConnectError::Configuration`], in words that quote no secret.
    pub(super) fn new(config: &HttpConfig, connect: Duration) -> Result<Self, ConnectError> {
        let wrong = |why: String| ConnectError::Configuration(why);
        let (url, socket) = address(&config.url).map_err(wrong)?;
        let mut headers = headers(config).map_err(wrong)?;
        let mut secrets = secrets(config, &url);
        if let Some(login) = login(&url) {
            let words = login.to_str().unwrap_or_default().split_whitespace();
            secrets.extend(words.skip(1).map(Secret::from));
            headers.entry(AUTHORIZATION).or_insert(login);
        }
        let has_credentials = !headers.is_empty();
        headers.entry(USER_AGENT).or_insert(AGENT);
        let client = match socket {
            Some(socket) => Client::of_socket(&socket),
            None => Client::of_network(url.scheme() == "https", connect)
                .map_err(|error| wrong(format!("no TLS for its url: {error}")))?,
        };
        let uri = bare(url).map_err(wrong)?;
        Ok(Self { client, uri, headers, has_credentials, secrets })
    }

    /// What must never be quoted.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.secrets.iter()
    }

    /// Whether the configuration gives credentials.
    pub(super) const fn has_credentials(&self) -> bool {
        self.has_credentials
    }
}

/// The login that an address names (RFC 7617).
fn login(url: &Url) -> Option<HeaderValue> {
    let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut words = decoded(url.username());
    words.push(b':');
    words.extend(decoded(url.password().unwrap_or_default()));
    let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64.encode(&words))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// An address as requests name it: without login and fragment.
fn bare(mut url: Url) -> Result<Uri, String> {
    url.set_fragment(None);
    // They fail for addresses that can have none.
    url.set_username("").and_then(|()| url.set_password(None)).ok();
    Uri::try_from(url.as_str()).map_err(|error| format!("its url cannot be used: {error}"))
}

/// What a server may repeat of what it was given: whole headers and queries, and their parts, such
/// as the token behind `Bearer`. Short parts are words rather than secrets.
fn secrets(config: &HttpConfig, url: &Url) -> Vec<Secret> {
    let mut secrets: Vec<Secret> = config.headers.values().cloned().collect();
    secrets.extend(url.query().map(Secret::from));
    // A login without a password is a token.
    let token = url.password().is_none().then(|| url.username()).filter(|name| !name.is_empty());
    for word in url.password().into_iter().chain(token) {
        secrets.push(Secret::from(word));
        secrets.push(Secret::from(&*percent_decode_str(word).decode_utf8_lossy()));
    }
    let headers = config.headers.values().flat_map(|value| value.expose().split_whitespace());
    let queries = url.query().into_iter().flat_map(|query| query.split(['&', '=']));
    let parts = headers.chain(queries).filter(|part| part.len() >= PART);
    let paths = url.path().split('/').filter(|part| part.len() >= PATH_PART);
    secrets.extend(parts.chain(paths).map(Secret::from));
    secrets.extend(
        url.query_pairs().filter(|(_, it)| it.len() >= PART).map(|(_, it)| Secret::from(&*it)),
    );
    secrets
}

/// The address of requests, and the socket that they go through where it is not the network's.
fn address(text: &str) -> Result<(Url, Option<PathBuf>), String> {
    let url = Url::parse(text).map_err(|error| format!("its url cannot be read: {error}"))?;
    match url.scheme() {
        "http" | "https" => Ok((url, None)),
        "unix" => {
            let path = url.fragment().filter(|path| path.starts_with('/')).ok_or(
                "the url of a unix socket names the endpoint behind `#`, such as \
                 unix:///run/server.sock#/mcp",
            )?;
            let socket = PathBuf::from(url.path());
            let url = Url::parse("http://localhost").and_then(|base| base.join(path));
            Ok((url.map_err(|error| format!("its url cannot be read: {error}"))?, Some(socket)))
        }
        other => Err(format!("its url starts with {other}://; http, https and unix are known")),
    }
}

fn headers(config: &HttpConfig) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("headers has {name:?}, which is no header name"))?;
        if is_ours(header.as_str()) {
            return Err(format!("headers.{name} is set by switchboard itself; remove it"));
        }
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| {
            format!("headers.{name} has characters that a header cannot carry, such as a line end")
        })?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, headers: &[(&str, &str)]) -> Result<Target, ConnectError> {
        let headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), Secret::from(*value)));
        let config = HttpConfig { url: url.to_owned(), headers: headers.collect() };
        Target::new(&config, Duration::from_secs(1))
    }

    #[tokio::test]
    async fn an_address_is_of_the_network_or_of_a_socket() {
        let plain =
            target("https://user:hush@example.org/mcp?key=hush", &[("X-Key", "k")]).unwrap();
        for secret in ["k", "key=hush", "hush", "dXNlcjpodXNo"] {
            assert!(plain.secrets().any(|it| it.expose() == secret), "{secret}");
        }
        let token = target("https://p%40ss@example.org", &[]).unwrap();
        assert!(token.secrets().any(|it| it.expose() == "p@ss"));
        assert!(format!("{:?}", plain.headers).contains("Sensitive"));
        let (url, socket) = address("unix:///run/my%20server.sock#/mcp").unwrap();
        assert_eq!(url.as_str(), "http://localhost/mcp");
        assert_eq!(socket.unwrap(), PathBuf::from("/run/my%20server.sock"));
    }

    #[tokio::test]
    async fn what_is_wrong_is_said_without_the_secret() {
        for (url, headers, expected) in [
            ("unix:///run/x.sock", &[][..], "behind `#`"),
            ("ftp://example.org", &[], "ftp://"),
            ("example.org/mcp", &[], "cannot be read"),
            ("http://a", &[("Mcp-Session-Id", "hush")], "set by switchboard"),
            ("http://a", &[("Host", "hush")], "set by switchboard"),
            ("http://a", &[("X-A", "hush\nhush")], "line end"),
            ("http://a", &[("X A", "hush")], "no header name"),
        ] {
            let error = target(url, headers).unwrap_err();
            assert!(matches!(error, ConnectError::Configuration(_)));
            let text = error.to_string();
            assert!(text.contains(expected) && !text.contains("hush"), "{text}");
        }
    }
}
