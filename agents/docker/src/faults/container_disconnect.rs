//! `container.disconnect`: a container loses a network, or all of them.

use std::collections::HashMap;
use std::time::Duration;

use bollard::ClientVersion;
use bollard::models::{EndpointIpamConfig, EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest};
use bollard::query_parameters::InspectNetworkOptions;
use chaos_core::fault::{
    Armed, Bystanders, Class, Fault, FaultError, InjectionId, Observed, Persistence, Prepared, Presence, Profile, Reach, Reversibility,
    Reverted, SecondNet,
};
use chaos_core::target::{Facet, Target};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::subject::{Found, Now, REQUEST, SETTLE, Subject};
use crate::container::{Attachment, Container};
use crate::engine::{Engine, EngineError, Failing, QUESTION};
use crate::stamp;
use crate::world::{Docker, DockerView};

/// From this version on an engine gives an endpoint the hardware address that is asked for.
const GIVES_MAC: ClientVersion = ClientVersion { major_version: 1, minor_version: 44 };

/// The network that an engine makes anew, with another id, whenever it starts. No other can have this name.
const BRIDGE: &str = "bridge";

/// How many bystanders are named.
const NAMED: usize = 5;

/// Takes a container off its networks through its engine.
pub(crate) struct ContainerDisconnect;

/// What it loses.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Spec {
    /// The network's name. Left out: all that it is attached to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network: Option<String>,
}

/// What was taken off what.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "version")]
pub(crate) enum Undo {
    /// The first form.
    #[serde(rename = "1")]
    V1 {
        /// The container.
        at: Subject,
        /// How it was attached.
        networks: Vec<Attachment>,
    },
}

impl Fault for ContainerDisconnect {
    type World = Docker;
    type Spec = Spec;
    type Undo = Undo;
    const KIND: &'static str = "container.disconnect";

    fn profile(&self) -> Profile {
        Profile {
            summary: "takes a container off a network, or off all: its interface, address and name there are gone",
            about: "The engine removes the container's interface in that network, so its connections there die without a word, nobody can reach it, and its name is no longer \
                known to its neighbours. Ports published through that network end. This is an unplugged cable; `net.partition` drops packets and \
                leaves the interface.\n\n\
                Taken back by connecting it again with the same address, aliases, links and driver options, and the same hardware address where \
                the engine can (API 1.44). The engine promises the same address only on networks whose subnet somebody has chosen; on the others, `bridge` among \
                them, it may give another, and inside the interface may have another number. A network that is gone meanwhile is told, not made \
                again; one that somebody has connected again is left as it is.",
            example: "inject: container.disconnect\ninto: gateway\nwith: {network: shop_backend}\nfor: 30s",
            takes: &["containers"],
            facets: &[Facet::Container],
            privileges: "access to the engine's socket",
            reach: Reach::Target,
            reversibility: Reversibility::WithLoss,
            persistence: Persistence::Durable,
            latent: false,
            second_net: SecondNet::Stamp,
            settle: SETTLE,
            revert_budget: Duration::from_secs(15),
            rampable: &[],
            class: Class::Network,
            internal: false,
        }
    }

    async fn prepare(&self, spec: &Spec, target: &Target, id: &InjectionId, view: &DockerView) -> Result<Prepared<Undo>, FaultError> {
        let Found { subject: at, engine, container } = Found::running(target, id, view).await?;
        let networks = chosen(&container, spec.network.as_deref())?;
        let others = sharing(&engine, &container).await?;
        let claim = at.claim();
        let notes = losses(&container, &networks);
        let mut prepared = Prepared::new(Undo::V1 { at, networks }).claim(claim);
        prepared.notes = notes;
        if others.count > 0 {
            prepared.reach = Some(Reach::NetworkNamespace);
            prepared.bystanders = others;
        }
        Ok(prepared)
    }

    async fn stage(&self, armed: &Armed<Undo>, world: &Docker) -> Result<(), FaultError> {
        let Undo::V1 { at, .. } = armed.undo();
        stamp::put(&at.engine_of(world).await?, armed.id(), Self::KIND, armed.undo()).await
    }

    async fn inject(&self, armed: Armed<Undo>, world: &Docker) -> Result<Observed, FaultError> {
        let Undo::V1 { at, networks } = armed.undo();
        let engine = at.engine_of(world).await?;
        for attached in networks {
            if armed.cancelled() {
                return Err(FaultError::cancelled());
            }
            let request = NetworkDisconnectRequest { container: at.id.clone(), force: Some(false) };
            let disconnecting = engine.api().disconnect_network(found_by(attached), request);
            engine.call(&format!("disconnect container {} from network {}", at.name, attached.network), REQUEST, disconnecting).await?;
        }
        Ok(Observed::note(format!("disconnected from {}", names(networks))))
    }

    async fn inspect(&self, undo: &Undo, view: &DockerView) -> Result<Presence, FaultError> {
        let Undo::V1 { at, networks } = undo;
        let engine = at.engine(view).await?;
        let now = match at.now(&engine).await? {
            Now::Here(now) => now,
            Now::Gone(finding) => return Ok(Presence::none().finding(finding)),
        };
        let (off, on): (Vec<&Attachment>, Vec<&Attachment>) = networks.iter().partition(|a| !is_attached(&now, a));
        let mut standing = 0;
        let mut gone = Vec::new();
        for attached in off {
            if exists(&engine, attached).await? {
                standing += 1;
            } else {
                gone.push(format!("network {} is gone", attached.network));
            }
        }
        let finding = || {
            let on = on.iter().map(|a| format!("container {} is attached to network {}", at.name, a.network));
            on.chain(gone.iter().cloned()).collect::<Vec<_>>().join("; ")
        };
        Ok(match standing {
            0 => Presence::none().finding(finding()),
            n if n == networks.len() => Presence::whole(),
            _ => Presence::partial(finding()),
        })
    }

    async fn revert(&self, undo: &Undo, world: &Docker) -> Result<Reverted, FaultError> {
        let Undo::V1 { at, networks } = undo;
        let engine = at.engine_of(world).await?;
        let mut notes = Vec::new();
        match at.now(&engine).await? {
            Now::Gone(finding) => notes.push(finding),
            Now::Here(now) => {
                for attached in networks.iter().filter(|a| !is_attached(&now, a)) {
                    notes.push(connect(at, attached, &engine).await?);
                }
            }
        }
        at.clear(&engine).await?;
        Ok(Reverted { notes, ..Reverted::default() })
    }

    fn explain(&self, undo: &Undo) -> Vec<String> {
        let Undo::V1 { at, networks } = undo;
        networks.iter().map(|attached| connect_command(at, attached)).chain([at.clear_command()]).collect()
    }
}

/// The networks that are meant, as it is attached to them.
fn chosen(container: &Container, wanted: Option<&str>) -> Result<Vec<Attachment>, FaultError> {
    let name = &container.name;
    match container.network_mode.as_str() {
        "host" => {
            return Err(FaultError::new(format!("container {name} lives in the network of its host, which cannot be taken off"))
                .hint("`net.partition` cuts off its ports"));
        }
        "none" => return Err(FaultError::new(format!("container {name} has no network"))),
        mode if mode.starts_with("container:") => {
            let other = crate::container::short(mode.trim_start_matches("container:")).to_owned();
            return Err(FaultError::new(format!("container {name} lives in the network of container {other}"))
                .hint("disconnect that one: both share its interfaces"));
        }
        _ => {}
    }
    let attached: Vec<Attachment> = container.networks.iter().filter(|a| wanted.is_none_or(|w| w == a.network)).cloned().collect();
    if !attached.is_empty() {
        return Ok(attached);
    }
    let has = names(&container.networks);
    Err(match wanted {
        Some(wanted) => FaultError::new(format!("container {name} is not attached to network {wanted}")).hint(if has.is_empty() {
            "it is attached to none".into()
        } else {
            format!("it is attached to {has}")
        }),
        None => FaultError::new(format!("container {name} is attached to no network")),
    })
}

fn names(networks: &[Attachment]) -> String {
    networks.iter().map(|a| a.network.as_str()).collect::<Vec<_>>().join(", ")
}

/// The other containers that live in the same network namespace.
async fn sharing(engine: &Engine, container: &Container) -> Result<Bystanders, FaultError> {
    // By id as a rule; not every engine puts the id for the name that somebody has said.
    let is_its = |mode: &str| mode.strip_prefix("container:").is_some_and(|of| of == container.id || of == container.name);
    let all = engine.list().await?;
    let sharing = all.into_iter().filter(|c| c.host_config.as_ref().and_then(|h| h.network_mode.as_deref()).is_some_and(is_its));
    let mut names: Vec<String> =
        sharing.map(|c| c.names.unwrap_or_default().first().map_or("without a name", |n| n.trim_start_matches('/')).to_owned()).collect();
    names.sort();
    let count = names.len() as u64;
    names.truncate(NAMED);
    Ok(Bystanders { count, names })
}

/// What may not come back.
fn losses(container: &Container, networks: &[Attachment]) -> Vec<String> {
    let mut lost = vec!["connections through what it is taken off die".to_owned()];
    let dynamic = networks.iter().filter(|n| n.fixed_ip4.is_none() && n.fixed_ip6.is_none());
    let addresses: Vec<String> = dynamic.filter_map(|n| Some(format!("{} on {}", n.ip4.as_ref().or(n.ip6.as_ref())?, n.network))).collect();
    if !addresses.is_empty() {
        lost.push(format!(
            "nobody asked for these addresses, so they are asked for when it is connected again, and are its fixed ones from then on; where the engine has chosen the network's subnet itself it may give others: {}",
            addresses.join(", ")
        ));
    }
    let chosen: Vec<String> =
        container.published.iter().filter(|p| p.chosen).map(|p| format!("{} for {}", p.host_port, p.inside)).collect();
    if !chosen.is_empty() {
        lost.push(format!("ports that the engine chose on the host may be others afterwards: {}", chosen.join(", ")));
    }
    lost.push("inside, the interface may have another number afterwards (eth1 for eth0)".into());
    lost
}

fn is_attached(now: &Container, meant: &Attachment) -> bool {
    now.networks.iter().any(|a| is_same(a, meant))
}

fn is_same(one: &Attachment, other: &Attachment) -> bool {
    found_by(one) == found_by(other)
}

/// By what an engine finds a network that is attached.
fn found_by(attached: &Attachment) -> &str {
    if attached.network == BRIDGE { BRIDGE } else { &attached.network_id }
}

/// Does this very network still exist? One that was made anew under its name is another.
async fn exists(engine: &Engine, attached: &Attachment) -> Result<bool, EngineError> {
    let asking = engine.api().inspect_network(found_by(attached), None::<InspectNetworkOptions>);
    match engine.call(&format!("inspect network {}", attached.network), QUESTION, asking).await {
        Ok(_) => Ok(true),
        Err(e) if e.is_missing() => Ok(false),
        Err(e) => Err(e),
    }
}

/// Connects it again as it was; what came of it, in words.
async fn connect(at: &Subject, attached: &Attachment, engine: &Engine) -> Result<String, FaultError> {
    let Attachment { network, .. } = attached;
    if !exists(engine, attached).await? {
        return Ok(format!("network {network} is gone: container {} stays without it", at.name));
    }
    let gives_mac = engine.speaks() >= GIVES_MAC;
    match ask(at, attached, engine, settings(attached, true, gives_mac)).await {
        Ok(()) => {}
        // Nobody asked for the address, and the engine gives none that is asked for here, or has given it to somebody else.
        Err(e) if attached.fixed_ip4.is_none() && attached.fixed_ip6.is_none() && refuses(&e) => {
            ask(at, attached, engine, settings(attached, false, false)).await?;
        }
        Err(e) => return Err(e.into()),
    }
    let now = engine.container(&at.id).await?;
    let now = now.iter().flat_map(|c| &c.networks).find(|a| is_same(a, attached));
    Ok(match now.and_then(|now| now.ip4.as_ref().or(now.ip6.as_ref())) {
        Some(address) if attached.ip4.as_ref().or(attached.ip6.as_ref()) != Some(address) => {
            format!("connected to {network} again, with the address {address}")
        }
        _ => format!("connected to {network} again"),
    })
}

fn refuses(e: &EngineError) -> bool {
    matches!(e.kind, Failing::Refused(_) | Failing::Conflict)
}

async fn ask(at: &Subject, attached: &Attachment, engine: &Engine, settings: EndpointSettings) -> Result<(), EngineError> {
    let request = NetworkConnectRequest { container: at.id.clone(), endpoint_config: Some(settings) };
    let connecting = engine.api().connect_network(found_by(attached), request);
    match engine.call(&format!("connect container {} to network {}", at.name, attached.network), REQUEST, connecting).await {
        // Somebody else was faster, or our own request that we had given up.
        Err(e) if refuses(&e) && engine.container(&at.id).await?.is_some_and(|now| is_attached(&now, attached)) => Ok(()),
        answer => answer,
    }
}

/// As it was attached, with the addresses it had or with those alone that somebody had asked for.
fn settings(attached: &Attachment, same_address: bool, same_mac: bool) -> EndpointSettings {
    let Attachment { ip4, ip6, fixed_ip4, fixed_ip6, link_local, aliases, links, driver_opts, mac, .. } = attached;
    let (ip4, ip6) = if same_address { (ip4.as_ref().or(fixed_ip4.as_ref()), ip6.as_ref().or(fixed_ip6.as_ref())) } else { (None, None) };
    let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    let ipam = EndpointIpamConfig { ipv4_address: ip4.cloned(), ipv6_address: ip6.cloned(), link_local_ips: some(link_local) };
    let options: HashMap<String, String> = driver_opts.clone().into_iter().collect();
    EndpointSettings {
        ipam_config: (ipam != EndpointIpamConfig::default()).then_some(ipam),
        aliases: some(aliases),
        links: some(links),
        driver_opts: (!options.is_empty()).then_some(options),
        mac_address: mac.clone().filter(|_| same_mac),
        ..EndpointSettings::default()
    }
}

/// The same as a command of `docker`. It refuses an address that nobody had asked for where the engine has chosen the subnet itself.
fn connect_command(at: &Subject, attached: &Attachment) -> String {
    let with = |same_address| at.command(&connect_words(at, attached, same_address));
    let asked = attached.fixed_ip4.is_some() || attached.fixed_ip6.is_some();
    if asked { with(true) } else { format!("{} || {}", with(true), with(false)) }
}

fn connect_words(at: &Subject, attached: &Attachment, same_address: bool) -> String {
    let mut words = vec!["network connect".to_owned()];
    let mut option = |name: &str, value: &str| words.push(format!("{name} {}", stamp::quoted(value)));
    if same_address {
        attached.ip4.iter().for_each(|ip| option("--ip", ip));
        attached.ip6.iter().for_each(|ip| option("--ip6", ip));
    }
    attached.link_local.iter().for_each(|ip| option("--link-local-ip", ip));
    attached.aliases.iter().for_each(|alias| option("--alias", alias));
    attached.links.iter().for_each(|link| option("--link", link));
    attached.driver_opts.iter().for_each(|(key, value)| option("--driver-opt", &format!("{key}={value}")));
    words.push(format!("{} {}", stamp::quoted(found_by(attached)), at.id));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attached() -> Attachment {
        Attachment {
            network: "shop_backend".into(),
            network_id: "n1".into(),
            endpoint_id: "e1".into(),
            ip4: Some("10.9.0.7".into()),
            ip6: None,
            fixed_ip4: None,
            fixed_ip6: None,
            link_local: vec!["169.254.1.2".into()],
            mac: Some("02:42:0a:09:00:07".into()),
            aliases: vec!["ranker".into()],
            links: vec!["db:store".into()],
            driver_opts: [("a".to_owned(), "b c".to_owned())].into(),
        }
    }

    #[test]
    fn it_is_connected_as_it_was() {
        let same = settings(&attached(), true, false);
        let ipam = same.ipam_config.expect("addresses");
        assert_eq!(ipam.ipv4_address.as_deref(), Some("10.9.0.7"));
        assert_eq!(ipam.link_local_ips, Some(vec!["169.254.1.2".to_owned()]));
        assert_eq!((same.aliases, same.links), (Some(vec!["ranker".into()]), Some(vec!["db:store".into()])));
        assert_eq!(same.mac_address, None);
        assert_eq!(settings(&attached(), true, true).mac_address.as_deref(), Some("02:42:0a:09:00:07"));
        assert_eq!(settings(&attached(), false, false).ipam_config.expect("of the link").ipv4_address, None);
        let plain = Attachment { link_local: vec![], aliases: vec![], links: vec![], driver_opts: [].into(), ..attached() };
        assert_eq!(settings(&plain, false, false), EndpointSettings::default());
    }

    #[test]
    fn the_same_for_a_person_is_one_command() {
        let at = Subject {
            engine: "unix:///run/docker.sock".into(),
            id: "c1".into(),
            name: "x".into(),
            tag: "t".into(),
            started_at: String::new(),
        };
        let rest = "--link-local-ip 169.254.1.2 --alias ranker --link db:store --driver-opt 'a=b c' n1 c1";
        let docker = "docker --host unix:///run/docker.sock network connect";
        let either = format!("{docker} --ip 10.9.0.7 {rest} || {docker} {rest}");
        assert_eq!(connect_command(&at, &attached()), either, "an address that nobody asked for may be refused");
        let fixed = Attachment { fixed_ip4: Some("10.9.0.7".into()), ..attached() };
        assert_eq!(connect_command(&at, &fixed), format!("{docker} --ip 10.9.0.7 {rest}"));
    }
}
