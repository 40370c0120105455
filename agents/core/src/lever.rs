//! The lever: a file that stops everything at once and forbids new effects while it exists.
//!
//! Looked at before every effect and every second, by coordinator and executor alike. A lever that cannot be looked at
//! counts as pulled.

use std::io;
use std::path::{Path, PathBuf};

/// The files, any of which stops everything.
#[derive(Debug, Clone)]
pub struct Lever {
    paths: Vec<PathBuf>,
}

/// The lever is pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Which file.
    pub path: PathBuf,
    /// What it says, or why it cannot be read.
    pub because: String,
}

impl std::fmt::Display for Pulled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the lever {} is pulled", self.path.display())?;
        if self.because.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", self.because)
    }
}

impl Lever {
    /// The levers of this host and of one state directory: `/run/chaos/halt`, `/etc/chaos/halt`, `STATE/halt`.
    #[must_use]
    pub fn of(state: &Path) -> Self {
        Self::at(vec!["/run/chaos/halt".into(), "/etc/chaos/halt".into(), state.join("halt")])
    }

    /// Levers elsewhere, for tests.
    #[must_use]
    pub fn at(paths: Vec<PathBuf>) -> Self {
        Self { paths }
    }

    /// The files, in the order in which they are looked at.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The first that is pulled.
    #[must_use]
    pub fn pulled(&self) -> Option<Pulled> {
        self.paths.iter().find_map(|path| look(path))
    }
}

/// Pulls one lever, and says why in it.
///
/// # Errors
/// If the file cannot be made, with its path.
pub fn pull(path: &Path, because: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| at(folder, &e))?;
    }
    std::fs::write(path, format!("{because}\n")).map_err(|e| at(path, &e))
}

/// Releases one lever. True if it was pulled.
///
/// # Errors
/// If the file is there and cannot be removed, with its path.
pub fn release(path: &Path) -> io::Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if absent(&e) => Ok(false),
        Err(e) => Err(at(path, &e)),
    }
}

fn at(path: &Path, e: &io::Error) -> io::Error {
    io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

fn absent(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn look(path: &Path) -> Option<Pulled> {
    let because = match std::fs::read_to_string(path) {
        Ok(text) => text.lines().next().unwrap_or_default().trim().to_owned(),
        Err(e) if absent(&e) => return None,
        Err(e) => format!("it cannot be read ({e}), which counts as pulled"),
    };
    Some(Pulled { path: path.to_owned(), because })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_36_any_of_the_levers_stops_everything_and_an_unreadable_one_does_too() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("run/halt"), folder.path().join("halt"));
        let lever = Lever::at(vec![a.clone(), b.clone()]);
        assert_eq!(lever.pulled(), None);
        pull(&a, "the shop is open").unwrap();
        assert_eq!(lever.pulled().unwrap().because, "the shop is open");
        assert!(release(&a).unwrap());
        assert!(!release(&a).unwrap());
        assert_eq!(lever.pulled(), None);
        // Not readable as a file at all.
        std::fs::create_dir(&b).unwrap();
        assert!(lever.pulled().unwrap().because.contains("counts as pulled"));
    }
}
