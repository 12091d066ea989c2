//! What an agent sees: what its servers offer, under exposed names, filtered and in order.
//!
//! An immutable value, built anew when something changed and then shared. It never changes a
//! definition but for its name, and never chooses one: [`Names`] does. Globs are about tools alone.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    Catalog, ContentHash, Item, Names, OwnTool, ToolMatcher, nearest,
    uri::{self, Effort, Template},
};
use crate::{
    id::ServerName,
    wire::{Each, Object, Primitive, RawValue, task},
};

mod addresses;

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
    sections: Each<Section>,
    servers: HashSet<ServerName>,
    /// Servers with a URI that another one has too, and has first.
    contested: HashSet<ServerName>,
    hash: ContentHash,
}

/// What a view has of one kind.
#[derive(Clone, Debug)]
struct Section {
    items: Vec<ViewItem>,
    /// The servers' own definitions, place by place: what a rebuild compares with.
    sources: Vec<Arc<RawValue>>,
    index: HashMap<Arc<str>, usize>,
    hash: ContentHash,
}

/// One thing that a view shows.
#[derive(Clone, Debug)]
pub struct ViewItem {
    /// The name callers use: a name, a URI, or a URI template.
    pub exposed: Arc<str>,
    /// Its server.
    pub server: ServerName,
    /// Its name there.
    pub upstream: Arc<str>,
    /// Its raw definition with the exposed name.
    pub raw: Arc<RawValue>,
    /// Whether it is a tool that is called as a task or not at all.
    pub needs_task: bool,
    /// Which URIs a template may give.
    expands: Option<Template>,
}

/// How often each list of a view really changed.
pub type Versions = Each<u64>;

/// One page of a view.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// What stands on it.
    pub items: &'a [ViewItem],
    /// The exposed name of the last of them, if more follow: the next page is the one after it.
    pub next: Option<&'a str>,
}

impl Default for Section {
    fn default() -> Self {
        let (items, sources, index) = (Vec::new(), Vec::new(), HashMap::new());
        Self { items, sources, index, hash: ContentHash::of([]) }
    }
}

impl Default for View {
    /// A view that shows nothing.
    fn default() -> Self {
        let (servers, contested) = (HashSet::new(), HashSet::new());
        Self { sections: Each::default(), servers, contested, hash: ContentHash::of([]) }.seal()
    }
}

impl View {
    /// What the members offer. Of tools those that pass their own server's filter, by upstream
    /// name, and the agent's, by exposed name. Ordered by the members' `order`, then by server,
    /// then as the server does; the order of `members` means nothing.
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
        view.servers.extend(members.iter().map(|member| member.server.clone()));
        for primitive in [Primitive::Resource, Primitive::Template] {
            for &member in &members {
                self.add_addresses(&mut view, primitive, member);
            }
        }
        view.contest();
        // After the addresses, which definitions of tools may name.
        for &member in &members {
            for prompt in member.catalog.items(Primitive::Prompt) {
                let exposed = names.assign(member.server, &prompt.name);
                self.add(&mut view, Primitive::Prompt, exposed, member.server, prompt, None);
            }
            let mut effort = Effort::default();
            for tool in member.catalog.tools() {
                if !member.filter.passes(&tool.name) {
                    continue;
                }
                // Also what the agent does not see is named, so that a change of its filter
                // changes no name.
                let exposed = names.assign(member.server, &tool.name);
                if filter.passes(&exposed) {
                    let new = view.readdressed_within(&mut effort, member.server, &tool.raw);
                    self.add(&mut view, Primitive::Tool, exposed, member.server, tool, new);
                }
            }
        }
        view.seal()
    }

    /// Shows a member's resources or templates. A URI stays as it is; where another server has it
    /// already, its qualified form stands for it.
    fn add_addresses(&self, view: &mut Self, primitive: Primitive, member: &Member<'_>) {
        for item in member.catalog.items(primitive) {
            let is_taken = view.sections.get(primitive).index.contains_key(&item.name);
            // No server speaks for another.
            let exposed = if is_taken || uri::is_qualified(&item.name) {
                view.contested.insert(member.server.clone());
                uri::qualified(member.server, &item.name).into()
            } else {
                Arc::clone(&item.name)
            };
            self.add(view, primitive, exposed, member.server, item, None);
        }
    }

    /// URIs of a server in results are looked at where another one's templates may claim them.
    fn contest(&mut self) {
        let templates = &self.sections.templates.items;
        let claims = |server: &ServerName| templates.iter().any(|item| item.server != *server);
        let others = self.servers.iter().filter(|server| claims(server)).cloned();
        self.contested.extend(others.collect::<Vec<_>>());
    }

    fn add(
        &self,
        view: &mut Self,
        primitive: Primitive,
        exposed: Arc<str>,
        server: &ServerName,
        item: &Item,
        new: Option<Box<RawValue>>,
    ) {
        if view.sections.get(primitive).index.contains_key(&exposed) {
            return;
        }
        let source = new.map_or_else(|| Arc::clone(&item.raw), Arc::from);
        let shown = self.unchanged(primitive, &exposed, server, &item.name, &source);
        let shown = shown.unwrap_or_else(|| ViewItem {
            raw: renamed(primitive, &exposed, &item.name, &source),
            expands: (primitive == Primitive::Template).then(|| Template::new(&exposed)).flatten(),
            exposed,
            server: server.clone(),
            upstream: Arc::clone(&item.name),
            needs_task: primitive == Primitive::Tool && task::is_required(&source),
        });
        view.sections.get_mut(primitive).push(shown, source);
    }

    /// The same view with our own tools behind all others, as far as the agent's filter shows
    /// them.
    #[must_use]
    pub fn with_own(mut self, filter: &ToolMatcher) -> Self {
        for tool in OwnTool::ALL.into_iter().filter(|tool| filter.passes(tool.name())) {
            let (name, raw): (Arc<str>, _) = (tool.name().into(), tool.definition());
            let (exposed, source) = (Arc::clone(&name), Arc::clone(&raw));
            let server = ServerName::ourselves();
            let (needs_task, expands) = (false, None);
            let item = ViewItem { exposed, server, upstream: name, raw, needs_task, expands };
            self.sections.tools.push(item, source);
        }
        self.seal()
    }

    fn seal(mut self) -> Self {
        for primitive in Primitive::ALL {
            let section = self.sections.get_mut(primitive);
            section.hash = ContentHash::of(section.items.iter().flat_map(|item| {
                [&*item.exposed, item.server.as_str(), &*item.upstream, item.raw.get()]
            }));
        }
        let hashes = Each::of(|primitive| self.sections.get(primitive).hash.to_string());
        self.hash = ContentHash::of(hashes.iter().map(|(_, hash)| hash.as_str()));
        self
    }

    /// What is shown of one kind, in its order.
    pub fn items(&self, primitive: Primitive) -> &[ViewItem] {
        &self.sections.get(primitive).items
    }

    /// The tools in their order.
    pub fn tools(&self) -> &[ViewItem] {
        self.items(Primitive::Tool)
    }

    /// The exposed name that was probably meant by one that does not exist: that of the only item
    /// whose server calls it so, else the most similar one, if it is similar enough.
    pub fn near(&self, primitive: Primitive, name: &str) -> Option<&str> {
        let items = self.items(primitive);
        let mut own = items.iter().filter(|item| &*item.upstream == name);
        if let (Some(item), None) = (own.next(), own.next()) {
            return Some(&item.exposed);
        }
        nearest(name, items.iter().map(|item| &*item.exposed))
    }

    /// The tool of an exposed name.
    pub fn resolve(&self, exposed: &str) -> Option<&ViewItem> {
        self.find(Primitive::Tool, exposed)
    }

    /// What has an exposed name.
    pub fn find(&self, primitive: Primitive, exposed: &str) -> Option<&ViewItem> {
        let section = self.sections.get(primitive);
        section.items.get(*section.index.get(exposed)?)
    }

    /// What tells this view from any other: names, origins, definitions and their order.
    pub const fn hash(&self) -> ContentHash {
        self.hash
    }

    /// What tells its part of one kind from any other.
    pub const fn hash_of(&self, primitive: Primitive) -> ContentHash {
        self.sections.get(primitive).hash
    }

    /// The versions of this view, which came after the one that had those.
    pub fn succeed(&self, before: &Self, versions: &mut Versions) {
        for primitive in Primitive::ALL {
            if self.hash_of(primitive) != before.hash_of(primitive) {
                *versions.get_mut(primitive) += 1;
            }
        }
    }

    /// At most `limit` items, one at least, from the first on or after the one of that exposed
    /// name; `None` where the view has no such item.
    pub fn page(
        &self,
        primitive: Primitive,
        after: Option<&str>,
        limit: usize,
    ) -> Option<Page<'_>> {
        let section = self.sections.get(primitive);
        let first = match after {
            Some(exposed) => section.index.get(exposed)? + 1,
            None => 0,
        };
        let rest = section.items.get(first..).unwrap_or_default();
        let items = rest.get(..limit.max(1)).unwrap_or(rest);
        let next = items.last().filter(|_| items.len() < rest.len()).map(|item| &*item.exposed);
        Some(Page { items, next })
    }

    fn unchanged(
        &self,
        primitive: Primitive,
        exposed: &str,
        server: &ServerName,
        upstream: &Arc<str>,
        source: &RawValue,
    ) -> Option<ViewItem> {
        let section = self.sections.get(primitive);
        let place = *section.index.get(exposed)?;
        let (known, before) = (section.items.get(place)?, section.sources.get(place)?);
        let same =
            known.server == *server && known.upstream == *upstream && before.get() == source.get();
        same.then(|| known.clone())
    }
}

impl Section {
    fn push(&mut self, item: ViewItem, source: Arc<RawValue>) {
        self.index.insert(Arc::clone(&item.exposed), self.items.len());
        self.items.push(item);
        self.sources.push(source);
    }
}

/// A definition under its exposed name.
fn renamed(
    primitive: Primitive,
    exposed: &str,
    upstream: &str,
    definition: &Arc<RawValue>,
) -> Arc<RawValue> {
    match Object::read(definition) {
        Some(mut object) if exposed != upstream => {
            object.put(primitive.key(), exposed);
            object.to_raw().into()
        }
        _ => Arc::clone(definition),
    }
}

#[cfg(test)]
mod tests;
