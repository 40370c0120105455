//! File systems: how full they are, and who uses them.

#![allow(clippy::disallowed_methods, reason = "this is the world's own module for file systems")]

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use chaos_core::fault::Bystanders;
use procfs::process::Process;
use rustix::fs::{CWD, Mode, OFlags, openat, statvfs};

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

    /// How much is free; with `reserve`, the blocks kept for root included.
    pub(crate) fn free(&self, reserve: bool) -> u64 {
        if reserve { self.free_for_root } else { self.free_for_users }
    }

    /// Does a write of one block fail, as it would for the folder's owner? Tried with a file that has no name.
    pub(crate) fn refuses_a_block(&self) -> bool {
        if !self.roots_own && self.free_for_users == 0 {
            return true;
        }
        let mode = Mode::RUSR | Mode::WUSR;
        let file = openat(CWD, &self.folder, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, mode);
        let written = file.and_then(|file| rustix::io::write(&file, &[0; 4096]));
        written == Err(rustix::io::Errno::NOSPC)
    }
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
