//! `net.reset`: established connections end, at once, on both sides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Met, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet, SpecError,
};
use chaos_core::target::{Facet, Target};
use rustix::io::Errno;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::net::connections::{Connection, can_destroy, destroy, established};
use crate::net::flow::{Match, Protocol};
use crate::net::namespace::Namespace;
use crate::net::netlink::NetlinkError;
use crate::net::traffic::{Direction, Traffic};
use crate::world::{Host, HostView};

/// Destroys connections.
#[derive(Default)]
pub(crate) struct NetReset {
    /// How many each injection of this process has reset: some may have begun after it was prepared.
    reset: Mutex<BTreeMap<String, u64>>,
}

/// Which connections.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Spec {
    /// Which traffic they carry.
    #[serde(flatten)]
    pub(crate) traffic: Traffic,
}

/// What was destroyed. There is nothing to take back.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1 {
        /// The injection's.
        tag: String,
        /// Where.
        namespace: Namespace,
        /// Which.
        packets: Match,
        /// Those that were there: by the kernel's numbers, which it never gives again. No more than [`NOTED`].
        cookies: BTreeSet<u64>,
    },
}

/// Of how many connections it is proved, one by one, that they are gone.
const NOTED: usize = 1_000;

impl Fault for NetReset {
    type World = Host;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "net.reset";

    fn profile(&self) -> Profile {
        Profile {
            summary: "ends established TCP connections of the target, as if a device between had forgotten them",
            about: "The kernel destroys every matching connection that exists at that moment: the process at this end gets `connection aborted`, \
                the other end a reset. Nothing keeps either from connecting again, which is what the experiment is about; for connections \
                that cannot be made, there is `net.partition`.\n\n\
                Nothing is taken back. If no connection matched, the injection is reported as idle.",
            example: "inject: net.reset\ninto: gateway\nwith: {hosts: [10.0.0.7], ports: 6379}",
            takes: &["processes", "containers"],
            facets: &[Facet::Process],
            privileges: "CAP_NET_ADMIN in the target's network namespace, and CAP_SYS_ADMIN to enter it: root",
            reach: Reach::NetworkNamespace,
            reversibility: Reversibility::Irreversible,
            persistence: Persistence::Durable,
            latent: false,
            second_net: SecondNet::None,
            settle: Duration::ZERO,
            revert_budget: Duration::ZERO,
            rampable: &[],
            class: Class::Network,
            internal: false,
        }
    }

    fn check(&self, spec: &Spec) -> Vec<SpecError> {
        let mut errors = spec.traffic.check();
        let senseless = |field: &str, why: &str| SpecError::new(field, why).hint(format!("leave `{field}` out"));
        if spec.traffic.direction.is_some() {
            errors.push(senseless("direction", "a connection has both directions"));
        }
        if spec.traffic.interface.is_some() {
            errors.push(senseless("interface", "a connection is not bound to an interface"));
        }
        if spec.traffic.protocol.is_some_and(|protocol| protocol != Protocol::Tcp) {
            errors.push(senseless("protocol", "only TCP has connections that can be reset"));
        }
        errors
    }

    fn looked_up(&self, spec: Spec, _: &HostView) -> Result<Spec, FaultError> {
        Ok(Spec { traffic: spec.traffic.looked_up()? })
    }

    async fn prepare(&self, spec: &Spec, target: &Target, id: &InjectionId, view: &HostView) -> Result<Prepared<Undo>, FaultError> {
        let aim = spec.traffic.aim_anywhere(target, Direction::Both, view)?;
        aim.namespace.is_planned(&target.facets)?;
        aim.namespace.run(can_destroy)?.map_err(|e| refused(&e))?;
        let meant = meant(&aim.namespace, &aim.packets)?;
        let cookies = meant.iter().map(|c| c.cookie).take(NOTED).collect();
        let mut prepared = Prepared::new(Undo::V1 { tag: id.tag(), namespace: aim.namespace, packets: aim.packets, cookies });
        prepared.notes = aim.notes;
        prepared.notes.push(match meant.len() {
            0 => "no connection matches now".into(),
            1 => "1 connection matches now; what is under way on it is lost".into(),
            n => format!("{n} connections match now; what is under way on them is lost"),
        });
        prepared.reach = Some(aim.reach);
        prepared.bystanders = aim.bystanders;
        Ok(prepared)
    }

    async fn inject(&self, armed: Armed<Undo>, _: &Host) -> Result<Observed, FaultError> {
        let Undo::V1 { tag, namespace, packets, .. } = armed.undo();
        let meant = meant(namespace, packets)?;
        let destroyed = namespace.run(|| destroy(&meant, || !armed.cancelled()))?.map_err(|e| refused(&e))?;
        self.reset.lock().unwrap_or_else(PoisonError::into_inner).insert(tag.clone(), destroyed);
        Ok(Observed::note(match destroyed {
            1 => "1 connection was reset".into(),
            n => format!("{n} connections were reset"),
        }))
    }

    async fn inspect(&self, undo: &Undo, _: &HostView) -> Result<Presence, FaultError> {
        let Undo::V1 { tag, namespace, cookies, .. } = undo;
        let left = if cookies.is_empty() { 0 } else { left(namespace, cookies)? };
        let reset = self.reset.lock().unwrap_or_else(PoisonError::into_inner).get(tag).copied();
        Ok(match (left, reset.unwrap_or(cookies.len() as u64)) {
            (0, 0) => Presence::whole().met(Met::Idle),
            (0, reset) => Presence::whole().met(Met::Count(reset)),
            (left, _) if left == cookies.len() => Presence::none(),
            (left, _) => Presence::partial(format!("{left} of {} connections are still there", cookies.len())),
        })
    }

    /// There is nothing to take back; how many there were is told once more, since nobody looks at it for long.
    async fn revert(&self, undo: &Undo, _: &Host) -> Result<Reverted, FaultError> {
        let Undo::V1 { tag, .. } = undo;
        let reset = self.reset.lock().unwrap_or_else(PoisonError::into_inner).get(tag).copied();
        Ok(Reverted::default().met(reset.map(Met::times)))
    }

    fn explain(&self, _: &Undo) -> Vec<String> {
        vec!["# connections were reset; nothing can be taken back".into()]
    }
}

/// How many of these are still there.
fn left(namespace: &Namespace, cookies: &BTreeSet<u64>) -> Result<usize, FaultError> {
    match namespace.run(established) {
        Ok(all) => Ok(all.map_err(|e| refused(&e))?.into_iter().filter(|c| cookies.contains(&c.cookie)).count()),
        Err(e) if FaultError::from(e.clone()).gone => Ok(0),
        Err(e) => Err(e.into()),
    }
}

/// The connections of the namespace that are meant, those of the control path not among them.
fn meant(namespace: &Namespace, packets: &Match) -> Result<Vec<Connection>, FaultError> {
    let all = namespace.run(established)?.map_err(|e| refused(&e))?;
    let is_of = |c: &Connection| {
        let carries = |flow: &crate::net::flow::Flow| flow.carries(Protocol::Tcp, c.local, c.remote);
        packets.flows.iter().any(carries) && !packets.except.iter().any(carries)
    };
    Ok(all.into_iter().filter(is_of).collect())
}

fn refused(error: &NetlinkError) -> FaultError {
    let failed = FaultError::new(format!("reset connections: {error}"));
    match error.errno {
        Errno::PERM | Errno::ACCESS => {
            failed.hint("run as root: ending others' connections needs CAP_NET_ADMIN in their network namespace")
        }
        Errno::OPNOTSUPP => failed.hint(
            "this kernel cannot destroy connections (CONFIG_INET_DIAG_DESTROY): `net.partition` with `how: reject` resets those that send",
        ),
        Errno::NOENT | Errno::PROTONOSUPPORT => failed.hint("this kernel cannot list connections: load the module `tcp_diag`"),
        _ => failed,
    }
}
