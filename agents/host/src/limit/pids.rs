//! Processes and threads: how many there may be. At the limit, starting another fails.

use chaos_core::FaultError;
use serde::{Deserialize, Serialize};

use super::{Limit, Standing, in_words, number_or_max, read, writable, write};
use crate::cgroup::Group;
use crate::world::Host;

/// In both versions.
const FILE: &str = "pids.max";

/// The limit as it was, and as it will be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Population {
    /// Whose.
    group: Group,
    /// As captured; none: unlimited.
    before: Option<u64>,
    /// Ours.
    limit: u64,
    /// Times somebody could not be started before.
    met: u64,
}

impl Population {
    /// So many, for a group that may have more now.
    ///
    /// # Errors
    /// If it may have no more already, has more, or cannot be read or written.
    pub(crate) fn choose(group: Group, limit: u64) -> Result<Self, FaultError> {
        let before = present(&group)?;
        writable(&group, FILE)?;
        if let Some(old) = before.filter(|old| *old <= limit) {
            return Err(FaultError::new(format!("limit to {limit} processes: it is limited to {old} already")).hint("ask for less"));
        }
        let now = read(&group, "pids.current")?.parse().unwrap_or(0);
        if now > limit {
            return Err(FaultError::new(format!("limit to {limit} processes: there are {now} processes and threads already"))
                .hint(format!("`pids: {now}` lets nobody else start; a lower limit would do no more")));
        }
        let met = met(&group);
        Ok(Self { group, before, limit, met })
    }
}

impl Limit for Population {
    fn what(&self) -> &'static str {
        "limit of processes"
    }

    fn group(&self) -> &Group {
        &self.group
    }

    fn claim(&self) -> String {
        format!("cgroup:{}:pids", self.group.folder.display())
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
        Ok(Some(met(&self.group).saturating_sub(self.met)))
    }

    fn words(&self) -> String {
        format!("{} processes", self.limit)
    }

    fn by_hand(&self) -> Vec<String> {
        vec![format!("echo {} > {}", in_words(self.before), self.group.shell_path(FILE))]
    }
}

fn present(group: &Group) -> Result<Option<u64>, FaultError> {
    number_or_max(&read(group, FILE)?, group)
}

/// The world is asked for, so that only those who hold it can write.
fn put(_: &Host, group: &Group, limit: Option<u64>) -> Result<(), FaultError> {
    write(group, FILE, &in_words(limit))
}

/// How often somebody could not be started. Old kernels do not count it.
fn met(group: &Group) -> u64 {
    group.counter("pids.events", "max ").unwrap_or(0)
}
