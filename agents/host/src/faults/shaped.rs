//! What the faults on packets have in common: each says what a discipline of the kernel shall do; the rest is one leaf (`net/leaf.rs`).

use std::time::Duration;

use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Met, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet, SpecError, UndoJson,
};
use chaos_core::literal::Percent;
use chaos_core::target::{Facet, Target};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::net::kernel;
use crate::net::leaf::Leaf;
use crate::net::qdisc::Discipline;
use crate::net::root::Root;
use crate::net::traffic::{Direction, Traffic};
use crate::world::{Host, HostView};

/// A fault that is a discipline of the kernel's traffic control.
pub(crate) trait Shape: Send + Sync + 'static {
    /// Its own fields, with those of [`Traffic`] flattened behind them.
    type Spec: Serialize + DeserializeOwned + JsonSchema + Send + Sync;
    /// As [`Fault::KIND`].
    const KIND: &'static str;

    /// What it may do that nothing takes back.
    const LOSES: Option<&'static str> = None;

    /// What differs from fault to fault in how they describe themselves.
    fn about() -> About;
    /// What is wrong with its own fields.
    fn check(spec: &Self::Spec) -> Vec<SpecError>;
    /// Which packets.
    fn traffic(spec: &Self::Spec) -> &Traffic;
    /// The same about other packets.
    fn with_traffic(spec: Self::Spec, traffic: Traffic) -> Self::Spec;
    /// What happens to them, on interfaces whose longest packet is of so many bytes.
    fn discipline(spec: &Self::Spec, mtu: u32) -> Discipline;
}

/// As the fields of a [`Profile`].
pub(crate) struct About {
    pub(crate) summary: &'static str,
    pub(crate) about: &'static str,
    pub(crate) example: &'static str,
    pub(crate) rampable: &'static [&'static str],
}

/// Makes a [`Fault`] of a [`Shape`].
pub(crate) struct Shaped<S>(pub(crate) S);

/// What was put into the kernel.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1(Leaf),
}

/// Whatever waits longer when the fault ends is dropped: ending it must not take longer.
const LONGEST_DRAIN: Duration = Duration::from_secs(1);
/// How often it is looked whether anything waits.
const LOOK_EVERY: Duration = Duration::from_millis(5);

impl<S: Shape> Fault for Shaped<S> {
    type World = Host;
    type Spec = S::Spec;
    type Undo = Undo;
    const KIND: &'static str = S::KIND;

    fn profile(&self) -> Profile {
        let About { summary, about, example, rampable } = S::about();
        Profile {
            summary,
            about,
            example,
            takes: &["processes", "containers"],
            facets: &[Facet::Process, Facet::NetworkNamespace],
            privileges: "root (CAP_NET_ADMIN, and CAP_SYS_ADMIN to enter a network namespace)",
            reach: Reach::NetworkNamespace,
            reversibility: if S::LOSES.is_some() { Reversibility::WithLoss } else { Reversibility::Exact },
            persistence: Persistence::UntilReboot,
            latent: false,
            second_net: SecondNet::Tag,
            settle: Duration::ZERO,
            revert_budget: LONGEST_DRAIN * 2,
            rampable,
            class: Class::Network,
            internal: false,
        }
    }

    fn check(&self, spec: &S::Spec) -> Vec<SpecError> {
        let mut errors = S::check(spec);
        errors.extend(S::traffic(spec).check());
        errors
    }

    fn looked_up(&self, spec: S::Spec, _: &HostView) -> Result<S::Spec, FaultError> {
        let traffic = S::traffic(&spec).clone().looked_up()?;
        Ok(S::with_traffic(spec, traffic))
    }

    async fn prepare(&self, spec: &S::Spec, target: &Target, id: &InjectionId, view: &HostView) -> Result<Prepared<Undo>, FaultError> {
        let aim = S::traffic(spec).aim(target, Direction::Out, view)?;
        aim.namespace.is_planned(&target.facets)?;
        let mtu = aim.interfaces.iter().map(|i| i.mtu).max().unwrap_or(0);
        let discipline = S::discipline(spec, mtu);
        let (surprise, brought) = (discipline.surprise(), kernel::can(&discipline)?);
        let leaf = Leaf::new(&aim, id.tag(), discipline, mtu);
        let notes = leaf.may_stand()?;
        let mut prepared = Prepared::new(Undo::V1(leaf));
        prepared.notes = aim.notes.into_iter().chain(surprise).chain(brought).chain(notes).chain(S::LOSES.map(str::to_owned)).collect();
        prepared.reach = Some(aim.reach);
        prepared.bystanders = aim.bystanders;
        prepared.scaffolds = aim.interfaces.iter().map(|i| Root::scaffold(&aim.namespace, i.index, &i.name)).collect();
        Ok(prepared)
    }

    async fn stage(&self, armed: &Armed<Undo>, _: &Host) -> Result<(), FaultError> {
        let Undo::V1(leaf) = armed.undo();
        leaf.make_devices()
    }

    async fn inject(&self, armed: Armed<Undo>, _: &Host) -> Result<Observed, FaultError> {
        let Undo::V1(leaf) = armed.undo();
        if !leaf.put_filters(|| armed.cancelled())? {
            return Err(FaultError::cancelled());
        }
        let devices: Vec<&str> = leaf.branches.iter().map(|b| b.device.as_str()).collect();
        Ok(Observed::note(format!("{} on {}", leaf.discipline.words(), devices.join(", "))))
    }

    async fn adjust(&self, spec: &S::Spec, undo: &Undo, _: &Host) -> Result<(), FaultError> {
        let Undo::V1(leaf) = undo;
        leaf.change(&S::discipline(spec, leaf.mtu))
    }

    async fn inspect(&self, undo: &Undo, _: &HostView) -> Result<Presence, FaultError> {
        let Undo::V1(leaf) = undo;
        leaf.inspect()
    }

    fn meets(&self, undo: &Undo, _: &str, others_undo: &UndoJson) -> Option<String> {
        let Undo::V1(leaf) = undo;
        // Whatever is written like a leaf is one.
        let Undo::V1(other) = serde_json::from_value(others_undo.clone()).ok()?;
        leaf.meets(&other)
    }

    async fn revert(&self, undo: &Undo, _: &Host) -> Result<Reverted, FaultError> {
        let Undo::V1(leaf) = undo;
        let Some(removed) = leaf.remove_filters()? else {
            return Ok(Reverted::note("the target's network namespace is gone, and all that was in it"));
        };
        let until = Instant::now() + LONGEST_DRAIN;
        let mut waiting = leaf.waiting()?;
        while waiting > 0 && Instant::now() < until {
            sleep(LOOK_EVERY).await;
            waiting = leaf.waiting()?;
        }
        leaf.remove_devices()?;
        let dropped =
            if waiting > 0 { Reverted::note(format!("{waiting} packets that still waited were dropped")) } else { Reverted::default() };
        Ok(dropped.met((removed.filters > 0).then(|| Met::times(removed.packets))))
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1(leaf) = undo;
        leaf.explain()
    }
}

/// How many packets may wait at once, in each direction.
pub(crate) const WAITING_MAX: u32 = 100_000;

/// A share as the kernel takes it: a part of 2³² − 1, rounded as `tc` does.
pub(crate) fn part(share: Percent) -> u32 {
    u32::try_from(share.of(u64::from(u32::MAX) * 2).div_ceil(2)).unwrap_or(u32::MAX)
}

/// As [`part`], of a share that may be left out.
pub(crate) fn part_or_none(share: Option<Percent>) -> u32 {
    share.map_or(0, part)
}

/// How long, in nanoseconds.
pub(crate) fn nanoseconds(duration: chaos_core::literal::Duration) -> u64 {
    u64::try_from(duration.get().as_nanos()).unwrap_or(u64::MAX)
}

/// A share of nothing is a mistake.
pub(crate) fn some_share(path: &str, share: Percent) -> Option<SpecError> {
    (share == Percent::ZERO).then(|| SpecError::new(path, "0% of the packets is none of them").hint("for example `5%`"))
}
