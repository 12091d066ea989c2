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

/// Extensions that one side may declare.
const MOST: usize = 64;
/// Bytes of their names and settings together.
const MOST_BYTES: usize = 64 * 1024;

/// The protocol's own namespaces. A method in one of them is no extension's that merely calls
/// itself so.
const CORE: [&str; 14] = [
    "completion",
    "elicitation",
    "initialize",
    "logging",
    "notifications",
    "ping",
    "prompts",
    "resources",
    "roots",
    "sampling",
    "server",
    "subscriptions",
    "tasks",
    "tools",
];

/// Whether an extension has no methods, so that several servers may declare it side by side.
pub fn is_only_metadata(extension: &str) -> bool {
    extension == APPS
}

/// Whether an extension may have methods that nothing in its name tells of.
pub fn may_have_methods(extension: &str) -> bool {
    !extension.is_empty() && extension != APPS && !CORE.contains(&extension)
}

/// What capabilities of a server or a client declare beyond the protocol, as far as it is passed
/// on: an object of [`MEMBERS`], at most 64 extensions of 64 KiB together; `None` where that is
/// nothing.
pub fn declared(capabilities: &RawValue) -> Option<Box<RawValue>> {
    bounded(capabilities).0
}

/// How many extensions are not passed on because they are too many or too big, or have no name.
pub fn left_out(capabilities: &RawValue) -> usize {
    bounded(capabilities).1
}

fn bounded(capabilities: &RawValue) -> (Option<Box<RawValue>>, usize) {
    let capabilities = Object::read(capabilities).unwrap_or_default();
    let mut declared = Object::default();
    let (mut count, mut bytes, mut left_out) = (0, 0, 0);
    for member in MEMBERS {
        let all = capabilities.object(member).unwrap_or_default();
        let mut extensions = Object::default();
        for (name, settings) in all.members().filter(|(name, _)| !ends_here(name)) {
            let size = name.len() + settings.get().len();
            if name.is_empty() || count == MOST || bytes + size > MOST_BYTES {
                left_out += 1;
                continue;
            }
            (count, bytes) = (count + 1, bytes + size);
            extensions.put(name, settings);
        }
        if !extensions.is_empty() {
            declared.put(member, &extensions);
        }
    }
    ((!declared.is_empty()).then(|| declared.to_raw()), left_out)
}

/// The names of the extensions in what was [`declared`].
pub fn names(declared: &RawValue) -> Vec<String> {
    let declared = Object::read(declared).unwrap_or_default();
    let mut names = Vec::new();
    for member in MEMBERS {
        let extensions = declared.get(member).and_then(Object::read).unwrap_or_default();
        names.extend(extensions.keys().map(ToOwned::to_owned));
    }
    names
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
/// `io.modelcontextprotocol/skills`, `com.example/search/run` that of `com.example/search`. One
/// that calls itself like a part of the protocol (`tools`, `com.example/tools`) has nothing there.
pub fn owns(extension: &str, method: &str) -> bool {
    let method = method.strip_prefix("notifications/").unwrap_or(method);
    let begins = |name: &str| {
        method.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if extension.is_empty() {
        return false;
    }
    let name = extension.rsplit('/').next().unwrap_or(extension);
    let is_own = |name: &str| !name.is_empty() && !CORE.contains(&name) && begins(name);
    is_own(extension) || is_own(name) || ADOPTED.contains(&(extension, method))
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
    fn what_is_too_much_or_has_no_name_is_left_out() {
        let of = |extensions: &[(String, usize)]| {
            let mut object = Object::default();
            for (name, size) in extensions {
                object.put(name, &"x".repeat(*size));
            }
            let mut capabilities = Object::default();
            capabilities.put(MEMBERS[0], &object);
            let raw = capabilities.to_raw();
            let declared = declared(&raw).map_or(0, |it| it.get().matches(':').count() - 1);
            (declared, left_out(&raw))
        };
        let many: Vec<_> = (0..MOST + 3).map(|number| (number.to_string(), 1)).collect();
        assert_eq!(of(&many), (MOST, 3));
        let named = |name: &str, size| (name.to_owned(), size);
        let one_too_big = [named("a", 10), named("b", MOST_BYTES), named("c", 10)];
        assert_eq!(of(&one_too_big), (2, 1));
        assert_eq!(of(&[named("", 1)]).1, 1);
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
            ("", "", false),
            ("", "/x", false),
            ("com.example/", "/x", false),
            ("tools", "tools/secret", false),
            ("com.example/tools", "tools/secret", false),
            ("com.example/tools", "com.example/tools/secret", true),
            ("server", "server/x", false),
        ] {
            assert_eq!(owns(extension, method), is_owner, "{extension} {method}");
        }
        assert!(!may_have_methods("tools") && !may_have_methods("") && may_have_methods("acme"));
        assert!(may_own("skills/list") && may_own("notifications/x") && !may_own("tasks/get"));
    }
}
