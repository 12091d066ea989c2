//! Everything wrong is said at once, each with its place and its remedy.

use super::Space;

#[track_caller]
fn says(text: &str, expected: &[&str]) {
    assert_eq!(Space::new().file("a.toml", text).problems(), expected);
}

#[test]
fn every_problem_of_every_file_is_said_at_once() {
    let space = Space::new()
        .file(
            "one.toml",
            "[monitoring]\nhealth_check_seconds = 0\n[mcpServers.a]\ncommand = \"${NOPE}\"\n",
        )
        .file("two.yaml", "limits: {connects: many}\nmcpServers: {b: {url: ftp://x}}\n")
        .file("three.json", "{\"a\": ")
        .file("four.toml", "[timeouts]\ncall = 30\n")
        .env("SWITCHBOARD_SERVR__PORT", "x");
    let mut space = space;
    space.sources.files.push("five.toml".into());
    assert_eq!(
        space.problems(),
        [
            "three.json: line 1, column 7: expected value after colon in object property",
            "five.toml: cannot be read: No such file or directory (os error 2) (give the path of \
             a configuration file)",
            "four.toml: timeouts.call: must be text (such as \"1m\")",
            "two.yaml: limits.connects: must be a whole number from 0 to 4294967295",
            "one.toml: mcpServers.a.command: the variable NOPE is not set (set it where Switchboard is started or in .env beside the first file, give a default \
             as in `${NOPE:-…}`, or disable the server)",
            "two.yaml: mcpServers.b.url: is not an http or https URL (such as \
             \"https://example.com/mcp\")",
            "environment: servr: unknown key, of variables that begin with SWITCHBOARD_SERVR (did you mean `server`?)",
            "one.toml: monitoring.health_check_seconds: 0 is out of range (1 to 3600)",
        ]
    );
}

#[test]
fn a_wrong_type_and_a_mistyped_filter_say_what_may_stand_there() {
    says(
        "[mcpServers.a]\ncommand = \"a\"\nisolation = 5\ntools = { denny = [\"x\"] }\n",
        &[
            "a.toml: mcpServers.a.tools.denny: must be a table with the settings of the tools that \
             this names (did you mean `deny`?)",
            "a.toml: mcpServers.a.isolation: must be one of agent, shared, session",
        ],
    );
}

#[test]
fn unknown_keys_name_the_nearest_one() {
    says(
        "monitorng = 1\n[catalog]\nseperator = \"-\"\n[telemetry.log]\nlevle = \"info\"\n\
         [agents.a]\nserver = []\n[groups.g]\nservers = []\nstrategie = \"x\"\n",
        &[
            "a.toml: catalog.seperator: unknown key (did you mean `separator`?)",
            "a.toml: telemetry.log.levle: unknown key (did you mean `level`?)",
            "a.toml: groups.g.strategie: unknown key (did you mean `strategy`?)",
            "a.toml: agents.a.server: unknown key (did you mean `servers`?)",
            "a.toml: monitorng: unknown key (did you mean `monitoring`?)",
            "a.toml: groups.g.servers: a group needs members (name its servers)",
        ],
    );
}

#[test]
fn a_root_is_a_place_in_the_file_system() {
    says(
        "[mcpServers.a]\ncommand = \"a\"\nroots = [\"file://${workspaceFolder}\", \"/srv\"]\n",
        &[
            "a.toml: mcpServers.a.roots.1.uri: is no file:// URI (such as \"file:///srv/project\" or \
           \"file://${workspaceFolder}\")",
        ],
    );
}

#[test]
fn an_unknown_key_of_an_entry_is_a_warning() {
    let loaded =
        Space::new().file("a.toml", "[mcpServers.a]\ncomand = \"a\"\ncommand = \"b\"\n").loaded();
    assert_eq!(
        loaded.warnings[0].to_string(),
        "a.toml: mcpServers.a.comand: unknown key, not read (did you mean `command`?)"
    );
}

#[test]
fn values_out_of_their_range_are_refused() {
    says(
        "[monitoring]\nhealth_check_seconds = 3601\nreconnection_seconds = 0\n\
         tools_update_hours = 0.001\ncleanup_hours = 721\n\
         [timeouts]\nconnect = \"0s\"\ncall_max = \"1s\"\n\
         [limits]\nconnects = 0\nbody_bytes = \"0\"\nqueue_bytes = \"0\"\n\
         [catalog]\nmax_name_length = 15\nseparator = \"/\"\n\
         [server]\nport = 70000\nsession_idle = \"0s\"\n",
        &[
            "a.toml: server.port: must be a whole number from 0 to 65535",
            "a.toml: monitoring.health_check_seconds: 3601 is out of range (1 to 3600)",
            "a.toml: monitoring.reconnection_seconds: 0 is out of range (1 to 3600)",
            "a.toml: monitoring.tools_update_hours: 0.001 is out of range (0.01 to 168.0)",
            "a.toml: monitoring.cleanup_hours: 721.0 is out of range (0.1 to 720.0)",
            "a.toml: timeouts.connect: must be longer than zero (such as \"30s\")",
            "a.toml: timeouts.call_max: is shorter than `call`, which it bounds (make it at least \
             as long)",
            "a.toml: limits.connects: must not be 0 (1 or more)",
            "a.toml: limits.body_bytes: must not be 0 (1 or more)",
            "a.toml: limits.queue_bytes: must not be 0 (1 or more)",
            "a.toml: catalog.max_name_length: 15 is out of range (16 to 128)",
            "a.toml: catalog.separator: is not a separator that every client accepts in a tool's \
             name (1 to 4 letters, digits, `_`, `-` or `.`)",
            "a.toml: server.session_idle: must be longer than zero (such as \"30s\")",
        ],
    );
}

#[test]
fn a_queue_that_could_not_hold_one_body_is_refused() {
    says(
        "[limits]\nbody_bytes = \"8MiB\"\nqueue_bytes = \"4MiB\"\n",
        &["a.toml: limits.queue_bytes: is smaller than `body_bytes`, so that a call could be too \
           long for any moment (make it at least as large)"],
    );
}

#[test]
fn names_that_lead_nowhere_are_refused() {
    says(
        "[mcpServers.files]\ncommand = \"a\"\n[mcpServers.\" b\"]\ncommand = \"b\"\n\
         [groups.one]\nservers = [\"files\", \"fils\"]\n[groups.two]\nservers = [\"files\"]\n\
         [agents.store]\n[agents.a]\nservers = [\"web\"]\ntools = { deny = [\"[\"] }\n\
         [agents.a.mcpServers.files]\ncommand = \"c\"\n",
        &[
            "a.toml: mcpServers.\" b\": server \" b\" must not start or end with white space \
             (choose another name)",
            "a.toml: agents.store: agent \"store\" is reserved for the store; choose another name",
            "a.toml: groups.one.servers: the server \"fils\" is not configured (did you mean \
             `files`?)",
            "a.toml: groups.two.servers: \"files\" is in the group \"one\" already (a server has \
             one failure domain: take it out of one group)",
            "a.toml: agents.a.servers: the server \"web\" is not configured (known here: files)",
            "a.toml: agents.a.tools.deny: \"[\" is not a glob: unclosed character class; missing \
             ']' (`*`, `?`, `[ab]` and `{one,two}` are patterns; `[[]` is a plain bracket)",
            "a.toml: agents.a.mcpServers.files: hides the top-level server of the same name \
             (choose another name)",
        ],
    );
}

#[test]
fn entries_that_cannot_be_started_are_refused() {
    says(
        "[mcpServers.a]\ncommand = \"\"\n\
         [mcpServers.b]\n\
         [mcpServers.c]\ntype = \"sse\"\nurl = \"https://example.com/sse\"\n\
         [mcpServers.d]\ntype = \"carrier pigeon\"\n\
         [mcpServers.e]\ntype = \"stdio\"\nurl = \"https://example.com\"\n\
         [mcpServers.f]\ncommand = \"f\"\nenvFile = \"/none/vars\"\n\
         [mcpServers.g]\nurl = \"https://example.com:port\"\nheaders = { \"a b\" = \"c\" }\n\
         [mcpServers.h]\ncommand = \"h\"\ntimeout = 0\nargs = \"x\"\nstartup = \"soon\"\n\
         tools = { \"get_[\" = { timeout = \"0s\", retires = 1 } }\nmax_in_flight = 0\n\
         [mcpServers]\ni = \"npx\"\n",
        &[
            "a.toml: mcpServers.a.command: a server of type stdio needs a command",
            "a.toml: mcpServers.b: has neither a command nor a url (give one of them)",
            "a.toml: mcpServers.c.type: switchboard 0.1.0 has no sse transport (use the server's \
             streamable HTTP endpoint, with \"http\" as its type)",
            "a.toml: mcpServers.d.type: must be stdio or http",
            "a.toml: mcpServers.e.type: is stdio, but the server has a url and no command (take \
             `type` out, or make it \"http\")",
            "a.toml: mcpServers.f.envFile: cannot read /none/vars: No such file or directory (os \
             error 2) (relative paths start from the configuration file's folder)",
            "a.toml: mcpServers.g.url: is a URL whose port is not a number up to 65535",
            "a.toml: mcpServers.g.headers.\"a b\": cannot be an HTTP header (a name of letters, \
             digits and `-`, and a value of one line)",
            "a.toml: mcpServers.h.args: must be a list",
            "a.toml: mcpServers.h.tools.\"get_[\".retires: unknown key (did you mean `retry`?)",
            "a.toml: mcpServers.h.max_in_flight: must be a whole number from 1 to 4294967295",
            "a.toml: mcpServers.h.startup: must be one of eager, lazy",
            "a.toml: mcpServers.h.timeout: must be longer than zero (such as \"30s\")",
            "a.toml: mcpServers.h.tools.\"get_[\": \"get_[\" is not a glob: unclosed character \
             class; missing ']' (`*`, `?`, `[ab]` and `{one,two}` are patterns; `[[]` is a plain \
             bracket)",
            "a.toml: mcpServers.h.tools.\"get_[\".timeout: must be longer than zero (such as \
             \"30s\")",
            "a.toml: mcpServers.i: must be a table of keys",
        ],
    );
}

#[test]
fn a_disabled_entry_fails_nothing() {
    let loaded = Space::new()
        .file(
            "a.toml",
            "[mcpServers.a]\ndisabled = true\ntype = \"ws\"\nargs = 5\ntimeout = 0\n\
             env = { A = [1] }\n[mcpServers.b]\nenabled = false\ncommand = \"${NOPE}\"\n\
             [groups.g]\nservers = [\"a\", \"b\"]\n",
        )
        .loaded();
    assert_eq!(loaded.config.mcp_servers.len(), 2);
    assert!(loaded.config.mcp_servers.values().all(|server| !server.enabled));
    assert!(loaded.warnings.len() >= 4, "{:?}", loaded.warnings);
}

#[test]
fn listening_beyond_this_machine_is_a_decision() {
    for host in ["0.0.0.0", "::", "192.168.1.2", "example.com"] {
        let mut space = Space::new().file("a.toml", "");
        space.sources.overrides.host = Some(host.to_owned());
        let problems = space.problems();
        assert!(
            problems[0].starts_with(&format!("command line: server.host: \"{host}\" is reachable")),
            "{problems:?}"
        );
        assert!(problems[0].contains("access.insecure = true"), "{problems:?}");
        space = space.file("b.toml", "[access]\ninsecure = true\n");
        assert_eq!(space.loaded().config.server.host, host);
    }
    for host in ["127.0.0.1", "127.3.2.1", "::1", "[::1]", "localhost"] {
        let mut space = Space::new().file("a.toml", "");
        space.sources.overrides.host = Some(host.to_owned());
        assert_eq!(space.loaded().config.server.host, host);
    }
}

#[test]
fn a_server_under_both_root_keys_and_an_unknown_profile_are_refused() {
    let space = Space::new().file(
        "a.json",
        r#"{"mcpServers": {"a": {"command": "a"}}, "servers": {"a": {"command": "b"}},
            "monitoring": "fast"}"#,
    );
    assert_eq!(
        space.problems(),
        [
            "a.json: servers.a: the same server stands under `mcpServers` too (keep one of them)",
            "a.json: monitoring: unknown profile \"fast\" (\"production\", \"development\", or a \
             table)",
        ]
    );
}

#[test]
fn a_line_of_an_env_file_that_cannot_be_read_is_named() {
    let space = Space::new().file("a.toml", "").beside(".env", "GOOD=1\n\nTOKEN=hunter 2\n");
    assert_eq!(
        space.problems(),
        [".env: line 3: not a line of the form NAME=value (put a value with spaces or signs into \
          quotes)"]
    );
}

#[test]
fn no_problem_speaks_of_rust() {
    says(
        "[mcpServers.a]\ncommand = \"a\"\ninherit_env = 5\nmax_in_flight = -1\norder = \"x\"\n\
         tags = 3\nenv = 4\n[mcpServers.a.tools]\nallow = \"*\"\n[agents.a]\nservers = 3\n\
         [agents.b]\nservers = [\"\"]\n",
        &[
            "a.toml: mcpServers.a.env: must be a table of keys",
            "a.toml: mcpServers.a.inherit_env: must be true, false, or a list of names",
            "a.toml: mcpServers.a.max_in_flight: must be a whole number from 1 to 4294967295",
            "a.toml: mcpServers.a.order: must be a whole number",
            "a.toml: mcpServers.a.tags: must be a list",
            "a.toml: mcpServers.a.tools.allow: must be a list",
            "a.toml: agents.a.servers: must be a list",
            "a.toml: agents.b.servers: server \"\" must have 1 to 128 bytes",
        ],
    );
}

#[test]
fn a_default_file_that_is_not_there_is_looked_for() {
    let looked_for = Space::new().loaded().looked_for;
    let first = looked_for.paths().next().unwrap().to_owned();
    assert!(first.ends_with(".config/switchboard/config.json"), "{first:?}");
    assert_eq!(looked_for.paths().count(), 4);
}

#[test]
fn a_type_that_contradicts_its_entry_is_what_is_put_right() {
    says(
        "[mcpServers]\na = {type = \"sse\", command = \"npx\"}\nb = {type = \"http\", command = \"npx\"}\n\
         c = {type = \"stdio\", url = \"http://x\"}\n",
        &[
            "a.toml: mcpServers.a.type: is sse, but the server has a command and no url (take \
             `type` out, or make it \"stdio\")",
            "a.toml: mcpServers.b.type: is http, but the server has a command and no url (take \
             `type` out, or make it \"stdio\")",
            "a.toml: mcpServers.c.type: is stdio, but the server has a url and no command (take \
             `type` out, or make it \"http\")",
        ],
    );
}
