//! The lever: a file that stops everything at once and forbids new effects while it exists.
//!
//! Looked at before every effect and every second, by coordinator and executor alike. A lever that cannot be looked at
//! counts as pulled.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;
use tokio::sync::{mpsc, oneshot};

/// A lever that has not answered by then counts as pulled.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Nobody says more than this.
const LONGEST_BYTES: u64 = 4096;

const STACK_BYTES: usize = 128 << 10;

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

/// Looks at a lever on a thread of its own: one that hangs, as on a mount whose server is gone, holds up nobody.
#[derive(Debug)]
pub(crate) struct LeverSight {
    asks: mpsc::Sender<oneshot::Sender<Option<Pulled>>>,
    /// Named where it cannot be looked at.
    path: PathBuf,
}

impl LeverSight {
    pub(crate) fn new(lever: Lever) -> io::Result<Self> {
        let path = lever.paths.last().cloned().unwrap_or_default();
        let (asks, mut asked) = mpsc::channel::<oneshot::Sender<_>>(64);
        let thread = std::thread::Builder::new().name("lever".into()).stack_size(STACK_BYTES);
        thread.spawn(move || {
            while let Some(answer) = asked.blocking_recv() {
                let _ = answer.send(lever.pulled());
            }
        })?;
        Ok(Self { asks, path })
    }

    /// The first that is pulled.
    pub(crate) async fn pulled(&self) -> Option<Pulled> {
        // Where many ask at one moment, each waits for its turn: a queue that is full is no answer.
        let answered = async {
            let (answer, answered) = oneshot::channel();
            self.asks.send(answer).await.ok()?;
            answered.await.ok()
        };
        if let Ok(Some(pulled)) = tokio::time::timeout(ANSWERS_WITHIN, answered).await {
            return pulled;
        }
        let because = format!("it cannot be looked at (no answer for {} s), which counts as pulled", ANSWERS_WITHIN.as_secs());
        Some(Pulled { path: self.path.clone(), because })
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
    let because = match read(path) {
        Ok(text) => text.lines().next().unwrap_or_default().trim().to_owned(),
        Err(e) if absent(&e) => return None,
        Err(e) => format!("it cannot be read ({e}), which counts as pulled"),
    };
    Some(Pulled { path: path.to_owned(), because })
}

/// Its beginning, whatever stands there: a pipe would keep a reader, a device never end.
fn read(path: &Path) -> io::Result<String> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = File::options().read(true).custom_flags(i32::try_from(flags).unwrap_or_default()).open(path)?;
    let mut bytes = Vec::new();
    file.take(LONGEST_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rule_36_a_pipe_in_place_of_a_lever_holds_up_nobody_and_one_that_hangs_counts_as_pulled() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("halt");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        let sight = LeverSight::new(Lever::at(vec![pipe.clone()])).unwrap();
        assert_eq!(sight.pulled().await.unwrap().because, "", "it is there");
        std::fs::remove_file(&pipe).unwrap();
        assert_eq!(sight.pulled().await, None);
        let (asks, _nobody_answers) = mpsc::channel(1);
        let hung = LeverSight { asks, path: pipe };
        assert!(hung.pulled().await.unwrap().because.contains("no answer for 2 s"));
    }

    #[tokio::test]
    async fn rule_36_a_lever_that_is_not_pulled_is_not_taken_for_pulled_because_many_ask_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let sight = std::sync::Arc::new(LeverSight::new(Lever::at(vec![folder.path().join("halt")])).unwrap());
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let sight = std::sync::Arc::clone(&sight);
            asking.spawn(async move { sight.pulled().await });
        }
        for pulled in asking.join_all().await {
            assert_eq!(pulled, None);
        }
    }

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
