//! A leaf, and what is left of one, as a person removes it.

use super::{Leaf, is_device_of};
use crate::net::hook::{self, Hook};
use crate::net::link;
use crate::net::namespace::Namespace;
use crate::net::netlink::Socket;

impl Leaf {
    /// The same as shell commands for a person.
    pub(crate) fn explain(&self) -> Vec<String> {
        let mut commands = Vec::new();
        for branch in &self.branches {
            for place in &branch.places {
                let (dev, hook) = (&place.interface, place.hook.name());
                commands.push(format!(
                    "tc filter show dev {dev} {hook} | awk '/^filter/{{p=$5}} /device {}\\)/{{print p}}' | \
                     while read p; do tc filter del dev {dev} {hook} pref $p; done",
                    branch.device
                ));
            }
        }
        commands.extend(self.branches.iter().map(|branch| format!("ip link del {}", branch.device)));
        within(&self.namespace, commands)
    }
}

/// Something of ours, found without an undo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stray {
    /// Whose.
    pub(crate) tag: String,
    /// What a person calls it.
    pub(crate) what: String,
    /// How a person removes it, as a shell command.
    pub(crate) remove: String,
}

/// Every filter and then every device of ours in the namespace of the socket. What cannot be looked at holds none that we know of.
pub(crate) fn strays(socket: &mut Socket) -> Vec<Stray> {
    let links = link::all(socket).unwrap_or_default();
    let mut found = Vec::new();
    for (link, hook) in links.iter().flat_map(|l| [(l, Hook::Egress), (l, Hook::Ingress)]) {
        for filter in hook::filters(socket, link.index, hook).unwrap_or_default() {
            if let Some(label) = filter.label {
                let what = format!("the filter at the {} of {}", hook.name(), link.name);
                let remove = format!("tc filter del dev {} {} pref {}", link.name, hook.name(), filter.preference);
                found.push(Stray { tag: label.tag, what, remove });
            }
        }
    }
    let devices =
        links.iter().filter_map(|l| l.alias.as_ref().filter(|tag| tag.starts_with("chaos-") && is_device_of(l, tag)).map(|tag| (l, tag)));
    found.extend(devices.map(|(link, tag)| Stray {
        tag: tag.clone(),
        what: format!("the device {}", link.name),
        remove: format!("ip link del {}", link.name),
    }));
    found
}

/// Commands as they are run in a namespace.
pub(crate) fn within(namespace: &Namespace, commands: Vec<String>) -> Vec<String> {
    if namespace.is_own() {
        return commands;
    }
    let first = format!("# in the network namespace net:[{}]: nsenter --net --target {} sh", namespace.inode, namespace.process.pid);
    std::iter::once(first).chain(commands).collect()
}
