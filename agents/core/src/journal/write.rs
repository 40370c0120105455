//! Writing a journal.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::{FallocateFlags, FlockOperation, OFlags, fallocate, fdatasync, flock, fsync};
use rustix::io::Errno;
use tokio::sync::watch;

use super::frame::{decode, encode};
use super::read::{Contents, TooNew};
use super::record::{Intent, Record, Writer};
use crate::fault::{Armed, InjectionId, UndoJson};
use crate::state_dir::{StateDir, is_run_name, journal_name};

/// Room that is taken beforehand, so that an undo can be written while a fault fills the disk.
const PREALLOCATED_BYTES: u64 = 1 << 20;

/// The open, locked journal of one run.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    run: String,
    length: u64,
    next_seq: u64,
    poisoned: Option<String>,
}

/// A journal that somebody left, now ours.
#[derive(Debug)]
pub struct Adopted {
    /// The open journal.
    pub journal: Journal,
    /// What it says.
    pub contents: Contents,
}

/// Why a journal cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process holds it: the run lives.
    #[error("the journal {} is held by a living executor", .0.display())]
    Live(PathBuf),
    /// It is not there (any more).
    #[error("there is no unfinished journal {}", .0.display())]
    Absent(PathBuf),
    /// Written by a newer `chaos`.
    #[error(transparent)]
    TooNew(#[from] TooNew),
    /// The system refused.
    #[error("{doing} the journal {}: {source}", path.display())]
    System {
        /// What was being done.
        doing: &'static str,
        /// The journal.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// An earlier write failed: no new effect may be had.
    #[error("the journal {} cannot be trusted any more: {because}", path.display())]
    Poisoned {
        /// The journal.
        path: PathBuf,
        /// What happened then.
        because: String,
    },
}

impl JournalError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Live(_) => Some("see `chaos status`"),
            Self::TooNew(_) => Some("recover with the chaos that wrote it"),
            Self::System { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("make room on that disk, or say --state-dir DIR on another one")
            }
            Self::System { .. } | Self::Poisoned { .. } => Some("nothing new is injected: an undo must be on disk first"),
            Self::Absent(_) => None,
        }
    }
}

impl Journal {
    /// Makes the journal of a new run, locked.
    ///
    /// # Errors
    /// If it exists already, or the system refuses; then nothing is there.
    pub fn create(state: &StateDir, writer: &Writer) -> Result<Self, JournalError> {
        let run = &writer.run;
        let path = state.journal_path(run);
        let failed = |doing| {
            let path = path.clone();
            move |source: io::Error| JournalError::System { doing, path, source }
        };
        if !is_run_name(run) {
            return Err(failed("name")(io::Error::other("a run's name is made of letters, digits, `-`, `_` and `.`")));
        }
        state.remove_unnamed();
        let temporary = format!(".{}.new-{}", journal_name(run), std::process::id());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
        let file = state.open_journal(&temporary, flags).map_err(failed("make"))?;
        let mut journal = Self { file, path: path.clone(), run: run.clone(), length: 0, next_seq: 0, poisoned: None };
        let made = journal.begin(writer).and_then(|()| state.publish_journal(&temporary, run).map_err(failed("name")));
        if let Err(e) = made {
            let _ = rustix::fs::unlinkat(state.journals(), &temporary, rustix::fs::AtFlags::empty());
            return Err(e);
        }
        Ok(journal)
    }

    fn begin(&mut self, writer: &Writer) -> Result<(), JournalError> {
        flock(&self.file, FlockOperation::NonBlockingLockExclusive).map_err(|e| self.failed("lock", e.into()))?;
        match fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, PREALLOCATED_BYTES) {
            // Not every file system can; then the disk must not be full when it matters.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            Err(e) => return Err(self.failed("take room for", e.into())),
        }
        self.append(&Record::Identity(Box::new(writer.clone())))?;
        fsync(&self.file).map_err(|e| self.failed("sync", e.into()))
    }

    /// Takes over the journal that a dead executor left.
    ///
    /// A last line that broke off is ended, and said to have been torn.
    ///
    /// # Errors
    /// [`JournalError::Live`] if its executor lives, [`JournalError::Absent`] if it was finished meanwhile.
    pub fn adopt(state: &StateDir, writer: &Writer) -> Result<Adopted, JournalError> {
        let run = &writer.run;
        let path = state.journal_path(run);
        let system = |doing, source| JournalError::System { doing, path: path.clone(), source };
        let file = match open_existing(state, run, OFlags::RDWR) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(JournalError::Absent(path)),
            opened => opened.map_err(|e| system("open", e))?,
        };
        match lock_left(&file) {
            Err(Errno::WOULDBLOCK) => return Err(JournalError::Live(path)),
            locked => locked.map_err(|e| system("lock", e.into()))?,
        }
        if !state.is_journal(&file, run) {
            return Err(JournalError::Absent(path));
        }
        let bytes = read_all(&file).map_err(|e| system("read", e))?;
        let contents = Contents::read(&bytes)?;
        let mut journal =
            Self { file, path: path.clone(), run: run.clone(), length: bytes.len() as u64, next_seq: contents.next_seq, poisoned: None };
        if bytes.last().is_some_and(|b| *b != b'\n') {
            journal.end_line(contents.torn)?;
        }
        journal.append(&Record::Reopened(Box::new(writer.clone())))?;
        journal.sync()?;
        Ok(Adopted { journal, contents })
    }

    /// Reads a journal without taking it.
    ///
    /// # Errors
    /// If it cannot be read, or is of a newer version.
    pub fn look(state: &StateDir, run: &str) -> Result<(Contents, bool), JournalError> {
        let path = state.journal_path(run);
        let system = |doing, source| JournalError::System { doing, path: path.clone(), source };
        let file = match open_existing(state, run, OFlags::RDONLY) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(JournalError::Absent(path)),
            opened => opened.map_err(|e| system("open", e))?,
        };
        let live = match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {
                let _ = flock(&file, FlockOperation::Unlock);
                false
            }
            Err(_) => true,
        };
        let bytes = read_all(&file).map_err(|e| system("read", e))?;
        Ok((Contents::read(&bytes)?, live))
    }

    /// What a journal that was put away says.
    pub(crate) fn read_finished(state: &StateDir, run: &str) -> Result<Contents, JournalError> {
        let path = state.journal_path(run);
        let bytes = state.open_finished(run).and_then(|file| read_all(&file));
        let bytes = bytes.map_err(|source| JournalError::System { doing: "find finished", path, source })?;
        Ok(Contents::read(&bytes)?)
    }

    /// Puts an undo on disk, and permits its effect with the undo as it was read back from there.
    ///
    /// # Errors
    /// If it cannot be written, synced or read back: nothing may be injected then.
    pub fn intend(&mut self, intent: Intent, cancel: watch::Receiver<bool>) -> Result<Armed<UndoJson>, JournalError> {
        let slot = intent.slot.clone();
        let at = self.length;
        self.append(&Record::Intended(Box::new(intent)))?;
        self.sync()?;
        let len = usize::try_from(self.length - at).unwrap_or(usize::MAX);
        self.arm(&slot, at, len, cancel)
    }

    /// Permits an effect, by the undo as it now stands on disk.
    fn arm(&mut self, slot: &str, at: u64, len: usize, cancel: watch::Receiver<bool>) -> Result<Armed<UndoJson>, JournalError> {
        match self.read_intent(slot, at, len) {
            Ok(intent) => {
                let id = InjectionId { run: self.run.clone(), slot: slot.to_owned() };
                Ok(Armed::new(id, intent.deadline, cancel, intent.undo))
            }
            Err(e) => Err(self.poison("read back", e)),
        }
    }

    fn read_intent(&self, slot: &str, at: u64, len: usize) -> io::Result<Box<Intent>> {
        let mut line = vec![0; len];
        self.file.read_exact_at(&mut line, at)?;
        match decode(&line).map_err(io::Error::other)? {
            (_, Record::Intended(intent), _) if intent.slot == slot => Ok(intent),
            _ => Err(io::Error::other("another record stands where the intent was written")),
        }
    }

    /// Our own objects of this injection stand; the effect may follow.
    ///
    /// # Errors
    /// If that cannot be made sure: then it must not follow.
    pub fn staged(&mut self, slot: &str) -> Result<(), JournalError> {
        self.append(&Record::Staged { slot: slot.to_owned() })?;
        self.sync()
    }

    /// The effect was had. Not synced: nothing depends on it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn injected(&mut self, slot: &str) -> Result<(), JournalError> {
        self.append(&Record::Injected { slot: slot.to_owned() })
    }

    /// It is taken back, and may be said to be.
    ///
    /// # Errors
    /// If that cannot be made sure: recovery will take it back once more, which does no harm.
    pub fn reverted(&mut self, slot: &str, notes: &[String]) -> Result<(), JournalError> {
        self.append(&Record::Reverted { slot: slot.to_owned(), notes: notes.to_vec() })?;
        self.sync()
    }

    /// Any other record, synced.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn note(&mut self, record: &Record) -> Result<(), JournalError> {
        self.append(record)?;
        self.sync()
    }

    /// Everything is taken back: moves the journal away. The lock stays until it is dropped.
    ///
    /// # Errors
    /// If it cannot be moved; recovery will find nothing to do in it.
    pub fn finish(&mut self, state: &StateDir) -> Result<(), JournalError> {
        // A poisoned journal cannot be written to, yet everything is taken back: moving it says so.
        let _ = self.note(&Record::Finished);
        // Gives back the room that was taken beforehand: a finished journal never grows.
        let _ = rustix::fs::ftruncate(&self.file, self.length);
        state.finish_journal(&self.run).map_err(|e| self.failed("put away", e))
    }

    /// Why it arms nothing any more.
    #[must_use]
    pub fn poisoned(&self) -> Option<&str> {
        self.poisoned.as_deref()
    }

    fn end_line(&mut self, torn: bool) -> Result<(), JournalError> {
        self.write(b"\n")?;
        if torn {
            self.append(&Record::TornTail)?;
        }
        self.sync()
    }

    fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        self.check()?;
        let line = encode(self.next_seq, record).map_err(|e| self.failed("write", io::Error::other(e)))?;
        self.write(&line)?;
        self.next_seq += 1;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        self.file.write_all_at(bytes, self.length).map_err(|e| self.poison("write", e))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        fdatasync(&self.file).map_err(|e| self.poison("sync", e.into()))
    }

    fn check(&self) -> Result<(), JournalError> {
        match &self.poisoned {
            Some(because) => Err(JournalError::Poisoned { path: self.path.clone(), because: because.clone() }),
            None => Ok(()),
        }
    }

    /// After a failed sync the kernel calls the lost pages clean, and a second try "succeeds": never try again.
    fn poison(&mut self, doing: &'static str, source: io::Error) -> JournalError {
        let e = self.failed(doing, source);
        self.poisoned.get_or_insert(e.to_string());
        e
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> JournalError {
        JournalError::System { doing, path: self.path.clone(), source }
    }

    /// The file's lines stand where nobody can write them, for tests of what then happens.
    #[cfg(test)]
    pub(crate) fn break_file(&mut self, file: File) {
        self.file = file;
    }
}

impl Writer {
    /// This process, for one run.
    #[must_use]
    pub fn here(run: &str, chaos: &str, lease: crate::literal::Duration) -> Self {
        Self {
            journal: super::record::JOURNAL_VERSION,
            run: run.to_owned(),
            host: crate::event::HostId::here(),
            uid: crate::host_id::euid(),
            pid: i32::try_from(std::process::id()).unwrap_or(0),
            chaos: chaos.to_owned(),
            lease,
            wall: crate::clock::Wall::now(),
        }
    }
}

/// Locks a journal that was left. Somebody who only looks at it holds it for an instant, and a killed executor until its
/// last thread is gone, so one refusal proves nothing.
fn lock_left(file: &File) -> Result<(), Errno> {
    for _ in 0..100 {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => std::thread::sleep(std::time::Duration::from_millis(10)),
            locked => return locked,
        }
    }
    Err(Errno::WOULDBLOCK)
}

fn open_existing(state: &StateDir, run: &str, flags: OFlags) -> io::Result<File> {
    if !is_run_name(run) {
        return Err(io::ErrorKind::NotFound.into());
    }
    state.open_journal(&journal_name(run), flags)
}

fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
