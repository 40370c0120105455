//! The host's memory.

use std::io;

use procfs::Current;

/// How much there is, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// In all.
    pub(crate) total: u64,
    /// What can be taken without swapping, as the kernel estimates it.
    pub(crate) available: u64,
}

impl Memory {
    /// Reads `/proc/meminfo`.
    pub(crate) fn now() -> io::Result<Self> {
        let info = procfs::Meminfo::current().map_err(crate::process::io_error)?;
        let available = info.mem_available.ok_or_else(|| io::Error::other("/proc/meminfo has no MemAvailable"))?;
        Ok(Self { total: info.mem_total, available })
    }

    /// What must always be left to others: a twentieth of it, and 256 MiB at least.
    pub(crate) fn floor(self) -> u64 {
        (self.total / 20).max(256 << 20)
    }
}
