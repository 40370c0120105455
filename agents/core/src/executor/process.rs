//! Making this process hard to kill by accident: its own session, nothing inherited, out of the way of memory pressure.

use std::fs::OpenOptions;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getrlimit, setsid};

use crate::event::HostId;

/// What an executor would survive, and what its children get back.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// In words, for the plan.
    pub survives: String,
    /// `oom_score_adj` as it was before it was lowered, if it was: what is started here must not inherit our protection.
    pub(super) oom_score_adj: Option<String>,
}

/// Leaves the terminal, the folder and the standard input of whoever started this process, and takes the socket that it
/// was given as standard input.
///
/// Best effort, save for the socket: what an executor would not survive is said, not refused.
///
/// # Errors
/// If standard input cannot be taken over.
pub fn detach() -> std::io::Result<(OwnedFd, Surroundings)> {
    close_inherited_on_exec();
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    let own_session = setsid().is_ok();
    let _ = std::env::set_current_dir("/");
    Ok((socket, surroundings(own_session)))
}

/// What the launcher had open is nobody's below us: a target that inherited it could not be told from one that uses it.
#[allow(unsafe_code)]
pub(super) fn close_inherited_on_exec() {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    let numbers: Vec<i32> = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(|fd| *fd > 2).collect();
    for number in numbers {
        // SAFETY: borrowed for this call alone, and only its flag is changed. One that was closed since the listing, as the
        // listing's own, gives EBADF; this process has one thread yet, so none was opened in its place.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        let _ = rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC);
    }
}

/// The same for a process that is its own master already: the first of a container.
pub(crate) fn surroundings(own_session: bool) -> Surroundings {
    let oom_score_adj = lower_oom_score();
    if may_lock_memory() {
        let _ = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
    }
    Surroundings { survives: survives(own_session, &HostId::here()), oom_score_adj }
}

const OOM_SCORE: &str = "/proc/self/oom_score_adj";

fn lower_oom_score() -> Option<String> {
    let before = std::fs::read_to_string(OOM_SCORE).ok()?;
    std::fs::write(OOM_SCORE, "-900").ok()?;
    Some(before.trim().to_owned())
}

/// Only where it can never run out: a limit would make later allocations fail.
fn may_lock_memory() -> bool {
    const CAP_IPC_LOCK: u64 = 1 << 14;
    let capable = std::fs::read_to_string("/proc/self/status").ok().and_then(|status| {
        let line = status.lines().find_map(|l| l.strip_prefix("CapEff:"))?;
        u64::from_str_radix(line.trim(), 16).ok()
    });
    capable.is_some_and(|caps| caps & CAP_IPC_LOCK != 0) || getrlimit(Resource::Memlock).current.is_none()
}

fn survives(own_session: bool, host: &HostId) -> String {
    let mut says = vec![if own_session { "own session" } else { "shares its starter's session" }.to_owned()];
    if host.in_container() {
        says.push("dies with this container".into());
    }
    let cgroup = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let unit = cgroup.lines().filter_map(|l| l.rsplit('/').next()).find(|name| name.ends_with(".scope") || name.ends_with(".service"));
    if let Some(unit) = unit {
        says.push(format!("is killed when {unit} is stopped"));
    }
    says.join("; ")
}
