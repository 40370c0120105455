//! The first process of a container, held by its pidfd: what is signalled is what was meant, however often pids are reused.

use std::path::Path;

use chaos_core::target::ProcessId;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::resident::member;

/// Sends a signal to a process that is the one meant, and the container's (RULES 16). `false`: it has ended.
///
/// # Errors
/// If it may not be signalled, or the process of that number is no longer the container's.
pub(crate) fn signal(process: ProcessId, container: &str, signal: Signal) -> Result<bool, Errno> {
    let Some(pid) = Pid::from_raw(process.pid.max(0)) else {
        return Ok(false);
    };
    let held = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(held) => held,
        Err(Errno::SRCH) => return Ok(false),
        Err(e) => return Err(e),
    };
    // Proved after it is held: a pid that was used again in between is found out.
    match member(Path::new(&format!("/proc/{}", process.pid)), process.pid) {
        Some((_, found)) if found.id != process => return Ok(false),
        Some((of, _)) if of != container => return Err(Errno::PERM),
        Some(_) => {}
        None => return Ok(false),
    }
    match pidfd_send_signal(&held, signal) {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_16_a_stranger_of_that_number_is_not_signalled() {
        let pid = i32::try_from(std::process::id()).expect("a pid");
        let stat = std::fs::read_to_string("/proc/self/stat").expect("we live");
        let start_ticks = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(19)?.parse().ok()).expect("ticks");
        let container = "0123456789abcdef".repeat(4);
        for stranger in
            [ProcessId { pid, start_ticks }, ProcessId { pid, start_ticks: start_ticks + 1 }, ProcessId { pid: -1, start_ticks }]
        {
            assert_ne!(signal(stranger, &container, Signal::KILL), Ok(true), "{stranger}");
        }
    }
}
