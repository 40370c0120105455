//! A brand: a number in a limit that nothing uses, by which a process of `system:` and all that it starts are known for ever.
//!
//! A tag in the environment does not last: many servers write their title over it, a daemon starts with a clean one, and nobody may read
//! that of another user. A limit is inherited through every fork, exec, `setsid` and change of user, and everybody may read it. The one on
//! the processor time of a *real-time* process (`RLIMIT_RTTIME`) bounds nothing here: the number is a hundred thousand years.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sha2::{Digest, Sha256};

/// "CHA": above it, no limit that a person would set.
const PREFIX: u64 = 0x0043_4841 << 40;
const HASH: u64 = (1 << 40) - 1;

/// What a process bears whose injection has this tag.
#[must_use]
pub(crate) fn brand_of(tag: &str) -> u64 {
    let hash = Sha256::digest(tag).iter().take(8).fold(0, |hash: u64, byte| hash << 8 | u64::from(*byte));
    PREFIX | (hash & HASH)
}

/// Brands this process. Two system calls, which allocate nothing and take no lock.
///
/// # Errors
/// If somebody has set the limit for good.
pub(crate) fn brand(number: u64) -> io::Result<()> {
    let limit = Rlimit { current: Some(number), ..getrlimit(Resource::Rttime) };
    setrlimit(Resource::Rttime, limit).map_err(Into::into)
}

/// May a process started by this one be branded?
///
/// # Errors
/// If the limit is set so that no brand fits: what could not be recognised is not started.
pub(crate) fn can_brand() -> io::Result<()> {
    match getrlimit(Resource::Rttime).maximum {
        Some(most) if most < PREFIX | HASH => {
            Err(io::Error::other("RLIMIT_RTTIME is set for this user, and what is started could not be recognised by it (`ulimit -R`)"))
        }
        _ => Ok(()),
    }
}

/// The brand of a process. `None`: it bears none, or has ended.
///
/// # Errors
/// If it may not be read: then nobody knows.
pub(crate) fn brand_on(pid: i32) -> io::Result<Option<u64>> {
    const GONE: i32 = 3;
    match std::fs::read_to_string(format!("/proc/{pid}/limits")) {
        Ok(limits) => Ok(read(&limits)),
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(GONE) => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max realtime timeout"))?;
    let number = line.split_whitespace().next()?.parse().ok()?;
    (number & !HASH == PREFIX).then_some(number)
}
