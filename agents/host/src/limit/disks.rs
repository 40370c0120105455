//! Disks: how many bytes a second may be read and written, of each.

use std::collections::BTreeSet;

use chaos_core::FaultError;
use serde::{Deserialize, Serialize};

use super::{Limit, Standing, read, writable, write};
use crate::cgroup::{Group, Version, quoted};
use crate::world::Host;

/// The rates as they were, and as they will be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Throttle {
    /// Whose.
    group: Group,
    /// One for each disk and way.
    rates: Vec<OneRate>,
}

/// One way of one disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct OneRate {
    /// `254:0`.
    disk: String,
    /// Which way.
    way: Way,
    /// As captured, in bytes a second; none: unlimited.
    before: Option<u64>,
    /// Ours.
    limit: u64,
}

/// To the disk, or from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    Read,
    Write,
}

impl Way {
    fn file(self, version: Version) -> &'static str {
        match (version, self) {
            (Version::V1, Self::Read) => "blkio.throttle.read_bps_device",
            (Version::V1, Self::Write) => "blkio.throttle.write_bps_device",
            (Version::V2, _) => "io.max",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Read => "rbps=",
            Self::Write => "wbps=",
        }
    }
}

impl Throttle {
    /// So many bytes a second of every disk of this host, for a group that may use more now.
    ///
    /// # Errors
    /// If it may use no more already, or it cannot be read or written.
    pub(crate) fn choose(group: Group, read: Option<u64>, write: Option<u64>) -> Result<Self, FaultError> {
        let disks = disks()?;
        let mut rates = Vec::new();
        for (way, limit) in [(Way::Read, read), (Way::Write, write)] {
            let Some(limit) = limit else { continue };
            writable(&group, way.file(group.version))?;
            for disk in &disks {
                let before = present(&group, disk, way)?;
                if before.is_none_or(|before| before > limit) {
                    rates.push(OneRate { disk: disk.clone(), way, before, limit });
                }
            }
        }
        if rates.is_empty() {
            return Err(FaultError::new("limit its disks: it may read and write no more than that already").hint("ask for less"));
        }
        Ok(Self { group, rates })
    }
}

impl Limit for Throttle {
    fn what(&self) -> &'static str {
        "rate"
    }

    fn group(&self) -> &Group {
        &self.group
    }

    fn claim(&self) -> String {
        format!("cgroup:{}:blkio", self.group.folder.display())
    }

    fn standing(&self) -> Result<Standing, FaultError> {
        let mut ours = 0;
        let mut foreign = 0;
        for rate in &self.rates {
            let now = present(&self.group, &rate.disk, rate.way)?;
            ours += usize::from(now == Some(rate.limit));
            foreign += usize::from(now != Some(rate.limit) && now != rate.before);
        }
        Ok(match (ours, foreign) {
            (n, _) if n == self.rates.len() => Standing::Ours,
            (0, 0) => Standing::AsBefore,
            (0, _) => Standing::Foreign,
            _ => Standing::Partly("the rates of some disks are ours"),
        })
    }

    fn set(&self, world: &Host) -> Result<(), FaultError> {
        self.rates.iter().try_for_each(|rate| put(world, &self.group, rate, Some(rate.limit)))
    }

    /// Each by itself, where it is still ours.
    fn restore(&self, world: &Host) -> Result<(), FaultError> {
        for rate in &self.rates {
            if present(&self.group, &rate.disk, rate.way)? == Some(rate.limit) {
                put(world, &self.group, rate, rate.before)?;
            }
        }
        Ok(())
    }

    fn met(&self) -> Result<Option<u64>, FaultError> {
        Ok(None)
    }

    fn words(&self) -> String {
        let of = |way: Way| self.rates.iter().find(|rate| rate.way == way).map(|rate| rate.limit);
        let said = |limit: Option<u64>, verb: &str| limit.map(|limit| format!("{limit} bytes {verb} a second"));
        [said(of(Way::Read), "read"), said(of(Way::Write), "written")].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    fn by_hand(&self) -> Vec<String> {
        let back = |rate: &OneRate| {
            let file = self.group.folder.join(rate.way.file(self.group.version));
            format!("echo '{}' > {}", line(self.group.version, rate, rate.before), quoted(&file))
        };
        self.rates.iter().map(back).collect()
    }
}

/// The disks of this host, as control groups name them. Partitions share their disk's rate; what has no size holds nothing.
#[allow(clippy::disallowed_methods, reason = "only looks")]
fn disks() -> Result<Vec<String>, FaultError> {
    let wrong = |e: std::io::Error| FaultError::new(format!("list the disks of this host in /sys/block: {e}"));
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/sys/block").map_err(wrong)? {
        let folder = entry.map_err(wrong)?.path();
        let word = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap_or_default().trim().to_owned();
        let (size, number) = (word("size"), word("dev"));
        if size != "0" && number.contains(':') {
            found.insert(number);
        }
    }
    if found.is_empty() { Err(FaultError::new("limit its disks: this host has none")) } else { Ok(found.into_iter().collect()) }
}

/// As it is, in bytes a second; none: unlimited.
fn present(group: &Group, disk: &str, way: Way) -> Result<Option<u64>, FaultError> {
    let text = read(group, way.file(group.version))?;
    let line = text.lines().find_map(|line| line.strip_prefix(disk)?.strip_prefix(' '));
    let value = match group.version {
        Version::V1 => line,
        Version::V2 => line.and_then(|line| line.split(' ').find_map(|word| word.strip_prefix(way.key()))),
    };
    Ok(value.and_then(|value| value.trim().parse().ok()).filter(|rate| *rate > 0))
}

/// What is written to the file.
fn line(version: Version, rate: &OneRate, limit: Option<u64>) -> String {
    match version {
        Version::V1 => format!("{} {}", rate.disk, limit.unwrap_or(0)),
        Version::V2 => format!("{} {}{}", rate.disk, rate.way.key(), super::in_words(limit)),
    }
}

/// The world is asked for, so that only those who hold it can write.
fn put(_: &Host, group: &Group, rate: &OneRate, limit: Option<u64>) -> Result<(), FaultError> {
    write(group, rate.way.file(group.version), &line(group.version, rate, limit))
}
