//! `memory.limit`: the target alone gets less memory.

use std::time::Duration;

use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Met, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet, SpecError,
};
use chaos_core::literal::Size;
use chaos_core::target::{Facet, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::confined::{not_done, own_group};
use crate::cgroup::{Group, Version};
use crate::world::{Host, HostView};

/// Lowers the memory limit of the target's control group.
pub(crate) struct MemoryLimit;

/// How much is left.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// The most that the group may use.
    pub(crate) size: Size,
}

/// The limit as it was.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1 {
        /// Whose.
        group: Group,
        /// As captured, in bytes; none: unlimited.
        before: Option<u64>,
        /// Ours, in bytes, whole pages: as the kernel will say it.
        limit: u64,
        /// Times the group met its limit before.
        met: u64,
    },
}

impl Fault for MemoryLimit {
    type World = Host;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "memory.limit";

    fn profile(&self) -> Profile {
        Profile {
            summary: "gives a process less memory, as a tight container limit does",
            about: "Sets the limit of the target's control group (`memory.max`, or `memory.limit_in_bytes` in the first version). The group \
                must hold the target and its tree alone: with anybody else in it, or in the root group, it is refused.\n\n\
                The kernel first takes back what it can, cached files above all; when that is not enough it kills a process of the group. \
                What it killed is lost. The limit itself is taken back to the captured value, and only while the present one is ours.",
            example: "inject: memory.limit\ninto: replicas\npick: 1\nwith: {size: 64 MiB}\nfor: 30s",
            takes: &["processes"],
            facets: &[Facet::Process],
            privileges: "root, or a delegated control group",
            reach: Reach::Target,
            reversibility: Reversibility::WithLoss,
            persistence: Persistence::UntilReboot,
            latent: false,
            second_net: SecondNet::None,
            settle: Duration::ZERO,
            revert_budget: Duration::from_secs(1),
            rampable: &[],
            class: Class::Resource,
            internal: false,
        }
    }

    fn check(&self, spec: &Spec) -> Vec<SpecError> {
        if spec.size.bytes() < 1 << 20 {
            return vec![SpecError::new("size", "no process lives in less than 1 MiB").hint("for example `64 MiB`")];
        }
        Vec::new()
    }

    async fn prepare(&self, spec: &Spec, target: &Target, _: &InjectionId, view: &HostView) -> Result<Prepared<Undo>, FaultError> {
        let (_, group) = own_group(target, "memory", view)?;
        let page = rustix::param::page_size() as u64;
        let limit = spec.size.bytes() / page * page;
        let before = present(&group)?;
        if let Some(old) = before.filter(|old| *old <= limit) {
            let old = Size::from_bytes(old);
            return Err(FaultError::new(format!("limit to {}: it is limited to {old} already", spec.size)).hint("ask for less"));
        }
        let used = in_use(&group)?;
        let note = if used > limit {
            format!("{} are in use: the kernel takes back what it can, and may kill", Size::from_bytes(used >> 20 << 20))
        } else {
            "if it needs more, the kernel may kill it".to_owned()
        };
        let claim = format!("cgroup:{}:memory", group.folder.display());
        let met = met(&group)?;
        Ok(Prepared::new(Undo::V1 { group, before, limit, met }).claim(claim).note(note))
    }

    async fn inject(&self, armed: Armed<Undo>, world: &Host) -> Result<Observed, FaultError> {
        let Undo::V1 { group, before, limit, .. } = armed.undo();
        if present(group)? != *before {
            return Err(FaultError::new(format!("the limit of {} was changed since it was read", group.folder.display())));
        }
        if armed.cancelled() {
            return Err(FaultError::cancelled());
        }
        set(world, group, Some(*limit)).map_err(|e| {
            e.hint("in the first version of control groups the kernel refuses a limit that it cannot make room for: ask for more")
        })?;
        Ok(Observed::note(format!("{} are left to it", Size::from_bytes(*limit))))
    }

    async fn inspect(&self, undo: &Undo, _: &HostView) -> Result<Presence, FaultError> {
        let Undo::V1 { group, before, limit, met: met_before } = undo;
        if !group.exists() {
            return Ok(Presence::none().finding(format!("the control group {} is gone", group.folder.display())));
        }
        let now = present(group)?;
        if now == Some(*limit) {
            let met = match met(group)?.saturating_sub(*met_before) {
                0 => Met::Idle,
                n => Met::Count(n),
            };
            return Ok(Presence::whole().met(met));
        }
        Ok(if now == *before { Presence::none() } else { Presence::none().finding("somebody else has set another limit") })
    }

    async fn revert(&self, undo: &Undo, world: &Host) -> Result<Reverted, FaultError> {
        let Undo::V1 { group, before, limit, .. } = undo;
        if !group.exists() {
            return Ok(Reverted::note("the control group is gone, and its limit with it"));
        }
        let now = present(group)?;
        if now == Some(*limit) {
            set(world, group, *before)?;
        } else if now != *before {
            return Ok(Reverted::note("kept the limit that somebody else has set since"));
        }
        Ok(Reverted::default())
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1 { group, before, .. } = undo;
        vec![format!("echo {} > {}", in_words(*before), group.shell_path(file(group)))]
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
    let text = group.read(file(group)).map_err(|e| not_done("read", group, file(group), &e))?;
    match text.as_str() {
        "max" => Ok(None),
        number => number.parse().map(Some).map_err(|_| FaultError::new(format!("the limit of {} is `{number}`", group.folder.display()))),
    }
}

/// As the kernel takes it.
fn in_words(limit: Option<u64>) -> String {
    limit.map_or("max".into(), |bytes| bytes.to_string())
}

/// The world is asked for, so that only those who hold it can write.
fn set(_: &Host, group: &Group, limit: Option<u64>) -> Result<(), FaultError> {
    group.write(file(group), &in_words(limit)).map_err(|e| not_done("write", group, file(group), &e))
}

fn in_use(group: &Group) -> Result<u64, FaultError> {
    let file = match group.version {
        Version::V1 => "memory.usage_in_bytes",
        Version::V2 => "memory.current",
    };
    let text = group.read(file).map_err(|e| not_done("read", group, file, &e))?;
    Ok(text.parse().unwrap_or(0))
}

/// How often the group met its limit.
fn met(group: &Group) -> Result<u64, FaultError> {
    match group.version {
        Version::V1 => {
            let text = group.read("memory.failcnt").map_err(|e| not_done("read", group, "memory.failcnt", &e))?;
            Ok(text.parse().unwrap_or(0))
        }
        Version::V2 => group.counter("memory.events", "max").map_err(|e| not_done("read", group, "memory.events", &e)),
    }
}
