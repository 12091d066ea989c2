//! The name that was probably meant by one that does not exist.
//!
//! Pure. It only suggests: nothing is ever looked up by a name that is merely similar.

/// How similar a name must be to be suggested: one letter wrong of five.
const NEAR: f64 = 0.8;
/// Names longer than this, in bytes, have no suggestion: nobody mistypes a name of that length,
/// and comparing it would take its time.
const NEAR_LENGTH: usize = 128;

/// The most similar of these names, if it is similar enough, and never the name itself, which may
/// have come meanwhile; letters of either case are the same.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > NEAR_LENGTH {
        return None;
    }
    let lower = name.to_lowercase();
    let alike = |known: &str| strsim::normalized_damerau_levenshtein(&known.to_lowercase(), &lower);
    let best = known
        .filter(|known| *known != name)
        .map(|known| (alike(known), known))
        .max_by(|(first, _), (second, _)| first.total_cmp(second));
    best.filter(|(alike, _)| *alike >= NEAR).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_similar_name_is_suggested() {
        let known = ["github", "files", "search"];
        for (name, expected) in [
            ("githb", Some("github")),
            ("GitHub", Some("github")),
            ("serach", Some("search")),
            ("github", None),
            ("database", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), expected, "{name}");
        }
        let long = "x".repeat(NEAR_LENGTH + 1);
        assert_eq!(nearest(&long, std::iter::once(&*long)), None);
    }
}
