//! Who may reach the listener: `Host` and `Origin` checks against DNS rebinding.
//!
//! On by default. The checks are decisions over text; they prove no identity.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::http::{
    HeaderMap, HeaderValue, Uri,
    header::{HOST, ORIGIN},
    uri::Authority,
};

use super::{HttpFaceConfig, HttpFaceError};
use crate::error::Kind;

const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Whom the listener admits; may be another while it serves.
#[derive(Clone, Debug)]
pub struct Door {
    /// The host that it listens on, which stays.
    host: String,
    admission: Arc<ArcSwap<Admission>>,
}

impl Door {
    /// With the names and origins of the settings.
    pub(super) fn new(config: &HttpFaceConfig) -> Result<Self, HttpFaceError> {
        let admission = Arc::new(ArcSwap::from_pointee(Admission::new(config)?));
        Ok(Self { host: config.host.clone(), admission })
    }

    /// Reads the names and origins of other settings, and changes nothing.
    ///
    /// # Errors
    /// [`HttpFaceError::Entry`].
    pub fn prepare(&self, config: &HttpFaceConfig) -> Result<Admission, HttpFaceError> {
        Admission::new(&HttpFaceConfig { host: self.host.clone(), ..config.clone() })
    }

    /// Whether a request may come in.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), (Kind, &'static str)> {
        self.admission.load().check(uri, headers)
    }

    /// Admits these from now on.
    pub fn commit(&self, admission: Admission) {
        self.admission.store(Arc::new(admission));
    }
}

/// The names and origins that are admitted.
#[derive(Clone, Debug)]
pub struct Admission {
    /// Lower case, IPv6 in brackets.
    hosts: Vec<String>,
    origins: Vec<Origin>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: Option<u16>,
}

impl Origin {
    fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let authority = uri.authority()?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return None;
        }
        let default = match &*scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        Some(Self { host: host(authority), port: authority.port_u16().or(default), scheme })
    }

    fn is_web(&self) -> bool {
        matches!(&*self.scheme, "http" | "https")
    }
}

fn host(authority: &Authority) -> String {
    authority.host().to_ascii_lowercase()
}

/// Whether a `Host` header names this authority.
fn is_same(authority: &Authority, header: &HeaderValue) -> bool {
    Authority::try_from(header.as_bytes()).is_ok_and(|given| given == *authority)
}

fn parse_host(entry: &str) -> Option<String> {
    // An IPv6 address is written without brackets where it cannot be mistaken.
    let bare_v6 = entry.parse::<std::net::Ipv6Addr>().is_ok();
    let text = if bare_v6 { format!("[{entry}]") } else { entry.to_owned() };
    let authority: Authority = text.parse().ok()?;
    Some(host(&authority))
}

impl Admission {
    /// Reads the settings.
    pub(super) fn new(config: &HttpFaceConfig) -> Result<Self, HttpFaceError> {
        let entry =
            |key, entry: &str, what| HttpFaceError::Entry { key, entry: entry.to_owned(), what };
        let mut hosts: Vec<String> = LOOPBACK.map(str::to_owned).into();
        let own = std::iter::once(("host", &config.host));
        let more = config.allowed_hosts.iter();
        for (key, name) in own.chain(more.map(|name| ("allowed_hosts", name))) {
            let host = parse_host(name).ok_or_else(|| entry(key, name, "a host name"))?;
            hosts.push(host);
        }
        let mut origins = Vec::new();
        for text in &config.allowed_origins {
            let what = "an origin such as https://app.example.com";
            origins.push(Origin::parse(text).ok_or_else(|| entry("allowed_origins", text, what))?);
        }
        if !config.public_url.is_empty() {
            let url = config.public_url.parse::<Uri>().ok();
            let authority = url.as_ref().and_then(Uri::authority);
            let what = "a URL such as https://mcp.example.com";
            let authority =
                authority.ok_or_else(|| entry("public_url", &config.public_url, what))?;
            hosts.push(host(authority));
            let scheme = url.as_ref().and_then(Uri::scheme_str).unwrap_or_default();
            origins.extend(Origin::parse(&format!("{scheme}://{authority}")));
        }
        Ok(Self { hosts, origins })
    }

    /// Whether a request may come in.
    fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), (Kind, &'static str)> {
        let mut given = headers.get_all(HOST).iter();
        let header = given.next();
        // Somebody between us may have read another one, or none.
        if given.next().is_some() || header.is_some_and(HeaderValue::is_empty) {
            return Err((Kind::Invalid, "a request has one `Host` header, which is not empty"));
        }
        let authority = match (uri.authority(), header) {
            (Some(authority), _) => Some(authority.clone()),
            (None, Some(header)) => Authority::try_from(header.as_bytes()).ok(),
            (None, None) => None,
        };
        let foreign = "this host name is not served here; server.allowed_hosts adds names";
        let ours = |host: &str| self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(host));
        // A user before the name is none of a `Host` (RFC 9110, section 4.2.4).
        let is_ours = |it: &Authority| ours(it.host()) && !it.as_str().contains('@');
        let authority = authority.filter(is_ours).ok_or((Kind::Denied, foreign))?;
        if header.is_some_and(|header| !is_same(&authority, header)) {
            return Err((Kind::Invalid, "`Host` is not the host of the request's target"));
        }
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else {
            return Ok(());
        };
        if origins.next().is_some() {
            return Err((Kind::Invalid, "a request has one `Origin` header at most"));
        }
        let origin = origin.to_str().ok().and_then(Origin::parse);
        let allowed = origin.is_some_and(|origin| {
            let loopback = origin.is_web() && LOOPBACK.contains(&&*origin.host);
            // The host is one of ours already, so a page from it is our own.
            let default = if origin.scheme == "https" { 443 } else { 80 };
            let own = origin.is_web()
                && origin.host == host(&authority)
                && origin.port == Some(authority.port_u16().unwrap_or(default));
            loopback || own || self.origins.contains(&origin)
        });
        if allowed {
            Ok(())
        } else {
            let foreign = "pages of this origin may not call; server.allowed_origins adds origins";
            Err((Kind::Denied, foreign))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(config: &HttpFaceConfig, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        let admission = Admission::new(config).unwrap();
        admission.check(&Uri::from_static("/mcp"), &headers).is_ok()
    }

    #[test]
    fn only_names_of_ours_are_served() {
        let config = HttpFaceConfig {
            host: "192.168.1.5".to_owned(),
            public_url: "https://mcp.example.com/base".to_owned(),
            allowed_hosts: vec!["Gateway".to_owned(), "fd00::1".to_owned()],
            ..HttpFaceConfig::default()
        };
        for fine in [
            "localhost",
            "LOCALHOST:9",
            "127.0.0.1:18200",
            "[::1]:18200",
            "192.168.1.5:80",
            "mcp.example.com",
            "gateway:1",
            "[fd00::1]",
        ] {
            assert!(admits(&config, fine, None), "{fine}");
        }
        for foreign in [
            "evil.example.com",
            "127.0.0.1.evil.com",
            "localhost.evil",
            "a@b@c",
            "evil.com@localhost",
        ] {
            assert!(!admits(&config, foreign, None), "{foreign}");
        }
        let admission = Admission::new(&config).unwrap();
        assert!(admission.check(&Uri::from_static("/"), &HeaderMap::new()).is_err());
    }

    #[test]
    fn a_request_has_one_host() {
        let admission = Admission::new(&HttpFaceConfig::default()).unwrap();
        let absolute = Uri::from_static("http://localhost/mcp");
        let relative = Uri::from_static("/mcp");
        for hosts in [&["localhost", "localhost"][..], &["localhost", "evil.example.com"], &[""]] {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, HeaderValue::from_static(host));
            }
            for uri in [&absolute, &relative] {
                let (kind, _) = admission.check(uri, &headers).unwrap_err();
                assert_eq!(kind, Kind::Invalid, "{uri} {hosts:?}");
            }
        }
    }

    #[test]
    fn the_target_and_the_host_are_one_and_so_is_the_origin() {
        let admission = Admission::new(&HttpFaceConfig::default()).unwrap();
        let target = Uri::from_static("http://localhost:18200/mcp");
        for (host, fine) in [("LOCALHOST:18200", true), ("localhost", false), ("evil.com", false)] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            assert_eq!(admission.check(&target, &headers).is_ok(), fine, "{host}");
        }
        let mut headers = HeaderMap::new();
        headers.append(ORIGIN, HeaderValue::from_static("http://localhost"));
        assert!(admission.check(&target, &headers).is_ok());
        headers.append(ORIGIN, HeaderValue::from_static("http://evil.example.com"));
        assert_eq!(admission.check(&target, &headers).unwrap_err().0, Kind::Invalid);
    }

    #[test]
    fn only_pages_of_ours_and_named_ones_may_call() {
        let config = HttpFaceConfig {
            public_url: "https://mcp.example.com".to_owned(),
            allowed_origins: vec!["https://app.example.com".to_owned()],
            ..HttpFaceConfig::default()
        };
        for (host, origin, fine) in [
            ("localhost", "http://localhost:5173", true),
            ("localhost", "https://[::1]", true),
            ("localhost", "https://app.example.com", true),
            ("localhost", "https://app.example.com:443", true),
            ("mcp.example.com", "https://mcp.example.com", true),
            ("localhost", "http://app.example.com", false),
            ("localhost", "https://app.example.com:8443", false),
            ("localhost", "https://evil.example.com", false),
            ("localhost", "ftp://localhost", false),
            ("localhost", "null", false),
            ("localhost", "", false),
        ] {
            assert_eq!(admits(&config, host, Some(origin)), fine, "{host} {origin}");
        }
    }

    #[test]
    fn entries_that_mean_nothing_are_named() {
        for (config, key) in [
            (
                HttpFaceConfig {
                    allowed_hosts: vec!["a b".to_owned()],
                    ..HttpFaceConfig::default()
                },
                "server.allowed_hosts",
            ),
            (
                HttpFaceConfig {
                    allowed_origins: vec!["app.example.com".to_owned()],
                    ..HttpFaceConfig::default()
                },
                "server.allowed_origins",
            ),
            (
                HttpFaceConfig { public_url: "/path".to_owned(), ..HttpFaceConfig::default() },
                "server.public_url",
            ),
        ] {
            let error = Admission::new(&config).unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }
}
