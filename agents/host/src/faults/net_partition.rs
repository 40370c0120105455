//! `net.partition`: packets between the target and its peers do not arrive.

use std::path::Path;
use std::time::Duration;

use chaos_core::fault::{
    Armed, Class, Fault, FaultError, Grade, InjectionId, Met, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility,
    Reverted, SecondNet, SpecError, UndoJson,
};
use chaos_core::target::{Facet, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::in_namespace;
use crate::cgroup::quoted;
use crate::net::conntrack;
use crate::net::cut::{Cut, How};
use crate::net::flow::Match;
use crate::net::leaf::Leaf;
use crate::net::namespace::Namespace;
use crate::net::nftables::{Ownership, rehearse_in, seen_in};
use crate::net::traffic::{Direction, Traffic};
use crate::world::{Host, HostView};

/// Cuts traffic off.
pub(crate) struct NetPartition;

/// Which traffic, and how it is cut off.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Spec {
    /// Which traffic.
    #[serde(flatten)]
    pub(crate) traffic: Traffic,
    /// How it is cut off.
    #[serde(default)]
    pub(crate) how: How,
}

/// The table that cuts it off.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1 {
        /// Its name and comment.
        tag: String,
        /// Where it is.
        namespace: Namespace,
        /// Does it go with the executor?
        ownership: Ownership,
        /// What it does.
        cut: Cut,
    },
}

impl Fault for NetPartition {
    type World = Host;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "net.partition";

    fn profile(&self) -> Profile {
        Profile {
            summary: "cuts the target off from its peers: packets vanish, or are refused at once",
            about: "One table of nftables in the target's network namespace, made and removed as a whole. `how: drop` loses packets without a \
                word: connections stay half-open, requests hang until somebody's timeout. Not even the sender on this host is told, as a \
                firewall would tell it: its datagrams are sent, as far as it can see, and TCP sends again what was lost, at growing \
                intervals. `how: reject` answers each packet: TCP by a reset, all else by *port unreachable* (ICMP). Both versions of the \
                internet protocol are cut off unless `family` says which, in both directions unless `direction` says one; the packets by \
                which IPv6 neighbours find one another are not.\n\n\
                The table belongs to the executor: the kernel removes it when that dies, whatever kills it, and neither `nft flush ruleset` \
                nor a firewall that reloads touches it. A kernel before 5.12 has no such tables; there the executor takes an ordinary one \
                back, and the plan says so. Other tables stay as they are: what they drop stays dropped, what they accept is cut off all the \
                same.\n\n\
                What had been sent comes late: a connection that was cut off for 30 s may stand still for up to 30 s more.",
            example: "inject: net.partition\ninto: gateway\nwith: {hosts: [10.0.0.7], ports: 6379, how: drop}\nfor: 30s",
            takes: &["processes", "containers"],
            facets: &[Facet::Process],
            privileges: "CAP_NET_ADMIN in the target's network namespace, and CAP_SYS_ADMIN to enter it: root",
            reach: Reach::NetworkNamespace,
            reversibility: Reversibility::Exact,
            persistence: Persistence::DiesWithExecutor,
            latent: false,
            second_net: SecondNet::Tag,
            settle: Duration::ZERO,
            revert_budget: Duration::from_secs(2),
            rampable: &[],
            class: Class::Network,
            internal: false,
        }
    }

    fn check(&self, spec: &Spec) -> Vec<SpecError> {
        spec.traffic.check()
    }

    fn looked_up(&self, spec: Spec, _: &HostView) -> Result<Spec, FaultError> {
        Ok(Spec { traffic: spec.traffic.looked_up()?, ..spec })
    }

    async fn prepare(&self, spec: &Spec, target: &Target, id: &InjectionId, view: &HostView) -> Result<Prepared<Undo>, FaultError> {
        let aim = spec.traffic.aim_anywhere(target, Direction::Both, view)?;
        aim.namespace.is_planned(&target.facets)?;
        few_enough(&aim.packets)?;
        let cut = Cut { packets: aim.packets, ways: aim.direction.ways(), interface: spec.traffic.interface.clone(), how: spec.how };
        let tag = id.tag();
        let ownership = rehearse_in(&aim.namespace, &cut.ruleset(&tag))?;
        let mut prepared = Prepared::new(Undo::V1 { tag, namespace: aim.namespace, ownership, cut });
        prepared.notes = aim.notes;
        prepared.reach = Some(aim.reach);
        prepared.bystanders = aim.bystanders;
        if ownership == Ownership::Ordinary {
            prepared.grade = Some(Grade::Leased);
            prepared
                .notes
                .push("this kernel's tables have no owner (Linux 5.12 has them): the table stays if the executor is killed".into());
        }
        Ok(prepared)
    }

    async fn inject(&self, armed: Armed<Undo>, world: &Host) -> Result<Observed, FaultError> {
        let Undo::V1 { tag, namespace, ownership, cut } = armed.undo();
        if armed.cancelled() {
            return Err(FaultError::cancelled());
        }
        world.tables().make(namespace, &cut.ruleset(tag), *ownership)?;
        Ok(Observed::note(format!("{} {}", if cut.how == How::Drop { "dropped:" } else { "rejected:" }, cut.packets)))
    }

    async fn inspect(&self, undo: &Undo, _: &HostView) -> Result<Presence, FaultError> {
        let Undo::V1 { tag, namespace, cut, .. } = undo;
        let Some(seen) = seen_in(namespace, tag)? else {
            return Ok(Presence::none());
        };
        let met = Met::times(seen.packets);
        let meant = cut.ruleset(tag).rules();
        Ok(if seen.rules == meant {
            Presence::whole().met(met)
        } else {
            Presence::partial(format!("its table has {} rules instead of {meant}: somebody changed it", seen.rules)).met(met)
        })
    }

    fn meets(&self, undo: &Undo, _: &str, others_undo: &UndoJson) -> Option<String> {
        let Undo::V1 { namespace, cut, .. } = undo;
        if let Ok(Undo::V1 { namespace: theirs, cut: other, .. }) = serde_json::from_value(others_undo.clone()) {
            return (namespace.inode == theirs.inode).then(|| cut.meets(&other)).flatten();
        }
        // Whatever is written like a leaf is one.
        let leaf: Leaf = serde_json::from_value(others_undo.clone()).ok()?;
        (namespace.inode == leaf.namespace.inode).then(|| cut.meets_leaf(&leaf)).flatten()
    }

    async fn revert(&self, undo: &Undo, world: &Host) -> Result<Reverted, FaultError> {
        let Undo::V1 { tag, namespace, cut, .. } = undo;
        let removed = world.tables().remove(namespace, tag)?;
        let forgotten = conntrack::forgotten(namespace, |entry| cut.led_astray(entry));
        Ok(forgotten.met(removed.map(|seen| Met::times(seen.packets))))
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1 { tag, namespace, .. } = undo;
        vec![in_namespace(namespace, &format!("nft delete table inet {}", quoted(Path::new(tag))))]
    }
}

/// Every packet of the namespace is asked for each network in turn: a hundred cost it a few microseconds, thousands a tenth of a millisecond.
fn few_enough(packets: &Match) -> Result<(), FaultError> {
    const MOST: usize = 256;
    let networks: usize = packets.flows.iter().map(|flow| flow.peers.len()).sum();
    if networks <= MOST {
        return Ok(());
    }
    let says = format!("{networks} addresses and networks to cut off are more than {MOST}: all packets of the namespace would be slow");
    Err(FaultError::new(says).hint("name wider networks: `10.0.0.0/16` instead of its addresses"))
}
