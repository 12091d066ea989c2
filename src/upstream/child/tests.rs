//! What is wrong with a command, in words.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::*;
use crate::secret::Secret;

async fn why(config: &StdioConfig) -> String {
    match spawn(config, &Guard::none(), Arc::new(StderrRing::default())).await {
        Ok(_) => panic!("started"),
        Err(error) => {
            assert!(matches!(error, ConnectError::Spawn { .. }), "{error}");
            error.to_string()
        }
    }
}

fn with_path(command: &str, path: &Path) -> StdioConfig {
    let path = path.to_str().unwrap();
    StdioConfig {
        env: [("PATH".to_owned(), Secret::from(path))].into(),
        ..StdioConfig::new(command)
    }
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_command_that_cannot_run_says_why() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    write(&at("plain"), "text", 0o644);
    write(&at("orphan"), "#!/no/such/interpreter\n", 0o755);
    write(&at("broken"), "\u{0}\u{1}", 0o755);
    fs::create_dir(at("folder")).unwrap();

    for (command, expected) in [
        ("no-such-program", "not found in PATH; give its full path or install it"),
        ("folder", "not found in PATH"),
        ("plain", "plain is not executable"),
        ("orphan", "the interpreter that its first line names was not found"),
        ("broken", "neither a program for this machine nor a script"),
        ("", "it is empty"),
        ("./no-such-file", "there is no file"),
    ] {
        let text = why(&with_path(command, home.path())).await;
        let start = format!("cannot start {command:?}: ");
        assert!(text.starts_with(&start) && text.contains(expected), "{text}");
    }
    let text = why(&StdioConfig { cwd: Some(at("nowhere")), ..StdioConfig::new("true") }).await;
    assert!(text.contains("nowhere does not exist"), "{text}");
    let text =
        why(&StdioConfig { args: vec!["\u{0}".to_owned()], ..StdioConfig::new("true") }).await;
    assert!(text.contains("arguments or environment"), "{text}");
}

async fn ends(config: &StdioConfig) -> String {
    let (process, _stdout, _stdin) =
        spawn(config, &Guard::none(), Arc::new(StderrRing::default())).await.unwrap();
    process.ended().await.to_string()
}

#[tokio::test]
async fn a_program_is_found_as_the_child_would_find_it() {
    let home = tempfile::tempdir().unwrap();
    write(&home.path().join("mine"), "#!/bin/sh\nexit 5\n", 0o755);
    let five = "the process exited with code 5";
    assert_eq!(ends(&with_path("mine", home.path())).await, five);
    let relative = StdioConfig { cwd: Some(home.path().to_owned()), ..StdioConfig::new("./mine") };
    assert_eq!(ends(&relative).await, five);
    let by_relative_path =
        StdioConfig { cwd: Some(home.path().to_owned()), ..with_path("mine", Path::new(".")) };
    assert_eq!(ends(&by_relative_path).await, five);
}

#[tokio::test]
async fn signals_have_names() {
    for (signal, name) in [("KILL", "SIGKILL"), ("TERM", "SIGTERM"), ("USR2", "signal 12")] {
        let config = StdioConfig {
            args: vec!["-c".to_owned(), format!("kill -{signal} $$")],
            ..StdioConfig::new("sh")
        };
        assert_eq!(ends(&config).await, format!("the process was killed by {name}"));
    }
}
