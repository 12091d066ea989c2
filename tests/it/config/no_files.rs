//! What is named as a file and is none, or says nothing for a moment: refused at once, and whatever
//! runs goes on.

use std::{
    fs,
    path::Path,
    process::Output,
    sync::mpsc::{RecvTimeoutError, channel},
};

use rustix::fs::{CWD, Mode, mkfifoat};
use serde_json::json;

use super::Space;
use crate::support::{
    binary::{PROGRAM, Switchboard},
    wait::{PATIENCE, until},
};

fn pipe(path: &Path) {
    mkfifoat(CWD, path, Mode::from_raw_mode(0o600)).unwrap();
}

/// The problems of a configuration whose reading may never end.
fn problems(space: Space) -> Vec<String> {
    let (told, problems) = channel();
    let reading = std::thread::spawn(move || told.send(space.problems()).unwrap());
    match problems.recv_timeout(PATIENCE) {
        Ok(problems) => problems,
        Err(RecvTimeoutError::Timeout) => panic!("it is still being read"),
        Err(RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(reading.join().unwrap_err())
        }
    }
}

#[test]
fn a_pipe_or_a_directory_is_no_file_of_a_configuration() {
    for is_pipe in [true, false] {
        let what = if is_pipe { "a pipe" } else { "a directory" };
        let make = |path: &Path| if is_pipe { pipe(path) } else { fs::create_dir(path).unwrap() };
        let mut space = Space::new();
        space.sources.files.push("named.toml".into());
        make(&space.folder.path().join("named.toml"));
        let found = problems(space);
        let said = "named.toml: cannot be read: it is no regular file; copy it to one";
        assert!(found.len() == 1 && found[0].starts_with(said), "{what}: {found:?}");

        let entry = "[mcpServers.a]\ncommand = \"true\"\nenvFile = \"vars\"\n";
        for file in [".env", "vars"] {
            let space = Space::new().file("a.toml", entry);
            let space = if file == ".env" { space.beside("vars", "") } else { space };
            make(&space.folder.path().join(file));
            let found = problems(space);
            let is_told = |said: &String| said.contains(file) && said.contains("no regular file");
            assert!(found.iter().any(is_told), "{what} {file}: {found:?}");
        }
    }
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[tokio::test]
async fn an_emptied_file_and_a_pipe_in_its_place_change_nothing_that_runs() {
    let entry = json!({ "command": PROGRAM, "args": ["demo-server"] });
    let config = json!({ "mcpServers": { "a": entry } });
    let switchboard = Switchboard::serve(&config).await;
    let (client, file) = (switchboard.client(), switchboard.config());
    let said = json!({ "text": "on" });
    assert_eq!(client.call("a_echo", said.clone()).await.text(), "on");

    fs::write(&file, "").unwrap();
    let why = refused(&switchboard.command(&["reload"]).await);
    assert!(why.contains("config.json: was read before and is gone or empty"), "{why}");
    until("the change of the file itself is refused too", async || {
        switchboard.log().contains("is gone or empty").then_some(())
    })
    .await;
    fs::remove_file(&file).unwrap();
    pipe(&file);
    let why = refused(&switchboard.command(&["reload"]).await);
    assert!(why.contains("it is no regular file; copy it to one"), "{why}");
    assert_eq!(client.call("a_echo", said).await.text(), "on");
    let status = switchboard.status().await;
    let server = &status["servers"][0];
    assert_eq!((&server["state"], &server["incarnation"]), (&json!("ready"), &json!(1)));

    fs::remove_file(&file).unwrap();
    switchboard.configure(&json!({ "mcpServers": {} }));
    until("it is followed as before", async || {
        switchboard.status().await["servers"].as_array().unwrap().is_empty().then_some(())
    })
    .await;
    assert!(switchboard.stop().await.success());
}
