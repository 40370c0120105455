//! `chaos helper hold-file`: takes space on a file system with a file that has no name, so that the kernel frees it when we die.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, FallocateFlags, Mode, OFlags, fallocate, fstatvfs, open, openat, unlinkat};
use rustix::io::Errno;

use super::{Order, lifeline};
use crate::file::{Root, open_folder};

/// How much is taken before looking again.
const STEP: u64 = 64 << 20;
/// The smallest step, when nearly nothing is left.
const LEAST: u64 = 4096;

/// `--folder PATH [--root ROOT] --bytes N --free N --reserve 0|1`: takes `bytes`, or until `free` are left; with `reserve`, left for root.
pub(super) fn run(order: &Order) -> io::Result<()> {
    lifeline::watch(order.deadline, |_| {});
    let folder = order.more.get("folder").map(Path::new).ok_or(io::ErrorKind::InvalidInput)?;
    let root: Option<Root> = order.more.get("root").and_then(|text| serde_json::from_str(text.to_str()?).ok());
    let folder = root.map_or_else(|| open_as_named(folder), |root| open_folder(Some(&root), folder, OFlags::RDONLY))?;
    let file = nameless(&folder, order.more.get("tag").and_then(|t| t.to_str()).unwrap_or("chaos"))?;
    let mut taken = 0;
    let mut step = STEP;
    loop {
        let wanted = still_wanted(order, &file, taken)?;
        if wanted == 0 {
            break;
        }
        match take(&file, taken, wanted.min(step)) {
            Ok(more) => taken += more,
            Err(Errno::NOSPC) if step > LEAST => step = (step / 2).max(LEAST),
            Err(Errno::NOSPC) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    loop {
        std::thread::sleep(Duration::from_secs(3600));
        // The descriptor is the effect: it lives as long as we do.
        let _held = &file;
    }
}

fn still_wanted(order: &Order, file: &OwnedFd, taken: u64) -> io::Result<u64> {
    let Some(free) = order.number("free") else {
        return Ok(order.amount("bytes").saturating_sub(taken));
    };
    let fs = fstatvfs(file)?;
    let left = if order.amount("reserve") == 1 { fs.f_bfree } else { fs.f_bavail };
    Ok((left * fs.f_frsize).saturating_sub(free))
}

fn take(file: &OwnedFd, from: u64, bytes: u64) -> Result<u64, Errno> {
    match fallocate(file, FallocateFlags::empty(), from, bytes) {
        Ok(()) => Ok(bytes),
        // A file system that cannot reserve must be written to.
        Err(Errno::OPNOTSUPP) => {
            let chunk = vec![0xC5; usize::try_from(bytes.min(1 << 20)).unwrap_or(0)];
            let mut file = File::from(file.try_clone().map_err(|_| Errno::MFILE)?);
            match file.write(&chunk) {
                Ok(n) => Ok(n as u64),
                Err(e) => Err(Errno::from_io_error(&e).unwrap_or(Errno::IO)),
            }
        }
        Err(errno) => Err(errno),
    }
}

/// As it was named: links on this host lead where they lead.
fn open_as_named(folder: &Path) -> io::Result<OwnedFd> {
    open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(Into::into)
}

/// A file without a name; where the file system has no such thing, one whose name is gone at once.
fn nameless(folder: &OwnedFd, tag: &str) -> io::Result<OwnedFd> {
    let mode = Mode::RUSR | Mode::WUSR;
    match openat(folder, ".", OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, mode) {
        Ok(file) => Ok(file),
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
            let name = format!(".{tag}");
            let file = openat(folder, &name, OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC, mode)?;
            unlinkat(folder, &name, AtFlags::empty())?;
            Ok(file)
        }
        Err(errno) => Err(errno.into()),
    }
}
