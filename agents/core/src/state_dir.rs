//! The state directory: where journals and records of this user lie.
//!
//! ```text
//! STATE/                        0700
//!   journals/RUN.journal        live (locked) or residue (unlocked and unfinished)
//!   journals/done/RUN.journal   finished
//!   runs/RUN/record.jsonl  executor.jsonl  executor.log
//!   halt                        the lever of this directory
//! ```
//!
//! An undo is code that we run, for root as root: a directory that somebody else may write is refused, component by
//! component, and never reached through a link (RULES 35).

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, FlockOperation, Mode, OFlags, Stat, flock, fstat, fstatfs, mkdirat, openat};
use rustix::io::Errno;

use crate::host_id::euid;

/// Where root's state lies.
pub const ROOT_STATE: &str = "/var/lib/chaos";

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A journal is made and named within this, or whoever made it is dead.
const UNNAMED: Duration = Duration::from_secs(60);

/// An open state directory, proven to be ours alone.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    journals: OwnedFd,
    done: OwnedFd,
}

/// Why a state directory cannot be used. Nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot use the state directory {}: {what}", path.display())]
pub struct StateDirError {
    /// The directory asked for.
    pub path: PathBuf,
    /// What is wrong, and with which part of the path.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl StateDir {
    /// Where the state of this user lies, unless told otherwise: `/var/lib/chaos` for root whatever its environment says,
    /// else `$XDG_STATE_HOME/chaos` or `~/.local/state/chaos`.
    ///
    /// # Errors
    /// If a user has no home.
    pub fn usual() -> Result<PathBuf, StateDirError> {
        let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        if euid() == 0 {
            return Ok(ROOT_STATE.into());
        }
        folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state"))).map(|base| base.join("chaos")).ok_or_else(
            || StateDirError {
                path: "~/.local/state/chaos".into(),
                what: "HOME is not set".into(),
                hint: "set HOME, or say --state-dir DIR".into(),
            },
        )
    }

    /// Opens a state directory, making what is missing of it.
    ///
    /// # Errors
    /// If any part of the path is a link, belongs to somebody else, may be written by others, or cannot be made.
    pub fn open(path: &Path) -> Result<Self, StateDirError> {
        let path = real(path)?;
        let root = walk(&path)?;
        let inside = |folder: &OwnedFd, name: &str| enter(folder, OsStr::new(name), &path.join(name), true).map_err(|r| r.at(&path));
        let journals = inside(&root, "journals")?;
        let done = inside(&journals, "done")?;
        inside(&root, "runs")?;
        Ok(Self { path, journals, done })
    }

    /// Opens the given directory, or the usual one.
    ///
    /// # Errors
    /// As [`StateDir::open`].
    pub fn open_or_usual(path: Option<&Path>) -> Result<Self, StateDirError> {
        match path {
            Some(path) => Self::open(path),
            None => Self::open(&Self::usual()?),
        }
    }

    /// Its path, free of links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Folder of a run's own files: record, executor's events, logs.
    #[must_use]
    pub fn run_folder(&self, run: &str) -> PathBuf {
        self.path.join("runs").join(run)
    }

    /// Makes the folder of a run.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn make_run_folder(&self, run: &str) -> Result<PathBuf, StateDirError> {
        let runs = walk(&self.path.join("runs"))?;
        let folder = self.run_folder(run);
        if !is_run_name(run) {
            return Err(Refused::new(format!("`{run}` cannot be the name of a run"), "").at(&self.path));
        }
        enter(&runs, OsStr::new(run), &folder, true).map_err(|r| r.at(&self.path))?;
        Ok(folder)
    }

    /// Where the journal of a run lies while it is not finished.
    #[must_use]
    pub fn journal_path(&self, run: &str) -> PathBuf {
        self.path.join("journals").join(journal_name(run))
    }

    /// Would a journal here live as long as a durable effect? Says why not (RULES 12).
    #[must_use]
    pub fn forgets(&self) -> Option<String> {
        let kind = match fstatfs(&self.journals).ok()?.f_type {
            0x0102_1994 => "tmpfs: it is gone after a reboot",
            0x8584_58F6 => "ramfs: it is gone after a reboot",
            0x794C_7630 => "an overlay: it is gone with this container",
            0x6969 => "NFS: it may be out of reach when it is needed",
            _ => return None,
        };
        Some(format!("the state directory {} lies on {kind}", self.path.display()))
    }

    /// Ids of the runs whose journals are not finished, oldest first.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn unfinished(&self) -> io::Result<Vec<String>> {
        let mut runs: Vec<String> = std::fs::read_dir(self.path.join("journals"))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".journal").map(str::to_owned))
            .filter(|run| is_run_name(run))
            .collect();
        runs.sort();
        Ok(runs)
    }

    /// Opens a file among the unfinished journals, never through a link, closed on exec.
    pub(crate) fn open_journal(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.journals, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Opens a finished journal, to be read.
    pub(crate) fn open_finished(&self, run: &str) -> io::Result<File> {
        if !is_run_name(run) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(openat(&self.done, journal_name(run), OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?.into())
    }

    /// Removes what executors left that died before their journal had a name: nothing was done by them.
    pub(crate) fn remove_unnamed_journals(&self) {
        let names =
            std::fs::read_dir(self.path.join("journals")).into_iter().flatten().filter_map(|e| e.ok()?.file_name().into_string().ok());
        for name in names.filter(|name| name.starts_with('.') && name.contains(".journal.new-")) {
            let unlocked = |file: &File| rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok();
            if self.open_journal(&name, OFlags::RDONLY).is_ok_and(|file| unlocked(&file)) {
                let _ = rustix::fs::unlinkat(&self.journals, &name, rustix::fs::AtFlags::empty());
            }
        }
    }

    /// Removes journals that never got their name, because whoever made them died before: nothing was done by them.
    pub(crate) fn remove_unnamed(&self) {
        let old = |file: &File| file.metadata().and_then(|m| m.modified()).is_ok_and(|at| at.elapsed().is_ok_and(|age| age > UNNAMED));
        let entries = std::fs::read_dir(self.path.join("journals")).into_iter().flatten();
        for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
            if !(name.starts_with('.') && name.contains(".journal.new-")) {
                continue;
            }
            let Ok(file) = self.open_journal(&name, OFlags::RDWR) else { continue };
            if old(&file) && flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                let _ = rustix::fs::unlinkat(&self.journals, &name, rustix::fs::AtFlags::empty());
            }
        }
    }

    /// Gives a new journal its name, once it is locked and says whose it is.
    pub(crate) fn publish_journal(&self, temporary: &str, run: &str) -> io::Result<()> {
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        rustix::fs::renameat_with(&self.journals, temporary, &self.journals, journal_name(run), flags)?;
        Ok(rustix::fs::fsync(&self.journals)?)
    }

    /// Moves a finished journal away.
    pub(crate) fn finish_journal(&self, run: &str) -> io::Result<()> {
        let name = journal_name(run);
        rustix::fs::renameat(&self.journals, &name, &self.done, &name)?;
        rustix::fs::fsync(&self.done)?;
        Ok(rustix::fs::fsync(&self.journals)?)
    }

    /// Is this open file still the unfinished journal of that run?
    pub(crate) fn is_journal(&self, file: &File, run: &str) -> bool {
        let named = rustix::fs::statat(&self.journals, journal_name(run), rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
        match (named, fstat(file)) {
            (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
            _ => false,
        }
    }

    pub(crate) fn journals(&self) -> impl AsFd + '_ {
        &self.journals
    }
}

/// May this be the name of a run, and so of a file? Letters, digits, `-`, `_` and inner dots.
pub(crate) fn is_run_name(run: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !run.is_empty() && run.len() <= 128 && !run.starts_with('.') && run.chars().all(fits)
}

/// The name of a journal's file.
pub(crate) fn journal_name(run: &str) -> String {
    format!("{run}.journal")
}

/// What is wrong with one part of a path.
struct Refused {
    what: String,
    hint: String,
}

impl Refused {
    fn new(what: String, hint: impl Into<String>) -> Self {
        Self { what, hint: hint.into() }
    }

    fn at(self, path: &Path) -> StateDirError {
        StateDirError { path: path.to_owned(), what: self.what, hint: self.hint }
    }
}

/// The path without links, so that the walk down it can refuse every one: what exists of it is resolved, the rest kept.
fn real(path: &Path) -> Result<PathBuf, StateDirError> {
    let refuse = |what: String, hint: &str| Refused::new(what, hint).at(path);
    let whole = std::path::absolute(path).map_err(|e| refuse(e.to_string(), "say --state-dir DIR"))?;
    let mut missing: Vec<&OsStr> = Vec::new();
    let mut existing = whole.as_path();
    loop {
        match existing.canonicalize() {
            Ok(real) => return Ok(missing.iter().rev().fold(real, |p, name| p.join(name))),
            Err(e) if e.kind() == io::ErrorKind::NotFound && existing.symlink_metadata().is_err() => {
                let (Some(parent), Some(name)) = (existing.parent(), existing.file_name()) else {
                    return Err(refuse(e.to_string(), "say --state-dir DIR"));
                };
                missing.push(name);
                existing = parent;
            }
            Err(e) => {
                let hint = "every part of the path must be a directory that you may enter; say --state-dir DIR";
                return Err(refuse(format!("{}: {e}", existing.display()), hint));
            }
        }
    }
}

/// Opens a link-free path part by part, making what is missing and proving each.
fn walk(path: &Path) -> Result<OwnedFd, StateDirError> {
    let open_root = openat(rustix::fs::CWD, "/", FOLDER, Mode::empty());
    let mut folder = open_root.map_err(|e| Refused::new(format!("/: {e}"), "").at(path))?;
    let mut so_far = PathBuf::from("/");
    let last = path.components().count();
    for (n, part) in path.components().enumerate() {
        let Component::Normal(name) = part else { continue };
        so_far.push(name);
        folder = enter(&folder, name, &so_far, n + 1 == last).map_err(|r| r.at(path))?;
    }
    Ok(folder)
}

/// Opens one folder inside another and proves it.
fn enter(folder: &OwnedFd, name: &OsStr, path: &Path, last: bool) -> Result<OwnedFd, Refused> {
    let inner = step(folder, name, path)?;
    let stat = fstat(&inner).map_err(|e| Refused::new(format!("{}: {e}", path.display()), ""))?;
    prove(&stat, path, last)?;
    Ok(inner)
}

/// Opens one folder inside another, making it (0700) if it is missing.
fn step(folder: &OwnedFd, name: &OsStr, path: &Path) -> Result<OwnedFd, Refused> {
    let failed = |e: Errno| {
        let hint = match e {
            Errno::ROFS => "the file system is read-only; say --state-dir DIR",
            Errno::NOSPC | Errno::DQUOT => "the disk is full: nothing can be undone after a crash if its undo is not on disk first",
            Errno::LOOP | Errno::NOTDIR => "a link or a file is in the way; say --state-dir DIR",
            _ => "say --state-dir DIR with a directory of your own",
        };
        Refused::new(format!("{}: {}", path.display(), io::Error::from(e)), hint)
    };
    match openat(folder, name, FOLDER, Mode::empty()) {
        Err(Errno::NOENT) => {}
        opened => return opened.map_err(failed),
    }
    match mkdirat(folder, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => openat(folder, name, FOLDER, Mode::empty()).map_err(failed),
        Err(e) => Err(failed(e)),
    }
}

/// Ours (or root's, on the way), and writable by nobody else.
fn prove(stat: &Stat, path: &Path, last: bool) -> Result<(), Refused> {
    let me = euid();
    let at = path.display();
    if !FileType::from_raw_mode(stat.st_mode).is_dir() {
        return Err(Refused::new(format!("{at} is not a directory"), "say --state-dir DIR"));
    }
    if stat.st_uid != me && (last || stat.st_uid != 0) {
        let what = format!("{at} belongs to user {}, not to you (user {me})", stat.st_uid);
        return Err(Refused::new(what, "what lies there decides what an undo does: use a directory of your own"));
    }
    let others_write = stat.st_mode & 0o022 != 0;
    let sticky_root = stat.st_mode & 0o1000 != 0 && stat.st_uid == 0 && !last;
    if others_write && !sticky_root {
        let what = format!("{at} may be written by others (mode {:o})", stat.st_mode & 0o7777);
        return Err(Refused::new(what, format!("chmod go-w {at}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn rule_35_a_state_directory_is_made_private() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(&folder.path().join("a/b")).unwrap();
        for part in ["", "journals", "journals/done", "runs"] {
            let found = std::fs::metadata(state.path().join(part)).unwrap().permissions().mode();
            assert_eq!(found & 0o7777, 0o700, "{part}");
        }
        assert!(state.unfinished().unwrap().is_empty());
        StateDir::open(&folder.path().join("a/b")).unwrap();
    }

    #[test]
    fn a_journal_that_never_got_its_name_is_removed_unless_somebody_is_at_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let make = |name: &str| {
            let file = File::create(state.path().join("journals").join(name)).unwrap();
            file.set_modified(std::time::SystemTime::now() - 2 * UNNAMED).unwrap();
            file
        };
        make(".r1.journal.new-7");
        let held = make(".r2.journal.new-8");
        flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        make("r3.journal");
        File::create(state.path().join("journals/.r4.journal.new-9")).unwrap();
        state.remove_unnamed();
        let mut left: Vec<_> = std::fs::read_dir(state.path().join("journals")).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".r2.journal.new-8", ".r4.journal.new-9", "done", "r3.journal"]);
    }

    #[test]
    fn rule_35_a_path_that_others_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let between = folder.path().join("between");
        std::fs::create_dir(&between).unwrap();
        for bad in [0o777, 0o775, 0o1777] {
            mode(&between, bad);
            // As the last part, not even a sticky one will do; before it, only root's.
            let refused = StateDir::open(&between).unwrap_err();
            assert!(refused.what.contains("may be written by others"), "{refused}");
            assert!(refused.hint.starts_with("chmod go-w"), "{}", refused.hint);
        }
        mode(&between, 0o777);
        assert!(StateDir::open(&between.join("state")).is_err());
    }

    #[test]
    fn rule_35_somebody_elses_directory_is_refused() {
        if euid() != 0 {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let theirs = folder.path().join("theirs");
        std::fs::create_dir(&theirs).unwrap();
        std::os::unix::fs::chown(&theirs, Some(1234), None).unwrap();
        let refused = StateDir::open(&theirs.join("state")).unwrap_err();
        assert!(refused.what.contains("belongs to user 1234"), "{refused}");
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let refused = StateDir::open(&file).unwrap_err();
        assert!(refused.to_string().contains(&file.display().to_string()), "{refused}");
        symlink("nowhere", folder.path().join("link")).unwrap();
        assert!(StateDir::open(&folder.path().join("link")).is_err());
        std::fs::create_dir_all(folder.path().join("state")).unwrap();
        symlink("/tmp", folder.path().join("state/journals")).unwrap();
        assert!(StateDir::open(&folder.path().join("state")).is_err());
    }
}
