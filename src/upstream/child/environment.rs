//! Which variables a child sees: a short list of ours, what its entry asks for, and its own.
//!
//! A pure function, so that no secret of ours reaches a server by accident.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

use crate::upstream::stdio::{InheritEnv, StdioConfig};

/// What programs need to find their files, their language and the network.
const NAMES: [&str; 22] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "TERM",
    "LANG",
    "TZ",
    "TMPDIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
];
const PREFIXES: [&str; 2] = ["LC_", "XDG_"];

/// The whole environment of a child.
pub(super) fn of_child(
    ours: impl IntoIterator<Item = (OsString, OsString)>,
    config: &StdioConfig,
) -> BTreeMap<OsString, OsString> {
    let inherited = |name: &OsStr| match &config.inherit_env {
        InheritEnv::All => true,
        InheritEnv::Defaults => by_default(name),
        InheritEnv::Names(names) => by_default(name) || names.iter().any(|more| name == &**more),
    };
    let own = config.env.iter().map(|(name, value)| (name.into(), value.expose().into()));
    ours.into_iter().filter(|(name, _)| inherited(name)).chain(own).collect()
}

fn by_default(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn names(inherit_env: InheritEnv) -> Vec<String> {
        let ours = ["PATH", "LC_ALL", "XDG_DATA_HOME", "no_proxy", "AWS_SECRET"]
            .map(|name| (name.into(), "ours".into()));
        let config = StdioConfig {
            env: [("OWN".to_owned(), Secret::from("x"))].into(),
            inherit_env,
            ..StdioConfig::new("true")
        };
        of_child(ours, &config).into_keys().map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn a_child_inherits_the_list_and_what_its_entry_names() {
        let list = ["LC_ALL", "OWN", "PATH", "XDG_DATA_HOME", "no_proxy"];
        assert_eq!(names(InheritEnv::Defaults), list);
        let more = names(InheritEnv::Names(vec!["AWS_SECRET".to_owned()]));
        assert_eq!(more.len(), 6);
        assert_eq!(names(InheritEnv::All).len(), 6);
    }

    #[test]
    fn the_entrys_own_value_wins() {
        let config = StdioConfig {
            env: [("PATH".to_owned(), Secret::from("/own"))].into(),
            ..StdioConfig::new("true")
        };
        let environment = of_child([("PATH".into(), "/ours".into())], &config);
        assert_eq!(environment[OsStr::new("PATH")], "/own");
    }
}
