//! From sources to a configuration: the layers in their order, then everything typed and checked.
//!
//! Reads the files that it is given and nothing of the process: that is
//! [`Sources::from_process`] alone.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    Config,
    check::{self, missing_programs},
    dialect, environment,
    files::Files,
    layer::{Layer, merge},
    managed::only_servers,
    parse::{Tree, parse},
    path::{KeyPath, Origins},
    problem::{ConfigErrors, Problem, Report, nearest_key},
    read::{read, table, tables, take},
    server::{Places, Written, servers},
};
use crate::id::AgentId;

mod sources;

pub use sources::{Overrides, Profile, Sources};

/// What holds without any file: `config/default.toml`.
pub(super) const DEFAULT: &str = include_str!("../../config/default.toml");

/// A configuration that may be used.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// What was left out or looks wrong, and does no harm.
    pub warnings: Vec<Problem>,
    /// Which layer each value came from.
    pub origins: Origins,
    /// The files that were read, in their order, as they were named.
    pub files: Vec<PathBuf>,
    /// Every file that was looked for, there or not: a change of one may change the settings.
    pub looked_for: Files,
    /// Texts of entries that hold variables, as they were written.
    pub(super) written: Written,
}

/// Reads a configuration: defaults, profile, files, `.env`, environment, command line, each on
/// top of those before it.
///
/// # Errors
/// [`ConfigErrors`] has everything that is wrong.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let (loaded, problems) = gather(sources);
    judge(loaded, problems)
}

/// The same for whoever wants to know before anything is started: it also warns of programs that
/// are missing, whatever else is wrong.
///
/// # Errors
/// [`ConfigErrors`] has everything that is wrong.
pub fn inspect(sources: &Sources) -> Result<Loaded, ConfigErrors> {
    let (mut loaded, problems) = gather(sources);
    let mut missing = missing_programs(&loaded, sources);
    // A command that could not be read is no program's name.
    missing.retain(|missing| problems.iter().all(|problem| problem.path != missing.path));
    loaded.warnings.extend(missing);
    judge(loaded, problems)
}

fn judge(loaded: Loaded, problems: Vec<Problem>) -> Result<Loaded, ConfigErrors> {
    if problems.is_empty() {
        return Ok(loaded);
    }
    let Loaded { warnings, looked_for, .. } = loaded;
    Err(ConfigErrors { problems, warnings, looked_for })
}

/// What the sources say as far as it can be understood, and what is wrong with it.
fn gather(sources: &Sources) -> (Loaded, Vec<Problem>) {
    let mut report = Report::default();
    let files = sources.files();
    if sources.files.is_empty() {
        sources.default_files().iter().for_each(|file| report.files.look(file));
    }
    let mut reading = Reading { sources, roots: roots(), layers: Vec::new(), profile: None };
    reading.defaults(files.is_empty(), &mut report);
    for file in &files {
        reading.file(file, &mut report);
    }
    reading.managed(&mut report);
    let variables = reading.variables(files.first(), &mut report);
    reading.command_line();
    reading.profile(&mut report);
    let merged = merge(&reading.layers);
    let (tree, origins) = merged.unwrap_or_else(|error| {
        report.error(&KeyPath::default(), error, "");
        (Tree::new(), Origins::default())
    });
    report.origins = origins;
    let places = Places {
        environment: &variables,
        executable: &sources.executable,
        folders: reading
            .layers
            .iter()
            .map(|layer| (layer.name.clone(), layer.folder.clone()))
            .collect(),
        folder: reading.folder(),
    };
    let mut written = Written::new();
    let config = settings(tree, &reading.roots, &places, &mut written, &mut report);
    check::check(&config, &mut report);
    let Report { origins, files: looked_for, errors, warnings, .. } = report;
    (Loaded { config, warnings, origins, files, looked_for, written }, errors)
}

/// The root keys of this build.
fn roots() -> Vec<String> {
    match serde_json::to_value(Config::default()) {
        Ok(Value::Object(tree)) => tree.into_iter().map(|(key, _)| key).collect(),
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// Reads a `.env` that need not be there.
fn read_variables(file: &Path, files: &mut Files) -> Result<BTreeMap<String, String>, Problem> {
    match files.read(file) {
        Ok(text) => environment::variables(".env", &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(Problem {
            file: Some(file.display().to_string()),
            path: String::new(),
            message: format!("cannot be read: {error}"),
            remedy: "make it readable, or take it away".to_owned(),
        }),
    }
}

/// The layers so far.
struct Reading<'a> {
    sources: &'a Sources,
    roots: Vec<String>,
    layers: Vec<Layer>,
    profile: Option<(String, String)>,
}

impl Reading<'_> {
    /// Where relative paths start that no file has written.
    fn folder(&self) -> &Path {
        &self.sources.folder
    }

    fn push(&mut self, name: &str, folder: PathBuf, mut tree: Tree, report: &mut Report) {
        report.within = Some(name.to_owned());
        let file_name = Path::new(name).file_name().and_then(|name| name.to_str());
        let profile = dialect::translate(&mut tree, file_name.unwrap_or_default(), report);
        if let Some(profile) = profile {
            self.profile = Some((profile, name.to_owned()));
        }
        report.within = None;
        self.layers.push(Layer { name: name.to_owned(), folder, tree });
    }

    /// The built-in layer. Its demonstration servers are there only for who has no file.
    fn defaults(&mut self, demonstration: bool, report: &mut Report) {
        match parse("default.toml", DEFAULT) {
            Ok(mut tree) => {
                tree.retain(|key, _| {
                    self.roots.contains(key) && (demonstration || key != "mcpServers")
                });
                self.push("default", self.folder().to_owned(), tree, report);
            }
            Err(problem) => report.errors.push(problem),
        }
    }

    /// The layer of servers that were added while an instance ran.
    fn managed(&mut self, report: &mut Report) {
        let Some(managed) = &self.sources.managed else { return };
        let name = managed.path.display().to_string();
        let text = match &managed.text {
            Some(text) => {
                report.files.will_say(&managed.path, text);
                Ok(text.clone())
            }
            None => report.files.read(&managed.path),
        };
        match text {
            Ok(text) => match parse(&name, &text) {
                Ok(mut tree) => {
                    report.within = Some(name.clone());
                    only_servers(&mut tree, report);
                    self.push(&name, self.folder().to_owned(), tree, report);
                }
                Err(problem) => report.errors.push(problem),
            },
            // A state directory that is none is refused by who takes it.
            Err(error)
                if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory]
                    .contains(&error.kind()) => {}
            Err(error) => report.errors.push(Problem {
                file: Some(name),
                path: String::new(),
                message: format!("cannot be read: {error}"),
                remedy: "make it readable, or take it away".to_owned(),
            }),
        }
    }

    fn file(&mut self, file: &Path, report: &mut Report) {
        let name = file.display().to_string();
        match report.files.read(&self.folder().join(file)) {
            Ok(text) => match parse(&name, &text) {
                Ok(tree) => self.push(&name, self.folder_of(file), tree, report),
                Err(problem) => report.errors.push(problem),
            },
            Err(error) => report.errors.push(Problem {
                file: Some(name),
                path: String::new(),
                message: format!("cannot be read: {error}"),
                remedy: "give the path of a configuration file".to_owned(),
            }),
        }
    }

    /// The folder that a file's relative paths start from.
    fn folder_of(&self, file: &Path) -> PathBuf {
        let file = self.folder().join(file);
        file.parent().unwrap_or(&file).to_owned()
    }

    /// The layers of `.env` beside the first file and of the environment. Gives the variables
    /// that entries may use: the environment's, with `.env` under it.
    fn variables(
        &mut self,
        first: Option<&PathBuf>,
        report: &mut Report,
    ) -> BTreeMap<String, String> {
        let folder = first.map_or_else(|| self.folder().to_owned(), |file| self.folder_of(file));
        let mut variables = BTreeMap::new();
        if first.is_some() {
            match read_variables(&folder.join(".env"), &mut report.files) {
                Ok(read) => variables = read,
                Err(problem) => report.errors.push(problem),
            }
            self.environment(".env", &folder, &variables, report);
        }
        self.environment("environment", &folder, &self.sources.env, report);
        variables.extend(self.sources.env.clone());
        variables
    }

    fn environment(
        &mut self,
        name: &str,
        folder: &Path,
        variables: &BTreeMap<String, String>,
        report: &mut Report,
    ) {
        // A merge that fails here fails again, and is reported, when all layers are there.
        let below = merge(&self.layers).unwrap_or_default().0;
        let (tree, profile) = environment::tree(variables, &below, &self.roots);
        if let Some(profile) = profile {
            self.profile = Some((profile, name.to_owned()));
        }
        self.push(name, folder.to_owned(), tree, report);
    }

    fn command_line(&mut self) {
        let mut server = Tree::new();
        if let Some(host) = &self.sources.overrides.host {
            server.insert("host".to_owned(), json!(host));
        }
        if let Some(port) = self.sources.overrides.port {
            server.insert("port".to_owned(), json!(port));
        }
        if !server.is_empty() {
            self.layers.push(Layer {
                name: "command line".to_owned(),
                folder: self.folder().to_owned(),
                tree: Tree::from_iter([("server".to_owned(), Value::Object(server))]),
            });
        }
    }

    /// The profile's layer, right above the defaults.
    fn profile(&mut self, report: &mut Report) {
        let named = match (self.sources.profile, &self.profile) {
            (Some(profile), _) => profile,
            (None, Some((name, layer))) => match name.parse() {
                Ok(profile) => profile,
                Err(unknown) => {
                    report.errors.push(Problem {
                        file: Some(layer.clone()),
                        path: "monitoring".to_owned(),
                        message: unknown,
                        remedy: "\"production\", \"development\", or a table".to_owned(),
                    });
                    return;
                }
            },
            (None, None) => return,
        };
        match parse("profile.toml", named.text()) {
            Ok(tree) => self.layers.insert(
                1.min(self.layers.len()),
                Layer { name: format!("profile {named}"), folder: self.folder().to_owned(), tree },
            ),
            Err(problem) => report.errors.push(problem),
        }
    }
}

/// The typed settings of a merged tree.
fn settings(
    mut tree: Tree,
    roots: &[String],
    places: &Places<'_>,
    written: &mut Written,
    report: &mut Report,
) -> Config {
    let mut config = Config {
        monitoring: table(&mut tree, "monitoring", report),
        timeouts: table(&mut tree, "timeouts", report),
        limits: table(&mut tree, "limits", report),
        catalog: table(&mut tree, "catalog", report),
        #[cfg(feature = "face-http")]
        server: table(&mut tree, "server", report),
        access: table(&mut tree, "access", report),
        #[cfg(feature = "cli")]
        telemetry: table(&mut tree, "telemetry", report),
        ..Config::default()
    };
    let path = KeyPath::root("mcpServers");
    let mut entries = take(&mut tree, "mcpServers", &path, report);
    config.mcp_servers = servers(&mut entries, &path, places, written, report);
    for (name, group) in tables(&mut tree, "groups", report) {
        let path = KeyPath::root("groups").join(&name);
        if let Some(group) = read(&json!({"servers": []}), &group, &path, report) {
            config.groups.insert(name, group);
        }
    }
    for (name, mut agent) in tables(&mut tree, "agents", report) {
        let path = KeyPath::root("agents").join(&name);
        let private = path.join("mcpServers");
        let mut entries = take(&mut agent, "mcpServers", &private, report);
        let read = read(&json!({}), &agent, &path, report);
        let mut agent: crate::runtime::AgentConfig = read.unwrap_or_default();
        agent.private = servers(&mut entries, &private, places, written, report);
        match AgentId::new(&name) {
            Ok(id) => {
                config.agents.insert(id, agent);
            }
            Err(error) => report.error(&path, error.to_string(), ""),
        }
    }
    for key in tree.keys() {
        let remedy = match key.as_str() {
            "server" | "telemetry" => "this build was made without it".to_owned(),
            _ => nearest_key(key, roots.iter().map(String::as_str)),
        };
        let path = KeyPath::root(key);
        let is_variable = report.origins.nearest(&path) == Some("environment");
        let message = if is_variable {
            format!("unknown key, of variables that begin with {}", environment::named(key))
        } else {
            "unknown key".to_owned()
        };
        report.error(&path, message, remedy);
    }
    config
}
