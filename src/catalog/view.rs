//! What an agent sees: the tools of its servers under exposed names, filtered and in order.
//!
//! An immutable value, built anew when something changed and then shared. It never changes a
//! definition but for its name, and never chooses one: [`Names`] does.

use std::{collections::HashMap, sync::Arc};

use super::{Catalog, ContentHash, Names, OwnTool, Tool, ToolMatcher, nearest};
use crate::{
    id::ServerName,
    wire::{Object, RawValue},
};

/// One server of a view.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its name.
    pub server: &'a ServerName,
    /// Its place, before its name.
    pub order: i32,
    /// What it offers.
    pub catalog: &'a Catalog,
    /// What of that is shown, by its own names.
    pub filter: &'a ToolMatcher,
}

/// What an agent sees.
#[derive(Clone, Debug)]
pub struct View {
    tools: Vec<ViewTool>,
    /// The servers' own definitions of the tools, place by place: what a rebuild compares with.
    sources: Vec<Arc<RawValue>>,
    index: HashMap<Arc<str>, usize>,
    hash: ContentHash,
}

/// One tool of a view.
#[derive(Clone, Debug)]
pub struct ViewTool {
    /// The name callers use.
    pub exposed: Arc<str>,
    /// Its server.
    pub server: ServerName,
    /// Its name there.
    pub upstream: Arc<str>,
    /// Its raw definition with the exposed name.
    pub raw: Arc<RawValue>,
}

/// One page of a view.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Its tools.
    pub tools: &'a [ViewTool],
    /// The exposed name of the last of them, if more follow: the next page is the one after it.
    pub next: Option<&'a str>,
}

impl Default for View {
    /// A view without tools.
    fn default() -> Self {
        Self {
            tools: Vec::new(),
            sources: Vec::new(),
            index: HashMap::new(),
            hash: ContentHash::of([]),
        }
    }
}

impl View {
    /// The members' tools that pass their own server's filter, by upstream name, and the agent's,
    /// by exposed name. Ordered by the members' `order`, then by server, then as the server does;
    /// the order of `members` means nothing.
    pub fn build(members: &[Member<'_>], filter: &ToolMatcher, names: &mut Names) -> Self {
        Self::default().rebuild(members, filter, names)
    }

    /// The same as [`View::build`], taking over from this view the definitions that did not
    /// change instead of writing them again.
    #[must_use]
    pub fn rebuild(&self, members: &[Member<'_>], filter: &ToolMatcher, names: &mut Names) -> Self {
        let mut members: Vec<&Member<'_>> = members.iter().collect();
        members.sort_by_key(|member| (member.order, member.server));
        let mut view = Self::default();
        for member in members {
            for tool in member.catalog.tools() {
                if !member.filter.passes(&tool.name) {
                    continue;
                }
                // Also what the agent does not see is named, so that a change of its filter
                // changes no name.
                let exposed = names.assign(member.server, &tool.name);
                if !filter.passes(&exposed) || view.index.contains_key(&exposed) {
                    continue;
                }
                let shown = self
                    .unchanged(&exposed, member.server, tool)
                    .unwrap_or_else(|| ViewTool::new(exposed, member.server, tool));
                view.index.insert(Arc::clone(&shown.exposed), view.tools.len());
                view.tools.push(shown);
                view.sources.push(Arc::clone(&tool.raw));
            }
        }
        view.seal()
    }

    /// The same view with our own tools behind all others, as far as the agent's filter shows
    /// them.
    #[must_use]
    pub fn with_own(mut self, filter: &ToolMatcher) -> Self {
        for tool in OwnTool::ALL.into_iter().filter(|tool| filter.passes(tool.name())) {
            let (name, raw): (Arc<str>, _) = (tool.name().into(), tool.definition());
            self.index.insert(Arc::clone(&name), self.tools.len());
            self.sources.push(Arc::clone(&raw));
            let (exposed, upstream) = (Arc::clone(&name), name);
            self.tools.push(ViewTool { exposed, server: ServerName::ourselves(), upstream, raw });
        }
        self.seal()
    }

    fn seal(mut self) -> Self {
        self.hash = ContentHash::of(self.tools.iter().flat_map(|tool| {
            [&*tool.exposed, tool.server.as_str(), &*tool.upstream, tool.raw.get()]
        }));
        self
    }

    /// The tools in their order.
    pub fn tools(&self) -> &[ViewTool] {
        &self.tools
    }

    /// The exposed name that was probably meant by one that does not exist: that of the only tool
    /// whose server calls it so, else the most similar one, if it is similar enough.
    pub fn near(&self, name: &str) -> Option<&str> {
        let mut own = self.tools.iter().filter(|tool| &*tool.upstream == name);
        if let (Some(tool), None) = (own.next(), own.next()) {
            return Some(&tool.exposed);
        }
        nearest(name, self.tools.iter().map(|tool| &*tool.exposed))
    }

    /// The tool of an exposed name.
    pub fn resolve(&self, exposed: &str) -> Option<&ViewTool> {
        self.tools.get(*self.index.get(exposed)?)
    }

    /// What tells this view from any other: names, origins, definitions and their order.
    pub const fn hash(&self) -> ContentHash {
        self.hash
    }

    /// At most `limit` tools, one at least, from the first on or after the one of that exposed
    /// name; `None` where the view has no such tool.
    pub fn page(&self, after: Option<&str>, limit: usize) -> Option<Page<'_>> {
        let first = match after {
            Some(exposed) => self.index.get(exposed)? + 1,
            None => 0,
        };
        let rest = self.tools.get(first..).unwrap_or_default();
        let tools = rest.get(..limit.max(1)).unwrap_or(rest);
        let next = tools.last().filter(|_| tools.len() < rest.len()).map(|tool| &*tool.exposed);
        Some(Page { tools, next })
    }

    fn unchanged(&self, exposed: &str, server: &ServerName, tool: &Tool) -> Option<ViewTool> {
        let place = *self.index.get(exposed)?;
        let (known, source) = (self.tools.get(place)?, self.sources.get(place)?);
        let same = known.server == *server
            && known.upstream == tool.name
            && source.get() == tool.raw.get();
        same.then(|| known.clone())
    }
}

impl ViewTool {
    fn new(exposed: Arc<str>, server: &ServerName, tool: &Tool) -> Self {
        let raw = match Object::read(&tool.raw) {
            Some(mut object) if exposed != tool.name => {
                object.put("name", &*exposed);
                object.to_raw().into()
            }
            _ => Arc::clone(&tool.raw),
        };
        Self { exposed, server: server.clone(), upstream: Arc::clone(&tool.name), raw }
    }
}

#[cfg(test)]
mod tests;
