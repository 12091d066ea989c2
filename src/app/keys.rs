//! The keys that seal what clients carry between the requests of a call, kept in the state
//! directory so that it opens after a restart.
//!
//! Made once, for their owner alone. They are changed by hand: a new line on top seals, the lines
//! below still open what they sealed.

use std::{
    fs::{File, Permissions},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::{Context as _, Result};

use crate::access::StateKeys;

/// The file, in the state directory.
const FILE: &str = "request-state.keys";

/// The keys of a state directory, which is ours; they are made where there are none.
///
/// # Errors
/// The file cannot be read, written or understood.
pub(super) fn kept(directory: &Path) -> Result<StateKeys> {
    let path = directory.join(FILE);
    let said = || format!("the keys in {} cannot be used", path.display());
    match File::open(&path) {
        Ok(mut file) => {
            // Somebody may have written it by hand.
            file.set_permissions(Permissions::from_mode(0o600)).with_context(said)?;
            let mut text = String::new();
            file.read_to_string(&mut text).with_context(said)?;
            StateKeys::read(&text).with_context(said)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let keys = StateKeys::random();
            let mut options = File::options();
            options.write(true).create_new(true).mode(0o600);
            let text = format!("# Newest first; see docs/dialogue.md.\n{}", keys.expose());
            let mut file = options.open(&path).with_context(said)?;
            file.write_all(text.as_bytes()).with_context(said)?;
            file.sync_all().with_context(said)?;
            Ok(keys)
        }
        Err(error) => Err(error).with_context(said),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let made = kept(folder.path()).unwrap();
        assert_eq!(kept(folder.path()).unwrap().expose(), made.expose());
        let path = folder.path().join(FILE);
        let mode = || path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        let newer = StateKeys::random().expose();
        std::fs::write(&path, format!("{newer}{}", made.expose())).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(kept(folder.path()).unwrap().expose().starts_with(&newer));
        assert_eq!(mode(), 0o600);
        std::fs::write(&path, "nonsense").unwrap();
        assert!(kept(folder.path()).unwrap_err().to_string().contains(FILE));
    }
}
