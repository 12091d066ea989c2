//! Which parts of a command's arguments are secrets, by their look.
//!
//! A guess, for values that nobody marked: what a variable put there is known and needs none.

use crate::secret::{Secret, is_name_of_secret};

/// The values of options, variables, headers and URL parameters with telling names, and the
/// passwords of URLs: `--token=…`, `--api-key …`, `Authorization: …`, `https://ada:…@host`.
pub(super) fn secrets(args: &[String]) -> Vec<Secret> {
    let mut found = Vec::new();
    let mut is_value = false;
    for argument in args {
        let option = argument.starts_with('-');
        if is_value && !option {
            found.push(argument.as_str());
        }
        is_value = option && !argument.contains('=') && is_name_of_secret(argument);
        found.extend(password(argument));
        for part in argument.split(['?', '&']) {
            let named = part.split_once('=').or_else(|| part.split_once(": "));
            if let Some((name, value)) = named
                && is_name_of_secret(name)
            {
                found.push(value);
                // The scheme of `Bearer …` is none.
                found.extend(value.split_once(' ').map(|(_, credential)| credential));
            }
        }
    }
    found.into_iter().map(|value| Secret::from(value.trim())).collect()
}

/// The password of a URL, or its user where that is all it has.
fn password(argument: &str) -> Option<&str> {
    let (_, rest) = argument.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    Some(user.split_once(':').map_or(user, |(_, password)| password))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(args: &[&str]) -> Vec<String> {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        secrets(&args).iter().map(|secret| secret.expose().to_owned()).collect()
    }

    #[test]
    fn values_with_telling_names_are_secrets() {
        for (args, expected) in [
            (&["--token=one"][..], &["one"][..]),
            (&["--api-key", "two", "free"], &["two"]),
            (&["-e", "GITHUB_TOKEN=three"], &["three"]),
            (&["--header", "Authorization: Bearer four"], &["Bearer four", "four"]),
            (&["https://ada:five@host/mcp"], &["five"]),
            (&["--db=postgres://six@host/x"], &["six"]),
            (&["https://host/mcp?v=1&api_key=seven&x=y"], &["seven"]),
            (&["--token", "--verbose", "free"], &[]),
            (&["-y", "some-package", "--port", "80", "mailto:ada@host"], &[]),
        ] {
            assert_eq!(found(args), expected, "{args:?}");
        }
    }
}
