//! Processes that bear our tag in their environment, or our brand: whatever the journal knows, they say themselves whose they are.

use std::ffi::OsStr;
use std::io;

use chaos_core::fault::InjectionId;
use chaos_core::target::ProcessId;
use procfs::process::Process;

use super::{Snapshot, brand_of, brand_on};

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
    fn brand(&self) -> u64 {
        match self {
            Self::Tag(tag) => brand_of(tag),
            Self::System { run, name } => brand_of(&InjectionId { run: run.clone(), slot: format!("system.{name}") }.tag()),
        }
    }

    /// In the environment, where it may be read; who may not is known by the brand.
    fn is_in_environment(&self, pid: i32) -> bool {
        let Ok(process) = Process::new(pid) else { return false };
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

/// Every living process that bears the mark, and all that descend from them.
///
/// # Errors
/// If one may not be looked at: it may be ours, and to be unknown is not to be gone.
pub(crate) fn tagged(snapshot: &Snapshot, mark: &Mark) -> io::Result<Vec<ProcessId>> {
    let brand = mark.brand();
    let mut bearers = Vec::new();
    for entry in snapshot.living().filter(|e| !e.is_kernel()) {
        if brand_on(entry.id.pid)? == Some(brand) || mark.is_in_environment(entry.id.pid) {
            bearers.push(entry.id);
        }
    }
    Ok(snapshot.trees(&bearers))
}
