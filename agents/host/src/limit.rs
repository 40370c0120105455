//! What a control group may use: lowered by us, and put back exactly, only where it is still ours.
//!
//! One limit a file: [`Quota`] of processor time, [`Ceiling`] of memory, [`Population`] of processes, [`Throttle`] of disks.

mod cpu;
mod disks;
mod memory;
mod pids;

pub(crate) use cpu::Quota;
pub(crate) use disks::Throttle;
pub(crate) use memory::{Ceiling, Use as MemoryUse};
pub(crate) use pids::Population;

use chaos_core::FaultError;
use chaos_core::fault::{InPlace, Met, Presence, Reverted};

use crate::cgroup::Group;
use crate::world::Host;

/// Whose value is there now?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Ours.
    Ours,
    /// Some of it is ours.
    Partly(&'static str),
    /// As it was captured.
    AsBefore,
    /// Somebody else's.
    Foreign,
}

/// One limit, with what was captured before it is set. Only those who hold the world can set one.
pub(crate) trait Limit {
    /// What a person calls it: `quota`.
    fn what(&self) -> &'static str;
    /// Whose it is.
    fn group(&self) -> &Group;
    /// What nobody else may change meanwhile.
    fn claim(&self) -> String;
    /// Whose value is there now?
    ///
    /// # Errors
    /// If it cannot be read.
    fn standing(&self) -> Result<Standing, FaultError>;
    /// Sets ours.
    ///
    /// # Errors
    /// If the kernel refuses.
    fn set(&self, world: &Host) -> Result<(), FaultError>;
    /// Puts back what was captured.
    ///
    /// # Errors
    /// If the kernel refuses.
    fn restore(&self, world: &Host) -> Result<(), FaultError>;
    /// How often it was met since it was captured; none: nobody counts.
    ///
    /// # Errors
    /// If the count cannot be read.
    fn met(&self) -> Result<Option<u64>, FaultError>;
    /// What is left, in words: `0.50 cores`.
    fn words(&self) -> String;
    /// What a person types to put it back.
    fn by_hand(&self) -> Vec<String>;
}

/// Sets it, if it is as it was captured.
///
/// # Errors
/// If somebody has changed it since, or the kernel refuses.
pub(crate) fn lower(limit: &dyn Limit, world: &Host, cancelled: bool) -> Result<(), FaultError> {
    if limit.standing()? != Standing::AsBefore {
        return Err(FaultError::new(format!("the {} of {} was changed since it was read", limit.what(), limit.group().folder.display())));
    }
    if cancelled {
        return Err(FaultError::cancelled());
    }
    limit.set(world)
}

/// Is it there, and was it met?
///
/// # Errors
/// If it cannot be read.
pub(crate) fn look(limit: &dyn Limit) -> Result<Presence, FaultError> {
    if !limit.group().exists() {
        return Ok(Presence::none().finding(format!("the control group {} is gone", limit.group().folder.display())));
    }
    let presence = match limit.standing()? {
        Standing::Ours => Presence::whole(),
        Standing::Partly(how) => Presence::partial(how),
        Standing::AsBefore => Presence::none(),
        Standing::Foreign => Presence::none().finding(format!("somebody else has set another {}", limit.what())),
    };
    if presence.in_place == InPlace::None {
        return Ok(presence);
    }
    Ok(presence.met(limit.met()?.map_or(Met::Unknown, counted)))
}

fn counted(times: u64) -> Met {
    if times == 0 { Met::Idle } else { Met::Count(times) }
}

/// Puts back what was captured, where the value there is still ours. A group that is gone took its last count with it, and may be gone for
/// having met its limit: that nothing met it cannot be said any more.
///
/// # Errors
/// If it cannot be read, or the kernel refuses.
pub(crate) fn take_back(limit: &dyn Limit, world: &Host) -> Result<Reverted, FaultError> {
    if !limit.group().exists() {
        return Ok(Reverted::note("the control group is gone, and its limit with it").met(Some(Met::Unknown)));
    }
    match limit.standing()? {
        Standing::Ours | Standing::Partly(_) => {
            limit.restore(world)?;
            Ok(Reverted::default().met(limit.met()?.map(counted)))
        }
        Standing::AsBefore => Ok(Reverted::default()),
        Standing::Foreign => Ok(Reverted::note(format!("kept the {} that somebody else has set since", limit.what()))),
    }
}

/// A file of a group.
fn read(group: &Group, file: &str) -> Result<String, FaultError> {
    group.read(file).map_err(|e| not_done("read", group, file, &e))
}

fn write(group: &Group, file: &str, text: &str) -> Result<(), FaultError> {
    group.write(file, text).map_err(|e| not_done("write", group, file, &e))
}

/// Can the file be written at all? Asked before anything is promised.
fn writable(group: &Group, file: &str) -> Result<(), FaultError> {
    group.may_write(file).map_err(|e| not_done("write", group, file, &e))
}

/// Why a file of a group could not be read or written.
pub(crate) fn not_done(doing: &str, group: &Group, file: &str, error: &std::io::Error) -> FaultError {
    let failed = FaultError::new(format!("{doing} {}: {error}", group.folder.join(file).display()));
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => failed.hint("run as root"),
        std::io::ErrorKind::ReadOnlyFilesystem => {
            failed.hint("control groups are mounted to be read only here: in a container, `-v /sys/fs/cgroup:/sys/fs/cgroup:rw`")
        }
        std::io::ErrorKind::ResourceBusy => failed.hint(
            "the kernel cannot make room for so low a limit, and in the first version of control groups kills nobody for it: ask for more",
        ),
        _ => failed,
    }
}

/// A limit as the files of control groups say it: a number, or `max`.
fn number_or_max(text: &str, group: &Group) -> Result<Option<u64>, FaultError> {
    match text {
        "max" => Ok(None),
        number => number.parse().map(Some).map_err(|_| FaultError::new(format!("the limit of {} is `{number}`", group.folder.display()))),
    }
}

/// As the kernel takes it.
fn in_words(limit: Option<u64>) -> String {
    limit.map_or("max".into(), |number| number.to_string())
}
