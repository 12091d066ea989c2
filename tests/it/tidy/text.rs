//! Just enough of Rust's lexis to tell code from comments and strings.

/// The source with comments, strings and character literals blanked; lines and columns stay.
pub fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < bytes.len() {
        let skip = literal_or_comment(source, at);
        if skip == 0 {
            let character = source[at..].chars().next().unwrap();
            code.push(character);
            at += character.len_utf8();
        } else {
            for character in source[at..at + skip].chars() {
                code.push(if character == '\n' { '\n' } else { ' ' });
            }
            at += skip;
        }
    }
    code
}

/// The length in bytes of the comment or literal that starts here; 0 where none does.
fn literal_or_comment(source: &str, at: usize) -> usize {
    let rest = &source[at..];
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    let hashes =
        rest.strip_prefix('r').map_or(0, |tail| tail.len() - tail.trim_start_matches('#').len());
    if rest.starts_with('r') && rest[1 + hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let body = 2 + hashes;
        return rest[body..].find(&end).map_or(rest.len(), |length| body + length + end.len());
    }
    if rest.starts_with("'\\") {
        return quoted(rest, '\'');
    }
    // A character literal closes after one character; a lifetime does not.
    if let Some(character) = rest.strip_prefix('\'').and_then(|tail| tail.chars().next()) {
        let end = 1 + character.len_utf8();
        return if rest[end..].starts_with('\'') { end + 1 } else { 0 };
    }
    0
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn quoted(rest: &str, end: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == end => return at + character.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Where a word stands by itself, in bytes.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |at| {
        !code[..*at].chars().next_back().is_some_and(is_word)
            && !code[at + word.len()..].chars().next().is_some_and(is_word)
    })
}

/// The names that directly follow a path's head, such as `crate::`, in groups too, each with its
/// place: `crate::{id::X, wire}` gives `id` and `wire`.
pub fn first_segments<'a>(code: &'a str, head: &str) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(head) {
        if code[..at].chars().next_back().is_some_and(|before| is_word(before) || before == ':') {
            continue;
        }
        let body = at + head.len();
        if !code[body..].starts_with('{') {
            found.extend(name_at(code, body));
            continue;
        }
        let mut depth = 0_usize;
        let mut expects_name = false;
        for (offset, character) in code[body..].char_indices() {
            match character {
                '{' => (depth, expects_name) = (depth + 1, depth == 0),
                '}' if depth == 1 => break,
                '}' => depth -= 1,
                ',' => expects_name = depth == 1,
                _ if expects_name && is_word(character) => {
                    found.extend(name_at(code, body + offset));
                    expects_name = false;
                }
                _ => {}
            }
        }
    }
    found
}

fn name_at(code: &str, at: usize) -> Option<(usize, &str)> {
    let length = code[at..].find(|character| !is_word(character)).unwrap_or(code.len() - at);
    (length > 0).then(|| (at, &code[at..at + length]))
}

/// The number of the line at a place, from 1.
pub fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}
