//! Masks for what may be secret although nothing marks it: parts of URLs and arguments.
//!
//! Arguments are masked by their look, as well as that goes; secrets belong into `env`.

use serde_json::Value;

use crate::secret::{MASK, is_name_of_secret};

/// Masks the user and the query of every URL in a value.
pub(super) fn urls(value: &mut Value) {
    match value {
        Value::String(text) => {
            if text.contains("://") {
                *text = url(text);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(urls),
        Value::Object(table) => table.values_mut().for_each(urls),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Masks the arguments of a command that look like secrets: the value of an option or variable
/// with such a name, in one word or in two.
pub(super) fn arguments(args: &mut [Value]) {
    let mut hide_next = false;
    for value in args {
        let Value::String(text) = value else {
            continue;
        };
        let option = text.starts_with('-');
        let named = text.split_once('=').map(|(name, _)| (name, '='));
        let named = named.or_else(|| text.split_once(':').map(|(name, _)| (name, ':')));
        let masked = match named {
            _ if hide_next && !option => Some(MASK.to_owned()),
            Some((name, sign)) if is_name_of_secret(name) => Some(format!("{name}{sign}{MASK}")),
            Some(_) | None => None,
        };
        hide_next = option && named.is_none() && is_name_of_secret(text);
        if let Some(masked) = masked {
            *text = masked;
        }
    }
}

/// A URL without what identifies its caller: the user, the values of the query, the fragment.
fn url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let (rest, fragment) = match rest.split_once('#') {
        Some((rest, _)) => (rest, format!("#{MASK}")),
        None => (rest, String::new()),
    };
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (rest, None),
    };
    let (authority, path) = match place.split_once('/') {
        Some((authority, path)) => (authority, format!("/{path}")),
        None => (place, String::new()),
    };
    let host = match authority.rsplit_once('@') {
        Some((_, host)) => format!("{MASK}@{host}"),
        None => authority.to_owned(),
    };
    let query = query.map_or_else(String::new, |query| {
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) => format!("{name}={MASK}"),
            None => MASK.to_owned(),
        });
        format!("?{}", pairs.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{host}{path}{query}{fragment}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_url_keeps_its_place_and_loses_its_secrets() {
        for (written, shown) in [
            ("https://example.com/mcp", "https://example.com/mcp"),
            ("https://ada:pw@example.com/mcp", "https://***@example.com/mcp"),
            ("https://example.com?key=pw&pw#pw", "https://example.com?key=***&***#***"),
            ("https://a:p/w@example.com/x", "https://a:p/w@example.com/x"),
            ("postgresql://ada:pw@db:5432/x?sslmode=pw", "postgresql://***@db:5432/x?sslmode=***"),
            ("--db=redis://:pw@db", "--db=redis://***@db"),
        ] {
            assert_eq!(url(written), shown);
        }
    }

    #[test]
    fn arguments_that_look_like_secrets_are_masked() {
        let mut args = json!([
            "-y",
            "--api-key",
            "pw",
            "--token=pw",
            "-e",
            "GITHUB_TOKEN=pw",
            "--header",
            "Authorization: Bearer pw",
            "--verbose",
            "--secret",
            "--port",
            "80"
        ]);
        arguments(args.as_array_mut().unwrap());
        assert_eq!(
            args,
            json!([
                "-y",
                "--api-key",
                "***",
                "--token=***",
                "-e",
                "GITHUB_TOKEN=***",
                "--header",
                "Authorization:***",
                "--verbose",
                "--secret",
                "--port",
                "80"
            ])
        );
    }
}
