//! The limits of this process: raised as far as they go, and survived when they are reached.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Semaphore;

/// Descriptors that are kept free: of the control surface, and of whatever the program opens for itself.
const SPARE: u64 = 32;

/// Raises the number of files that this process may open, as far as it may. Gives the number of connections that fit.
#[must_use]
pub(crate) fn room_for_connections() -> usize {
    let before = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
    let fit = files.saturating_sub(open + SPARE) / 2;
    usize::try_from(fit).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS)
}

/// Has this process, or the system, run out of something that others will give back?
#[must_use]
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL].iter().any(|e| code == Some(e.raw_os_error()))
}
