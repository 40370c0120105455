//! Services whose packets are delayed, lost, damaged or throttled, on hosts of the tests' own.

use std::sync::Arc;

use chaos_core::conformance::Scene;
use chaos_core::fault::{FaultError, InjectionId, Reverted};
use chaos_core::target::{Facets, Target};
use chaos_core::{AnyFault, Table};
use chaos_testbed::{Namespace, Twin};
use serde_json::{Value, json};

use super::network::Networked;
use super::{not_covered, process_id, target};

/// A service in a network of its own; the whole configuration of that network is looked at.
pub(crate) fn to_shape(with: Value) -> Scene {
    let networked = Networked::listening();
    let pid = networked.namespace().pid();
    Scene { target: networked.target(), spec: with, look: Box::new(move || format!("{:#?}", Twin::of(pid))), keep: Box::new(networked) }
}

/// The loopback of a network of its own, without hooks.
pub(crate) fn to_hook() -> Scene {
    let networked = Networked::listening();
    let pid = networked.namespace().pid();
    let spec = hooks_of(networked.namespace());
    Scene { target: networked.target(), spec, look: Box::new(move || format!("{:#?}", Twin::of(pid))), keep: Box::new(networked) }
}

/// The spec of what stands at the hooks of a loopback, which is number 1 of every namespace.
pub(crate) fn hooks_of(namespace: &Namespace) -> Value {
    json!({"index": 1, "namespace": {"inode": namespace.inode(), "process": process_id(namespace.pid())}})
}

/// Whoever lives in a namespace, as a target that listens on these ports.
pub(crate) fn living_in(namespace: &Namespace, ports: &[u16]) -> Target {
    let process = Some(process_id(namespace.pid()));
    target(Facets { process, listening: ports.to_vec(), network_namespace: Some(namespace.inode()), ..Facets::default() })
}

/// Can this kernel do what the fault needs? Where it has no `netem`, whoever asks says so in the list of what is not covered.
pub(crate) async fn kernel_can(fault: &dyn AnyFault, scene: &Scene, test: &str) -> bool {
    let id = InjectionId { run: "asked".into(), slot: "0.0.0".into() };
    match fault.prepare(&scene.spec, &scene.target, &id).await {
        Err(error) if lacks_netem(&error) => {
            not_covered(test, &format!("{} needs sch_netem, which this kernel does not have", fault.kind()));
            false
        }
        _ => true,
    }
}

/// The error of a kernel without `netem`: it names the module, and what works without it.
pub(crate) fn lacks_netem(error: &FaultError) -> bool {
    error.message.contains("sch_netem") && error.hint.as_ref().is_some_and(|h| h.contains("net.rate") && h.contains("proxy"))
}

/// An injection that stands: what it stands on first, then itself.
pub(crate) struct Injected {
    table: Arc<Table>,
    kind: String,
    /// As written into the journal.
    pub(crate) undo: Value,
    ground: Vec<(String, Value)>,
}

impl Injected {
    /// Prepared, staged and injected, with its scaffolds where nobody has brought them up yet.
    pub(crate) async fn new(table: &Arc<Table>, kind: &str, spec: Value, target: &Target, slot: &str) -> Result<Self, FaultError> {
        let fault = table.get(kind).expect("the fault");
        let id = InjectionId { run: format!("shaped-{}", std::process::id()), slot: slot.into() };
        let prepared = fault.prepare(&spec, target, &id).await?;
        let mut ground = Vec::new();
        for scaffold in &prepared.scaffolds {
            let below = table.get(&scaffold.fault).expect("what it stands on");
            let found = below.prepare(&scaffold.spec, target, &id).await?;
            below.inject(chaos_core::conformance::arm(id.clone(), found.undo.clone())).await?;
            ground.push((scaffold.fault.clone(), found.undo));
        }
        fault.stage(&chaos_core::conformance::arm(id.clone(), prepared.undo.clone())).await?;
        fault.inject(chaos_core::conformance::arm(id, prepared.undo.clone())).await?;
        Ok(Self { table: Arc::clone(table), kind: kind.into(), undo: prepared.undo, ground })
    }

    pub(crate) fn fault(&self) -> &dyn AnyFault {
        self.table.get(&self.kind).expect("the fault")
    }

    /// The commands for a person, in their order.
    pub(crate) fn explain(&self) -> Vec<String> {
        let below = self.ground.iter().rev().flat_map(|(kind, undo)| self.table.get(kind).expect("the fault").explain(undo));
        self.fault().explain(&self.undo).into_iter().chain(below).collect()
    }

    /// Taken back, without what it stands on.
    pub(crate) async fn revert_leaf(&self) -> Reverted {
        self.fault().revert(&self.undo).await.expect("reverted")
    }

    /// Taken back, what it stands on too, where nothing else stands on that.
    pub(crate) async fn revert(self) {
        self.revert_leaf().await;
        for (kind, undo) in self.ground.iter().rev() {
            self.table.get(kind).expect("the fault").revert(undo).await.expect("reverted");
        }
    }
}
