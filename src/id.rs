//! Names and numbers that identify things: agents, servers, incarnations, owners.
//!
//! Validated when they are built, cheap to clone. They never carry meaning beyond identity.

use std::{fmt, sync::Arc};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};

/// A name that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} {why}")]
pub struct NameError {
    what: &'static str,
    name: String,
    why: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks and wraps a name.
            ///
            /// # Errors
            /// [`NameError`] says what is wrong with it.
            pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
                let name = name.as_ref();
                match $check(name) {
                    Ok(()) => Ok(Self(name.into())),
                    Err(why) => Err(NameError { what: $what, name: name.to_owned(), why }),
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::new(name)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(D::Error::custom)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string" })
            }
        }
    };
}

name!(
    /// An agent's name: 1 to 64 of `A-Z a-z 0-9 _ . -`, because it is a path segment of the MCP
    /// endpoint. `store` is taken by the store.
    AgentId,
    "agent",
    check_agent
);

name!(
    /// A server's name as a configuration gives it: 1 to 128 bytes without control characters
    /// or surrounding white space. Spaces are allowed, because MCP clients write them.
    ServerName,
    "server",
    check_server
);

fn check_agent(name: &str) -> Result<(), &'static str> {
    if name == "store" {
        return Err("is reserved for the store; choose another name");
    }
    if name.is_empty() || name.len() > 64 {
        return Err("must have 1 to 64 characters");
    }
    if name.starts_with('.') {
        return Err("must not start with a dot");
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
        return Err("may contain only letters, digits, '_', '.' and '-'");
    }
    Ok(())
}

fn check_server(name: &str) -> Result<(), &'static str> {
    if name.is_empty() || name.len() > 128 {
        return Err("must have 1 to 128 bytes");
    }
    if name.trim() != name {
        return Err("must not start or end with white space");
    }
    if name.chars().any(char::is_control) {
        return Err("must not contain control characters");
    }
    Ok(())
}

/// Who owns a connection or a view: the store, or one agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The scope of all top-level servers.
    Store,
    /// One agent.
    Agent(AgentId),
}

impl Owner {
    /// The owner's name: `store`, or the agent's.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Store => "store",
            Self::Agent(agent) => agent.as_str(),
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Owner {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name == Self::Store.as_str() {
            return Ok(Self::Store);
        }
        AgentId::new(name).map(Self::Agent).map_err(D::Error::custom)
    }
}

/// A session that has connections of its own to servers with `isolation = "session"`.
///
/// Derived from what identifies the session, which it does not give away: it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionKey(Arc<str>);

impl SessionKey {
    /// The key of a session, or of whatever stands for one, by its identity.
    pub fn of(identity: &str) -> Self {
        let digest = Sha256::digest(identity.as_bytes());
        let (short, _) = digest.split_at(6);
        Self(HEXLOWER.encode(short).into())
    }

    /// Twelve hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One connection among those that an owner has to a server: the common one, or a session's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat {
    /// The server.
    pub server: ServerName,
    /// Whose it is; `None` for the common one, which sorts first.
    pub session: Option<SessionKey>,
}

impl Seat {
    /// The common connection.
    pub const fn common(server: ServerName) -> Self {
        Self { server, session: None }
    }

    /// A session's own connection.
    pub const fn of_session(server: ServerName, session: SessionKey) -> Self {
        Self { server, session: Some(session) }
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.session {
            Some(session) => write!(f, "{} (session {session})", self.server),
            None => fmt::Display::fmt(&self.server, f),
        }
    }
}

/// Which life of a connection: 1 for the first, 0 before it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_when_they_are_built() {
        for good in ["a", "My Server", "@scope/pkg", "größe"] {
            assert_eq!(ServerName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", " a", "a\n", "a\u{0}b"] {
            assert!(ServerName::new(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "store", "a/b", "a b", "..", &"x".repeat(65)] {
            assert!(AgentId::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            AgentId::new("a/b").unwrap_err().to_string(),
            "agent \"a/b\" may contain only letters, digits, '_', '.' and '-'"
        );
    }
}
