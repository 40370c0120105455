//! `memory.fill`: somebody else has the memory.

use std::time::Duration;

use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet, SpecError,
};
use chaos_core::literal::{Size, SizeOrPercent};
use chaos_core::target::{Facet, Target};
use procfs::process::Process;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::helped::{Lodging, Reached, bystanders_of_host, end, is_still_held, kill_by_tag, started};
use super::{failed, look};
use crate::cgroup::Group;
use crate::helper::Helper;
use crate::memory::Memory;
use crate::process::{Entry, Kin, living, look_at};
use crate::world::{Host, HostView};

/// Takes memory of the host.
pub(crate) struct MemoryFill;

/// How much is taken.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// So many bytes more than are in use now (`2 GiB`), or until this share of the host's memory is in use (`90%`).
    pub(crate) size: SizeOrPercent,
    /// So much always stays available to others. At least, and without it, a twentieth of the memory, and 256 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) leave: Option<Size>,
}

/// The helper that holds it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1 {
        /// By which it is known.
        tag: String,
        /// What it takes.
        bytes: u64,
        /// What it leaves.
        floor: u64,
        /// In which container.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lodging: Option<Lodging>,
    },
}

impl Fault for MemoryFill {
    type World = Host;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "memory.fill";

    fn profile(&self) -> Profile {
        Profile {
            summary: "takes memory, down to a floor that keeps the host alive",
            about: "A helper process takes memory and writes to it. Before that it offers itself to the kernel's out-of-memory killer, so \
                that it dies before anybody else does; and it looks every 100 ms whether enough is left to the others, and gives back \
                what is missing. What it could not take is reported as a partial effect.\n\n\
                In a container, the helper lives in the container's control group: where that has a limit, a share is one of that limit, \
                the floor is a twentieth of it, and nobody outside feels it. It ends with the container's first process.\n\n\
                The helper lives on a lifeline: it ends with the executor, whatever ends that. To take memory from the target alone, use \
                `memory.limit`.",
            example: "inject: memory.fill\ninto: replicas\npick: 1\nwith: {size: 90%}\nfor: 30s",
            takes: &["processes", "containers"],
            facets: &[Facet::Process],
            privileges: "none",
            reach: Reach::Host,
            reversibility: Reversibility::Exact,
            persistence: Persistence::DiesWithExecutor,
            latent: false,
            second_net: SecondNet::Tag,
            settle: Duration::ZERO,
            revert_budget: Duration::from_secs(5),
            rampable: &[],
            class: Class::Resource,
            internal: false,
        }
    }

    fn check(&self, spec: &Spec) -> Vec<SpecError> {
        if spec.size.of(1_000_000) == 0 {
            return vec![SpecError::new("size", "nothing would be taken").hint("for example `2 GiB` or `90%`")];
        }
        Vec::new()
    }

    async fn prepare(&self, spec: &Spec, target: &Target, id: &InjectionId, view: &HostView) -> Result<Prepared<Undo>, FaultError> {
        let snapshot = look()?;
        let kin = Kin::of(target, &snapshot, view)?;
        let lodging = Lodging::of(target, &kin, "memory", view)?;
        let container = lodging.as_ref().map(|lodging| &lodging.container);
        let memory = Memory::within(container).map_err(|e| failed("read how much memory there is", &e))?;
        let floor = memory.floor().max(spec.leave.map_or(0, Size::bytes));
        let bytes = match spec.size {
            SizeOrPercent::Size(size) => size.bytes(),
            SizeOrPercent::Percent(share) => share.of(memory.total).saturating_sub(memory.total - memory.available.min(memory.total)),
        };
        if bytes == 0 {
            return Err(FaultError::new(format!("fill memory to {}: so much is in use already", spec.size)));
        }
        let most = memory.available.saturating_sub(floor);
        if bytes > most {
            return Err(FaultError::new(format!(
                "take {} of memory: {} is available, and {} must stay so",
                rounded(bytes),
                rounded(memory.available),
                rounded(floor)
            ))
            .hint(format!("at most `size: {}`", rounded(most))));
        }
        let mut prepared =
            Prepared::new(Undo::V1 { tag: id.tag(), bytes, floor, lodging }).note(format!("{} stays available to others", rounded(floor)));
        if memory.limited {
            prepared.reach = Some(Reach::Target);
            return Ok(prepared.note(format!("of the {} that the container may use", rounded(memory.total))));
        }
        prepared.bystanders = bystanders_of_host(&snapshot, &kin);
        Ok(prepared)
    }

    async fn inject(&self, armed: Armed<Undo>, world: &Host) -> Result<Observed, FaultError> {
        let Undo::V1 { tag, bytes, floor, lodging } = armed.undo();
        let container = lodging.as_ref().map(|lodging| &lodging.container);
        let mut more = vec![("bytes", bytes.to_string().into()), ("floor", floor.to_string().into())];
        more.extend(Lodging::words(lodging.as_ref()));
        if let Some(group) = container {
            more.push((
                "limited-by",
                serde_json::to_string(group).map_err(|e| FaultError::new(format!("write down a group: {e}")))?.into(),
            ));
        }
        let helper = Helper { kind: "fill-memory", tag, run: &armed.id().run, deadline: armed.deadline(), more };
        let taken = || Ok::<_, std::io::Error>(living(tag)?.into_iter().filter_map(look_at).map(|e| taken(&e)).max());
        let reached = || {
            Ok(match taken()? {
                Some(taken) if taken >= most_of(*bytes) || is_full(container, *floor)? => Reached::All,
                taken => Reached::Some(taken.unwrap_or(0)),
            })
        };
        started(&armed, world.start_helper(&helper), reached).await?;
        let taken = taken().ok().flatten().unwrap_or(0).min(*bytes);
        Ok(Observed::note(format!("{} taken", rounded(if taken >= most_of(*bytes) { *bytes } else { taken }))))
    }

    async fn inspect(&self, undo: &Undo, _: &HostView) -> Result<Presence, FaultError> {
        let Undo::V1 { tag, bytes, .. } = undo;
        Ok(match is_still_held(tag, &look()?)? {
            None => Presence::none(),
            Some(helper) if taken(&helper) >= most_of(*bytes) => Presence::whole(),
            Some(helper) => {
                Presence::partial(format!("{} of {} are taken, so that enough is left", rounded(taken(&helper)), rounded(*bytes)))
            }
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

/// Is there hardly more left than what must be?
fn is_full(container: Option<&Group>, floor: u64) -> std::io::Result<bool> {
    let memory = Memory::within(container)?;
    Ok(memory.available < floor + 2 * memory.step())
}

/// What it has, be it in memory or swapped out: that too is taken from the others.
fn taken(helper: &Entry) -> u64 {
    let swapped_kb = Process::new(helper.id.pid).and_then(|p| p.status()).ok().and_then(|s| s.vmswap).unwrap_or(0);
    helper.resident_pages * rustix::param::page_size() as u64 + swapped_kb * 1024
}

/// What counts as all of it: the kernel counts resident pages in batches.
fn most_of(bytes: u64) -> u64 {
    bytes / 100 * 95
}

/// For people: in whole MiB.
fn rounded(bytes: u64) -> Size {
    Size::from_bytes(bytes >> 20 << 20)
}
