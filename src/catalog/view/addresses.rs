//! The URIs of a view: whose each one is, and what the view calls those that a server sends.
//!
//! Says nothing of what stands under them.

use super::View;
use crate::{
    catalog::uri::{self, Effort, Exhausted},
    id::ServerName,
    wire::{Needle, Primitive, RawValue},
};

/// Templates of a view that are matched; what further ones give is found by links.
const MATCHED: usize = 256;

impl View {
    /// The server of a resource and its URI there, for one that is listed or whose URI names its
    /// server.
    pub fn resource<'a>(&'a self, uri: &'a str) -> Option<(&'a ServerName, &'a str)> {
        if let Some(item) = self.find(Primitive::Resource, uri) {
            return Some((&item.server, &item.upstream));
        }
        let (server, uri) = uri::split(uri)?;
        Some((self.servers.get(&server)?, uri))
    }

    /// The server of the first template that may give a URI.
    pub fn by_template(&self, uri: &str) -> Option<&ServerName> {
        self.matched(uri, &mut Effort::default()).ok()?
    }

    fn matched(&self, uri: &str, effort: &mut Effort) -> Result<Option<&ServerName>, Exhausted> {
        let templates = self.items(Primitive::Template).iter().take(MATCHED);
        for item in templates.filter(|_| !uri::is_too_long(uri)) {
            if item.expands.as_ref().map_or(Ok(false), |it| it.may_give(uri, effort))? {
                return Ok(Some(&item.server));
            }
        }
        Ok(None)
    }

    /// A body of this server with its URIs as this view names them; `None` where they are the same.
    pub fn readdressed(&self, server: &ServerName, body: &RawValue) -> Option<Box<RawValue>> {
        self.readdressed_within(&mut Effort::default(), server, body)
    }

    pub(super) fn readdressed_within(
        &self,
        effort: &mut Effort,
        server: &ServerName,
        body: &RawValue,
    ) -> Option<Box<RawValue>> {
        static NAMES: [Needle; 2] = [Needle::new("\"uri\""), Needle::new("\"resourceUri\"")];
        if !self.is_contested(server) || !NAMES.iter().any(|name| name.is_in(body)) {
            return None;
        }
        uri::rewrite(body, &mut |uri| self.addressed_within(effort, server, uri))
    }

    /// What this view calls a URI of a server's; `None` where it is the same.
    pub fn addressed(&self, server: &ServerName, uri: &str) -> Option<String> {
        self.addressed_within(&mut Effort::default(), server, uri)
    }

    fn addressed_within(
        &self,
        effort: &mut Effort,
        server: &ServerName,
        uri: &str,
    ) -> Option<String> {
        let listed = self.resource(uri).map(|(server, _)| server);
        let first = listed.map_or_else(|| self.matched(uri, effort), |first| Ok(Some(first)));
        // Whoever may have it, its qualified form leads to its server.
        let leads_elsewhere = first.map_or(true, |first| first.is_some_and(|it| it != server));
        leads_elsewhere.then(|| uri::qualified(server, uri))
    }

    /// Whether it names URIs of a server in another way than the server does.
    pub fn is_contested(&self, server: &ServerName) -> bool {
        self.contested.contains(server)
    }
}
