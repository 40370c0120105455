//! Where the originals wait: a folder of ours, on the same file system as the file, and outside every folder that its reader looks into.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    Access, AtFlags, Mode, OFlags, RenameFlags, StatxFlags, accessat, fstat, mkdirat, openat, renameat_with, statx, unlinkat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::place::{Place, open_folder, open_in, sync};

/// What the name of every vault begins with.
pub(crate) const PREFIX: &str = ".chaos-";

/// A folder `.chaos-RUN`, for one run; and in it the files of one injection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Vault {
    /// Where the folder lies.
    pub(crate) place: Place,
    /// What the injection's files begin with.
    pub(crate) key: String,
}

/// A file that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The original.
    Original,
    /// What is put in its place.
    Replacement,
    /// The undo, beside what it undoes.
    Stamp,
}

impl Kept {
    fn ending(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Replacement => "replacement",
            Self::Stamp => "undo",
        }
    }
}

impl Vault {
    /// Chooses where the folder will be: the topmost folder on the way to the file's file system that we may write to and others may
    /// not tamper with. Never the file's own folder: its reader would find the copy there.
    pub(crate) fn choose(file: &Place, run: &str, slot: &str) -> io::Result<Self> {
        let root = file.root.as_ref();
        let open = |folder: &Path| open_folder(root, folder, OFlags::PATH);
        let mount = mount_of(&open(&file.folder)?)?;
        // Within a container its own first user is trusted: what it could do to the copy, it could do to the file.
        let trusted = root.map(|root| Ok::<_, io::Error>(fstat(root.hold()?)?.st_uid)).transpose()?;
        let above = file.folder.ancestors().skip(1).map(|folder| (folder, open(folder)));
        let here = above.take_while(|(_, open)| open.as_ref().is_ok_and(|open| mount_of(open).is_ok_and(|m| m == mount)));
        let safe: Vec<&Path> = here.filter(|(_, open)| open.as_ref().is_ok_and(|open| is_safe(open, trusted))).map(|(f, _)| f).collect();
        let parent = safe.last().ok_or_else(|| {
            io::Error::other(format!("no folder above {} on its file system may be written to safely", file.folder.display()))
        })?;
        let key: String = slot.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        Ok(Self { place: Place::of(root, parent, &format!("{PREFIX}{run}"))?, key })
    }

    /// The way to one of its files for a person who types.
    pub(crate) fn by_hand(&self, kept: Kept) -> PathBuf {
        self.place.by_hand().join(self.name(kept))
    }

    /// Where one of its files is, for people.
    pub(crate) fn path(&self, kept: Kept) -> PathBuf {
        self.place.path().join(self.name(kept))
    }

    fn name(&self, kept: Kept) -> String {
        format!("{}.{}", self.key, kept.ending())
    }

    /// Where the folder lies. An undo that names a folder or files that we would not make is forged.
    fn parent(&self) -> io::Result<OwnedFd> {
        let key_is_ours = !self.key.is_empty() && self.key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if !key_is_ours || !self.place.name.starts_with(PREFIX) {
            return Err(io::Error::other(format!("{} is not a place of ours", self.path(Kept::Original).display())));
        }
        self.place.folder()
    }

    /// The folder, made if need be.
    pub(crate) fn make(&self) -> io::Result<OwnedFd> {
        let parent = self.parent()?;
        match mkdirat(&parent, &self.place.name, Mode::RWXU) {
            Ok(()) => sync(&parent)?,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.open()?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The folder; `None` if the folder above it is the one it was, and there is none. One that is not ours alone is refused: somebody laid it there for us.
    pub(crate) fn open(&self) -> io::Result<Option<OwnedFd>> {
        let parent = self.parent()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = match openat(&parent, &self.place.name, flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        let stat = fstat(&folder)?;
        if stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & 0o077 != 0 {
            return Err(io::Error::other(format!("{} is not ours alone", self.place.path().display())));
        }
        Ok(Some(folder))
    }

    /// One of its files; `None` if there is none.
    pub(crate) fn get(&self, kept: Kept) -> io::Result<Option<File>> {
        match self.open()? {
            Some(folder) => open_in(&folder, &self.name(kept), OFlags::RDONLY),
            None => Ok(None),
        }
    }

    /// Puts a file in, whole or not at all: written under another name first.
    pub(crate) fn put(&self, kept: Kept, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        let folder = self.make()?;
        let part = format!("{}.part", self.key);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC;
        let mut file = open_in(&folder, &part, flags)?.ok_or(io::ErrorKind::NotFound)?;
        write(&mut file)?;
        file.flush()?;
        file.sync_all()?;
        renameat_with(&folder, &part, &folder, self.name(kept), RenameFlags::empty())?;
        sync(&folder)
    }

    /// Where one of its files lies, as a place to move to and from.
    pub(crate) fn place_of(&self, kept: Kept) -> io::Result<Option<Place>> {
        let Some(folder) = self.open()? else { return Ok(None) };
        Place::in_folder(&folder, self.place.root.as_ref(), &self.place.path(), &self.name(kept)).map(Some)
    }

    /// Removes this injection's files but the one to be spared, and the folder with the last one.
    pub(crate) fn clear(&self, spared: Option<Kept>) -> io::Result<()> {
        let Some(folder) = self.open()? else { return Ok(()) };
        let all = [Kept::Original, Kept::Replacement, Kept::Stamp].into_iter().filter(|kept| Some(*kept) != spared);
        let mut names: Vec<String> = all.map(|kept| self.name(kept)).collect();
        names.push(format!("{}.part", self.key));
        for name in names {
            match unlinkat(&folder, &name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let parent = self.parent()?;
        match unlinkat(&parent, &self.place.name, AtFlags::REMOVEDIR) {
            // Another injection of the run still has its files there.
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY) => sync(&parent),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Device and mount: renaming works only within one mount, even on one file system.
fn mount_of(folder: &OwnedFd) -> io::Result<(u32, u32, u64)> {
    let stat = statx(folder, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    Ok((stat.stx_dev_major, stat.stx_dev_minor, stat.stx_mnt_id))
}

/// May we write there, and nobody else remove what we put there?
fn is_safe(folder: &OwnedFd, trusted: Option<u32>) -> bool {
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let Ok(meta) = fstat(folder) else { return false };
    let own = meta.st_uid == 0 || meta.st_uid == rustix::process::geteuid().as_raw() || trusted == Some(meta.st_uid);
    let tamper_proof = meta.st_mode & WRITABLE_BY_OTHERS == 0 || meta.st_mode & STICKY != 0;
    own && tamper_proof && accessat(folder, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).is_ok()
}
