//! The journal: the fsynced intents and undos of one run, for recovery. An intent log, not a debug log.
//!
//! # Expected flow
//! 1. [`Journal::create`] makes the file under a temporary name, locks it, writes whose it is, syncs, and only then gives
//!    it its name: whoever sees a journal sees it locked by a living executor, or left by a dead one.
//! 2. [`Journal::intend`] puts an undo on disk and hands back the [`Armed`](crate::fault::Armed) that `inject` needs, with
//!    the undo decoded from the bytes as read back.
//! 3. [`Journal::staged`], then after the effect [`Journal::injected`].
//! 4. [`Journal::reverted`], before that is reported to anybody.
//! 5. [`Journal::finish`] moves the file to `done/`.
//!
//! # Guarantees
//! - *Live* is a locked journal, *residue* an unlocked and unfinished one. The lock is held for the life of the executor,
//!   and by nobody else: it goes with the open file, which is closed on exec.
//! - After any failed write or sync the journal is poisoned: it never arms anything again. What has been armed is taken
//!   back all the same; taking back never waits for the journal.
//!
//! # Caveats
//! - Records cut off exactly between two lines leave no trace in the file. No crash does that to a synced record.

mod frame;
mod read;
mod record;
#[cfg(test)]
mod tests;
mod write;

pub use read::{Contents, Damage, Entry, TooNew};
pub use record::{DAMAGE, Illegal, Intent, JOURNAL_VERSION, Record, Status, Writer, next_status};
pub use write::{Adopted, Journal, JournalError};
