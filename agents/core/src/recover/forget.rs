//! The only other way out of the residue gate: a person says that something need not be taken back.

use crate::journal::{Adopted, DAMAGE, Journal, JournalError, Record, Writer};
use crate::literal::Duration;
use crate::state_dir::StateDir;

use super::survey::{self, Standing};

/// Why nothing was forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// There is no such thing in it.
    #[error("run {run} has nothing open that is called {slot}")]
    Unknown {
        /// The run.
        run: String,
        /// What was asked for.
        slot: String,
        /// What could be forgotten.
        open: Vec<String>,
    },
    /// It is somebody else's to decide.
    #[error("run {run} is not forgotten here: {why}")]
    NotOurs {
        /// The run.
        run: String,
        /// Whose it is.
        why: String,
    },
    /// No reason was given.
    #[error("nothing is forgotten without a reason")]
    NoReason,
}

/// Forgets one injection of a dead run, or its [`DAMAGE`]; the run is over when nothing else is open in it.
///
/// # Errors
/// If the run lives, is another host's or user's, or has nothing open of that name.
pub fn forget(state: &StateDir, run: &str, slot: &str, because: &str, chaos: &str) -> Result<(), ForgetError> {
    if because.trim().is_empty() {
        return Err(ForgetError::NoReason);
    }
    if let (Standing::Foreign(why), _) = survey::look(state, run)? {
        return Err(ForgetError::NotOurs { run: run.into(), why });
    }
    let Adopted { mut journal, contents } = Journal::adopt(state, &Writer::here(run, chaos, Duration::ZERO))?;
    let mut open: Vec<String> = contents.open_entries().map(|e| e.intent.slot.clone()).collect();
    if !contents.open_damage().is_empty() {
        open.push(DAMAGE.into());
    }
    if !open.iter().any(|o| o == slot) {
        return Err(ForgetError::Unknown { run: run.into(), slot: slot.into(), open });
    }
    journal.note(&Record::Forgotten { slot: slot.into(), because: because.into() })?;
    if open.len() == 1 {
        journal.finish(state)?;
    }
    Ok(())
}
