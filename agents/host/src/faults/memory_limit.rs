//! `memory.limit`: the target alone gets less memory.

use std::time::Duration;

use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet, SpecError,
};
use chaos_core::literal::Size;
use chaos_core::target::{Facet, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::confined::own_group;
use crate::limit::{self, Ceiling, Limit};
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
    V1(Ceiling),
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
                The kernel first takes back what it can, cached files above all; when that is not enough it kills a process of the group: in the \
                second version at once, while the first refuses a limit that it cannot make room for, and kills once the group wants more. \
                What it killed is lost. The limit itself is taken back to the captured value, and only while the present one is ours.",
            example: "inject: memory.limit\ninto: replicas\npick: 1\nwith: {size: 64 MiB}\nfor: 30s",
            takes: &["processes", "containers"],
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
        some_memory("size", spec.size).into_iter().collect()
    }

    async fn prepare(&self, spec: &Spec, target: &Target, _: &InjectionId, view: &HostView) -> Result<Prepared<Undo>, FaultError> {
        let (_, group) = own_group(target, "memory", view)?;
        let ceiling = Ceiling::choose(group, spec.size)?;
        let (claim, note) = (ceiling.claim(), ceiling.outlook()?);
        Ok(Prepared::new(Undo::V1(ceiling)).claim(claim).note(note))
    }

    async fn inject(&self, armed: Armed<Undo>, world: &Host) -> Result<Observed, FaultError> {
        let Undo::V1(ceiling) = armed.undo();
        limit::lower(ceiling, world, armed.cancelled())?;
        Ok(Observed::note(format!("left to it: {}", ceiling.words())))
    }

    async fn inspect(&self, undo: &Undo, _: &HostView) -> Result<Presence, FaultError> {
        let Undo::V1(ceiling) = undo;
        limit::look(ceiling)
    }

    async fn revert(&self, undo: &Undo, world: &Host) -> Result<Reverted, FaultError> {
        let Undo::V1(ceiling) = undo;
        limit::take_back(ceiling, world)
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1(ceiling) = undo;
        ceiling.by_hand()
    }
}

/// What a process can live in.
pub(super) fn some_memory(path: &str, size: Size) -> Option<SpecError> {
    let wrong = || SpecError::new(path, "no process lives in less than 1 MiB").hint("for example `64 MiB`");
    (size.bytes() < 1 << 20).then(wrong)
}
