//! Why an HTTP exchange gave no result, told apart by what it means.
//!
//! Pure but for reading the clock of a date. Says above all whether the request may have been
//! executed: a status of the list below means that it was not (bridge: sending).

use std::{
    error::Error,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::client;
use crate::{
    upstream::{ConnectError, LinkEnd, RequestError},
    wire::ErrorObject,
};

/// Why an exchange gave no result.
#[derive(Debug)]
pub(super) enum Fault {
    /// The server was not reached: not executed.
    Unreached(String),
    /// It refused our credentials: not executed.
    Credentials(String),
    /// It does not know the session any more: not executed.
    SessionOver,
    /// It has too much to do, or takes no more on this connection: not executed.
    Busy { retry_after: Option<Duration>, why: String },
    /// It does not take such a request: not executed, and sending it again is useless.
    Refused { status: u16, why: String },
    /// Nobody knows whether it was executed.
    Unknown { status: Option<u16>, retry_after: Option<Duration>, why: String },
    /// It answered with an error of its own.
    Server(ErrorObject),
    /// It answered with something that is none.
    Malformed(String),
}

/// What is known of an answer's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub(super) status: u16,
    pub(super) retry_after: Option<&'a str>,
    pub(super) location: Option<&'a str>,
    /// The request named a session.
    pub(super) in_session: bool,
    /// The request carried credentials.
    pub(super) with_credentials: bool,
}

impl Head<'_> {
    /// What a status outside 200 to 299 means by itself. `None` where a JSON-RPC error in the body
    /// says more.
    pub(super) fn verdict(&self) -> Option<Fault> {
        let status = self.status;
        Some(match status {
            401 if self.with_credentials => Fault::Credentials(
                "the server refused the credentials of its headers or url (401)".to_owned(),
            ),
            401 => Fault::Credentials(
                "the server asks for credentials (401): give it headers.Authorization".to_owned(),
            ),
            404 if self.in_session => Fault::SessionOver,
            429 => Fault::Busy {
                retry_after: self.retry_after(),
                why: "the server has too many requests (429)".to_owned(),
            },
            _ => return None,
        })
    }

    /// What a status outside 200 to 299 means where its body says nothing of use.
    pub(super) fn without_words(&self) -> Fault {
        let status = self.status;
        let refused = |why: &str| Fault::Refused { status, why: format!("{why} ({status})") };
        match status {
            300..400 => {
                let place =
                    self.location.map_or_else(String::new, |to| format!(" to {}", bare(to)));
                refused(&format!("the server redirects{place}; put the final address into its url"))
            }
            // One forbidden call says nothing of the others.
            403 => refused("the server denies us access"),
            405 => refused("the server takes no POST at the path of its url"),
            406 => refused("the server gives no answer in JSON or as an event stream"),
            413 => refused("the request is too large for the server"),
            415 => refused("the server takes no JSON"),
            _ => {
                let what = match status {
                    404 => "the server knows nothing at the path of its url; many answer at /mcp",
                    400..500 => "the server refused the request",
                    _ => "the server failed",
                };
                Fault::Unknown {
                    status: Some(status),
                    retry_after: self.retry_after(),
                    why: format!("{what} ({status})"),
                }
            }
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        let text = self.retry_after?.trim();
        let asked = if let Ok(seconds) = text.parse() {
            Duration::from_secs(seconds)
        } else {
            let date = httpdate::parse_http_date(text).ok()?;
            date.duration_since(SystemTime::now()).unwrap_or_default()
        };
        Some(asked.min(LONGEST_PAUSE))
    }
}

/// No server is taken at its word for longer.
const LONGEST_PAUSE: Duration = Duration::from_hours(24);

/// An address without what may be secret in it.
fn bare(location: &str) -> &str {
    let end = location.find(['?', '#']).unwrap_or(location.len());
    let (address, _) = location.split_at(end);
    if address.contains('@') { "another place" } else { address }
}

/// What went wrong below HTTP, in the words of whoever noticed first. Quotes no address.
fn why(error: &(dyn Error + 'static)) -> String {
    let mut deepest = None;
    let mut cause = error.source();
    while let Some(source) = cause {
        deepest = Some(source.to_string());
        cause = source.source();
    }
    let words = deepest.unwrap_or_else(|| error.to_string());
    let about = |text: &str| words.contains(text);
    if about("certificate") || about("HandshakeFailure") || about("peer is incompatible") {
        return format!("TLS failed: {words}");
    }
    if about("InvalidContentType") || about("corrupt message") {
        return "TLS failed: the server does not speak TLS there; is it http:// ?".to_owned();
    }
    if about("lookup") {
        return format!("its host name cannot be resolved: {words}");
    }
    words
}

impl Fault {
    /// What a failed exchange means, by where it failed.
    pub(super) fn of_transport(error: &(dyn Error + 'static)) -> Self {
        let why = why(error);
        if client::is_turned_away(error) {
            return Self::Busy { retry_after: None, why: format!("turned away: {why}") };
        }
        if client::is_unreached(error) {
            return Self::Unreached(format!("not reached: {why}"));
        }
        Self::Unknown {
            status: None,
            retry_after: None,
            why: format!("the connection broke before the answer was complete: {why}"),
        }
    }

    /// A request that is answered as one in an unknown session is, in a session that is known.
    pub(super) fn not_the_session() -> Self {
        Self::Malformed("404, as if its session were unknown, which the server knows".to_owned())
    }

    /// The link's end that it means; most leave the link as it is.
    pub(super) fn end(&self) -> Option<LinkEnd> {
        match self {
            Self::Unreached(why) => Some(LinkEnd::Transport(why.clone())),
            Self::Credentials(why) => Some(LinkEnd::Refused(why.clone())),
            Self::SessionOver => Some(LinkEnd::SessionOver),
            Self::Busy { .. }
            | Self::Refused { .. }
            | Self::Unknown { .. }
            | Self::Server(_)
            | Self::Malformed(_) => None,
        }
    }

    /// For whoever waits for a request's answer. `asked` is when it was sent.
    pub(super) fn of_request(self, asked: Instant) -> RequestError {
        if let Some(end) = self.end() {
            return RequestError::NotSent(end);
        }
        match self {
            Self::Busy { retry_after, .. } => RequestError::Busy { retry_after },
            Self::Refused { why, .. } => RequestError::Refused(why),
            Self::Server(error) => RequestError::Server(error),
            Self::Malformed(why) => RequestError::Malformed(why),
            Self::Unknown { why, .. } | Self::Unreached(why) | Self::Credentials(why) => {
                RequestError::Lost { end: LinkEnd::Transport(why), written: asked }
            }
            Self::SessionOver => RequestError::NotSent(LinkEnd::SessionOver),
        }
    }

    /// For whoever tries to connect.
    pub(super) fn of_connect(self, method: &'static str) -> ConnectError {
        match self {
            Self::Credentials(why) | Self::Refused { status: 403, why } => {
                ConnectError::Credentials(why)
            }
            Self::Busy { retry_after: Some(retry_after), why }
            | Self::Unknown { retry_after: Some(retry_after), why, .. } => {
                ConnectError::Busy { why, retry_after }
            }
            Self::Unreached(why)
            | Self::Busy { why, .. }
            | Self::Refused { why, .. }
            | Self::Unknown { why, .. }
            // A proxy before it may say so while the server is away, so it is no reason to give up.
            | Self::Malformed(why) => ConnectError::Transport(why),
            Self::SessionOver => ConnectError::Transport(LinkEnd::SessionOver.to_string()),
            Self::Server(error) => {
                ConnectError::Refused { method, code: error.code(), message: error.message() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16) -> Head<'static> {
        Head {
            status,
            retry_after: None,
            location: None,
            in_session: false,
            with_credentials: false,
        }
    }

    fn fault(head: Head<'_>) -> Fault {
        head.verdict().unwrap_or_else(|| head.without_words())
    }

    #[test]
    fn a_status_says_whether_the_request_ran() {
        let error = |status| fault(head(status)).of_request(Instant::now());
        assert!(matches!(error(401), RequestError::NotSent(LinkEnd::Refused(_))));
        assert!(matches!(fault(head(403)).of_connect("x"), ConnectError::Credentials(_)));
        for status in [301, 308, 403, 405, 406, 413, 415] {
            assert!(matches!(error(status), RequestError::Refused(_)), "{status}");
        }
        for status in [400, 404, 409, 500, 502, 503, 504] {
            assert!(matches!(error(status), RequestError::Lost { .. }), "{status}");
        }
        assert!(matches!(error(429), RequestError::Busy { retry_after: None }));
        let gone = fault(Head { in_session: true, ..head(404) });
        assert!(matches!(gone.end(), Some(LinkEnd::SessionOver)));
    }

    #[test]
    fn a_server_says_when_to_come_again_in_seconds_or_by_date() {
        let after = |text| {
            let head = Head { retry_after: Some(text), ..head(503) };
            let Fault::Unknown { retry_after, .. } = fault(head) else { panic!("{text}") };
            retry_after
        };
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_mins(2));
        assert!((115..=120).contains(&after(&date).unwrap().as_secs()));
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn a_redirect_is_told_without_its_secrets() {
        for (location, expected) in [
            ("https://other.example/mcp?token=hush#x", "to https://other.example/mcp;"),
            ("https://a:hush@other.example/", "to another place;"),
            ("/mcp/", "to /mcp/;"),
        ] {
            let Fault::Refused { why, .. } = fault(Head { location: Some(location), ..head(307) })
            else {
                panic!("{location}")
            };
            assert!(why.contains(expected) && !why.contains("hush"), "{why}");
        }
    }
}
