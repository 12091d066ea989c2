//! The instructions of a view: each server's advice to the model under its name, in the order of
//! the servers.
//!
//! Pure. Models read all of it before anything else, so no server may fill their memory alone.

use std::sync::Arc;

use crate::id::ServerName;

/// Characters of one server's.
const OF_ONE: usize = 8 * 1024;
/// Characters of all of them; what is left out is said.
const OF_ALL: usize = 64 * 1024;

/// The instructions of servers, in their order; `None` where none gives any.
pub fn merged<'a>(servers: impl Iterator<Item = (&'a ServerName, &'a str)>) -> Option<Arc<str>> {
    let mut all = String::new();
    let mut length = 0;
    for (server, text) in servers.filter(|(_, text)| !text.trim().is_empty()) {
        if length >= OF_ALL {
            all.push_str("\n\n(more servers give instructions; they are left out)");
            break;
        }
        if !all.is_empty() {
            all.push_str("\n\n");
        }
        let cut = text.char_indices().nth(OF_ONE).and_then(|(at, _)| text.get(..at));
        let said = cut.unwrap_or(text).trim_end();
        all.extend(["## ", server.as_str(), "\n\n", said]);
        if cut.is_some() {
            all.push_str("\n\n(cut off here)");
        }
        length += text.chars().take(OF_ONE).count();
    }
    (!all.is_empty()).then(|| all.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(servers: &[(&str, &str)]) -> Option<Arc<str>> {
        let named: Vec<(ServerName, &str)> =
            servers.iter().map(|(name, text)| (ServerName::new(name).unwrap(), *text)).collect();
        merged(named.iter().map(|(server, text)| (server, *text)))
    }

    #[test]
    fn each_server_speaks_under_its_name() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[("a", " \n")]), None);
        let both = of(&[("a", "be kind\n"), ("b", ""), ("c", "be quick")]).unwrap();
        assert_eq!(&*both, "## a\n\nbe kind\n\n## c\n\nbe quick");
    }

    #[test]
    fn no_server_fills_the_memory_of_a_model() {
        let long = "ö".repeat(OF_ONE + 1);
        let cut = of(&[("a", &long), ("b", "short")]).unwrap();
        assert_eq!(cut.matches('ö').count(), OF_ONE);
        assert!(cut.contains("(cut off here)\n\n## b\n\nshort"));
        let names: Vec<String> = (0..20).map(|n| format!("s{n}")).collect();
        let many: Vec<(&str, &str)> = names.iter().map(|name| (&**name, &*long)).collect();
        let all = of(&many).unwrap();
        assert_eq!(all.matches('ö').count(), OF_ALL);
        assert!(all.ends_with("they are left out)"));
    }
}
