//! `net.dns`: chosen names have no address, or another one, or none that comes in time.

use std::net::UdpSocket;
use std::time::Duration;

use chaos_core::fault::{
    Armed, Class, Fault, FaultError, InjectionId, Met, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility, Reverted,
    SecondNet, SpecError,
};
use chaos_core::target::{Facet, Target};
use serde::{Deserialize, Serialize};

use super::helped::{Reached, end, is_still_held, kill_by_tag, started};
use super::{failed, look};
use crate::helper::{Helper, dns_redirection, dns_tally_of};
use crate::net::conntrack::{self, Entry};
use crate::net::flow::Protocol;
use crate::net::lie::Lie;
use crate::net::namespace::Namespace;
use crate::net::nftables::seen_in;
use crate::net::traffic::{felt_in, names_we_need};
use crate::net::{link, netlink, nftables};
use crate::process::{Kin, living};
use crate::world::{Host, HostView};

/// Answers for the servers of names.
pub(crate) struct NetDns;

/// The helper that answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1 {
        /// By which helper and table are known.
        tag: String,
        /// Where it answers.
        namespace: Namespace,
        /// What.
        lie: Lie,
    },
}

impl Fault for NetDns {
    type World = Host;
    type Spec = Lie;
    type Undo = Undo;
    const KIND: &'static str = "net.dns";

    fn profile(&self) -> Profile {
        Profile {
            summary: "answers questions for chosen names: no such name, failure, silence, or other addresses",
            about: "Questions to port 53, over UDP and TCP and of both versions of the internet protocol, are led to a helper in the target's \
                network namespace. It answers those for the chosen names, and passes all others on to the very server that was asked. \
                Everybody in the namespace asks through it.\n\n\
                The redirect is a table of nftables that belongs to the helper, and the helper lives on a lifeline: when it or the executor \
                dies, questions go where they always went. This needs Linux 5.12.\n\n\
                Who never asks does not notice: a name already looked up, a cache in the program (a JVM keeps names for 30 s) or beside it \
                (`nscd`), DNS over TLS or HTTPS, a connection to a server of names that was open before.",
            example: "inject: net.dns\ninto: gateway\nwith: {names: [\"*.store.internal\"], answer: servfail}\nfor: 30s",
            takes: &["processes", "containers"],
            facets: &[Facet::Process],
            privileges: "CAP_NET_ADMIN in the target's network namespace, and CAP_SYS_ADMIN to enter it: root",
            reach: Reach::NetworkNamespace,
            reversibility: Reversibility::Exact,
            persistence: Persistence::DiesWithExecutor,
            latent: false,
            second_net: SecondNet::Tag,
            settle: Duration::ZERO,
            revert_budget: Duration::from_secs(5),
            rampable: &[],
            class: Class::Network,
            internal: false,
        }
    }

    fn check(&self, spec: &Lie) -> Vec<SpecError> {
        spec.check()
    }

    async fn prepare(&self, spec: &Lie, target: &Target, id: &InjectionId, view: &HostView) -> Result<Prepared<Undo>, FaultError> {
        let snapshot = look()?;
        let kin = Kin::of(target, &snapshot, view)?;
        let namespace = Namespace::of(kin.root)?;
        namespace.is_planned(&target.facets)?;
        let is_own = namespace.is_own();
        if is_own {
            spares_ourselves(spec)?;
        }
        let tag = id.tag();
        namespace.run(|| possible(&tag))??;
        let (reach, bystanders) = felt_in(&namespace, &snapshot, &kin.members, view);
        let names = spec.names.join(", ");
        let mut prepared = Prepared::new(Undo::V1 { tag, namespace: namespace.clone(), lie: spec.clone() })
            .note(format!("whoever asks for {names} gets {}; for other names the server answers that was asked", spec.answer))
            .claim(format!("netns:{}/dns", namespace.inode));
        if is_own {
            prepared.notes.push("chaos asks in that network namespace as well: so do its probes, which get the same answers".into());
        }
        prepared.reach = Some(reach);
        prepared.bystanders = bystanders;
        Ok(prepared)
    }

    async fn inject(&self, armed: Armed<Undo>, world: &Host) -> Result<Observed, FaultError> {
        let Undo::V1 { tag, namespace, lie } = armed.undo();
        let as_text =
            |value: Result<String, serde_json::Error>| value.map_err(|e| FaultError::new(format!("write down what is answered: {e}")));
        let more =
            vec![("namespace", as_text(serde_json::to_string(namespace))?.into()), ("lie", as_text(serde_json::to_string(lie))?.into())];
        let helper = Helper { kind: "dns", tag, run: &armed.id().run, deadline: armed.deadline(), more };
        let answers = || {
            let answers = living(tag)?.iter().any(|id| dns_tally_of(id.pid).is_some());
            Ok(if answers { Reached::All } else { Reached::Some(0) })
        };
        started(&armed, world.start_helper(&helper), answers).await?;
        Ok(Observed::note(format!("{} for {}", lie.answer, lie.names.join(", "))))
    }

    async fn inspect(&self, undo: &Undo, _: &HostView) -> Result<Presence, FaultError> {
        let Undo::V1 { tag, namespace, .. } = undo;
        let helper = is_still_held(tag, &look()?)?;
        let Some((_, answered)) = helper.and_then(|helper| dns_tally_of(helper.id.pid)) else {
            return Ok(Presence::none());
        };
        let met = Met::times(answered);
        Ok(match seen_in(namespace, tag)? {
            Some(_) => Presence::whole().met(met),
            None => Presence::none().met(met).finding("the helper lives, but nothing leads questions to it any more"),
        })
    }

    async fn revert(&self, undo: &Undo, world: &Host) -> Result<Reverted, FaultError> {
        let Undo::V1 { tag, namespace, .. } = undo;
        let answered = living(tag).unwrap_or_default().into_iter().find_map(|id| dns_tally_of(id.pid)).map(|(_, answered)| answered);
        let ended = end(world, tag)?;
        let forgotten = conntrack::forgotten(namespace, is_led_to_nobody);
        let notes = ended.notes.into_iter().chain(forgotten.notes).collect();
        Ok(Reverted { notes, met: answered.map(Met::times) })
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1 { tag, .. } = undo;
        vec![kill_by_tag(tag)]
    }
}

/// A program that asks from one socket all the time asks whom the kernel remembers: a port where the helper was.
fn is_led_to_nobody(entry: &Entry) -> bool {
    const DNS: u16 = 53;
    let Entry { original, reply, .. } = entry;
    let led_here = original.to.port() == DNS && reply.from != original.to && reply.from.ip().is_loopback();
    original.protocol == Protocol::Udp && led_here && UdpSocket::bind(reply.from).is_ok()
}

/// In our own network namespace, nobody is lied to about every name, nor about one that we need ourselves.
fn spares_ourselves(lie: &Lie) -> Result<(), FaultError> {
    let what = if lie.is_about_everything() {
        "every name there is".to_owned()
    } else if let Some(name) = names_we_need().into_iter().find(|name| lie.is_about(name)) {
        name
    } else {
        return Ok(());
    };
    let says = format!("answer for {what}: chaos, and whoever controls this machine, live in that network namespace");
    Err(FaultError::new(says).hint("name the names that the target asks for"))
}

/// Would the kernel lead questions here? Of the namespace of this thread.
fn possible(tag: &str) -> Result<(), FaultError> {
    const ANY: Option<u16> = Some(53);
    let doing = "look at the interfaces of the target's network namespace";
    let mut socket = netlink::Socket::open(netlink::Protocol::Route).map_err(|e| nftables::refused(doing, &e))?;
    let links = link::all(&mut socket).map_err(|e| nftables::refused(doing, &e))?;
    if !links.iter().any(|link| link.loopback && link.up) {
        return Err(FaultError::new("answer for servers of names: the loopback interface of the target's network namespace is down")
            .hint("`ip link set lo up` there: questions are led to a helper that listens on it"));
    }
    dns_redirection(tag, ANY, ANY).rehearse().map_err(|e| match e.downcast::<netlink::NetlinkError>() {
        Ok(refusal) => nftables::refused("lead questions to port 53 to a helper", &refusal),
        Err(other) => failed("lead questions to port 53 to a helper", &other),
    })
}
