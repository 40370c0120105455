//! Copies of files, with everything that belongs to them.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::{
    Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, fchmod, fchown, fgetxattr, flistxattr, fsetxattr, futimens, ioctl_ficlone,
};
use serde::{Deserialize, Serialize};

/// How much is read or written before asking whether to go on.
pub(crate) const CHUNK: usize = 1 << 20;

/// When a file was last read and written: seconds and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Times {
    pub(crate) accessed: (i64, i64),
    pub(crate) modified: (i64, i64),
}

impl Times {
    pub(crate) fn of(meta: &std::fs::Metadata) -> Self {
        Self { accessed: (meta.atime(), meta.atime_nsec()), modified: (meta.mtime(), meta.mtime_nsec()) }
    }

    pub(crate) fn set(self, file: &File) -> io::Result<()> {
        let spec = |(tv_sec, tv_nsec)| Timespec { tv_sec, tv_nsec };
        futimens(file, &Timestamps { last_access: spec(self.accessed), last_modification: spec(self.modified) })?;
        Ok(())
    }
}

/// Copies the content, by reference where the file system can.
///
/// `go_on` is asked between two chunks; `false` gives up with [`io::ErrorKind::Interrupted`].
pub(crate) fn copy_content(from: &File, to: &File, mut go_on: impl FnMut() -> bool) -> io::Result<()> {
    if ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    each_chunk(from, |at, bytes| if go_on() { to.write_all_at(bytes, at) } else { Err(io::ErrorKind::Interrupted.into()) })
}

/// Copies what else belongs to a file: owner, mode, extended attributes and times.
pub(crate) fn copy_belongings(from: &File, to: &File) -> io::Result<()> {
    let times = Times::of(&from.metadata()?);
    dress(to, from, times)?;
    // A change of owner strips capabilities, so the attributes come after it.
    each_attribute(from, |name, value| set_attribute(to, name, value, XattrFlags::empty()))?;
    times.set(to)
}

/// Gives back what every write takes from a program: the bits by which it runs as another user, and its capabilities.
///
/// What somebody else has set meanwhile stays.
pub(crate) fn give_back_belongings(from: &File, to: &File) -> io::Result<()> {
    const RUNS_AS_ANOTHER: u32 = 0o6000;
    let (was, is) = (from.metadata()?.mode() & 0o7777, to.metadata()?.mode() & 0o7777);
    if was != is && was & !RUNS_AS_ANOTHER == is & !RUNS_AS_ANOTHER {
        fchmod(to, Mode::from_raw_mode(was))?;
    }
    each_attribute(from, |name, value| match set_attribute(to, name, value, XattrFlags::CREATE) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    })
}

/// Makes a file look like another to whoever opens it: owner, mode, and these times.
pub(crate) fn dress(file: &File, as_this: &File, times: Times) -> io::Result<()> {
    let meta = as_this.metadata()?;
    fchown(file, Some(Uid::from_raw(meta.uid())), Some(Gid::from_raw(meta.gid())))?;
    fchmod(file, Mode::from_raw_mode(meta.mode() & 0o7777))?;
    times.set(file)
}

/// Calls `each` with every chunk of a file and where it begins.
pub(crate) fn each_chunk(file: &File, each: impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
    each_chunk_from(file, 0, each)
}

/// As [`each_chunk`], from a place in the file on.
pub(crate) fn each_chunk_from(file: &File, from: u64, mut each: impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut at = from;
    loop {
        let got = fill(file, at, &mut buffer)?;
        if got == 0 {
            return Ok(());
        }
        each(at, &buffer[..got])?;
        at += got as u64;
    }
}

/// Reads as much as there is, up to the buffer's length.
pub(crate) fn fill(file: &File, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read_at(&mut buffer[got..], at + got as u64) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(got)
}

fn each_attribute(from: &File, mut each: impl FnMut(&[u8], &[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut names = vec![0; 64 << 10];
    let length = match flistxattr(from, &mut names[..]) {
        Ok(length) => length,
        // A file system without them has none to copy.
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    let mut value = vec![0; 64 << 10];
    for name in names[..length].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let length = fgetxattr(from, name, &mut value[..])?;
        each(name, &value[..length])?;
    }
    Ok(())
}

fn set_attribute(to: &File, name: &[u8], value: &[u8], how: XattrFlags) -> io::Result<()> {
    match fsetxattr(to, name, value, how) {
        // The security module's own labels are set by itself, and may not be by us.
        Err(rustix::io::Errno::PERM | rustix::io::Errno::OPNOTSUPP) if name.starts_with(b"security.") => Ok(()),
        done => done.map_err(Into::into),
    }
}
