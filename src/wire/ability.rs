//! What a client can be asked for: elicitation, sampling, roots (MCP, `ClientCapabilities`); and
//! whether it takes tasks.
//!
//! Read from what a client declares, stated anew to a server. It never says whether a request
//! belongs to the client.

use serde::Serialize;

use super::{Object, RawValue, method, task};

/// One thing that a client can do for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// Shows a form to its user.
    Form = 1,
    /// Sends its user to an address.
    Url = 2,
    /// Has its model answer.
    Sampling = 4,
    /// Has its model answer with tools.
    SamplingTools = 8,
    /// Gives its model context of servers.
    SamplingContext = 16,
    /// Names the places that it works in.
    Roots = 32,
    /// Takes a task in the place of a result (2026-07-28, the extension for tasks).
    Tasks = 64,
}

/// What a client can do for a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities(u8);

impl Abilities {
    /// None.
    pub const NONE: Self = Self(0);

    /// With one more.
    #[must_use]
    pub const fn and(self, ability: Ability) -> Self {
        Self(self.0 | ability as u8)
    }

    /// Without one.
    #[must_use]
    pub const fn without(self, ability: Ability) -> Self {
        Self(self.0 & !(ability as u8))
    }

    /// Those that need nobody who answers.
    #[must_use]
    pub const fn unasked(self) -> Self {
        Self(self.0 & Ability::Tasks as u8)
    }

    /// Everything that can be asked for during a call without naming places.
    pub const fn of_calls() -> Self {
        Self::NONE
            .and(Ability::Form)
            .and(Ability::Url)
            .and(Ability::Sampling)
            .and(Ability::SamplingTools)
            .and(Ability::SamplingContext)
    }

    /// Whether it is among them.
    pub const fn has(self, ability: Ability) -> bool {
        self.0 & ability as u8 != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Reads raw `ClientCapabilities`. `elicitation: {}` is the form alone, as before 2025-11-25.
    pub fn read(capabilities: &RawValue) -> Self {
        let mut abilities = Self::NONE;
        let capabilities = Object::read(capabilities).unwrap_or_default();
        let mut add = |there: bool, ability| {
            if there {
                abilities = abilities.and(ability);
            }
        };
        if let Some(modes) = capabilities.object("elicitation") {
            let has_url = modes.get("url").is_some();
            add(modes.get("form").is_some() || !has_url, Ability::Form);
            add(has_url, Ability::Url);
        }
        if let Some(parts) = capabilities.object("sampling") {
            add(true, Ability::Sampling);
            add(parts.get("tools").is_some(), Ability::SamplingTools);
            add(parts.get("context").is_some(), Ability::SamplingContext);
        }
        add(capabilities.object("roots").is_some(), Ability::Roots);
        let extensions = capabilities.object("extensions").unwrap_or_default();
        add(extensions.object(task::EXTENSION).is_some(), Ability::Tasks);
        abilities
    }

    /// Raw `ClientCapabilities`. It does not say whether changed roots are announced.
    pub fn to_raw(self) -> Box<RawValue> {
        let part = |parts: &[(&'static str, Ability)]| {
            let mut object = Object::default();
            for (name, _) in parts.iter().filter(|(_, ability)| self.has(*ability)) {
                object.put(name, &Empty {});
            }
            object
        };
        let mut capabilities = Object::default();
        if self.has(Ability::Form) || self.has(Ability::Url) {
            let modes = part(&[("form", Ability::Form), ("url", Ability::Url)]);
            capabilities.put("elicitation", &modes);
        }
        if self.has(Ability::Sampling) {
            let parts =
                part(&[("tools", Ability::SamplingTools), ("context", Ability::SamplingContext)]);
            capabilities.put("sampling", &parts);
        }
        if self.has(Ability::Roots) {
            capabilities.put("roots", &Empty {});
        }
        if self.has(Ability::Tasks) {
            capabilities.put("extensions", &task::extensions());
        }
        capabilities.to_raw()
    }

    /// What a server's request needs; `None` for a method that asks a client for nothing.
    pub fn needed(method: &str, params: Option<&RawValue>) -> Option<Self> {
        let params = params.and_then(Object::read).unwrap_or_default();
        let needed = match method {
            method::ELICIT if params.text("mode").as_deref() == Some("url") => {
                Self::NONE.and(Ability::Url)
            }
            method::ELICIT => Self::NONE.and(Ability::Form),
            method::SAMPLE if params.get("tools").is_some() => {
                Self::NONE.and(Ability::Sampling).and(Ability::SamplingTools)
            }
            method::SAMPLE => Self::NONE.and(Ability::Sampling),
            method::ROOTS => Self::NONE.and(Ability::Roots),
            _ => return None,
        };
        Some(needed)
    }

    /// Whether all of these are among them.
    pub const fn include(self, needed: Self) -> bool {
        self.0 & needed.0 == needed.0
    }
}

#[derive(Serialize)]
struct Empty {}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn what_is_declared_is_stated_again() {
        for (declared, stated) in [
            ("{}", "{}"),
            (r#"{"elicitation":{}}"#, r#"{"elicitation":{"form":{}}}"#),
            (r#"{"elicitation":{"url":{}}}"#, r#"{"elicitation":{"url":{}}}"#),
            (
                r#"{"x":1,"roots":{"listChanged":true},"sampling":{"tools":{}},"elicitation":{"form":{},"url":{}}}"#,
                r#"{"elicitation":{"form":{},"url":{}},"sampling":{"tools":{}},"roots":{}}"#,
            ),
            (r#"{"elicitation":1,"sampling":null}"#, "{}"),
            (
                r#"{"extensions":{"x":{},"io.modelcontextprotocol/tasks":{}}}"#,
                r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#,
            ),
        ] {
            assert_eq!(Abilities::read(&raw(declared)).to_raw().get(), stated);
        }
    }

    #[test]
    fn a_request_needs_what_its_mode_says() {
        let form = Abilities::read(&raw(r#"{"elicitation":{},"sampling":{}}"#));
        for (method, params, admitted) in [
            (method::ELICIT, r#"{"message":"m"}"#, Some(true)),
            (method::ELICIT, r#"{"mode":"url"}"#, Some(false)),
            (method::SAMPLE, "{}", Some(true)),
            (method::SAMPLE, r#"{"tools":[]}"#, Some(false)),
            (method::ROOTS, "{}", Some(false)),
            ("x", "{}", None),
        ] {
            let needed = Abilities::needed(method, Some(&raw(params)));
            assert_eq!(needed.map(|needed| form.include(needed)), admitted, "{method} {params}");
        }
    }
}
