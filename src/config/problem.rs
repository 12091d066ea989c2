//! What is wrong with a configuration: gathered, never first-wins.
//!
//! A problem names a place and a remedy. It never quotes a value that may be a secret.

use std::fmt;

use serde::Serialize;

use super::{
    files::Files,
    path::{KeyPath, Origins},
};

/// One thing to put right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The layer that has it: a file's name, `environment`, `command line`.
    pub file: Option<String>,
    /// The key path, or the line of a text that cannot be read.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do; empty where the message says it already.
    pub remedy: String,
}

impl fmt::Display for Problem {
    /// One line: `config.toml: mcpServers.github.args: what is wrong (what to do)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if !self.remedy.is_empty() {
            write!(f, " ({})", self.remedy)?;
        }
        Ok(())
    }
}

/// Everything that keeps a configuration from being used, one problem a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct ConfigErrors {
    /// The problems, in the order in which they were found. Never empty.
    pub problems: Vec<Problem>,
    /// What was found beside them.
    pub warnings: Vec<Problem>,
    /// Where it was looked for: a change of one of these may put it right.
    pub looked_for: Files,
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

/// Gathers problems while a configuration is read; knows which layer each key came from.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) origins: Origins,
    /// The layer that is read now, while origins are not known yet.
    pub(crate) within: Option<String>,
    /// The files that were read so far.
    pub(crate) files: Files,
    pub(crate) errors: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
}

impl Report {
    pub(crate) fn error(
        &mut self,
        path: &KeyPath,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let problem = self.problem(path, message, remedy);
        self.errors.push(problem);
    }

    pub(crate) fn warn(
        &mut self,
        path: &KeyPath,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let problem = self.problem(path, message, remedy);
        self.warnings.push(problem);
    }

    /// From here on the errors since `mark` are warnings: what is switched off harms nobody.
    pub(crate) fn forgive(&mut self, mark: usize) {
        self.warnings.extend(self.errors.drain(mark..));
    }

    fn problem(
        &self,
        path: &KeyPath,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Problem {
        Problem {
            file: match self.origins.nearest(path) {
                Some(layer) => Some(layer.to_owned()),
                None => self.within.clone(),
            },
            path: path.to_string(),
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

/// How many keys a remedy may list.
const LISTED: usize = 8;

/// The known key that was most likely meant, as a remedy; a short list of all where none is near.
pub(crate) fn nearest_key<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let score =
        |candidate: &str| strsim::jaro_winkler(&candidate.to_lowercase(), &key.to_lowercase());
    let best = known
        .iter()
        .max_by(|one, other| score(one).total_cmp(&score(other)))
        .filter(|best| score(best) > 0.8);
    match best {
        Some(best) => format!("did you mean `{best}`?"),
        None if known.is_empty() || known.len() > LISTED => String::new(),
        None => format!("known here: {}", known.join(", ")),
    }
}
