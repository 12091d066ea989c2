//! The official conformance suite against a server of our own, against the same server through
//! Switchboard, and against our side that connects to servers.
//!
//! `tests/scripts/setup.sh` installs the suite. What it finds wrong and is known stands in the
//! baselines beside this file, each entry with its reason; docs/conformance.md has the scores.

mod fixture;
mod suite;

use std::{fmt::Write as _, path::Path};

use futures::{StreamExt as _, future::join_all, stream};
use serde_json::json;

use crate::support::{
    binary::{PROGRAM, Switchboard},
    page,
    wait::until,
};
use fixture::Era;
use suite::Score;

/// Clients at the same time: there may be as few as two cores.
const AT_ONCE: usize = 3;
/// Revisions that the suite has requirements for.
const REVISIONS: [&str; 2] = ["2025-11-25", "2026-07-28"];

impl Era {
    /// As the page calls it.
    fn word(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }
}

/// One row of the page: a revision, what ran, and the score or what no baseline accounts for.
type Row = (&'static str, String, Result<Score, String>);

/// Compares scores with the page's table, once every run went as its baseline says.
fn agree(name: &str, first: &str, rows: &[Row]) {
    let mut table = format!("| Revision | {first} | Passed |\n|---|---|---|\n");
    let mut problems = String::new();
    for (revision, what, score) in rows {
        match score {
            Ok(Score { passed, of }) => {
                writeln!(table, "| {revision} | {what} | {passed} of {of} |").unwrap();
            }
            Err(problem) => writeln!(problems, "{revision}, {what}: {problem}").unwrap(),
        }
    }
    assert!(problems.is_empty(), "{problems}");
    page::agrees_with("conformance.md", name, &table);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fixture_itself_satisfies_the_suite() {
    for (revision, era, all) in [("2025-11-25", Era::Legacy, 30), ("2026-07-28", Era::Modern, 37)] {
        let upstream = fixture::serve_suite(era).await;
        let score = suite::against_server(&upstream.url(), revision, None).await;
        let score = score.unwrap_or_else(|problem| panic!("{problem}"));
        assert_eq!((score.passed, score.of), (all, all), "{revision}");
    }
}

/// The suite's revision against Switchboard, with the fixture behind it in an era.
async fn through_switchboard(revision: &'static str, era: Era) -> Row {
    let upstream = fixture::serve(era).await;
    let switchboard = Switchboard::serve(&json!({
        "mcpServers": { "fixture": { "url": upstream.url(), "isolation": "session" } },
        "catalog": { "prefix": "never" },
    }))
    .await;
    let client = switchboard.client();
    until("the fixture's tools", async || {
        let tools = client.tools().await;
        tools.iter().any(|tool| tool["name"] == "test_simple_text").then_some(())
    })
    .await;
    let era = era.word();
    let baseline = format!("baseline-{revision}-{era}.yml");
    let score = suite::against_server(switchboard.url(), revision, Some(&baseline)).await;
    assert!(switchboard.stop().await.success());
    (revision, era.to_owned(), score)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_fixture_satisfies_passes_through_switchboard() {
    let runs = REVISIONS.into_iter().flat_map(|revision| {
        [Era::Legacy, Era::Modern].map(|era| through_switchboard(revision, era))
    });
    agree("server", "Era of the server", &join_all(runs).await);
}

/// A client program with the suite's server of one scenario.
async fn with_a_server(client: &str, revision: &'static str, scenario: String) -> Row {
    let baseline = format!("baseline-client-{revision}.yml");
    let score = suite::against_client(client, &scenario, revision, Some(&baseline)).await;
    (revision, format!("`{scenario}`"), score)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_of_the_suite_find_nothing_wrong_with_our_upstream_side() {
    // Cargo builds the examples with the tests, beside the program.
    let client = Path::new(PROGRAM).parent().unwrap().join("examples/conformance_client");
    let client = client.to_str().unwrap();
    assert!(Path::new(client).exists(), "{client} is missing: cargo build --examples");
    let runs = REVISIONS.into_iter().flat_map(|revision| {
        let scenarios = suite::required("client", revision).into_iter();
        let ours = scenarios.filter(|scenario| !scenario.starts_with("auth/"));
        ours.map(move |scenario| with_a_server(client, revision, scenario))
    });
    let rows: Vec<Row> = stream::iter(runs).buffered(AT_ONCE).collect().await;
    agree("client", "Scenario", &rows);
}
