//! Tables in the documentation that are what the tests saw, or the test fails.

use std::{fs, path::Path};

/// Set to anything, it makes the tests write their tables instead of comparing them.
const UPDATE: &str = "UPDATE_DOCS";

/// Compares the table of this name in a page of `docs` with what was seen, or writes it.
pub fn agrees_with(page: &str, name: &str, seen: &str) {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->\n"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(&begin).expect("the beginning of the table");
    let (written, after) = rest.split_once(&end).expect("the end of the table");
    if std::env::var_os(UPDATE).is_some() {
        fs::write(path, format!("{before}{begin}{seen}{end}{after}")).unwrap();
    } else {
        assert_eq!(
            written, seen,
            "docs/{page} differs from what was seen; {UPDATE}=1 make unit writes it anew"
        );
    }
}
