//! Claims: who may touch what on this host.
//!
//! One file a claim in one place for the whole host, whatever state directory a run uses, held by a lock for as long as
//! the injection lives. Hard within one user and for root; between users it is advice, because each may remove their own.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags, flock, fstat, openat, renameat_with, statat, unlinkat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::clock::Boot;
use crate::fault::InjectionId;
use crate::host_id::euid;

/// The one place of this host.
pub const HOST_CLAIMS: &str = "/run/lock/chaos";

/// The folder of claims.
#[derive(Debug)]
pub struct Claims {
    folder: OwnedFd,
    path: PathBuf,
    note: Option<String>,
}

/// Something that nobody else may touch while this value lives.
#[derive(Debug)]
pub struct Claim {
    claims: OwnedFd,
    file: String,
    held: File,
}

/// Why a claim was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Somebody else has it.
    #[error("{claim} is held by {holder}")]
    Held {
        /// What.
        claim: String,
        /// By which injection of which run.
        holder: String,
    },
    /// The system refused.
    #[error("claim {claim} in {}: {what}", folder.display())]
    System {
        /// What.
        claim: String,
        /// Where.
        folder: PathBuf,
        /// What happened.
        what: String,
    },
}

impl Claims {
    /// The claims of this host; where this user cannot use them, claims of this user alone, with a note that says so.
    ///
    /// # Errors
    /// If neither can be used.
    pub fn of_host() -> io::Result<Self> {
        let first = match Self::at(Path::new(HOST_CLAIMS)) {
            Ok(claims) => return Ok(claims),
            Err(e) => e,
        };
        // By the user alone: what a terminal has in its environment and a timer has not must not part their runs.
        let (me, mut tried) = (euid(), first.to_string());
        for own in [format!("/tmp/chaos-claims-{me}"), format!("/run/user/{me}/chaos-claims")] {
            match Self::open_or_make(Path::new(&own), 0o700) {
                Ok(claims) => {
                    return Ok(Self { note: Some(format!("claims hold among the runs of this user only ({tried})")), ..claims });
                }
                Err(e) => tried = format!("{tried}; {e}"),
            }
        }
        Err(io::Error::other(tried))
    }

    /// The claims in a folder, which is made if it is missing.
    ///
    /// # Errors
    /// If it cannot be made or opened, is a link, or belongs to somebody who may remove what we claim.
    pub fn at(path: &Path) -> io::Result<Self> {
        // Every user may claim; none may remove what another claimed.
        Self::open_or_make(path, 0o1777)
    }

    fn open_or_make(path: &Path, mode: u32) -> io::Result<Self> {
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        if path.symlink_metadata().is_err() {
            make(path, mode).map_err(named)?;
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = openat(CWD, path, flags, Mode::empty()).map_err(|e| named(e.into()))?;
        let owner = fstat(&folder).map_err(|e| named(e.into()))?.st_uid;
        if owner != 0 && owner != euid() {
            return Err(named(io::Error::other(format!("belongs to user {owner}, who may remove what others claim"))));
        }
        rustix::fs::accessat(&folder, ".", rustix::fs::Access::WRITE_OK, AtFlags::EACCESS).map_err(|e| named(e.into()))?;
        Ok(Self { folder, path: path.to_owned(), note: None })
    }

    /// The same claims, for another task.
    ///
    /// # Errors
    /// If no descriptor is left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { folder: self.folder.try_clone()?, path: self.path.clone(), note: self.note.clone() })
    }

    /// What is weaker than usual about them.
    #[must_use]
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Takes several at once, in a fixed order, or none.
    ///
    /// # Errors
    /// The first that is refused.
    pub fn take_all(&self, names: &[String], holder: &InjectionId) -> Result<Vec<Claim>, ClaimError> {
        let mut names: Vec<&String> = names.iter().collect();
        names.sort();
        names.dedup();
        names.into_iter().map(|name| self.take(name, holder)).collect()
    }

    /// Takes one.
    ///
    /// # Errors
    /// [`ClaimError::Held`] with the run that has it.
    pub fn take(&self, name: &str, holder: &InjectionId) -> Result<Claim, ClaimError> {
        let file = file_name(name);
        let system = |what: String| ClaimError::System { claim: name.to_owned(), folder: self.path.clone(), what };
        for _ in 0..100 {
            let held = self.open(&file).map_err(|e| system(e.to_string()))?;
            match flock(&held, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    return Err(ClaimError::Held { claim: name.to_owned(), holder: said_in(&held) });
                }
                Err(e) => return Err(system(io::Error::from(e).to_string())),
            }
            // Its last holder may have removed the file between our opening and locking it: then it is nobody's.
            if self.is_named(&held, &file) {
                write_holder(&held, holder);
                let claims = self.folder.try_clone().map_err(|e| system(e.to_string()))?;
                return Ok(Claim { claims, file, held });
            }
        }
        Err(system("its file is removed again and again".into()))
    }

    /// Who holds it at this moment, of all runs of this host. Nothing is taken or made by asking.
    #[must_use]
    pub fn holder_on_host(name: &str) -> Option<String> {
        Self::holder_in(Path::new(HOST_CLAIMS), name)
    }

    fn holder_in(folder: &Path, name: &str) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(openat(CWD, folder.join(file_name(name)), flags, Mode::empty()).ok()?);
        let held = flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK);
        held.then(|| said_in(&file))
    }

    /// Every run that holds a claim at this moment, whichever state directory it uses.
    #[must_use]
    pub fn runs(&self) -> BTreeSet<String> {
        let held = |name: &OsStr| {
            let file = File::from(
                openat(&self.folder, name, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty()).ok()?,
            );
            let free = flock(&file, FlockOperation::NonBlockingLockShared).is_ok();
            let run = said_by(&file)?.0;
            (!free).then_some(run)
        };
        let names = std::fs::read_dir(&self.path).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.file_name()));
        names.filter_map(|name| held(&name)).collect()
    }

    /// Removes what a dead run left of its claims. Only files that name this run are locked, and only those that nobody holds go.
    pub fn clear(&self, run: &str) {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let names = std::fs::read_dir(&self.path).into_iter().flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        for file in names {
            let Ok(held) = openat(&self.folder, file.as_str(), flags, Mode::empty()).map(File::from) else { continue };
            let dead = said_by(&held).is_some_and(|(its, _)| its == run) && flock(&held, FlockOperation::NonBlockingLockExclusive).is_ok();
            if dead
                && self.is_named(&held, &file)
                && let Ok(claims) = self.folder.try_clone()
            {
                drop(Claim { claims, file, held });
            }
        }
    }

    fn open(&self, file: &str) -> io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |flags| openat(&self.folder, file, flags, Mode::from_raw_mode(0o644)).map(File::from);
        match open(flags | OFlags::RDWR) {
            Err(Errno::NOENT) => match open(flags | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL) {
                Err(Errno::EXIST) => Ok(open(flags | OFlags::RDONLY)?),
                opened => Ok(opened?),
            },
            // Another user's: it can be locked, not written.
            Err(Errno::ACCESS | Errno::PERM) => Ok(open(flags | OFlags::RDONLY)?),
            opened => Ok(opened?),
        }
    }

    fn is_named(&self, held: &File, file: &str) -> bool {
        match (fstat(held), statat(&self.folder, file, AtFlags::SYMLINK_NOFOLLOW)) {
            (Ok(a), Ok(b)) => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
            _ => false,
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Removed while still locked: whoever waits for the lock then sees that the name is gone, and makes it anew.
        let _ = unlinkat(&self.claims, &self.file, AtFlags::empty());
        let _ = flock(&self.held, FlockOperation::Unlock);
    }
}

/// Readable for people, and distinct whatever the name holds.
fn file_name(claim: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "@._-".contains(c) { c } else { '_' };
    let readable: String = claim.chars().map(plain).take(80).collect();
    let hash: String = Sha256::digest(claim).iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("{readable}.{hash}")
}

/// Only into a file of our own with one name: in a folder that all may write, another could be a trap.
fn write_holder(mut held: &File, holder: &InjectionId) {
    let ours = fstat(held).is_ok_and(|s| s.st_uid == euid() && s.st_nlink == 1);
    if ours && held.set_len(0).is_ok() {
        let _ = writeln!(held, "{holder}");
    }
}

fn said_in(held: &File) -> String {
    match said_by(held) {
        Some((run, slot)) => format!("injection {slot} of run {run}"),
        None => "another run".into(),
    }
}

/// The run and the slot that a claim names.
fn said_by(held: &File) -> Option<(String, String)> {
    let mut text = String::new();
    held.take(256).read_to_string(&mut text).ok()?;
    text.trim().split_once('/').map(|(run, slot)| (run.to_owned(), slot.to_owned()))
}

/// Makes the folder with that mode at once: no user's mask nor an untimely death leaves one that others cannot use.
fn make(path: &Path, mode: u32) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}-{}", std::process::id(), Boot::now().0));
    let temporary = PathBuf::from(name);
    std::fs::create_dir(&temporary)?;
    let made = std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(mode))
        .and_then(|()| Ok(renameat_with(CWD, &temporary, CWD, path, RenameFlags::NOREPLACE)?));
    if made.is_err() {
        let _ = std::fs::remove_dir(&temporary);
    }
    match made {
        // Somebody else made it at the same time.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: &str) -> InjectionId {
        InjectionId { run: "r1".into(), slot: slot.into() }
    }

    #[test]
    fn rule_07_a_claim_is_exclusive_and_names_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let claims = Claims::at(&folder.path().join("claims")).unwrap();
        let held = claims.take("pid:12@34", &id("1.0.0")).unwrap();
        let refused = claims.take("pid:12@34", &id("2.0.0")).unwrap_err();
        assert_eq!(refused.to_string(), "pid:12@34 is held by injection 1.0.0 of run r1");
        claims.take("pid:12@35", &id("2.0.0")).unwrap();
        let holder = |name: &str| Claims::holder_in(&folder.path().join("claims"), name);
        assert_eq!((holder("pid:12@34").as_deref(), holder("pid:12@36")), (Some("injection 1.0.0 of run r1"), None));
        drop(held);
        claims.take("pid:12@34", &id("2.0.0")).unwrap();
        assert_eq!(std::fs::read_dir(folder.path().join("claims")).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn runs_that_hold_claims_are_known_and_dead_ones_are_none_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let claims = Claims::at(folder.path()).unwrap();
        std::fs::write(folder.path().join(file_name("a")), "r0/1.0.0\n").unwrap();
        let held = claims.take("b", &id("1.0.0")).unwrap();
        assert_eq!(claims.runs().into_iter().collect::<Vec<_>>(), ["r1"]);
        drop(held);
        assert!(claims.runs().is_empty());
    }

    #[test]
    fn rule_07_a_folder_of_somebody_else_holds_no_claims_and_one_of_ours_is_made_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("claims");
        Claims::at(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o1777);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "made under its own name");
        if euid() == 0 {
            std::os::unix::fs::chown(&path, Some(1234), None).unwrap();
            let refused = Claims::at(&path).unwrap_err();
            assert!(refused.to_string().contains("belongs to user 1234"), "{refused}");
        }
    }

    #[test]
    fn all_or_none_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        let claims = Claims::at(folder.path()).unwrap();
        let _held = claims.take("b", &id("1.0.0")).unwrap();
        claims.take_all(&["a".into(), "b".into()], &id("2.0.0")).unwrap_err();
        claims.take("a", &id("3.0.0")).unwrap();
    }

    #[test]
    fn what_a_killed_holder_left_can_be_taken() {
        let folder = tempfile::tempdir().unwrap();
        let claims = Claims::at(folder.path()).unwrap();
        std::fs::write(folder.path().join(file_name("a")), "r0/1.0.0\n").unwrap();
        claims.take("a", &id("1.0.0")).unwrap();
    }

    #[test]
    fn what_a_killed_holder_left_is_cleared_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let claims = Claims::at(folder.path()).unwrap();
        let left = |run: &str, name: &str| std::fs::write(folder.path().join(file_name(name)), format!("{run}/1.0.0\n")).unwrap();
        left("r0", "a");
        left("r1", "b");
        let alive = claims.take("c", &InjectionId { run: "r0".into(), slot: "1.0.0".into() }).unwrap();
        claims.clear("r0");
        let mut names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, [file_name("b"), file_name("c")]);
        drop(alive);
    }

    #[test]
    fn names_that_look_alike_do_not_collide() {
        assert_ne!(file_name("file:/a/b"), file_name("file:/a_b"));
        assert!(file_name("file:/a/b").starts_with("file__a_b."));
    }

    #[test]
    fn rule_35_a_link_in_place_of_a_claim_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        let inside = folder.path().join("claims");
        let claims = Claims::at(&inside).unwrap();
        std::os::unix::fs::symlink(&victim, inside.join(file_name("a"))).unwrap();
        assert!(claims.take("a", &id("1.0.0")).is_err());
        std::fs::hard_link(&victim, inside.join(file_name("b"))).unwrap();
        let _ = claims.take("b", &id("1.0.0"));
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    }
}
