//! File systems: how full they are, and who uses them.

#![allow(clippy::disallowed_methods, reason = "this is the world's own module for file systems")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use chaos_core::fault::Bystanders;
use procfs::process::Process;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, statvfs, statx};

use crate::process::{Snapshot, name_of};

/// The file system that a path lies on.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    /// The folder: the path itself, or the one that holds it.
    pub(crate) folder: PathBuf,
    /// The file system's number.
    pub(crate) device: u64,
    /// All of it, in bytes.
    pub(crate) total: u64,
    /// The folder belongs to root, for whom some blocks are kept.
    pub(crate) roots_own: bool,
    free_for_users: u64,
    free_for_root: u64,
}

impl Disk {
    /// Looks at it.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        let meta = std::fs::metadata(folder)?;
        let fs = statvfs(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            device: meta.dev(),
            total: fs.f_blocks * fs.f_frsize,
            roots_own: meta.uid() == 0,
            free_for_users: fs.f_bavail * fs.f_frsize,
            free_for_root: fs.f_bfree * fs.f_frsize,
        })
    }

    /// Of a folder that is open, in whosever tree of files; its name here ends with the descriptor.
    pub(crate) fn of_open(folder: &OwnedFd) -> io::Result<Self> {
        Self::of(Path::new(&format!("/proc/self/fd/{}", folder.as_raw_fd())))
    }

    /// How much is free; with `reserve`, the blocks kept for root included.
    pub(crate) fn free(&self, reserve: bool) -> u64 {
        if reserve { self.free_for_root } else { self.free_for_users }
    }

    /// Does a write of one block fail, as it would for the folder's owner? Tried with a file that has no name.
    pub(crate) fn refuses_a_block(&self, folder: &OwnedFd) -> bool {
        if !self.roots_own && self.free_for_users == 0 {
            return true;
        }
        let mode = Mode::RUSR | Mode::WUSR;
        let file = openat(folder, ".", OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, mode);
        let written = file.and_then(|file| rustix::io::write(&file, &[0; 4096]));
        written == Err(rustix::io::Errno::NOSPC)
    }
}

/// What a path's space is drawn from. The number of its file system does not say that: subvolumes and datasets have one each, and share
/// one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Store {
    device: u64,
    kind: String,
    source: String,
    total: u64,
}

impl Store {
    /// Looks at the path, or at the nearest folder above it that is there.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let there = path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("/"));
        let mount = statx(CWD, there, AtFlags::empty(), StatxFlags::MNT_ID)?.stx_mnt_id;
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        let (kind, source) = mounted(&mounts, mount).ok_or_else(|| io::Error::other(format!("mount {mount} is not listed")))?;
        let fs = statvfs(there)?;
        Ok(Self { device: std::fs::metadata(there)?.dev(), kind, source, total: fs.f_blocks * fs.f_frsize })
    }

    /// Would a full one leave the other no room either?
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        // A pool says its own size for every part of it, and an overlay that of what lies under it.
        let is_part = |store: &Self| matches!(store.kind.as_str(), "btrfs" | "overlay" | "bcachefs");
        let same_size = (is_part(self) || is_part(other)) && self.total == other.total;
        self.device == other.device || same_size || self.pool().is_some_and(|pool| Some(pool) == other.pool())
    }

    fn pool(&self) -> Option<&str> {
        match self.kind.as_str() {
            "zfs" => self.source.split('/').next(),
            _ => self.source.starts_with('/').then_some(self.source.as_str()),
        }
    }
}

/// Kind and source of a mount, from its line in mountinfo.
fn mounted(mounts: &str, mount: u64) -> Option<(String, String)> {
    let line = mounts.lines().find(|line| line.split(' ').next() == Some(mount.to_string().as_str()))?;
    let mut right = line.split_once(" - ")?.1.split(' ');
    Some((right.next()?.to_owned(), right.next()?.to_owned()))
}

/// How much a process holds on a file system with files that have no name.
pub(crate) fn held_by(pid: i32, device: u64) -> u64 {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().filter_map(Result::ok);
    descriptors
        .filter_map(|d| std::fs::metadata(d.path()).ok())
        .filter(|m| m.is_file() && m.dev() == device && m.nlink() == 0)
        .map(|m| m.blocks() * 512)
        .sum()
}

/// The processes that have something open there.
pub(crate) fn users(device: u64, snapshot: &Snapshot) -> Bystanders {
    const NAMED: usize = 3;
    let on_it = |path: PathBuf| std::fs::metadata(path).is_ok_and(|m| m.dev() == device && (m.is_file() || m.is_dir()));
    let uses = |pid: i32| {
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().filter_map(Result::ok);
        Process::new(pid).and_then(|p| p.cwd()).is_ok_and(on_it) || descriptors.map(|d| d.path()).any(on_it)
    };
    let users: Vec<i32> = snapshot.living().filter(|e| !e.is_kernel() && uses(e.id.pid)).map(|e| e.id.pid).collect();
    Bystanders { count: users.len() as u64, names: users.iter().take(NAMED).map(|pid| format!("{} (pid {pid})", name_of(*pid))).collect() }
}

#[cfg(test)]
mod tests {
    use super::{Store, mounted};

    fn store(device: u64, kind: &str, source: &str, total: u64) -> Store {
        Store { device, kind: kind.into(), source: source.into(), total }
    }

    #[test]
    fn rule_4_parts_of_one_pool_share_their_space_whatever_their_numbers() {
        let home = store(41, "btrfs", "/dev/sda2", 500);
        assert!(home.is_shared_with(&store(42, "btrfs", "/dev/sda2", 500)), "subvolumes");
        assert!(home.is_shared_with(&store(43, "btrfs", "/dev/mapper/pool", 500)), "the same, under another name");
        assert!(store(1, "zfs", "tank/home", 9).is_shared_with(&store(2, "zfs", "tank/var/lib", 7)), "datasets");
        assert!(store(1, "overlay", "overlay", 500).is_shared_with(&store(2, "ext4", "/dev/vda", 500)), "a container and its volume");
        assert!(!store(1, "zfs", "tank/home", 9).is_shared_with(&store(2, "zfs", "other/home", 9)));
        assert!(!store(1, "tmpfs", "tmpfs", 16).is_shared_with(&store(2, "tmpfs", "tmpfs", 16)), "each has its own");
        assert!(!store(1, "ext4", "/dev/vda", 500).is_shared_with(&store(2, "ext4", "/dev/vdb", 500)));
    }

    #[test]
    fn a_mount_is_found_by_its_number() {
        let mounts = "36 35 0:41 /@home /home rw,noatime shared:1 - btrfs /dev/sda2 rw,subvol=/@home\n\
            37 35 0:24 / /run rw - tmpfs tmpfs rw\n";
        assert_eq!(mounted(mounts, 36), Some(("btrfs".into(), "/dev/sda2".into())));
        assert_eq!(mounted(mounts, 37), Some(("tmpfs".into(), "tmpfs".into())));
        assert_eq!(mounted(mounts, 3), None);
    }

    #[test]
    fn every_path_has_a_store_also_one_that_is_not_there_yet() {
        let here = Store::of(std::path::Path::new("/proc/no-such-folder/below")).expect("the nearest folder");
        assert_eq!(here.kind, "proc");
    }
}
