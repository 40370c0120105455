//! The limits of this process: raised as far as they go, and survived when they are reached.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many descriptors as anybody needs: two a connection.
const PLENTY: u64 = 1 << 20;

/// Raises the number of files that this process may open, as far as it may. Gives the number.
#[must_use]
pub fn raise_open_files() -> u64 {
    let before = getrlimit(Resource::Nofile);
    let hard = before.maximum.unwrap_or(PLENTY);
    // Root may raise the hard limit too.
    for maximum in [hard.max(PLENTY), hard] {
        let wanted = Rlimit { current: Some(maximum), maximum: Some(maximum.max(hard)) };
        if setrlimit(Resource::Nofile, wanted).is_ok() {
            return maximum;
        }
    }
    before.current.unwrap_or(hard)
}

/// Has this process, or the system, run out of something that others will give back?
#[must_use]
pub fn is_exhausted(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL].iter().any(|e| code == Some(e.raw_os_error()))
}
