//! Files of MCP clients work as they are.

use std::{path::PathBuf, time::Duration};

use switchboard::{
    config::{Loaded, Sources, load},
    runtime::ServerConfig,
    upstream::{TransportConfig, http::HttpConfig, stdio::StdioConfig},
};

use super::fixture;

/// Loads a client's file as it lies there.
fn client(name: &str, env: &[(&str, &str)]) -> Loaded {
    let sources = Sources {
        files: vec![fixture(name)],
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        folder: fixture(""),
        ..Sources::default()
    };
    load(&sources).unwrap_or_else(|errors| panic!("{errors}"))
}

fn server<'a>(loaded: &'a Loaded, name: &str) -> &'a ServerConfig {
    &loaded.config.mcp_servers[name]
}

fn stdio<'a>(loaded: &'a Loaded, name: &str) -> &'a StdioConfig {
    let TransportConfig::Stdio(stdio) = &server(loaded, name).transport else {
        panic!("{name} is not stdio")
    };
    stdio
}

fn http<'a>(loaded: &'a Loaded, name: &str) -> &'a HttpConfig {
    let TransportConfig::Http(http) = &server(loaded, name).transport else {
        panic!("{name} is not http")
    };
    http
}

fn env<'a>(stdio: &'a StdioConfig, name: &str) -> &'a str {
    stdio.env[name].expose()
}

/// The key path of each warning.
fn warned(loaded: &Loaded) -> Vec<&str> {
    let warnings = loaded.warnings.iter();
    warnings.map(|warning| warning.path.as_str()).collect()
}

#[test]
fn a_file_of_claude_desktop() {
    let loaded = client("claude_desktop_config.json", &[]);
    let files = stdio(&loaded, "filesystem");
    assert_eq!(files.command, "npx");
    assert_eq!(files.args[1], "@modelcontextprotocol/server-filesystem");
    let github = stdio(&loaded, "github");
    assert_eq!(env(github, "GITHUB_PERSONAL_ACCESS_TOKEN"), "ghp_canary");
    assert_eq!(loaded.config.mcp_servers.len(), 2);
    assert_eq!(
        loaded.warnings[0].message,
        "only the servers of this file are read, not globalShortcut, preferences"
    );
}

#[test]
fn a_file_of_claude_code() {
    let loaded = client(".mcp.json", &[("CACHE_DIR", "/var/cache"), ("SENTRY_TOKEN", "abc")]);
    let airtable = stdio(&loaded, "airtable");
    assert_eq!(env(airtable, "AIRTABLE_API_KEY"), "none");
    assert_eq!(env(airtable, "CACHE"), "/var/cache/airtable");
    let timeout = server(&loaded, "airtable").timeout;
    assert_eq!(timeout, Some(Duration::from_secs(30)));
    let sentry = http(&loaded, "sentry");
    assert_eq!(sentry.url, "https://mcp.sentry.dev/mcp");
    assert_eq!(sentry.headers["Authorization"].expose(), "Bearer abc");
    assert_eq!(http(&loaded, "notion").url, "https://mcp.notion.com/mcp");
    assert_eq!(warned(&loaded), ["mcpServers.notion.oauth"]);
}

#[test]
fn a_file_of_cursor() {
    let loaded = client(
        "cursor.json",
        &[("DATABASE_URL", "postgres://db"), ("LINEAR_API_KEY", "abc"), ("HOME", "/home/ada")],
    );
    let postgres = stdio(&loaded, "postgres");
    assert_eq!(PathBuf::from(&postgres.command), fixture("bin/postgres-mcp"));
    assert_eq!(postgres.args, ["--url", "postgres://db"]);
    assert_eq!(env(postgres, "PGPASSWORD"), "pg canary");
    assert_eq!(env(postgres, "PGPORT"), "5433");
    assert_eq!(env(postgres, "PGAPPNAME"), "cursor");
    assert_eq!(env(postgres, "HOME_COPY"), "/home/ada");
    let linear = http(&loaded, "linear");
    assert_eq!(linear.headers["X-Api-Key"].expose(), "abc");
    assert_eq!(warned(&loaded), ["mcpServers.linear.auth"]);
}

#[test]
fn a_file_of_vs_code() {
    let sources = |env: &[(&str, &str)], files: &[PathBuf]| Sources {
        files: files.to_vec(),
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        folder: fixture(""),
        ..Sources::default()
    };
    let file = fixture("vscode.json");
    let problems = load(&sources(&[], std::slice::from_ref(&file))).unwrap_err().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(
        problems[0].to_string(),
        format!(
            "{}: mcpServers.Perplexity.env.PERPLEXITY_API_KEY: `${{input:…}}` is not known here \
             (nobody can be asked here: use an environment variable, such as `${{GITHUB_TOKEN}}`)",
            file.display()
        )
    );
    let disabled = [("SWITCHBOARD_MCPSERVERS__PERPLEXITY__DISABLED", "true")];
    let loaded = load(&sources(&disabled, &[file])).unwrap_or_else(|errors| panic!("{errors}"));
    let playwright = stdio(&loaded, "playwright");
    assert_eq!(env(playwright, "PORT"), "8931");
    assert_eq!(env(playwright, "HEADLESS"), "true");
    assert!(!playwright.env.contains_key("DEBUG"));
    assert_eq!(
        playwright.cwd.as_deref(),
        Some(fixture("").components().collect::<PathBuf>().as_path())
    );
    assert!(!server(&loaded, "Perplexity").enabled);
    assert_eq!(http(&loaded, "github").headers.len(), 0);
}

#[test]
fn a_file_of_cline() {
    let loaded = client("cline_mcp_settings.json", &[]);
    let weather = server(&loaded, "weather");
    assert_eq!(weather.timeout, Some(Duration::from_mins(1)));
    assert!(weather.enabled);
    let search = server(&loaded, "search");
    assert_eq!(search.tools.allow, ["*"]);
    assert_eq!(search.tools.deny, ["delete_[[]all[]]", "reindex"]);
    assert_eq!(http(&loaded, "search").url, "https://search.example.com/mcp");
    // What is switched off fails nothing, and its troubles are warnings.
    assert!(!server(&loaded, "old").enabled);
    assert_eq!(warned(&loaded), ["mcpServers.old.headers.Authorization", "mcpServers.old.type"]);
}

#[test]
fn a_file_of_gemini_cli() {
    let loaded = client(".gemini/settings.json", &[("EXTERNAL_API_KEY", "abc")]);
    let python = server(&loaded, "pythonTools");
    assert_eq!(python.timeout, Some(Duration::from_secs(15)));
    assert_eq!(python.tools.allow, ["safe_tool", "file_reader"]);
    assert_eq!(python.tools.deny, ["dangerous_tool"]);
    assert!(!python.trust_annotations);
    let python = stdio(&loaded, "pythonTools");
    assert_eq!(python.args[3], "8080");
    assert_eq!(python.cwd.as_deref(), Some(fixture(".gemini/mcp-servers/python").as_path()));
    assert_eq!(env(python, "API_KEY"), "abc");
    assert_eq!(env(python, "DATABASE_URL"), "$DB_CONNECTION_STRING");
    assert_eq!(http(&loaded, "httpServer").url, "http://localhost:3000/mcp");
    assert_eq!(
        warned(&loaded),
        ["", "mcpServers.httpServer.url", "mcpServers.pythonTools.env.DATABASE_URL"]
    );
}

#[test]
fn every_client_file_fits_the_published_schema() {
    let validator = jsonschema::validator_for(&switchboard::config::schema()).unwrap();
    for name in [".mcp.json", "cursor.json", "vscode.json", "cline_mcp_settings.json"] {
        let text = std::fs::read_to_string(fixture(name)).unwrap();
        let value: serde_json::Value = match name {
            "vscode.json" => {
                serde_yaml_ng::from_str(&text.replace("// .vscode/mcp.json", "")).unwrap()
            }
            _ => serde_json::from_str(&text).unwrap(),
        };
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|error| format!("{} {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
}
