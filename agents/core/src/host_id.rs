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
        }
    }

    /// Do the pids of this process end with a container's first process?
    #[must_use]
    pub fn in_container(&self) -> bool {
        self.pid_namespace != FIRST_PID_NAMESPACE
    }
}

/// The user that this process acts as.
#[must_use]
pub fn euid() -> u32 {
    rustix::process::geteuid().as_raw()
}
