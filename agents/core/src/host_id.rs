//! Which host, boot, pid namespace and user this process is: what tells a journal of ours from somebody else's (RULES 7).

use std::os::unix::fs::MetadataExt;

use crate::clock::{boot_id, machine_id};
use crate::event::HostId;

/// Inode of the first pid namespace: every other one is a container's.
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

impl HostId {
    /// The host as this process sees it.
    #[must_use]
    pub fn here() -> Self {
        Self {
            name: std::fs::read_to_string("/proc/sys/kernel/hostname").map(|s| s.trim().to_owned()).unwrap_or_default(),
            machine: machine_id(),
            boot: boot_id(),
            pid_namespace: std::fs::metadata("/proc/self/ns/pid").map_or(0, |m| m.ino()),
            namespace_began: first_process_began(),
        }
    }

    /// Is it the same machine? Without a machine id, as in many containers, the same kernel, or the same name.
    pub fn is_host_of(&self, other: &Self) -> bool {
        match (self.machine.is_empty(), other.machine.is_empty()) {
            (false, false) => self.machine == other.machine,
            (true, true) if self.name == other.name => true,
            _ => !self.boot.is_empty() && self.boot == other.boot,
        }
    }

    /// Do its pids mean the same here? Of one boot alone.
    pub(crate) fn shares_pids_with(&self, other: &Self) -> bool {
        let unlike = |a: u64, b: u64| a != 0 && b != 0 && a != b;
        self.pid_namespace == other.pid_namespace && !unlike(self.namespace_began, other.namespace_began)
    }

    /// Does no process of that namespace live any more? Only somebody who sees all processes knows.
    pub(crate) fn namespace_is_gone(&self) -> bool {
        let here = Self::here();
        if here.pid_namespace == self.pid_namespace {
            return !here.shares_pids_with(self);
        }
        !here.in_container() && in_no_process(self.pid_namespace)
    }

    /// Do the pids of this process end with a container's first process?
    #[must_use]
    pub fn in_container(&self) -> bool {
        self.pid_namespace != FIRST_PID_NAMESPACE
    }
}

fn first_process_began() -> u64 {
    let stat = std::fs::read_to_string("/proc/1/stat").unwrap_or_default();
    // The name in parentheses may hold anything; the 20th field after it is the time.
    stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse().ok()).unwrap_or(0)
}

fn in_no_process(namespace: u64) -> bool {
    let Ok(entries) = std::fs::read_dir("/proc") else { return false };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.bytes().all(|b| b.is_ascii_digit())).all(|pid| {
        match std::fs::metadata(format!("/proc/{pid}/ns/pid")) {
            Ok(found) => found.ino() != namespace,
            // One that cannot be looked at may be in it.
            Err(e) => e.kind() == std::io::ErrorKind::NotFound,
        }
    })
}

/// The user that this process acts as.
#[must_use]
pub fn euid() -> u32 {
    rustix::process::geteuid().as_raw()
}
