//! Control groups, of the first and the second version: found from the mounts, read and written only here.
//!
//! A process is never moved between groups: that would break its supervisor's tracking, and its accounts.

#![allow(clippy::disallowed_methods, reason = "this is the world's own module for control groups")]

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use serde::{Deserialize, Serialize};

/// Where control groups are found: from `self/mountinfo` and `PID/cgroup` under this `/proc`.
#[derive(Debug, Clone)]
pub(crate) struct Cgroups {
    proc: PathBuf,
}

/// Which interface a group speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Version {
    /// One hierarchy a controller.
    V1,
    /// One hierarchy for all.
    V2,
}

/// One control group, identified by its folder's inode: a group made again under the same name is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    /// Its interface.
    pub(crate) version: Version,
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// The folder's inode.
    pub(crate) inode: u64,
}

/// How far a group is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freezing {
    /// It runs.
    No,
    /// Asked to, but somebody in it is still inside the kernel.
    Partly,
    /// Everybody stands still.
    Yes,
}

struct Mount {
    point: PathBuf,
    root: String,
}

impl Cgroups {
    pub(crate) fn at(proc: impl Into<PathBuf>) -> Self {
        Self { proc: proc.into() }
    }

    /// The group of a process that holds this controller's limits: `cpu`, `memory`, `pids`, `blkio`, `freezer`.
    ///
    /// `None`: there is no such controller here, or the process is in the root group, which has no limits and holds everybody.
    pub(crate) fn of(&self, pid: i32, controller: &str) -> io::Result<Option<Group>> {
        self.find(pid, controller, None)
    }

    /// The same of a whole container: the group that bears its id, also where the process has moved itself into one below that.
    ///
    /// `None`: no group that this process is in bears that id, or none of them is seen from here.
    pub(crate) fn of_container(&self, pid: i32, controller: &str, id: &str) -> io::Result<Option<Group>> {
        self.find(pid, controller, Some(id))
    }

    /// Does the kernel say that the process is in this container? In one hierarchy at least (RULES 16).
    pub(crate) fn names(&self, pid: i32, id: &str) -> bool {
        let memberships = std::fs::read_to_string(self.proc.join(pid.to_string()).join("cgroup")).unwrap_or_default();
        memberships.lines().any(|line| up_to(line, id).is_some())
    }

    /// With an id, the group among the process's own and those above it that bears the id.
    fn find(&self, pid: i32, controller: &str, id: Option<&str>) -> io::Result<Option<Group>> {
        let mounts = std::fs::read_to_string(self.proc.join("self/mountinfo"))?;
        let memberships = std::fs::read_to_string(self.proc.join(pid.to_string()).join("cgroup"))?;
        for version in [Version::V1, Version::V2] {
            let mount = mounts.lines().find_map(|line| mount(line, version, controller));
            let path = memberships
                .lines()
                .find_map(|line| membership(line, version, controller))
                .and_then(|path| id.map_or(Some(path), |id| up_to(path, id)));
            let (Some(mount), Some(path)) = (mount, path) else { continue };
            // In a container the mount may show only a part of the hierarchy.
            let inside = path.strip_prefix(mount.root.trim_end_matches('/')).unwrap_or(path).trim_matches('/');
            if inside.is_empty() || inside.starts_with("..") {
                continue;
            }
            let folder = mount.point.join(inside);
            let inode = match std::fs::metadata(&folder) {
                // What is not to be seen from here is not reached from here.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                found => found?.ino(),
            };
            let group = Group { version, folder, inode };
            if version == Version::V1 || group.offers(controller) {
                return Ok(Some(group));
            }
        }
        Ok(None)
    }
}

/// The path down to the folder whose name bears the id: `/docker/ID`, `/system.slice/docker-ID.scope`.
fn up_to<'a>(path: &'a str, id: &str) -> Option<&'a str> {
    let at = if id.is_empty() { None } else { path.find(id) }?;
    let end = path[at..].find('/').map_or(path.len(), |slash| at + slash);
    Some(&path[..end])
}

/// A line of mountinfo, if it is the hierarchy asked for.
fn mount(line: &str, version: Version, controller: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let right: Vec<&str> = right.split(' ').collect();
    let is_it = match version {
        Version::V1 => right.first() == Some(&"cgroup") && right.get(2)?.split(',').any(|option| option == controller),
        Version::V2 => right.first() == Some(&"cgroup2"),
    };
    is_it.then(|| Mount { root: (*left.get(3).unwrap_or(&"/")).to_owned(), point: PathBuf::from(left.get(4).unwrap_or(&"/")) })
}

/// A line of `/proc/PID/cgroup`, if it is the hierarchy asked for.
fn membership<'a>(line: &'a str, version: Version, controller: &str) -> Option<&'a str> {
    let mut fields = line.splitn(3, ':');
    let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let is_it = match version {
        Version::V1 => controllers.split(',').any(|c| c == controller),
        Version::V2 => id == "0" && controllers.is_empty(),
    };
    is_it.then_some(path)
}

impl Group {
    /// In the second version, controllers are given to groups one by one; every group can be frozen.
    fn offers(&self, controller: &str) -> bool {
        let name = if controller == "blkio" { "io" } else { controller };
        name == "freezer" || self.read("cgroup.controllers").is_ok_and(|given| given.split(' ').any(|c| c == name))
    }

    /// Does the very group still exist?
    pub(crate) fn exists(&self) -> bool {
        std::fs::metadata(&self.folder).is_ok_and(|m| m.ino() == self.inode)
    }

    /// The pids in it and in the groups below it.
    pub(crate) fn members(&self) -> io::Result<BTreeSet<i32>> {
        let mut found = BTreeSet::new();
        let mut folders = vec![self.folder.clone()];
        while let Some(folder) = folders.pop() {
            let pids = std::fs::read_to_string(folder.join("cgroup.procs"))?;
            found.extend(pids.lines().filter_map(|line| line.trim().parse::<i32>().ok()));
            for entry in std::fs::read_dir(&folder)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        Ok(found)
    }

    /// A file of the group, without its final newline.
    pub(crate) fn read(&self, file: &str) -> io::Result<String> {
        std::fs::read_to_string(self.folder.join(file)).map(|text| text.trim().to_owned())
    }

    fn has(&self, file: &str) -> bool {
        self.folder.join(file).exists()
    }

    /// The number behind a word, in a file of lines `word number`.
    pub(crate) fn counter(&self, file: &str, word: &str) -> io::Result<u64> {
        let text = self.read(file)?;
        let line = text.lines().find_map(|line| line.strip_prefix(word)?.trim().parse().ok());
        Ok(line.unwrap_or(0))
    }

    /// Can it be frozen, and does it run now?
    pub(crate) fn can_be_frozen(&self) -> bool {
        self.has(self.freezer()) && self.freezing() == Ok(Freezing::No)
    }

    /// Freezes or thaws everybody in it.
    pub(crate) fn freeze(&self, frozen: bool) -> io::Result<()> {
        self.write(
            self.freezer(),
            match (self.version, frozen) {
                (Version::V1, true) => "FROZEN",
                (Version::V1, false) => "THAWED",
                (Version::V2, true) => "1",
                (Version::V2, false) => "0",
            },
        )
    }

    /// How far it is frozen.
    pub(crate) fn freezing(&self) -> Result<Freezing, io::ErrorKind> {
        let asked = self.read(self.freezer()).map_err(|e| e.kind())?;
        Ok(match asked.as_str() {
            "THAWED" | "0" => Freezing::No,
            "FROZEN" => Freezing::Yes,
            "1" if self.counter("cgroup.events", "frozen").map_err(|e| e.kind())? == 1 => Freezing::Yes,
            _ => Freezing::Partly,
        })
    }

    /// The file by which it is frozen.
    pub(crate) fn freezer(&self) -> &'static str {
        match self.version {
            Version::V1 => "freezer.state",
            Version::V2 => "cgroup.freeze",
        }
    }

    /// Writes a file of the group.
    pub(crate) fn write(&self, file: &str, text: &str) -> io::Result<()> {
        std::fs::write(self.folder.join(file), text)
    }

    /// May we write this file? On a mount that can only be read nobody may.
    pub(crate) fn may_write(&self, file: &str) -> io::Result<()> {
        accessat(CWD, self.folder.join(file), Access::WRITE_OK, AtFlags::EACCESS).map_err(Into::into)
    }

    /// A file of the group, quoted for a shell.
    pub(crate) fn shell_path(&self, file: &str) -> String {
        quoted(&self.folder.join(file))
    }
}

/// A path in single quotes, for people who paste it into a shell.
pub(crate) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::up_to;

    #[test]
    fn a_container_is_found_in_a_path_by_its_id() {
        let id = "4f5e";
        assert_eq!(up_to("/docker/4f5e", id), Some("/docker/4f5e"));
        assert_eq!(up_to("/docker/4f5e/init.scope", id), Some("/docker/4f5e"));
        assert_eq!(up_to("/system.slice/docker-4f5e.scope/payload/a", id), Some("/system.slice/docker-4f5e.scope"));
        assert_eq!(up_to("/user.slice/libpod-4f5e.scope/container", id), Some("/user.slice/libpod-4f5e.scope"));
        assert_eq!(up_to("/docker/beef", id), None);
        assert_eq!(up_to("/docker/4f5e", ""), None);
    }
}
