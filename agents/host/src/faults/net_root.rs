//! `net.root`: what the faults on an interface's packets stand on (RULES 8). The runner's own.

use std::time::Duration;

use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet,
};
use chaos_core::target::{Facet, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::net::namespace::Namespace;
use crate::net::root::Root;
use crate::world::{Host, HostView};

/// Makes the hooks of an interface, where there are none.
pub(crate) struct NetRoot;

/// Which interface.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    /// Its network namespace, as the leaf that stands on it has found it.
    #[schemars(with = "serde_json::Value")]
    pub(crate) namespace: Namespace,
    /// Its number there.
    pub(crate) index: u32,
}

/// The hooks as they were.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1(Root),
}

impl Fault for NetRoot {
    type World = Host;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "net.root";

    fn profile(&self) -> Profile {
        Profile {
            summary: "the hooks of an interface, on which the faults on its packets stand",
            about: "Makes a `clsact` where there is none, and removes it when the last fault is gone and nobody else has put a filter on it \
                meanwhile. One that was there before stays as it is. The qdisc at the root of the interface is never touched.",
            example: "# the runner's own",
            takes: &["processes"],
            facets: &[Facet::NetworkNamespace],
            privileges: "root (CAP_NET_ADMIN)",
            reach: Reach::Target,
            reversibility: Reversibility::Exact,
            persistence: Persistence::UntilReboot,
            latent: false,
            second_net: SecondNet::Tag,
            settle: Duration::ZERO,
            revert_budget: Duration::from_secs(1),
            rampable: &[],
            class: Class::Network,
            internal: true,
        }
    }

    async fn prepare(&self, spec: &Spec, _: &Target, id: &InjectionId, _: &HostView) -> Result<Prepared<Undo>, FaultError> {
        let root = Root::find(&spec.namespace, spec.index, id.tag())?;
        let claim = Root::scaffold(&root.namespace, root.index, &root.interface).claim;
        Ok(Prepared::new(Undo::V1(root)).claim(claim))
    }

    async fn inject(&self, armed: Armed<Undo>, _: &Host) -> Result<Observed, FaultError> {
        let Undo::V1(root) = armed.undo();
        root.make()?;
        Ok(Observed::default())
    }

    async fn inspect(&self, undo: &Undo, _: &HostView) -> Result<Presence, FaultError> {
        let Undo::V1(root) = undo;
        root.inspect()
    }

    async fn revert(&self, undo: &Undo, _: &Host) -> Result<Reverted, FaultError> {
        let Undo::V1(root) = undo;
        root.remove()
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1(root) = undo;
        root.explain()
    }
}
