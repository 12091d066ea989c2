//! Views: what an owner sees of all its servers, filtered, named and in order.
//!
//! Built by the router whenever a catalog changes, then immutable.

use std::{collections::HashMap, sync::Arc};

use super::{Catalog, ContentHash, Names, ToolMatcher};
use crate::{
    id::ServerName,
    wire::{Object, RawValue},
};

/// One server's part of a view.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// The server.
    pub server: &'a ServerName,
    /// Its place, before its name.
    pub order: i32,
    /// What it offers.
    pub catalog: &'a Catalog,
    /// Which of its tools are shown, by its own names.
    pub filter: &'a ToolMatcher,
}

/// One tool of a view.
#[derive(Clone, Debug)]
pub struct ViewTool {
    /// The name that callers use.
    pub exposed: Arc<str>,
    /// Its server.
    pub server: ServerName,
    /// Its name there.
    pub upstream: Arc<str>,
    /// Its definition with the exposed name; everything else as the server sent it.
    pub raw: Arc<RawValue>,
}

/// What an owner sees.
#[derive(Clone, Debug)]
pub struct View {
    tools: Vec<ViewTool>,
    index: HashMap<Arc<str>, usize>,
    hash: ContentHash,
}

/// Some tools of a view, in order.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The tools.
    pub tools: &'a [ViewTool],
    /// The last tool's exposed name, if more follow.
    pub next: Option<&'a str>,
}

impl View {
    /// Builds a view: members by their order and name, tools in their server's own order. The
    /// owner's filter is on exposed names.
    pub fn build(members: &[Member<'_>], filter: &ToolMatcher, names: &mut Names) -> Self {
        let mut members: Vec<&Member<'_>> = members.iter().collect();
        members.sort_by_key(|member| (member.order, member.server));
        let mut tools = Vec::new();
        for member in members {
            let shown =
                member.catalog.tools().iter().filter(|tool| member.filter.passes(&tool.name));
            for tool in shown {
                let exposed = names.assign(member.server, &tool.name);
                if !filter.passes(&exposed) {
                    continue;
                }
                let raw = renamed(&tool.raw, &tool.name, &exposed);
                let (server, upstream) = (member.server.clone(), Arc::clone(&tool.name));
                tools.push(ViewTool { exposed, server, upstream, raw });
            }
        }
        Self::of(tools)
    }

    fn of(tools: Vec<ViewTool>) -> Self {
        let index =
            tools.iter().enumerate().map(|(at, tool)| (Arc::clone(&tool.exposed), at)).collect();
        let hash = ContentHash::of(tools.iter().map(|tool| (&*tool.exposed, &*tool.raw)));
        Self { tools, index, hash }
    }

    /// The tools in their order.
    pub fn tools(&self) -> &[ViewTool] {
        &self.tools
    }

    /// The tool that an exposed name stands for.
    pub fn resolve(&self, exposed: &str) -> Option<&ViewTool> {
        self.tools.get(*self.index.get(exposed)?)
    }

    /// Equal for two views that list the same.
    pub const fn hash(&self) -> ContentHash {
        self.hash
    }

    /// At most `limit` tools after the named one, or from the start; `None` if the view has no
    /// such tool.
    pub fn page(&self, after: Option<&str>, limit: usize) -> Option<Page<'_>> {
        let start = match after {
            None => 0,
            Some(name) => self.index.get(name)? + 1,
        };
        let end = start.saturating_add(limit.max(1)).min(self.tools.len());
        let tools = self.tools.get(start..end)?;
        let next = (end < self.tools.len()).then(|| tools.last()).flatten();
        Some(Page { tools, next: next.map(|tool| &*tool.exposed) })
    }
}

impl Default for View {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

fn renamed(raw: &Arc<RawValue>, upstream: &str, exposed: &str) -> Arc<RawValue> {
    if upstream == exposed {
        return Arc::clone(raw);
    }
    let Some(mut definition) = Object::read(raw) else {
        return Arc::clone(raw);
    };
    definition.put("name", exposed);
    definition.to_raw().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::{CatalogConfig, Tool, ToolFilter};

    fn catalog(tools: &[&str]) -> Catalog {
        let tool = |name: &&str| {
            let text = format!(r#"{{"inputSchema":{{}},"n":1.0e0,"name":"{name}","x":"\u00e9"}}"#);
            Tool::read(&RawValue::from_string(text).unwrap()).unwrap()
        };
        Catalog::new(tools.iter().map(tool).collect())
    }

    fn server(name: &str) -> ServerName {
        ServerName::new(name).unwrap()
    }

    fn exposed(view: &View) -> Vec<String> {
        view.tools().iter().map(|tool| tool.exposed.to_string()).collect()
    }

    #[test]
    fn a_view_is_ordered_filtered_and_renamed() {
        let (a, b, c) = (server("a"), server("b"), server("c"));
        let (all, two) = (ToolMatcher::default(), catalog(&["z", "y"]));
        let not_y = ToolFilter { deny: vec!["y".to_owned()], ..ToolFilter::default() };
        let not_y = not_y.matcher().unwrap();
        let members = [
            Member { server: &c, order: -1, catalog: &two, filter: &all },
            Member { server: &b, order: 0, catalog: &two, filter: &not_y },
            Member { server: &a, order: 0, catalog: &two, filter: &all },
        ];
        let deny = ToolFilter { deny: vec!["a_z".to_owned()], ..ToolFilter::default() };
        let mut names = Names::new(&CatalogConfig::default());
        let view = View::build(&members, &deny.matcher().unwrap(), &mut names);
        assert_eq!(exposed(&view), ["c_z", "c_y", "a_y", "b_z"]);
        let tool = view.resolve("a_y").unwrap();
        assert_eq!((tool.server.as_str(), &*tool.upstream), ("a", "y"));
        assert_eq!(
            tool.raw.get(),
            "{\"inputSchema\":{},\"n\":1.0e0,\"name\":\"a_y\",\"x\":\"\\u00e9\"}"
        );
        assert!(view.resolve("a_z").is_none() && view.resolve("y").is_none());
        assert!(view.page(Some("a_z"), 1).is_none());
    }

    proptest! {
        #[test]
        fn pages_visit_every_tool_once_in_order(count in 0_usize..40, limit in 0_usize..10) {
            let tools: Vec<String> = (0..count).map(|index| format!("t{index}")).collect();
            let catalog = catalog(&tools.iter().map(String::as_str).collect::<Vec<_>>());
            let (of, all) = (server("s"), ToolMatcher::default());
            let member = Member { server: &of, order: 0, catalog: &catalog, filter: &all };
            let mut names = Names::new(&CatalogConfig::default());
            let view = View::build(&[member], &all, &mut names);
            let (mut seen, mut after) = (Vec::new(), None::<String>);
            loop {
                let page = view.page(after.as_deref(), limit).unwrap();
                seen.extend(page.tools.iter().map(|tool| tool.exposed.to_string()));
                match page.next {
                    Some(next) => after = Some(next.to_owned()),
                    None => break,
                }
            }
            prop_assert_eq!(seen, exposed(&view));
        }

        #[test]
        fn the_order_does_not_depend_on_the_order_of_arrival(seed in any::<u64>()) {
            let (servers, all) = (["b", "a", "d", "c"].map(server), ToolMatcher::default());
            let catalog = catalog(&["x", "y"]);
            let mut members: Vec<Member<'_>> = servers
                .iter()
                .map(|server| Member { server, order: 0, catalog: &catalog, filter: &all })
                .collect();
            let build = |members: &[Member<'_>]| {
                let mut names = Names::new(&CatalogConfig::default());
                View::build(members, &all, &mut names).hash()
            };
            let before = build(&members);
            members.rotate_left(usize::try_from(seed % 4).unwrap());
            prop_assert_eq!(before, build(&members));
        }
    }
}
