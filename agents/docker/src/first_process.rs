//! The first process of a container, held by its pidfd: what is signalled is what was meant, however often pids are reused.

use chaos_core::target::ProcessId;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

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
    if started(process.pid) != Some(process.start_ticks) {
        return Ok(false);
    }
    let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).unwrap_or_default();
    if !groups.contains(container) {
        return Err(Errno::PERM);
    }
    match pidfd_send_signal(&held, signal) {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(e) => Err(e),
    }
}

/// When the process of this number started, in clock ticks since boot; none where it has ended.
fn started(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold any itself: count from the last one.
    let mut fields = stat.get(stat.rfind(')')? + 2..)?.split_ascii_whitespace();
    let ended = matches!(fields.next()?, "Z" | "X" | "x");
    let ticks = fields.nth(18)?.parse().ok()?;
    (!ended).then_some(ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_16_a_stranger_of_that_number_is_not_signalled() {
        let pid = i32::try_from(std::process::id()).expect("a pid");
        let start_ticks = started(pid).expect("we live");
        let other_life = ProcessId { pid, start_ticks: start_ticks + 1 };
        assert_eq!(signal(other_life, "", Signal::KILL), Ok(false));
        let not_its = ProcessId { pid, start_ticks };
        assert_eq!(signal(not_its, &"0123456789abcdef".repeat(4), Signal::KILL), Err(Errno::PERM));
        assert_eq!(signal(ProcessId { pid: -1, start_ticks }, "", Signal::KILL), Ok(false));
    }
}
