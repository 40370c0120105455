//! Whose files: those of this host, or those that a container sees.
//!
//! A path means another file to whoever has mounts of its own. What lies on a volume or another file system of this host is an ordinary
//! file of this host, under another name. What lies in the layers of a container is reached through whoever has them mounted: a process
//! of the container, whichever that is by now, or its engine; and while it is stopped and nobody has, through a mount of our own.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use chaos_core::target::ProcessId;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags, openat, openat2, statx};
use serde::{Deserialize, Serialize};

use super::layers::Layers;
use super::mounts::{Mount, mounts_of};
use crate::process::{Snapshot, look_at};

/// The root of a tree of files that this host does not see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Root {
    /// The layers of a container, which outlive its processes.
    Layers {
        /// Which.
        layers: Layers,
        /// Through whom they were seen.
        process: ProcessId,
    },
    /// What is mounted in one mount namespace alone, a file system in memory above all. It is gone with the last process there.
    Namespace {
        /// Of `/proc/PID/ns/mnt`. The kernel gives it to the next namespace as soon as this one is gone.
        inode: u64,
        /// What tells it from the next one of that number: the id of the mount at its root, never used again. None: this kernel has no such
        /// ids (before 6.8).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        root_mount: Option<u64>,
        /// Through whom it was seen.
        process: ProcessId,
    },
}

/// `STATX_MNT_ID_UNIQUE` of the kernel's `linux/stat.h`.
const STATX_MNT_ID_UNIQUE: u32 = 0x4000;

/// A root that is held open: as long as it is, everybody who asks for it gets the same one.
pub(crate) type Held = Arc<OwnedFd>;

/// Those that are held. A mount of our own must not be made twice: nothing can be moved from one to the other.
static HELD: Mutex<BTreeMap<String, Weak<OwnedFd>>> = Mutex::new(BTreeMap::new());

impl Root {
    /// Opens it; none: it is gone, with everything in it.
    ///
    /// # Errors
    /// If it may be there, and is not reached.
    pub(crate) fn open(&self) -> io::Result<Option<Held>> {
        let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, root| root.strong_count() > 0);
        if let Some(root) = held.get(&self.name()).and_then(Weak::upgrade) {
            return Ok(Some(root));
        }
        let Some(root) = self.look()?.map(Arc::new) else { return Ok(None) };
        held.insert(self.name(), Arc::downgrade(&root));
        Ok(Some(root))
    }

    /// As [`Root::open`].
    ///
    /// # Errors
    /// If it is gone or not reached.
    pub(crate) fn hold(&self) -> io::Result<Held> {
        self.open()?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{} is gone", self.words())))
    }

    /// Its name, the same for the same root.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Layers { layers, .. } => layers.upper.display().to_string(),
            Self::Namespace { inode, root_mount: None, .. } => format!("mnt:[{inode}]"),
            Self::Namespace { inode, root_mount: Some(mount), .. } => format!("mnt:[{inode}], mount {mount}"),
        }
    }

    /// What a person calls it.
    pub(crate) fn words(&self) -> &'static str {
        match self {
            Self::Layers { .. } => "the container",
            Self::Namespace { .. } => "what was mounted in the container alone",
        }
    }

    /// The way to a path in it, for a person, while the process lives through whom it was seen.
    pub(crate) fn by_hand(&self, path: &Path) -> PathBuf {
        let (Self::Layers { process, .. } | Self::Namespace { process, .. }) = self;
        let at = if let Self::Layers { layers, .. } = self { layers.at.as_path() } else { Path::new("/") };
        let inside = at.join(path.strip_prefix("/").unwrap_or(path));
        PathBuf::from(format!("/proc/{}/root{}", process.pid, inside.display()))
    }

    fn look(&self) -> io::Result<Option<OwnedFd>> {
        match self {
            Self::Layers { layers, process } => match through_anybody(layers, *process)? {
                Some(root) => Ok(Some(root)),
                None => layers.mount(),
            },
            Self::Namespace { inode, root_mount, process } => through_namespace(*inode, *root_mount, *process),
        }
    }
}

/// Through whoever has the layers mounted: the process that had, or anybody else.
fn through_anybody(layers: &Layers, process: ProcessId) -> io::Result<Option<OwnedFd>> {
    let mut seen = BTreeSet::new();
    let others = Snapshot::take()?;
    let everybody = std::iter::once(process).chain(others.living().filter(|e| !e.is_kernel()).map(|e| e.id));
    for id in everybody {
        let namespace = std::fs::metadata(format!("/proc/{}/ns/mnt", id.pid)).map(|m| m.ino());
        // One of each namespace is enough; who may not be looked at is nobody.
        if !namespace.is_ok_and(|inode| seen.insert(inode)) {
            continue;
        }
        let mounted = mounts_of(id.pid).unwrap_or_default().into_iter().filter(|mount| layers.are_of(mount)).map(|mount| mount.point);
        for point in mounted {
            if let Some(root) = root_of(id)?
                && let Ok(there) = open_inside(&root, &point, OFlags::PATH | OFlags::DIRECTORY)
                && layers.are_of_folder(&there, id.pid)
            {
                return Ok(Some(there));
            }
        }
    }
    Ok(None)
}

fn through_namespace(inode: u64, root_mount: Option<u64>, process: ProcessId) -> io::Result<Option<OwnedFd>> {
    let others = Snapshot::take()?;
    let everybody = std::iter::once(process).chain(others.living().filter(|e| !e.is_kernel()).map(|e| e.id));
    for id in everybody {
        let lives_there = std::fs::metadata(format!("/proc/{}/ns/mnt", id.pid)).is_ok_and(|m| m.ino() == inode);
        if lives_there
            && let Some(root) = root_of(id)?
            && (root_mount.is_none() || unique_mount(&root)? == root_mount)
        {
            return Ok(Some(root));
        }
    }
    Ok(None)
}

/// The id of the mount that an open file lies on, never used again while this host is up. None: this kernel has only ids that are.
fn unique_mount(file: &OwnedFd) -> io::Result<Option<u64>> {
    let unique = StatxFlags::from_bits_retain(STATX_MNT_ID_UNIQUE);
    let stat = statx(file, "", AtFlags::EMPTY_PATH, unique)?;
    Ok((stat.stx_mask & STATX_MNT_ID_UNIQUE != 0).then_some(stat.stx_mnt_id))
}

/// The root of a process, opened first and proved to be that process's afterwards. None: it has ended.
fn root_of(process: ProcessId) -> io::Result<Option<OwnedFd>> {
    let path = format!("/proc/{}/root", process.pid);
    match openat(CWD, &path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(root) => Ok(look_at(process).map(|_| root)),
        Err(_) if look_at(process).is_none() => Ok(None),
        Err(errno) => Err(io::Error::new(io::Error::from(errno).kind(), format!("open {path}: {errno}"))),
    }
}

/// A path as whoever has this root sees it: links lead within it, never out of it.
fn open_inside(root: &OwnedFd, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve).map_err(Into::into)
}

/// A file as a process sees it.
#[derive(Debug)]
pub(crate) struct Seen {
    /// In which tree; none: this host's.
    pub(crate) root: Option<Root>,
    /// Its path there, without links.
    pub(crate) path: PathBuf,
    /// What it is.
    pub(crate) meta: std::fs::Metadata,
    /// Nothing can be written there.
    pub(crate) read_only: bool,
    /// Kind of the file system, where it is not this host's own path.
    pub(crate) kind: String,
}

/// Finds a file that a process sees under a path. None: there is none, or the process has ended.
///
/// # Errors
/// If it may not be looked at.
pub(crate) fn seen_by(process: ProcessId, path: &Path) -> io::Result<Option<Seen>> {
    let Some(root) = root_of(process)? else { return Ok(None) };
    let file = match open_inside(&root, path, OFlags::PATH) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        opened => opened?,
    };
    let here = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let meta = std::fs::metadata(&here)?;
    let canonical = std::fs::read_link(&here)?;
    let namespace = |who: &str| std::fs::metadata(format!("/proc/{who}/ns/mnt")).map(|m| m.ino());
    let theirs = namespace(&process.pid.to_string())?;
    if theirs == namespace("self")? {
        return Ok(Some(Seen { root: None, path: canonical, meta, read_only: false, kind: String::new() }));
    }
    let id = statx(&file, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id;
    let mount = mounts_of(process.pid)?.into_iter().find(|mount| mount.id == id);
    let mount = mount.ok_or_else(|| io::Error::other(format!("the mount of {} is not listed", canonical.display())))?;
    let (read_only, kind) = (mount.read_only, mount.kind.clone());
    let (root, path) = match Layers::of(&mount) {
        Some(layers) => {
            let inside = Path::new("/").join(canonical.strip_prefix(&mount.point).unwrap_or(&canonical));
            (Some(Root::Layers { layers, process }), inside)
        }
        None => match here_as(&mount, &canonical, &meta)? {
            Some(path) => (None, path),
            None => (Some(Root::Namespace { inode: theirs, root_mount: unique_mount(&root)?, process }), canonical),
        },
    };
    Ok(Some(Seen { root, path, meta, read_only, kind }))
}

/// Under which path this host sees the same file, where it does.
fn here_as(mount: &Mount, canonical: &Path, meta: &std::fs::Metadata) -> io::Result<Option<PathBuf>> {
    let within = mount.root.join(canonical.strip_prefix(&mount.point).unwrap_or(canonical));
    let same = |path: &PathBuf| std::fs::symlink_metadata(path).is_ok_and(|m| (m.dev(), m.ino()) == (meta.dev(), meta.ino()));
    let ours = mounts_of("self")?.into_iter().filter(|own| own.device == mount.device);
    let paths = ours.filter_map(|own| Some(own.point.join(within.strip_prefix(&own.root).ok()?)));
    // What is joined with nothing ends with a slash.
    Ok(paths.map(|path| path.components().collect::<PathBuf>()).find(same))
}
