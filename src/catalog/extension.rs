//! Extensions of a view: what its servers declare beyond the protocol, what of that clients are
//! told, and which server a method is for that the protocol does not know.
//!
//! An immutable value, built with its view. A method goes to one server or to none: nothing here
//! ever guesses between two.

use std::collections::BTreeMap;

use crate::{
    id::ServerName,
    wire::{Object, RawValue, extension},
};

/// Characters of a method that are repeated in a text.
const LONGEST: usize = 100;

/// What the servers of a view declare beyond the protocol.
#[derive(Clone, Debug, Default)]
pub struct Extensions {
    /// Who declares what, in the order of the servers.
    declared: Vec<(ServerName, String)>,
    shown: Option<Box<RawValue>>,
}

impl Extensions {
    /// Of servers in their order, with what each of them declares.
    pub fn of<'a>(servers: impl IntoIterator<Item = (&'a ServerName, &'a RawValue)>) -> Self {
        let mut declared = Vec::new();
        let mut settings: BTreeMap<(&str, String), Vec<Box<RawValue>>> = BTreeMap::new();
        for (server, raw) in servers {
            let object = Object::read(raw).unwrap_or_default();
            for member in extension::MEMBERS {
                let extensions = object.object(member).unwrap_or_default();
                for (name, value) in extensions.members() {
                    declared.push((server.clone(), name.to_owned()));
                    let of = settings.entry((member, name.to_owned())).or_default();
                    of.push(value.to_owned());
                }
            }
        }
        // What several servers declare could not be told apart when it is used.
        settings.retain(|(_, name), of| of.len() == 1 || extension::is_only_metadata(name));
        let mut shown = Object::default();
        for member in extension::MEMBERS {
            let mut extensions = Object::default();
            for ((_, name), of) in settings.iter().filter(|((of, _), _)| *of == member) {
                if let Some(first) = of.first() {
                    extensions.put(name, &**first);
                }
            }
            if !extensions.is_empty() {
                shown.put(member, &extensions);
            }
        }
        let shown = (!shown.is_empty()).then(|| shown.to_raw());
        Self { declared, shown }
    }

    /// What clients are told: an object of [`extension::MEMBERS`]; `None` for nothing.
    pub fn shown(&self) -> Option<&RawValue> {
        self.shown.as_deref()
    }

    /// The server that a method is for: the only one that declares the extension which it belongs
    /// to by its name, or else the only one that declares any with methods. Where there are
    /// several, the one that its parameters name.
    ///
    /// # Errors
    /// Why there is none, with who declares what.
    pub fn server_of(
        &self,
        method: &str,
        named: Option<&ServerName>,
    ) -> Result<&ServerName, String> {
        let having = |passes: &dyn Fn(&str) -> bool| {
            let of = self.declared.iter().filter(|(_, extension)| passes(extension));
            let mut servers: Vec<&ServerName> = of.map(|(server, _)| server).collect();
            servers.dedup();
            servers
        };
        let method: String = method.chars().take(LONGEST).collect();
        let mut servers = having(&|extension| extension::owns(extension, &method));
        if servers.is_empty() {
            servers = having(&extension::may_have_methods);
        }
        let chosen = servers.iter().find(|server| Some(**server) == named);
        match (&*servers, chosen) {
            ([], _) => {
                Err(format!("unknown method {method:?}; no server here declares extensions"))
            }
            ([only], _) | (_, Some(only)) => Ok(only),
            _ => Err(format!(
                "unknown method {method:?}: it could be for several servers here; they declare {}",
                self.listed()
            )),
        }
    }

    /// The extension that a server's notification is one of, where no other server declares one
    /// that it could be of.
    pub fn told_by(&self, server: &ServerName, method: &str) -> Option<&str> {
        let mut of = self.declared.iter().filter(|(_, name)| extension::owns(name, method));
        let (first, name) = of.next()?;
        (first == server && of.all(|(other, _)| other == server)).then_some(&**name)
    }

    /// The extensions that a server alone declares, of those that its caller declares too.
    pub fn shared_with(&self, server: &ServerName, caller: &RawValue) -> Vec<String> {
        let mut names = extension::names(caller);
        names.retain(|name| {
            let mut of = self.declared.iter().filter(|(_, declared)| declared == name);
            of.next().is_some_and(|(first, _)| first == server) && of.all(|(it, _)| it == server)
        });
        names
    }

    /// Who declares what, for a text.
    fn listed(&self) -> String {
        let mut by_server: BTreeMap<&ServerName, Vec<&str>> = BTreeMap::new();
        for (server, extension) in &self.declared {
            by_server.entry(server).or_default().push(extension);
        }
        let one = |(server, of): (&ServerName, Vec<&str>)| format!("{server}: {}", of.join(", "));
        by_server.into_iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(servers: &[(&str, &str)]) -> Extensions {
        let servers: Vec<(ServerName, Box<RawValue>)> = servers
            .iter()
            .map(|(name, raw)| {
                (ServerName::new(name).unwrap(), RawValue::from_string((*raw).to_owned()).unwrap())
            })
            .collect();
        Extensions::of(servers.iter().map(|(name, raw)| (name, &**raw)))
    }

    const SKILLS: &str = r#"{"extensions":{"io.modelcontextprotocol/skills":{"x":1}}}"#;
    const NAME: &str = "io.modelcontextprotocol/skills";
    const OTHER: &str = r#"{"experimental":{"acme":{}}}"#;
    const APPS: &str = r#"{"extensions":{"io.modelcontextprotocol/ui":{}}}"#;

    /// Calls itself like parts of the protocol.
    const CLAIM: &str = r#"{"extensions":{"tools":{},"resources":{}}}"#;

    #[test]
    fn a_method_goes_to_the_only_server_whose_extension_it_is() {
        let view = view(&[("a", SKILLS), ("b", OTHER), ("c", APPS)]);
        let of = |method| view.server_of(method, None).map(ServerName::as_str);
        assert_eq!(of("skills/list"), Ok("a"));
        assert_eq!(of("acme/x"), Ok("b"));
        let refused = of("what/ever").unwrap_err();
        assert!(refused.contains("a: io.modelcontextprotocol/skills; b: acme"), "{refused}");
        let b = ServerName::new("b").unwrap();
        assert_eq!(view.server_of("what/ever", Some(&b)).unwrap(), &b);
        let c = ServerName::new("c").unwrap();
        assert!(view.server_of("what/ever", Some(&c)).is_err());
    }

    #[test]
    fn a_notification_is_of_the_only_server_that_declares_its_extension() {
        let server = |name: &str| ServerName::new(name).unwrap();
        let [a, b] = ["a", "b"].map(server);
        let one = view(&[("a", SKILLS), ("b", OTHER)]);
        let method = "notifications/skills/changed";
        assert_eq!((one.told_by(&a, method), one.told_by(&b, method)), (Some(NAME), None));
        assert_eq!(one.told_by(&a, "what/ever"), None);
        let caller = RawValue::from_string(SKILLS.to_owned()).unwrap();
        assert_eq!(one.shared_with(&a, &caller), [NAME]);
        assert!(one.shared_with(&b, &caller).is_empty());
        let both = view(&[("a", SKILLS), ("b", SKILLS)]);
        assert_eq!(both.told_by(&a, method), None);
        assert!(both.shared_with(&a, &caller).is_empty());
    }

    #[test]
    fn a_method_of_nobody_goes_to_the_only_server_with_extensions() {
        let alone = view(&[("a", APPS), ("b", OTHER)]);
        assert_eq!(alone.server_of("what/ever", None).unwrap().as_str(), "b");
        for (nobody, method) in [(APPS, "what/ever"), (CLAIM, "tools/secret")] {
            assert!(view(&[("a", nobody)]).server_of(method, None).is_err(), "{method}");
        }
    }

    #[test]
    fn clients_are_told_what_exactly_one_server_declares() {
        let shown = |servers: &[(&str, &str)]| view(servers).shown().map(|it| it.get().to_owned());
        assert_eq!(shown(&[]), None);
        assert_eq!(shown(&[("a", SKILLS), ("b", SKILLS)]), None);
        assert_eq!(shown(&[("a", SKILLS)]).as_deref(), Some(SKILLS));
        let twice = shown(&[("a", APPS), ("b", APPS), ("c", OTHER)]).unwrap();
        assert_eq!(twice, format!("{},{}", &APPS[..APPS.len() - 1], &OTHER[1..]));
    }
}
