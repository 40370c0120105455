//! What traffic a network fault means: the fields that all of them share, and what is wrong with them.

mod aim;
mod control;
mod names;
mod through;

pub(crate) use aim::{Aim, Interface, felt_in};
pub(crate) use control::names as names_we_need;
pub(crate) use names::HostName;

use chaos_core::FaultError;
use chaos_core::fault::SpecError;
use chaos_core::literal::Ports;
use chaos_core::target::SetRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::flow::{Family, Network, NotANetwork, Protocol, Way};
use super::link::NAME_MAX;

/// Which way the packets go, as the target sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    /// What the target sends.
    Out,
    /// What the target receives.
    In,
    /// Either way.
    Both,
}

impl Direction {
    /// The ways that it means.
    pub(crate) fn ways(self) -> Vec<Way> {
        match self {
            Self::Out => vec![Way::Out],
            Self::In => vec![Way::In],
            Self::Both => vec![Way::Out, Way::In],
        }
    }
}

/// Which packets. Without `peer`, `hosts`, `ports` and `protocol`: those of the TCP ports that the target listens on.
/// With any of them: everything in the target's network namespace that talks to those peers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Traffic {
    /// `out`: what the target sends; `in`: what it receives; `both`. Left out: `out` for what slows or damages packets, `both` for
    /// what cuts them off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) direction: Option<Direction>,
    /// A target set: the other end, by the addresses and listening ports of its members as they were when the run was planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Option<SetRef>,
    /// The other end, by addresses (`10.0.0.7`), networks (`10.0.0.0/8`, `fd00::/8`) or names, which are looked up once, when the
    /// run is planned: the plan lists what was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) hosts: Vec<HostName>,
    /// The other end's ports: those of the service that the target talks to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ports: Option<Ports>,
    /// Only this protocol. Left out: whatever `ports` can be of, or everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<Protocol>,
    /// Only this version of the internet protocol. Left out: both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) family: Option<Family>,
    /// Only what passes this interface: `eth0`. Left out: every interface that carries such traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) interface: Option<String>,
}

impl Traffic {
    /// What is wrong whatever the world is like.
    pub(crate) fn check(&self) -> Vec<SpecError> {
        let mut errors = Vec::new();
        if self.peer.is_some() && !self.hosts.is_empty() {
            errors.push(SpecError::new("hosts", "both `peer` and `hosts` say who the other end is").hint("leave one of them out"));
        }
        for (index, host) in self.hosts.iter().enumerate() {
            let HostName::Written(host) = host else { continue };
            errors.extend(self.check_host(host).map(|e| SpecError { path: format!("hosts[{index}]"), ..e }));
        }
        if self.ports.is_some() && self.protocol.is_some_and(|p| !p.has_ports()) {
            errors.push(SpecError::new("ports", "ICMP has no ports").hint("leave `ports` out, or say `protocol: tcp`"));
        }
        if self.protocol == Some(Protocol::Udp) && self.names_nobody() {
            let error = SpecError::new("protocol", "whose UDP? What the target listens on is known of TCP alone");
            errors.push(error.hint("say `hosts`, `ports` or `peer`"));
        }
        if let Some(name) = &self.interface
            && (name.is_empty() || name.len() > NAME_MAX || name.contains(['/', ' ']))
        {
            errors.push(SpecError::new("interface", format!("`{name}` is not the name of an interface")).hint("`ip link` lists them"));
        }
        errors
    }

    /// The same with every host name looked up.
    ///
    /// # Errors
    /// If a name is not known, or has no address of the wanted version.
    pub(crate) fn looked_up(self) -> Result<Self, FaultError> {
        let hosts = self.hosts.into_iter().map(|host| host.looked_up(self.family)).collect::<Result<_, _>>()?;
        Ok(Self { hosts, ..self })
    }

    /// Nothing says who the other end is.
    fn names_nobody(&self) -> bool {
        self.peer.is_none() && self.hosts.is_empty() && self.ports.is_none()
    }

    /// Is it about the ports that the target listens on?
    fn is_of_own_ports(&self) -> bool {
        self.names_nobody() && self.protocol.is_none_or(|p| p == Protocol::Tcp)
    }

    fn check_host(&self, host: &str) -> Option<SpecError> {
        match host.parse::<Network>() {
            Ok(network) if self.family.is_some_and(|f| f != network.family()) => {
                let says = format!("{network} is {}, and `family` asks for the other", network.family());
                Some(SpecError::new("", says).hint("leave `family` out, or name an address of that family"))
            }
            Ok(_) => None,
            Err(NotANetwork::Wrong(why)) => Some(SpecError::new("", why).hint("for example `10.0.0.0/8`, `fd00::/8` or `10.0.0.7`")),
            Err(NotANetwork::NoAddress) if is_name(host) => None,
            Err(NotANetwork::NoAddress) => {
                let hint = if host.contains(':') {
                    "ports stand under `ports`"
                } else {
                    "for example `store.example`, `10.0.0.7` or `10.0.0.0/8`"
                };
                Some(SpecError::new("", format!("`{host}` is neither an address nor a host name")).hint(hint))
            }
        }
    }
}

/// As host names are written (RFC 1123), underscores allowed.
fn is_name(host: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    // Four numbers that are no address are a mistake, not a name.
    let last_is_number = host.rsplit('.').next().is_some_and(|l| l.chars().all(|c| c.is_ascii_digit()));
    host.len() <= 253 && !last_is_number && host.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn errors(spec: Value) -> Vec<String> {
        let traffic: Traffic = serde_json::from_value(spec).expect("a spec");
        traffic.check().iter().map(|e| format!("{}: {}", e.path, e.message)).collect()
    }

    #[test]
    fn what_cannot_be_meant_is_said_at_its_place() {
        let good = [
            json!({}),
            json!({"hosts": ["store", "10.0.0.0/8", "fd00::/8", "a_b.example.com."], "ports": "6379", "direction": "both"}),
            json!({"peer": "store", "protocol": "udp", "family": "ipv6", "interface": "eth0"}),
            json!({"protocol": "icmp"}),
        ];
        for spec in good {
            assert!(errors(spec.clone()).is_empty(), "{spec}");
        }
        for (spec, wrong) in [
            (json!({"peer": "store", "hosts": ["10.0.0.7"]}), "hosts: both `peer` and `hosts`"),
            (json!({"hosts": ["10.0.0.7", "10.0.0.1/8"]}), "hosts[1]: 10.0.0.1 is an address within 10.0.0.0/8"),
            (json!({"hosts": ["10.0.0.0/40"]}), "hosts[0]: an IPv4 network has 0 to 32 bits"),
            (json!({"hosts": ["store:6379"]}), "hosts[0]: `store:6379` is neither"),
            (json!({"hosts": ["10.0.0.256"]}), "hosts[0]: `10.0.0.256` is neither"),
            (json!({"hosts": [""]}), "hosts[0]: `` is neither"),
            (json!({"hosts": ["fd00::7"], "family": "ipv4"}), "hosts[0]: fd00::7 is IPv6"),
            (json!({"protocol": "icmp", "ports": "80"}), "ports: ICMP has no ports"),
            (json!({"protocol": "udp"}), "protocol: whose UDP?"),
            (json!({"interface": "a/b"}), "interface: `a/b`"),
        ] {
            let found = errors(spec.clone());
            assert!(found.len() == 1 && found[0].starts_with(wrong), "{spec}: {found:?}");
        }
    }
}
