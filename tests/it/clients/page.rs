//! `docs/clients.md`: its table is what the tests saw, or the test fails.

use std::fmt::Write as _;

use super::{Row, program::Report};
use crate::support::page;

/// The table of what was seen.
fn table(seen: &[(Row, Report)]) -> String {
    let mut table = String::from("| Client | Version | Over | Setting | Revision |\n");
    table.push_str("|---|---|---|---|---|\n");
    for (row, report) in seen {
        let client = format!("{} `{}`", row.registry(), report.client);
        let cells =
            [&client, &report.version, row.over.words(), row.setting, report.protocol.as_str()];
        writeln!(table, "| {} |", cells.join(" | ")).unwrap();
    }
    table
}

/// The table of who answered: a column for each tool that asks.
fn answering(seen: &[(Row, Report)], tools: &[&str]) -> String {
    let mut table = String::from("| Client | Version | Setting | Revision | legacy: form ");
    table.push_str("| legacy: sampling | modern: form | modern: sampling |\n");
    writeln!(table, "|{}", "---|".repeat(8)).unwrap();
    for (row, report) in seen {
        let client = format!("{} `{}`", row.registry(), report.client);
        let setting = format!("{} | {} | {}", report.version, row.setting, report.protocol);
        let answers: Vec<&str> = tools.iter().map(|tool| &*report.answers[*tool]).collect();
        writeln!(table, "| {client} | {setting} | {} |", answers.join(" | ")).unwrap();
    }
    table
}

/// Compares the page's table of who answers with what was seen, or writes it.
pub fn answering_agrees_with(seen: &[(Row, Report)], tools: &[&str]) {
    page::agrees_with("clients.md", "answers", &answering(seen, tools));
}

/// Compares the page's table with what was seen, or writes it.
pub fn agrees_with(seen: &[(Row, Report)]) {
    page::agrees_with("clients.md", "seen", &table(seen));
}
