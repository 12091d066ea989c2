//! Rules of one server's definition.
//!
//! Values of the environment, headers and URLs are never quoted: they may be secrets.

use super::{glob, globs, not_zero};
use crate::{
    actor::server::ServerConfig,
    config::{path::KeyPath, problem::Report},
    upstream::{
        TransportConfig,
        http::{HttpConfig, is_ours},
        stdio::StdioConfig,
    },
};

/// Checks one server.
pub(crate) fn server(server: &ServerConfig, path: &KeyPath, report: &mut Report) {
    match &server.transport {
        TransportConfig::Stdio(stdio) => child(stdio, path, report),
        TransportConfig::Http(http) => remote(http, path, report),
        // No file can say so.
        TransportConfig::InProcess => {}
    }
    if let Some(timeout) = server.timeout {
        not_zero(timeout, &path.join("timeout"), report);
    }
    for (at, root) in server.roots.iter().enumerate() {
        // The one scheme that the protocol allows (MCP, roots).
        if !root.uri.starts_with("file://") {
            report.error(
                &path.join("roots").join(&at.to_string()).join("uri"),
                "is no file:// URI",
                "such as \"file:///srv/project\" or \"file://${workspaceFolder}\"",
            );
        }
    }
    let tools = path.join("tools");
    globs(&server.tools, &tools, report);
    for (text, rule) in &server.tool_rules {
        glob(text, &tools.join(text), report);
        if let Some(timeout) = rule.timeout {
            not_zero(timeout, &tools.join(text).join("timeout"), report);
        }
    }
}

fn child(stdio: &StdioConfig, path: &KeyPath, report: &mut Report) {
    if stdio.command.contains('\0') {
        report.error(&path.join("command"), "holds a NUL character", "");
    }
    for (at, argument) in stdio.args.iter().enumerate() {
        if argument.contains('\0') {
            report.error(&path.join("args").join(&at.to_string()), "holds a NUL character", "");
        }
    }
    for (name, value) in &stdio.env {
        if name.is_empty() || name.contains(['=', '\0']) || value.expose().contains('\0') {
            report.error(
                &path.join("env").join(name),
                "cannot be a variable of a process",
                "a name without `=`, and no NUL character",
            );
        }
    }
}

fn remote(http: &HttpConfig, path: &KeyPath, report: &mut Report) {
    // An empty URL and one with an unset variable have errors of their own.
    if let Some(rest) = http.url.strip_prefix("unix://") {
        if !rest.starts_with('/') || !rest.contains("#/") {
            report.error(
                &path.join("url"),
                "is no address of a socket's endpoint",
                "such as \"unix:///run/server.sock#/mcp\"",
            );
        }
    } else if !http.url.is_empty() && !http.url.contains("${") {
        url(&http.url, &path.join("url"), report);
    }
    for (name, value) in &http.headers {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let visible = |char: char| !char.is_control() || char == '\t';
        if name.is_empty() || !name.bytes().all(token) || !value.expose().chars().all(visible) {
            report.error(
                &path.join("headers").join(name),
                "cannot be an HTTP header",
                "a name of letters, digits and `-`, and a value of one line",
            );
        } else if is_ours(name) {
            report.error(
                &path.join("headers").join(name),
                "is set by switchboard itself",
                "remove it",
            );
        }
    }
}

/// Checks that a text is an absolute http or https URL. Its text is not quoted.
pub(super) fn url(text: &str, path: &KeyPath, report: &mut Report) {
    let rest = match text.split_once("://") {
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") =>
        {
            rest
        }
        Some(_) | None => {
            report.error(
                path,
                "is not an http or https URL",
                "such as \"https://example.com/mcp\"",
            );
            return;
        }
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let address = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (address, None),
    };
    let blank = |char: char| char.is_whitespace() || char.is_control();
    if host.is_empty() || text.contains(blank) {
        report.error(path, "is a URL without a host, or with white space in it", "");
    } else if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        report.error(path, "is a URL whose port is not a number up to 65535", "");
    }
}
