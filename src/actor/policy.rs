//! What holds for one server's tools, compiled: which are shown, and the settings of each.
//!
//! Built once from a definition, so that a bad glob is found before anything starts.

use std::{cmp::Reverse, time::Duration};

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
        let mut rules: Vec<_> = config.tool_rules.iter().collect();
        rules.sort_by_key(|(glob, _)| Reverse(plain(glob)));
        let rules = rules
            .into_iter()
            .map(|(glob, rule)| {
                let filter = ToolFilter { allow: vec![glob.clone()], deny: Vec::new() };
                Ok((filter.matcher()?, rule.clone()))
            })
            .collect::<Result<_, FilterError>>()?;
        let hinted = config.retry == Retry::Safe && config.trust_annotations;
        Ok(Self { filter: config.tools.matcher()?, rules, timeout: config.timeout, hinted })
    }

    /// The deadline of a call of this tool, or of another request, where one is configured.
    pub(crate) fn timeout(&self, tool: Option<&str>) -> Option<Duration> {
        tool.and_then(|tool| self.ruled(tool, |rule| rule.timeout)).or(self.timeout)
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

/// How closely a glob names a tool: whether it is a plain name, and how many of its characters stand
/// for themselves.
fn plain(glob: &str) -> (bool, usize) {
    let wild = glob.chars().filter(|c| "*?[]{}".contains(*c)).count();
    (wild == 0, glob.chars().count() - wild)
}

fn is_harmless(definition: &RawValue) -> bool {
    let tool = Object::read(definition).unwrap_or_default();
    let hints = tool.object("annotations").unwrap_or_default();
    ["readOnlyHint", "idempotentHint"].iter().any(|hint| hints.typed(hint) == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::TransportConfig;

    fn policy(retry: Retry, trust_annotations: bool, rules: &[(&str, Retry)]) -> ToolPolicy {
        let rule = |retry| ToolRule { retry: Some(retry), ..ToolRule::default() };
        let rules = rules.iter().map(|(glob, retry)| ((*glob).to_owned(), rule(*retry)));
        let tool_rules = rules.collect();
        let config = ServerConfig::new(TransportConfig::InProcess);
        ToolPolicy::new(&ServerConfig { trust_annotations, retry, tool_rules, ..config }).unwrap()
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
        let trusted = policy(Retry::Safe, true, &[]);
        assert!(trusted.may_repeat("get", &read) && trusted.may_repeat("get", &again));
        assert!(!trusted.may_repeat("get", &write));
        for (retry, trusts) in [(Retry::Never, false), (Retry::Safe, false), (Retry::Never, true)] {
            assert!(!policy(retry, trusts, &[]).may_repeat("get", &read));
        }
        let never = policy(Retry::Safe, true, &[("get*", Retry::Safe), ("g*", Retry::Never)]);
        assert!(never.may_repeat("get", &read), "what names it most closely decides");
        let rules = [("*", Retry::Never), ("get_*", Retry::Safe), ("get_one", Retry::Never)];
        let rules = policy(Retry::Never, false, &rules);
        for (tool, safe) in [("get_one", false), ("get_two", true), ("put", false)] {
            assert_eq!(rules.may_repeat(tool, &write), safe, "{tool}");
        }
        assert!(policy(Retry::Never, false, &[("get*", Retry::Safe)]).may_repeat("get", &write));
    }
}
