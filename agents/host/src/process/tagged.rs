//! Processes that bear our tag in their environment or their arguments: whatever the journal knows, they say themselves whose they are.

use std::ffi::OsStr;

use chaos_core::target::ProcessId;
use procfs::process::Process;

use super::Snapshot;

/// What marks a process as ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    /// One injection's: `CHAOS_TAG` is this tag.
    Tag(String),
    /// One run's process of `system:`: `CHAOS_RUN` and `CHAOS_SYSTEM`.
    System {
        /// The run.
        run: String,
        /// The name in the file.
        name: String,
    },
}

impl Mark {
    fn is_on(&self, process: &Process) -> bool {
        let Ok(environ) = process.environ() else {
            return false;
        };
        let has = |key: &str, value: &str| environ.get(OsStr::new(key)).is_some_and(|v| v == value);
        match self {
            Self::Tag(tag) => has("CHAOS_TAG", tag),
            Self::System { run, name } => has("CHAOS_RUN", run) && has("CHAOS_SYSTEM", name),
        }
    }
}

/// Every living process that bears the mark, and all that descend from them: a child may have cleaned its environment.
#[must_use]
pub(crate) fn tagged(snapshot: &Snapshot, mark: &Mark) -> Vec<ProcessId> {
    let bearers: Vec<ProcessId> =
        snapshot.living().filter(|e| !e.is_kernel() && Process::new(e.id.pid).is_ok_and(|p| mark.is_on(&p))).map(|e| e.id).collect();
    snapshot.trees(&bearers)
}
