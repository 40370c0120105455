//! Network namespaces: known for certain, and entered only by threads that end afterwards.
//!
//! A namespace belongs to a thread, so no runtime thread may ever enter one: it would be used for something else next.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use chaos_core::FaultError;
use chaos_core::target::{Facets, ProcessId};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::{Deserialize, Serialize};

use crate::cgroup::quoted;
use crate::faults::is_still;
use crate::process::{Snapshot, look_at};

/// A network namespace of this host.
///
/// The kernel gives a namespace's inode to another once it is gone; its cookie it never gives again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Namespace {
    /// Of `/proc/PID/ns/net`.
    pub(crate) inode: u64,
    /// Its number, never used again until the next boot. None: this kernel has no such numbers (before 5.14).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cookie: Option<u64>,
    /// Who lived in it when it was looked at, through whom it is entered.
    pub(crate) process: ProcessId,
}

/// Why a namespace could not be entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamespaceError {
    /// It does not exist any more, nor does anything in it.
    Gone {
        /// What was looked for.
        what: String,
    },
    /// The system refused.
    Refused {
        /// What was being done, to what, and what happened.
        what: String,
        /// Why.
        errno: Option<Errno>,
    },
}

impl std::fmt::Display for NamespaceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Gone { what } | Self::Refused { what, .. } => f.write_str(what),
        }
    }
}

impl std::error::Error for NamespaceError {}

impl NamespaceError {
    fn refused(what: String, error: &io::Error) -> Self {
        let errno = Errno::from_io_error(error);
        Self::Refused { what: format!("{what}: {error}"), errno }
    }
}

impl From<NamespaceError> for FaultError {
    fn from(error: NamespaceError) -> Self {
        match error {
            NamespaceError::Gone { what } => Self::gone(what),
            NamespaceError::Refused { what, errno: Some(Errno::PERM | Errno::ACCESS) } => Self::new(what)
                .hint("run as root: entering a network namespace needs CAP_SYS_ADMIN, and CAP_SYS_PTRACE for another user's process"),
            NamespaceError::Refused { what, .. } => Self::new(what),
        }
    }
}

impl Namespace {
    /// The one that a process lives in.
    ///
    /// # Errors
    /// If the process has ended, may not be looked at, or its namespace may not be entered.
    pub(crate) fn of(process: ProcessId) -> Result<Self, NamespaceError> {
        let file = of_process(process)?.ok_or_else(|| NamespaceError::Gone { what: format!("process {} has ended", process.pid) })?;
        let inode = inode_of(&file)?;
        let cookie = within(&file, inode, cookie)?;
        Ok(Self { inode, cookie, process })
    }

    /// The one that this program lives in.
    ///
    /// # Errors
    /// If `/proc` does not say.
    #[cfg(test)]
    pub(crate) fn own() -> Result<Self, NamespaceError> {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let start_ticks = procfs::process::Process::new(pid)
            .and_then(|p| p.stat())
            .map_err(|e| NamespaceError::Refused { what: format!("read /proc/{pid}/stat: {e}"), errno: None })?
            .starttime;
        Self::of(ProcessId { pid, start_ticks })
    }

    /// Is it the one that was found when the run was planned?
    ///
    /// # Errors
    /// If the target lives in another by now.
    pub(crate) fn is_planned(&self, facets: &Facets) -> Result<(), FaultError> {
        match facets.network_namespace {
            Some(planned) if planned != self.inode => Err(FaultError::new(format!(
                "the target lives in the network namespace net:[{}] now, and not in net:[{planned}] any more",
                self.inode
            ))
            .hint("plan again: what is meant is looked for when the run is planned")),
            _ => Ok(()),
        }
    }

    /// Is it the one that this program lives in?
    #[must_use]
    pub(crate) fn is_own(&self) -> bool {
        Path::new("/proc/self/ns/net").metadata().is_ok_and(|m| m.ino() == self.inode)
    }

    /// The shell's way into it, which the command to be run there follows: through whoever lived in it, if that still does.
    pub(crate) fn way_in(&self) -> String {
        let lives = |pid: &str| format!(r#"[ "$(readlink /proc/{pid}/ns/net)" = 'net:[{}]' ]"#, self.inode);
        if self.is_own() {
            return format!("{} &&", lives("self"));
        }
        let pid = self.process.pid;
        format!("{} && {} && nsenter --net --target {pid}", is_still(self.process), lives(&pid.to_string()))
    }

    /// Does something in it, on a thread that lives only for that.
    ///
    /// Found by whoever lived in it; else by anybody who lives in it now, or a place where it is mounted (`ip netns`).
    ///
    /// # Errors
    /// If it is gone, or may not be entered.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NamespaceError> {
        within(&self.open()?, self.inode, work)
    }

    /// Moves the calling thread into it, for good. For programs that live in it, before they start any other thread.
    ///
    /// # Errors
    /// If it is gone, or may not be entered.
    pub(crate) fn enter(&self) -> Result<(), NamespaceError> {
        enter(&self.open()?, self.inode)
    }

    /// Does it still exist?
    ///
    /// # Errors
    /// If that cannot be told.
    #[cfg(test)]
    pub(crate) fn exists(&self) -> Result<bool, NamespaceError> {
        match self.open() {
            Ok(_) => Ok(true),
            Err(NamespaceError::Gone { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Its file, proved to be this one.
    fn open(&self) -> Result<File, NamespaceError> {
        if let Some(file) = of_process(self.process)?
            && inode_of(&file)? == self.inode
        {
            return Ok(file);
        }
        match self.anywhere()? {
            // An inode is given again; where there are cookies, they tell.
            Some(file) if self.cookie.is_none() || within(&file, self.inode, cookie)? == self.cookie => Ok(file),
            _ => Err(NamespaceError::Gone { what: format!("the network namespace net:[{}] is gone", self.inode) }),
        }
    }

    /// Of anybody who lives in it, or where it is mounted.
    fn anywhere(&self) -> Result<Option<File>, NamespaceError> {
        let snapshot = Snapshot::take().map_err(|e| NamespaceError::refused("list the processes".into(), &e))?;
        let places = snapshot.living().map(|entry| format!("/proc/{}/ns/net", entry.id.pid)).chain(mounted(self.inode));
        // Processes end, and some may not be looked into: neither says anything of this namespace.
        Ok(places.filter_map(|place| open(&place).ok()).find(|file| inode_of(file).is_ok_and(|inode| inode == self.inode)))
    }
}

/// A network namespace as it was found, and the shell's way into it.
#[derive(Debug, Clone)]
pub(crate) struct Entrance {
    /// The namespace.
    pub(crate) namespace: Namespace,
    /// Which the command to be run there follows.
    pub(crate) way_in: String,
}

/// Every network namespace that somebody lives in or that is mounted somewhere, as far as we may look.
pub(crate) fn everywhere(snapshot: &Snapshot) -> Vec<Entrance> {
    let mut found = BTreeMap::new();
    for process in snapshot.living().filter(|e| !e.is_kernel()).map(|e| e.id) {
        if let Ok(meta) = Path::new(&format!("/proc/{}/ns/net", process.pid)).metadata() {
            found.entry(meta.ino()).or_insert_with(|| {
                let namespace = Namespace { inode: meta.ino(), cookie: None, process };
                Entrance { way_in: namespace.way_in(), namespace }
            });
        }
    }
    for (inode, path) in mounts() {
        // Nobody has this pid: it is found where it is mounted.
        let nobody = ProcessId { pid: 0, start_ticks: 0 };
        found.entry(inode).or_insert_with(|| Entrance {
            namespace: Namespace { inode, cookie: None, process: nobody },
            way_in: format!("nsenter --net={}", quoted(Path::new(&path))),
        });
    }
    found.into_values().collect()
}

/// The namespace of a process, opened first and proved to be that process's afterwards. `None`: it has ended.
fn of_process(process: ProcessId) -> Result<Option<File>, NamespaceError> {
    let path = format!("/proc/{}/ns/net", process.pid);
    match open(&path) {
        Ok(file) => Ok(look_at(process).map(|_| file)),
        Err(e) if look_at(process).is_none() || e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(NamespaceError::refused(format!("open {path}"), &e)),
    }
}

fn open(path: &str) -> io::Result<File> {
    File::open(path)
}

fn inode_of(file: &File) -> Result<u64, NamespaceError> {
    file.metadata().map(|m| m.ino()).map_err(|e| NamespaceError::refused("look at a network namespace".into(), &e))
}

/// Where it is mounted, as `ip netns add` does.
fn mounted(inode: u64) -> impl Iterator<Item = String> {
    mounts().into_iter().filter(move |(mounted, _)| *mounted == inode).map(|(_, path)| path)
}

/// Every network namespace that is mounted somewhere, and where.
fn mounts() -> Vec<(u64, String)> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let read = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let inode = words.get(3)?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()?;
        Some((inode, words.get(4)?.replace("\\040", " ")))
    };
    mounts.lines().filter_map(read).collect()
}

/// On a thread of its own, which ends with the work.
fn within<T: Send>(file: &File, inode: u64, work: impl FnOnce() -> T + Send) -> Result<T, NamespaceError> {
    let what = || format!("enter the network namespace net:[{inode}]");
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("chaos-net".into()).spawn_scoped(scope, || {
            enter(file, inode)?;
            Ok(work())
        });
        let thread = thread.map_err(|e| NamespaceError::refused(what(), &e))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn enter(file: &File, inode: u64) -> Result<(), NamespaceError> {
    // Where we are already, nobody needs a capability.
    if Path::new("/proc/thread-self/ns/net").metadata().is_ok_and(|m| m.ino() == inode) {
        return Ok(());
    }
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|e| NamespaceError::refused(format!("enter the network namespace net:[{inode}]"), &e.into()))
}

/// `SO_NETNS_COOKIE` of the namespace that this thread is in.
fn cookie() -> Option<u64> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).ok()?;
    cookie_of(&socket).filter(|cookie| *cookie != 0)
}

#[allow(unsafe_code)]
fn cookie_of(socket: &OwnedFd) -> Option<u64> {
    let (mut cookie, mut size) = (0u64, 8u32);
    // SAFETY: the descriptor is open; the kernel writes at most `size` bytes to a value of that size.
    let got =
        unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NETNS_COOKIE, (&raw mut cookie).cast(), &raw mut size) };
    (got == 0 && size == 8).then_some(cookie)
}

#[cfg(test)]
mod tests;
