//! The mounts of a container, entered by one thread that ends with its work.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use chaos_core::target::ProcessId;
use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::process::{chroot, fchdir};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::resident::member;

/// What has no bytes and may not be run.
const NOTHING: &str = "/dev/null";

/// The first process of a container, whose mounts can be entered.
#[derive(Debug)]
pub(crate) struct Inside {
    pid: i32,
    namespace: File,
    root: File,
}

impl Inside {
    /// Of this process; `None`: it has ended. What is opened is proved afterwards to be the container's (RULES 16).
    ///
    /// # Errors
    /// If it may not be looked into.
    pub(crate) fn of(process: ProcessId, container: &str) -> io::Result<Option<Self>> {
        let folder = format!("/proc/{}", process.pid);
        let open = |name: &str| match File::open(format!("{folder}/{name}")) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => Ok(None),
            Err(e) => Err(e),
        };
        let (Some(namespace), Some(root)) = (open("ns/mnt")?, open("root")?) else { return Ok(None) };
        let is_its = member(Path::new(&folder), process.pid).is_some_and(|(of, found)| of == container && found.id == process);
        Ok(is_its.then_some(Self { pid: process.pid, namespace, root }))
    }

    /// The file that a path leads to in there, links followed.
    ///
    /// # Errors
    /// If it leads to none.
    pub(crate) fn resolved(&self, path: &Path) -> io::Result<PathBuf> {
        self.enter(|| std::fs::canonicalize(path))
    }

    /// Is nothing mounted over this file?
    ///
    /// # Errors
    /// If its mounts cannot be read.
    pub(crate) fn is_covered(&self, file: &Path) -> io::Result<bool> {
        let mounts = std::fs::read_to_string(format!("/proc/{}/mountinfo", self.pid))?;
        Ok(mounts.lines().filter_map(|line| line.split(' ').nth(4)).any(|point| Path::new(&unescaped(point)) == file))
    }

    /// Covers a file with nothing: it can no longer be run. What runs already goes on.
    ///
    /// # Errors
    /// If it may not be mounted in there.
    pub(crate) fn cover(&self, file: &Path) -> io::Result<()> {
        self.enter(|| Ok(mount_bind(NOTHING, file)?))
    }

    /// Takes the cover off, if there is one. `false`: there was none.
    ///
    /// # Errors
    /// If it may not be unmounted in there.
    pub(crate) fn uncover(&self, file: &Path) -> io::Result<bool> {
        if !self.is_covered(file)? {
            return Ok(false);
        }
        self.enter(|| Ok(unmount(file, UnmountFlags::DETACH)?))?;
        Ok(true)
    }

    /// Does something in there. Only a thread that shares its root with no other may enter other mounts; it never leaves them.
    fn enter<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let entered = || {
            #[allow(deprecated, reason = "of its own is only the thread's root and folder, not its descriptors")]
            rustix::thread::unshare(UnshareFlags::FS)?;
            move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::Mount))?;
            fchdir(&self.root)?;
            chroot(".")?;
            work()
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("inside".into()).spawn_scoped(scope, entered)?;
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a defect of ours")))
        })
    }
}

/// A path as `/proc/PID/mountinfo` writes it: spaces and such as `\040`.
fn unescaped(path: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(path.to_owned(), |path, (code, c)| path.replace(code, c))
}
