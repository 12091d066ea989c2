//! Variables in the strings of a server entry.
//!
//! Pure: the environment comes in as an argument. Errors name variables, never values.

use std::{
    collections::BTreeMap,
    path::{MAIN_SEPARATOR_STR, Path},
};

/// Forms that other clients resolve and that we do not, each with its remedy.
const FOREIGN: [(&str, &str); 5] = [
    ("input", "nobody can be asked here: use an environment variable, such as `${GITHUB_TOKEN}`"),
    ("command", "run the command yourself and put its result into an environment variable"),
    ("config", "write the value here, or use an environment variable"),
    ("file", "put the file's content into an environment variable, or into an `envFile`"),
    ("keyring", "put the secret into an environment variable, or into an `envFile`"),
];

/// What variables stand for.
#[derive(Clone, Copy)]
pub(crate) struct Variables<'a> {
    /// The environment, with `.env` under it.
    pub(crate) environment: &'a BTreeMap<String, String>,
    /// The folder of the file that is read: `${workspaceFolder}`.
    pub(crate) folder: &'a Path,
    /// The running program: `${switchboard}`.
    pub(crate) executable: &'a Path,
}

/// A variable that has no value here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExpandError {
    #[error("the variable {0} is not set")]
    Unset(String),
    #[error("`${{{form}:…}}` is not known here")]
    Foreign { form: &'static str, remedy: &'static str },
    #[error("`${{` has no `}}`")]
    Unclosed,
    #[error("`${{…}}` has no variable's name in it")]
    Malformed,
}

impl ExpandError {
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::Unset(name) => {
                format!(
                    "set it where Switchboard is started or in .env beside the first file, give a \
                     default as in `${{{name}:-…}}`, or disable the server"
                )
            }
            Self::Foreign { remedy, .. } => (*remedy).to_owned(),
            Self::Unclosed | Self::Malformed => "write `$$` for a plain `$`".to_owned(),
        }
    }
}

/// Replaces every variable of a text, or gives everything that is wrong with it.
pub(crate) fn expand(text: &str, variables: Variables<'_>) -> Result<String, Vec<ExpandError>> {
    let mut expanded = String::with_capacity(text.len());
    let mut errors = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
        } else if let Some(braced) = after.strip_prefix('{') {
            let Some((inner, after)) = braced.split_once('}') else {
                errors.push(ExpandError::Unclosed);
                rest = "";
                break;
            };
            match value(inner, variables) {
                Ok(value) => expanded.push_str(&value),
                Err(error) => errors.push(error),
            }
            rest = after;
        } else {
            expanded.push('$');
            rest = after;
        }
    }
    expanded.push_str(rest);
    if errors.is_empty() { Ok(expanded) } else { Err(errors) }
}

/// What the environment puts into a text that can be expanded. Each may be a secret.
pub(crate) fn from_environment(text: &str, environment: &BTreeMap<String, String>) -> Vec<String> {
    let plain = text.replace("$$", "");
    let braced = plain.split("${").skip(1).filter_map(|rest| rest.split_once('}'));
    let names = braced
        .filter_map(|(inner, _)| inner.strip_prefix("env:").unwrap_or(inner).split(':').next());
    names.filter_map(|name| environment.get(name).cloned()).collect()
}

/// The value of what stands between `${` and `}`.
fn value(inner: &str, variables: Variables<'_>) -> Result<String, ExpandError> {
    if let Some(inner) = inner.strip_prefix("env:") {
        return variable(inner, variables);
    }
    for (form, remedy) in FOREIGN {
        if inner.strip_prefix(form).is_some_and(|rest| rest.starts_with(':')) {
            return Err(ExpandError::Foreign { form, remedy });
        }
    }
    match inner {
        "switchboard" => Ok(variables.executable.display().to_string()),
        "workspaceFolder" => Ok(variables.folder.display().to_string()),
        "workspaceFolderBasename" => Ok(variables
            .folder
            .file_name()
            .map(|name| name.display().to_string())
            .unwrap_or_default()),
        "userHome" => variable("HOME", variables),
        "pathSeparator" | "/" => Ok(MAIN_SEPARATOR_STR.to_owned()),
        _ => variable(inner, variables),
    }
}

/// The value of `NAME`, `NAME:default` or `NAME:-default`. A default also stands in for an
/// empty value, as in a shell.
fn variable(inner: &str, variables: Variables<'_>) -> Result<String, ExpandError> {
    let (name, default) = match inner.split_once(':') {
        Some((name, default)) => (name, Some(default.strip_prefix('-').unwrap_or(default))),
        None => (inner, None),
    };
    let valid = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_');
    if !valid {
        return Err(ExpandError::Malformed);
    }
    match (variables.environment.get(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => Ok(value.clone()),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(ExpandError::Unset(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expanded(text: &str) -> Result<String, Vec<ExpandError>> {
        let environment = BTreeMap::from([
            ("TOKEN".to_owned(), "abc".to_owned()),
            ("EMPTY".to_owned(), String::new()),
            ("HOME".to_owned(), "/home/ada".to_owned()),
        ]);
        let variables = Variables {
            environment: &environment,
            folder: Path::new("/srv/space"),
            executable: Path::new("/bin/switchboard"),
        };
        expand(text, variables)
    }

    #[test]
    fn every_form_has_its_value() {
        for (text, value) in [
            ("${TOKEN}", "abc"),
            ("Bearer ${env:TOKEN}!", "Bearer abc!"),
            ("${NONE:fall back}", "fall back"),
            ("${NONE:-fall back}", "fall back"),
            ("${NONE:-}", ""),
            ("${NONE:-a:b}", "a:b"),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("${env:NONE:-x}", "x"),
            ("${TOKEN:-x}${TOKEN}", "abcabc"),
            ("${userHome}/x", "/home/ada/x"),
            ("${workspaceFolder}", "/srv/space"),
            ("${workspaceFolderBasename}", "space"),
            ("${switchboard}", "/bin/switchboard"),
            ("a$$b $${TOKEN} $TOKEN $", "a$b ${TOKEN} $TOKEN $"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_the_environment_gave_is_known() {
        let environment = BTreeMap::from([("TOKEN".to_owned(), "abc".to_owned())]);
        let given = |text| from_environment(text, &environment);
        assert_eq!(given("x${TOKEN}y${env:TOKEN:-z}"), ["abc", "abc"]);
        assert_eq!(given("$$${TOKEN:z}"), ["abc"]);
        assert!(given("$${TOKEN} ${NONE:-TOKEN} ${workspaceFolder} TOKEN").is_empty());
    }

    #[test]
    fn everything_wrong_with_a_text_is_said_at_once() {
        let errors = expanded("${ONE} ${input:two} ${3} ${FOUR").unwrap_err();
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "the variable ONE is not set",
                "`${input:…}` is not known here",
                "`${…}` has no variable's name in it",
                "`${` has no `}`",
            ]
        );
        assert!(errors[1].remedy().contains("environment variable"));
    }

    proptest! {
        #[test]
        fn any_text_is_expanded_or_refused(text in ".*", braced in "[${}:a-zA-Z_-]*") {
            expanded(&text).ok();
            expanded(&braced).ok();
        }

        #[test]
        fn doubled_dollars_give_the_text_back(text in "[${}a-z:]*|.*") {
            prop_assert_eq!(expanded(&text.replace('$', "$$")), Ok(text));
        }
    }
}
