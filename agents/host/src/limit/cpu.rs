//! Processor time: a quota in every period.

use chaos_core::FaultError;
use serde::{Deserialize, Serialize};

use super::{Limit, Standing, read, writable, write};
use crate::cgroup::{Group, Version};
use crate::world::Host;

/// Periods in microseconds that nobody chooses. The second, should the first be in use.
const MARKS: [u64; 2] = [99_991, 99_989];

/// The kernel takes no quota below this.
const LEAST_QUOTA: u64 = 1_000;

/// The quota as it was, and how ours is told from anybody else's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Quota {
    /// Whose.
    group: Group,
    /// As captured, microseconds in a period; none: unlimited.
    quota: Option<u64>,
    /// As captured, microseconds.
    period: u64,
    /// Ours: a period that nobody chooses. Whatever the quota, a group with this period was limited by us.
    mark: u64,
    /// The quota to be set, in microseconds of that period.
    limit: u64,
    /// Times the group was held back before.
    throttled: u64,
}

impl Quota {
    /// So many cores' worth, for a group that has more now.
    ///
    /// # Errors
    /// If it has no more already, or cannot be read or written.
    pub(crate) fn choose(group: Group, cores: f64) -> Result<Self, FaultError> {
        let (quota, period) = present(&group)?;
        writable(&group, if group.version == Version::V1 { "cpu.cfs_quota_us" } else { "cpu.max" })?;
        if let Some(quota) = quota.filter(|q| in_cores(*q, period) <= cores) {
            return Err(FaultError::new(format!("limit to {cores} cores: it is limited to {:.2} already", in_cores(quota, period)))
                .hint("ask for less"));
        }
        let mark = if period == MARKS[0] { MARKS[1] } else { MARKS[0] };
        let throttled = throttled(&group)?;
        Ok(Self { group, quota, period, mark, limit: in_microseconds(cores, mark), throttled })
    }

    /// Another share, while ours is set.
    ///
    /// # Errors
    /// If it is not ours any more, or the kernel refuses.
    pub(crate) fn adjust(&self, cores: f64, world: &Host) -> Result<(), FaultError> {
        if present(&self.group)?.1 != self.mark {
            return Err(FaultError::new(format!("the quota of {} is not ours any more", self.group.folder.display())));
        }
        put(world, &self.group, Some(in_microseconds(cores, self.mark)), self.mark)
    }

    /// The cores' worth that a group may use; none: all.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn cores_of(group: &Group) -> Result<Option<f64>, FaultError> {
        let (quota, period) = present(group)?;
        Ok(quota.map(|quota| in_cores(quota, period)))
    }
}

impl Limit for Quota {
    fn what(&self) -> &'static str {
        "quota"
    }

    fn group(&self) -> &Group {
        &self.group
    }

    fn claim(&self) -> String {
        format!("cgroup:{}:cpu", self.group.folder.display())
    }

    /// Ours by the period that nobody chooses; or a restore was cut off after that, and our quota is still there, which nobody chooses
    /// either.
    fn standing(&self) -> Result<Standing, FaultError> {
        let (now, before) = (present(&self.group)?, (self.quota, self.period));
        let ours = now.1 == self.mark || (now == (Some(self.limit), self.period) && now != before);
        Ok(match (ours, now.0) {
            (true, Some(_)) => Standing::Ours,
            (true, None) => Standing::Partly("the period is ours, the quota is not"),
            (false, _) if now == before => Standing::AsBefore,
            (false, _) => Standing::Foreign,
        })
    }

    fn set(&self, world: &Host) -> Result<(), FaultError> {
        put(world, &self.group, Some(self.limit), self.mark)
    }

    /// In the first version these are two files: whatever cuts it off, what is there between two writes is known as ours, and no more
    /// than the captured share, which is all that the group above may allow.
    fn restore(&self, world: &Host) -> Result<(), FaultError> {
        let Self { group, quota, period, mark, limit, .. } = self;
        if group.version == Version::V2 {
            return put(world, group, *quota, *period);
        }
        let two_steps = quota.is_none() || period <= mark;
        let steps = if two_steps { vec![(*quota, *mark)] } else { vec![(Some(*limit), *mark), (Some(*limit), *period)] };
        for (quota, period) in steps.into_iter().chain([(*quota, *period)]) {
            put(world, group, quota, period)?;
        }
        Ok(())
    }

    fn met(&self) -> Result<Option<u64>, FaultError> {
        Ok(Some(throttled(&self.group)?.saturating_sub(self.throttled)))
    }

    fn words(&self) -> String {
        format!("{:.2} cores", in_cores(self.limit, self.mark))
    }

    fn by_hand(&self) -> Vec<String> {
        let Self { group, quota, period, .. } = self;
        match group.version {
            Version::V2 => {
                let quota = quota.map_or("max".into(), |q| q.to_string());
                vec![format!("echo '{quota} {period}' > {}", group.shell_path("cpu.max"))]
            }
            Version::V1 => {
                let quota = quota.map_or("-1".into(), |q| q.to_string());
                let first = format!("echo {quota} > {}", group.shell_path("cpu.cfs_quota_us"));
                vec![first, format!("echo {period} > {}", group.shell_path("cpu.cfs_period_us"))]
            }
        }
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be between 0.01 and 1024"
)]
fn in_microseconds(cores: f64, period: u64) -> u64 {
    ((cores * period as f64) as u64).max(LEAST_QUOTA)
}

#[allow(clippy::cast_precision_loss, reason = "microseconds of a second")]
fn in_cores(quota: u64, period: u64) -> f64 {
    quota as f64 / period as f64
}

/// Quota and period as they are; no quota: unlimited.
fn present(group: &Group) -> Result<(Option<u64>, u64), FaultError> {
    let (quota, period) = match group.version {
        Version::V2 => {
            let text = read(group, "cpu.max")?;
            let (quota, period) = text.split_once(' ').unwrap_or((&text, "100000"));
            (quota.to_owned(), period.to_owned())
        }
        Version::V1 => (read(group, "cpu.cfs_quota_us")?, read(group, "cpu.cfs_period_us")?),
    };
    let period = period.parse().map_err(|_| FaultError::new(format!("the period of {} is `{period}`", group.folder.display())))?;
    Ok((quota.parse().ok(), period))
}

/// The world is asked for, so that only those who hold it can write.
fn put(_: &Host, group: &Group, quota: Option<u64>, period: u64) -> Result<(), FaultError> {
    match group.version {
        Version::V2 => write(group, "cpu.max", &format!("{} {period}", quota.map_or("max".into(), |q| q.to_string()))),
        Version::V1 => {
            write(group, "cpu.cfs_period_us", &period.to_string())?;
            write(group, "cpu.cfs_quota_us", &quota.map_or("-1".into(), |q| q.to_string()))
        }
    }
}

fn throttled(group: &Group) -> Result<u64, FaultError> {
    group.counter("cpu.stat", "nr_throttled").map_err(|e| super::not_done("read", group, "cpu.stat", &e))
}
