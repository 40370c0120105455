//! `container.limit`: a container gets less of everything that control groups share out.

use std::time::Duration;

use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InPlace, InjectionId, Met, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility,
    Reverted, SecondNet, SpecError,
};
use chaos_core::literal::{Rate, Size};
use chaos_core::target::{Facet, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::confined::own_group;
use super::cpu_limit::some_cores;
use super::memory_limit::some_memory;
use crate::cgroup::{Group, Version};
use crate::limit::{self, Ceiling, Limit, MemoryUse, Population, Quota, Throttle};
use crate::world::{Host, HostView};

/// Lowers the limits of a container.
pub(crate) struct ContainerLimit;

/// What is left to it. At least one of these; what is not named stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// Cores' worth of processor time: `0.5` is half of one core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cpus: Option<f64>,
    /// The most memory that it may use. Less than it cannot give back is refused, unless `may_kill`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<Size>,
    /// The most processes and threads. Not fewer than there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pids: Option<u64>,
    /// The most bytes a second read from each disk: `1 MB/s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) read: Option<Rate>,
    /// The most bytes a second written to each disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) write: Option<Rate>,
    /// `memory` may be less than cannot be given back: the kernel kills, at once. Only in the second version of control groups: in the
    /// first it refuses such a limit, and kills once the container wants more than a limit that it took.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) may_kill: bool,
}

/// The limits as they were.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1 {
        /// One for each field.
        limits: Vec<Part>,
    },
}

/// One of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    /// Of processor time.
    Cpus(Quota),
    /// Of memory.
    Memory(Ceiling),
    /// Of processes.
    Pids(Population),
    /// Of disks.
    Disks(Throttle),
}

impl Part {
    fn limit(&self) -> &dyn Limit {
        match self {
            Self::Cpus(quota) => quota,
            Self::Memory(ceiling) => ceiling,
            Self::Pids(population) => population,
            Self::Disks(throttle) => throttle,
        }
    }
}

impl Fault for ContainerLimit {
    type World = Host;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "container.limit";

    fn profile(&self) -> Profile {
        Profile {
            summary: "gives a container less processor time, memory, processes or disk, as a tight limit of its engine does",
            about: "Written into the files of the container's control group on this host, of the first or the second version, because no engine \
                can put \"unlimited\" back once it was changed. So they come back exactly; what the engine says of the container \
                (`docker inspect`) never changes. Whoever sets another limit meanwhile, as `docker update` does, wins.\n\n\
                With little memory the kernel first takes back cached files, and then kills a process of the container: what that held is lost, \
                and the restart policy of the container decides what comes next. A limit below what cannot be given back is refused, unless \
                `may_kill` says that this is meant; in the first version the kernel itself refuses it, and kills only once the container \
                wants more than a limit that it took. Disks are limited each, all that this host has; in the first version, writing is \
                held back only where it waits for the disk (`fsync`, direct).\n\n\
                The container must run on this very host, and its control groups must be reached from here.",
            example: "inject: container.limit\ninto: rankers\npick: 1\nwith: {cpus: 0.2, memory: 96 MiB}\nfor: 30s",
            takes: &["containers"],
            facets: &[Facet::Container, Facet::Process],
            privileges: "root",
            reach: Reach::Target,
            reversibility: Reversibility::Exact,
            persistence: Persistence::UntilReboot,
            latent: false,
            second_net: SecondNet::None,
            settle: Duration::ZERO,
            revert_budget: Duration::from_secs(1),
            rampable: &["cpus"],
            class: Class::Resource,
            internal: false,
        }
    }

    fn check(&self, spec: &Spec) -> Vec<SpecError> {
        let mut errors: Vec<SpecError> = Vec::new();
        if spec.cpus.is_none() && spec.memory.is_none() && spec.pids.is_none() && spec.read.is_none() && spec.write.is_none() {
            errors.push(SpecError::new("", "limit what? nothing is named").hint("for example `with: {cpus: 0.2, memory: 96 MiB}`"));
        }
        errors.extend(spec.cpus.and_then(|cpus| some_cores("cpus", cpus)));
        errors.extend(spec.memory.and_then(|size| some_memory("memory", size)));
        if spec.pids == Some(0) {
            errors.push(SpecError::new("pids", "a container is one process at least").hint("`pids: 20`"));
        }
        for (field, rate) in [("read", spec.read), ("write", spec.write)] {
            if rate.is_some_and(|rate| rate.bytes_per_second().unwrap_or(0) == 0) {
                errors.push(SpecError::new(field, "a rate of bytes above zero is meant").hint("for example `1 MB/s`"));
            }
        }
        if spec.may_kill && spec.memory.is_none() {
            errors.push(SpecError::new("may_kill", "only too little memory kills").hint("say `memory`, or leave `may_kill` out"));
        }
        errors
    }

    fn reversibility(&self, spec: &Spec) -> Reversibility {
        if spec.memory.is_some() { Reversibility::WithLoss } else { Reversibility::Exact }
    }

    async fn prepare(&self, spec: &Spec, target: &Target, _: &InjectionId, view: &HostView) -> Result<Prepared<Undo>, FaultError> {
        let group = |controller: &str| own_group(target, controller, view).map(|(_, group)| group);
        let mut limits = Vec::new();
        let mut notes = Vec::new();
        if let Some(cpus) = spec.cpus {
            limits.push(Part::Cpus(Quota::choose(group("cpu")?, cpus)?));
        }
        if let Some(size) = spec.memory {
            let group = group("memory")?;
            fits(&group, size, spec.may_kill)?;
            let ceiling = Ceiling::choose(group, size)?;
            notes.push(ceiling.outlook()?);
            limits.push(Part::Memory(ceiling));
        }
        if let Some(most) = spec.pids {
            limits.push(Part::Pids(Population::choose(group("pids")?, most)?));
        }
        let (read, write) = (spec.read.and_then(Rate::bytes_per_second), spec.write.and_then(Rate::bytes_per_second));
        if read.is_some() || write.is_some() {
            limits.push(Part::Disks(Throttle::choose(group("blkio")?, read, write)?));
        }
        let claims = limits.iter().map(|part| part.limit().claim()).collect();
        let mut prepared = Prepared::new(Undo::V1 { limits });
        prepared.claims = claims;
        prepared.notes = notes;
        Ok(prepared)
    }

    async fn inject(&self, armed: Armed<Undo>, world: &Host) -> Result<Observed, FaultError> {
        let Undo::V1 { limits } = armed.undo();
        for part in limits {
            limit::lower(part.limit(), world, armed.cancelled())?;
        }
        let left: Vec<String> = limits.iter().map(|part| part.limit().words()).collect();
        Ok(Observed::note(format!("left to it: {}", left.join(", "))))
    }

    async fn adjust(&self, spec: &Spec, undo: &Undo, world: &Host) -> Result<(), FaultError> {
        let Undo::V1 { limits } = undo;
        let quota = limits.iter().find_map(|part| if let Part::Cpus(quota) = part { Some(quota) } else { None });
        match (quota, spec.cpus) {
            (Some(quota), Some(cpus)) => quota.adjust(cpus, world),
            _ => Err(FaultError::new("only `cpus` can be moved while it is in force")),
        }
    }

    async fn inspect(&self, undo: &Undo, _: &HostView) -> Result<Presence, FaultError> {
        let Undo::V1 { limits } = undo;
        let all = limits.iter().map(|part| limit::look(part.limit())).collect::<Result<Vec<_>, _>>()?;
        Ok(together(&all))
    }

    async fn revert(&self, undo: &Undo, world: &Host) -> Result<Reverted, FaultError> {
        let Undo::V1 { limits } = undo;
        // One that the kernel refuses keeps none of the others from coming back.
        let done: Vec<Result<Reverted, FaultError>> = limits.iter().rev().map(|part| limit::take_back(part.limit(), world)).collect();
        let done = done.into_iter().collect::<Result<Vec<_>, _>>()?;
        let is_counted = done.iter().any(|reverted| reverted.met.is_some());
        let met = is_counted.then(|| met_together(done.iter().map(|reverted| reverted.met.unwrap_or(Met::Unknown))));
        let mut notes: Vec<String> = done.into_iter().flat_map(|reverted| reverted.notes).collect();
        notes.dedup();
        Ok(Reverted { notes, met })
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1 { limits } = undo;
        limits.iter().flat_map(|part| part.limit().by_hand()).collect()
    }
}

/// Less than cannot be given back means that somebody is killed; the first version of control groups refuses that, whatever is meant.
fn fits(group: &Group, size: Size, may_kill: bool) -> Result<(), FaultError> {
    let kept = MemoryUse::of(group)?.kept;
    let takes_any = group.version == Version::V2;
    if kept <= size.bytes() || (may_kill && takes_any) {
        return Ok(());
    }
    let in_use = Size::from_bytes(kept.next_multiple_of(1 << 20));
    let otherwise = if takes_any {
        "`may_kill: true` if the kernel may kill it"
    } else {
        "the kernel takes no less in the first version of control groups, and kills once the container wants more"
    };
    Err(FaultError::new(format!("limit to {size}: {in_use} are in use that cannot be given back"))
        .hint(format!("`memory: {in_use}` or more; {otherwise}")))
}

/// All of them as one.
fn together(all: &[Presence]) -> Presence {
    let is = |place: InPlace| all.iter().all(|presence| presence.in_place == place);
    let finding = all.iter().find_map(|presence| presence.finding.clone());
    let presence = if is(InPlace::Whole) {
        Presence::whole()
    } else if is(InPlace::None) {
        Presence { finding, ..Presence::none() }
    } else {
        Presence::partial(finding.unwrap_or_else(|| "some of the limits are ours".into()))
    };
    presence.met(met_together(all.iter().map(|presence| presence.met)))
}

/// As often as all of those that are counted; idle only if each of them is.
fn met_together(all: impl Iterator<Item = Met> + Clone) -> Met {
    let counted: Vec<u64> = all.clone().filter_map(|met| if let Met::Count(n) = met { Some(n) } else { None }).collect();
    match counted.is_empty() {
        false => Met::Count(counted.iter().sum()),
        true if all.clone().all(|met| met == Met::Idle) => Met::Idle,
        true => Met::Unknown,
    }
}
