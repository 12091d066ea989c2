//! Extensions: what one side declares beyond the protocol itself, in `capabilities.extensions`
//! (MCP 2026-07-28, extension negotiation) or `capabilities.experimental`, and which methods belong
//! to it.
//!
//! Names and shapes only. Which server is meant by a method is the catalog's decision.

use std::borrow::Cow;

use super::{Object, RawValue, method};

/// The members of capabilities that go beyond the protocol.
pub const MEMBERS: [&str; 2] = ["extensions", "experimental"];

/// Interfaces of tools (MCP Apps): no methods, only metadata of tools and results.
const APPS: &str = "io.modelcontextprotocol/ui";
/// Methods of official extensions that do not begin with their extension's name.
const ADOPTED: [(&str, &str); 1] = [("io.modelcontextprotocol/skills", "resources/directory/read")];

/// Extensions that end at each leg: tasks are translated by ourselves, credentials concern one
/// connection. They are neither shown nor stated on the next leg.
fn ends_here(extension: &str) -> bool {
    const OF_ONE_LEG: [&str; 3] = [
        "io.modelcontextprotocol/tasks",
        "io.modelcontextprotocol/oauth-client-credentials",
        "io.modelcontextprotocol/enterprise-managed-authorization",
    ];
    OF_ONE_LEG.contains(&extension)
}

/// Whether an extension has no methods, so that several servers may declare it side by side.
pub fn is_only_metadata(extension: &str) -> bool {
    extension == APPS
}

/// What capabilities of a server or a client declare beyond the protocol, as far as it is passed
/// on: an object of [`MEMBERS`]; `None` where that is nothing.
pub fn declared(capabilities: &RawValue) -> Option<Box<RawValue>> {
    let capabilities = Object::read(capabilities)?;
    let mut declared = Object::default();
    for member in MEMBERS {
        let Some(mut extensions) = capabilities.object(member) else {
            continue;
        };
        extensions.retain(|extension| !ends_here(extension));
        if !extensions.is_empty() {
            declared.put(member, &extensions);
        }
    }
    (!declared.is_empty()).then(|| declared.to_raw())
}

/// Capabilities with what was [`declared`] beside them.
pub fn added(capabilities: &RawValue, declared: &RawValue) -> Box<RawValue> {
    let (mut all, declared) =
        (Object::read(capabilities).unwrap_or_default(), Object::read(declared));
    let declared = declared.unwrap_or_default();
    for member in MEMBERS {
        let Some(more) = declared.object(member) else { continue };
        let had = all.get(member).map(ToOwned::to_owned);
        let mut extensions = had.as_deref().and_then(Object::read).unwrap_or_default();
        for (name, settings) in more.members() {
            extensions.set(name, Cow::Borrowed(settings));
        }
        all.put(member, &extensions);
    }
    all.to_raw()
}

/// Whether a method or a notification is an extension's by its name: `skills/list` is that of
/// `io.modelcontextprotocol/skills`, `com.example/search/run` that of `com.example/search`.
pub fn owns(extension: &str, method: &str) -> bool {
    let method = method.strip_prefix("notifications/").unwrap_or(method);
    let begins = |name: &str| {
        method.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let name = extension.rsplit('/').next().unwrap_or(extension);
    begins(extension) || begins(name) || ADOPTED.contains(&(extension, method))
}

/// Whether a method or a notification may be one of an extension: no revision of the protocol
/// knows it.
pub fn may_own(method: &str) -> bool {
    !method.is_empty() && !method::is_of_the_protocol(method)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn what_concerns_one_leg_is_not_passed_on() {
        let of = |text: &str| declared(&raw(text)).map(|it| it.get().to_owned());
        assert_eq!(of(r#"{"tools":{}}"#), None);
        assert_eq!(of(r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#), None);
        assert_eq!(of(r#"{"extensions":[],"experimental":{}}"#), None);
        let declared = r#"{"extensions":{"a.b/c":{"n":1.50}},"experimental":{"x":{}}}"#;
        let odd = r#"{"experimental":{"x":{}},"tools":{},"extensions":{"a.b/c":{"n":1.50},"io.modelcontextprotocol/tasks":{}}}"#;
        assert_eq!(of(odd).as_deref(), Some(declared));
        let all = added(&raw(r#"{"roots":{}}"#), &raw(declared));
        assert_eq!(all.get(), format!(r#"{{"roots":{{}},{}"#, &declared[1..]));
    }

    #[test]
    fn a_method_belongs_to_the_extension_whose_name_it_begins_with() {
        const SKILLS: &str = "io.modelcontextprotocol/skills";
        for (extension, method, is_owner) in [
            (SKILLS, "skills/list", true),
            (SKILLS, "notifications/skills/changed", true),
            (SKILLS, "resources/directory/read", true),
            (SKILLS, "skillset/list", false),
            (SKILLS, "io.modelcontextprotocol/skills/list", true),
            ("com.example/search", "com.example/search", true),
            ("com.example/search", "com.example/other", false),
            ("acme", "acme/ping", true),
            ("acme", "resources/directory/read", false),
        ] {
            assert_eq!(owns(extension, method), is_owner, "{extension} {method}");
        }
        assert!(may_own("skills/list") && may_own("notifications/x") && !may_own("tasks/get"));
    }
}
