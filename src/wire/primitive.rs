//! What a server offers in lists: tools, prompts, resources and resource templates.
//!
//! The protocol's own names of each, and one value for each. What is done with them stands
//! elsewhere.

use super::method;

/// One of the things that servers offer in lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Primitive {
    /// What a model may call.
    Tool,
    /// What a person may choose to say.
    Prompt,
    /// What a program may read.
    Resource,
    /// A pattern of resources that can be read although no list names them (RFC 6570).
    Template,
}

impl Primitive {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tool, Self::Prompt, Self::Resource, Self::Template];

    /// The request that lists them.
    pub const fn list_method(self) -> &'static str {
        match self {
            Self::Tool => method::TOOLS_LIST,
            Self::Prompt => method::PROMPTS_LIST,
            Self::Resource => method::RESOURCES_LIST,
            Self::Template => method::TEMPLATES_LIST,
        }
    }

    /// What a request lists.
    pub fn listed_by(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|primitive| primitive.list_method() == method)
    }

    /// The member of a list's result that holds them.
    pub const fn member(self) -> &'static str {
        match self {
            Self::Tool => "tools",
            Self::Prompt => "prompts",
            Self::Resource => "resources",
            Self::Template => "resourceTemplates",
        }
    }

    /// The member of a definition that tells it from the others of its server.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Tool | Self::Prompt => "name",
            Self::Resource => "uri",
            Self::Template => "uriTemplate",
        }
    }

    /// The capability by which a server says that it has some.
    pub const fn capability(self) -> &'static str {
        match self {
            Self::Tool => "tools",
            Self::Prompt => "prompts",
            Self::Resource | Self::Template => "resources",
        }
    }

    /// What one is called.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::Template => "resource template",
        }
    }
}

/// One value for each primitive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Each<T> {
    /// That of tools.
    pub tools: T,
    /// That of prompts.
    pub prompts: T,
    /// That of resources.
    pub resources: T,
    /// That of resource templates.
    pub templates: T,
}

impl<T> Each<T> {
    /// A value for each, made one after the other.
    pub fn of(mut make: impl FnMut(Primitive) -> T) -> Self {
        Self {
            tools: make(Primitive::Tool),
            prompts: make(Primitive::Prompt),
            resources: make(Primitive::Resource),
            templates: make(Primitive::Template),
        }
    }

    /// The value of one.
    pub const fn get(&self, primitive: Primitive) -> &T {
        match primitive {
            Primitive::Tool => &self.tools,
            Primitive::Prompt => &self.prompts,
            Primitive::Resource => &self.resources,
            Primitive::Template => &self.templates,
        }
    }

    /// The value of one, to change it.
    pub const fn get_mut(&mut self, primitive: Primitive) -> &mut T {
        match primitive {
            Primitive::Tool => &mut self.tools,
            Primitive::Prompt => &mut self.prompts,
            Primitive::Resource => &mut self.resources,
            Primitive::Template => &mut self.templates,
        }
    }

    /// All values with what they belong to.
    pub fn iter(&self) -> impl Iterator<Item = (Primitive, &T)> {
        Primitive::ALL.into_iter().map(|primitive| (primitive, self.get(primitive)))
    }
}
