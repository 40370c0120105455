//! The words that tests use: the real ones of this program, and two faults of a later platform, so that messages about them are held.

use std::sync::Arc;

use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet, World,
};
use chaos_core::literal::{Duration, Ports, Rate};
use chaos_core::probe::ProbeTable;
use chaos_core::table::Table;
use chaos_core::target::{Target, TargetKindTable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cli::worlds::Worlds;

pub(super) fn real() -> (Table, ProbeTable, TargetKindTable) {
    let Worlds { faults, probes, kinds, .. } = Worlds::assemble().expect("the worlds");
    (Arc::into_inner(faults).expect("ours alone"), Arc::into_inner(probes).expect("ours alone"), kinds)
}

/// The real words, and `net.delay` and `net.rate`.
pub(super) fn tested() -> (Table, ProbeTable, TargetKindTable) {
    let (mut faults, probes, kinds) = real();
    let nowhere = Arc::new(Nowhere);
    if faults.get(NetDelay::KIND).is_none() {
        faults = faults.with(NetDelay, &nowhere);
    }
    if faults.get(NetRate::KIND).is_none() {
        faults = faults.with(NetRate, &nowhere);
    }
    (faults, probes, kinds)
}

struct Nowhere;

impl World for Nowhere {
    type View = ();

    fn view(&self) -> &() {
        &()
    }
}

/// Fields of `net.delay`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DelaySpec {
    /// How late packets are.
    delay: Duration,
    /// By how much that varies.
    #[serde(default)]
    jitter: Option<Duration>,
    /// Only traffic with this target set.
    #[serde(default)]
    peer: Option<String>,
    /// Only these ports.
    #[serde(default)]
    ports: Option<Ports>,
    /// Which way.
    #[serde(default)]
    direction: Option<Direction>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Direction {
    /// What the target receives.
    In,
    /// What the target sends.
    Out,
}

/// Fields of `net.rate`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RateSpec {
    /// At most so much.
    rate: Rate,
}

struct NetDelay;
struct NetRate;

fn profile(rampable: &'static [&'static str]) -> Profile {
    Profile {
        summary: "slows the network",
        about: "",
        example: "",
        takes: &["processes"],
        facets: &[],
        privileges: "root",
        reach: Reach::NetworkNamespace,
        reversibility: Reversibility::Exact,
        persistence: Persistence::UntilReboot,
        latent: false,
        second_net: SecondNet::Tag,
        settle: std::time::Duration::ZERO,
        revert_budget: std::time::Duration::from_secs(1),
        rampable,
        class: Class::Network,
        internal: false,
    }
}

macro_rules! fault {
    ($fault:ty, $kind:literal, $spec:ty, $rampable:expr) => {
        impl Fault for $fault {
            type World = Nowhere;
            type Spec = $spec;
            type Undo = ();
            const KIND: &'static str = $kind;

            fn profile(&self) -> Profile {
                profile($rampable)
            }

            async fn prepare(&self, _: &$spec, _: &Target, _: &InjectionId, _: &()) -> Result<Prepared<()>, FaultError> {
                Err(FaultError::new("only for tests of the language"))
            }

            async fn inject(&self, _: Armed<()>, _: &Nowhere) -> Result<Observed, FaultError> {
                Err(FaultError::new("only for tests of the language"))
            }

            async fn inspect(&self, _: &(), _: &()) -> Result<Presence, FaultError> {
                Ok(Presence::none())
            }

            async fn revert(&self, _: &(), _: &Nowhere) -> Result<Reverted, FaultError> {
                Ok(Reverted::default())
            }

            fn explain(&self, _: &()) -> Vec<String> {
                Vec::new()
            }
        }
    };
}

fault!(NetDelay, "net.delay", DelaySpec, &["delay"]);
fault!(NetRate, "net.rate", RateSpec, &[]);
