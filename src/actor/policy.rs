//! What holds for one server's tools, compiled: which are shown, and the settings of each.
//!
//! Built once from a definition, so that a bad glob is found before anything starts.

use std::time::Duration;

use super::server::{ServerConfig, ToolRule};
use crate::catalog::{FilterError, ToolFilter, ToolMatcher};

/// A server's compiled globs.
#[derive(Clone, Debug)]
pub(crate) struct ToolPolicy {
    pub(crate) filter: ToolMatcher,
    rules: Vec<(ToolMatcher, ToolRule)>,
    timeout: Option<Duration>,
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
        Ok(Self { filter: config.tools.matcher()?, rules, timeout: config.timeout })
    }

    /// The deadline of a call of this tool, where one is configured.
    pub(crate) fn timeout(&self, tool: &str) -> Option<Duration> {
        self.rules
            .iter()
            .filter(|(glob, _)| glob.passes(tool))
            .find_map(|(_, rule)| rule.timeout)
            .or(self.timeout)
    }
}
