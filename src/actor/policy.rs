//! What holds for one server's tools, compiled: which are shown, and the settings of each.
//!
//! Built once from a definition, so that a bad glob is found before anything starts.

use std::time::Duration;

use super::server::{Retry, ServerConfig, ToolRule};
use crate::{
    catalog::{FilterError, ToolFilter, ToolMatcher},
    wire::{Object, RawValue},
};

/// A server's compiled globs.
#[derive(Clone, Debug)]
pub(crate) struct ToolPolicy {
    pub(crate) filter: ToolMatcher,
    rules: Vec<(ToolMatcher, ToolRule)>,
    timeout: Option<Duration>,
    /// Whether its tools' own hints say what may be repeated.
    hinted: bool,
}

impl ToolPolicy {
    /// Compiles the globs of a definition.
    pub(crate) fn new(config: &ServerConfig) -> Result<Self, FilterError> {
        let rules = config
            .tool_rules
            .iter()
            .map(|(glob, rule)| {
                let filter = ToolFilter { allow: vec![glob.clone()], deny: Vec::new() };
                Ok((filter.matcher()?, rule.clone()))
            })
            .collect::<Result<_, FilterError>>()?;
        let hinted = config.retry == Retry::Safe && config.trust_annotations;
        Ok(Self { filter: config.tools.matcher()?, rules, timeout: config.timeout, hinted })
    }

    /// The deadline of a call of this tool, where one is configured.
    pub(crate) fn timeout(&self, tool: &str) -> Option<Duration> {
        self.ruled(tool, |rule| rule.timeout).or(self.timeout)
    }

    /// Whether a call of this tool that may have run does no harm when it runs again: a rule says
    /// so, or else a hint of a server whose hints are trusted (MCP, `ToolAnnotations`).
    pub(crate) fn may_repeat(&self, tool: &str, definition: &RawValue) -> bool {
        match self.ruled(tool, |rule| rule.retry) {
            Some(rule) => rule == Retry::Safe,
            None => self.hinted && is_harmless(definition),
        }
    }

    fn ruled<T>(&self, tool: &str, setting: impl Fn(&ToolRule) -> Option<T>) -> Option<T> {
        let mut of_tool = self.rules.iter().filter(|(glob, _)| glob.passes(tool));
        of_tool.find_map(|(_, rule)| setting(rule))
    }
}

fn is_harmless(definition: &RawValue) -> bool {
    let tool = Object::read(definition).unwrap_or_default();
    let hints = tool.get("annotations").and_then(Object::read).unwrap_or_default();
    ["readOnlyHint", "idempotentHint"].iter().any(|hint| hints.typed(hint) == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(config: &serde_json::Value) -> ToolPolicy {
        let mut whole = serde_json::json!({ "name": "files" });
        whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        ToolPolicy::new(&serde_json::from_value(whole).unwrap()).unwrap()
    }

    #[test]
    fn a_rule_decides_and_else_a_trusted_hint() {
        let hints = |text: &str| {
            let tool = format!(r#"{{"name":"get","inputSchema":{{}},"annotations":{text}}}"#);
            RawValue::from_string(tool).unwrap()
        };
        let (read, again, write) = (
            hints(r#"{"readOnlyHint":true}"#),
            hints(r#"{"idempotentHint":true}"#),
            hints(r#"{"readOnlyHint":"true"}"#),
        );
        let trusted = policy(&serde_json::json!({ "retry": "safe", "trust_annotations": true }));
        assert!(trusted.may_repeat("get", &read) && trusted.may_repeat("get", &again));
        assert!(!trusted.may_repeat("get", &write));
        for untrusted in [
            serde_json::json!({}),
            serde_json::json!({ "retry": "safe" }),
            serde_json::json!({ "trust_annotations": true }),
        ] {
            assert!(!policy(&untrusted).may_repeat("get", &read));
        }
        let rules = serde_json::json!({ "get*": { "retry": "safe" }, "get_all": { "retry": "never" },
            "g*": { "retry": "never" } });
        let ruled = policy(&serde_json::json!({ "retry": "safe", "trust_annotations": true,
            "tool_rules": rules }));
        assert!(!ruled.may_repeat("get", &read), "the first in the order of their text decides");
        let rules = serde_json::json!({ "get*": { "retry": "safe" } });
        assert!(policy(&serde_json::json!({ "tool_rules": rules })).may_repeat("get", &write));
    }
}
