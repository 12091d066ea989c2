//! `docs/clients.md`: its table is what the tests saw, or the test fails.

use std::{fmt::Write as _, fs, path::Path};

use super::{Row, program::Report};

const BEGIN: &str = "<!-- seen: begin -->\n";
const END: &str = "<!-- seen: end -->\n";
/// Set to anything, it makes the test write the table instead of comparing it.
const UPDATE: &str = "UPDATE_DOCS";

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

/// Compares the page's table with what was seen, or writes it.
pub fn agrees_with(seen: &[(Row, Report)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clients.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the beginning of the table");
    let (written, after) = rest.split_once(END).expect("the end of the table");
    let seen = table(seen);
    if std::env::var_os(UPDATE).is_some() {
        fs::write(path, format!("{before}{BEGIN}{seen}{END}{after}")).unwrap();
    } else {
        assert_eq!(
            written, seen,
            "docs/clients.md differs from what was seen; {UPDATE}=1 make unit writes it anew"
        );
    }
}
