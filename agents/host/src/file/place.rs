//! Where a file is: a name in a folder that is known by file system and inode, in whosever tree of files.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, ResolveFlags, fstat, fstatvfs, openat2, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::root::{Held, Root};

/// A name in a folder. The folder is opened without following links, and must be the very one that it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// In which tree of files; none: this host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root: Option<Root>,
    /// The folder's path in it.
    pub(crate) folder: PathBuf,
    /// The folder's device. After a reboot it may have another number.
    pub(crate) device: u64,
    /// The file system's own number, which most keep across reboots; zero where it has none.
    #[serde(default)]
    pub(crate) filesystem: u64,
    /// The folder's inode.
    pub(crate) inode: u64,
    /// The name in it.
    pub(crate) name: String,
}

impl Place {
    /// Of a name in a folder as it is now.
    ///
    /// # Errors
    /// If the folder's path leads through a link.
    pub(crate) fn of(root: Option<&Root>, folder: &Path, name: &str) -> io::Result<Self> {
        Self::in_folder(&open_folder(root, folder, OFlags::RDONLY)?, root, folder, name)
    }

    /// Of a name in a folder that is open.
    pub(crate) fn in_folder(open: &OwnedFd, root: Option<&Root>, folder: &Path, name: &str) -> io::Result<Self> {
        let stat = fstat(open)?;
        let filesystem = fstatvfs(open)?.f_fsid;
        let (folder, name) = (folder.to_owned(), name.to_owned());
        Ok(Self { root: root.cloned(), folder, device: stat.st_dev, filesystem, inode: stat.st_ino, name })
    }

    /// Keeps the tree of files open that it lies in: whatever is done meanwhile is done in the same one. The outer none: it is gone, and
    /// the file with it.
    ///
    /// # Errors
    /// If it may be there, and is not reached.
    pub(crate) fn hold(&self) -> io::Result<Option<Option<Held>>> {
        self.root.as_ref().map_or(Ok(Some(None)), |root| Ok(root.open()?.map(Some)))
    }

    /// The way to it for a person who types.
    pub(crate) fn by_hand(&self) -> PathBuf {
        self.root.as_ref().map_or_else(|| self.path(), |root| root.by_hand(&self.path()))
    }

    /// The whole path, for people.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// The folder.
    ///
    /// # Errors
    /// If it is gone or another one lies there now, as where its volume is not mounted yet: nobody can say then what is in it. And if the
    /// name is no bare name: an undo that leads out of its folder is forged.
    pub(crate) fn folder(&self) -> io::Result<OwnedFd> {
        if self.name.contains(['/', '\0']) || matches!(self.name.as_str(), "" | "." | "..") {
            return Err(io::Error::other(format!("`{}` is not the name of a file", self.name)));
        }
        let folder = match open_folder(self.root.as_ref(), &self.folder, OFlags::RDONLY) {
            Err(error) if [Errno::NOENT, Errno::NOTDIR, Errno::LOOP].iter().any(|e| error.raw_os_error() == Some(e.raw_os_error())) => {
                return Err(self.is_not_the_folder("is not there"));
            }
            opened => opened?,
        };
        let now = Self::in_folder(&folder, self.root.as_ref(), &self.folder, &self.name)?;
        let same_filesystem = now.device == self.device || (now.filesystem == self.filesystem && now.filesystem != 0);
        if same_filesystem && now.inode == self.inode { Ok(folder) } else { Err(self.is_not_the_folder("is another folder than it was")) }
    }

    /// Nothing is thrown away because of that: a person must say where it belongs.
    fn is_not_the_folder(&self, what: &str) -> io::Error {
        io::Error::other(format!("{} {what}: was it moved, or is its volume not mounted?", self.folder.display()))
    }

    /// The file, opened for reading, or for both; `None` if the folder is there and there is none in it.
    pub(crate) fn open(&self, writable: bool) -> io::Result<Option<File>> {
        let folder = self.folder()?;
        let access = if writable { OFlags::RDWR } else { OFlags::RDONLY };
        open_in(&folder, &self.name, access)
    }

    /// Moves what lies here to there, on the same file system.
    pub(crate) fn move_to(&self, to: &Self, how: RenameFlags) -> io::Result<()> {
        let (here, there) = (self.folder()?, to.folder()?);
        renameat_with(&here, &self.name, &there, &to.name, how)?;
        sync(&here)?;
        sync(&there)
    }
}

/// A folder of a tree of files, reached without links.
pub(crate) fn open_folder(root: Option<&Root>, path: &Path, access: OFlags) -> io::Result<OwnedFd> {
    let flags = access | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let direct = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let Some(root) = root else {
        return openat2(CWD, path, flags, Mode::empty(), direct).map_err(Into::into);
    };
    let inside = path.strip_prefix("/").unwrap_or(path);
    let inside = if inside.as_os_str().is_empty() { Path::new(".") } else { inside };
    openat2(root.hold()?.as_ref(), inside, flags, Mode::empty(), direct | ResolveFlags::BENEATH).map_err(Into::into)
}

/// A regular file in a folder, by its bare name and never through a link; `None` if there is none.
pub(crate) fn open_in(folder: &OwnedFd, name: &str, access: OFlags) -> io::Result<Option<File>> {
    let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    // A mode without a file to be made is refused by the kernel.
    let mode = if access.contains(OFlags::CREATE) { Mode::RUSR | Mode::WUSR } else { Mode::empty() };
    match openat2(folder, name, flags, mode, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS) {
        Ok(file) => Ok(Some(File::from(file))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// What was done to names in a folder is on disk.
pub(crate) fn sync(folder: &OwnedFd) -> io::Result<()> {
    rustix::fs::fsync(folder).map_err(Into::into)
}
