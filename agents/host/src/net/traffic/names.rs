//! Host names, looked up once: what was found is written into the undo, and shown in the plan.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::{IpAddr, ToSocketAddrs};

use chaos_core::FaultError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::net::flow::{Family, Network};

/// The other end of a spec: as it is written, and once the run is planned, as it was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum HostName {
    /// An address, a network, or a name.
    Written(String),
    /// A name that was looked up.
    Found {
        /// The name.
        name: String,
        /// What it stood for.
        addresses: BTreeSet<IpAddr>,
    },
}

impl JsonSchema for HostName {
    fn schema_name() -> Cow<'static, str> {
        "host".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string"})
    }
}

impl HostName {
    /// Looks a name up as this program does; addresses and networks, and what was found before, stay as they are.
    ///
    /// # Errors
    /// If the name is not known, or has no address of the wanted version.
    pub(super) fn looked_up(self, family: Option<Family>) -> Result<Self, FaultError> {
        match self {
            Self::Written(name) if name.parse::<Network>().is_err() => {
                let addresses = addresses_of(&name, family)?;
                Ok(Self::Found { name, addresses })
            }
            known => Ok(known),
        }
    }
}

/// What the hosts of a spec are.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// All of them.
    pub(super) networks: Vec<Network>,
    /// What names stand for.
    pub(super) notes: Vec<String>,
}

/// The networks of these hosts, and what the plan says of those that were names.
///
/// # Errors
/// As [`HostName::looked_up`], for names that nobody has looked up yet.
pub(super) fn networks_of(hosts: &[HostName], family: Option<Family>) -> Result<Hosts, FaultError> {
    let mut found = Hosts::default();
    let mut networks = BTreeSet::new();
    for host in hosts {
        match host.clone().looked_up(family)? {
            HostName::Written(network) => networks.extend(network.parse::<Network>().ok()),
            HostName::Found { name, addresses } => {
                let list = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                found.notes.push(format!("{name} is {list}: looked up when this was planned, and not again"));
                networks.extend(addresses.into_iter().map(Network::from));
            }
        }
    }
    found.networks = networks.into_iter().collect();
    Ok(found)
}

fn addresses_of(host: &str, family: Option<Family>) -> Result<BTreeSet<IpAddr>, FaultError> {
    let looked_up = (host, 0).to_socket_addrs();
    let all: BTreeSet<IpAddr> = looked_up
        .map_err(|e| FaultError::new(format!("look up {host}: {e}")).hint("name its address instead, or correct the name"))?
        .map(|address| address.ip().to_canonical())
        .collect();
    of_family(host, all, family)
}

/// Those of the wanted version.
fn of_family(host: &str, all: BTreeSet<IpAddr>, family: Option<Family>) -> Result<BTreeSet<IpAddr>, FaultError> {
    let wanted: BTreeSet<IpAddr> = all.iter().copied().filter(|a| family.is_none_or(|f| f == Family::of(*a))).collect();
    match (wanted.is_empty(), family) {
        (false, _) => Ok(wanted),
        (true, Some(family)) if !all.is_empty() => {
            let list = all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Err(FaultError::new(format!("{host} has no {family} address: it is {list}")).hint("leave `family` out"))
        }
        _ => Err(FaultError::new(format!("{host} has no address"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(hosts: &[&str]) -> Vec<HostName> {
        hosts.iter().map(|host| HostName::Written((*host).to_owned())).collect()
    }

    #[test]
    fn names_are_looked_up_and_addresses_taken_as_they_are() {
        let hosts = networks_of(&written(&["10.0.0.0/8", "localhost"]), Some(Family::Ipv4)).expect("found");
        let shown: Vec<String> = hosts.networks.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.0/8", "127.0.0.1"]);
        assert!(hosts.notes[0].starts_with("localhost is 127.0.0.1:"), "{:?}", hosts.notes);
        let error = networks_of(&written(&["nobody.invalid"]), None).expect_err("no such name");
        assert!(error.message.starts_with("look up nobody.invalid: "), "{error}");
    }

    #[test]
    fn a_name_of_many_addresses_or_of_one_version_alone_is_what_it_is() {
        let all = |list: &[&str]| list.iter().map(|a| a.parse::<IpAddr>().expect("an address")).collect::<BTreeSet<_>>();
        let many = all(&["10.0.0.7", "10.0.0.8", "10.0.0.9", "fd00::7"]);
        assert_eq!(of_family("store", many.clone(), None).expect("all of them"), many);
        assert_eq!(of_family("store", many, Some(Family::Ipv6)).expect("one of them"), all(&["fd00::7"]));
        let error = of_family("store", all(&["fd00::7", "fd00::8"]), Some(Family::Ipv4)).expect_err("none of them");
        assert_eq!(error.message, "store has no IPv4 address: it is fd00::7, fd00::8");
        assert_eq!(error.hint.as_deref(), Some("leave `family` out"));
    }

    #[test]
    fn what_was_found_is_not_looked_up_again_whatever_the_name_means_by_then() {
        let found = HostName::Found { name: "localhost".into(), addresses: BTreeSet::from([IpAddr::from([10, 0, 0, 7])]) };
        let text = serde_json::to_string(&found).expect("text");
        let again: HostName = serde_json::from_str(&text).expect("the same");
        assert_eq!(again, found, "it comes back from the plan");
        let networks = networks_of(&[again], None).expect("known").networks;
        assert_eq!(networks.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.7"]);
    }
}
