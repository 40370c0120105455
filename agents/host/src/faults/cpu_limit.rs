//! `cpu.limit`: the target alone gets less processor time.

use std::time::Duration;

use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Met, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet, SpecError,
};
use chaos_core::target::{Facet, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::confined::{not_done, own_group};
use crate::cgroup::{Group, Version};
use crate::world::{Host, HostView};

/// Lowers the processor quota of the target's control group.
pub(crate) struct CpuLimit;

/// How much is left.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// Cores' worth of processor time: `0.5` is half of one core.
    pub(crate) cores: f64,
}

/// The quota as it was, and how ours is told from anybody else's.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1 {
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
    },
}

impl Fault for CpuLimit {
    type World = Host;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "cpu.limit";

    fn profile(&self) -> Profile {
        Profile {
            summary: "gives a process less processor time, as a tight container limit does",
            about: "Sets the quota of the target's control group (`cpu.max`, or `cpu.cfs_quota_us` in the first version). The group must hold \
                the target and its tree alone: with anybody else in it, or in the root group, it is refused.\n\n\
                Taken back to the captured value, exactly, and only while the present one is still ours: our quota has a period that \
                nobody else chooses. Whether the limit was felt is read from the kernel's count of times it held the group back.",
            example: "inject: cpu.limit\ninto: replicas\npick: 1\nwith: {cores: 0.2}\nfor: 30s",
            takes: &["processes"],
            facets: &[Facet::Process],
            privileges: "root, or a delegated control group",
            reach: Reach::Target,
            reversibility: Reversibility::Exact,
            persistence: Persistence::UntilReboot,
            latent: false,
            second_net: SecondNet::None,
            settle: Duration::ZERO,
            revert_budget: Duration::from_secs(1),
            rampable: &["cores"],
            class: Class::Resource,
            internal: false,
        }
    }

    fn check(&self, spec: &Spec) -> Vec<SpecError> {
        if spec.cores.is_finite() && (0.01..=1024.0).contains(&spec.cores) {
            return Vec::new();
        }
        vec![SpecError::new("cores", format!("{} cores cannot be left", spec.cores)).hint("from 0.01 to 1024; `0.5` is half of one core")]
    }

    async fn prepare(&self, spec: &Spec, target: &Target, _: &InjectionId, view: &HostView) -> Result<Prepared<Undo>, FaultError> {
        let (_, group) = own_group(target, "cpu", view)?;
        let (quota, period) = present(&group)?;
        if let Some(quota) = quota.filter(|q| cores(*q, period) <= spec.cores) {
            return Err(FaultError::new(format!("limit to {} cores: it is limited to {:.2} already", spec.cores, cores(quota, period)))
                .hint("ask for less"));
        }
        let mark = if period == MARKS[0] { MARKS[1] } else { MARKS[0] };
        let throttled = throttled(&group)?;
        let claim = format!("cgroup:{}:cpu", group.folder.display());
        let undo = Undo::V1 { group, quota, period, mark, limit: limit(spec, mark), throttled };
        Ok(Prepared::new(undo).claim(claim))
    }

    async fn inject(&self, armed: Armed<Undo>, world: &Host) -> Result<Observed, FaultError> {
        let Undo::V1 { group, quota, period, mark, limit, .. } = armed.undo();
        if present(group)? != (*quota, *period) {
            return Err(FaultError::new(format!("the quota of {} was changed since it was read", group.folder.display())));
        }
        if armed.cancelled() {
            return Err(FaultError::cancelled());
        }
        set(world, group, Some(*limit), *mark)?;
        Ok(Observed::note(format!("{:.2} cores are left to it", cores(*limit, *mark))))
    }

    async fn adjust(&self, spec: &Spec, undo: &Undo, world: &Host) -> Result<(), FaultError> {
        let Undo::V1 { group, mark, .. } = undo;
        if present(group)?.1 != *mark {
            return Err(FaultError::new(format!("the quota of {} is not ours any more", group.folder.display())));
        }
        set(world, group, Some(limit(spec, *mark)), *mark)
    }

    async fn inspect(&self, undo: &Undo, _: &HostView) -> Result<Presence, FaultError> {
        let Undo::V1 { group, quota, period, throttled: before, .. } = undo;
        if !group.exists() {
            return Ok(Presence::none().finding(format!("the control group {} is gone", group.folder.display())));
        }
        let now = present(group)?;
        if is_ours(now, undo) {
            let met = match throttled(group)?.saturating_sub(*before) {
                0 => Met::Idle,
                n => Met::Count(n),
            };
            return Ok(if now.0.is_some() {
                Presence::whole().met(met)
            } else {
                Presence::partial("the period is ours, the quota is not")
            });
        }
        Ok(if now == (*quota, *period) { Presence::none() } else { Presence::none().finding("somebody else has set another quota") })
    }

    async fn revert(&self, undo: &Undo, world: &Host) -> Result<Reverted, FaultError> {
        let Undo::V1 { group, quota, period, .. } = undo;
        if !group.exists() {
            return Ok(Reverted::note("the control group is gone, and its limit with it"));
        }
        let now = present(group)?;
        if !is_ours(now, undo) {
            let theirs = now != (*quota, *period);
            return Ok(if theirs { Reverted::note("kept the quota that somebody else has set since") } else { Reverted::default() });
        }
        restore(world, undo)?;
        Ok(Reverted::default())
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1 { group, quota, period, .. } = undo;
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

/// Periods in microseconds that nobody chooses. The second, should the first be in use.
const MARKS: [u64; 2] = [99_991, 99_989];

/// The kernel takes no quota below this.
const LEAST_QUOTA: u64 = 1_000;

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be between 0.01 and 1024"
)]
fn limit(spec: &Spec, period: u64) -> u64 {
    ((spec.cores * period as f64) as u64).max(LEAST_QUOTA)
}

#[allow(clippy::cast_precision_loss, reason = "microseconds of a second")]
fn cores(quota: u64, period: u64) -> f64 {
    quota as f64 / period as f64
}

/// Quota and period as they are; no quota: unlimited.
fn present(group: &Group) -> Result<(Option<u64>, u64), FaultError> {
    let read = |file: &str| group.read(file).map_err(|e| not_done("read", group, file, &e));
    let (quota, period) = match group.version {
        Version::V2 => {
            let text = read("cpu.max")?;
            let (quota, period) = text.split_once(' ').unwrap_or((&text, "100000"));
            (quota.to_owned(), period.to_owned())
        }
        Version::V1 => (read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?),
    };
    let period = period.parse().map_err(|_| FaultError::new(format!("the period of {} is `{period}`", group.folder.display())))?;
    Ok((quota.parse().ok(), period))
}

/// By the period that nobody chooses; or a restore was cut off after that, and our quota is still there, which nobody chooses either.
fn is_ours(now: (Option<u64>, u64), undo: &Undo) -> bool {
    let Undo::V1 { quota, period, mark, limit, .. } = undo;
    now.1 == *mark || (now == (Some(*limit), *period) && now != (*quota, *period))
}

/// Puts back what was captured. In the first version these are two files: whatever cuts it off, what is there between two writes is known
/// as ours, and no more than the captured share, which is all that the group above may allow.
fn restore(world: &Host, undo: &Undo) -> Result<(), FaultError> {
    let Undo::V1 { group, quota, period, mark, limit, .. } = undo;
    if group.version == Version::V2 {
        return set(world, group, *quota, *period);
    }
    let two_steps = quota.is_none() || period <= mark;
    let steps = if two_steps { vec![(*quota, *mark)] } else { vec![(Some(*limit), *mark), (Some(*limit), *period)] };
    for (quota, period) in steps.into_iter().chain([(*quota, *period)]) {
        write_period(group, period)?;
        write_quota(group, quota)?;
    }
    Ok(())
}

fn write(group: &Group, file: &str, text: &str) -> Result<(), FaultError> {
    group.write(file, text).map_err(|e| not_done("write", group, file, &e))
}

fn write_quota(group: &Group, quota: Option<u64>) -> Result<(), FaultError> {
    write(group, "cpu.cfs_quota_us", &quota.map_or("-1".into(), |q| q.to_string()))
}

fn write_period(group: &Group, period: u64) -> Result<(), FaultError> {
    write(group, "cpu.cfs_period_us", &period.to_string())
}

/// The world is asked for, so that only those who hold it can write.
fn set(_: &Host, group: &Group, quota: Option<u64>, period: u64) -> Result<(), FaultError> {
    match group.version {
        Version::V2 => write(group, "cpu.max", &format!("{} {period}", quota.map_or("max".into(), |q| q.to_string()))),
        Version::V1 => {
            write_period(group, period)?;
            write_quota(group, quota)
        }
    }
}

fn throttled(group: &Group) -> Result<u64, FaultError> {
    group.counter("cpu.stat", "nr_throttled").map_err(|e| not_done("read", group, "cpu.stat", &e))
}
