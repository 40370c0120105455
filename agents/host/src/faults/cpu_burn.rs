//! `cpu.burn`: somebody else uses the processors.

use std::time::Duration;

use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Met, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet, SpecError,
};
use chaos_core::literal::Percent;
use chaos_core::target::{Facet, ProcessId, Target};
use rustix::process::Pid;
use rustix::thread::sched_getaffinity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::helped::{Lodging, Reached, bystanders_of_host, end, is_still_held, kill_by_tag, started};
use super::{failed, look};
use crate::helper::Helper;
use crate::limit::Quota;
use crate::process::{Kin, living};
use crate::world::{Host, HostView};

/// Burns processor time beside a process.
pub(crate) struct CpuBurn;

/// How much is burnt.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// On how many cores. One core of the host is always left, unless the target may use only a part of them.
    #[serde(default = "one")]
    pub(crate) cores: u32,
    /// How much of each: `100%` leaves nothing but what the scheduler shares out.
    #[serde(default = "all")]
    pub(crate) load: Percent,
}

fn one() -> u32 {
    1
}

fn all() -> Percent {
    Percent::HUNDRED
}

impl Spec {
    fn load_ppm(&self) -> u64 {
        self.load.of(1_000_000)
    }
}

/// The helper that burns.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1 {
        /// By which it is known.
        tag: String,
        /// On whose cores.
        beside: ProcessId,
        /// How many.
        cores: u32,
        /// How much of each, in millionths.
        load_ppm: u64,
        /// In which container.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lodging: Option<Lodging>,
    },
}

impl Fault for CpuBurn {
    type World = Host;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "cpu.burn";

    fn profile(&self) -> Profile {
        Profile {
            summary: "uses up processor time, as a noisy neighbour does",
            about: "A helper process runs one thread for each core, busy for the asked share of every 10 ms, on the cores that the target may \
                run on. Everybody on these cores feels it, hence the reach. One core of the host is always left to the rest, so that \
                measuring and taking back go on; where the target is confined to some of the cores, all of those may be burnt.\n\n\
                In a container, the helper lives in the container's control group: its limits count, and where they are fewer cores than \
                the host has, the container's own are used up and nobody else feels it. It ends with the container's first process.\n\n\
                The helper lives on a lifeline: it ends with the executor, whatever ends that. To take processor time from the target \
                alone, use `cpu.limit`.",
            example: "inject: cpu.burn\ninto: replicas\npick: 1\nwith: {cores: 1, load: 80%}\nfor: 30s",
            takes: &["processes", "containers"],
            facets: &[Facet::Process],
            privileges: "none",
            reach: Reach::Host,
            reversibility: Reversibility::Exact,
            persistence: Persistence::DiesWithExecutor,
            latent: false,
            second_net: SecondNet::Tag,
            settle: Duration::ZERO,
            revert_budget: Duration::from_secs(2),
            rampable: &["load"],
            class: Class::Resource,
            internal: false,
        }
    }

    fn check(&self, spec: &Spec) -> Vec<SpecError> {
        if spec.cores == 0 {
            return vec![SpecError::new("cores", "no core would be burnt").hint("`cores: 1` or more")];
        }
        Vec::new()
    }

    async fn prepare(&self, spec: &Spec, target: &Target, id: &InjectionId, view: &HostView) -> Result<Prepared<Undo>, FaultError> {
        let snapshot = look()?;
        let kin = Kin::of(target, &snapshot, view)?;
        let lodging = Lodging::of(target, &kin, "cpu", view)?;
        let quota = lodging.as_ref().map(|lodging| Quota::cores_of(&lodging.container)).transpose()?.flatten();
        let its_own = quota.is_some_and(|cores| cores <= f64::from(online().saturating_sub(1)));
        let most = if its_own { online() } else { burnable(kin.root)? };
        if spec.cores > most {
            return Err(FaultError::new(format!("burn {} cores: {most} may be burnt here, so that one is left to the rest", spec.cores))
                .hint(format!("`cores: {most}`; to slow the target alone, use `cpu.limit`")));
        }
        let undo = Undo::V1 { tag: id.tag(), beside: kin.root, cores: spec.cores, load_ppm: spec.load_ppm(), lodging };
        let mut prepared = Prepared::new(undo);
        if let Some(cores) = quota.filter(|_| its_own) {
            prepared.reach = Some(Reach::Target);
            return Ok(prepared.note(format!("it takes from the {cores:.2} cores of the container alone")));
        }
        prepared.bystanders = bystanders_of_host(&snapshot, &kin);
        Ok(prepared.note(format!("everybody on the target's cores feels {} busy cores", spec.cores)))
    }

    async fn inject(&self, armed: Armed<Undo>, world: &Host) -> Result<Observed, FaultError> {
        let Undo::V1 { tag, beside, cores, load_ppm, lodging } = armed.undo();
        let mut more =
            vec![("cores", cores.to_string().into()), ("load", load_ppm.to_string().into()), ("beside", beside.pid.to_string().into())];
        more.extend(Lodging::words(lodging.as_ref()));
        let helper = Helper { kind: "burn", tag, run: &armed.id().run, deadline: armed.deadline(), more };
        started(&armed, world.start_helper(&helper), || Ok(if living(tag)?.is_empty() { Reached::Some(0) } else { Reached::All })).await?;
        Ok(Observed::note(format!("{cores} cores at {:.0}%", *load_ppm as f64 / 10_000.0)))
    }

    async fn adjust(&self, spec: &Spec, undo: &Undo, world: &Host) -> Result<(), FaultError> {
        let Undo::V1 { tag, .. } = undo;
        world.tell_helper(tag, &spec.load_ppm().to_string()).map_err(|e| failed("change the load", &e))
    }

    async fn inspect(&self, undo: &Undo, _: &HostView) -> Result<Presence, FaultError> {
        let Undo::V1 { tag, beside, .. } = undo;
        let snapshot = look()?;
        let Some(helper) = is_still_held(tag, &snapshot)? else {
            return Ok(Presence::none());
        };
        let met = if helper.cpu_ticks == 0 { Met::Idle } else { Met::Count(helper.cpu_ticks) };
        let presence = Presence::whole().met(met);
        Ok(if snapshot.alive(*beside).is_none() {
            presence.finding(format!("process {}, beside which it burns, has ended", beside.pid))
        } else {
            presence
        })
    }

    async fn revert(&self, undo: &Undo, world: &Host) -> Result<Reverted, FaultError> {
        let Undo::V1 { tag, .. } = undo;
        end(world, tag)
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1 { tag, .. } = undo;
        vec![kill_by_tag(tag)]
    }
}

/// How many cores may be burnt beside this process.
fn burnable(beside: ProcessId) -> Result<u32, FaultError> {
    let own = sched_getaffinity(None).map_err(|e| failed("read our own cores", &e.into()))?;
    let theirs = sched_getaffinity(Pid::from_raw(beside.pid.max(0))).map_err(|e| failed("read the target's cores", &e.into()))?;
    let confined = (0..rustix::thread::CpuSet::MAX_CPU).any(|cpu| own.is_set(cpu) && !theirs.is_set(cpu));
    Ok(if confined { theirs.count() } else { online().saturating_sub(1) })
}

/// The cores that we may use.
fn online() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}
