//! Finds the program of a command as the child would, and says clearly what is wrong with it.
//!
//! Looks at files; starts nothing.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf, absolute, is_separator},
};

use super::system;
use crate::upstream::{ConnectError, stdio::StdioConfig};

/// The program's absolute path: the command itself if it is a path, relative to the child's
/// working directory, or the first match in the child's `PATH`.
pub(super) fn program(
    config: &StdioConfig,
    environment: &BTreeMap<OsString, OsString>,
) -> Result<PathBuf, ConnectError> {
    let wrong = |why: String| ConnectError::Spawn { command: config.command.clone(), why };
    if config.command.is_empty() {
        return Err(wrong("it is empty; name a program".to_owned()));
    }
    let cwd = config.cwd.as_deref().unwrap_or(Path::new("."));
    if !cwd.is_dir() {
        return Err(wrong(format!(
            "its working directory {} does not exist; create it or correct `cwd`",
            cwd.display()
        )));
    }
    let cwd = absolute(cwd).map_err(|error| explain(config, &error))?;
    if config.command.contains(is_separator) {
        let path = cwd.join(&config.command);
        return match look(&path) {
            Found::Program => Ok(path),
            Found::Unusable => Err(wrong(format!("{} is not executable", path.display()))),
            Found::Nothing => Err(wrong(format!("there is no file {}", path.display()))),
        };
    }
    let search = environment.get(OsStr::new("PATH"));
    let mut unusable = None;
    for directory in search.into_iter().flat_map(std::env::split_paths) {
        let path = cwd.join(directory).join(&config.command);
        match look(&path) {
            Found::Program => return Ok(path),
            Found::Unusable => unusable = unusable.or(Some(path)),
            Found::Nothing => {}
        }
    }
    Err(wrong(match unusable {
        Some(path) => format!("{} is not executable", path.display()),
        None => "not found in PATH; give its full path or install it".to_owned(),
    }))
}

/// What the system said when the program was started.
pub(super) fn explain(config: &StdioConfig, error: &io::Error) -> ConnectError {
    let kind = error.kind();
    let why = if system::is_no_program(error) {
        "it is neither a program for this machine nor a script with a `#!` line".to_owned()
    } else if kind == io::ErrorKind::NotFound {
        "the interpreter that its first line names was not found".to_owned()
    } else if kind == io::ErrorKind::PermissionDenied {
        "it is not executable".to_owned()
    } else if [io::ErrorKind::InvalidInput, io::ErrorKind::ArgumentListTooLong].contains(&kind) {
        format!("its arguments or environment are unusable: {error}")
    } else {
        // Such as a shortage, which passes.
        return ConnectError::Transport(format!("cannot start {:?}: {error}", config.command));
    };
    ConnectError::Spawn { command: config.command.clone(), why }
}

enum Found {
    Program,
    Unusable,
    Nothing,
}

fn look(path: &Path) -> Found {
    match fs::metadata(path) {
        Ok(file) if file.is_file() && system::is_executable(&file) => Found::Program,
        Ok(file) if file.is_file() => Found::Unusable,
        Ok(_) | Err(_) => Found::Nothing,
    }
}
