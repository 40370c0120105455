//! Memory: the most that a group may use.

use chaos_core::FaultError;
use chaos_core::literal::Size;
use serde::{Deserialize, Serialize};

use super::{Limit, Standing, in_words, not_done, number_or_max, read, writable, write};
use crate::cgroup::{Group, Version};
use crate::world::Host;

/// The limit as it was, and as it will be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ceiling {
    /// Whose.
    group: Group,
    /// As captured, in bytes; none: unlimited.
    before: Option<u64>,
    /// Ours, in bytes, whole pages: as the kernel will say it.
    limit: u64,
    /// Times the group met its limit before.
    met: u64,
}

/// What a group uses and may use, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Use {
    /// All that is charged to it, cached files included.
    pub(crate) all: u64,
    /// What the kernel cannot just drop: memory of its own, and of files in memory.
    pub(crate) kept: u64,
    /// The most that it may use; none: whatever the host has.
    pub(crate) limit: Option<u64>,
}

impl Use {
    /// As it is now.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn of(group: &Group) -> Result<Self, FaultError> {
        let (all, kept): (&str, &[&str]) = match group.version {
            Version::V1 => ("memory.usage_in_bytes", &["total_rss", "total_shmem"]),
            Version::V2 => ("memory.current", &["anon", "shmem"]),
        };
        let all = read(group, all)?.parse().unwrap_or(0);
        let stat = |word: &&str| group.counter("memory.stat", &format!("{word} ")).unwrap_or(0);
        // Without a limit, the first version says the greatest number of pages there can be.
        let limit = present(group)?.filter(|limit| *limit < 1 << 60);
        Ok(Self { all, kept: kept.iter().map(stat).sum::<u64>().min(all), limit })
    }
}

impl Ceiling {
    /// So much, for a group that may use more now.
    ///
    /// # Errors
    /// If it may use no more already, or it cannot be read or written.
    pub(crate) fn choose(group: Group, size: Size) -> Result<Self, FaultError> {
        let page = rustix::param::page_size() as u64;
        let limit = size.bytes() / page * page;
        let before = present(&group)?;
        writable(&group, file(&group))?;
        if let Some(old) = before.filter(|old| *old <= limit) {
            let old = Size::from_bytes(old);
            return Err(FaultError::new(format!("limit to {size}: it is limited to {old} already")).hint("ask for less"));
        }
        let met = met(&group)?;
        Ok(Self { group, before, limit, met })
    }

    /// What happens to the target, for the plan.
    ///
    /// # Errors
    /// If what is in use cannot be read.
    pub(crate) fn outlook(&self) -> Result<String, FaultError> {
        let used = Use::of(&self.group)?.all;
        if used <= self.limit {
            return Ok("if it needs more, the kernel may kill it".to_owned());
        }
        let comes = match self.group.version {
            Version::V1 => {
                "the kernel takes back what it can, and refuses the limit if that is not enough; once more is needed, it may kill"
            }
            Version::V2 => "the kernel takes back what it can, and may kill",
        };
        Ok(format!("{} are in use: {comes}", Size::from_bytes(used >> 20 << 20)))
    }
}

impl Limit for Ceiling {
    fn what(&self) -> &'static str {
        "limit"
    }

    fn group(&self) -> &Group {
        &self.group
    }

    fn claim(&self) -> String {
        format!("cgroup:{}:memory", self.group.folder.display())
    }

    fn standing(&self) -> Result<Standing, FaultError> {
        let now = present(&self.group)?;
        Ok(match now {
            now if now == Some(self.limit) => Standing::Ours,
            now if now == self.before => Standing::AsBefore,
            _ => Standing::Foreign,
        })
    }

    fn set(&self, world: &Host) -> Result<(), FaultError> {
        put(world, &self.group, Some(self.limit))
    }

    fn restore(&self, world: &Host) -> Result<(), FaultError> {
        put(world, &self.group, self.before)
    }

    fn met(&self) -> Result<Option<u64>, FaultError> {
        Ok(Some(met(&self.group)?.saturating_sub(self.met)))
    }

    fn words(&self) -> String {
        format!("{} of memory", Size::from_bytes(self.limit))
    }

    fn by_hand(&self) -> Vec<String> {
        vec![format!("echo {} > {}", in_words(self.before), self.group.shell_path(file(&self.group)))]
    }
}

fn file(group: &Group) -> &'static str {
    match group.version {
        Version::V1 => "memory.limit_in_bytes",
        Version::V2 => "memory.max",
    }
}

/// As it is, in bytes; none: unlimited.
fn present(group: &Group) -> Result<Option<u64>, FaultError> {
    number_or_max(&read(group, file(group))?, group)
}

/// The world is asked for, so that only those who hold it can write.
fn put(_: &Host, group: &Group, limit: Option<u64>) -> Result<(), FaultError> {
    write(group, file(group), &in_words(limit))
}

/// How often the group met its limit.
fn met(group: &Group) -> Result<u64, FaultError> {
    match group.version {
        Version::V1 => Ok(read(group, "memory.failcnt")?.parse().unwrap_or(0)),
        Version::V2 => group.counter("memory.events", "max ").map_err(|e| not_done("read", group, "memory.events", &e)),
    }
}
