//! Who listens where, in our network namespace. A process in another one is not seen.

use std::collections::{BTreeMap, BTreeSet};
use std::{fs, io};

use chaos_core::target::ProcessId;
use procfs::net::TcpState;

use super::snapshot::{Snapshot, io_error};

/// A TCP socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listening {
    /// The port.
    pub(crate) port: u16,
    /// The socket, as `/proc/PID/fd` names it.
    pub(crate) inode: u64,
    /// The user who made it.
    pub(crate) uid: u32,
}

/// Every listening TCP socket, and who holds which.
#[derive(Debug)]
pub(crate) struct Sockets {
    listening: BTreeSet<Listening>,
    holders: BTreeMap<u64, BTreeSet<ProcessId>>,
}

impl Sockets {
    /// Looks at the sockets, and at everybody's descriptors.
    ///
    /// # Errors
    /// If the socket table cannot be read.
    pub(crate) fn look(snapshot: &Snapshot) -> io::Result<Self> {
        let holders = holders(snapshot.living().map(|e| e.id));
        Ok(Self { listening: listening()?, holders })
    }

    /// What these processes hold. The table of all sockets takes the kernel long, so it is read only if they hold any.
    ///
    /// # Errors
    /// If the socket table cannot be read.
    pub(crate) fn of(ids: impl IntoIterator<Item = ProcessId>) -> io::Result<Self> {
        let holders = holders(ids);
        let listening = if holders.is_empty() { BTreeSet::new() } else { listening()? };
        Ok(Self { listening, holders })
    }

    /// All that listen, by port.
    pub(crate) fn listening(&self) -> impl Iterator<Item = Listening> {
        self.listening.iter().copied()
    }

    /// Who holds this socket; `None` if nobody whose descriptors we may read.
    #[must_use]
    pub(crate) fn holders(&self, socket: Listening) -> Option<&BTreeSet<ProcessId>> {
        self.holders.get(&socket.inode)
    }

    /// The ports that a process listens on.
    #[must_use]
    pub(crate) fn ports_of(&self, id: ProcessId) -> Vec<u16> {
        let ports: BTreeSet<u16> =
            self.listening.iter().filter(|l| self.holders(**l).is_some_and(|h| h.contains(&id))).map(|l| l.port).collect();
        ports.into_iter().collect()
    }
}

/// Every TCP socket that listens.
fn listening() -> io::Result<BTreeSet<Listening>> {
    let mut table = procfs::net::tcp().map_err(io_error)?;
    // Without IPv6 there is no such table.
    table.extend(procfs::net::tcp6().unwrap_or_default());
    let listening = table.into_iter().filter(|s| s.state == TcpState::Listen);
    Ok(listening.map(|s| Listening { port: s.local_address.port(), inode: s.inode, uid: s.uid }).collect())
}

/// Who holds which socket, among these processes.
fn holders(among: impl IntoIterator<Item = ProcessId>) -> BTreeMap<u64, BTreeSet<ProcessId>> {
    let mut holders: BTreeMap<u64, BTreeSet<ProcessId>> = BTreeMap::new();
    for id in among {
        for inode in sockets_of(id.pid) {
            holders.entry(inode).or_default().insert(id);
        }
    }
    holders
}

/// The sockets among a process's descriptors: one `readlink` each, since a busy host has many. None where we may not look.
pub(crate) fn sockets_of(pid: i32) -> Vec<u64> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    let targets = descriptors.filter_map(|d| fs::read_link(d.ok()?.path()).ok());
    targets.filter_map(|target| target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()).collect()
}
