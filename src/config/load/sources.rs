//! What a configuration is read from: files, variables, what the command line says.
//!
//! Plain values, so that a test can say what the process would.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::config::managed::Managed;

/// Everything that a configuration is read from.
#[derive(Clone, Default)]
pub struct Sources {
    /// The files that were asked for, later ones on top of earlier ones. None: the default file
    /// if there is one, else the demonstration servers.
    pub files: Vec<PathBuf>,
    /// The environment. It is never printed.
    pub env: BTreeMap<String, String>,
    /// What the command line says.
    pub overrides: Overrides,
    /// The profile that the command line names; it wins over one that a file names.
    pub profile: Option<Profile>,
    /// What was added while an instance ran; none where there is no state directory.
    pub managed: Option<Managed>,
    /// The running program, for `${switchboard}`.
    pub executable: PathBuf,
    /// The folder that relative file names start from. Must be absolute.
    pub folder: PathBuf,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("files", &self.files)
            .field("overrides", &self.overrides)
            .field("profile", &self.profile)
            .field("managed", &self.managed)
            .field("executable", &self.executable)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// Settings from the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--host`.
    pub host: Option<String>,
    /// `--port`.
    pub port: Option<u16>,
}

/// A named set of monitoring intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Long intervals: little traffic.
    Production,
    /// Short intervals: changes are seen soon.
    Development,
}

impl Profile {
    /// Its name, as in `monitoring = "production"`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Development => "development",
        }
    }

    /// Its layer.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Production => include_str!("../../../config/production.toml"),
            Self::Development => include_str!("../../../config/development.toml"),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Production, Self::Development]
            .into_iter()
            .find(|profile| profile.as_str() == name)
            .ok_or_else(|| format!("unknown profile {name:?}"))
    }
}

impl Sources {
    /// The process's own environment, program and folder. The one place that reads them.
    ///
    /// # Errors
    /// The system could not say where the program or its folder is.
    pub fn from_process(
        files: Vec<PathBuf>,
        overrides: Overrides,
        profile: Option<Profile>,
    ) -> io::Result<Self> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Ok(Self {
            files,
            env: std::env::vars_os().filter_map(text).collect(),
            overrides,
            profile,
            managed: None,
            executable: std::env::current_exe()?,
            folder: std::env::current_dir()?,
        })
    }

    /// The files to read: those asked for, else the default file, else none.
    pub(in crate::config) fn files(&self) -> Vec<PathBuf> {
        if self.files.is_empty() {
            self.default_files().into_iter().find(|file| file.is_file()).into_iter().collect()
        } else {
            self.files.clone()
        }
    }

    /// Where the default file may be, the one that counts first.
    pub(super) fn default_files(&self) -> Vec<PathBuf> {
        let given = |name: &str| self.env.get(name).filter(|value| !value.is_empty());
        let Some(folder) = given("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(Path::new(given("HOME")?).join(".config")))
        else {
            return Vec::new();
        };
        ["toml", "yaml", "yml", "json"]
            .iter()
            .map(|extension| folder.join("switchboard").join("config").with_extension(extension))
            .collect()
    }
}
