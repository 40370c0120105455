//! How much memory there is: of the host, or of a control group with a limit.

use std::io;

use procfs::Current;

use crate::cgroup::Group;
use crate::limit::MemoryUse;

/// How much there is, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// In all.
    pub(crate) total: u64,
    /// What can be taken without swapping, as the kernel estimates it.
    pub(crate) available: u64,
    /// It is that of a control group, not of the host.
    pub(crate) limited: bool,
}

impl Memory {
    /// Reads `/proc/meminfo`.
    pub(crate) fn now() -> io::Result<Self> {
        let info = procfs::Meminfo::current().map_err(crate::process::io_error)?;
        let available = info.mem_available.ok_or_else(|| io::Error::other("/proc/meminfo has no MemAvailable"))?;
        Ok(Self { total: info.mem_total, available, limited: false })
    }

    /// What whoever lives in this group may have: of the host's, or of its limit.
    pub(crate) fn within(group: Option<&Group>) -> io::Result<Self> {
        let host = Self::now()?;
        let used = group.map(MemoryUse::of).transpose().map_err(|e| io::Error::other(e.message))?;
        let limited = used.and_then(|used| Some((used.limit.filter(|limit| *limit < host.total)?, used.kept)));
        Ok(limited.map_or(host, |(limit, kept)| Self {
            total: limit,
            available: limit.saturating_sub(kept).min(host.available),
            limited: true,
        }))
    }

    /// How much is taken before looking again: a small group is full soon.
    pub(crate) fn step(self) -> u64 {
        if self.limited { 4 << 20 } else { 32 << 20 }
    }

    /// What must always be left to others: a twentieth of it, and of a host 256 MiB at least.
    pub(crate) fn floor(self) -> u64 {
        (self.total / 20).max(if self.limited { 0 } else { 256 << 20 })
    }
}
