//! `cpu.limit`: the target alone gets less processor time.

use std::time::Duration;

use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet, SpecError,
};
use chaos_core::target::{Facet, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::confined::own_group;
use crate::limit::{self, Limit, Quota};
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

/// The quota as it was.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1(Quota),
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
            takes: &["processes", "containers"],
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
        some_cores("cores", spec.cores).into_iter().collect()
    }

    async fn prepare(&self, spec: &Spec, target: &Target, _: &InjectionId, view: &HostView) -> Result<Prepared<Undo>, FaultError> {
        let (_, group) = own_group(target, "cpu", view)?;
        let quota = Quota::choose(group, spec.cores)?;
        let claim = quota.claim();
        Ok(Prepared::new(Undo::V1(quota)).claim(claim))
    }

    async fn inject(&self, armed: Armed<Undo>, world: &Host) -> Result<Observed, FaultError> {
        let Undo::V1(quota) = armed.undo();
        limit::lower(quota, world, armed.cancelled())?;
        Ok(Observed::note(format!("left to it: {}", quota.words())))
    }

    async fn adjust(&self, spec: &Spec, undo: &Undo, world: &Host) -> Result<(), FaultError> {
        let Undo::V1(quota) = undo;
        quota.adjust(spec.cores, world)
    }

    async fn inspect(&self, undo: &Undo, _: &HostView) -> Result<Presence, FaultError> {
        let Undo::V1(quota) = undo;
        limit::look(quota)
    }

    async fn revert(&self, undo: &Undo, world: &Host) -> Result<Reverted, FaultError> {
        let Undo::V1(quota) = undo;
        limit::take_back(quota, world)
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1(quota) = undo;
        quota.by_hand()
    }
}

/// What the kernel can make a quota of.
pub(super) fn some_cores(path: &str, cores: f64) -> Option<SpecError> {
    let possible = cores.is_finite() && (0.01..=1024.0).contains(&cores);
    let wrong = || SpecError::new(path, format!("{cores} cores cannot be left")).hint("from 0.01 to 1024; `0.5` is half of one core");
    (!possible).then(wrong)
}
