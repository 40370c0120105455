//! The layers of a container: an overlay, by the folder that is written to.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, statx};
use serde::{Deserialize, Serialize};

use super::mounts::{Mount, mounts_of, unescaped};

/// An overlay. No two have the same upper folder, so that names it, whoever has it mounted where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layers {
    /// What is written lies here.
    pub(crate) upper: PathBuf,
    /// Inode of that folder as this host sees it; none: it does not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inode: Option<u64>,
    /// Where it is mounted in the container.
    pub(crate) at: PathBuf,
    /// With which options.
    options: String,
}

impl Layers {
    /// Of a mount; none: it is none, or nothing of it can be written to.
    pub(super) fn of(mount: &Mount) -> Option<Self> {
        let upper = upper_of(mount)?;
        let inode = std::fs::metadata(&upper).ok().map(|m| m.ino());
        Some(Self { upper, inode, at: mount.point.clone(), options: mount.options.clone() })
    }

    /// Are they what is mounted there?
    pub(super) fn are_of(&self, mount: &Mount) -> bool {
        mount.root == Path::new("/") && upper_of(mount).as_ref() == Some(&self.upper)
    }

    /// Are they what this folder, which a process sees, is the top of? Something may be mounted over it.
    pub(super) fn are_of_folder(&self, folder: &OwnedFd, pid: i32) -> bool {
        let id = statx(folder, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map(|stat| stat.stx_mnt_id);
        let mounts = mounts_of(pid).unwrap_or_default();
        id.is_ok_and(|id| mounts.iter().any(|mount| mount.id == id && self.are_of(mount)))
    }

    /// The folder that is written to, as this host sees it.
    ///
    /// # Errors
    /// If it does not.
    pub(crate) fn disk(&self) -> io::Result<&Path> {
        match std::fs::metadata(&self.upper) {
            Ok(found) if Some(found.ino()) == self.inode => Ok(&self.upper),
            _ => Err(io::Error::other(format!("{} is not seen from here", self.upper.display()))),
        }
    }

    /// Mounts them where nobody sees it, for as long as the descriptor is held. Only while nobody else has them mounted: the
    /// container is stopped. None: they are gone, as the container was removed.
    ///
    /// # Errors
    /// If they are not seen from here, or the kernel refuses.
    pub(super) fn mount(&self) -> io::Result<Option<OwnedFd>> {
        let start_it = |why: String| io::Error::other(format!("the container does not run, and {why}: start it, then `chaos recover`"));
        match (std::fs::metadata(&self.upper), self.inode) {
            (Ok(found), Some(inode)) if found.ino() == inode => {}
            (Err(e), Some(_)) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            _ => return Err(start_it(format!("{} is not seen from here", self.upper.display()))),
        }
        let mounted = std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("chaos-mount".into()).spawn_scoped(scope, || self.mount_alone())?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        mounted.map(Some).map_err(|e| start_it(format!("its files cannot be mounted: {e}")))
    }

    /// In a mount namespace of this thread's own, which ends with it; the mount stays as long as it is held.
    fn mount_alone(&self) -> io::Result<OwnedFd> {
        let unknown = || io::Error::other(format!("nobody knows the folders around {}", self.upper.display()));
        let above = self.upper.parent().ok_or_else(unknown)?;
        // Engines name lower folders by short links beside the containers.
        let home = above.parent().ok_or_else(unknown)?;
        // What the kernel says besides is said of the mount, or by itself.
        let said: Vec<&str> = self.options.split(',').filter(|option| option.contains('=')).collect();
        if said.iter().any(|option| unescaped(option).contains(',')) {
            return Err(io::Error::other("a path with a comma cannot be mounted"));
        }
        let options = CString::new(unescaped(&said.join(",")))?;
        let (home, point) = (CString::new(home.as_os_str().as_bytes())?, CString::new(above.as_os_str().as_bytes())?);
        alone(&home, &point, &options)?;
        openat(CWD, above, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(Into::into)
    }
}

/// The upper folder of an overlay that is named as it is found from everywhere.
fn upper_of(mount: &Mount) -> Option<PathBuf> {
    let upper = mount.options.split(',').find_map(|option| option.strip_prefix("upperdir="))?;
    (mount.kind == "overlay" && upper.starts_with('/')).then(|| PathBuf::from(unescaped(upper)))
}

/// Leaves this thread's mounts to it alone, and mounts an overlay there.
#[allow(unsafe_code)]
fn alone(home: &CString, point: &CString, options: &CString) -> io::Result<()> {
    let done = |code: i32| if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: the thread is our own and ends soon; what it takes with it is its view of mounts and its current folder.
    done(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    // SAFETY: all strings end with a zero and live longer than the call; null where the kernel asks for nothing.
    done(unsafe { libc::mount(std::ptr::null(), c"/".as_ptr(), std::ptr::null(), libc::MS_REC | libc::MS_PRIVATE, std::ptr::null()) })?;
    // SAFETY: as above. The current folder is this thread's own by now.
    done(unsafe { libc::chdir(home.as_ptr()) })?;
    // SAFETY: as above.
    done(unsafe { libc::mount(c"overlay".as_ptr(), point.as_ptr(), c"overlay".as_ptr(), 0, options.as_ptr().cast()) })
}
